//! The check of a store that no server has open.

use std::ops::ControlFlow;
use std::path::Path;

use crate::registry::fsck::{self, Progress, Report};
use crate::store::meta::FILE_NAME;
use crate::store::open::{OpenError, Store};

/// Checks a store that no server has open.
///
/// # Errors
/// [`OpenError`]: the store cannot be opened, or cannot be read at all.
pub fn offline(
    data_dir: &Path,
    blob_dir: &Path,
    deep: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, OpenError> {
    let store = Store::offline(data_dir, blob_dir)?;
    let mode = fsck::Mode { deep, others_write: false };
    let report = fsck::check(&store.meta, &store.staging, store.blobs.as_ref(), mode, &mut |step| {
        progress(step);
        ControlFlow::Continue(())
    });
    let report = report.map(|mut report| {
        store.runtime.block_on(fsck::record(&store.meta, &mut report));
        report
    });
    store.close();
    let database = data_dir.join(FILE_NAME);
    report.map_err(|error| error.on_opening(&database))
}
