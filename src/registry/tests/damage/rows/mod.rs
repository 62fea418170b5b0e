//! Damaged, missing and unexpected rows: the check must report each of these.

mod audit;
mod jobs;
mod manifests;
mod tokens;
mod trash;

use super::*;
use crate::model::digest::AnyDigest;
use crate::model::names::{ProjectId, Sequence, UserId};
use crate::model::time::RunningSecond;
use crate::store::meta::schema::{
    AuditEntry, Blob, BlobState, Link, Listed, Manifest, Project, Pulls, Repository, Tag, Upload, Usage, User,
};
use crate::store::meta::{Raw, StoreError};

type Damage = fn(&WriteTx<'_>, &Sample, RepoId) -> Result<(), StoreError>;

/// Applies each damage to a new store and asserts the problem that must be reported.
fn assert_found(damages: &[(&'static str, Damage)]) {
    let store = Store::new();
    for (index, (kind, damage)) in damages.iter().enumerate() {
        let (sample, damage) = (store.sample, *damage);
        let server = store.open();
        server.forge(move |tx| damage(tx, &sample, Sample::repository(tx)));
        let report = server.check();
        assert!(kinds(&report).contains(kind), "damage {index} is no {kind} but {:#?}", report.problems);
        server.stop();
    }
}

fn change_blob(tx: &WriteTx<'_>, digest: &Digest, change: impl Fn(&mut Blob)) -> Result<(), StoreError> {
    let mut row = tx.get(&schema::BLOB, digest)?.unwrap();
    change(&mut row);
    tx.put(&schema::BLOB, digest, &row)
}

fn change_link(
    tx: &WriteTx<'_>,
    id: RepoId,
    digest: &Digest,
    change: impl Fn(&mut Link),
) -> Result<(), StoreError> {
    let mut row = tx.get(&schema::LINK, (id, digest))?.unwrap();
    change(&mut row);
    tx.put(&schema::LINK, (id, digest), &row)
}

fn change_manifest(
    tx: &WriteTx<'_>,
    id: RepoId,
    digest: &Digest,
    change: impl Fn(&mut Manifest),
) -> Result<(), StoreError> {
    let mut row = tx.get(&schema::MANIFEST, (id, digest))?.unwrap();
    change(&mut row);
    tx.put(&schema::MANIFEST, (id, digest), &row)
}

fn change_tag(tx: &WriteTx<'_>, id: RepoId, change: impl Fn(&mut Tag)) -> Result<(), StoreError> {
    let mut row = tx.get(&schema::TAG, (id, "latest"))?.unwrap();
    change(&mut row);
    tx.put(&schema::TAG, (id, "latest"), &row)
}

fn delete<T>(deleted: Result<bool, T>) -> Result<(), T> {
    assert!(deleted?, "there is nothing to delete");
    Ok(())
}

#[test]
fn damage_to_projects_and_repositories_is_found() {
    assert_found(&[
        ("project_path", |tx, _, _| delete(tx.delete(&schema::PROJECT_PATH, "a"))),
        ("project_path", |tx, _, _| tx.put(&schema::PROJECT_PATH, "b", &ProjectId(2))),
        ("project_path", |tx, _, _| tx.put(&schema::PROJECT_PATH, "b", &ProjectId(77))),
        ("project_parent", |tx, _, _| {
            let row = Project { path: "a".to_owned(), parent: None, created_ms: 0 };
            tx.put(&schema::PROJECT, ProjectId(2), &row)
        }),
        ("project_parent", |tx, _, _| {
            let row = Project { path: "a".to_owned(), parent: Some(ProjectId(3)), created_ms: 0 };
            tx.put(&schema::PROJECT, ProjectId(2), &row)
        }),
        ("row_unreadable", |tx, _, _| tx.put(&schema::PROJECT.raw(), ProjectId(2), &Raw(vec![1]))),
        ("repository_name", |tx, _, _| delete(tx.delete(&schema::REPOSITORY_NAME, NAME))),
        ("repository_name", |tx, _, id| tx.put(&schema::REPOSITORY_NAME, "b", &id)),
        ("repository_name", |tx, _, _| tx.put(&schema::REPOSITORY_NAME, "b", &RepoId(77))),
        ("repository_name", |tx, _, id| delete(tx.delete(&schema::REPOSITORY, id))),
        ("repository_unknown", |tx, _, id| delete(tx.delete(&schema::REPOSITORY, id))),
        ("repository_name", |tx, _, id| {
            let row = Repository { name: "Not A Name".to_owned(), project: ProjectId::ROOT, created_ms: 0 };
            tx.put(&schema::REPOSITORY, id, &row)
        }),
        ("repository_project", |tx, _, id| {
            let row = Repository { name: NAME.to_owned(), project: ProjectId(77), created_ms: 0 };
            tx.put(&schema::REPOSITORY, id, &row)
        }),
        ("row_unreadable", |tx, _, id| tx.put(&schema::REPOSITORY.raw(), id, &Raw(Vec::new()))),
        ("catalog", |tx, _, _| delete(tx.delete(&schema::CATALOG, NAME))),
        ("catalog", |tx, _, _| tx.put(&schema::CATALOG, "b", &())),
        ("repository_unknown", |tx, _, _| tx.put(&schema::DIRTY_REPOSITORY, RepoId(77), &Sequence(1))),
        ("repository_unknown", |tx, _, _| {
            tx.put(&schema::TAG_BY_SEQUENCE, (RepoId(77), Sequence(1)), &"v1".to_owned())
        }),
    ]);
}

#[test]
fn damage_to_blobs_is_found() {
    assert_found(&[
        ("blob_missing", |tx, sample, _| delete(tx.delete(&schema::BLOB, &sample.layer))),
        ("blob_size", |tx, sample, _| change_blob(tx, &sample.layer, |row| row.size += 1)),
        ("blob_corrupt", |tx, sample, _| {
            change_blob(tx, &sample.layer, |row| {
                // Its file must be damaged as well: a hidden blob whose file is intact is not a problem.
                row.state = BlobState::Corrupt;
                row.size += 1;
            })
        }),
        ("blob_deleting", |tx, sample, _| {
            change_blob(tx, &sample.layer, |row| row.state = BlobState::Deleting)
        }),
        ("blob_free", |tx, sample, _| {
            change_blob(tx, &sample.layer, |row| row.free_since = Some(RunningSecond(7)))
        }),
        ("blob_free", |tx, sample, _| change_blob(tx, &sample.free, |row| row.free_since = None)),
        ("blob_free", |tx, sample, _| {
            change_blob(tx, &sample.free, |row| row.free_since = Some(RunningSecond(77_777)))
        }),
        ("blob_free", |tx, sample, _| tx.put(&schema::BLOB_FREE, (RunningSecond(7), &sample.layer), &())),
        ("blob_free", |tx, sample, _| {
            let since = tx.get(&schema::BLOB, &sample.free)?.unwrap().free_since.unwrap();
            delete(tx.delete(&schema::BLOB_FREE, (since, &sample.free)))
        }),
        ("row_unreadable", |tx, sample, _| {
            tx.put(&schema::BLOB.raw(), &sample.layer, &Raw(b"junk".to_vec()))
        }),
        ("key", |tx, sample, _| {
            let row = tx.get(&schema::BLOB, &sample.free)?.unwrap();
            tx.put(&schema::BLOB.raw_keys(), &[9, 9][..], &row)
        }),
        ("blob_file_missing", |tx, sample, _| {
            let row = tx.get(&schema::BLOB, &sample.layer)?.unwrap();
            tx.put(&schema::BLOB, &sample.absent, &row)
        }),
    ]);
}

fn listed() -> Listed {
    Listed { media_type: crate::model::media_type::OCI_MANIFEST.to_owned(), size: 1 }
}

#[test]
fn damage_to_links_is_found() {
    assert_found(&[
        ("link_references", |tx, sample, id| change_link(tx, id, &sample.layer, |row| row.references += 1)),
        ("link_references", |tx, sample, id| change_link(tx, id, &sample.layer, |row| row.references = 0)),
        ("link_references", |tx, sample, id| delete(tx.delete(&schema::LINK, (id, &sample.layer)))),
        ("link_references", |tx, sample, id| {
            let row = Link { references: 1, ..Link::default() };
            tx.put(&schema::LINK, (id, &sample.absent), &row)
        }),
        ("blob_link", |tx, sample, id| change_link(tx, id, &sample.layer, |row| row.present = false)),
        ("link_flags", |tx, sample, id| change_link(tx, id, &sample.layer, |row| row.hidden = true)),
        ("link_said", |tx, sample, id| change_link(tx, id, &sample.layer, |row| row.said = Some(1_000_000))),
        ("link_flags", |tx, sample, id| tx.put(&schema::LINK, (id, &sample.absent), &Link::default())),
        ("link_flags", |tx, _, id| {
            let foreign: AnyDigest = "sha384:ab".parse().unwrap();
            tx.put(&schema::LINK, (id, &foreign), &Link { present: true, ..Link::default() })
        }),
        ("key", |tx, _, id| {
            tx.put(&schema::LINK.raw_keys(), (id.0, &[9, 9][..]), &Link { references: 1, ..Link::default() })
        }),
        ("blob_missing", |tx, sample, id| {
            tx.put(&schema::LINK, (id, &sample.absent), &Link { present: true, ..Link::default() })
        }),
        ("link_zero", |tx, sample, id| change_link(tx, id, &sample.unused, |row| row.zero_since.0 += 7)),
        ("link_zero", |tx, sample, id| {
            let since = tx.get(&schema::LINK, (id, &sample.unused))?.unwrap().zero_since;
            delete(tx.delete(&schema::LINK_ZERO, (since, id, &sample.unused)))
        }),
        ("link_zero", |tx, sample, id| {
            tx.put(&schema::LINK_ZERO, (RunningSecond(0), id, &sample.layer), &())
        }),
        ("link_zero", |tx, sample, id| {
            tx.put(&schema::LINK_ZERO, (RunningSecond(77), id, &sample.unused), &())
        }),
        ("blob_link", |tx, sample, id| delete(tx.delete(&schema::BLOB_LINK, (&sample.layer, id)))),
        ("blob_link", |tx, sample, id| tx.put(&schema::BLOB_LINK, (&sample.free, id), &())),
        ("row_unreadable", |tx, sample, id| {
            tx.put(&schema::LINK.raw(), (id, &sample.layer), &Raw(vec![1, 2, 3]))
        }),
    ]);
}

#[test]
fn damage_to_figures_counters_uploads_and_users_is_found() {
    fn change_usage(tx: &WriteTx<'_>, id: RepoId, change: impl Fn(&mut Usage)) -> Result<(), StoreError> {
        let mut row = tx.get(&schema::USAGE_REPOSITORY, id)?.unwrap();
        change(&mut row);
        tx.put(&schema::USAGE_REPOSITORY, id, &row)
    }
    assert_found(&[
        ("usage", |tx, _, id| change_usage(tx, id, |usage| usage.blobs += 1)),
        ("usage", |tx, _, id| change_usage(tx, id, |usage| usage.bytes += 1)),
        ("usage", |tx, _, id| change_usage(tx, id, |usage| usage.unique_bytes += 1)),
        ("usage", |tx, _, id| change_usage(tx, id, |usage| usage.manifests += 1)),
        ("usage", |tx, _, id| change_usage(tx, id, |usage| usage.manifest_bytes += 1)),
        ("usage", |tx, _, id| change_usage(tx, id, |usage| usage.tags += 1)),
        ("usage", |tx, _, id| delete(tx.delete(&schema::USAGE_REPOSITORY, id))),
        ("usage", |tx, _, _| delete(tx.delete(&schema::USAGE_PROJECT, ProjectId(2)))),
        ("usage", |tx, _, _| {
            tx.put(&schema::USAGE_PROJECT, ProjectId(77), &Usage { blobs: 1, ..Usage::default() })
        }),
        ("row_unreadable", |tx, _, _| tx.put(&schema::USAGE_PROJECT.raw(), ProjectId(2), &Raw(vec![1]))),
        ("project_blob", |tx, sample, _| {
            delete(tx.delete(&schema::PROJECT_BLOB, (&sample.layer, ProjectId(2))))
        }),
        ("project_blob", |tx, sample, _| tx.put(&schema::PROJECT_BLOB, (&sample.layer, ProjectId::ROOT), &3)),
        ("project_blob", |tx, sample, _| tx.put(&schema::PROJECT_BLOB, (&sample.free, ProjectId::ROOT), &1)),
        ("upload_file", |tx, sample, _| {
            let row = tx.get(&schema::UPLOAD, sample.upload)?.unwrap();
            tx.put(&schema::UPLOAD, sample.upload, &Upload { offset: 99, ..row })
        }),
        ("upload_repository", |tx, sample, _| {
            let row = tx.get(&schema::UPLOAD, sample.upload)?.unwrap();
            tx.put(&schema::UPLOAD, sample.upload, &Upload { repository: RepoId(77), ..row })
        }),
        ("upload_index", |tx, sample, id| {
            delete(tx.delete(&schema::UPLOAD_BY_REPOSITORY, (id, sample.upload)))
        }),
        ("upload_index", |tx, _, id| {
            tx.put(&schema::UPLOAD_BY_REPOSITORY, (id, UploadId::from_bytes([7; 16])), &())
        }),
        ("repository_unknown", |tx, sample, _| {
            tx.put(&schema::UPLOAD_BY_REPOSITORY, (RepoId(77), sample.upload), &())
        }),
        ("key", |tx, sample, _| {
            let row = tx.get(&schema::UPLOAD, sample.upload)?.unwrap();
            tx.put(&schema::UPLOAD.raw_keys(), &[1, 2, 3][..], &row)
        }),
        ("user_name", |tx, _, _| tx.put(&schema::USER_NAME, "hanna", &UserId(5))),
        ("user_name", |tx, _, _| tx.put(&schema::USER, UserId(5), &User::sample("hanna"))),
        ("outbox", |tx, _, _| delete(tx.delete(&schema::OUTBOX, Sequence(1)))),
        ("clock", |tx, _, _| {
            let row = AuditEntry {
                at_ms: 0,
                actor: String::new(),
                address: String::new(),
                action: String::new(),
                target: String::new(),
                hash: [0; 32],
            };
            tx.put(&schema::AUDIT, Sequence(1 << 40), &row)
        }),
        ("clock", |tx, _, _| {
            let row = Repository { name: "new".to_owned(), project: ProjectId::ROOT, created_ms: 0 };
            tx.put(&schema::REPOSITORY, RepoId(1 << 40), &row)
        }),
        ("row_unreadable", |tx, _, _| tx.put(&schema::OUTBOX.raw(), Sequence(1), &Raw(vec![1, 2, 3]))),
        ("row_unreadable", |tx, _, _| tx.put(&schema::AUTH_EPOCH.raw(), (), &Raw(vec![9]))),
    ]);
}

#[test]
fn a_list_that_nobody_would_read_is_cut_short() {
    let store = Store::new();
    let server = store.open();
    server.forge(|tx| {
        let id = Sample::repository(tx);
        (0..10_050_u64).try_for_each(|n| {
            let digest = Digest::of(crate::model::digest::Algorithm::Sha256, &n.to_le_bytes());
            tx.put(&schema::PULLS, (id, &digest), &Pulls::default())
        })
    });
    let report = server.check();
    assert_eq!(report.problems.len(), 10_000);
    assert!(report.notes.iter().any(|note| note == "50 more problems are not listed"), "{:?}", report.notes);
    assert_eq!(report.problems[0].repository.as_deref(), Some(NAME));
    server.stop();
}
