//! The registry tokens that this server issues: JWS with ES256 (RFC 7515, RFC 7518).
//!
//! There is one algorithm, fixed here, and one key. The header of a token must be equal to the one that this
//! server writes, so nothing in it can choose a key or an algorithm.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::access::AccessEntry;
use crate::config::{has_own_directory, open_own};
use crate::store::durable;

/// The directory of keys within the data directory.
const DIRECTORY: &str = "keys";
const FILE: &str = "registry-token.p8";
/// The most bytes of the key's file; a P-256 key is smaller.
const MAX_KEY: u64 = 64 << 10;
/// How far the clock of a verifier may differ, in seconds.
const LEEWAY_S: u64 = 60;

/// The claims of a token. Every claim is required and typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    /// The user's name; empty for an anonymous caller.
    pub(super) sub: String,
    pub(super) aud: String,
    pub(super) exp: u64,
    pub(super) nbf: u64,
    pub(super) iat: u64,
    pub(super) jti: String,
    pub(super) access: Vec<AccessEntry>,
    /// The number of the user; 0: an anonymous caller.
    pub(super) uid: u64,
    /// The number of the personal token; 0: the user signed in with a password.
    pub(super) tid: u64,
    /// The version of the password.
    pub(super) pwv: u64,
}

/// The file of the key.
pub fn key_file(data_dir: &Path) -> PathBuf {
    data_dir.join(DIRECTORY).join(FILE)
}

/// Why a token is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unverified {
    /// It was not signed with this key.
    Foreign,
    /// It was signed with this key, and is not valid at this time.
    Untimely,
}

/// The key that signs and verifies tokens.
pub(super) struct Signer {
    pair: EcdsaKeyPair,
    header: String,
    thumbprint: String,
}

impl Signer {
    /// Opens the key in the data directory. The first start creates and syncs it.
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let directory = data_dir.join(DIRECTORY);
        let path = key_file(data_dir);
        let has_keys = has_own_directory(&directory)?;
        match read(&path) {
            Ok(pkcs8) => Self::from_pkcs8(&pkcs8),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let document =
                    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                        .map_err(|_| io::Error::other("no random numbers for a key"))?;
                if !has_keys {
                    fs::DirBuilder::new().mode(0o700).create(&directory)?;
                }
                durable::write_file(&path, 0o600, |file| file.write_all(document.as_ref()))
                    .map_err(|error| error.source)?;
                durable::sync_dir(data_dir)?;
                Self::from_pkcs8(document.as_ref())
            }
            Err(error) => Err(error),
        }
    }

    fn from_pkcs8(pkcs8: &[u8]) -> io::Result<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new())
            .map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidData, format!("not a P-256 key: {error}"))
            })?;
        let [x, y] = coordinates(&pair);
        // RFC 7638: these members in this order, without spaces.
        let thumbprint = format!("{{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"{x}\",\"y\":\"{y}\"}}");
        let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(thumbprint));
        let header = format!("{{\"typ\":\"JWT\",\"alg\":\"ES256\",\"kid\":\"{thumbprint}\"}}");
        Ok(Self { pair, header: URL_SAFE_NO_PAD.encode(header), thumbprint })
    }

    /// The public key as a JWK set (RFC 7517), for registries that trust this one.
    pub(super) fn key_set(&self) -> Value {
        let [x, y] = coordinates(&self.pair);
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.thumbprint, "x": x, "y": y }] })
    }

    pub(super) fn sign(&self, claims: &Claims) -> Option<String> {
        self.seal(&serde_json::to_vec(claims).ok()?)
    }

    fn seal(&self, payload: &[u8]) -> Option<String> {
        let message = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(payload));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).ok()?;
        Some(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The claims of a token that was signed with this key for `audience`, and that is valid at `now_s` or
    /// expired no longer ago than `late_s`.
    pub(super) fn verify(
        &self,
        token: &str,
        audience: &str,
        now_s: u64,
        late_s: u64,
    ) -> Result<Claims, Unverified> {
        let claims = self.signed(token).ok_or(Unverified::Foreign)?;
        if claims.iss != audience || claims.aud != audience {
            return Err(Unverified::Foreign);
        }
        let timely = now_s <= claims.exp.saturating_add(LEEWAY_S.max(late_s))
            && claims.nbf <= now_s.saturating_add(LEEWAY_S);
        if timely { Ok(claims) } else { Err(Unverified::Untimely) }
    }

    /// The claims of a token that was signed with this key.
    fn signed(&self, token: &str) -> Option<Claims> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        if header != self.header {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref())
            .verify(message.as_bytes(), &signature)
            .ok()?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        // RFC 7519 section 7.2 requires an object; serde would also accept an array of the same values.
        if !payload.trim_ascii_start().starts_with(b"{") {
            return None;
        }
        serde_json::from_slice(&payload).ok()
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut key = Vec::new();
    open_own(path, OpenOptions::new().read(true))?.take(MAX_KEY).read_to_end(&mut key)?;
    Ok(key)
}

/// The affine coordinates of the public key, whose encoding is the byte 4, then x, then y.
fn coordinates(pair: &EcdsaKeyPair) -> [String; 2] {
    let point = pair.public_key().as_ref();
    [&point[1..33], &point[33..65]].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_an_object_and_no_list_of_the_same_values() {
        let dir = tempfile::tempdir().unwrap();
        let signer = Signer::open(dir.path()).unwrap();
        let claims = Claims {
            iss: "stowage".into(),
            sub: String::new(),
            aud: "stowage".into(),
            exp: 1300,
            nbf: 940,
            iat: 1000,
            jti: "x".into(),
            access: Vec::new(),
            uid: 0,
            tid: 0,
            pwv: 0,
        };
        let verify = |token: &str| signer.verify(token, "stowage", 1000, 0);
        assert_eq!(verify(&signer.sign(&claims).unwrap()), Ok(claims));
        let list = br#"["stowage","","stowage",1300,940,1000,"x",[],0,0,0]"#;
        assert_eq!(verify(&signer.seal(list).unwrap()), Err(Unverified::Foreign));
    }
}
