//! Typed keys, and the redb tuples in which they are stored.
//!
//! The typed keys do not implement redb's own `Key`: redb stores the names of key types with each table, so
//! existing tables could not be opened any more. A marker such as `(RepoId, Digest)` belongs to the table,
//! and a caller passes what the marker accepts, such as `(RepoId, &Digest)`. Keys are encoded in buffers on
//! the stack; only a digest of an unsupported algorithm takes an allocation.

mod digests;
mod fields;
mod text;
mod tuples;

use std::ops::Bound;

/// A key in the form that redb takes and returns.
pub type Stored<'a, K> = <<K as Key>::Stored as redb::Value>::SelfType<'a>;

/// The type of a table's keys, or of one field of them.
pub trait Key: 'static {
    /// The type that redb stores.
    type Stored: redb::Key + 'static;
    /// The same stored type without meaning: for checks, dumps and tests of damage.
    type Raw: Key<Stored = Self::Stored>;
    /// The type that a scan returns.
    type Read<'r>;

    /// Decodes a stored key; `None` if it is not of this type.
    fn read<'r>(stored: &Stored<'r, Self>) -> Option<Self::Read<'r>>;

    /// A key that sorts before every other one.
    fn lowest<'a>() -> Stored<'a, Self>;
}

/// A value that a caller may pass as a key of the type `K`.
#[diagnostic::on_unimplemented(message = "`{Self}` is no key of a table with keys of `{K}`")]
pub trait KeyOf<K: Key> {
    /// Owns the bytes that the stored key borrows.
    type Held;

    /// Encodes the key.
    fn hold(self) -> Self::Held;

    /// The encoded key.
    fn stored(held: &Self::Held) -> Stored<'_, K>;
}

/// A field that can end a prefix: the keys with that prefix end before the next higher value of the field.
pub trait Successor<K: Key>: KeyOf<K> + Copy {
    /// Owns the bytes of the value and of the next higher one.
    type Both;

    /// Encodes the value and the next higher one.
    fn both(self) -> Self::Both;

    /// The value itself.
    fn this(both: &Self::Both) -> Stored<'_, K>;

    /// The next higher value, if there is one.
    fn next(both: &Self::Both) -> Option<Stored<'_, K>>;
}

/// The first fields of a key of the type `K`.
#[diagnostic::on_unimplemented(message = "no key of `{K}` begins with `{Self}`")]
pub trait PrefixOf<K: Key>: Copy {
    /// The fields after the prefix.
    type Rest: Key;
    /// Owns the bytes that both ends of the range borrow.
    type Held;

    /// Encodes the prefix.
    fn hold(self) -> Self::Held;

    /// The key that has `rest` after the prefix.
    fn with<'a>(held: &'a Self::Held, rest: Stored<'a, Self::Rest>) -> Stored<'a, K>;

    /// The end of the range of keys with this prefix.
    fn end(held: &Self::Held) -> Bound<Stored<'_, K>>;

    /// Decodes the fields after the prefix.
    fn rest<'r>(stored: &Stored<'r, K>) -> Option<<Self::Rest as Key>::Read<'r>>;
}

/// Declares a field that is stored as bytes: the type, and how it is decoded. Invalid bytes decode to `None`.
macro_rules! byte_key {
    ($($type:ty: $read:expr;)*) => { $(
        impl $crate::store::meta::key::Key for $type {
            type Stored = &'static [u8];
            type Raw = &'static [u8];
            type Read<'r> = Self;

            fn read<'r>(stored: &$crate::store::meta::key::Stored<'r, Self>) -> Option<Self::Read<'r>> {
                $read(stored)
            }

            fn lowest<'a>() -> $crate::store::meta::key::Stored<'a, Self> {
                &[]
            }
        }
    )* };
}
use byte_key;
