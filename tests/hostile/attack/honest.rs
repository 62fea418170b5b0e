//! The honest client: it pushes a small blob and a large manifest, and pulls both.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use stowage::app::FREE_MANIFEST;
use stowage::model::media_type::{OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST};

use super::proof;
use crate::support::Client;
use crate::support::content::{bytes, descriptor, push_blob, push_manifest};

const REPOSITORY: &str = "honest/app";
/// How often it does that if only success matters.
const ROUNDS: usize = 2;
/// How often, and for how long at least, if times are measured.
const PROOF_ROUNDS: usize = 25;
const PROOF_FOR: Duration = Duration::from_secs(5);

pub(super) struct Honest<'a> {
    client: &'a Client,
}

impl<'a> Honest<'a> {
    /// Creates what its images share, before the load.
    pub(super) fn new(client: &'a Client) -> Self {
        push_blob(client, REPOSITORY, b"{}");
        Self { client }
    }

    /// Works for a while and returns the duration of each request.
    pub(super) fn work(&self) -> Vec<Duration> {
        let (rounds, least) = if proof() { (PROOF_ROUNDS, PROOF_FOR) } else { (ROUNDS, Duration::ZERO) };
        let (started, mut round) = (Instant::now(), 0);
        self.work_while(|| {
            round += 1;
            round <= rounds || started.elapsed() < least
        })
    }

    /// Works while `lasts` returns true, and returns the duration of each request.
    pub(super) fn work_while(&self, mut lasts: impl FnMut() -> bool) -> Vec<Duration> {
        let mut waits = Vec::new();
        while lasts() {
            self.round(&mut waits);
        }
        waits
    }

    fn round(&self, waits: &mut Vec<Duration>) {
        static SEED: AtomicU64 = AtomicU64::new(0);
        let seed = SEED.fetch_add(1, Ordering::Relaxed);
        let mut timed = |work: &mut dyn FnMut()| {
            let started = Instant::now();
            work();
            waits.push(started.elapsed());
        };
        let layer = bytes(seed, 100);
        let manifest = large_manifest(&layer, seed);
        let mut digest = String::new();
        timed(&mut || digest = push_blob(self.client, REPOSITORY, &layer));
        timed(&mut || {
            push_manifest(self.client, REPOSITORY, "latest", OCI_MANIFEST, &manifest);
        });
        timed(&mut || {
            let found = self.client.get(&format!("/v2/{REPOSITORY}/manifests/latest")).expect(200);
            assert!(found.body == manifest, "another manifest was pulled");
        });
        timed(&mut || {
            let found = self.client.get(&format!("/v2/{REPOSITORY}/blobs/{digest}")).expect(200);
            assert!(found.body == layer, "another blob was pulled");
        });
    }
}

/// A manifest so large that it needs memory from the limit of large manifests.
fn large_manifest(layer: &[u8], seed: u64) -> Vec<u8> {
    let filling = "x".repeat(usize::try_from(FREE_MANIFEST).expect("small") + 1);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, b"{}"),
        "layers": [descriptor(OCI_LAYER_GZIP, layer)], "annotations": { "filling": filling, "seed": seed.to_string() },
    });
    serde_json::to_vec(&manifest).expect("JSON")
}
