//! Compactions that are refused or ended: the file is the one that it was, and takes changes.

use super::*;

#[test]
fn one_that_is_ended_changes_nothing_and_one_at_a_time_works() {
    let store = Store::new();
    let meta = sparse(&store);
    let (before, had) = (len(&store), rows(&meta));
    let mut second = None;
    let ended = meta.compact(no_minimum(), &mut |_, _, _| {
        second.get_or_insert_with(|| meta.compact(no_minimum(), &mut go_on));
        ControlFlow::Break(())
    });
    assert!(matches!(ended, Err(CompactError::Ended)), "{ended:?}");
    assert!(matches!(second, Some(Err(CompactError::Runs))), "{second:?}");
    assert!(!new_file(&store).exists());
    assert_eq!((len(&store), rows(&meta)), (before, had));
    meta.compact(no_minimum(), &mut go_on).unwrap();
    assert!(len(&store) < before);
}

#[test]
fn what_it_would_lose_is_not_compacted() {
    let store = Store::new();
    sparse(&store).close();
    let database = redb::Database::open(store.file()).unwrap();
    let tx = database.begin_write().unwrap();
    tx.open_table(redb::TableDefinition::<u64, &[u8]>::new("of a newer version")).unwrap();
    tx.commit().unwrap();
    drop(database);
    let meta = store.open();
    let refused = meta.compact(no_minimum(), &mut go_on);
    assert!(
        matches!(&refused, Err(CompactError::Foreign(name)) if name == "of a newer version"),
        "{refused:?}"
    );
    meta.close();

    let store = Store::new();
    sparse(&store).close();
    let elsewhere = store.dir.path().join("elsewhere");
    std::fs::rename(store.file(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, store.file()).unwrap();
    let meta = store.open();
    assert!(matches!(meta.compact(no_minimum(), &mut go_on), Err(CompactError::Link { .. })));
    assert!(store.file().is_symlink());
    drop(meta);

    let store = Store::new();
    let meta = sparse(&store);
    std::fs::remove_file(store.file()).unwrap();
    assert!(matches!(store.set(&meta, "lost", 1), Err(StoreError::Displaced)));
    assert!(matches!(
        meta.compact(no_minimum(), &mut go_on),
        Err(CompactError::Store(StoreError::Displaced))
    ));
    assert!(!store.file().exists(), "a new file would hide that the old one is gone");
}

#[test]
fn a_compacted_file_that_is_removed_is_noticed_and_saved() {
    let store = Store::new();
    let meta = sparse(&store);
    meta.compact(no_minimum(), &mut go_on).unwrap();
    store.set(&meta, "after", 1).unwrap();
    std::fs::remove_file(store.file()).unwrap();
    assert!(matches!(store.set(&meta, "lost", 1), Err(StoreError::Displaced)));
    meta.close();
    let saved = saved_database(store.dir.path()).unwrap();
    std::fs::rename(saved, store.file()).unwrap();
    let meta = store.open();
    assert_eq!((number(&meta, "after"), number(&meta, "lost")), (Some(1), None));
    assert_eq!(rows(&meta)["manifest_body"].len(), 100);
}

#[test]
fn a_file_that_was_replaced_while_it_is_copied_is_not_replaced_again() {
    let store = Store::new();
    let meta = sparse(&store);
    let other = store.dir.path().join("other");
    std::fs::copy(store.file(), &other).unwrap();
    let ended = meta.compact(no_minimum(), &mut |_, _, _| {
        if other.exists() {
            std::fs::rename(&other, store.file()).unwrap();
        }
        ControlFlow::Continue(())
    });
    assert!(matches!(ended, Err(CompactError::Store(StoreError::Displaced))), "{ended:?}");
    assert!(!new_file(&store).exists());
    meta.close();
    assert!(saved_database(store.dir.path()).is_some(), "what only this process had is saved");
}

#[test]
fn a_new_file_that_was_replaced_is_not_put_in_place() {
    let store = Store::new();
    let meta = sparse(&store);
    let had = rows(&meta);
    let other = store.dir.path().join("other");
    std::fs::copy(store.file(), &other).unwrap();
    let ended = meta.compact(no_minimum(), &mut |_, _, _| {
        if other.exists() {
            std::fs::rename(&other, new_file(&store)).unwrap();
        }
        ControlFlow::Continue(())
    });
    assert!(matches!(ended, Err(CompactError::Copy(_))), "{ended:?}");
    store.set(&meta, "after", 1).unwrap();
    meta.close();
    let meta = store.open();
    assert_eq!(number(&meta, "after"), Some(1));
    assert_eq!(rows(&meta)["manifest_body"], had["manifest_body"]);
}

#[test]
fn what_must_stay_free_is_left_alone() {
    let store = Store::new();
    let meta = sparse(&store);
    let (before, all) = (len(&store), "1000TiB".parse().unwrap());
    let refused = meta.may_compact(all);
    assert!(matches!(refused, Err(CompactError::NoRoom { .. })), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("storage.min_free"));
    assert!(matches!(meta.compact(all, &mut go_on), Err(CompactError::NoRoom { .. })));
    assert_eq!(len(&store), before);
    meta.compact(no_minimum(), &mut go_on).unwrap();
}

#[test]
fn large_rows_that_change_all_the_time_are_not_copied_while_changes_wait() {
    let store = Store::new();
    let meta = sparse(&store);
    let mut stamp = 0_u16;
    let ended = meta.compact(no_minimum(), &mut |_, _, _| {
        // So many small rows that it goes on for as long as it may, and 40 MB in ten rows at the end.
        stamp += 1;
        let now = stamp;
        store.runtime.block_on(meta.write(move |tx| names(tx, now))).unwrap();
        if stamp < 90 {
            return ControlFlow::Continue(());
        }
        let large = Raw([&stamp.to_be_bytes()[..], &vec![7; 4 << 20]].concat());
        let written = store.runtime.block_on(meta.write(move |tx| {
            for key in 0..10_u16 {
                tx.put(&schema::MANIFEST_BODY.raw_keys(), &key.to_be_bytes()[..], &large)?;
            }
            Ok::<_, StoreError>(())
        }));
        written.unwrap();
        ControlFlow::Continue(())
    });
    assert!(matches!(ended, Err(CompactError::Busy)), "{ended:?}");
    store.set(&meta, "after", 1).unwrap();
}
