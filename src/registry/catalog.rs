//! The catalogue: the names of the repositories that hold a manifest.

use std::ops::Bound;

use super::Registry;
use super::error::RegistryError;
use super::tags::Page;
use crate::auth::{Catalog, Grant};
use crate::store::meta::Tx as _;
use crate::store::meta::tables;

impl Registry {
    /// Up to `limit` names after `last` in byte order, of those that the caller may see.
    pub async fn catalog(
        &self,
        grant: Grant<Catalog>,
        last: Option<String>,
        limit: usize,
    ) -> Result<Page, RegistryError> {
        let now = self.meta.clock().now();
        self.meta
            .scan(move |tx| {
                let from = match &last {
                    Some(last) => Bound::Excluded(last.as_str()),
                    None => Bound::Unbounded,
                };
                let mut page = Page { names: Vec::new(), more: false };
                // Whoever may list the catalogue may pull everywhere, so one look at the policy covers all names.
                if grant.sees("", now, tx)? {
                    tx.scan(&tables::CATALOG, from, Bound::Unbounded, |name, ()| page.take(limit, name))?;
                }
                Ok(page)
            })
            .await
    }
}
