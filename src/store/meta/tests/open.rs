//! Creates, opens and refuses database files.

use std::fs;
use std::time::Duration;

use redb::ReadableTable as _;

use super::*;
use crate::store::meta::format::{OLDEST, SCHEMA};
use crate::store::meta::schema::Format;
use crate::store::meta::table::Row as _;

#[test]
fn a_store_that_was_closed_goes_on_where_it_stopped() {
    let store = Store::new();
    let meta = store.open();
    assert!(meta.created());
    let id = meta.store_id();
    let given = store
        .runtime
        .block_on(meta.write(|tx| {
            let given = (tx.next_sequence().0, tx.next_repository().0);
            tx.put(&schema::OUTBOX_CURSOR, "given", &Sequence(given.0))?;
            Ok::<_, StoreError>(given)
        }))
        .unwrap();
    meta.close();
    forge_clock(&store.file(), |clock| clock.running_s = 5000);

    let meta = store.open();
    assert!(!meta.created());
    assert_eq!(meta.store_id(), id);
    assert_eq!(number(&meta, "given"), Some(given.0));
    assert!(meta.clock().now().running_s >= 5000);
    let next = store.runtime.block_on(meta.write(|tx| {
        tx.put(&schema::OUTBOX_CURSOR, "next", &Sequence(1))?;
        Ok::<_, StoreError>((tx.next_sequence().0, tx.next_repository().0))
    }));
    assert_eq!(next.unwrap(), (given.0 + 1, given.1 + 1));
    meta.close();
    let meta = store.open();
    assert!(meta.clock().now().running_s >= 5000);
    assert!(clock(&meta).running_s >= 5000);
}

#[test]
fn a_closed_store_answers_that_it_is_not_available() {
    let store = Store::new();
    let meta = store.open();
    meta.close();
    meta.close();
    assert!(matches!(store.set(&meta, "late", 1), Err(StoreError::Unavailable)));
    let read = meta.get(|tx| tx.get(&schema::OUTBOX_CURSOR, "late"));
    assert!(matches!(read, Err(StoreError::Unavailable)));
    let scanned = store.runtime.block_on(meta.scan(|tx| tx.get(&schema::OUTBOX_CURSOR, "late")));
    assert!(matches!(scanned, Err(StoreError::Unavailable)));
}

#[test]
fn a_second_opener_is_refused_and_the_first_is_unharmed() {
    let store = Store::new();
    let meta = store.open();
    assert!(matches!(store.try_open(), Err(OpenError::InUse { .. })));
    store.set(&meta, "first", 1).unwrap();
    meta.close();
    assert_eq!(number(&store.open(), "first"), Some(1));
}

#[test]
fn a_process_of_a_killed_server_is_waited_for() {
    let store = Store::new();
    store.open().close();
    let held = fs::File::options().read(true).write(true).open(store.file()).unwrap();
    held.lock().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(200));
            drop(held);
        });
        store.open().close();
    });
}

#[test]
fn a_creation_that_was_killed_is_begun_again() {
    for left in [Vec::new(), b"redb".to_vec(), vec![0; 64 << 10]] {
        let store = Store::new();
        let new = store.dir.path().join("stowage.redb.new");
        fs::write(&new, left).unwrap();
        let meta = store.open();
        assert!(meta.created());
        assert!(!new.exists());
        store.set(&meta, "works", 1).unwrap();
    }
}

#[test]
fn what_a_killed_creation_left_beside_a_store_is_removed() {
    let store = Store::new();
    let meta = store.open();
    store.set(&meta, "kept", 1).unwrap();
    meta.close();
    let new = store.dir.path().join("stowage.redb.new");
    fs::write(&new, b"half").unwrap();
    let meta = store.open();
    assert!(!meta.created() && !new.exists());
    assert_eq!(number(&meta, "kept"), Some(1));
}

#[test]
fn what_is_no_database_is_refused_as_damaged_and_stays_as_it_is() {
    let whole = {
        let store = Store::new();
        store.open().close();
        fs::read(store.file()).unwrap()
    };
    let mut torn = whole.clone();
    torn[..4096].fill(0);
    let garbage: Vec<u8> = (0..100_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let contents = [
        Vec::new(),
        b"x".to_vec(),
        garbage[..4096].to_vec(),
        garbage,
        vec![0; 1 << 20],
        torn,
        whole[..1000].to_vec(),
    ];
    for content in contents {
        let store = Store::new();
        fs::write(store.file(), &content).unwrap();
        let error = store.try_open().err().unwrap();
        assert!(matches!(error, OpenError::Damaged { .. }), "{} bytes: {error}", content.len());
        assert!(fs::read(store.file()).unwrap() == content, "{} bytes were changed", content.len());
    }
}

fn with_format(change: impl Fn(&redb::WriteTransaction)) -> Store {
    let store = Store::new();
    store.open().close();
    let database = redb::Database::open(store.file()).unwrap();
    let tx = database.begin_write().unwrap();
    change(&tx);
    tx.commit().unwrap();
    drop(database);
    store
}

#[test]
fn an_unknown_format_is_refused_and_its_file_stays_as_it_is() {
    let newer = with_format(|tx| {
        let mut table = tx.open_table(schema::FORMAT.definition()).unwrap();
        let mut format = Format::decode(table.get(()).unwrap().unwrap().value()).unwrap();
        format.schema = SCHEMA + 7;
        format.min_writer = SCHEMA + 7;
        table.insert((), format.encode().as_slice()).unwrap();
    });
    let other = with_format(|tx| {
        let mut table = tx.open_table(schema::FORMAT.definition()).unwrap();
        table.insert((), &[200, 1, 2, 3][..]).unwrap();
    });
    let foreign = with_format(|tx| {
        assert!(tx.delete_table(schema::FORMAT.definition()).unwrap());
    });
    let older = with_format(|tx| {
        let mut table = tx.open_table(schema::FORMAT.definition()).unwrap();
        let mut format = Format::decode(table.get(()).unwrap().unwrap().value()).unwrap();
        (format.schema, format.min_writer) = (OLDEST - 1, OLDEST - 1);
        table.insert((), format.encode().as_slice()).unwrap();
        // Its rows have fewer fields than this version decodes.
        tx.open_table(schema::CLOCK.definition()).unwrap().insert((), &[1, 0, 0][..]).unwrap();
    });
    for store in [newer, older, other, foreign] {
        let before = fs::read(store.file()).unwrap();
        let error = store.try_open().err().unwrap();
        assert!(matches!(error, OpenError::UnknownFormat { .. }), "{error}");
        assert!(fs::read(store.file()).unwrap() == before, "the file was changed: {error}");
    }
}

#[test]
fn a_newer_format_that_allows_this_program_is_opened() {
    let store = with_format(|tx| {
        let mut table = tx.open_table(schema::FORMAT.definition()).unwrap();
        let mut format = Format::decode(table.get(()).unwrap().unwrap().value()).unwrap();
        format.schema = SCHEMA + 1;
        table.insert((), format.encode().as_slice()).unwrap();
    });
    store.set(&store.open(), "works", 1).unwrap();
}
