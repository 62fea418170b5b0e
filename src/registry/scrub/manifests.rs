//! One manifest: its bytes, and the marks of the repositories that hold it.

use std::time::Instant;

use super::{Run, TRIES, takes_no_changes};
use crate::model::digest::Digest;
use crate::registry::error::RegistryError;
use crate::registry::manifests::marks;
use crate::store::meta::{StoreError, Tx as _, schema};

impl Run<'_> {
    pub(super) fn manifest(&mut self, digest: &Digest) -> Result<(), RegistryError> {
        for _ in 0..TRIES {
            let began = Instant::now();
            let body = self.registry.meta.read_blocking(|tx| tx.get(&schema::MANIFEST_BODY, digest));
            let (len, actual) = match body {
                Err(StoreError::Corrupt { table }) => {
                    self.unreadable_row(digest, table);
                    return Ok(());
                }
                body => match body? {
                    Some(body) => (body.0.len(), Some(Digest::of(digest.algorithm(), &body.0))),
                    None => (0, None),
                },
            };
            let is_whole = actual == Some(*digest);
            let is_held = self.registry.meta.read_blocking(|tx| tx.any(&schema::MANIFEST_REPO, digest))?;
            if !is_held {
                // It was deleted meanwhile, or only a blob has this digest.
                return Ok(());
            }
            let marked = self.mark(digest, is_whole);
            let found = match actual {
                Some(actual) => actual.to_string(),
                None => "no bytes".to_owned(),
            };
            match marked {
                Ok(None) => continue,
                Ok(Some(rows)) if is_whole => self.done.shown += u64::from(rows > 0),
                Ok(Some(rows)) => {
                    self.done.hidden += u64::from(rows > 0);
                    self.manifest_finding(digest, actual, found);
                }
                Err(error) if takes_no_changes(&error) => {
                    tracing::error!(%digest, %error, "the mark of a manifest could not be changed");
                    if !is_whole {
                        let found = format!("{found}; it could not be hidden: {error}");
                        self.manifest_finding(digest, actual, found);
                    }
                }
                Err(error) => return Err(error),
            }
            self.done.manifests += 1;
            self.done.bytes += len as u64;
            // Its end is seen by the caller.
            self.rest(len as u64, began.elapsed());
            return Ok(());
        }
        // It is pushed all the time, and each push verifies it.
        Ok(())
    }

    fn manifest_finding(&mut self, digest: &Digest, actual: Option<Digest>, found: String) {
        let kind = if actual.is_some() { "manifest_content" } else { "manifest_missing" };
        self.finding(Some(digest), kind, (digest.to_string(), found));
    }

    /// Marks a manifest in every repository that holds it, or clears the marks; how many rows that changed,
    /// `None` where its bytes are not any more what they were. Without a wrong mark nothing is written.
    fn mark(&self, digest: &Digest, is_whole: bool) -> Result<Option<u64>, RegistryError> {
        let meta = &self.registry.meta;
        if meta.read_blocking(|tx| marks::are_right(tx, digest, is_whole))? {
            return Ok(Some(0));
        }
        let digest = *digest;
        let marked = meta.write(move |tx| marks::set(tx, &digest, is_whole));
        Ok(self.registry.runtime.block_on(marked)?)
    }
}
