//! The catalogue: the names of the repositories that hold a manifest.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::Registry;
use super::error::RegistryError;
use super::listing::{Listing, MoreNames, Names, NamesLeft, Piece};
use crate::access::{Catalog, Grant};
use crate::store::meta::{ReadTx, Tx as _, schema};

impl Registry {
    /// Up to `limit` names after `last` in byte order, of those that the caller may see.
    pub async fn catalog(
        &self,
        grant: &Grant<Catalog>,
        last: Option<String>,
        limit: usize,
    ) -> Result<Listing<NamesLeft>, RegistryError> {
        let (holder, grant, now_ms) = (grant.caller().holder(), grant.carry(), self.meta.latest_ms());
        self.scan(&holder, move |tx| {
            let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut page = Names::new(limit);
            let rights = grant.rights(now_ms, tx)?;
            tx.scan_range(&schema::CATALOG, (from, Bound::Unbounded), |name, ()| {
                if rights.sees(name) { page.take(name) } else { ControlFlow::Continue(()) }
            })?;
            Ok(page.finish())
        })
        .await
    }

    /// The next piece of such a page.
    pub fn more_catalog(
        self: &Arc<Self>,
        grant: &Grant<Catalog>,
        left: NamesLeft,
    ) -> impl Future<Output = Result<Piece<NamesLeft>, RegistryError>> + use<> {
        let (registry, grant, now_ms) = (Arc::clone(self), grant.carry(), self.meta.latest_ms());
        let holder = grant.caller().holder();
        async move {
            let read = move |tx: &ReadTx| {
                let mut more = MoreNames::new();
                let rights = grant.rights(now_ms, tx)?;
                let range = (Bound::Excluded(left.after.as_str()), Bound::Included(left.last.as_str()));
                tx.scan_range(&schema::CATALOG, range, |name, ()| {
                    if rights.sees(name) { more.take(name) } else { ControlFlow::Continue(()) }
                })?;
                Ok(more.finish(left))
            };
            registry.scan(&holder, read).await
        }
    }
}
