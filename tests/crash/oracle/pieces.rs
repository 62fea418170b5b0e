//! The checks of what is deleted and restored as a whole.

use super::Oracle;
use crate::ledger::{Ledger, Register, Value};
use crate::pieces::{LIVE, Piece, TRASHED, at};
use crate::tokens::ask;
use crate::trash::{entry_of, restoring};

/// Of the pieces that are in the trash for certain, one in this many is restored.
const RESTORED: u64 = 6;

impl Oracle<'_> {
    /// Where a piece is: it must be there as a whole, or not at all.
    pub(super) fn piece(&mut self, ledger: &Ledger, tag: &str, register: &Register) -> Value {
        let piece = &ledger.pieces[tag];
        let is_listed = entry_of(&self.trash, piece).is_some();
        if self.manifest(ledger, &piece.repository, tag).is_some() {
            if is_listed {
                self.wrong.push(format!("{piece:?} is in the trash, too"));
            }
            self.whole(ledger, piece);
            return at(LIVE);
        }
        let possible = register.possible();
        // Before its tag is set, parts of it are there.
        if is_listed || !possible.contains(&at(LIVE)) && register.renewed > 0 {
            for digest in piece.below.iter().chain([&piece.root]) {
                if self.manifest(ledger, &piece.repository, digest).is_some() {
                    self.wrong.push(format!("{digest} is there without {piece:?}"));
                }
            }
        }
        if !is_listed {
            return None;
        }
        self.trashed.push((tag.to_owned(), possible.contains(&None)));
        at(TRASHED)
    }

    /// Reads everything of a piece.
    fn whole(&mut self, ledger: &Ledger, piece: &Piece) {
        let name = &piece.repository;
        for digest in piece.below.iter().chain([&piece.root]) {
            if self.manifest(ledger, name, digest).as_ref() != Some(digest) {
                self.wrong.push(format!("{digest} is not there, of {piece:?}"));
            }
        }
        for digest in &piece.blobs {
            if self.blob(ledger, name, digest).is_none() {
                self.wrong.push(format!("the blob {digest} is not there, of {piece:?}"));
            }
        }
        let path = format!("/v2/{name}/referrers/{}", piece.root);
        let referrers = self.list(&path, "manifests", |descriptor| descriptor["digest"].as_str());
        let refers = |digest: &&String| {
            ledger.manifests[*digest].subject.as_ref().is_some_and(|subject| *subject == piece.root)
        };
        if !piece.below.iter().filter(refers).eq(&referrers) {
            self.wrong.push(format!("{path} lists {referrers:?}: {piece:?}"));
        }
    }

    /// Restores some of the pieces that are in the trash, which must then be there as they were. One that a
    /// run may have begun to empty is restored, or emptied to its end.
    pub(super) fn restore(&mut self, ledger: &mut Ledger) {
        for (tag, is_doubtful) in std::mem::take(&mut self.trashed) {
            if !is_doubtful && self.dice.below(RESTORED) > 0 {
                continue;
            }
            let piece = ledger.pieces[&tag].clone();
            let Some(entry) = entry_of(&self.trash, &piece) else { continue };
            let (id, path) = (entry.id, restoring(entry));
            match ask(self.socket, "POST", &path, "{}") {
                Ok(answer) if answer.status == 200 => {
                    if self.manifest(ledger, &piece.repository, &tag).as_ref() != Some(&piece.root) {
                        self.wrong.push(format!("{path} has not brought back {piece:?}"));
                    }
                    self.whole(ledger, &piece);
                    ledger.settle(&piece.place(), at(LIVE));
                    ledger.done.restored += 1;
                }
                Ok(answer) if answer.status == 404 && is_doubtful => {
                    match ask(self.socket, "DELETE", &format!("/api/v1/trash/{id}"), "") {
                        Ok(answer) if answer.status == 204 => ledger.settle(&piece.place(), None),
                        other => self.wrong.push(format!("emptying the rest of {piece:?}: {other:?}")),
                    }
                }
                other => self.wrong.push(format!("POST {path}: {other:?}, of {piece:?}")),
            }
        }
    }
}
