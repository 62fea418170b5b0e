//! `stowage token`.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::admin::program::{Place, Ran};
use crate::support::{content, eventually};

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
    let begun = Instant::now();
    let ran = create(&place, "read_registry,write_registry", "3s").expect(0);
    let token = server.client().basic("hanna", ran.stdout.trim());
    let statuses = ["/v2/team/app/manifests/1", "/v2/"].map(|path| token.get(path).status);
    // On a busy machine the token may have expired already.
    assert!(statuses == [200, 200] || begun.elapsed() > Duration::from_secs(3), "{statuses:?}");
    eventually("the token expires", || token.get("/v2/").status == 401);
    assert!(begun.elapsed() > Duration::from_secs(3), "it expired after {:?}", begun.elapsed());
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
        ("read", "never", 2, "error: \"read\" is not a scope; use some of read_registry,"),
        (
            "read_registry",
            "soon",
            2,
            "error: invalid value 'soon' for '--expires <TIME>': `soon` is neither a duration",
        ),
        ("read_registry", "0s", 2, "error: a token is valid for 1 second to 49710 days, or for ever"),
    ] {
        let ran = create(&place, scopes, expires).expect(exit);
        assert!(ran.error().starts_with(sentence), "{ran:?}");
    }
    let ran = place.run(&["token", "create", "omar", "--name", "x", "--scopes", "api"]).expect(5);
    assert_eq!(ran.error(), "error: there is no user \"omar\"");
    let ran = place.run(&["token", "create", "hanna", "--name", "", "--scopes", "api"]).expect(2);
    assert_eq!(
        ran.error(),
        "error: a token's name has 1 to 128 characters, none of them a control character"
    );
    let ran = place.run(&["token", "list", "omar", "--json"]).expect(5);
    assert_eq!(ran.json()["error"]["code"], "USER_UNKNOWN");
    // The same without a server; tokens that are created there work.
    server.stop();
    let ran = create(&place, "read_registry", "0s").expect(2);
    assert_eq!(ran.error(), "error: a token is valid for 1 second to 49710 days, or for ever");
    let made = place
        .run(&[
            "token",
            "create",
            "hanna",
            "--name",
            "n",
            "--scopes",
            "read_registry",
            "--expires",
            "never",
            "--json",
        ])
        .expect(0);
    let made = &made.json()["data"];
    assert_eq!(made["expires_at"], Value::Null);
    let server = place.serve();
    server.client().basic("hanna", made["secret"].as_str().unwrap()).get("/v2/").expect(200);
}

#[test]
fn a_token_is_named_by_its_number_its_name_or_its_user_and_name() {
    let place = Place::new();
    let (_server, _) = place.serve_with_admin();
    place.add("hanna");
    create(&place, "read_registry", "90d").expect(0);
    place.run(&["token", "create", "admin", "--name", "laptop", "--scopes", "api"]).expect(0);
    let ran = place.run(&["token", "revoke", "laptop"]).expect(2);
    assert_eq!(ran.error(), "error: 2 tokens have the name \"laptop\"");
    assert!(ran.stderr.contains("hanna/laptop (number 1), admin/laptop (number 2)"), "{ran:?}");
    assert!(ran.stderr.contains("fix:   say whose it is: hanna/laptop"), "{ran:?}");
    let ran = place.run(&["token", "revoke", "hanna/laptop"]).expect(0);
    assert_eq!(ran.stdout, "revoked the token 1 (laptop) of hanna\n");
    place.run(&["token", "show", "laptop"]).expect(0);
    place.run(&["token", "revoke", "2"]).expect(0);
    let ran = place.run(&["token", "revoke", "ci"]).expect(5);
    assert_eq!(ran.error(), "error: there is no token \"ci\"");
    let ran = place.run(&["token", "revoke", "stw_pat_secret"]).expect(2);
    assert!(!ran.stderr.contains("stw_pat_secret"), "{ran:?}");
}

#[test]
fn a_token_ends_after_ninety_days_unless_another_time_is_named() {
    let place = Place::new();
    let (_server, _) = place.serve_with_admin();
    place.add("hanna");
    let made = ["token", "create", "hanna", "--name", "usual", "--scopes", "read_registry", "--json"];
    let made = place.run(&made).expect(0).json();
    let time = |key: &str| made["data"][key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let lifetime = (time("expires_at") - time("created_at")).get_seconds();
    assert!((90 * 86_400..90 * 86_400 + 60).contains(&lifetime), "{lifetime}");
    let ran = create(&place, "read_registry,delete_registry", "2099-01-31").expect(0);
    assert!(ran.stderr.starts_with("warning: delete_registry gives nothing: only admins delete"), "{ran:?}");
    let listed = place.run(&["token", "list", "hanna", "-o", "wide"]).expect(0).stdout;
    assert!(listed.contains("STATE"), "{listed}");
    let laptop = listed.lines().find(|line| line.contains("laptop")).unwrap();
    assert!(laptop.contains("active") && laptop.contains("2099-01-31 00:00 (in "), "{laptop}");
    let ran = place.run(&[
        "token",
        "create",
        "hanna",
        "--name",
        "past",
        "--scopes",
        "api",
        "--expires",
        "2020-01-01",
    ]);
    assert_eq!(ran.expect(2).error(), "error: 2020-01-01 00:00 is in the past");
    place.run(&["user", "disable", "hanna"]).expect(0);
    assert!(place.run(&["token", "list"]).expect(0).stdout.contains("user disabled"));
}
