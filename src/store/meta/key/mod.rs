//! Keys: what a caller names, and the redb tuple that stands for it.
//!
//! The typed keys do not implement redb's own `Key`: the names of the types are stored with each table, so a
//! table of another type could not be opened any more. A marker such as `(RepoId, Digest)` belongs to the
//! table, and a caller passes what the marker accepts, such as `(RepoId, &Digest)`. Keys are encoded in
//! buffers on the stack; only a digest of an algorithm that cannot be computed takes an allocation.

mod digests;
mod fields;
mod text;
mod tuples;

use std::ops::Bound;

/// A key as redb takes it and hands it out.
pub type Stored<'a, K> = <<K as Key>::Stored as redb::Value>::SelfType<'a>;

/// The type of a table's keys, or of one field of them.
pub trait Key: 'static {
    /// What redb stores.
    type Stored: redb::Key + 'static;
    /// The same key without meaning: for checks, dumps and tests of damage.
    type Raw: Key<Stored = Self::Stored>;
    /// What a scan hands out.
    type Read<'r>;

    /// Reads a stored key, or `None` when it is none of this type.
    fn read<'r>(stored: &Stored<'r, Self>) -> Option<Self::Read<'r>>;

    /// Sorts before every other stored key.
    fn lowest<'a>() -> Stored<'a, Self>;
}

/// What a caller may pass as a key of the type `K`.
#[diagnostic::on_unimplemented(message = "`{Self}` is no key of a table with keys of `{K}`")]
pub trait KeyOf<K: Key> {
    /// Owns the bytes that the stored key borrows.
    type Held;

    /// Encodes the key.
    fn hold(self) -> Self::Held;

    /// The encoded key.
    fn stored(held: &Self::Held) -> Stored<'_, K>;
}

/// A field that ends the common beginning of several keys: they end before the next higher value.
pub trait Successor<K: Key>: KeyOf<K> + Copy {
    /// Owns the bytes of the value and of the next one.
    type Both;

    /// Encodes the value and the next one.
    fn both(self) -> Self::Both;

    /// The value itself.
    fn this(both: &Self::Both) -> Stored<'_, K>;

    /// The lowest value above it, if there is one.
    fn next(both: &Self::Both) -> Option<Stored<'_, K>>;
}

/// The first fields of a key of the type `K`.
#[diagnostic::on_unimplemented(message = "no key of `{K}` begins with `{Self}`")]
pub trait PrefixOf<K: Key>: Copy {
    /// The fields that follow.
    type Rest: Key;
    /// Owns the bytes that both ends borrow.
    type Held;

    /// Encodes the prefix.
    fn hold(self) -> Self::Held;

    /// The key that has `rest` behind the prefix.
    fn with<'a>(held: &'a Self::Held, rest: Stored<'a, Self::Rest>) -> Stored<'a, K>;

    /// The end of the keys with this prefix.
    fn end(held: &Self::Held) -> Bound<Stored<'_, K>>;

    /// Reads what follows the prefix.
    fn rest<'r>(stored: &Stored<'r, K>) -> Option<<Self::Rest as Key>::Read<'r>>;
}

/// A field that is stored as bytes: the type, and how it is read. Bytes that are none of its values are
/// `None`.
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
