//! Stores kept as text, each of one format, and whether they open.
//!
//! Before a change of the format, `cargo test --test durability -- --ignored write_the_present_store` keeps a store of the
//! present one in `stores/format-<number>.txt`: a row in every table, the files that belong to it, and a dump.

mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;
use stowage::model::media_type::{OCI_INDEX, OCI_MANIFEST};
use stowage::store::meta::SCHEMA;

use crate::process::{assert_whole, directory_in_memory};
use crate::support::content::{
    bytes, image, index, open_upload, push_blob, push_image, push_manifest, referrer,
};
use crate::support::{Client, Setup, TestStowage, eventually};

const PASSWORD: &str = "a password of the fixture";
const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

fn fixture(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/durability/stores/format-{format}.txt"))
}

/// A server that makes dumps often enough for a test to see one.
fn serve(directory: &Path) -> TestStowage {
    let mut setup = Setup { open: false, directory: Some(directory.to_owned()), ..Setup::default() };
    setup.config.storage.dumps.every = "1s".parse().unwrap();
    setup.config.storage.dumps.keep = 1;
    TestStowage::with(setup)
}

fn send(client: &Client, method: &str, path: &str, body: &serde_json::Value) -> crate::support::Response {
    client.send(method, path, JSON, body.to_string().as_bytes())
}

/// Puts something into every table.
fn fill(server: &TestStowage) {
    let admin = server.admin();
    let first = push_image(&admin, "team/app", "1", b"layer one");
    let second = push_image(&admin, "team/app", "2", b"layer two");
    push_image(&admin, "team/other", "1", b"layer one");
    let both = index(&[&first, &second]);
    push_manifest(&admin, "team/app", "all", OCI_INDEX, &both);
    let signature = referrer(&first, "application/vnd.test.signature", &json!({"by": "a test"}));
    push_blob(&admin, "team/app", b"{}");
    let digest = crate::support::content::sha256(&signature);
    push_manifest(&admin, "team/app", &digest, OCI_MANIFEST, &signature);
    push_blob(&admin, "team/app", b"nothing refers to this");
    push_image(&admin, "team/gone", "1", b"layer three");
    admin.delete("/api/v1/repositories/team/gone").expect(204);
    push_image(&admin, "team/app", "short", b"layer four");
    admin.delete("/api/v1/repositories/team/app/-/tags/short").expect(204);
    let sparse = image(&[b"layer one"]);
    push_manifest(&admin, "team/app", "2", OCI_MANIFEST, &sparse);
    admin.get("/v2/team/app/manifests/1").expect(200);
    let upload = open_upload(&admin, "team/app");
    admin.patch(&upload, &bytes(1, 1000)).expect(202);
    send(&admin, "POST", "/api/v1/users", &json!({"name": "hanna", "password": PASSWORD})).expect(201);
    let token = json!({"user": "hanna", "name": "ci", "scopes": ["write_registry"]});
    send(&admin, "POST", "/api/v1/tokens", &token).expect(201);
    let hanna = server.client().basic("hanna", PASSWORD);
    hanna.get("/token?service=stowage&offline_token=true&client_id=test").expect(200);
    for round in 0..20 {
        let name = format!("user{round}");
        send(&admin, "POST", "/api/v1/users", &json!({"name": name, "password": PASSWORD})).expect(201);
        admin.delete(&format!("/api/v1/users/{name}")).expect(204);
    }
}

#[test]
fn the_store_of_each_format_opens_and_is_whole() {
    let dir = directory_in_memory();
    text::read(&fixture(SCHEMA), dir.path());
    let server = serve(dir.path());
    let hanna = server.client().basic("hanna", PASSWORD);
    hanna.get("/v2/").expect(200);
    server.stop();
    assert_whole(dir.path());
    let database = dir.path().join("stowage.redb");
    assert_eq!(text::table(&database, "outbox_cursor"), text::rows_of(&fixture(SCHEMA), "outbox_cursor"));
}

#[test]
#[ignore = "it writes a file of the source"]
fn write_the_present_store() {
    let dir = directory_in_memory();
    let server = serve(dir.path());
    fill(&server);
    server.stop();
    text::insert(&dir.path().join("stowage.redb"), "outbox_cursor", b"a consumer", &[1, 1]);
    // The dump has what was written by then.
    let server = serve(dir.path());
    let before = dumps(dir.path());
    eventually("there is a dump", || dumps(dir.path()) > before);
    server.stop();
    text::write(dir.path(), &fixture(SCHEMA));
    let rows: BTreeMap<String, usize> = text::counts(&fixture(SCHEMA));
    let empty: Vec<&String> = rows.iter().filter(|(_, count)| **count == 0).map(|(name, _)| name).collect();
    assert!(empty.is_empty(), "no row in {empty:?}");
}

/// The name of the newest dump.
fn dumps(dir: &Path) -> Option<String> {
    let entries = std::fs::read_dir(dir.join("dumps")).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.ends_with(".dump")).max()
}
