//! The figures of the blob directory: the bytes stored, and the part that is unused. They are updated with
//! every change and never computed by a scan.

use crate::model::digest::Digest;
use crate::store::meta::schema::{self, Disk};
use crate::store::meta::{Pages, Reader, StoreError, Tx as _, WriteTx};

/// The changes that one transaction makes to the figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DiskChange {
    blobs: i64,
    bytes: i64,
    unused_blobs: i64,
    unused_bytes: i64,
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl DiskChange {
    /// A new blob, which nothing uses yet.
    pub(super) fn stored(&mut self, bytes: u64) {
        self.blobs += 1;
        self.bytes += signed(bytes);
        self.unused_blobs += 1;
        self.unused_bytes += signed(bytes);
    }

    /// A blob of so many bytes that nothing used, and whose row is gone.
    pub(super) fn removed(&mut self, bytes: u64) {
        self.blobs -= 1;
        self.bytes -= signed(bytes);
        self.unused_blobs -= 1;
        self.unused_bytes -= signed(bytes);
    }

    /// In one more repository a manifest refers to the blob.
    pub(super) fn gain_user(&mut self, tx: &WriteTx<'_>, digest: &Digest) -> Result<(), StoreError> {
        let mut blob =
            tx.get(&schema::BLOB, digest)?.ok_or(StoreError::Corrupt { table: schema::BLOB.name() })?;
        if blob.users == 0 {
            self.unused_blobs -= 1;
            self.unused_bytes -= signed(blob.size);
        }
        blob.users += 1;
        tx.put(&schema::BLOB, digest, &blob)
    }

    /// In one repository less a manifest refers to the blob.
    pub(super) fn lose_user(&mut self, tx: &WriteTx<'_>, digest: &Digest) -> Result<(), StoreError> {
        let mut blob =
            tx.get(&schema::BLOB, digest)?.ok_or(StoreError::Corrupt { table: schema::BLOB.name() })?;
        blob.users = blob.users.checked_sub(1).ok_or(StoreError::Corrupt { table: schema::BLOB.name() })?;
        if blob.users == 0 {
            self.unused_blobs += 1;
            self.unused_bytes += signed(blob.size);
        }
        tx.put(&schema::BLOB, digest, &blob)
    }

    /// Writes the figures.
    pub(super) fn write(self, tx: &WriteTx<'_>) -> Result<(), StoreError> {
        if self == Self::default() {
            return Ok(());
        }
        let disk = tx.get(&schema::DISK, ())?.unwrap_or_default();
        let disk = Disk {
            blobs: disk.blobs.saturating_add_signed(self.blobs),
            bytes: disk.bytes.saturating_add_signed(self.bytes),
            unused_blobs: disk.unused_blobs.saturating_add_signed(self.unused_blobs),
            unused_bytes: disk.unused_bytes.saturating_add_signed(self.unused_bytes),
        };
        tx.put(&schema::DISK, (), &disk)
    }
}

/// Computes the figures from the rows of blobs, for checks and rebuilds.
pub(super) fn count(meta: Reader<'_>) -> Result<Disk, StoreError> {
    let mut disk = Disk::default();
    meta.sweep(&schema::BLOB, Pages::all(), |_, _, row| {
        // A damaged row is reported with its own table.
        let Some(row) = row else { return Ok(()) };
        disk.blobs += 1;
        disk.bytes += row.size;
        if row.users == 0 {
            disk.unused_blobs += 1;
            disk.unused_bytes += row.size;
        }
        Ok::<_, StoreError>(())
    })?;
    Ok(disk)
}
