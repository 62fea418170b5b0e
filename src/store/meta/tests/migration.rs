//! Migrations: interrupted at every commit, on a full disk, by an older program, and of an older store.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::model::digest::{Algorithm, Digest};
use crate::model::names::RepoId;
use crate::model::time::RunningSecond;
use crate::store::faulty::Call;
use crate::store::meta::format::{OLDEST, SCHEMA};
use crate::store::meta::migrate::{LinkOf5, PullsOf5, Unchained};
use crate::store::meta::schema::{AuditEntry, CHAIN_ANCHOR, CHAIN_HEAD, ChainEnd, Collection, Format, Link};
use crate::store::meta::table::Row;

/// More entries than two slices have.
const ENTRIES: u64 = 2_500;

fn change(file: &Path, change: impl Fn(&redb::WriteTransaction)) {
    let database = redb::Database::open(file).unwrap();
    let tx = database.begin_write().unwrap();
    change(&tx);
    tx.commit().unwrap();
}

fn set_format(tx: &redb::WriteTransaction, schema: u32, min_writer: u32) {
    let mut table = tx.open_table(schema::FORMAT.definition()).unwrap();
    let format = Format::decode(table.get(()).unwrap().unwrap().value()).unwrap();
    let format = Format { schema, min_reader: min_writer, min_writer, ..format };
    table.insert((), format.encode().as_slice()).unwrap();
}

fn format(file: &Path) -> Format {
    let database = redb::Database::open(file).unwrap();
    let tx = redb::ReadableDatabase::begin_read(&database).unwrap();
    let table = tx.open_table(schema::FORMAT.definition()).unwrap();
    Format::decode(table.get(()).unwrap().unwrap().value()).unwrap()
}

/// The digest of a link, and the link in format 5.
fn old_link(number: u64) -> (Digest, LinkOf5) {
    let link = LinkOf5 {
        present: !number.is_multiple_of(2),
        references: number % 3,
        trash_references: number % 5,
        hidden: number.is_multiple_of(7),
        zero_since: RunningSecond(number),
        said: Some(number).filter(|number| number.is_multiple_of(2)),
    };
    (Digest::of(Algorithm::Sha256, &number.to_be_bytes()), link)
}

/// A store of format 4: its entries are not chained, and its links do not say whether they are fresh.
fn old_store() -> Store {
    let mut store = Store::new();
    let meta = store.open();
    store.set(&meta, "kept", 7).unwrap();
    meta.close();
    change(&store.file(), |tx| {
        set_format(tx, 4, 4);
        let mut table = tx.open_table(schema::AUDIT.definition()).unwrap();
        for sequence in 1..=ENTRIES {
            let entry = Unchained {
                at_ms: sequence,
                actor: "hanna".to_owned(),
                address: String::new(),
                action: "tag.delete".to_owned(),
                target: format!("team/app:{sequence}"),
            };
            table.insert(sequence, entry.encode().as_slice()).unwrap();
        }
        drop(table);
        let mut table = tx.open_table(schema::LINK.definition()).unwrap();
        for (digest, link) in (1..=ENTRIES).map(old_link) {
            table.insert((7, &digest.key()[..]), link.encode().as_slice()).unwrap();
        }
        drop(table);
        let mut table = tx.open_table(schema::PULLS.definition()).unwrap();
        for number in 1..=ENTRIES {
            let pulls = PullsOf5 { count: number, last_ms: 2 * number };
            table.insert((7, &old_link(number).0.key()[..]), pulls.encode().as_slice()).unwrap();
        }
        drop(table);
        assert!(tx.delete_table(schema::AUDIT_CHAIN.definition()).unwrap());
        assert!(tx.delete_table(schema::MIGRATION.definition()).unwrap());
    });
    store.older = Older::CopyAndMigrate;
    store
}

fn backup(store: &Store) -> PathBuf {
    store.dir.path().join(format!("backup-before-{SCHEMA}.redb"))
}

/// Asserts that every link is there, and is fresh if its upload may be all that made it.
fn assert_links(meta: &Meta) {
    let links = meta.get(|tx| {
        let mut links = 0;
        for (digest, old) in (1..=ENTRIES).map(old_link) {
            let LinkOf5 { present, references, trash_references, hidden, zero_since, said } = old;
            let fresh = present && references == 0;
            let expected = Link { present, references, trash_references, hidden, zero_since, said, fresh };
            assert_eq!(tx.get(&schema::LINK, (RepoId(7), &digest))?, Some(expected));
            links += 1;
            let pulls = tx.get(&schema::PULLS, (RepoId(7), &digest))?.unwrap();
            assert_eq!((pulls.count, pulls.last_ms), (links, 2 * links));
        }
        assert_eq!(tx.get(&schema::COLLECTION, ())?, Some(Collection { untagged: false }));
        assert_eq!(tx.count(&schema::LINK)?, links);
        Ok::<_, StoreError>(links)
    });
    assert_eq!(links.unwrap(), ENTRIES);
}

/// Asserts that everything is there, in the present format, and chained.
fn assert_migrated(meta: &Meta) {
    assert_links(meta);
    assert_eq!(number(meta, "kept"), Some(7));
    let (format, begun) = meta
        .get(|tx| Ok::<_, StoreError>((tx.get(&schema::FORMAT, ())?, tx.has(&schema::MIGRATION, ())?)))
        .unwrap();
    let format = format.unwrap();
    assert_eq!((format.schema, format.min_writer, begun), (SCHEMA, SCHEMA, false));
    let ends = meta.get(|tx| {
        let mut last = ChainEnd::START;
        tx.scan_all(&schema::AUDIT, |sequence, entry| {
            assert_eq!((sequence.0, entry.at_ms), (last.sequence.0 + 1, sequence.0));
            assert_eq!(entry.target, format!("team/app:{}", sequence.0));
            assert_eq!(entry.hash, entry.link(&last.hash, sequence));
            last = ChainEnd { sequence, hash: entry.hash };
            std::ops::ControlFlow::Continue(())
        })?;
        let end = |name| tx.get(&schema::AUDIT_CHAIN, name);
        assert_eq!(last.sequence.0, ENTRIES);
        assert_eq!(end(CHAIN_HEAD)?, Some(last));
        end(CHAIN_ANCHOR)
    });
    assert_eq!(ends.unwrap(), Some(ChainEnd::START));
}

/// The numbers of calls after which a migration is interrupted: on both sides of every sync, so before and
/// after each commit, and at some calls in between.
fn cuts(content: &[u8]) -> Vec<u64> {
    let mut store = old_store();
    fs::write(store.file(), content).unwrap();
    let faults = Arc::new(Faults::recording());
    store.faults = Some(Arc::clone(&faults));
    store.open().close();
    let trace = faults.trace();
    let syncs = trace.iter().filter(|call| **call == Call::DatabaseSync).count();
    assert!(syncs >= 14, "two for each commit, of which there are seven: {syncs}");
    let behind = |at: usize| trace[at] == Call::DatabaseSync;
    (0..trace.len())
        .filter(|at| behind(*at) || (*at > 0 && behind(*at - 1)) || at % 23 == 0)
        .map(|at| at as u64)
        .collect()
}

/// Opens a store of format 4 whose disk fails after each of the cuts, then on a disk without faults.
fn at_each_cut(errno: i32, refused: impl Fn(&Store, u64, &OpenError)) {
    let mut store = old_store();
    let content = fs::read(store.file()).unwrap();
    let faults = Arc::new(Faults::default());
    store.faults = Some(Arc::clone(&faults));
    let mut begun = 0;
    for cut in cuts(&content) {
        fs::write(store.file(), &content).unwrap();
        let _ = fs::remove_file(backup(&store));
        faults.stop_after(cut, errno);
        let failed = store.try_open().map(|meta| meta.close());
        faults.set_plan(None);
        if let Err(error) = failed {
            refused(&store, cut, &error);
        }
        let repaired = {
            store.older = Older::Refuse;
            store.try_open().err()
        };
        store.older = Older::CopyAndMigrate;
        if repaired.is_some() {
            let found = format(&store.file());
            assert!(
                found.schema < SCHEMA && (found.min_writer == 4 || found.min_writer == SCHEMA),
                "{found:?}"
            );
            begun += usize::from(found.min_writer == SCHEMA);
        }
        let meta = store.open();
        assert_migrated(&meta);
        meta.close();
        store.older = Older::Refuse;
        assert_migrated(&store.open());
        store.older = Older::CopyAndMigrate;
        let mut copied = Store::new();
        fs::copy(backup(&store), copied.file()).unwrap();
        assert_eq!(format(&copied.file()).min_writer, 4, "cut {cut}: the copy is of the store before");
        copied.older = Older::Migrate;
        assert_migrated(&copied.open());
    }
    assert!(begun >= 3, "{begun} of the cuts left a migration that had begun");
}

#[test]
fn a_migration_that_is_killed_goes_on_with_the_next_start() {
    at_each_cut(libc::EIO, |_, _, _| {});
}

#[test]
fn a_migration_on_a_full_disk_says_what_it_needs_and_goes_on_when_there_is_space() {
    at_each_cut(libc::ENOSPC, |store, cut, error| match error {
        OpenError::NoRoom { needed, for_copy, .. } => {
            assert_eq!(*for_copy, cut == 0, "cut {cut}");
            assert!(*needed >= 32 << 20, "cut {cut}: {needed}");
            assert!(!for_copy || !backup(store).exists());
        }
        other => panic!("cut {cut}: {other}"),
    });
}

#[test]
fn an_older_store_is_left_alone_where_it_is_not_to_be_migrated() {
    let mut store = old_store();
    let content = fs::read(store.file()).unwrap();
    store.older = Older::Refuse;
    assert!(matches!(store.try_open(), Err(OpenError::OldFormat { schema: 4, .. })));
    assert!(fs::read(store.file()).unwrap() == content, "the file was changed");
    store.older = Older::Migrate;
    assert_migrated(&store.open());
    assert!(!backup(&store).exists(), "no copy was asked for");
}

#[test]
fn a_newer_store_is_refused_with_the_copy_that_this_version_may_know() {
    let store = Store::new();
    store.open().close();
    // The state that a newer version leaves when its migration is interrupted: `schema` is still that of this
    // version.
    change(&store.file(), |tx| set_format(tx, SCHEMA, SCHEMA + 1));
    let refusal = |store: &Store| match store.try_open() {
        Err(OpenError::UnknownFormat { copy, .. }) => copy,
        other => panic!("{:?}", other.err()),
    };
    assert_eq!(refusal(&store), None);
    for stamp in [OLDEST, SCHEMA, SCHEMA + 2, SCHEMA + 1] {
        fs::write(store.dir.path().join(format!("backup-before-{stamp}.redb")), b"a copy").unwrap();
    }
    let expected = store.dir.path().join(format!("backup-before-{}.redb", SCHEMA + 1));
    assert_eq!(refusal(&store), Some(expected));
}

#[test]
fn a_damaged_entry_stays_as_it_is_and_the_others_are_chained_around_it() {
    let store = old_store();
    change(&store.file(), |tx| {
        tx.open_table(schema::AUDIT.definition()).unwrap().insert(2, &[9, 9][..]).unwrap();
    });
    let meta = store.open();
    let (first, damaged, third) = meta
        .get(|tx| {
            let entry = |sequence| tx.get(&schema::AUDIT, Sequence(sequence));
            Ok::<_, StoreError>((entry(1)?, tx.get(&schema::AUDIT.raw(), Sequence(2))?, entry(3)?))
        })
        .unwrap();
    assert_eq!(damaged.unwrap().0, [9, 9]);
    let third = third.unwrap();
    assert_eq!(third.hash, third.link(&first.unwrap().hash, Sequence(3)));
}

#[test]
fn the_chain_is_the_one_that_the_documentation_defines() {
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let entry = |at_ms, texts: [&str; 4]| {
        let [actor, address, action, target] = texts.map(str::to_owned);
        AuditEntry { at_ms, actor, address, action, target, hash: [0; 32] }
    };
    // Computed by another program from the description in docs/storage.md.
    let first = entry(1_700_000_000_000, ["hanna", "192.0.2.7", "tag.delete", "team/app:1"]);
    let first = first.link(&[0; 32], Sequence(7));
    assert_eq!(hex(&first), "aa5cbaba81406d8609388066fcc30d55af40bc6ebca60e9400876e17e5ab4b8b");
    let second = entry(1_700_000_000_001, ["system", "", "user.create", "admin"]).link(&first, Sequence(9));
    assert_eq!(hex(&second), "01b7ea405198d4f08087b1007d736e80b7835de4cf790ff5218d7830f83aae0f");
}
