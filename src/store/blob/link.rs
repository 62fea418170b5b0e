//! A second tree with the same blobs.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::{fs, io};

use super::layout::{BLOBS, Shard, blob_path};
use super::{BlobStore as _, Entry, FileBlobs};

impl FileBlobs {
    /// Gives every blob a second name in the tree in `root`, durably, and returns how many there are. A
    /// blob's file is never written to, so what becomes of one tree does not show in the other.
    /// `CrossesDevices` when `root` is on another file system. `on_progress` is told how many are done.
    pub fn link_into(&self, root: &Path, on_progress: &mut dyn FnMut(u64)) -> io::Result<u64> {
        let target = Self::open(root)?;
        let (from, to) = (self.root().join(BLOBS), root.join(BLOBS));
        let (mut done, mut failure, mut touched) = (0, None, BTreeSet::new());
        self.list(&mut |entry| {
            let Entry::Blob { digest, .. } = entry else { return ControlFlow::Continue(()) };
            let path = blob_path(&digest);
            match fs::hard_link(from.join(&path), to.join(&path)) {
                // It went while the tree was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    return ControlFlow::Break(());
                }
                Ok(()) => {}
            }
            touched.insert(Shard::of(&digest));
            done += 1;
            on_progress(done);
            ControlFlow::Continue(())
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        touched.into_iter().try_for_each(|shard| target.sync_shard(shard))?;
        Ok(done)
    }
}
