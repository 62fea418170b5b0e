//! Fields that are digests.

use super::{Key, KeyOf, Stored, Successor};
use crate::model::digest::{AnyDigest, AnyDigestKey, Digest, DigestKey};

impl Key for Digest {
    type Stored = &'static [u8];
    type Raw = &'static [u8];
    type Read<'r> = Self;

    fn read<'r>(stored: &Stored<'r, Self>) -> Option<Self::Read<'r>> {
        Self::from_key(stored)
    }

    fn lowest<'a>() -> Stored<'a, Self> {
        &[]
    }
}

impl Key for AnyDigest {
    type Stored = &'static [u8];
    type Raw = &'static [u8];
    type Read<'r> = Self;

    fn read<'r>(stored: &Stored<'r, Self>) -> Option<Self::Read<'r>> {
        Self::from_key(stored)
    }

    fn lowest<'a>() -> Stored<'a, Self> {
        &[]
    }
}

/// What is passed, the field, and the buffer that holds its key.
macro_rules! digest {
    ($($passed:ty => $field:ty, $held:ty;)*) => { $(
        impl KeyOf<$field> for &$passed {
            type Held = $held;

            fn hold(self) -> $held {
                self.key()
            }

            fn stored(held: &$held) -> &[u8] {
                held
            }
        }

        impl Successor<$field> for &$passed {
            type Both = $held;

            fn both(self) -> $held {
                self.key()
            }

            fn this(both: &$held) -> &[u8] {
                both
            }

            fn next(both: &$held) -> Option<&[u8]> {
                Some(both.next())
            }
        }
    )* };
}

digest! {
    Digest => Digest, DigestKey;
    Digest => AnyDigest, DigestKey;
    AnyDigest => AnyDigest, AnyDigestKey;
}
