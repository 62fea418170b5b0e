//! The next start finds what abandoned uploads left, however much was stored after it.

use super::*;
use crate::access::Push;
use crate::model::digest::Algorithm;
use crate::model::names::{ProjectId, RepoId};
use crate::registry::repositories;
use crate::store::meta::Tx as _;
use crate::store::meta::schema::{self, Repository as Row, Usage};

/// More repositories than one slice of the search.
const LATER: u64 = 2_500;

fn repositories(server: &Server<'_>) -> u64 {
    server.meta.get(|tx| tx.count(&schema::REPOSITORY)).unwrap()
}

fn id(server: &Server<'_>, name: &str) -> Option<RepoId> {
    server.meta.get(|tx| tx.get(&schema::REPOSITORY_NAME, name)).unwrap()
}

#[test]
fn an_empty_repository_is_found_behind_thousands_that_came_later() {
    let place = Place::new();
    let server = place.open(true);
    for name in ["left", "left/too"] {
        let grant = server.grant::<Push>(name);
        server.wait(server.registry.start_upload(&grant, Algorithm::Sha256)).unwrap();
    }
    let content = b"content";
    server.push_blob("kept", content, Digest::of(Algorithm::Sha256, content)).unwrap();
    server.forge(|tx| {
        for number in 0..LATER {
            let (id, name) = (tx.next_repository(), format!("later{number}"));
            tx.put(&schema::REPOSITORY_NAME, name.as_str(), &id)?;
            tx.put(&schema::REPOSITORY, id, &Row { name, project: ProjectId::ROOT, created_ms: 0 })?;
            tx.put(&schema::USAGE_REPOSITORY, id, &Usage { tags: 1, ..Usage::default() })?;
        }
        Ok(())
    });
    server.stop();

    let server = place.open(true);
    assert_eq!(repositories(&server), LATER + 3);
    server.wait(server.registry.sweep_uploads(&server.access.system("test"))).unwrap();
    assert_eq!(repositories(&server), LATER + 1);
    assert_eq!((id(&server, "left"), id(&server, "left/too")), (None, None));
    assert!(id(&server, "kept").is_some());
}

#[test]
fn an_index_says_whether_an_upload_is_in_a_repository_and_the_other_uploads_are_not_read() {
    let place = Place::new();
    let server = place.open(true);
    let grant = server.grant::<Push>("one");
    let upload = server.wait(server.registry.start_upload(&grant, Algorithm::Sha256)).unwrap();
    let body = Body::whole(vec![Bytes::from_static(b"a byte")]);
    server.wait(server.append(&grant, upload, None, body)).unwrap();
    let one = id(&server, "one").unwrap();
    let is_bare = || server.meta.get(|tx| repositories::is_bare(tx, one)).unwrap();
    assert!(!is_bare());
    // Without its entry in the index the upload is not found, which proves that the table of uploads is not
    // scanned.
    server.forge(move |tx| tx.delete(&schema::UPLOAD_BY_REPOSITORY, (one, upload)).map(drop));
    assert_eq!(server.meta.get(|tx| tx.count(&schema::UPLOAD)).unwrap(), 1);
    assert!(is_bare());
    // The entries of neighbouring repositories do not count either.
    for other in [one.0 - 1, one.0 + 1] {
        server.forge(move |tx| tx.put(&schema::UPLOAD_BY_REPOSITORY, (RepoId(other), upload), &()));
    }
    assert!(is_bare());
    server.forge(move |tx| tx.put(&schema::UPLOAD_BY_REPOSITORY, (one, upload), &()));
    assert!(!is_bare());
}
