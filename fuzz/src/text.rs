//! Texts in inputs and outputs.

use std::fmt::Display;

/// The most characters of an error message. The longest one lists eight bounds of a value; none may grow with
/// its input.
const LONGEST: usize = 2000;

/// The first line, and the rest after it; without a line break the whole input.
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

/// Asserts that a message for clients, terminals and logs is not empty, is bounded, and has no control
/// characters.
#[track_caller]
pub fn assert_message(message: &impl Display) {
    let message = message.to_string();
    assert!(!message.is_empty(), "an error without words");
    assert!(message.chars().count() <= LONGEST, "{} characters: {message}", message.chars().count());
    assert!(!message.chars().any(char::is_control), "{message:?}");
}
