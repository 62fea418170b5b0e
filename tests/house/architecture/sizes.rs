//! How long a file and a function may be, and how wide a comment.

use super::{assert_none, everything};

/// The most lines of a file, tests included.
const LONGEST_FILE: usize = 400;
/// The most lines of a function, from its signature to its last brace.
const LONGEST_FUNCTION: usize = 80;
/// The most characters of a line that is a comment.
const WIDEST_COMMENT: usize = 110;

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let long = everything().filter_map(|(path, source)| {
        let lines = source.text.lines().count();
        (lines > LONGEST_FILE).then(|| format!("{path}: {lines} lines: split it by noun"))
    });
    assert_none(&long.collect::<Vec<_>>());
}

#[test]
fn no_function_is_longer_than_a_reader_can_hold() {
    let mut problems = Vec::new();
    for (path, source) in everything() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let indent = &line[..line.len() - line.trim_start().len()];
            if !is_function(line.trim_start()) {
                continue;
            }
            // rustfmt puts the last brace of a function below its first word.
            let last = format!("{indent}}}");
            let length = lines[start..].iter().position(|line| *line == last).map_or(1, |end| end + 1);
            if length > LONGEST_FUNCTION {
                problems.push(format!("{path}:{}: {length} lines: {}", start + 1, line.trim()));
            }
        }
    }
    assert_none(&problems);
}

/// Whether a line begins a function whose body has lines of its own.
fn is_function(line: &str) -> bool {
    let before = ["pub", "const", "async", "unsafe", "extern"];
    let mut words =
        line.split_whitespace().skip_while(|word| before.iter().any(|known| word.starts_with(known)));
    words.next() == Some("fn") && !line.ends_with(';') && !line.ends_with('}')
}

#[test]
fn no_comment_is_wider_than_a_reader_can_follow() {
    let mut problems = Vec::new();
    for (path, source) in everything() {
        for (number, line) in source.text.lines().enumerate() {
            let is_table = line.trim_start().starts_with("//! |");
            if line.trim_start().starts_with("//") && !is_table && line.chars().count() > WIDEST_COMMENT {
                problems.push(format!("{path}:{}: {} characters", number + 1, line.chars().count()));
            }
        }
    }
    assert_none(&problems);
}
