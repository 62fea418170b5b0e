//! Hashing content as it streams by, with a state that survives a restart where the algorithm allows it.

use std::fmt;

use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};

use super::{Algorithm, Digest, MAX_RAW};

/// The first byte of a saved state: raised when a new release of `sha2` saves another form.
const STATE_FORMAT: u8 = 1;

/// A digest in the making.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
            Algorithm::Blake3 => State::Blake3(Box::new(blake3::Hasher::new())),
        })
    }

    /// The algorithm it was made for.
    pub const fn algorithm(&self) -> Algorithm {
        match self.0 {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha512(_) => Algorithm::Sha512,
            State::Blake3(_) => Algorithm::Blake3,
        }
    }

    /// Takes in the next piece of content.
    pub fn update(&mut self, piece: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(piece),
            State::Sha512(state) => state.update(piece),
            State::Blake3(state) => {
                state.update(piece);
            }
        }
    }

    /// The digest of all that was taken in.
    pub fn finish(self) -> Digest {
        let algorithm = self.algorithm();
        let mut raw = [0; MAX_RAW];
        let hash = &mut raw[..algorithm.len()];
        match self.0 {
            State::Sha256(state) => hash.copy_from_slice(&state.finalize()),
            State::Sha512(state) => hash.copy_from_slice(&state.finalize()),
            State::Blake3(state) => hash.copy_from_slice(state.finalize().as_bytes()),
        }
        Digest { algorithm, raw }
    }

    /// The state as bytes, to go on after a restart; `None` where the algorithm cannot save it (blake3).
    pub fn save(&self) -> Option<Vec<u8>> {
        match &self.0 {
            State::Sha256(state) => Some(save(state)),
            State::Sha512(state) => Some(save(state)),
            State::Blake3(_) => None,
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
