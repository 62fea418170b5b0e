//! Hard-links the blobs of a tree into another one.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::{fs, io};

use super::layout::{BLOBS, Shard, blob_path};
use super::{BlobStore as _, Entry, FileBlobs};

impl FileBlobs {
    /// Hard-links every blob into the tree in `root`, durably, and returns the number of blobs. Blob files
    /// are never written to, so changes of one tree do not affect the other. The error is `CrossesDevices` if
    /// `root` is on another file system. `on_progress` is called with the number done.
    pub fn link_into(&self, root: &Path, on_progress: &mut dyn FnMut(u64)) -> io::Result<u64> {
        let target = Self::open(root)?;
        let (from, to) = (self.root().join(BLOBS), root.join(BLOBS));
        let (mut done, mut failure, mut touched) = (0, None, BTreeSet::new());
        self.list(&mut |entry| {
            let Entry::Blob { digest, .. } = entry else { return ControlFlow::Continue(()) };
            let path = blob_path(&digest);
            match fs::hard_link(from.join(&path), to.join(&path)) {
                // The blob was removed while the tree was read.
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
