//! Fields that are digests.

use super::{KeyOf, Successor, byte_key};
use crate::model::digest::{AnyDigest, AnyDigestKey, Digest, DigestKey};

byte_key! {
    Digest: Self::from_key;
    AnyDigest: Self::from_key;
}

/// Arguments: the type that is passed, the field, and the buffer for its key.
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
