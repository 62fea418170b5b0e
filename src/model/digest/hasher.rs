//! Hashes content while it streams in. The state can be saved and restored where the algorithm and the
//! processor allow it.
//!
//! SHA-256 comes from `sha2`, whose state can be saved. On an x86-64 processor without the SHA extensions
//! `sha2` falls back to portable code at half the speed of `ring`, which uses AVX2; there `ring` hashes, and
//! an upload that goes on after a restart is hashed again from its start.

use std::fmt;

use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};

use super::{Algorithm, Digest, MAX_RAW};

/// The first byte of a saved state: raised when a new release of `sha2` saves another form.
const STATE_FORMAT: u8 = 1;

/// The state of one hash computation.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha256Vector(ring::digest::Context),
    Sha512(Sha512),
    Blake3(Box<blake3::Hasher>),
}

/// Whether `sha2` is the fastest SHA-256 on this processor.
fn has_sha_extensions() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("sha");
    #[cfg(not(target_arch = "x86_64"))]
    return true;
}

impl Hasher {
    /// A hasher before its first byte.
    pub fn new(algorithm: Algorithm) -> Self {
        if algorithm == Algorithm::Sha256 && !has_sha_extensions() {
            return Self(State::Sha256Vector(ring::digest::Context::new(&ring::digest::SHA256)));
        }
        Self::with_state(algorithm)
    }

    /// The same, by the implementation that can save its state, if the algorithm has one.
    pub(super) fn with_state(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
            Algorithm::Blake3 => State::Blake3(Box::new(blake3::Hasher::new())),
        })
    }

    /// The algorithm it was made for.
    pub const fn algorithm(&self) -> Algorithm {
        match self.0 {
            State::Sha256(_) | State::Sha256Vector(_) => Algorithm::Sha256,
            State::Sha512(_) => Algorithm::Sha512,
            State::Blake3(_) => Algorithm::Blake3,
        }
    }

    /// Hashes the next piece of content.
    pub fn update(&mut self, piece: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(piece),
            State::Sha256Vector(state) => state.update(piece),
            State::Sha512(state) => state.update(piece),
            State::Blake3(state) => {
                state.update(piece);
            }
        }
    }

    /// The digest of everything hashed.
    pub fn finish(self) -> Digest {
        let algorithm = self.algorithm();
        let mut raw = [0; MAX_RAW];
        let hash = &mut raw[..algorithm.len()];
        match self.0 {
            State::Sha256(state) => hash.copy_from_slice(&state.finalize()),
            State::Sha256Vector(state) => hash.copy_from_slice(state.finish().as_ref()),
            State::Sha512(state) => hash.copy_from_slice(&state.finalize()),
            State::Blake3(state) => hash.copy_from_slice(state.finalize().as_bytes()),
        }
        Digest { algorithm, raw }
    }

    /// The state as bytes, to continue after a restart; `None` if it cannot be saved: blake3, and SHA-256
    /// without the processor's help.
    pub fn save(&self) -> Option<Vec<u8>> {
        match &self.0 {
            State::Sha256(state) => Some(save(state)),
            State::Sha512(state) => Some(save(state)),
            State::Sha256Vector(_) | State::Blake3(_) => None,
        }
    }

    /// Goes on from what [`Hasher::save`] made for the same algorithm; `None` for anything else, and then the
    /// content must be hashed again from its start.
    pub fn restore(algorithm: Algorithm, saved: &[u8]) -> Option<Self> {
        let saved = saved.strip_prefix(&[STATE_FORMAT])?;
        match algorithm {
            Algorithm::Sha256 => restore(saved).map(State::Sha256).map(Self),
            Algorithm::Sha512 => restore(saved).map(State::Sha512).map(Self),
            Algorithm::Blake3 => None,
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hasher").field(&self.algorithm()).finish()
    }
}

fn save<H: SerializableState>(state: &H) -> Vec<u8> {
    let mut saved = vec![STATE_FORMAT];
    saved.extend_from_slice(&state.serialize());
    saved
}

fn restore<H: SerializableState>(saved: &[u8]) -> Option<H> {
    let saved: &SerializedState<H> = saved.try_into().ok()?;
    H::deserialize(saved).ok()
}
