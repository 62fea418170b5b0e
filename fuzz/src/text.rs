//! Texts as inputs and as answers.

use std::fmt::Display;

/// Characters of an error message at most. The longest lists eight bounds of a value; none may grow with its
/// input.
const LONGEST: usize = 2000;

/// The first line and what follows it; all of it when there is one line only.
pub fn first_line(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &[]),
    }
}

/// The value of a header as handlers see it: visible ASCII, spaces and tabs, none of the latter at its ends.
pub fn header_value(bytes: &[u8]) -> Option<&str> {
    let text = str::from_utf8(bytes).ok()?.trim_matches([' ', '\t']);
    text.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)).then_some(text)
}

/// A message for clients, terminals and logs says something, is bounded, and has no control characters.
#[track_caller]
pub fn assert_message(message: &impl Display) {
    let message = message.to_string();
    assert!(!message.is_empty(), "an error without words");
    assert!(message.chars().count() <= LONGEST, "{} characters: {message}", message.chars().count());
    assert!(!message.chars().any(char::is_control), "{message:?}");
}
