//! Keys of several fields, and their prefixes.

use std::ops::Bound;

use super::{Key, KeyOf, PrefixOf, Stored, Successor};
use crate::model::digest::Digest;
use crate::model::names::{RepoId, Sequence, UserId};

impl<A: Key, B: Key> Key for (A, B) {
    type Stored = (A::Stored, B::Stored);
    type Raw = (A::Raw, B::Raw);
    type Read<'r> = (A::Read<'r>, B::Read<'r>);

    fn read<'r>(stored: &Stored<'r, Self>) -> Option<Self::Read<'r>> {
        Some((A::read(&stored.0)?, B::read(&stored.1)?))
    }

    fn lowest<'a>() -> Stored<'a, Self> {
        (A::lowest(), B::lowest())
    }
}

impl<A: Key, B: Key, C: Key> Key for (A, B, C) {
    type Stored = (A::Stored, B::Stored, C::Stored);
    type Raw = (A::Raw, B::Raw, C::Raw);
    type Read<'r> = (A::Read<'r>, B::Read<'r>, C::Read<'r>);

    fn read<'r>(stored: &Stored<'r, Self>) -> Option<Self::Read<'r>> {
        Some((A::read(&stored.0)?, B::read(&stored.1)?, C::read(&stored.2)?))
    }

    fn lowest<'a>() -> Stored<'a, Self> {
        (A::lowest(), B::lowest(), C::lowest())
    }
}

impl<A: Key, B: Key, P: KeyOf<A>, Q: KeyOf<B>> KeyOf<(A, B)> for (P, Q) {
    type Held = (P::Held, Q::Held);

    fn hold(self) -> Self::Held {
        (self.0.hold(), self.1.hold())
    }

    fn stored(held: &Self::Held) -> Stored<'_, (A, B)> {
        (P::stored(&held.0), Q::stored(&held.1))
    }
}

impl<A: Key, B: Key, C: Key, P: KeyOf<A>, Q: KeyOf<B>, R: KeyOf<C>> KeyOf<(A, B, C)> for (P, Q, R) {
    type Held = (P::Held, Q::Held, R::Held);

    fn hold(self) -> Self::Held {
        (self.0.hold(), self.1.hold(), self.2.hold())
    }

    fn stored(held: &Self::Held) -> Stored<'_, (A, B, C)> {
        (P::stored(&held.0), Q::stored(&held.1), R::stored(&held.2))
    }
}

/// Implements the first field as a prefix of keys of several fields.
macro_rules! first {
    ($([$($k:lifetime)?] $prefix:ty => $field:ty;)*) => { $(
        impl<$($k,)? B: Key> PrefixOf<($field, B)> for $prefix {
            type Rest = B;
            type Held = <$prefix as Successor<$field>>::Both;

            fn hold(self) -> Self::Held {
                Successor::<$field>::both(self)
            }

            fn with<'a>(held: &'a Self::Held, rest: Stored<'a, B>) -> Stored<'a, ($field, B)> {
                (<$prefix as Successor<$field>>::this(held), rest)
            }

            fn end(held: &Self::Held) -> Bound<Stored<'_, ($field, B)>> {
                match <$prefix as Successor<$field>>::next(held) {
                    Some(next) => Bound::Excluded((next, B::lowest())),
                    None => Bound::Unbounded,
                }
            }

            fn rest<'r>(stored: &Stored<'r, ($field, B)>) -> Option<B::Read<'r>> {
                B::read(&stored.1)
            }
        }

        impl<$($k,)? B: Key, C: Key> PrefixOf<($field, B, C)> for $prefix {
            type Rest = (B, C);
            type Held = <$prefix as Successor<$field>>::Both;

            fn hold(self) -> Self::Held {
                Successor::<$field>::both(self)
            }

            fn with<'a>(held: &'a Self::Held, rest: Stored<'a, (B, C)>) -> Stored<'a, ($field, B, C)> {
                (<$prefix as Successor<$field>>::this(held), rest.0, rest.1)
            }

            fn end(held: &Self::Held) -> Bound<Stored<'_, ($field, B, C)>> {
                match <$prefix as Successor<$field>>::next(held) {
                    Some(next) => Bound::Excluded((next, B::lowest(), C::lowest())),
                    None => Bound::Unbounded,
                }
            }

            fn rest<'r>(stored: &Stored<'r, ($field, B, C)>) -> Option<(B::Read<'r>, C::Read<'r>)> {
                Some((B::read(&stored.1)?, C::read(&stored.2)?))
            }
        }
    )* };
}

first! {
    [] u64 => u64;
    [] RepoId => RepoId;
    [] UserId => UserId;
    [] Sequence => Sequence;
    ['k] &'k [u8] => &'static [u8];
    ['k] &'k Digest => Digest;
}

impl<A: Key, B: Key, C: Key, P: Successor<A>, Q: Successor<B>> PrefixOf<(A, B, C)> for (P, Q) {
    type Rest = C;
    type Held = (P::Both, Q::Both);

    fn hold(self) -> Self::Held {
        (self.0.both(), self.1.both())
    }

    fn with<'a>(held: &'a Self::Held, rest: Stored<'a, C>) -> Stored<'a, (A, B, C)> {
        (P::this(&held.0), Q::this(&held.1), rest)
    }

    fn end(held: &Self::Held) -> Bound<Stored<'_, (A, B, C)>> {
        match (Q::next(&held.1), P::next(&held.0)) {
            (Some(second), _) => Bound::Excluded((P::this(&held.0), second, C::lowest())),
            (None, Some(first)) => Bound::Excluded((first, B::lowest(), C::lowest())),
            (None, None) => Bound::Unbounded,
        }
    }

    fn rest<'r>(stored: &Stored<'r, (A, B, C)>) -> Option<C::Read<'r>> {
        C::read(&stored.2)
    }
}
