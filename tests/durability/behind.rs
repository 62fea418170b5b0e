//! Changes of a store that bypass the server.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stowage::store::meta::{Meta, Options, StoreError, WriteTx, log_repair};
use tokio::runtime::Runtime;

use crate::support::content::bytes;

/// A way to damage a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Damage {
    FirstByte,
    LastByte,
    CutOff,
    Emptied,
    Longer,
    Replaced,
    Removed,
}

impl Damage {
    pub(crate) const ALL: [Self; 7] = [
        Self::FirstByte,
        Self::LastByte,
        Self::CutOff,
        Self::Emptied,
        Self::Longer,
        Self::Replaced,
        Self::Removed,
    ];

    pub(crate) fn apply(self, path: &Path) {
        self.try_apply(path).expect("the file can be damaged");
    }

    fn try_apply(self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let size = file.metadata()?.len();
        let flip = |offset| {
            let mut byte = [0];
            file.read_exact_at(&mut byte, offset)?;
            file.write_all_at(&[byte[0] ^ 1], offset)
        };
        match self {
            Self::FirstByte => flip(0),
            Self::LastByte => flip(size - 1),
            Self::CutOff => file.set_len(size / 2),
            Self::Emptied => file.set_len(0),
            Self::Longer => file.write_all_at(b"x", size),
            Self::Replaced => {
                let other = path.with_extension("other");
                fs::write(&other, bytes(99, usize::try_from(size).expect("a small file")))?;
                fs::rename(other, path)
            }
            Self::Removed => fs::remove_file(path),
        }
    }
}

/// The file of a blob.
pub(crate) fn blob_file(data: &Path, digest: &str) -> PathBuf {
    let hex = digest.strip_prefix("sha256:").expect("sha256");
    data.join("blobs/sha256").join(&hex[..2]).join(hex)
}

/// Every file below a directory, and its size.
pub(crate) fn tree(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let entry = entry.expect("an entry");
        let metadata = entry.metadata().expect("it is there");
        if metadata.is_dir() {
            found.extend(tree(&entry.path()));
        } else {
            found.push((entry.path(), metadata.len()));
        }
    }
    found.sort();
    found
}

/// Changes rows of a store that no server has open.
pub(crate) fn change_rows(
    data: &Path,
    change: impl Fn(&WriteTx<'_>) -> Result<(), StoreError> + Send + 'static,
) {
    let runtime = Runtime::new().expect("a runtime");
    let options = Options {
        data_dir: data.to_owned(),
        cache_bytes: 1 << 20,
        wall: || 0,
        sync_barrier: Arc::new(|_| Ok(())),
        runtime: runtime.handle().clone(),
        faults: None,
        on_repair: log_repair,
    };
    let meta = Meta::open(options).expect("the store opens");
    runtime.block_on(meta.write(change)).expect("the rows change");
    meta.close();
}
