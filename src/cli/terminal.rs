//! The terminal that a command writes to, and text that fits into it.

use std::io::{self, IsTerminal as _};

use rustix::termios::tcgetwinsize;

/// Columns of a terminal that does not tell how many it has.
const USUAL: usize = 80;
/// A column that is narrower is not worth to be wrapped: its line runs on.
const NARROW: usize = 16;

/// The columns of the terminal that stdout is; `None` when stdout is a file or a pipe, where lines may have any length.
pub(super) fn width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let columns = tcgetwinsize(&stdout).map(|size| usize::from(size.ws_col)).unwrap_or_default();
    Some(if columns == 0 { USUAL } else { columns })
}

/// Rows under their headings, whose last column is wrapped so that no line is longer than `width`.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>], width: Option<usize>) -> String {
    let Some(width) = width else { return super::output::table(headings, rows) };
    let before = headings.len().saturating_sub(1);
    let longest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or_default()
    };
    let indent: usize = (0..before).map(|column| longest(column) + 2).sum();
    let room = width.saturating_sub(indent);
    if room < NARROW {
        return super::output::table(headings, rows);
    }
    let mut wrapped = Vec::new();
    for row in rows {
        let (first, last) = row.split_at(before.min(row.len()));
        let mut lines = wrap(last.first().map_or("", String::as_str), room).into_iter();
        let mut start = first.to_vec();
        start.push(lines.next().unwrap_or_default());
        wrapped.push(start);
        wrapped.extend(lines.map(|line| {
            let mut more = vec![String::new(); before];
            more.push(line);
            more
        }));
    }
    super::output::table(headings, &wrapped)
}

/// Words in lines of at most `width` characters; a word that is longer has a line of its own.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    if lines.is_empty() { vec![String::new()] } else { lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_column_is_wrapped() {
        let rows = [vec!["team/app:1".to_owned(), "the file of the blob is missing".to_owned()]];
        let headings = ["IMAGE", "PROBLEM"];
        assert_eq!(
            table(&headings, &rows, Some(34)),
            "IMAGE       PROBLEM\nteam/app:1  the file of the blob\n            is missing"
        );
        let whole = "IMAGE       PROBLEM\nteam/app:1  the file of the blob is missing";
        assert_eq!(table(&headings, &rows, None), whole);
        assert_eq!(table(&headings, &rows, Some(20)), whole, "no room to wrap in");
    }

    #[test]
    fn long_words_have_a_line_of_their_own() {
        assert_eq!(wrap("a bc sha256:0123456789 d", 6), ["a bc", "sha256:0123456789", "d"]);
        assert_eq!(wrap("", 6), [""]);
    }
}
