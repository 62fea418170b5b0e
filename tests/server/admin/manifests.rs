//! `stowage manifest`, and the forms of names that `stowage tag` and `stowage repo` accept.

use serde_json::json;
use stowage::model::media_type::{OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST};
use stowage::wire::{List, Manifest, Problem, Tag};

use crate::admin::program::Place;
use crate::support::Client;
use crate::support::content::{self, descriptor, push_blob, push_manifest, sha256};

/// Pushes an image for a platform and returns its manifest.
fn push_for(client: &Client, repository: &str, tag: &str, platform: (&str, &str)) -> Vec<u8> {
    let config = json!({"os": platform.0, "architecture": platform.1}).to_string();
    push_blob(client, repository, config.as_bytes());
    push_blob(client, repository, b"a layer");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, config.as_bytes()),
        "layers": [descriptor(OCI_LAYER_GZIP, b"a layer")],
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    push_manifest(client, repository, tag, OCI_MANIFEST, &manifest);
    manifest
}

#[test]
fn an_image_without_a_tag_is_found_and_deleted() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    let lost = content::push_image(&admin, "a/two", "1", b"lost");
    let kept = content::push_image(&admin, "a/two", "2", b"kept");
    let child = content::push_image(&admin, "a/two", "3", b"child");
    push_manifest(&admin, "a/two", "multi", OCI_INDEX, &content::index(&[&child]));
    for tag in ["1", "3"] {
        admin.delete(&format!("/v2/a/two/manifests/{tag}")).expect(202);
    }
    let digests = |arguments: &[&str]| -> Vec<String> {
        let listed = place.run(&[arguments, &["--json"]].concat()).expect(0).json();
        let manifests = listed["data"]["manifests"].as_array().unwrap().clone();
        manifests.iter().map(|manifest| manifest["digest"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(digests(&["manifest", "list", "a/two"]).len(), 4);
    assert_eq!(digests(&["manifest", "list", "a/two", "--untagged"]), [sha256(&lost)]);
    let text = place.run(&["manifest", "list", "a/two"]).expect(0).stdout;
    assert!(text.contains("(in an index)") && !text.contains("sha256:"), "{text}");
    assert!(
        place.run(&["manifest", "list", "a/two", "-o", "wide"]).expect(0).stdout.contains(&sha256(&lost))
    );
    let name = format!("a/two@{}", sha256(&lost));
    let dry = place.run(&["manifest", "delete", &name, "--dry-run"]).expect(0);
    assert!(dry.stdout.starts_with(&format!("would delete {name}\nwould free ")), "{dry:?}");
    admin.get(&format!("/v2/a/two/manifests/{}", sha256(&lost))).expect(200);
    place.run(&["manifest", "delete", &name, "--yes"]).expect(0);
    admin.get(&format!("/v2/a/two/manifests/{}", sha256(&lost))).expect(404);
    let again = place.run(&["manifest", "delete", &name, "--yes"]).expect(5);
    assert!(again.stderr.contains("stowage manifest list a/two"), "{again:?}");
    place.run(&["manifest", "delete", "a/two:2", "--yes"]).expect(2);
    let tagged = format!("a/two@{}", sha256(&kept));
    let dry = place.run(&["manifest", "delete", &tagged, "--dry-run"]).expect(0);
    assert!(dry.stdout.contains("with every tag that points there\n"), "{dry:?}");
    place.run(&["manifest", "delete", &tagged, "--yes"]).expect(0);
    admin.get("/v2/a/two/manifests/2").expect(404);
    let refused = admin.get("/api/v1/repositories/a/two/-/manifests?untagged=yes").expect(400).json();
    assert_eq!(refused["code"], "PARAMETER_INVALID");
    assert_eq!(
        admin.get("/api/v1/repositories/a/two/-/manifests/x").expect(400).json()["code"],
        "DIGEST_INVALID"
    );
}

#[test]
fn everything_below_an_unknown_repository_says_that_the_repository_is_unknown() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    let image = content::push_image(&admin, "team/app", "1", b"layer");
    let manifest = format!("/-/manifests/{}", sha256(&image));
    for below in ["", "/-/tags", "/-/tags/1", "/-/manifests", &manifest] {
        let problem: Problem = admin.get(&format!("/api/v1/repositories/team{below}")).expect(404).read();
        assert_eq!(problem.code, "REPOSITORY_UNKNOWN", "{below}");
    }
    for below in ["", "/-/tags/1", &manifest] {
        let problem: Problem = admin.delete(&format!("/api/v1/repositories/team{below}")).expect(404).read();
        assert_eq!(problem.code, "REPOSITORY_UNKNOWN", "{below}");
    }
    let absent = format!("/api/v1/repositories/team/app/-/manifests/{}", sha256(b"absent"));
    assert_eq!(admin.get(&absent).expect(404).read::<Problem>().code, "MANIFEST_UNKNOWN");
    let ran = place.run(&["manifest", "delete", &format!("team@{}", sha256(&image)), "--yes"]).expect(5);
    assert!(ran.stderr.contains("below: team/app"), "{ran:?}");
}

#[test]
fn the_parts_of_a_list_of_manifests_are_the_list() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    for number in 0..7_u8 {
        content::push_image(&admin, "a", "t", &[number]);
    }
    for filter in ["", "&untagged=true"] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/repositories/a/-/manifests?limit=2{filter}{cursor}");
            let part: List<Manifest> = admin.get(&path).expect(200).read();
            found.extend(part.items);
            match part.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let mut digests: Vec<&str> = found.iter().map(|entry| entry.digest.as_str()).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), if filter.is_empty() { 7 } else { 6 });
    }
}

#[test]
fn a_list_of_tags_says_size_platform_and_age_in_the_order_that_is_asked_for() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    let image = push_for(&admin, "app", "v1.10", ("linux", "amd64"));
    for tag in ["v1.2", "v1.1"] {
        push_for(&admin, "app", tag, ("linux", "arm64"));
    }
    let names = |sort: &[&str]| -> Vec<String> {
        let listed = place.run(&[&["tag", "list", "app", "--json"], sort].concat()).expect(0).json();
        let tags = listed["data"]["tags"].as_array().unwrap().clone();
        tags.iter().map(|tag| tag["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&["--sort", "name"]), ["v1.1", "v1.2", "v1.10"]);
    assert_eq!(names(&[]).last().map(String::as_str), Some("v1.10"), "the oldest");
    let shown: Tag = admin.get("/api/v1/repositories/app/-/tags/v1.10").expect(200).read();
    let config = json!({"os": "linux", "architecture": "amd64"}).to_string();
    assert_eq!(shown.platform.as_deref(), Some("linux/amd64"));
    assert_eq!(shown.size_bytes, (image.len() + config.len() + b"a layer".len()) as u64);
    let text = place.run(&["tag", "list", "app"]).expect(0).stdout;
    let line = text.lines().find(|line| line.starts_with("v1.10 ")).unwrap();
    let hex = &sha256(&image)[7..19];
    for part in [hex, " linux/amd64 ", " ago ", " B "] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!text.contains("sha256:"), "{text}");
    assert!(place.run(&["tag", "list", "app", "-o", "wide"]).expect(0).stdout.contains(&sha256(&image)));
}

#[test]
fn patterns_name_tags_and_nothing_goes_before_all_is_known() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    for tag in ["v1.1", "v1.2", "v2.1", "latest"] {
        content::push_image(&admin, "x", tag, b"layer");
    }
    let dry = place.run(&["tag", "delete", "x:v1.*", "x:v1.1", "--dry-run"]).expect(0);
    assert!(dry.stdout.starts_with("would delete x:v1.1, x:v1.2\nwould free "), "{dry:?}");
    for wrong in [&["tag", "delete", "x:v1.*", "x:nope", "--yes"][..], &["tag", "delete", "x:v9.*", "--yes"]]
    {
        let ran = place.run(wrong).expect(5);
        assert!(ran.stderr.contains("nothing was deleted"), "{ran:?}");
        let (fix, tag) = (ran.stderr.find("stowage tag list x"), ran.stderr.find("tag: "));
        assert!(fix.is_some() && tag.is_none_or(|tag| fix > Some(tag)), "{ran:?}");
    }
    admin.get("/v2/x/manifests/v1.1").expect(200);
    place.run(&["tag", "delete", "x:v1.*", "--yes"]).expect(0);
    assert_eq!(admin.get("/v2/x/tags/list").expect(200).json()["tags"], json!(["latest", "v2.1"]));
    let listed = place.run(&["tag", "list", "x:v*", "--json"]).expect(0).json();
    assert_eq!(listed["data"]["tags"].as_array().unwrap().len(), 1);
}

#[test]
fn names_are_understood_as_docker_has_them_and_what_is_below_is_told() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "demo/alpine", "latest", b"layer");
    content::push_image(&admin, "demo/byroot", "latest", b"layer");
    let host = server.address;
    for name in ["demo/alpine:latest", &format!("{host}/demo/alpine"), &format!("{host}/demo/alpine:latest")]
    {
        assert!(place.run(&["tag", "list", name]).expect(0).stdout.contains("latest"), "{name}");
    }
    for command in
        [&["repo", "delete", "demo", "--yes"][..], &["tag", "list", "demo"], &["repo", "show", "demo"]]
    {
        let ran = place.run(command).expect(5);
        assert!(ran.stderr.contains("below: demo/alpine, demo/byroot"), "{ran:?}");
    }
    let ran = place.run(&["tag", "list", "registry.lan/demo/alpine"]).expect(5);
    assert!(ran.stderr.contains("without the server's name: demo/alpine"), "{ran:?}");
    let ran = place.run(&["repo", "delete", "demo/alpine:latest", "--yes"]).expect(2);
    assert!(ran.stderr.contains("stowage tag delete demo/alpine:latest"), "{ran:?}");
    place.run(&["tag", "delete", &format!("{host}/demo/alpine:latest"), "--yes"]).expect(0);
    admin.get("/v2/demo/alpine/manifests/latest").expect(404);
}
