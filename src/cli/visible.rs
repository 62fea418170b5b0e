//! Escapes text from elsewhere for a terminal. A server's texts are written by its users, and must not move
//! the cursor, add lines, or reverse the order of letters.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A text of this program that contains parts from elsewhere: newlines and tabs are kept.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |c| acts(c) && !matches!(c, '\n' | '\t'))
}

/// A part from elsewhere, as one line.
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, acts)
}

fn acts(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || c.is_control()
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_escaped(c) {
            // The escape is also valid in a JSON string. Writing to a string cannot fail.
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(
            visible("a\u{1b}[2J\u{9b}b\rc\u{7f}\u{202e}\u{61c}"),
            "a\\u001b[2J\\u009bb\\u000dc\\u007f\\u202e\\u061c"
        );
        assert!(matches!(visible("two\nlines\tÄpp"), Cow::Borrowed(_)));
        assert_eq!(one_line("two\nlines\tÄpp"), "two\\u000alines\\u0009Äpp");
        let document = json!({ "name": "a\u{1b}b\u{9b}c" });
        let printed = visible(&document.to_string()).into_owned();
        assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), document);
    }
}
