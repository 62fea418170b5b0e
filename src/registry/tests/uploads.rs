//! What upload sessions and downloads may cost others: memory, slots, and the time of the next start.

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::*;
use crate::access::{Credential, Push, Scopes};
use crate::config::Config;
use crate::limits::{Limit, Limits, Resource};
use crate::model::digest::Algorithm;
use crate::model::names::{ProjectId, UserId};
use crate::registry::{Chunks, uploads};
use crate::store::faulty::Call;
use crate::store::meta::Tx as _;
use crate::store::meta::schema::{self, Owner, Repository as Row, Upload, User};

const NAME: &str = "team/app";

fn begin(server: &Server<'_>) -> UploadId {
    let grant = server.grant::<Push>(NAME);
    server.wait(server.registry.start_upload(&grant, Algorithm::Sha256)).unwrap()
}

fn length(bytes: u64) -> Announced {
    Announced { range: None, length: Some(bytes) }
}

fn exists(server: &Server<'_>, id: UploadId) -> bool {
    server.wait(server.registry.upload_standing(&server.grant::<Push>(NAME), id)).is_ok()
}

#[test]
fn at_the_limit_the_oldest_session_without_a_byte_makes_room_and_no_other() {
    let place = Place::new();
    let server = place.open(true);
    let limit = server.ledger.limit(Resource::UploadSessions);
    let holder = server.grant::<Push>(NAME).caller().holder();
    // A caller at the admin socket has no limit per principal, so this one needs an address.
    assert!(limit.each < limit.total && holder.from().is_some());
    let kept = begin(&server);
    let grant = server.grant::<Push>(NAME);
    let body = Body::whole(vec![Bytes::from_static(b"a byte")]);
    server.wait(server.append(&grant, kept, None, body)).unwrap();
    let ids: Vec<_> = (0..limit.each + 10).map(|_| begin(&server)).collect();
    assert_eq!(server.ledger.held(&holder, Resource::UploadSessions), limit.each);
    assert!(exists(&server, kept), "one with bytes makes no room");
    let (gone, left) = ids.split_at(11);
    assert!(gone.iter().all(|id| !exists(&server, *id)));
    assert!(left.iter().all(|id| exists(&server, *id)));
    assert_eq!(server.ledger.report(), [], "no caller was refused");
}

#[test]
fn at_the_limit_of_all_sessions_no_fresh_one_of_another_principal_makes_room() {
    let place = Place::new();
    let server = place.open(true);
    let limit = Limit { each: 3, total: 4, ..server.ledger.limit(Resource::UploadSessions) };
    server.ledger.reconfigure(Limits::of(&Config::default()).with(Resource::UploadSessions, limit));
    let from = |number: u8| -> Grant<Push> {
        let caller = Caller { principal: Principal::Anybody, address: Some([192, 0, 2, number].into()) };
        server.access.repository(&caller, &NAME.parse().unwrap()).unwrap()
    };
    let start = |grant: &Grant<Push>| server.wait(server.registry.start_upload(grant, Algorithm::Sha256));
    let honest = [begin(&server), begin(&server)];
    for attacker in [2, 3] {
        let grant = from(attacker);
        let id = start(&grant).unwrap();
        let body = Body::whole(vec![Bytes::from_static(b"x")]);
        server.wait(server.append(&grant, id, None, body)).unwrap();
    }
    let refused = start(&from(4)).err();
    assert!(matches!(refused, Some(RegistryError::Limit(_))), "{refused:?}");
    assert!(honest.iter().all(|id| exists(&server, *id)));
    let third = begin(&server);
    assert!(!exists(&server, honest[0]), "its own oldest one makes room");
    assert!(exists(&server, honest[1]) && exists(&server, third));
}

#[test]
fn a_session_whose_writer_waits_for_its_first_byte_makes_no_room() {
    let place = Place::new();
    let server = place.open(true);
    let first = begin(&server);
    let grant = server.grant::<Push>(NAME);
    let writer = server.wait(server.registry.write_upload(&grant, first, length(1))).unwrap();
    let second = begin(&server);
    for _ in 0..server.ledger.limit(Resource::UploadSessions).each {
        begin(&server);
    }
    assert!(exists(&server, first) && !exists(&server, second));
    server.wait(writer.append(Body::whole(vec![Bytes::from_static(b"x")]))).unwrap();
}

#[test]
fn sessions_that_end_give_their_places_and_bytes_back() {
    let place = Place::new();
    let server = place.open(true);
    let grant = server.grant::<Push>(NAME);
    let holder = grant.caller().holder();
    let held = |resource| server.ledger.held(&holder, resource);
    let content = b"content";
    let digest = Digest::of(Algorithm::Sha256, content);
    let cancelled = begin(&server);
    let (finished, body) = (begin(&server), || Body::whole(vec![Bytes::from_static(content)]));
    server.wait(server.append(&grant, cancelled, None, body())).unwrap();
    server.wait(server.append(&grant, finished, None, body())).unwrap();
    assert_eq!((held(Resource::UploadSessions), held(Resource::StagedBytes)), (2, 2 * content.len() as u64));
    server.wait(server.registry.cancel_upload(&grant, cancelled)).unwrap();
    server.wait(server.finish(&grant, finished, digest, Body::empty())).unwrap();
    assert_eq!((held(Resource::UploadSessions), held(Resource::StagedBytes)), (0, 0));
}

#[test]
fn bytes_that_were_announced_count_until_their_request_ends() {
    let place = Place::new();
    let server = place.open(true);
    let grant = server.grant::<Push>(NAME);
    let holder = grant.caller().holder();
    let id = begin(&server);
    let limit = Limit { each: 1 << 20, ..server.ledger.limit(Resource::StagedBytes) };
    server.ledger.reconfigure(Limits::of(&Config::default()).with(Resource::StagedBytes, limit));
    let writer = server.wait(server.registry.write_upload(&grant, id, length(1 << 20))).unwrap();
    assert_eq!(server.ledger.held(&holder, Resource::StagedBytes), 1 << 20);
    drop(writer);
    assert_eq!(server.ledger.held(&holder, Resource::StagedBytes), 0);
    let refused = server.wait(server.registry.write_upload(&grant, id, length(limit.each + 1))).err();
    assert!(matches!(refused, Some(RegistryError::Limit(_))), "{refused:?}");
    assert!(exists(&server, id));
}

/// A grant of a user who pushes to the registry.
fn of_user(server: &Server<'_>, id: u64) -> Grant<Push> {
    server.forge(move |tx| {
        if tx.has(&schema::USER, UserId(id))? {
            return Ok(());
        }
        tx.put(&schema::USER, UserId(id), &User::sample(&format!("user{id}")))
    });
    let principal = Principal::User {
        id: UserId(id),
        name: "user".into(),
        credential: Credential::Password(1),
        scopes: Scopes::ALL,
        claims: None,
    };
    let caller = Caller { principal, address: Some([192, 0, 2, 7].into()) };
    server.access.repository(&caller, &NAME.parse().unwrap()).unwrap()
}

#[test]
fn uploads_of_an_earlier_run_count_for_the_user_who_began_them_until_they_end() {
    let place = Place::new();
    let content = b"half of something";
    let server = place.open(true);
    let ids = [7, 7, 7, 8].map(|user| {
        let grant = of_user(&server, user);
        let id = server.wait(server.registry.start_upload(&grant, Algorithm::Sha256)).unwrap();
        let body = Body::whole(vec![Bytes::from_static(content)]);
        server.wait(server.append(&grant, id, None, body)).unwrap();
        id
    });
    let anonymous = begin(&server);
    let body = Body::whole(vec![Bytes::from_static(content)]);
    server.wait(server.append(&server.grant(NAME), anonymous, None, body)).unwrap();
    server.stop();
    let server = place.open(true);
    server.registry.count_uploads().unwrap();
    let (grant, other) = (of_user(&server, 7), of_user(&server, 8));
    let held = |grant: &Grant<Push>| {
        let holder = grant.caller().holder();
        let bytes = server.ledger.held(&holder, Resource::StagedBytes);
        (server.ledger.held(&holder, Resource::UploadSessions), bytes / content.len() as u64)
    };
    assert_eq!((held(&grant), held(&other)), ((3, 3), (1, 1)));
    // One session is resumed, which changes nothing, and one of them is finished.
    server.wait(server.registry.upload_standing(&grant, ids[0])).unwrap();
    assert_eq!(held(&grant), (3, 3));
    let digest = Digest::of(Algorithm::Sha256, content);
    server.wait(server.finish(&grant, ids[0], digest, Body::empty())).unwrap();
    assert_eq!(held(&grant), (2, 2));
    server.wait(server.registry.cancel_upload(&grant, ids[1])).unwrap();
    assert_eq!(held(&grant), (1, 1));
    // Sessions above a lowered limit stay, and none is added.
    let limit = Limit { each: 1, ..server.ledger.limit(Resource::StagedBytes) };
    server.ledger.reconfigure(Limits::of(&Config::default()).with(Resource::StagedBytes, limit));
    let refused = server.wait(server.registry.write_upload(&grant, ids[2], length(1))).err();
    assert!(matches!(refused, Some(RegistryError::Limit(_))), "{refused:?}");
    // The sessions of a deleted user end.
    server.forge(|tx| tx.delete(&schema::USER, UserId(8)).map(drop));
    assert_eq!(
        server.wait(server.registry.end_uploads_without_owner(&server.access.system("test"))).unwrap(),
        1
    );
    assert_eq!((held(&grant), held(&other)), ((1, 1), (0, 0)));
}

#[test]
fn a_manifest_counts_in_memory_until_it_is_stored_also_when_its_client_is_gone() {
    let place = Place::new();
    let server = place.open(true);
    let grant = server.grant::<Push>(NAME);
    let body = Bytes::from_static(
        br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#,
    );
    let size = body.len() as u64;
    let room = server.ledger.charge(&grant.caller().holder(), Resource::ManifestBytes, size).unwrap();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = std::sync::Mutex::new(blocked);
    let meta = Arc::clone(&server.meta);
    let writer = server.place.runtime.spawn(async move {
        let wait = move |_: &meta::WriteTx<'_>| {
            let _ = blocked.lock().unwrap().recv();
            Ok::<_, StoreError>(())
        };
        meta.write(wait).await
    });
    let put = PutManifest {
        reference: Reference::Tag("t".parse().unwrap()),
        tags: Vec::new(),
        content_type: None,
        body,
        condition: Condition::default(),
    };
    // The client disconnects while the manifest waits for the writer.
    let stored = server.wait(async { server.registry.put_manifest(&grant, put, vec![room]).now_or_never() });
    assert!(stored.is_none());
    assert_eq!(server.ledger.total(Resource::ManifestBytes), size);
    release.send(()).unwrap();
    server.wait(writer).unwrap().unwrap();
    let begun = Instant::now();
    while server.ledger.total(Resource::ManifestBytes) > 0 {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    server
        .wait(server.registry.manifest(&server.grant(NAME), &Reference::Tag("t".parse().unwrap())))
        .unwrap();
}

#[test]
fn a_body_counts_until_its_bytes_are_written_also_when_its_client_is_gone() {
    let place = Place::new();
    let server = place.open(true);
    let grant = server.grant::<Push>(NAME);
    let (content, holder) = (b"all of a blob", grant.caller().holder());
    let digest = Digest::of(Algorithm::Sha256, content);
    let held = || [Resource::Bodies, Resource::BodyPlaces].map(|resource| server.ledger.total(resource));
    let charge = |resource| server.ledger.charge(&holder, resource, 1).unwrap();
    let place = Arc::new(charge(Resource::BodyPlaces));
    let chunks = Chunks::charged(vec![Bytes::from_static(content)], Some(place));
    let body = Body::whole(chunks).counted(charge(Resource::Bodies));
    // The client disconnects while the blob waits for another one with the same digest.
    let lock = server.wait(server.registry.locks.lock(&digest));
    let finished = server.wait(async {
        let id = server.registry.start_upload(&grant, Algorithm::Sha256).await.unwrap();
        let writer = server.registry.write_upload(&grant, id, Announced::default()).await.unwrap();
        writer.finish(vec![digest], body).now_or_never()
    });
    assert!(finished.is_none());
    assert_eq!(held(), [1, 1]);
    drop(lock);
    let begun = Instant::now();
    while held() != [0, 0] {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    server.wait(server.registry.open_blob(&server.grant(NAME), &digest)).unwrap();
}

/// So many sessions and empty repositories that comparing each with each would take minutes.
const MANY: u64 = 6_000;
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn the_sweep_of_a_start_grows_with_what_is_left_and_not_with_its_square() {
    let place = Place::new();
    let server = place.open(true);
    server.push_blob("full", b"content", Digest::of(Algorithm::Sha256, b"content")).unwrap();
    let full = server.meta.get(|tx| tx.get(&schema::REPOSITORY_NAME, "full")).unwrap().unwrap();
    for part in 0..MANY / 1_000 {
        server.forge(move |tx| {
            for number in part * 1_000..(part + 1) * 1_000 {
                let row = Upload {
                    repository: full,
                    owner: Owner::Anonymous,
                    offset: 1,
                    algorithm: Algorithm::Sha256.byte(),
                    hash_state: None,
                    active_s: 0,
                };
                uploads::put_row(tx, UploadId::from_bytes(u128::from(number).to_be_bytes()), &row)?;
                let (id, name) = (tx.next_repository(), format!("bare{number}"));
                tx.put(&schema::REPOSITORY_NAME, name.as_str(), &id)?;
                let row = Row { name, project: ProjectId::ROOT, created_ms: 0 };
                tx.put(&schema::REPOSITORY, id, &row)?;
            }
            Ok(())
        });
    }
    let begun = Instant::now();
    server.wait(server.registry.sweep_uploads(&server.access.system("test"))).unwrap();
    assert_eq!(server.meta.get(|tx| tx.count(&schema::REPOSITORY)).unwrap(), 1);
    assert_eq!(server.meta.get(|tx| tx.count(&schema::UPLOAD)).unwrap(), MANY);
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

#[test]
fn a_sweep_leaves_alone_what_began_after_the_start() {
    let place = Place::new();
    let server = place.open(true);
    let (empty, begun) = (begin(&server), begin(&server));
    let grant = server.grant::<Push>(NAME);
    let body = Body::whole(vec![Bytes::from_static(b"a byte")]);
    server.wait(server.append(&grant, begun, None, body)).unwrap();
    let removed = server.wait(server.registry.sweep_uploads(&server.access.system("test"))).unwrap();
    assert_eq!(removed, 0);
    assert!(exists(&server, empty) && exists(&server, begun));
    server.assert_clean("after the sweep");
}

#[test]
fn an_upload_that_is_hashed_from_its_start_keeps_no_other_one_waiting() {
    let place = Place::new();
    let server = place.open(true);
    // The state of one hash cannot be saved; that of the other one can.
    let [hashed, saved] = [Algorithm::Blake3, Algorithm::Sha512].map(|algorithm| {
        let grant = server.grant::<Push>(NAME);
        let id = server.wait(server.registry.start_upload(&grant, algorithm)).unwrap();
        let body = Body::whole(vec![Bytes::from_static(b"content")]);
        server.wait(server.append(&grant, id, None, body)).unwrap();
        id
    });
    server.stop();
    let server = place.open(true);
    let (grant, registry) = (server.grant::<Push>(NAME), &server.registry);
    // Simulates that other long files are being hashed: the first upload holds its lock while it waits.
    let permits = u32::try_from(registry.rehashes.available_permits()).unwrap();
    let busy = server.wait(Arc::clone(&registry.rehashes).acquire_many_owned(permits)).unwrap();
    let begun = Instant::now();
    let second = async {
        while registry.sessions.load_lock(hashed).try_lock().is_ok() {
            assert!(begun.elapsed() < PATIENCE, "nothing is loaded");
            tokio::task::yield_now().await;
        }
        let standing = tokio::time::timeout(PATIENCE, registry.upload_standing(&grant, saved)).await;
        drop(busy);
        standing.expect("it waits for another upload").unwrap().offset
    };
    let first = registry.upload_standing(&grant, hashed);
    let (first, second) = server.wait(async { tokio::join!(first, second) });
    assert_eq!((first.unwrap().offset, second), (7, 7));
}

#[test]
fn a_request_with_many_ranges_counts_as_one_reader() {
    let place = Place::new();
    let server = place.open(true);
    let content = vec![7; 100_000];
    let digest = Digest::of(Algorithm::Sha256, &content);
    server.push_blob(NAME, &content, digest).unwrap();
    let open = || server.wait(server.registry.open_blob(&server.grant(NAME), &digest)).unwrap();
    let (first, second) = (open(), open());
    assert_eq!(server.registry.readers.count(), 0);
    let readers: Vec<_> = (0..1_000).map(|start| first.reader(start, 10)).collect();
    assert_eq!(server.registry.readers.count(), 1);
    let other = second.reader(0, 10);
    assert_eq!(server.registry.readers.count(), 2);
    drop((readers, first));
    assert_eq!(server.registry.readers.count(), 1);
    drop((other, second));
    assert_eq!(server.registry.readers.count(), 0);
}

#[test]
fn no_request_asks_the_file_system_how_full_it_is() {
    let place = Place::new();
    let server = place.open(true);
    server.faults.set_plan(None);
    let before = server.faults.trace().len();
    server.push_blob(NAME, b"content", Digest::of(Algorithm::Sha256, b"content")).unwrap();
    begin(&server);
    let calls = server.faults.trace();
    assert!(!calls[before.min(calls.len())..].contains(&Call::Space), "{calls:?}");
    server.wait(server.registry.sample_space(&server.access.system("test")));
    assert!(server.faults.trace().contains(&Call::Space));
}
