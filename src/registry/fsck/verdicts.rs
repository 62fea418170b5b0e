//! Records what a check has proven about blobs: damaged ones are hidden, so that the next push stores them
//! again, and hidden ones that are intact are shown again.

use super::report::{Report, Verdict};
use crate::store::meta::schema::{self, Blob, BlobState};
use crate::store::meta::{Meta, StoreError, Tx as _, WriteTx};

/// Blobs in one transaction.
const AT_ONCE: usize = 1_000;

/// Records the verdicts of a report, and adds to the report what that changed. If nothing can be written, the
/// report is still valid.
pub async fn record(meta: &Meta, report: &mut Report) {
    let verdicts = std::mem::take(&mut report.verdicts);
    let (mut hidden, mut shown) = (0, 0);
    for part in verdicts.chunks(AT_ONCE) {
        let part = part.to_vec();
        match meta.write(move |tx| write(tx, &part)).await {
            Ok((more_hidden, more_shown)) => {
                hidden += more_hidden;
                shown += more_shown;
            }
            Err(error) => {
                tracing::error!(%error, "what the check has proven could not be recorded");
                report.notes.push(format!("damaged blobs could not be hidden, so pushes skip them: {error}"));
                break;
            }
        }
    }
    if hidden > 0 {
        tracing::error!(
            blobs = hidden,
            "the check found damaged blobs, which are hidden until they are pushed again"
        );
        let what = if hidden == 1 { "1 damaged blob is" } else { &format!("{hidden} damaged blobs are") };
        report.notes.push(format!(
            "{what} hidden from now on, so that the next push of an image that needs it heals it"
        ));
    }
    if shown > 0 {
        tracing::warn!(blobs = shown, "blobs that were hidden as damaged are whole, and are served again");
        let what = if shown == 1 { "1 hidden blob is" } else { &format!("{shown} hidden blobs are") };
        report.notes.push(format!("{what} whole, and served again"));
    }
}

/// Writes verdicts to the rows of their blobs, if these are still the blobs that were read. Returns how many
/// blobs are hidden and shown by that.
pub(in crate::registry) fn write(tx: &WriteTx<'_>, verdicts: &[Verdict]) -> Result<(u64, u64), StoreError> {
    let (mut hidden, mut shown) = (0, 0);
    for verdict in verdicts {
        let Some(blob) = tx.get(&schema::BLOB, &verdict.digest)? else { continue };
        if blob.generation != verdict.generation {
            continue;
        }
        match (verdict.whole, blob.state) {
            (None, BlobState::Present) => {
                tx.put(&schema::BLOB, &verdict.digest, &Blob { state: BlobState::Corrupt, ..blob })?;
                hidden += 1;
            }
            (Some(verified), BlobState::Corrupt) => {
                tx.put(
                    &schema::BLOB,
                    &verdict.digest,
                    &Blob { state: BlobState::Present, verified, ..blob },
                )?;
                shown += 1;
            }
            // It need not be hashed when it is read.
            (Some(verified), BlobState::Present) if verified != blob.verified => {
                tx.put(&schema::BLOB, &verdict.digest, &Blob { verified, ..blob })?;
            }
            _ => {}
        }
    }
    Ok((hidden, shown))
}
