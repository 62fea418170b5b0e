//! `stowage user`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::admin::program::{PASSWORD, Place};
use crate::support::content;

const OTHER: &str = "canary-Otter-Maple-88";

#[test]
fn a_new_user_signs_in_pushes_and_pulls_but_does_not_delete() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    let hanna = server.client().basic("hanna", PASSWORD);
    hanna.get("/v2/").expect(401);
    let ran =
        place.run_with(&["user", "add", "hanna", "--password-stdin"], &format!("{PASSWORD}\n")).expect(0);
    assert_eq!(ran.stdout, "created the user hanna\n");
    hanna.get("/v2/").expect(200);
    let manifest = content::push_image(&hanna, "team/app", "1", b"layer");
    assert_eq!(hanna.get("/v2/team/app/manifests/1").expect(200).body, manifest);
    hanna.delete("/v2/team/app/manifests/1").expect_error(403, "DENIED");
    admin.delete("/v2/team/app/manifests/1").expect(202);
}

#[test]
fn a_disabled_user_is_out_from_the_next_request_on() {
    let place = Place::new();
    let (server, _) = place.serve_with_admin();
    place.add("hanna");
    let hanna = server.client().basic("hanna", PASSWORD);
    hanna.get("/v2/").expect(200);
    let upload = content::open_upload(&hanna, "team/app");
    place.run(&["user", "disable", "hanna"]).expect(0);
    hanna.get("/v2/").expect(401);
    hanna.patch(&upload, b"more").expect(401);
    place.run(&["user", "enable", "hanna"]).expect(0);
    hanna.get("/v2/").expect(200);
    place.run(&["user", "delete", "hanna", "--yes"]).expect(0);
    hanna.get("/v2/").expect(401);
}

#[test]
fn a_new_password_ends_the_old_one() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    place.add("hanna");
    let before = server.client().basic("hanna", PASSWORD);
    before.get("/v2/").expect(200);
    let file = place.directory.path().join("password");
    fs::write(&file, format!("{OTHER}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    place.run(&["user", "passwd", "hanna", "--password-file", file.to_str().unwrap()]).expect(0);
    before.get("/v2/").expect(401);
    server.client().basic("hanna", OTHER).get("/v2/").expect(200);
    // Changing the password removes the file of the generated one.
    place.run_with(&["user", "passwd", "admin", "--password-stdin"], OTHER).expect(0);
    assert!(!place.data().join("initial-admin-password").exists());
    admin.get("/v2/").expect(401);
}

#[test]
fn every_mistake_is_told_in_one_sentence_with_its_exit_code() {
    let place = Place::new();
    let (_server, _) = place.serve_with_admin();
    place.add("hanna");
    let add = ["user", "add"];
    let cases: &[(&[&str], &str, i32, &str)] = &[
        (&["hanna", "--password-stdin"], PASSWORD, 6, "error: there is a user \"hanna\" already"),
        (&["a:b", "--password-stdin"], PASSWORD, 2, "error: \"a:b\" cannot be a user name"),
        (
            &["omar", "--password-stdin"],
            "short",
            2,
            "error: the password is too short (5): it needs 12 to 1,024 characters",
        ),
        (&["omar"], "", 2, "error: there is no terminal to ask for the password"),
        (&["omar", "--password-file", "/nowhere/secret"], "", 3, "error: cannot read the secret file"),
    ];
    for (arguments, stdin, exit, sentence) in cases {
        let ran = place.run_with(&[&add, *arguments].concat(), stdin).expect(*exit);
        assert!(ran.error().starts_with(sentence), "{ran:?}");
        assert_eq!(ran.stdout, "");
    }
    let cases: &[(&[&str], i32, &str)] = &[
        (&["user", "show", "omar"], 5, "error: there is no user \"omar\""),
        (&["user", "show", "../tokens"], 5, "error: there is no user \"../tokens\""),
        (&["user", "disable", "omar"], 5, "error: there is no user \"omar\""),
        (&["user", "delete", "hanna"], 2, "error: there is no terminal to ask whether to go on"),
        (&["user", "delete", "admin", "--yes"], 6, "error: \"admin\" is the last admin who can sign in"),
        (&["user", "disable", "admin"], 6, "error: \"admin\" is the last admin who can sign in"),
        (&["user", "add", "omar", "--password", "x"], 2, "error: unexpected argument '--password'"),
    ];
    for (arguments, exit, sentence) in cases {
        let ran = place.run(arguments).expect(*exit);
        assert!(ran.error().starts_with(sentence), "{ran:?}");
    }
    place.run(&["user", "show", "hanna"]).expect(0);
}

#[test]
fn without_a_server_the_same_commands_say_the_same() {
    let place = Place::new();
    let ran = place.run(&["user", "list"]).expect(5);
    assert!(ran.error().starts_with("error: no server runs, and there is no data in "), "{ran:?}");
    assert!(!place.data().exists(), "looking makes nothing");
    let (server, _) = place.serve_with_admin();
    let steps: &[(&[&str], &str)] = &[
        (&["user", "add", "NAME", "--admin", "--password-stdin"], PASSWORD),
        (&["user", "show", "NAME", "--json"], ""),
        (&["user", "add", "NAME", "--password-stdin"], PASSWORD),
        (&["user", "add", "x", "--password-stdin"], "short"),
        (&["user", "disable", "NAME"], ""),
        (&["user", "enable", "NAME", "--json"], ""),
        (&["user", "passwd", "NAME", "--password-stdin"], OTHER),
        (&["user", "delete", "NAME", "--yes"], ""),
        (&["user", "show", "NAME", "--json"], ""),
        (&["user", "show", "NAME"], ""),
    ];
    let steps = |name: &str| -> Vec<(i32, String, String)> {
        let ran = steps.iter().map(|(arguments, stdin)| {
            let arguments: Vec<&str> =
                arguments.iter().map(|word| if *word == "NAME" { name } else { word }).collect();
            let ran = place.run_with(&arguments, stdin);
            let alike = |text: &str| without_changing_fields(&text.replace(name, "NAME"));
            (ran.exit, alike(&ran.stdout), alike(&ran.stderr))
        });
        ran.collect()
    };
    let online = steps("online");
    let ran = place.run(&["user", "list", "--offline"]).expect(9);
    assert!(ran.error().contains("in use by another process"), "{ran:?}");
    server.stop();
    assert!(!place.socket().exists(), "the socket goes with the server");
    assert_eq!(online, steps("offline"));
    // Changes made without a server are there for the next server, and a stale socket does not count as a
    // server.
    place.add("omar");
    let server = place.serve();
    server.client().basic("omar", PASSWORD).get("/v2/").expect(200);
    server.kill();
    assert!(place.socket().exists());
    place.run(&["user", "disable", "omar"]).expect(0);
    let server = place.serve();
    server.client().basic("omar", PASSWORD).get("/v2/").expect(401);
}

/// Replaces numbers and times, which differ from user to user.
fn without_changing_fields(text: &str) -> String {
    let Ok(mut document) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    for key in ["id", "created_at"] {
        if document["data"][key] != Value::Null {
            document["data"][key] = Value::from("*");
        }
    }
    document.to_string()
}

#[test]
fn json_is_one_document_also_on_failure() {
    let place = Place::new();
    let (_server, _) = place.serve_with_admin();
    place.add("hanna");
    let listed = place.run(&["user", "list", "--json"]).expect(0).json();
    assert_eq!(listed["schema"], "stowage.cli/v1");
    assert_eq!((&listed["command"], &listed["ok"]), (&Value::from("user list"), &Value::from(true)));
    let users = listed["data"]["users"].as_array().unwrap();
    assert_eq!(users.len(), 2);
    assert_eq!((&users[1]["name"], &users[1]["admin"]), (&Value::from("hanna"), &Value::from(false)));
    assert!(users[1]["created_at"].as_str().unwrap().ends_with('Z'));
    let failed = place.run(&["user", "show", "omar", "--json"]).expect(5);
    assert_eq!(failed.stderr, "");
    let failed = failed.json();
    assert_eq!(
        (&failed["ok"], &failed["error"]["code"]),
        (&Value::from(false), &Value::from("USER_UNKNOWN"))
    );
    let human = place.run(&["user", "list"]).expect(0).stdout;
    assert!(human.starts_with("NAME   ROLE   STATE   CREATED\nadmin  admin  active  "), "{human}");
}
