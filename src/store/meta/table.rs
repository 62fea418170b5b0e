//! A table of the database: its name, the type of its keys, and its rows.

use std::fmt;
use std::marker::PhantomData;

use redb::TableDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::key::Key;

/// Bytes that a table stores without a version byte or an encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw(pub Vec<u8>);

/// A row of a table: its conversion to and from bytes.
pub trait Row: Sized {
    /// The stored form.
    fn encode(&self) -> Vec<u8>;
    /// Decodes the stored form; `None` if the bytes are not valid.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

impl Row for Raw {
    fn encode(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.to_vec()))
    }
}

impl Row for () {
    fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.is_empty().then_some(())
    }
}

/// A struct stored as a version byte and its postcard form.
pub trait Record: Serialize + DeserializeOwned {
    /// The version of the struct's layout. A row with another version is not decoded.
    const VERSION: u8 = 1;
}

impl<T: Record> Row for T {
    fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![T::VERSION]).expect("a row is plain data, and a Vec grows")
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&version, rest) = bytes.split_first()?;
        (version == T::VERSION).then(|| postcard::from_bytes(rest).ok()).flatten()
    }
}

/// A row that is not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread;

impl Row for Unread {
    fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    fn decode(_: &[u8]) -> Option<Self> {
        Some(Self)
    }
}

/// One table of the database.
pub struct Table<K: Key, R: Row> {
    definition: TableDefinition<'static, K::Stored, &'static [u8]>,
    name: &'static str,
    row: PhantomData<fn() -> R>,
}

impl<K: Key, R: Row> Table<K, R> {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { definition: TableDefinition::new(name), name, row: PhantomData }
    }

    pub(super) const fn definition(&self) -> TableDefinition<'static, K::Stored, &'static [u8]> {
        self.definition
    }

    /// The same table with its rows as bytes: for checks, which continue after a damaged row.
    pub const fn raw(&self) -> Table<K, Raw> {
        Table { definition: self.definition, name: self.name, row: PhantomData }
    }

    /// The same table for scans that need only the keys.
    pub const fn keys(&self) -> Table<K, Unread> {
        Table { definition: self.definition, name: self.name, row: PhantomData }
    }

    /// The same table with its keys in redb's form: for checks, dumps and tests of damage, which must also
    /// read invalid keys.
    pub const fn raw_keys(&self) -> Table<K::Raw, R> {
        Table { definition: self.definition, name: self.name, row: PhantomData }
    }

    /// The table's name in the database file.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<K: Key, R: Row> fmt::Debug for Table<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
