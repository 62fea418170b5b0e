//! Blobs and manifests: reproducible for reads, new each time for pushes, and cheap for the client.
//!
//! All blobs begin with the same random bytes and differ in their last 64 bytes, so that a new digest costs
//! one block of SHA-256, however long the blob is.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::failure::Failure;
use crate::random::Random;

/// The size of the part in which blobs differ.
pub(crate) const TAIL: usize = 64;
/// The size of docker's chunks in a chunked body.
const CHUNK: usize = 32 << 10;
const CHUNK_HEAD: &[u8] = b"8000\r\n";
const CHUNK_END: &[u8] = b"\r\n";
/// The number of different manifests among the tags that are read.
pub(crate) const MANIFESTS: usize = 100;
/// The layers of the images that are read.
const LAYERS: [usize; 3] = [2 << 10, 4 << 10, 8 << 10];

/// A SHA-256 digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest(pub(crate) [u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// `sha256:<hex>`, in a buffer of its own.
    pub(crate) fn text(&self) -> DigestText {
        let mut text = [0; 71];
        text[..7].copy_from_slice(b"sha256:");
        for (pair, byte) in text[7..].chunks_exact_mut(2).zip(self.0) {
            pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
            pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
        }
        DigestText(text)
    }
}

/// The text of a digest.
pub(crate) struct DigestText([u8; 71]);

impl DigestText {
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits are ASCII")
    }
}

/// The blobs of one length.
#[derive(Clone, Debug)]
pub(crate) struct Mould {
    /// Their length.
    pub(crate) length: usize,
    state: Sha256,
}

/// The part that distinguishes a blob from others of its length.
pub(crate) struct Cast {
    pub(crate) tail: [u8; TAIL],
    pub(crate) digest: Digest,
}

impl Mould {
    fn cast(&self, nonce: u64, number: u64) -> Cast {
        let mut tail = [0x5a; TAIL];
        tail[..8].copy_from_slice(&nonce.to_be_bytes());
        tail[8..16].copy_from_slice(&number.to_be_bytes());
        let digest = Digest(self.state.clone().chain_update(tail).finalize().into());
        Cast { tail, digest }
    }

    /// A blob that is the same in every run.
    pub(crate) fn fixed(&self, number: usize) -> Cast {
        self.cast(0, number as u64)
    }

    /// A blob that was never used before.
    pub(crate) fn fresh(&self, content: &Content) -> Cast {
        self.cast(content.nonce, content.number())
    }
}

/// The content that all targets and connections share.
#[derive(Debug)]
pub(crate) struct Content {
    noise: Vec<u8>,
    /// The random bytes as the chunks of a chunked body; empty if no workload needs it.
    chunked: Vec<u8>,
    /// A number that is unique to this run.
    pub(crate) nonce: u64,
    counter: AtomicU64,
}

impl Content {
    /// Generates random bytes for blobs up to this length.
    pub(crate) fn new(length: usize, chunked: bool) -> Self {
        let mut random = Random::new(1);
        let mut noise = Vec::with_capacity(length + 8);
        while noise.len() < length {
            noise.extend_from_slice(&random.next().to_ne_bytes());
        }
        noise.truncate(length);
        let mut framed = Vec::new();
        if chunked {
            framed.reserve(length + length / CHUNK * 8 + 8);
            for chunk in noise.chunks(CHUNK) {
                framed.extend_from_slice(CHUNK_HEAD);
                framed.extend_from_slice(chunk);
                framed.extend_from_slice(CHUNK_END);
            }
        }
        Self { noise, chunked: framed, nonce: Random::unique().next(), counter: AtomicU64::new(0) }
    }

    /// A number that this run has not used yet.
    pub(crate) fn number(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// Blobs of this length.
    pub(crate) fn mould(&self, length: usize) -> Mould {
        Mould { length, state: Sha256::new_with_prefix(self.start(length)) }
    }

    /// A blob of this length without its tail.
    pub(crate) fn start(&self, length: usize) -> &[u8] {
        &self.noise[..length - TAIL]
    }

    /// The same as chunks of a chunked body; the length must be a multiple of 32 KiB. The tail and
    /// [`CHUNKED_END`] follow.
    pub(crate) fn chunked_start(&self, length: usize) -> &[u8] {
        let frame = CHUNK_HEAD.len() + CHUNK + CHUNK_END.len();
        &self.chunked[..length / CHUNK * frame - CHUNK_END.len() - TAIL]
    }

    /// Whether a part of a blob of this length is right, without its tail.
    pub(crate) fn agrees(&self, length: usize, offset: usize, part: &[u8]) -> bool {
        let start = self.start(length).get(offset..).unwrap_or_default();
        let both = part.len().min(start.len());
        part[..both] == start[..both]
    }
}

/// The end of a chunked body.
pub(crate) const CHUNKED_END: &[u8] = b"\r\n0\r\n\r\n";

/// The blobs and manifests of the images that are read.
#[derive(Debug)]
pub(crate) struct Images {
    /// The blobs of the manifests: a config, then layers.
    pub(crate) blobs: Vec<Vec<u8>>,
    /// The manifests; tag `n` points to number `n % MANIFESTS`.
    pub(crate) manifests: Vec<Vec<u8>>,
    /// The manifest of all repositories of the catalogue: the config and the first layer.
    pub(crate) tiny: Vec<u8>,
}

impl Images {
    /// The images.
    pub(crate) fn new(content: &Content) -> Self {
        let mut blobs = vec![config(0, 0)];
        for length in LAYERS {
            let cast = content.mould(length).fixed(length);
            blobs.push([content.start(length), &cast.tail].concat());
        }
        let config = descriptor(Digest::of(&blobs[0]), blobs[0].len());
        let layers: Vec<_> =
            blobs[1..].iter().map(|layer| descriptor(Digest::of(layer), layer.len())).collect();
        let manifests =
            (0..MANIFESTS).map(|number| manifest(&config, &layers, &number.to_string())).collect();
        let tiny = manifest(&config, &layers[..1], "tiny");
        Self { blobs, manifests, tiny }
    }
}

/// An image configuration that is unique to this run and number.
pub(crate) fn config(nonce: u64, number: u64) -> Vec<u8> {
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "Cmd": ["/bin/sh"] },
        "rootfs": { "type": "layers", "diff_ids": [] },
        "history": [{ "comment": format!("bench {nonce:016x} {number}") }],
    });
    config.to_string().into_bytes()
}

/// The descriptor of a blob.
pub(crate) fn descriptor(digest: Digest, size: usize) -> Value {
    json!({ "digest": digest.text().as_str(), "size": size })
}

/// A manifest; the note makes it unique.
pub(crate) fn manifest(config: &Value, layers: &[Value], note: &str) -> Vec<u8> {
    let typed = |descriptor: &Value, media_type: &str| {
        let mut descriptor = descriptor.clone();
        descriptor["mediaType"] = media_type.into();
        descriptor
    };
    let layers = layers.iter().map(|layer| typed(layer, "application/vnd.oci.image.layer.v1.tar+gzip"));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": typed(config, "application/vnd.oci.image.config.v1+json"),
        "layers": layers.collect::<Vec<_>>(),
        "annotations": { "org.example.bench": note },
    });
    manifest.to_string().into_bytes()
}

/// The media type of an image manifest.
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The size of small blob number `n`, out of `blobs`: from 1 to 10 KiB.
pub(crate) fn small_size(number: usize, blobs: usize) -> usize {
    (1 << 10) + (9 << 10) * number / blobs.max(2).saturating_sub(1)
}

/// Fails unless the body has this digest.
pub(crate) fn same(found: Sha256, wanted: Digest, what: &str) -> Result<(), Failure> {
    let found = Digest(found.finalize().into());
    if found == wanted {
        return Ok(());
    }
    Err(Failure(format!("{what}: the bytes have the digest {}", found.text().as_str())))
}
