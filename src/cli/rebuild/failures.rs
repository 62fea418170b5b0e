//! Failures of a rebuild.

use std::fs;

use crate::cli::errors::{Exit, Failure};
use crate::store::open::OpenError;
use crate::transfer::{Rebuild, RebuildError};

pub(super) fn failure(error: RebuildError, request: &Rebuild) -> Failure {
    let failure = match error {
        // Another rebuild may be running in the new directory.
        RebuildError::Open(error @ OpenError::InUse { .. }) => return Failure::from(error),
        RebuildError::Open(error) => Failure::from(error),
        RebuildError::Workshop(path) => {
            let what = format!("{} is inside a directory that rebuilds work in", path.display());
            return Failure::new(Exit::Usage, "INVALID_DIRECTORY", what)
                .because("a later run or a start would take it for something that was cut off")
                .fix("name another directory: --into DIR");
        }
        RebuildError::NotEmpty(path) => {
            return Failure::new(Exit::Refused, "NOT_EMPTY", format!("{} is not empty", path.display()))
                .because("a store is only made where nothing else can be")
                .fix("name a directory that is not there yet: --into DIR");
        }
        RebuildError::CutOff(path) => return Failure::cut_off_rebuild(Exit::Refused, &path),
        RebuildError::NoDump { dir, refused, unknown_format } => {
            let exit = if unknown_format { Exit::Configuration } else { Exit::Integrity };
            let what = format!("there is no dump in {}", dir.display());
            let failure = refused.iter().fold(Failure::new(exit, "NO_DUMP", what), |failure, dump| {
                failure.line("tried", format!("{}: {}", dump.path.display(), dump.reason))
            });
            let fix = if unknown_format {
                "run the version that wrote it; nothing was changed"
            } else {
                "name one that was kept elsewhere: --from DUMP; nothing was changed"
            };
            return failure.fix(fix);
        }
        RebuildError::OtherFileSystem(path) => Failure::new(
            Exit::Failed,
            "OTHER_FILE_SYSTEM",
            format!("{} is on a different file system than the blobs", path.display()),
        )
        .because("the blobs keep their place on the disk and only get second names")
        .fix("name a directory on the file system of the blobs: --into DIR")
        .fix(format!(
            "or leave them where they are: set storage.blob_dir = \"{}\", here and from then on",
            request.data_dir.display()
        )),
    };
    let left = fs::read_dir(&request.into).is_ok_and(|mut entries| entries.next().is_some());
    if left {
        failure.fix(format!("remove {} before the next try: it is not whole", request.into.display()))
    } else {
        failure
    }
}
