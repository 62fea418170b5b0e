//! The place of a problem, derived from the key of a row.

use crate::model::digest::AnyDigest;
use crate::store::meta::{Key, Row, Stored, Table, schema};

/// The repository and the digest that a problem concerns, if it concerns one.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) repository: Option<u64>,
    /// A digest's key.
    pub(super) digest: Option<&'a [u8]>,
}

impl<'a> Place<'a> {
    /// The store as a whole.
    pub(super) const STORE: Self = Self { repository: None, digest: None };

    /// A repository.
    pub(super) const fn repository(repository: u64) -> Self {
        Self { repository: Some(repository), digest: None }
    }

    /// A blob or manifest, wherever it is held.
    pub(super) const fn digest(digest: &'a [u8]) -> Self {
        Self { repository: None, digest: Some(digest) }
    }

    /// A blob or manifest in a repository.
    pub(super) const fn within(repository: u64, digest: &'a [u8]) -> Self {
        Self { repository: Some(repository), digest: Some(digest) }
    }

    /// The text of a digest's key, or its bytes if it is not valid.
    pub(super) fn digest_text(key: &[u8]) -> String {
        match AnyDigest::from_key(key) {
            Some(digest) => digest.to_string(),
            None => format!("not a digest: {key:02x?}"),
        }
    }
}

/// A key from which the place of its row can be derived.
pub(super) trait Located {
    fn place(&self) -> Place<'_>;
}

/// Tables whose keys begin with a number that is none of a repository.
const OF_NO_REPOSITORY: [&str; 5] = [
    schema::TOKEN_BY_USER.name(),
    schema::REFRESH_BY_USER.name(),
    schema::JOB_LOG.name(),
    schema::TRASH_TAG.name(),
    schema::TRASH_CONTENT.name(),
];

/// Where a row of a table belongs.
pub(super) fn of_row<'k, K: Key, R: Row>(table: &Table<K, R>, key: &'k Stored<'_, K>) -> Place<'k>
where
    for<'s> Stored<'s, K>: Located,
{
    if OF_NO_REPOSITORY.contains(&table.name()) { Place::STORE } else { key.place() }
}

macro_rules! located {
    ($($key:ty: $self:ident => $place:expr;)*) => { $(
        impl Located for $key {
            fn place(&self) -> Place<'_> {
                let $self = self;
                $place
            }
        }
    )* };
}

// These keys have the shape of other tables: `blob_free` is read as bytes, and `project_blob` names no
// repository.
located! {
    (): _key => Place::STORE;
    u64: _key => Place::STORE;
    &str: _key => Place::STORE;
    &[u8]: key => Place::digest(key);
    (u64, u64): key => Place::repository(key.0);
    (u64, &str): key => Place::repository(key.0);
    (u64, &str, u64): key => Place::repository(key.0);
    (u64, &[u8]): key => Place::within(key.0, key.1);
    (u64, &[u8], &str): key => Place::within(key.0, key.1);
    (u64, &[u8], u64): key => Place::within(key.0, key.1);
    (u64, &[u8], &[u8]): key => Place::within(key.0, key.2);
    (u64, u64, &[u8]): key => Place::within(key.1, key.2);
    (&[u8], u64): key => Place::digest(key.0);
}
