//! `stowage repo`, `tag`, `status`, and commands that need no store.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::admin::program::{PASSWORD, Place};
use crate::support::content;

#[test]
fn repositories_and_tags_are_shown_and_deleted() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    for tag in ["1", "2", "3"] {
        content::push_image(&admin, "team/app", tag, tag.as_bytes());
    }
    content::push_image(&admin, "other", "1", b"1");
    content::push_blob(&admin, "team/app", b"nothing refers to this");
    let listed = place.run(&["repo", "list", "--json"]).expect(0).json();
    let repositories = listed["data"]["repositories"].as_array().unwrap();
    let names: Vec<&Value> = repositories.iter().map(|repository| &repository["name"]).collect();
    assert_eq!(names, ["other", "team/app"]);
    let shown = place.run(&["repo", "show", "team/app", "--json"]).expect(0).json();
    assert_eq!((&shown["data"]["tags"], &shown["data"]["blobs"]), (&Value::from(3), &Value::from(5)));
    let tags = place.run(&["tag", "list", "team/app"]).expect(0).stdout;
    assert_eq!((tags.lines().count(), tags.contains("admin")), (4, true), "{tags}");
    let ran = place.run(&["tag", "delete", "team/app:1", "team/app:9", "--yes"]).expect(5);
    assert!(ran.stderr.contains("tag:   team/app:9"), "{ran:?}");
    admin.get("/v2/team/app/manifests/1").expect(200);
    for (more, exit) in [(&[][..], 0), (&["--exit-code"][..], 10)] {
        let dry = place.run(&[&["tag", "delete", "team/app:1", "--dry-run"], more].concat()).expect(exit);
        assert!(dry.stdout.starts_with("would delete team/app:1\nwould free "), "{dry:?}");
        let dry = place.run(&[&["repo", "delete", "team/app", "--dry-run"], more].concat()).expect(exit);
        assert!(
            dry.stdout.starts_with("would delete the repository team/app: 3 tags, 3 manifests, "),
            "{dry:?}"
        );
    }
    admin.get("/v2/team/app/manifests/1").expect(200);
    place.run(&["tag", "delete", "team/app:1", "--yes"]).expect(0);
    admin.get("/v2/team/app/manifests/1").expect(404);
    let status = place.run(&["status", "--json"]).expect(0).json();
    assert_eq!((&status["data"]["running"], &status["data"]["tags"]), (&Value::from(true), &Value::from(3)));
    let ran = place.run(&["repo", "delete", "team/app"]).expect(2);
    assert_eq!(ran.error(), "error: there is no terminal to ask whether to go on");
    place.run(&["repo", "delete", "team/app", "--yes"]).expect(0);
    admin.get("/v2/team/app/tags/list").expect(404);
    admin.get("/v2/other/manifests/1").expect(200);
    place.run(&["repo", "delete", "team/app", "--yes"]).expect(5);
    place.run(&["repo", "show", "Team"]).expect(2);
    place.run(&["tag", "list", "nowhere"]).expect(5);
    place.run(&["tag", "delete", "team", "--yes"]).expect(2);
    // A name with plain slashes and one with escaped slashes are the same.
    content::push_image(&admin, "team/app", "1", b"again");
    for name in ["team/app", "team%2Fapp"] {
        admin.get(&format!("/api/v1/repositories/{name}")).expect(200);
        admin.get(&format!("/api/v1/repositories/{name}/-/tags")).expect(200);
    }
    server.stop();
    place.run(&["repo", "list"]).expect(0);
    let status = place.run(&["status", "--json"]).expect(4).json();
    assert_eq!(
        (&status["data"]["running"], &status["data"]["repositories"]),
        (&Value::from(false), &Value::from(2))
    );
    place.run(&["fsck"]).expect(0);
}

fn stowage(place: &Place, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stowage"));
    let output = command.env_clear().args(arguments).current_dir(&place.directory).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn what_init_prints_is_a_valid_configuration() {
    let place = Place::new();
    let (exit, printed, _) = stowage(&place, &["init", "--print"]);
    assert_eq!(exit, 0);
    fs::write(place.directory.path().join("stowage.toml"), &printed).unwrap();
    let check = ["check-config", "--config", "stowage.toml"];
    assert_eq!(stowage(&place, &check), (0, "stowage.toml is valid\n".to_owned(), String::new()));
    fs::write(
        place.directory.path().join("stowage.toml"),
        printed.replace("#level = \"info\"", "level = \"debug\""),
    )
    .unwrap();
    let (exit, shown, _) = stowage(&place, &[&check[..], &["--show", "--sources"]].concat());
    assert_eq!(exit, 0);
    let line = shown.lines().find(|line| line.starts_with("log.level = \"debug\"")).unwrap();
    assert!(line.contains("# stowage.toml, line "), "{line}");
    fs::write(place.directory.path().join("stowage.toml"), "[auth.admin_socket]\nmode = \"0666\"\n").unwrap();
    let (exit, _, error) = stowage(&place, &check);
    assert!(exit == 3 && error.contains("auth.admin_socket.mode"), "{error}");
    let (exit, document, _) = stowage(&place, &[&check[..], &["--json"]].concat());
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!((exit, &document["error"]["code"]), (3, &Value::from("CONFIG_UNSAFE")));
}

#[test]
fn completions_and_manual_pages_are_written() {
    let place = Place::new();
    let (exit, script, _) = stowage(&place, &["completions", "bash"]);
    assert!(exit == 0 && script.contains("passwd") && !script.contains("fsck-child"));
    assert_eq!(stowage(&place, &["man", "man1"]).0, 0);
    let page = fs::read_to_string(place.directory.path().join("man1/stowage-user-add.1")).unwrap();
    assert!(page.contains("password\\-stdin"), "{page}");
}

#[test]
fn commands_have_the_names_that_people_try() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", b"layer");
    place.run_with(&["user", "create", "hanna", "--password-stdin"], PASSWORD).expect(0);
    place.run(&["token", "create", "hanna", "--name", "ci", "--scopes", "read_registry"]).expect(0);
    for (command, named) in [
        (&["user", "ls"][..], "hanna"),
        (&["token", "ls"], "ci"),
        (&["repo", "ls"], "team/app"),
        (&["tag", "ls", "team/app"], "1"),
        (&["manifest", "ls", "team/app"], "1"),
    ] {
        assert!(place.run(command).expect(0).stdout.contains(named), "{command:?}");
    }
    for command in [
        &["token", "rm", "hanna/ci"][..],
        &["user", "rm", "hanna", "--yes"],
        &["tag", "rm", "team/app:1", "--yes"],
        &["repo", "rm", "team/app", "--yes"],
    ] {
        place.run(command).expect(0);
    }
    assert!(!place.run(&["user", "list"]).expect(0).stdout.contains("hanna"));
    admin.get("/v2/team/app/tags/list").expect(404);
    let ran = place.run_elsewhere(&["init"], &[]).expect(2);
    assert!(ran.stderr.contains("fix:   stowage init --print > stowage.toml"), "{ran:?}");
    // The help of the flag that lets everyone push says so; the flag's old name still works.
    let help = place.run_elsewhere(&["serve", "--help"], &[]).expect(0).stdout;
    assert!(help.contains("--open") && !help.contains("--anonymous"), "{help}");
    let other = Place::new();
    let data = other.data();
    let open = other.serve_as(&["--open", "--data-dir", data.to_str().unwrap()], &[]);
    content::push_image(&open.client(), "team/app", "1", b"layer");
}
