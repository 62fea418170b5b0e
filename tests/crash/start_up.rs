//! The duration of a start with much metadata.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stowage::store::meta::{FILE_NAME, Meta, Options, Raw, StoreError, WriteTx, log_repair, schema};
use tokio::runtime::Runtime;

use crate::image::{FileSystem, Image, Journal};
use crate::process::{Stowage, note};
use crate::support::content::{bytes, push_image};

const GIB: u64 = 1 << 30;
/// The typical size of a manifest in bytes.
const BODY: usize = 3_000;
const ROWS_PER_COMMIT: u64 = 5_000;

/// Fills the database until its file has a GiB.
fn fill(data: &Path) {
    let runtime = Runtime::new().expect("a runtime");
    let options = Options {
        data_dir: data.to_owned(),
        cache_bytes: 256 << 20,
        wall: || 0,
        sync_barrier: Arc::new(|_| Ok(())),
        runtime: runtime.handle().clone(),
        faults: None,
        on_repair: log_repair,
    };
    let meta = Meta::open(options).expect("the store opens");
    for batch in 0.. {
        if data.join(FILE_NAME).metadata().expect("the database is there").len() > GIB {
            break;
        }
        let change = move |tx: &WriteTx<'_>| {
            (0..ROWS_PER_COMMIT).try_for_each(|row| {
                let key = bytes(batch * ROWS_PER_COMMIT + row + 1, 32);
                tx.put(&schema::MANIFEST_BODY.raw_keys(), &key[..], &Raw(bytes(row, BODY)))
            })
        };
        runtime.block_on(meta.write::<(), StoreError, _>(change)).expect("the rows are written");
    }
    meta.close();
}

/// Cuts the power under a server and starts it again; returns how long that start took, and its log.
fn restart(image: &Image, server: Stowage) -> (Stowage, Duration, String) {
    image.cut_power(Journal::Lost);
    server.kill();
    image.mount_again();
    let begun = Instant::now();
    let server = Stowage::start(&image.data());
    let (took, log) = (begun.elapsed(), server.log());
    (server, took, log)
}

/// In a debug build redb reads the whole file at each start, to check itself.
#[test]
#[ignore = "it writes a GiB, and tells something only in a release build"]
fn a_start_with_a_gib_of_metadata_takes_less_than_two_seconds_after_idleness_and_tells_its_progress_otherwise()
 {
    let Some(image) = Image::new(FileSystem::Ext4, 4096) else { return };
    let data = image.data();
    Stowage::start(&data).stop();
    fill(&data);
    let server = Stowage::start(&data);
    push_image(&server.client(), "team/app", "latest", b"layer");
    // After one second without changes, the writer makes its idle commit.
    std::thread::sleep(Duration::from_millis(2_500));
    let (server, took, log) = restart(&image, server);
    note(&format!("after idleness: {} ms", took.as_millis()));
    assert!(!log.contains("percent="), "{log}");
    assert!(took < Duration::from_secs(2), "{took:?}");

    let manifest = push_image(&server.client(), "team/app", "latest", b"another layer");
    let (server, took, log) = restart(&image, server);
    note(&format!("in the middle of work: {} ms", took.as_millis()));
    assert!(log.contains("percent="), "{log}");
    assert!(server.client().get("/v2/team/app/manifests/latest").expect(200).body == manifest);
}
