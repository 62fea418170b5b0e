//! A store as text: `table NAME KEY-TYPE`, `row KEY VALUE` and `file PATH CONTENT`, with keys, values and
//! contents in hexadecimal.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use redb::{
    Builder, Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableHandle as _,
    Value as _,
};

/// Directories of a store that belong to the fixture.
const DIRECTORIES: [&str; 3] = ["blobs", "uploads", "dumps"];

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Calls a macro with every type of keys, so that the present definition of a table is not needed. The texts
/// name a type by its place in the list: new ones go to the end.
macro_rules! every_key {
    ($try:ident) => {
        $try! {
            ();
            u64;
            &'static str;
            &'static [u8];
            (u64, u64);
            (u64, &'static str);
            (u64, &'static [u8]);
            (&'static [u8], u64);
            (u64, u64, &'static [u8]);
            (u64, &'static str, u64);
            (u64, &'static [u8], &'static str);
            (u64, &'static [u8], &'static [u8]);
            (u64, &'static [u8], u64)
        }
    };
}

/// The number of the key type of a table.
fn key_type(database: &Database, name: &str) -> usize {
    let tx = database.begin_read().expect("a usable store");
    let mut number = 0;
    macro_rules! find {
        ($($key:ty);*) => { $(
            if tx.open_table(TableDefinition::<$key, &'static [u8]>::new(name)).is_ok() {
                return number;
            }
            number += 1;
        )* };
    }
    every_key!(find);
    panic!("the keys of {name} have a type that this test does not know ({number} are known)");
}

fn rows(database: &Database, name: &str) -> Rows {
    let tx = database.begin_read().expect("a usable store");
    macro_rules! read {
        ($($key:ty);*) => { $(
            if let Ok(table) = tx.open_table(TableDefinition::<$key, &'static [u8]>::new(name)) {
                let rows = table.iter().expect("a usable store").map(|entry| {
                    let (key, value) = entry.expect("a usable store");
                    let key = AsRef::<[u8]>::as_ref(&<$key>::as_bytes(&key.value())).to_vec();
                    (key, value.value().to_vec())
                });
                return rows.collect();
            }
        )* };
    }
    every_key!(read);
    panic!("{name}: {}", key_type(database, name));
}

fn put(database: &Database, name: &str, key_type: usize, rows: &Rows) {
    let tx = database.begin_write().expect("a usable store");
    let mut number = 0;
    macro_rules! write {
        ($($key:ty);*) => { $(
            if number == key_type {
                let mut table = tx.open_table(TableDefinition::<$key, &'static [u8]>::new(name)).expect("a usable store");
                for (key, value) in rows {
                    table.insert(<$key>::from_bytes(key), value.as_slice()).expect("a usable store");
                }
            }
            number += 1;
        )* };
    }
    every_key!(write);
    assert!(key_type < number);
    tx.commit().expect("a usable store");
}

/// Inserts a row into a table of a closed store.
pub(super) fn insert(database: &Path, name: &str, key: &[u8], value: &[u8]) {
    let database = Database::open(database).expect("a usable store");
    let key_type = key_type(&database, name);
    put(&database, name, key_type, &vec![(key.to_vec(), value.to_vec())]);
}

/// The rows of a table of a closed store.
pub(super) fn table(database: &Path, name: &str) -> Rows {
    rows(&Database::open(database).expect("a usable store"), name)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("x"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.strip_prefix('x').expect("a usable store");
    (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("a usable store"))
        .collect()
}

/// Writes a closed store as text.
pub(super) fn write(dir: &Path, to: &Path) {
    let database = Database::open(dir.join("stowage.redb")).expect("a usable store");
    let tx = database.begin_read().expect("a usable store");
    let mut names: Vec<String> =
        tx.list_tables().expect("a usable store").map(|table| table.name().to_owned()).collect();
    names.sort();
    drop(tx);
    let mut text = String::new();
    for name in names {
        writeln!(text, "table {name} {}", key_type(&database, &name)).expect("a usable store");
        for (key, value) in rows(&database, &name) {
            writeln!(text, "row {} {}", hex(&key), hex(&value)).expect("a usable store");
        }
    }
    for directory in DIRECTORIES {
        files(dir, &dir.join(directory), &mut text);
    }
    fs::create_dir_all(to.parent().expect("a usable store")).expect("a usable store");
    fs::write(to, text).expect("a usable store");
}

fn files(root: &Path, dir: &Path, text: &mut String) {
    let mut paths: Vec<_> = fs::read_dir(dir)
        .expect("a usable store")
        .map(|entry| entry.expect("a usable store").path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files(root, &path, text);
        } else {
            let name = path.strip_prefix(root).expect("a usable store").to_str().expect("a usable store");
            writeln!(text, "file {name} {}", hex(&fs::read(&path).expect("a usable store")))
                .expect("a usable store");
        }
    }
}

/// The number of rows of each table in a text.
pub(super) fn counts(text: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut last = String::new();
    for line in fs::read_to_string(text).expect("a usable store").lines() {
        let (kind, rest) = line.split_once(' ').expect("a usable store");
        match kind {
            "table" => {
                rest.split_once(' ').expect("a usable store").0.clone_into(&mut last);
                counts.insert(last.clone(), 0);
            }
            "row" => *counts.get_mut(&last).expect("a usable store") += 1,
            _ => {}
        }
    }
    counts
}

/// Creates the store of a text in an empty directory.
pub(super) fn read(text: &Path, dir: &Path) {
    let database = Builder::new().create(dir.join("stowage.redb")).expect("a usable store");
    let mut open: Option<(String, usize, Rows)> = None;
    let flush = |open: &mut Option<(String, usize, Rows)>| {
        if let Some((name, key_type, rows)) = open.take() {
            put(&database, &name, key_type, &rows);
        }
    };
    for line in fs::read_to_string(text).expect("a usable store").lines() {
        let (kind, rest) = line.split_once(' ').expect("a usable store");
        let (first, second) = rest.split_once(' ').expect("a usable store");
        match kind {
            "table" => {
                flush(&mut open);
                open = Some((first.to_owned(), second.parse().expect("a usable store"), Vec::new()));
            }
            "row" => open.as_mut().expect("a usable store").2.push((unhex(first), unhex(second))),
            "file" => {
                let path = dir.join(first);
                fs::create_dir_all(path.parent().expect("a usable store")).expect("a usable store");
                fs::write(path, unhex(second)).expect("a usable store");
            }
            other => panic!("{other}"),
        }
    }
    flush(&mut open);
}

/// The rows of a table in a text.
pub(super) fn rows_of(text: &Path, table: &str) -> Rows {
    let text = fs::read_to_string(text).expect("a usable store");
    let start = format!("table {table} ");
    let lines = text.lines().skip_while(|line| !line.starts_with(&start)).skip(1);
    let rows = lines.map_while(|line| line.strip_prefix("row ")?.split_once(' '));
    rows.map(|(key, value)| (unhex(key), unhex(value))).collect()
}
