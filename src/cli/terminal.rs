//! The terminal to which a command writes, and tables that fit into its width.

use std::io::{self, IsTerminal as _};

use rustix::termios::tcgetwinsize;

use super::visible::one_line;

/// The width of a terminal that does not report it.
const DEFAULT_COLUMNS: usize = 80;
/// The width below which no column is wrapped: a short digest, a size and a time fit.
const NARROW: usize = 12;

/// The width of the terminal on stdout; `None` if stdout is a file or a pipe, where lines may have any
/// length.
pub(super) fn width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let columns = tcgetwinsize(&stdout).map(|size| usize::from(size.ws_col)).unwrap_or_default();
    Some(if columns == 0 { DEFAULT_COLUMNS } else { columns })
}

/// Rows below their headings, in columns. Lines have at most `width` characters, if given: the widest columns
/// are wrapped; if that is not enough, each row becomes a block with a line for each cell.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>], width: Option<usize>) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|cells| cells.iter().map(|cell| one_line(cell).into_owned()).collect()).collect();
    let Some(width) = width else { return columns(headings, &rows) };
    let Some(widths) = widths(headings, &rows, width) else {
        let blocks: Vec<String> = rows.iter().map(|row| block(headings, row, width)).collect();
        return blocks.join("\n\n");
    };
    let mut lines = Vec::new();
    for row in &rows {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| wrap(cell, *width)).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or_default();
        let line = |at: usize| cells.iter().map(|cell| cell.get(at).cloned().unwrap_or_default()).collect();
        lines.extend((0..height).map(line));
    }
    columns(headings, &lines)
}

/// Rows below their headings, in columns as wide as their longest cell.
fn columns(headings: &[&str], rows: &[Vec<String>]) -> String {
    let widths = longest(headings, rows);
    let line = |cells: &[&str]| {
        let cells: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(headings)];
    lines.extend(rows.iter().map(|cells| line(&cells.iter().map(String::as_str).collect::<Vec<_>>())));
    lines.join("\n")
}

/// The characters of the longest cell of each column, its heading included.
fn longest(headings: &[&str], rows: &[Vec<String>]) -> Vec<usize> {
    let longest = |(column, heading): (usize, &&str)| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([heading.chars().count()]).max().unwrap_or_default()
    };
    headings.iter().enumerate().map(longest).collect()
}

/// The width of each column if all of them fit into `width`; `None` if they do not, although every column
/// that may be wrapped is at its minimum.
fn widths(headings: &[&str], rows: &[Vec<String>], width: usize) -> Option<Vec<usize>> {
    let mut widths = longest(headings, rows);
    let gaps = 2 * headings.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > width {
        let columns = widths.iter_mut().zip(headings);
        let may_shrink = columns.filter(|(width, heading)| **width > NARROW.max(heading.chars().count()));
        let (widest, _) = may_shrink.max_by_key(|(width, _)| **width)?;
        *widest -= 1;
    }
    Some(widths)
}

/// The cells of a row as lines, each after its heading.
fn block(headings: &[&str], row: &[String], width: usize) -> String {
    let label = headings.iter().map(|heading| heading.chars().count()).max().unwrap_or_default();
    let mut lines = Vec::new();
    for (heading, cell) in headings.iter().zip(row).filter(|(_, cell)| !cell.is_empty()) {
        for (at, line) in wrap(cell, width.saturating_sub(label + 2).max(NARROW)).iter().enumerate() {
            lines.push(format!("{:<label$}  {line}", if at == 0 { *heading } else { "" }));
        }
    }
    lines.join("\n")
}

/// Wraps words into lines of at most `width` characters. A longer word is broken after a comma or a slash in
/// it, or anywhere if it has none.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for mut word in text.split_whitespace() {
        while !word.is_empty() {
            let piece = piece(word, width);
            if line.is_empty() {
                line.push_str(piece);
            } else if line.chars().count() + 1 + piece.chars().count() <= width {
                line = format!("{line} {piece}");
            } else {
                lines.push(std::mem::replace(&mut line, piece.to_owned()));
            }
            word = &word[piece.len()..];
            if !word.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
        }
    }
    lines.push(line);
    lines
}

/// The first part of a word that fits into a line.
fn piece(word: &str, width: usize) -> &str {
    let Some((end, _)) = word.char_indices().nth(width) else { return word };
    let fits = &word[..end];
    fits.rfind([',', '/']).map_or(fits, |at| &fits[..=at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|&cell| cell.to_owned()).collect()
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [texts(&["team/app", "7"]), texts(&["a", ""])];
        assert_eq!(table(&["REPOSITORY", "N"], &rows, None), "REPOSITORY  N\nteam/app    7\na");
    }

    #[test]
    fn the_widest_columns_are_wrapped() {
        let rows = [texts(&["team/app:1", "the file of the blob is missing"])];
        let headings = ["IMAGE", "PROBLEM"];
        assert_eq!(
            table(&headings, &rows, Some(34)),
            "IMAGE       PROBLEM\nteam/app:1  the file of the blob\n            is missing"
        );
        let whole = "IMAGE       PROBLEM\nteam/app:1  the file of the blob is missing";
        assert_eq!(table(&headings, &rows, None), whole);
        let rows = [texts(&["some/long/name:of-a-tag", "the file is missing"]), texts(&["a:1", ""])];
        assert_eq!(
            table(&headings, &rows, Some(30)),
            "IMAGE          PROBLEM\nsome/long/     the file is\nname:of-a-tag  missing\na:1"
        );
    }

    #[test]
    fn what_has_no_room_for_columns_is_one_block_a_row() {
        let rows = [texts(&["team/app:1", "the file of the blob is missing"]), texts(&["a:1", "lost"])];
        assert_eq!(
            table(&["IMAGE", "PROBLEM"], &rows, Some(22)),
            "IMAGE    team/app:1\nPROBLEM  the file of\n         the blob is\n         missing\n\nIMAGE    a:1\nPROBLEM  lost"
        );
    }

    #[test]
    fn long_words_are_broken() {
        assert_eq!(wrap("a bc sha256:0123456789 d", 6), ["a bc", "sha256", ":01234", "56789", "d"]);
        assert_eq!(wrap("read_api,api,x", 10), ["read_api,", "api,x"]);
        assert_eq!(wrap("", 6), [""]);
    }
}
