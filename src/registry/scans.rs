//! Reading lists: a few at once, of all principals and of each of them, so that many clients that ask for
//! lists keep no thread from uploads and downloads.

use super::Registry;
use super::error::RegistryError;
use crate::limits::{Holder, Resource};
use crate::store::meta::ReadTx;

impl Registry {
    /// Reads a list for `holder` in a snapshot, when it is its turn. Keep it short: 10,000 rows, or 4 MiB.
    pub(super) async fn scan<T, F>(&self, holder: &Holder, read: F) -> Result<T, RegistryError>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTx) -> Result<T, RegistryError> + Send + 'static,
    {
        let turn = self.admit(holder, Resource::Scans, 1).await?;
        self.meta
            .scan(move |tx| {
                // It ends with the work, not with a client that goes away.
                let _turn = turn;
                read(tx)
            })
            .await
    }
}
