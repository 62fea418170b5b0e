//! Random numbers that can be repeated.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

use crate::process::note;

/// A new seed, or the one of the environment, which a failed test has printed.
pub(crate) fn seed() -> u64 {
    told_or_new("STOWAGE_TEST_SEED")
}

/// A new seed, or the one in this environment variable.
pub(crate) fn told_or_new(variable: &str) -> u64 {
    let told = std::env::var(variable).map(|seed| seed.parse().expect("a number"));
    let seed = told.unwrap_or_else(|_| RandomState::new().build_hasher().finish());
    note(&format!("repeat with {variable}={seed}"));
    seed
}

/// Pseudo-random numbers from a seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    pub(crate) fn size(&mut self, limit: u64) -> usize {
        usize::try_from(1 + self.below(limit)).expect("a small number")
    }
}
