//! Lists as JSON, produced in pieces: for a client that does not read, only one piece is in memory and not
//! the whole list.

use std::ops::ControlFlow;

use bytes::Bytes;
use serde::Serialize;

/// The approximate size of a piece in bytes.
pub const PIECE: usize = 64 << 10;

/// A page of a list: its first piece, and where the next piece begins.
#[derive(Clone, Debug)]
pub struct Listing<Left> {
    /// The entries as JSON, with commas between them.
    pub first: Bytes,
    /// The rest of the page.
    pub left: Option<Left>,
    /// The key of the page's last entry, when another page follows.
    pub next: Option<String>,
}

/// A later piece of a page.
#[derive(Clone, Debug)]
pub struct Piece<Left> {
    /// JSON that continues the previous piece.
    pub json: Bytes,
    /// The rest of the page.
    pub left: Option<Left>,
}

/// The names of a page that are not read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamesLeft {
    /// The name before the first of them.
    pub(super) after: String,
    /// The last of them.
    pub(super) last: String,
}

/// Appends an entry, with a comma unless it is the first one of its list.
pub(super) fn append(json: &mut Vec<u8>, is_first: bool, entry: &impl Serialize) {
    if !is_first {
        json.push(b',');
    }
    serde_json::to_writer(json, entry).expect("plain data is JSON, and a Vec grows");
}

/// Builds a page of names. It holds one piece; of the names after that it only remembers the last one.
pub(super) struct Names {
    limit: usize,
    count: usize,
    json: Vec<u8>,
    last: String,
    /// The last name in the piece, once the piece is full.
    after: Option<String>,
    more: bool,
}

impl Names {
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, count: 0, json: Vec::new(), last: String::new(), after: None, more: false }
    }

    /// Adds the next name. If the page is full, it only records that there are more.
    pub(super) fn take(&mut self, name: &str) -> ControlFlow<()> {
        if self.count == self.limit {
            self.more = self.limit > 0;
            return ControlFlow::Break(());
        }
        if self.after.is_none() {
            append(&mut self.json, self.count == 0, &name);
            if self.json.len() >= PIECE {
                self.after = Some(name.to_owned());
            }
        }
        self.count += 1;
        self.last.clear();
        self.last.push_str(name);
        ControlFlow::Continue(())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn finish(self) -> Listing<NamesLeft> {
        let Self { json, last, after, more, .. } = self;
        let left = after.filter(|after| *after != last);
        let left = left.map(|after| NamesLeft { after, last: last.clone() });
        Listing { first: Bytes::from(json), left, next: more.then_some(last) }
    }
}

/// Builds a later piece of a page.
pub(super) struct MoreNames {
    json: Vec<u8>,
    after: Option<String>,
}

impl MoreNames {
    pub(super) const fn new() -> Self {
        Self { json: Vec::new(), after: None }
    }

    pub(super) fn take(&mut self, name: &str) -> ControlFlow<()> {
        append(&mut self.json, false, &name);
        if self.json.len() < PIECE {
            return ControlFlow::Continue(());
        }
        self.after = Some(name.to_owned());
        ControlFlow::Break(())
    }

    pub(super) fn finish(self, left: NamesLeft) -> Piece<NamesLeft> {
        let NamesLeft { last, .. } = left;
        let left = self.after.filter(|after| *after < last).map(|after| NamesLeft { after, last });
        Piece { json: Bytes::from(self.json), left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a page of these names in pieces; returns the names, the number of pieces and the next key.
    fn read(names: &[String], limit: usize) -> (Vec<String>, usize, Option<String>) {
        let mut page = Names::new(limit);
        let _ = names.iter().try_for_each(|name| match page.take(name) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(()),
        });
        let Listing { first, mut left, next } = page.finish();
        let (mut json, mut pieces) = (first.to_vec(), 1);
        while let Some(rest) = left {
            let mut more = MoreNames::new();
            for name in names.iter().filter(|name| **name > rest.after && **name <= rest.last) {
                if more.take(name).is_break() {
                    break;
                }
            }
            let piece = more.finish(rest);
            assert!(piece.json.len() < PIECE + 300, "{} bytes", piece.json.len());
            json.extend_from_slice(&piece.json);
            (left, pieces) = (piece.left, pieces + 1);
        }
        let json = [&b"["[..], &json, b"]"].concat();
        (serde_json::from_slice(&json).unwrap(), pieces, next)
    }

    #[test]
    fn the_pieces_of_a_page_are_the_page() {
        let names: Vec<String> = (0..3000).map(|number| format!("{number:0>128}")).collect();
        for limit in [0, 1, 499, 500, 501, 1000, 2999, 3000, 3001] {
            let (found, pieces, next) = read(&names, limit);
            let wanted = &names[..limit.min(names.len())];
            assert_eq!(found, wanted, "{limit}");
            assert_eq!(next.as_ref(), wanted.last().filter(|_| limit < names.len()), "{limit}");
            assert!(pieces <= 1 + limit * 131 / PIECE, "{pieces} pieces of {limit}");
        }
        assert_eq!(read(&[], 10), (Vec::new(), 1, None));
    }
}
