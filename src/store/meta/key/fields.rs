//! Fields that are numbers or bytes.

use uuid::Uuid;

use super::{Key, KeyOf, Stored, Successor, byte_key};
use crate::model::names::{ProjectId, RepoId, Sequence, TokenId, UploadId, UserId};
use crate::model::secret::SecretHash;
use crate::model::time::RunningSecond;

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

/// A field that is a number: the type, and its conversions to and from `u64`.
macro_rules! number {
    ($($type:ty: $read:expr, $write:expr;)*) => { $(
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
            type Both = u64;

            fn both(self) -> u64 {
                $write(self)
            }

            fn this(both: &u64) -> u64 {
                *both
            }

            fn next(both: &u64) -> Option<u64> {
                both.checked_add(1)
            }
        }
    )* };
}

number! {
    u64: std::convert::identity, std::convert::identity;
    RepoId: RepoId, |id: Self| id.0;
    ProjectId: ProjectId, |id: Self| id.0;
    UserId: UserId, |id: Self| id.0;
    TokenId: TokenId, |id: Self| id.0;
    Sequence: Sequence, |sequence: Self| sequence.0;
    RunningSecond: RunningSecond, |second: Self| second.0;
}

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
    /// The bytes followed by a zero. Only checks search for prefixes that may not be valid keys.
    type Both = Vec<u8>;

    fn both(self) -> Vec<u8> {
        [self, &[0]].concat()
    }

    fn this(both: &Vec<u8>) -> &[u8] {
        &both[..both.len() - 1]
    }

    fn next(both: &Vec<u8>) -> Option<&[u8]> {
        Some(both)
    }
}

byte_key! {
    UploadId: |stored: &[u8]| stored.try_into().ok().map(Self::from_bytes);
    SecretHash: Self::from_bytes;
    Uuid: |stored: &[u8]| Self::from_slice(stored).ok();
}

impl KeyOf<Self> for Uuid {
    type Held = [u8; 16];

    fn hold(self) -> [u8; 16] {
        self.into_bytes()
    }

    fn stored(held: &[u8; 16]) -> &[u8] {
        held
    }
}

impl KeyOf<Self> for UploadId {
    type Held = [u8; 16];

    fn hold(self) -> [u8; 16] {
        self.bytes()
    }

    fn stored(held: &[u8; 16]) -> &[u8] {
        held
    }
}

impl<'k> KeyOf<SecretHash> for &'k SecretHash {
    type Held = &'k SecretHash;

    fn hold(self) -> &'k SecretHash {
        self
    }

    fn stored<'h>(held: &'h &'k SecretHash) -> &'h [u8] {
        &held.0
    }
}
