//! Pieces: images, indexes and repositories that are deleted, restored and emptied as wholes.
//!
//! Each has a tag of its own, and only one client changes it, so it is certain where it should be.

use crate::ledger::{Key, Ledger, Place, Register, Value};

/// A piece that can be pulled.
pub(crate) const LIVE: &str = "live";
/// A piece that is in the trash.
pub(crate) const TRASHED: &str = "trashed";

/// Something that is deleted and restored as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) repository: String,
    pub(crate) tag: String,
    /// Whether it is deleted with its repository, which has nothing else.
    pub(crate) is_repository: bool,
    /// The manifest that its tag points to.
    pub(crate) root: String,
    /// What the root lists, and what refers to it.
    pub(crate) below: Vec<String>,
    pub(crate) blobs: Vec<String>,
}

impl Piece {
    pub(crate) fn key(&self) -> Key {
        Key::Piece(self.tag.clone())
    }

    pub(crate) fn place(&self) -> Place {
        (self.repository.clone(), self.key())
    }
}

/// A value that a piece may have.
pub(crate) fn at(place: &str) -> Value {
    Value::from(place.to_owned())
}

impl Ledger {
    /// Where a piece may be.
    pub(crate) fn may_be(&self, piece: &Piece, value: &Value) -> bool {
        self.registers.get(&piece.place()).is_some_and(|register| register.possible().contains(value))
    }

    /// The pieces of a client that are certainly there.
    pub(crate) fn pieces_at(&self, bin: &str, place: &str) -> Vec<Piece> {
        let inside = format!("{bin}/");
        let is_own = |piece: &&Piece| piece.repository == bin || piece.repository.starts_with(&inside);
        let own = self.pieces.values().filter(is_own);
        own.filter(|piece| self.is_at(piece, place)).cloned().collect()
    }

    /// Whether a piece is certainly there.
    pub(crate) fn is_at(&self, piece: &Piece, place: &str) -> bool {
        let register = self.registers.get(&piece.place());
        register.and_then(Register::certain) == Some(at(place))
    }

    /// Every piece that may be in the trash.
    pub(crate) fn trashed(&self) -> Vec<Place> {
        let pieces = self.pieces.values().filter(|piece| self.may_be(piece, &at(TRASHED)));
        pieces.map(Piece::place).collect()
    }

    /// Records that the trash may have been emptied.
    pub(crate) fn note_emptied(&mut self) {
        for (repository, key) in self.trashed() {
            self.loosen(&repository, vec![key]);
        }
    }

    /// Whether a blob must be on the disk.
    pub(crate) fn is_needed(&self, digest: &str) -> bool {
        let is_certain = |((_, key), register): (&Place, &Register)| {
            matches!(key, Key::Blob(blob) if blob == digest) && register.certain().flatten().is_some()
        };
        let needs = |piece: &Piece| {
            let is_pushed = self.registers.contains_key(&piece.place());
            is_pushed && !self.may_be(piece, &None) && piece.blobs.iter().any(|blob| blob == digest)
        };
        self.registers.iter().any(is_certain) || self.pieces.values().any(needs)
    }
}
