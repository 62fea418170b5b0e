//! The fields of keys.

use super::{Key, KeyOf, Stored, Successor};

impl Key for () {
    type Stored = ();
    type Raw = ();
    type Read<'r> = ();

    fn read<'r>((): &Stored<'r, Self>) -> Option<Self::Read<'r>> {
        Some(())
    }

    fn lowest<'a>() -> Stored<'a, Self> {}
}

impl KeyOf<()> for () {
    type Held = ();

    fn hold(self) {}

    fn stored((): &()) {}
}

/// A field that is a number.
macro_rules! number {
    ($type:ty, $read:expr, $write:expr) => {
        impl Key for $type {
            type Stored = u64;
            type Raw = u64;
            type Read<'r> = Self;

            fn read<'r>(stored: &Stored<'r, Self>) -> Option<Self::Read<'r>> {
                Some($read(*stored))
            }

            fn lowest<'a>() -> Stored<'a, Self> {
                0
            }
        }

        impl KeyOf<Self> for $type {
            type Held = u64;

            fn hold(self) -> u64 {
                $write(self)
            }

            fn stored(held: &u64) -> u64 {
                *held
            }
        }

        impl Successor<Self> for $type {
            type Next = u64;

            fn next(self) -> Option<u64> {
                $write(self).checked_add(1)
            }

            fn stored_next(next: &u64) -> u64 {
                *next
            }
        }
    };
}

number!(u64, std::convert::identity, std::convert::identity);

impl Key for &'static [u8] {
    type Stored = &'static [u8];
    type Raw = Self;
    type Read<'r> = &'r [u8];

    fn read<'r>(stored: &Stored<'r, Self>) -> Option<&'r [u8]> {
        Some(stored)
    }

    fn lowest<'a>() -> Stored<'a, Self> {
        &[]
    }
}

impl<'k> KeyOf<&'static [u8]> for &'k [u8] {
    type Held = &'k [u8];

    fn hold(self) -> &'k [u8] {
        self
    }

    fn stored<'h>(held: &'h &'k [u8]) -> &'h [u8] {
        held
    }
}

impl Successor<&'static [u8]> for &[u8] {
    type Next = Vec<u8>;

    fn next(self) -> Option<Vec<u8>> {
        Some([self, &[0]].concat())
    }

    fn stored_next(next: &Vec<u8>) -> &[u8] {
        next
    }
}

impl Key for &'static str {
    type Stored = &'static str;
    type Raw = Self;
    type Read<'r> = &'r str;

    fn read<'r>(stored: &Stored<'r, Self>) -> Option<&'r str> {
        Some(stored)
    }

    fn lowest<'a>() -> Stored<'a, Self> {
        ""
    }
}

impl<'k> KeyOf<&'static str> for &'k str {
    type Held = &'k str;

    fn hold(self) -> &'k str {
        self
    }

    fn stored<'h>(held: &'h &'k str) -> &'h str {
        held
    }
}

impl Successor<&'static str> for &str {
    type Next = String;

    fn next(self) -> Option<String> {
        Some([self, "\0"].concat())
    }

    fn stored_next(next: &String) -> &str {
        next
    }
}
