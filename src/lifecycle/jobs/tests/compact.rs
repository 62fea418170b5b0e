//! The scheduled compaction: only of a file that is mostly free.

use super::*;
use crate::store::meta::Raw;

/// Sets rows of 60 kB, or removes them.
fn change(site: &Site, keys: std::ops::Range<u16>, is_there: bool) {
    let written = site.runtime.block_on(site.meta.write(move |tx| {
        for key in keys.clone() {
            let (table, key) = (schema::MANIFEST_BODY.raw_keys(), key.to_be_bytes());
            if is_there {
                tx.put(&table, &key[..], &Raw(vec![7; 60_000]))?;
            } else {
                tx.delete(&table, &key[..])?;
            }
        }
        Ok::<_, StoreError>(())
    }));
    written.unwrap();
}

fn scheduled(site: &Site) -> (Value, Vec<String>) {
    let (job, params) = (
        CompactJob::new(Arc::clone(&site.meta), "0".parse().unwrap()),
        CompactParams { if_mostly_free: true },
    );
    let begun = site.runtime.block_on(site.jobs.start_by_system(&site.system(), job, params)).unwrap();
    assert_eq!(begun.job.parameters, r#"{"if_mostly_free":true}"#);
    let ended = site.show(begun.job.id).unwrap();
    assert_eq!(ended.job.state, JobState::Done, "{ended:?}");
    (serde_json::from_str(&ended.result.unwrap()).unwrap(), site.log(begun.job.id))
}

#[test]
fn a_scheduled_run_leaves_a_file_alone_until_more_than_half_of_it_is_free() {
    let site = Site::new();
    change(&site, 0..400, true);
    let (result, log) = scheduled(&site);
    assert_eq!(result["compacted"], false, "{result}");
    assert_eq!(result["before_bytes"], result["after_bytes"]);
    assert!(log[0].starts_with("left as it is: about "), "{log:?}");

    change(&site, 0..390, false);
    let (result, log) = scheduled(&site);
    assert_eq!(result["compacted"], true, "{result}");
    assert!(result["before_bytes"].as_u64() > Some(20_000_000), "{result}");
    assert!(result["after_bytes"].as_u64() < Some(5_000_000), "{result}");
    assert!(log[0].starts_with("the database file had ") && log[0].contains("changes waited"), "{log:?}");
    assert_eq!(site.meta.get(|tx| tx.count(&schema::MANIFEST_BODY)).unwrap(), 10);

    let (result, _) = scheduled(&site);
    assert_eq!(result["compacted"], false, "{result}");
}

#[test]
fn a_run_that_is_cancelled_leaves_the_file_as_it_was() {
    let site = Site::new();
    change(&site, 0..400, true);
    let file = site.directory.path().join(FILE_NAME);
    let id = |path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
    let before = id(&file);
    let begun = site.runtime.block_on(async {
        let job = CompactJob::new(Arc::clone(&site.meta), "0".parse().unwrap());
        site.jobs.end();
        site.jobs.start(&site.runs(), job, CompactParams::default()).await
    });
    let ended = site.show(begun.unwrap().job.id).unwrap();
    assert_eq!(ended.job.state, JobState::Cancelled);
    assert_eq!(id(&file), before);
    assert!(!site.directory.path().join("stowage.redb.new").exists());
}
