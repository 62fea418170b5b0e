//! Reads of lists, limited in number for all principals and for each: many clients that request lists must
//! not take the threads that uploads and downloads need.

use super::Registry;
use super::error::RegistryError;
use crate::limits::{Holder, Resource};
use crate::store::meta::ReadTx;

impl Registry {
    /// Reads a list for `holder` in a snapshot, when the limits permit it. Keep it short: 10,000 rows, or 4
    /// MiB.
    pub(super) async fn scan<T, F>(&self, holder: &Holder, read: F) -> Result<T, RegistryError>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTx) -> Result<T, RegistryError> + Send + 'static,
    {
        let turn = self.admit(holder, Resource::Scans, 1).await?;
        self.meta
            .scan(move |tx| {
                // Released with the work, not when the client disconnects.
                let _turn = turn;
                read(tx)
            })
            .await
    }
}
