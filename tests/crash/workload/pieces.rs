//! Pieces that are pushed, deleted, restored and emptied.

use std::sync::atomic::Ordering;

use serde_json::json;
use stowage::model::media_type::{OCI_INDEX, OCI_MANIFEST};
use stowage::wire::TrashEntry;

use super::Client;
use crate::exchange::Answer;
use crate::ledger::{Manifest, Recipe};
use crate::pieces::{LIVE, Piece, TRASHED, at};
use crate::support::content::{image, index, referrer, sha256};
use crate::tokens::ask;
use crate::trash::{self, entry_of, restoring};

/// Above this number one is always deleted.
const MANY: usize = 8;

impl Client<'_> {
    /// Pushes a piece, or deletes, restores or empties one.
    pub(super) fn change_piece(&mut self) -> Option<()> {
        let live = self.ledger().pieces_at(&self.bin, LIVE);
        let trashed = self.ledger().pieces_at(&self.bin, TRASHED);
        let choice = if live.len() > MANY { 3 } else { self.dice.below(10) };
        let piece = self.pick(if choice < 6 { &live } else { &trashed });
        match (choice, piece) {
            (0..=2, _) | (_, None) => self.push_piece(),
            (3..=5, Some(piece)) => self.discard_piece(&piece),
            (6..=8, Some(piece)) => self.restore_piece(&piece),
            (_, Some(piece)) => self.empty_piece(&piece),
        }
    }

    /// Sends a request to the admin socket whose response must have one of the statuses `good`.
    pub(super) fn administer(&self, method: &str, path: &str, body: &str, good: &[u16]) -> Option<Answer> {
        self.sorted(&format!("{method} {path}"), ask(self.load.socket, method, path, body), good)
    }

    /// An image, an index with a referrer, or a repository with one of the two. Its tag is set last, so it is
    /// there as a whole or not at all.
    fn push_piece(&mut self) -> Option<()> {
        let tag = format!("p{:016x}", self.dice.below(u64::MAX));
        let is_repository = self.dice.below(4) == 0;
        let repository = if is_repository { format!("{}/{tag}", self.bin) } else { self.bin.clone() };
        let mut piece = Piece {
            repository,
            tag,
            is_repository,
            root: String::new(),
            below: Vec::new(),
            blobs: Vec::new(),
        };
        self.push_config(&piece.repository)?;
        let mut root = self.piece_image(&mut piece)?;
        if self.dice.below(2) == 0 {
            let other = self.piece_image(&mut piece)?;
            let children = [&root.content[..], &other.content];
            let whole = Manifest::free(index(&children), OCI_INDEX);
            let note = json!({ "number": self.dice.below(u64::MAX).to_string() });
            let content = referrer(&whole.content, "application/vnd.test.signature", &note);
            for manifest in [root, other, Manifest::about(&whole.content, content)] {
                let digest = sha256(&manifest.content);
                self.put((&piece.repository, &digest), manifest, Vec::new())?;
                piece.below.push(digest);
            }
            root = whole;
        }
        piece.root = sha256(&root.content);
        let change = (piece.key(), at(LIVE));
        self.ledger().pieces.insert(piece.tag.clone(), piece.clone());
        self.put((&piece.repository, &piece.tag), root, vec![change]).map(drop)
    }

    /// An image with a new layer, and perhaps one that another piece of the repository has.
    fn piece_image(&mut self, piece: &mut Piece) -> Option<Manifest> {
        let mut recipes = vec![self.roll(20_000)];
        self.send_blob(&piece.repository, recipes[0], Vec::new())?;
        let live = self.ledger().pieces_at(&piece.repository, LIVE);
        let others = live.into_iter().filter(|other| other.repository == piece.repository);
        let others: Vec<String> = others.flat_map(|other| other.blobs).collect();
        if let Some(digest) = self.pick(&others).filter(|_| self.dice.below(2) == 0) {
            self.request(("HEAD", &format!("/v2/{}/blobs/{digest}", piece.repository)), &[], b"", &[200])?;
            recipes.extend(self.ledger().blobs.get(&digest).copied());
        }
        let layers: Vec<Vec<u8>> = recipes.into_iter().map(Recipe::content).collect();
        piece.blobs.extend(layers.iter().map(|layer| sha256(layer)));
        let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
        Some(Manifest::free(image(&layers), OCI_MANIFEST))
    }

    fn discard_piece(&mut self, piece: &Piece) -> Option<()> {
        let Piece { repository, tag, root, .. } = piece;
        let change = vec![(piece.key(), at(TRASHED))];
        let of_repository = format!("/api/v1/repositories/{repository}");
        let path = match self.dice.below(3) {
            _ if piece.is_repository => of_repository,
            // It takes only the manifest itself.
            0 if piece.below.is_empty() => {
                let path = format!("/v2/{repository}/manifests/{root}");
                self.change(repository, change, ("DELETE", &path), &[], b"", &[202])?;
                self.may_be_emptied(piece);
                return Some(());
            }
            0 | 1 => format!("{of_repository}/-/manifests/{root}"),
            _ => format!("{of_repository}/-/tags/{tag}"),
        };
        self.booked(repository, change, || self.administer("DELETE", &path, "", &[204]))?;
        self.may_be_emptied(piece);
        Some(())
    }

    /// Records that a run which is under way may have emptied a piece that was just deleted.
    fn may_be_emptied(&self, piece: &Piece) {
        let mut ledger = self.ledger();
        if ledger.emptying {
            ledger.loosen(&piece.repository, vec![piece.key()]);
        }
    }

    /// The deletion of a piece, if it is still listed.
    fn listed(&self, piece: &Piece) -> Option<TrashEntry> {
        let ask = |path: &str| self.administer("GET", path, "", &[200]);
        let entries = trash::listed(Some(&piece.repository), ask)?;
        let found = entry_of(&entries, piece).cloned();
        assert!(found.is_some() || self.may_be_gone(piece), "{piece:?} is not in the trash: {entries:?}");
        found
    }

    /// Whether a run may have emptied a piece. In trouble, one of the client's own requests may have done
    /// more than it said.
    fn may_be_gone(&self, piece: &Piece) -> bool {
        self.ledger().may_be(piece, &None) || self.load.trouble.load(Ordering::SeqCst)
    }

    fn restore_piece(&mut self, piece: &Piece) -> Option<()> {
        let entry = self.listed(piece)?;
        let ticket = self.ledger().begin(&piece.repository, vec![(piece.key(), at(LIVE))]);
        let answer = self.administer("POST", &restoring(&entry), "{}", &[200, 404]);
        self.record(&ticket, answer.as_ref(), |answer| answer.status == 200);
        if answer?.status == 404 {
            assert!(self.may_be_gone(piece), "{entry:?} cannot be restored");
            return Some(());
        }
        let mut ledger = self.ledger();
        // What a run does from now on does not concern it.
        ledger.settle(&piece.place(), at(LIVE));
        ledger.done.restored += 1;
        drop(ledger);
        let path = format!("/v2/{}/manifests/{}", piece.repository, piece.tag);
        let pulled = self.request(("GET", &path), &[], b"", &[200])?;
        assert_eq!(sha256(&pulled.body), piece.root, "{path} after {entry:?} was restored");
        Some(())
    }

    fn empty_piece(&mut self, piece: &Piece) -> Option<()> {
        let entry = self.listed(piece)?;
        let path = format!("/api/v1/trash/{}", entry.id);
        let ticket = self.ledger().begin(&piece.repository, vec![(piece.key(), None)]);
        let answer = self.administer("DELETE", &path, "", &[204, 404]);
        self.record(&ticket, answer.as_ref(), |answer| answer.status == 204);
        assert!(answer?.status == 204 || self.may_be_gone(piece), "{entry:?} cannot be emptied");
        Some(())
    }
}
