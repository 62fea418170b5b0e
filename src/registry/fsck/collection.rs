//! What garbage collection and schedules remember, and the files in quarantine.

use std::collections::HashMap;

use super::check::Check;
use super::place::Place;
use crate::model::digest::Digest;
use crate::model::units::{counted, human_size};
use crate::store::meta::{StoreError, schema};

/// Every row can be read. Files in quarantine are told: they take space, and a crash leaves some without a
/// row, or a row without its file, which the next run of garbage collection puts right.
pub(super) fn rows(check: &mut Check<'_>) -> Result<(), StoreError> {
    let mut files: HashMap<(Digest, u32), u64> = HashMap::new();
    match check.blobs.list_aside() {
        Ok(aside) => files.extend(aside.iter().map(|file| ((file.digest, file.number), file.size))),
        Err(error) => check.damage("tree_unreadable", Place::STORE, "the directory quarantine", error),
    }
    let (all, bytes) = (files.len() as u64, files.values().sum());
    let mut without_file = 0;
    check.rows(&schema::QUARANTINE, |check, _, sequence, row| {
        check.last_sequence = check.last_sequence.max(sequence);
        if files.remove(&(row.digest, row.number)).is_none() {
            without_file += 1;
        }
        Ok(())
    })?;
    if all > 0 {
        let (files, size) = (counted(all, "file is", "files are"), human_size(bytes));
        check.note(format!("{files} in quarantine ({size}): garbage collection removes them after a day"));
    }
    for (number, what) in [(files.len() as u64, "no row"), (without_file, "a row and no file")] {
        if number > 0 {
            let has = counted(number, "entry of quarantine has", "entries of quarantine have");
            check.note(format!("{has} {what}: the next garbage collection of a new start mends that"));
        }
    }
    check.rows(&schema::COLLECTION, |_, _, (), _| Ok(()))?;
    check.rows(&schema::PROMISE, |_, _, (), _| Ok(()))?;
    check.rows(&schema::PROMISED, |_, _, (), _| Ok(()))?;
    check.rows(&schema::PIN, |_, _, _, _| Ok(()))?;
    check.rows(&schema::SCHEDULE, |_, _, _, _| Ok(()))?;
    check.rows(&schema::SCHEDULE_RUN, |_, _, _, _| Ok(()))
}
