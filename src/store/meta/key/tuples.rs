//! Keys of several fields, and what they begin with.

use std::ops::Bound;

use super::{Key, KeyOf, PrefixOf, Stored, Successor};

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

/// A field that keys of several fields begin with.
macro_rules! first {
    ($([$($k:lifetime)?] $prefix:ty as $field:ty;)*) => { $(
        impl<$($k,)? B: Key> PrefixOf<($field, B)> for $prefix {
            type Rest = B;
            type Held = (<$prefix as KeyOf<$field>>::Held, Option<<$prefix as Successor<$field>>::Next>);

            fn hold(self) -> Self::Held {
                (KeyOf::<$field>::hold(self), Successor::<$field>::next(self))
            }

            fn with<'a>(held: &'a Self::Held, rest: Stored<'a, B>) -> Stored<'a, ($field, B)> {
                (<$prefix as KeyOf<$field>>::stored(&held.0), rest)
            }

            fn end(held: &Self::Held) -> Bound<Stored<'_, ($field, B)>> {
                let Some(next) = &held.1 else { return Bound::Unbounded };
                Bound::Excluded((<$prefix as Successor<$field>>::stored_next(next), B::lowest()))
            }

            fn rest<'r>(stored: &Stored<'r, ($field, B)>) -> Option<B::Read<'r>> {
                B::read(&stored.1)
            }
        }

        impl<$($k,)? B: Key, C: Key> PrefixOf<($field, B, C)> for $prefix {
            type Rest = (B, C);
            type Held = (<$prefix as KeyOf<$field>>::Held, Option<<$prefix as Successor<$field>>::Next>);

            fn hold(self) -> Self::Held {
                (KeyOf::<$field>::hold(self), Successor::<$field>::next(self))
            }

            fn with<'a>(held: &'a Self::Held, rest: Stored<'a, (B, C)>) -> Stored<'a, ($field, B, C)> {
                (<$prefix as KeyOf<$field>>::stored(&held.0), rest.0, rest.1)
            }

            fn end(held: &Self::Held) -> Bound<Stored<'_, ($field, B, C)>> {
                let Some(next) = &held.1 else { return Bound::Unbounded };
                Bound::Excluded((<$prefix as Successor<$field>>::stored_next(next), B::lowest(), C::lowest()))
            }

            fn rest<'r>(stored: &Stored<'r, ($field, B, C)>) -> Option<(B::Read<'r>, C::Read<'r>)> {
                Some((B::read(&stored.1)?, C::read(&stored.2)?))
            }
        }
    )* };
}

first! {
    [] u64 as u64;
    ['k] &'k [u8] as &'static [u8];
}

impl<A: Key, B: Key, C: Key, P: KeyOf<A> + Copy, Q: Successor<B>> PrefixOf<(A, B, C)> for (P, Q) {
    type Rest = C;
    type Held = (P::Held, Q::Held, Option<Q::Next>);

    fn hold(self) -> Self::Held {
        (self.0.hold(), KeyOf::<B>::hold(self.1), Successor::<B>::next(self.1))
    }

    fn with<'a>(held: &'a Self::Held, rest: Stored<'a, C>) -> Stored<'a, (A, B, C)> {
        (P::stored(&held.0), Q::stored(&held.1), rest)
    }

    fn end(held: &Self::Held) -> Bound<Stored<'_, (A, B, C)>> {
        let Some(next) = &held.2 else { return Bound::Unbounded };
        Bound::Excluded((P::stored(&held.0), Q::stored_next(next), C::lowest()))
    }

    fn rest<'r>(stored: &Stored<'r, (A, B, C)>) -> Option<C::Read<'r>> {
        C::read(&stored.2)
    }
}
