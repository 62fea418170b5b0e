//! What the space is used for, and what a deletion would free: the figure of a preview is what is gone from
//! the disk after the deletion and the collection.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use stowage::model::media_type::{OCI_INDEX, OCI_MANIFEST};
use stowage::wire::{DeletionPlan, GcPlan, Job, JobResult, JobState, List, Problem, Repository, TagSize};

use crate::admin::program::{PASSWORD, Place};
use crate::support::{Client, Setup, TestStowage, content, eventually};

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

/// A server that promises nothing for longer than a second.
fn server() -> TestStowage {
    let mut setup = Setup { open: false, ..Setup::default() };
    setup.config.storage.gc.promise = "1s".parse().unwrap();
    TestStowage::with(setup)
}

fn preview(client: &Client, names: &[&str]) -> DeletionPlan {
    let body = json!({"names": names}).to_string();
    client.send("POST", "/api/v1/deletions/preview", JSON, body.as_bytes()).expect(200).read()
}

/// Bytes of the files below a directory.
fn bytes_in(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let of = |entry: fs::DirEntry| match entry.metadata().unwrap() {
        found if found.is_dir() => bytes_in(&entry.path()),
        found => found.len(),
    };
    entries.map(of).sum()
}

/// `stowage gc run --empty-trash --untagged 0s`, until nothing is left that was promised or is too young; the
/// bytes that it freed.
fn free_now(admin: &Client) -> u64 {
    let mut freed = 0;
    eventually("everything that nothing holds is collected", || {
        let body = json!({"empty_trash": true, "untagged": "0s"}).to_string();
        let started: Job = admin.send("POST", "/api/v1/gc/runs", JSON, body.as_bytes()).expect(202).read();
        let ended: Job = admin.get(&format!("/api/v1/jobs/{}?wait=1m", started.id)).expect(200).read();
        assert_eq!(ended.state, JobState::Done);
        let Some(JobResult::Gc(done)) = ended.result else { panic!("no result") };
        freed += done.freed_bytes;
        let left: GcPlan = admin.get("/api/v1/gc/plan?empty_trash=true&untagged=0s").expect(200).read();
        left == GcPlan::default()
    });
    freed
}

fn sizes(client: &Client, repository: &str) -> Vec<TagSize> {
    let list: List<TagSize> =
        client.get(&format!("/api/v1/repositories/{repository}/-/sizes")).expect(200).read();
    list.items
}

/// An index of two images that share a layer, with a signature; a tag beside it shares the layer, too, and
/// another repository has a layer of one of the images.
fn fill(admin: &Client) {
    let layer = |seed: u64, bytes: usize| content::bytes(seed, bytes);
    let (base, amd, arm) = (layer(1, 100_000), layer(2, 20_000), layer(3, 30_000));
    content::push_blob(admin, "team/app", b"{}");
    for blob in [&base, &amd, &arm] {
        content::push_blob(admin, "team/app", blob);
    }
    let images = [content::image(&[&base, &amd]), content::image(&[&base, &arm])];
    for image in &images {
        content::push_manifest(admin, "team/app", &content::sha256(image), OCI_MANIFEST, image);
    }
    let index = content::index(&[&images[0], &images[1]]);
    content::push_manifest(admin, "team/app", "latest", OCI_INDEX, &index);
    let signature = content::referrer(&index, "application/vnd.test.signature", &json!({"by": "a test"}));
    content::push_manifest(admin, "team/app", &content::sha256(&signature), OCI_MANIFEST, &signature);
    content::push_image(admin, "team/app", "old", &base);
    content::push_image(admin, "team/other", "1", &arm);
}

#[test]
fn a_preview_says_exactly_what_is_gone_from_the_disk_afterwards() {
    let server = server();
    let admin = server.admin();
    fill(&admin);
    let blobs = server.directory.join("blobs");
    let on_disk = || bytes_in(&blobs);
    assert_eq!(free_now(&admin), 0, "everything is used");

    // The image of `latest` that the other repository does not have; its base is also that of `old`.
    let before = on_disk();
    let plan = preview(&admin, &["team/app:latest"]);
    assert_eq!((plan.tags, plan.manifests, plan.freed_bytes), (1, 4, 20_000));
    assert_eq!((plan.kept_bytes, plan.elsewhere_bytes), (100_002, 30_000));
    assert!(plan.collected_from.is_some());
    assert_eq!(on_disk(), before, "a preview changes nothing");
    let latest = sizes(&admin, "team/app").into_iter().find(|size| size.name == "latest").unwrap();
    assert_eq!((latest.unique_bytes, latest.shared_bytes, latest.manifests), (20_000, 130_002, 4));
    admin.delete("/api/v1/repositories/team/app/-/tags/latest").expect(204);
    assert_eq!(free_now(&admin), plan.freed_bytes);
    assert_eq!(on_disk(), before - plan.freed_bytes);

    // A manifest that another tag points to as well stays with one of them, and goes with both.
    let before = on_disk();
    content::push_image(&admin, "team/app", "older", &content::bytes(1, 100_000));
    let one = preview(&admin, &["team/app:old"]);
    assert_eq!((one.freed_bytes, one.manifests, one.kept_manifests), (0, 0, 1));
    assert_eq!(one.kept[0].by_tag.as_deref(), Some("older"));
    let both = preview(&admin, &["team/app:old", "team/app:older"]);
    // The config is in the other repository, too.
    assert_eq!((both.freed_bytes, both.elsewhere_bytes), (100_000, 2));
    for tag in ["old", "older"] {
        admin.delete(&format!("/api/v1/repositories/team/app/-/tags/{tag}")).expect(204);
    }
    assert_eq!(free_now(&admin), both.freed_bytes);
    assert_eq!(on_disk(), before - both.freed_bytes);
}

#[test]
fn a_blob_of_two_repositories_goes_with_both_and_with_neither_alone() {
    let server = server();
    let admin = server.admin();
    let shared = content::bytes(7, 50_000);
    content::push_image(&admin, "a/one", "1", &shared);
    content::push_image(&admin, "a/two", "1", &shared);
    let digest = content::sha256(&content::image(&[&shared]));
    let by_digest = format!("a/two@{digest}");
    for alone in ["a/one", "a/one:1", "a/two", &by_digest] {
        let plan = preview(&admin, &[alone]);
        assert_eq!((plan.freed_bytes, plan.elsewhere_bytes), (0, 50_002), "{alone}");
    }
    let before = bytes_in(&server.directory.join("blobs"));
    let plan = preview(&admin, &["a/one", &by_digest]);
    assert_eq!((plan.freed_bytes, plan.blobs, plan.elsewhere_bytes), (50_002, 2, 0));
    assert_eq!((plan.tags, plan.manifests), (2, 2));
    admin.delete("/api/v1/repositories/a/one").expect(204);
    admin.delete(&format!("/api/v1/repositories/a/two/-/manifests/{digest}")).expect(204);
    assert_eq!(free_now(&admin), plan.freed_bytes);
    assert_eq!(bytes_in(&server.directory.join("blobs")), before - plan.freed_bytes);
}

#[test]
fn only_who_may_delete_sees_a_preview_and_what_is_unknown_is_named() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", b"layer");
    place.add("hanna");
    let hanna = server.client().basic("hanna", PASSWORD);
    let ask = |client: &Client, names: Value| {
        client.send("POST", "/api/v1/deletions/preview", JSON, json!({"names": names}).to_string().as_bytes())
    };
    ask(&hanna, json!(["team/app:1"])).expect(403);
    ask(&server.client(), json!(["team/app:1"])).expect(401);
    hanna.get("/api/v1/storage/top").expect(403);
    assert_eq!(sizes(&hanna, "team/app").len(), 1, "a reader sees the sizes");
    let absent = format!("team/app@{}", content::sha256(b"absent"));
    for (name, status, code) in [
        ("team/app:2", 404, "TAG_UNKNOWN"),
        (&absent, 404, "MANIFEST_UNKNOWN"),
        ("team", 404, "REPOSITORY_UNKNOWN"),
        ("Team", 400, "REPOSITORY_NAME_INVALID"),
        ("team/app:-", 400, "TAG_NAME_INVALID"),
        ("team/app@sha256:ab", 400, "DIGEST_INVALID"),
        ("", 400, "REPOSITORY_NAME_INVALID"),
    ] {
        let problem: Problem = ask(&admin, json!([name])).expect(status).read();
        assert_eq!(problem.code, code, "{name}: {}", problem.detail);
        let said = problem.detail.contains(name) || status == 400;
        assert!(said, "{name}: {}", problem.detail);
    }
    let many: Vec<String> = (0..501).map(|number| format!("team/{number}")).collect();
    let problem: Problem = ask(&admin, json!(many)).expect(400).read();
    assert!(problem.detail.contains("more than 500 repositories"), "{}", problem.detail);
    assert_eq!(preview(&admin, &[]), DeletionPlan::default());
    admin.get("/api/v1/storage/top?by=name").expect(400);
    admin.get("/api/v1/storage/top?cursor=x").expect(400);
}

#[test]
fn the_biggest_repositories_come_first() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    let shared = content::bytes(1, 9_000);
    content::push_image(&admin, "a/shared", "1", &shared);
    content::push_image(&admin, "b/shared", "1", &shared);
    content::push_image(&admin, "c/own", "1", &content::bytes(2, 5_000));
    let top = |query: &str| -> Vec<String> {
        let list: List<Repository> = admin.get(&format!("/api/v1/storage/top{query}")).expect(200).read();
        assert_eq!(list.next_cursor, None);
        list.items.into_iter().map(|repository| repository.name).collect()
    };
    assert_eq!(top(""), ["a/shared", "b/shared", "c/own"]);
    assert_eq!(top("?by=unique"), ["c/own", "a/shared", "b/shared"]);
    assert_eq!(top("?by=size&limit=1"), ["a/shared"]);
    admin.delete("/api/v1/repositories/a/shared").expect(204);
    eventually("a deleted one is not listed", || top("?by=unique") == ["c/own", "b/shared"]);
    place.run(&["trash", "empty", "--yes"]).expect(0);
    eventually("a change is seen", || top("?by=unique") == ["b/shared", "c/own"]);
    let status = place.run(&["status"]).expect(0).stdout;
    let line = status.lines().find(|line| line.starts_with("biggest  b/shared (9.")).unwrap();
    assert!(line.contains(" KiB), c/own (5.") && line.ends_with(": stowage repo size"), "{line}");
    let document = place.run(&["status", "--json"]).expect(0).json();
    assert_eq!(document["data"]["biggest"][0]["name"], "b/shared");
}

#[test]
fn the_commands_show_sizes_and_what_would_be_freed() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    fill(&admin);
    let listed = place.run(&["repo", "size"]).expect(0).stdout;
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["REPOSITORY", "team/app", "team/other"]);
    assert_eq!(place.run(&["repo", "size", "--limit", "1"]).expect(0).stdout.lines().count(), 2);
    place.run(&["repo", "size", "--limit", "501"]).expect(2);
    place.run(&["repo", "size", "--by-tag"]).expect(2);
    place.run(&["repo", "size", "team/app", "--limit", "5"]).expect(2);
    let unused = place.run(&["repo", "size", "team/app", "--by", "size"]).expect(2);
    assert!(unused.stderr.contains("add --by-tag"), "{unused:?}");
    let shown = place.run(&["repo", "size", "team/app"]).expect(0).stdout;
    for part in
        ["unique     117 KiB that no other repository has", "shared     29 KiB", "2 tags: stowage repo size"]
    {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    let tags = place.run(&["repo", "size", "team/app", "--by-tag"]).expect(0).stdout;
    let rows: Vec<Vec<&str>> = tags
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(rows[0][..5], ["TAG", "SIZE", "FREES", "SHARED", "MANIFESTS"]);
    assert_eq!((rows[1][0], rows[1][2], rows[1][4]), ("latest", "19 KiB", "4"));
    assert_eq!((rows[2][0], rows[2][2]), ("old", "0 B"));
    let document = place.run(&["repo", "size", "team/app", "--by-tag", "--json"]).expect(0).json();
    assert_eq!(document["data"]["tags"][0]["unique_bytes"], 20_000);
    let missing = place.run(&["repo", "size", "team", "--by-tag"]).expect(5);
    assert!(missing.stderr.contains("below: team/app, team/other"), "{missing:?}");

    let dry = place.run(&["tag", "delete", "team/app:latest", "--dry-run"]).expect(0).stdout;
    for part in [
        "would delete team/app:latest\n",
        "would free 19 KiB in 1 blob, with 4 manifests\n",
        "would keep 97 KiB that other images of the repository use\n",
        "would keep 29 KiB that other repositories use\n",
        "garbage collection takes it from ",
        "stowage gc run --empty-trash --untagged 0s",
    ] {
        assert!(dry.contains(part), "{part:?} is not in {dry}");
    }
    let document = place.run(&["tag", "delete", "team/app:latest", "--dry-run", "--json"]).expect(0).json();
    assert_eq!(document["data"]["plan"]["freed_bytes"], 20_000);
    let dry = place.run(&["repo", "delete", "team/app", "--dry-run"]).expect(0).stdout;
    assert!(dry.contains("would free 117 KiB in "), "{dry}");
    let digest = content::sha256(&content::image(&[&content::bytes(1, 100_000)]));
    let name = format!("team/app@{digest}");
    let dry = place.run(&["manifest", "delete", &name, "--dry-run", "-o", "wide"]).expect(0).stdout;
    assert!(dry.contains(&format!("would free 0 B in 0 blobs, with 1 manifest\n  {name}\n")), "{dry}");
}
