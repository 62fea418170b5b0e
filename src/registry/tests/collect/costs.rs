//! What the sizes of tags, a preview and the biggest repositories cost: figures of `docs/performance.md`.

#![allow(clippy::print_stderr, reason = "a measurement tells its figures")]

use super::deletion::{Made, open, tags};
use super::*;
use crate::model::names::{ProjectId, RepoName};
use crate::registry::BiggestBy;
use crate::store::meta::schema::{Repository as Row, Usage};

const TAGS: usize = 1_000;
const REPOSITORIES: u64 = 100_000;

/// Prints how long something takes: the shortest of five times, because other programs run beside it.
fn measured<T>(what: &str, mut work: impl FnMut() -> T) -> T {
    let mut shortest = Duration::MAX;
    let mut result = None;
    for _ in 0..5 {
        let begun = Instant::now();
        result = Some(work());
        shortest = shortest.min(begun.elapsed());
    }
    eprintln!("{what}: {:.1} ms", shortest.as_secs_f64() * 1e3);
    result.unwrap()
}

/// An index of two images with ten layers each, eight of which all tags share, with a signature: 5 blobs and
/// 4 manifests for each tag.
#[test]
#[ignore = "it measures, and tells something only in an optimised build"]
fn what_a_thousand_tags_cost() {
    let place = Place::new();
    let server = open(&place);
    let shared: Vec<Vec<u8>> = (0..8).map(|number| format!("a shared layer {number}").into_bytes()).collect();
    let names: Vec<String> = (0..TAGS).map(|number| format!("v{number}")).collect();
    let mut own = 0;
    for name in &names {
        let image = |platform: &str| {
            let layers = (0..2).map(|number| format!("{name} {platform} {number}").into_bytes());
            let layers = [&shared[..], &layers.collect::<Vec<_>>()].concat();
            Made::image(&format!("{name} {platform}"), &layers, None)
        };
        let images = [image("amd64"), image("arm64")];
        let index = Made::index(name, &[&images[0], &images[1]]);
        let signature = Made::image(&format!("signature of {name}"), &[], Some(&index));
        for image in &images {
            server.push_made("a", image, None);
        }
        server.push_made("a", &index, Some(name));
        server.push_made("a", &signature, None);
        own += images.iter().chain([&signature]).flat_map(|made| &made.blobs).map(Vec::len).sum::<usize>();
        own -= 2 * shared.iter().map(Vec::len).sum::<usize>();
    }
    let all = measured("sizes of 1,000 tags, in pages of 500", || server.sizes("a", 500));
    assert_eq!(all.iter().map(|size| size.unique_bytes).sum::<u64>(), own as u64);
    assert!(all.iter().all(|size| size.manifests == 4 && !size.at_least));
    measured("sizes of 1,000 tags, in pages of 50", || server.sizes("a", 50));
    let one = measured("preview of one tag", || server.preview(&[("a", tags(&["v7"]))]));
    assert_eq!((one.manifests, one.blobs), (4, 7));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let preview = measured("preview of 1,000 tags", || server.preview(&[("a", tags(&names))]));
    assert_eq!((preview.manifests, preview.freed_bytes), (4_000, own as u64 + shared.concat().len() as u64));
}

#[test]
#[ignore = "it measures, and tells something only in an optimised build"]
fn what_the_biggest_of_very_many_repositories_cost() {
    let place = Place::new();
    let server = open(&place);
    for first in (1..=REPOSITORIES).step_by(5_000) {
        server.forge(move |tx| {
            for number in first..first + 5_000 {
                let name: RepoName = format!("team/{number}").parse().expect("a name");
                let (project, created_ms) = (ProjectId::ROOT, 0);
                let row = Row { name: name.to_string(), project, created_ms };
                tx.put(&schema::REPOSITORY, RepoId(number), &row)?;
                let usage = Usage { manifests: 1, bytes: number * 7_919 % REPOSITORIES, ..Usage::default() };
                tx.put(&schema::USAGE_REPOSITORY, RepoId(number), &usage)?;
            }
            Ok(())
        });
    }
    let admin = server.site();
    let biggest = || {
        let found = server.wait(server.registry.biggest(&admin, BiggestBy::Size, 3)).unwrap();
        let bytes: Vec<u64> = found.iter().map(|view| view.usage.bytes).collect();
        assert_eq!(bytes, [REPOSITORIES - 1, REPOSITORIES - 2, REPOSITORIES - 3]);
    };
    let begun = Instant::now();
    biggest();
    eprintln!("the biggest of 100,000 repositories, read: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    measured("the biggest of 100,000 repositories, remembered", biggest);
}
