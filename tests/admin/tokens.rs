//! `stowage token`.

use std::time::Duration;

use serde_json::Value;

use crate::program::{Place, Ran};
use crate::support::content;

fn create(place: &Place, scopes: &str, expires: &str) -> Ran {
    let scopes = ["--scopes", scopes, "--expires", expires];
    place.run(&[&["token", "create", "hanna", "--name", "laptop"], &scopes[..]].concat())
}

#[test]
fn a_token_works_until_it_is_revoked() {
    let place = Place::new();
    let (server, _) = place.serve_with_admin();
    place.add("hanna");
    let ran = create(&place, "read_registry,write_registry", "90d").expect(0);
    let secret = ran.stdout.trim();
    assert!(secret.starts_with("stw_pat_") && !ran.stderr.contains(secret), "{ran:?}");
    let token = server.client().basic("hanna", secret);
    content::push_image(&token, "team/app", "1", b"layer");
    token.get("/v2/team/app/manifests/1").expect(200);
    let listed = place.run(&["token", "list", "hanna", "--json"]).expect(0);
    assert!(!listed.stdout.contains(secret));
    let listed = &listed.json()["data"]["tokens"][0];
    assert_eq!(listed["scopes"], serde_json::json!(["read_registry", "write_registry"]));
    assert_eq!(listed["last_used_from"], "127.0.0.1");
    let id = listed["id"].to_string();
    place.run(&["token", "show", &id]).expect(0);
    let upload = content::open_upload(&token, "team/app");
    let revoked = place.run(&["token", "revoke", &id]).expect(0);
    assert_eq!(revoked.stdout, format!("revoked the token {id} (laptop) of hanna\n"));
    token.get("/v2/").expect(401);
    token.patch(&upload, b"more").expect(401);
    let ran = place.run(&["token", "show", &id]).expect(5);
    assert_eq!(ran.error(), format!("error: there is no token {id}"));
}

#[test]
fn a_token_does_no_more_than_its_scopes() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    place.add("hanna");
    content::push_image(&admin, "team/app", "1", b"layer");
    let secret = create(&place, "read_registry", "never").expect(0).stdout;
    let token = server.client().basic("hanna", secret.trim());
    token.get("/v2/team/app/manifests/1").expect(200);
    token.post("/v2/team/app/blobs/uploads/", b"").expect_error(403, "DENIED");
    token.get("/api/v1/users").expect(403);
}

#[test]
fn an_expired_token_is_refused() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    place.add("hanna");
    content::push_image(&admin, "team/app", "1", b"layer");
    let ran = create(&place, "read_registry,write_registry", "3s").expect(0);
    let token = server.client().basic("hanna", ran.stdout.trim());
    token.get("/v2/team/app/manifests/1").expect(200);
    token.get("/v2/").expect(200);
    std::thread::sleep(Duration::from_millis(3100));
    token.post("/v2/team/app/blobs/uploads/", b"").expect(401);
    token.get("/v2/team/app/manifests/1").expect(401);
    token.get("/v2/").expect(401);
}

#[test]
fn mistakes_with_tokens_are_told_in_one_sentence() {
    let place = Place::new();
    let (server, _) = place.serve_with_admin();
    place.add("hanna");
    for (scopes, expires, exit, sentence) in [
        ("read", "never", 2, "error: \"read\" is no scope; use some of read_registry,"),
        (
            "read_registry",
            "soon",
            2,
            "error: invalid value 'soon' for '--expires <TIME>': `soon` is not a duration",
        ),
        ("read_registry", "0s", 2, "error: a token is valid for 1 second to 49710 days, or for ever"),
    ] {
        let ran = create(&place, scopes, expires).expect(exit);
        assert!(ran.error().starts_with(sentence), "{ran:?}");
    }
    let ran = place.run(&["token", "create", "omar", "--name", "x", "--scopes", "api"]).expect(5);
    assert_eq!(ran.error(), "error: there is no user \"omar\"");
    let ran = place.run(&["token", "create", "hanna", "--name", "", "--scopes", "api"]).expect(2);
    assert_eq!(ran.error(), "error: a token's name has 1 to 128 characters");
    let ran = place.run(&["token", "list", "omar", "--json"]).expect(5);
    assert_eq!(ran.json()["error"]["code"], "USER_UNKNOWN");
    // Without a server the same, and tokens made there work.
    server.stop();
    let ran = create(&place, "read_registry", "0s").expect(2);
    assert_eq!(ran.error(), "error: a token is valid for 1 second to 49710 days, or for ever");
    let made = place
        .run(&["token", "create", "hanna", "--name", "n", "--scopes", "read_registry", "--json"])
        .expect(0);
    let made = &made.json()["data"];
    assert_eq!(made["expires_at"], Value::Null);
    let server = place.serve();
    server.client().basic("hanna", made["secret"].as_str().unwrap()).get("/v2/").expect(200);
}
