//! Random histories: after any sequence of operations the registry equals the model, and the check finds no
//! problem. What clients were promised is there at any time, and what nothing refers to goes.
//!
//! `PROPTEST_CASES=100000 cargo test --release --lib registry::tests::histories` plays so many.

use bytes::Bytes;
use proptest::prelude::*;

use super::ages::{GRACE_S, Held, Moment, PROMISE_S, QUARANTINE_S};
use super::model::{Contents, Model, Session};
use super::{Place, Server};
use crate::access::{Delete, Pull, Push};
use crate::model::digest::{Algorithm, Digest};
use crate::model::names::Reference;
use crate::registry::collect::Mode;
use crate::registry::{Below, Body, Condition, ContentRange, PutManifest, RegistryError};

const TAGS: [&str; 3] = ["latest", "v1", "v2"];
/// Running seconds that pass: to either side of each moment at which something becomes due.
const SKIPS: &[u64] = &[1, PROMISE_S / 2, PROMISE_S - 1, PROMISE_S, PROMISE_S + 1, GRACE_S, QUARANTINE_S];

/// One operation of a client, of the collector, or of time. Its numbers choose among what exists, modulo how
/// much exists.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Upload { repository: usize, blob: usize },
    UploadWrong { repository: usize, blob: usize },
    Start { repository: usize, blob: usize },
    Append { session: usize, bytes: usize },
    AppendAtWrongPlace { session: usize },
    Finish { session: usize },
    Cancel { session: usize },
    Mount { from: usize, to: usize, blob: usize },
    Put { repository: usize, manifest: usize, tags: Vec<usize> },
    PutByDigest { repository: usize, manifest: usize, algorithm: usize, tags: Vec<usize> },
    DeleteTag { repository: usize, tag: usize },
    DeleteManifest { repository: usize, manifest: usize },
    DeleteBlob { repository: usize, blob: usize },
    StorePulls,
    Reopen { strict: bool, clean: bool },
    Look { repository: usize, blob: usize },
    Skip { seconds: u64 },
    Collect { quarantine: bool },
    CollectPart { quarantine: bool, slices: usize },
}

pub(super) fn act() -> impl Strategy<Value = Act> {
    let n = || 0..64_usize;
    let repository = || 0..3_usize;
    prop_oneof![
        8 => (repository(), n()).prop_map(|(repository, blob)| Act::Upload { repository, blob }),
        1 => (repository(), n()).prop_map(|(repository, blob)| Act::UploadWrong { repository, blob }),
        3 => (repository(), n()).prop_map(|(repository, blob)| Act::Start { repository, blob }),
        5 => (n(), 0..12_usize).prop_map(|(session, bytes)| Act::Append { session, bytes }),
        1 => n().prop_map(|session| Act::AppendAtWrongPlace { session }),
        3 => n().prop_map(|session| Act::Finish { session }),
        1 => n().prop_map(|session| Act::Cancel { session }),
        5 => (repository(), repository(), n()).prop_map(|(from, to, blob)| Act::Mount { from, to, blob }),
        12 => (repository(), n(), prop::collection::vec(0..3_usize, 1..2))
            .prop_map(|(repository, manifest, tags)| Act::Put { repository, manifest, tags }),
        6 => (repository(), n(), 0..3_usize, prop::collection::vec(0..3_usize, 0..3)).prop_map(
            |(repository, manifest, algorithm, tags)| Act::PutByDigest { repository, manifest, algorithm, tags }
        ),
        3 => (repository(), n()).prop_map(|(repository, tag)| Act::DeleteTag { repository, tag }),
        6 => (repository(), n()).prop_map(|(repository, manifest)| Act::DeleteManifest { repository, manifest }),
        7 => (repository(), n()).prop_map(|(repository, blob)| Act::DeleteBlob { repository, blob }),
        1 => Just(Act::StorePulls),
        2 => any::<(bool, bool)>().prop_map(|(strict, clean)| Act::Reopen { strict, clean }),
        5 => (repository(), n()).prop_map(|(repository, blob)| Act::Look { repository, blob }),
        5 => prop::sample::select(SKIPS).prop_map(|seconds| Act::Skip { seconds }),
        3 => any::<bool>().prop_map(|quarantine| Act::Collect { quarantine }),
        2 => (any::<bool>(), 1..4_usize)
            .prop_map(|(quarantine, slices)| Act::CollectPart { quarantine, slices }),
    ]
}

pub(super) struct History<'p> {
    place: &'p Place,
    server: Option<Server<'p>>,
    strict: bool,
    pub(super) model: Model,
}

impl<'p> History<'p> {
    fn begin(place: &'p Place) -> Self {
        let server = place.open(true);
        Model::make_projects(&server);
        Self { place, server: Some(server), strict: true, model: Model::new() }
    }

    pub(super) fn server(&self) -> &Server<'p> {
        self.server.as_ref().unwrap()
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Upload { repository, blob } => self.upload(repository, blob),
            Act::UploadWrong { repository, blob } => {
                let blob = &self.model.blobs[blob % self.model.blobs.len()];
                let pushed =
                    self.server().push_blob(self.model.names[repository], b"other bytes", blob.digest);
                assert!(matches!(pushed, Err(RegistryError::DigestMismatch { .. })));
            }
            Act::Start { .. }
            | Act::Append { .. }
            | Act::AppendAtWrongPlace { .. }
            | Act::Finish { .. }
            | Act::Cancel { .. } => self.session(act),
            Act::Mount { from, to, blob } => self.mount(from, to, blob),
            Act::Put { repository, manifest, ref tags } => self.put(repository, manifest, None, tags),
            Act::PutByDigest { repository, manifest, algorithm, ref tags } => {
                self.put(repository, manifest, Some(Algorithm::ALL[algorithm]), tags);
            }
            Act::DeleteTag { repository, tag } => self.delete_tag(repository, TAGS[tag % TAGS.len()]),
            Act::DeleteManifest { repository, manifest } => self.delete_manifest(repository, manifest),
            Act::DeleteBlob { repository, blob } => self.delete_blob(repository, blob),
            Act::StorePulls => {
                let server = self.server();
                server.wait(server.registry.store_pulls(&server.access.system("test"))).unwrap();
            }
            Act::Reopen { strict, clean } => self.reopen(strict, clean),
            Act::Look { repository, blob } => self.look(repository, blob),
            Act::Skip { seconds } => self.skip(seconds),
            Act::Collect { quarantine } => {
                self.collect(mode(quarantine), None);
            }
            Act::CollectPart { quarantine, slices } => {
                self.collect(mode(quarantine), Some(slices));
            }
        }
    }

    /// A repository was given a blob.
    fn hold_blob(&mut self, repository: usize, blob: usize, at: Moment) {
        let digest = self.model.blobs[blob].digest;
        self.model.repositories[repository].blobs.insert(digest, Held::new(at));
    }

    /// The bytes of a blob were uploaded to a repository.
    fn store_blob(&mut self, repository: usize, blob: usize, at: Moment) {
        self.model.stored.insert(self.model.blobs[blob].digest);
        self.hold_blob(repository, blob, at);
    }

    fn upload(&mut self, repository: usize, blob: usize) {
        let index = blob % self.model.blobs.len();
        let blob = &self.model.blobs[index];
        let begun = self.second();
        self.server().push_blob(self.model.names[repository], &blob.content, blob.digest).unwrap();
        self.store_blob(repository, index, self.since(begun));
    }

    fn session(&mut self, act: &Act) {
        let chosen = match *act {
            Act::Start { repository, blob } => {
                let blob = blob % self.model.blobs.len();
                let digest = self.model.blobs[blob].digest;
                let server = self.server();
                let grant = server.grant(self.model.names[repository]);
                let id = server.wait(server.registry.start_upload(&grant, digest.algorithm())).unwrap();
                self.model.sessions.push(Session { id, repository, blob, received: 0 });
                return;
            }
            Act::Append { session, .. }
            | Act::AppendAtWrongPlace { session }
            | Act::Finish { session }
            | Act::Cancel { session } => session,
            _ => unreachable!("only acts on sessions come here"),
        };
        if self.model.sessions.is_empty() {
            return;
        }
        let chosen = chosen % self.model.sessions.len();
        let Session { id, repository, blob, received } = self.model.sessions[chosen];
        let server = self.server();
        let grant = server.grant::<Push>(self.model.names[repository]);
        let rest = &self.model.blobs[blob].content[received..];
        let body = |bytes: &[u8]| Body::whole(vec![Bytes::copy_from_slice(bytes)]);
        match *act {
            Act::Append { bytes, .. } => {
                let part = &rest[..bytes.min(rest.len())];
                let range = (!part.is_empty() && bytes.is_multiple_of(2)).then(|| {
                    let start = received as u64;
                    ContentRange { start, end: start + part.len() as u64 - 1 }
                });
                let standing = server.wait(server.append(&grant, id, range, body(part))).unwrap();
                assert_eq!(standing.offset, (received + part.len()) as u64);
                self.model.sessions[chosen].received += part.len();
            }
            Act::AppendAtWrongPlace { .. } => {
                let start = received as u64 + 1;
                let range = Some(ContentRange { start, end: start });
                let appended = server.wait(server.append(&grant, id, range, body(b"x")));
                assert!(
                    matches!(appended, Err(RegistryError::RangeInvalid { offset }) if offset == received as u64)
                );
            }
            Act::Finish { .. } => {
                let digest = self.model.blobs[blob].digest;
                let begun = self.second();
                server.wait(server.finish(&grant, id, digest, body(rest))).unwrap();
                self.model.sessions.remove(chosen);
                self.store_blob(repository, blob, self.since(begun));
            }
            _ => {
                server.wait(server.registry.cancel_upload(&grant, id)).unwrap();
                self.model.sessions.remove(chosen);
            }
        }
    }

    fn mount(&mut self, from: usize, to: usize, blob: usize) {
        let index = blob % self.model.blobs.len();
        let digest = self.model.blobs[index].digest;
        let begun = self.second();
        let server = self.server();
        let (target, source) =
            (server.grant::<Push>(self.model.names[to]), server.grant::<Pull>(self.model.names[from]));
        let mounted = server.wait(server.registry.mount(&target, &digest, &source)).unwrap();
        assert_eq!(mounted, self.model.repositories[from].blobs.contains_key(&digest));
        if mounted {
            self.hold_blob(to, index, self.since(begun));
        }
    }

    fn put(&mut self, repository: usize, manifest: usize, by: Option<Algorithm>, tags: &[usize]) {
        let index = manifest % self.model.manifests.len();
        let manifest = &self.model.manifests[index];
        let digest = manifest.digest_by(by.unwrap_or(Algorithm::Sha256));
        let names: Vec<_> = tags.iter().map(|tag| TAGS[*tag]).collect();
        let mut tags: Vec<_> = names.iter().map(|tag| tag.parse().unwrap()).collect();
        let reference = match by {
            Some(_) => Reference::Digest(digest),
            None => Reference::Tag(tags.remove(0)),
        };
        let put = PutManifest {
            reference,
            tags,
            content_type: index.is_multiple_of(2).then(|| manifest.media_type.to_owned()),
            body: Bytes::copy_from_slice(manifest.body.as_bytes()),
            condition: Condition::default(),
        };
        let server = self.server();
        let grant = server.grant::<Push>(self.model.names[repository]);
        let stored = server.wait(server.registry.put_manifest(&grant, put, Vec::new()));
        if self.strict && !self.model.is_complete(repository, index) {
            assert!(matches!(stored, Err(RegistryError::ReferencesMissing(_))), "{stored:?}");
            return;
        }
        assert_eq!(stored.unwrap().digest, digest);
        let Contents { manifests, tags, .. } = &mut self.model.repositories[repository];
        manifests.insert(digest, index);
        tags.extend(names.into_iter().map(|tag| (tag.to_owned(), digest)));
    }

    fn delete(&self, repository: usize, reference: Reference) -> Result<(), RegistryError> {
        let server = self.server();
        let grant = server.grant::<Delete>(self.model.names[repository]);
        server.wait(server.registry.delete_manifest(&grant, reference, Below::Stays))
    }

    fn delete_tag(&mut self, repository: usize, tag: &str) {
        let deleted = self.delete(repository, Reference::Tag(tag.parse().unwrap()));
        match self.model.repositories[repository].tags.remove(tag) {
            Some(_) => deleted.unwrap(),
            None => assert!(deleted.is_err()),
        }
    }

    fn delete_manifest(&mut self, repository: usize, manifest: usize) {
        let contents = &self.model.repositories[repository];
        let held: Vec<Digest> = contents.manifests.keys().copied().collect();
        if held.is_empty() {
            let digest = self.model.manifests[manifest % self.model.manifests.len()].digest();
            assert!(self.delete(repository, Reference::Digest(digest)).is_err());
            return;
        }
        let digest = held[manifest % held.len()];
        let begun = self.second();
        self.delete(repository, Reference::Digest(digest)).unwrap();
        self.model.drop_manifest(repository, &digest, self.since(begun));
    }

    fn delete_blob(&mut self, repository: usize, blob: usize) {
        let digest = self.model.blobs[blob % self.model.blobs.len()].digest;
        let server = self.server();
        let grant = server.grant::<Delete>(self.model.names[repository]);
        let deleted = server.wait(server.registry.delete_blob(&grant, &digest));
        if !self.model.repositories[repository].blobs.contains_key(&digest) {
            assert!(matches!(
                deleted,
                Err(RegistryError::BlobUnknown(_) | RegistryError::RepositoryUnknown(_))
            ));
        } else if self.model.is_referenced(repository, &digest) {
            assert!(matches!(deleted, Err(RegistryError::BlobReferenced(_))));
        } else {
            deleted.unwrap();
            self.model.repositories[repository].blobs.remove(&digest);
        }
    }

    fn reopen(&mut self, strict: bool, clean: bool) {
        let server = self.server.take().unwrap();
        if clean {
            server.wait(server.registry.close(&server.access.system("test")));
        }
        server.stop();
        self.strict = strict;
        let server = self.place.open(strict);
        server.wait(server.registry.sweep_uploads(&server.access.system("test"))).unwrap();
        self.server = Some(server);
        // A session without a byte has no row, so it does not survive a restart.
        self.model.sessions.retain(|session| session.received > 0);
    }
}

fn mode(quarantine: bool) -> Mode {
    if quarantine { Mode::Scheduled } else { Mode::SpaceIsShort }
}

/// Runs a history and calls `look` three times in between.
pub(super) fn after(acts: &[Act], look: impl Fn(&Server<'_>)) {
    let place = Place::new();
    let mut history = History::begin(&place);
    for part in acts.chunks(acts.len().div_ceil(3).max(1)) {
        for act in part {
            history.act(act);
        }
        look(history.server());
    }
}

fn play(acts: &[Act]) {
    let place = Place::new();
    let mut history = History::begin(&place);
    for act in acts {
        history.act(act);
    }
    history.assert_seen();
    history.server().assert_clean("after the history");
    history.reopen(true, true);
    history.assert_seen();
    history.server().assert_clean("after the next start");
    history.assert_collects_the_rest();
    history.assert_seen();
    history.server().assert_clean("after the last collection");
}

/// So many cases, or as many as `PROPTEST_CASES` says.
pub(super) fn cases(usual: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { usual };
    ProptestConfig { cases, failure_persistence: None, ..default }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn every_history_leaves_what_it_should(acts in prop::collection::vec(act(), 1..120)) {
        play(&acts);
    }
}

#[test]
fn an_upload_outlives_the_last_thing_in_its_repository() {
    play(&[
        Act::Upload { repository: 2, blob: 2 },
        Act::Start { repository: 2, blob: 3 },
        Act::DeleteBlob { repository: 2, blob: 2 },
        Act::Append { session: 0, bytes: 3 },
        Act::Reopen { strict: true, clean: false },
        Act::Finish { session: 0 },
    ]);
}

/// The answer comes in the last second in which the age would still cover its promise.
#[test]
fn an_answer_when_the_age_is_as_long_as_a_promise_renews_it() {
    play(&[
        Act::Upload { repository: 2, blob: 2 },
        Act::Skip { seconds: PROMISE_S },
        Act::Look { repository: 2, blob: 2 },
        Act::Skip { seconds: PROMISE_S },
        Act::Collect { quarantine: false },
    ]);
}
