//! Uploads in several requests, in one run of the server or across restarts.

use super::Client;
use crate::ledger::{Key, Upload};
use crate::support::content::sha256;

/// The most uploads that a client leaves open.
const OPEN_UPLOADS: usize = 3;

impl Client<'_> {
    pub(super) fn push_chunks(&mut self) -> Option<()> {
        let location = self.start_upload()?;
        let first = self.send_chunk(&location)?;
        if first { self.close_upload(&location) } else { Some(()) }
    }

    /// Opens an upload and sends its first chunk.
    pub(super) fn start_upload(&mut self) -> Option<String> {
        if self.open_uploads().len() >= OPEN_UPLOADS {
            let location = self.open_uploads().remove(0);
            self.close_upload(&location)?;
        }
        let path = format!("/v2/{}/blobs/uploads/", self.repository);
        let opened = self.request(("POST", &path), &[], b"", &[202])?;
        let location = opened.header("location").expect("a location").to_owned();
        let limit = if self.dice.below(8) == 0 { 2_000_000 } else { 200_000 };
        let recipe = self.roll(limit);
        let repository = self.repository.clone();
        let upload = Upload { repository, recipe, acknowledged: 0, sent: 0, closing: false };
        self.ledger().uploads.insert(location.clone(), upload);
        self.send_chunk(&location)?;
        Some(location)
    }

    fn open_uploads(&self) -> Vec<String> {
        let ledger = self.ledger();
        let mine = ledger.uploads.iter().filter(|(_, upload)| upload.repository == self.repository);
        // An upload whose request has failed is left as it is: the oracle finds out its state.
        let whole = mine.filter(|(_, upload)| upload.acknowledged == upload.sent && !upload.closing);
        whole.map(|(location, _)| location.clone()).collect()
    }

    /// Sends a part of the rest; false if there is none.
    fn send_chunk(&mut self, location: &str) -> Option<bool> {
        let Upload { recipe, acknowledged, .. } = self.ledger().uploads[location];
        let left = recipe.size - acknowledged;
        if left < 2 {
            return Some(false);
        }
        // Never a single byte, because the server's range does not distinguish an upload of one byte from an
        // empty one.
        let end = acknowledged + 1 + self.dice.size(left as u64 - 1);
        self.note_upload(location, |upload| upload.sent = end);
        let chunk = &recipe.content()[acknowledged..end];
        let answer = self.request(("PATCH", location), &[], chunk, &[202])?;
        assert_eq!(answer.header("range"), Some(format!("0-{}", end - 1).as_str()), "{location}");
        self.note_upload(location, |upload| upload.acknowledged = end);
        Some(true)
    }

    fn note_upload(&self, location: &str, change: impl FnOnce(&mut Upload)) {
        change(self.ledger().uploads.get_mut(location).expect("it is open"));
    }

    fn close_upload(&mut self, location: &str) -> Option<()> {
        let Upload { recipe, acknowledged, repository, .. } = self.ledger().uploads[location].clone();
        let content = recipe.content();
        let digest = sha256(&content);
        self.note_blob(&digest, recipe);
        self.note_upload(location, |upload| (upload.sent, upload.closing) = (recipe.size, true));
        let path = format!("{location}?digest={digest}");
        let changes = vec![(Key::Blob(digest.clone()), Some(digest.clone()))];
        self.change(&repository, changes, ("PUT", &path), &[], &content[acknowledged..], &[201])?;
        let mut ledger = self.ledger();
        ledger.uploads.remove(location);
        ledger.unfinished.remove(&digest);
        Some(())
    }

    /// Continues an upload, perhaps of a previous run of the server: its digest then proves all earlier
    /// bytes.
    pub(super) fn go_on_with_upload(&mut self) -> Option<()> {
        let open = self.open_uploads();
        let Some(location) = self.pick(&open) else { return self.push_chunks() };
        if self.dice.below(2) == 0 && self.send_chunk(&location)? {
            return Some(());
        }
        self.close_upload(&location)
    }
}
