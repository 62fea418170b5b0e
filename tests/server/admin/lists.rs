//! Lists of the admin API in pages, conditions on changes, and requests that do not match the document.

use serde_json::{Value, json};
use stowage::model::media_type::OCI_MANIFEST;
use stowage::wire::{List, Problem, Tag, User};

use crate::admin::fake;
use crate::admin::program::{PASSWORD, Place};
use crate::admin::terminal::Terminal;
use crate::support::{Client, content};

/// The names in a list that is read in pages, and the number of pages.
fn in_parts(client: &Client, path: &str, key: &str) -> (Vec<String>, usize) {
    let (mut names, mut parts) = (Vec::new(), 0);
    let mut next = path.to_owned();
    loop {
        let answer = client.get(&next).expect(200);
        let part: List<Value> = answer.read();
        parts += 1;
        names.extend(part.items.iter().map(|item| item[key].to_string().trim_matches('"').to_owned()));
        let link = answer.header("link");
        let Some(cursor) = part.next_cursor else {
            assert_eq!(link, None);
            return (names, parts);
        };
        link.unwrap().split(['<', '>']).nth(1).unwrap().clone_into(&mut next);
        assert!(next.contains(&cursor), "{link:?} {cursor}");
    }
}

#[test]
fn every_list_comes_in_parts_without_a_gap_or_a_repetition() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    let users = ["admin", "bob", "carl", "dora@x.y", "emil"];
    for name in &users[1..] {
        place.add(name);
    }
    let repositories = ["a", "a-b", "a/b", "a.b", "b"];
    for name in repositories {
        content::push_image(&admin, name, "t", b"x");
    }
    let manifest = content::image(&[b"x"]);
    let tags = ["0", "1", "10", "T", "_", "t", "tt"];
    for tag in tags {
        content::push_manifest(&admin, "b", tag, OCI_MANIFEST, &manifest);
    }
    let mut tokens = Vec::new();
    for (number, user) in ["bob", "carl", "bob", "bob", "dora@x.y"].into_iter().enumerate() {
        let made = ["token", "create", user, "--name", &number.to_string(), "--scopes", "api", "--json"];
        tokens.push((user, place.run(&made).expect(0).json()["data"]["id"].to_string()));
    }
    let sorted = |names: &[&str]| {
        let mut names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        names.sort();
        names
    };
    for limit in 1..=8 {
        for (path, key, names) in [
            ("/api/v1/users", "name", sorted(&users)),
            ("/api/v1/repositories", "name", sorted(&repositories)),
            ("/api/v1/repositories/b/-/tags", "name", sorted(&tags)),
            ("/api/v1/tokens", "id", tokens.iter().map(|(_, id)| id.clone()).collect()),
        ] {
            let (found, parts) = in_parts(&admin, &format!("{path}?limit={limit}"), key);
            assert_eq!(found, names, "{path} {limit}");
            assert_eq!(parts, names.len().div_ceil(limit), "{path} {limit}");
        }
        let of_bob: Vec<String> =
            tokens.iter().filter(|(user, _)| *user == "bob").map(|(_, id)| id.clone()).collect();
        assert_eq!(in_parts(&admin, &format!("/api/v1/tokens?limit={limit}&user=bob"), "id").0, of_bob);
    }
    // An entry that is added between two pages neither hides nor repeats another one.
    let first = admin.get("/api/v1/users?limit=2").expect(200);
    place.add("aaa");
    place.run(&["user", "delete", "bob", "--yes"]).expect(0);
    let next = first.header("link").unwrap().split(['<', '>']).nth(1).unwrap().to_owned();
    let rest: List<User> = admin.get(&next).expect(200).read();
    assert_eq!(rest.items[0].name, "carl");
}

#[test]
fn a_cursor_leads_on_only_in_the_list_that_gave_it() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    for user in ["bob", "carl"] {
        place.add(user);
        for token in ["1", "2"] {
            place.run(&["token", "create", user, "--name", token, "--scopes", "api"]).expect(0);
        }
    }
    for repository in ["a", "b"] {
        content::push_image(&admin, repository, "1", b"x");
        content::push_image(&admin, repository, "2", b"y");
    }
    let lists = [
        "/api/v1/users?limit=1",
        "/api/v1/repositories?limit=1",
        "/api/v1/repositories/a/-/tags?limit=1",
        "/api/v1/repositories/b/-/tags?limit=1",
        "/api/v1/repositories/b/-/manifests?limit=1",
        "/api/v1/repositories/b/-/manifests?limit=1&untagged=false",
        "/api/v1/tokens?limit=1",
        "/api/v1/tokens?limit=1&user=bob",
        "/api/v1/tokens?limit=1&user=carl",
    ];
    for given in lists {
        let cursor = admin.get(given).expect(200).read::<List<Value>>().next_cursor.unwrap();
        for asked in lists {
            let answer = admin.get(&format!("{asked}&cursor={cursor}"));
            if asked == given {
                answer.expect(200);
            } else {
                let problem: Problem = answer.expect(400).read();
                assert_eq!(problem.code, "CURSOR_INVALID", "{given} {asked}");
            }
        }
    }
    let plain = "/api/v1/repositories/team/app/-/tags?limit";
    for tag in ["1", "2"] {
        content::push_image(&admin, "team/app", tag, b"x");
    }
    let first: List<Tag> = admin.get(&format!("{plain}=1")).expect(200).read();
    let cursor = first.next_cursor.unwrap();
    for same in [plain, &plain.replace("team/", "team%2F"), &plain.replace("app", "%61pp")] {
        let rest: List<Tag> = admin.get(&format!("{same}=2&cursor={cursor}")).expect(200).read();
        assert_eq!(rest.items[0].name, "2", "{same}");
    }
}

#[test]
fn the_commands_show_lists_of_any_length_whole() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    content::push_image(&admin, "a", "t", b"x");
    let manifest = content::image(&[b"x"]);
    for tag in 0..520 {
        content::push_manifest(&admin, "a", &format!("t{tag}"), OCI_MANIFEST, &manifest);
    }
    let listed = place.run(&["tag", "list", "a", "--json"]).expect(0).json();
    assert_eq!(listed["data"]["tags"].as_array().unwrap().len(), 521);
}

#[test]
fn a_list_that_does_not_end_is_an_error() {
    let place = Place::new();
    for (round, names) in [1, 2, usize::MAX].into_iter().enumerate() {
        let mut asked = 0;
        let server = fake::server(&place, move |_| {
            asked += 1;
            fake::json(200, &json!({"items": [], "next_cursor": format!("{round}-{}", asked % names)}))
        });
        let ran = place.run_elsewhere(&["repo", "list", "--server", &server], &[]).expect(4);
        assert!(ran.error().contains("the response is not from a Stowage server"), "{ran:?}");
        assert!(ran.stderr.contains("its list does not end"), "{ran:?}");
    }
}

#[test]
fn a_change_can_be_bound_to_what_was_seen() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    place.add("hanna");
    let path = "/api/v1/users/hanna";
    let change = |if_match: &str, body: &Value| {
        let headers = [("Content-Type", "application/json"), ("If-Match", if_match)];
        admin.send("PATCH", path, &headers, body.to_string().as_bytes())
    };
    let tag = |response: &crate::support::Response| response.header("etag").unwrap().to_owned();
    let seen = tag(&admin.get(path).expect(200));
    let changed = tag(&change(&seen, &json!({"disabled": true})).expect(200));
    assert_ne!(seen, changed);
    let refused: Problem = change(&seen, &json!({"disabled": false})).expect(412).read();
    assert_eq!(refused.code, "CHANGED");
    assert!(admin.get(path).expect(200).read::<User>().disabled);
    admin.send("DELETE", path, &[("If-Match", &seen)], b"").expect(412);
    let with_password = tag(&change("*", &json!({"password": PASSWORD})).expect(200));
    assert_ne!(changed, with_password, "a new password is a change");
    for wrong in ["x", "\"a\", \"b\"", "W/\"a\""] {
        assert_eq!(change(wrong, &json!({"disabled": true})).expect(400).json()["code"], "IF_MATCH_INVALID");
    }
    admin.send("DELETE", path, &[("If-Match", &with_password)], b"").expect(204);
}

#[test]
fn what_the_api_does_not_have_is_refused_by_its_name() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    for (path, code, sentence) in [
        ("/api/v1/users?limit=0", "LIMIT_INVALID", "limit is a number from 1 to 500"),
        ("/api/v1/users?limit=501", "LIMIT_INVALID", "limit is a number from 1 to 500"),
        ("/api/v1/users?limit=ten", "LIMIT_INVALID", "limit is a number from 1 to 500"),
        ("/api/v1/users?cursor=x", "CURSOR_INVALID", "cursor is not one that this list has given"),
        ("/api/v1/tokens?cursor=MQBrZXkAYQ", "CURSOR_INVALID", "cursor is not one that this list has given"),
        (
            "/api/v1/users?page=2",
            "PARAMETER_UNKNOWN",
            "there is no query parameter \"page\"; known here: limit, cursor",
        ),
        (
            "/api/v1/system?limit=1",
            "PARAMETER_UNKNOWN",
            "there is no query parameter \"limit\"; none is known here",
        ),
        (
            "/api/v1/repositories/team/app/-/tags?last=x",
            "PARAMETER_UNKNOWN",
            "there is no query parameter \"last\"; known here: limit, cursor",
        ),
    ] {
        let problem = admin.get(path).expect(400).json();
        assert_eq!((&problem["code"], &problem["detail"]), (&json!(code), &json!(sentence)), "{path}");
    }
}

/// Whether a text is there, in one piece or wrapped between words.
fn holds(seen: &str, text: &str) -> bool {
    seen.split_whitespace().fold(text, |rest, word| rest.strip_prefix(word).unwrap_or(rest)).is_empty()
}

#[test]
fn lists_fit_the_terminal_and_leave_nothing_out() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    let (repository, tag) = ("a-team/with/a-long-name", "a-tag-that-has-a-very-long-name-of-its-own");
    content::push_image(&admin, repository, tag, b"layer");
    let scopes = "read_registry,write_registry,delete_registry,read_api,api";
    place.run(&["token", "create", "admin", "--name", "a-laptop", "--scopes", scopes]).expect(0);
    let lists: [(&[&str], &[&str]); 5] = [
        (&["repo", "list"], &[repository]),
        (&["tag", "list", repository], &[tag, "admin"]),
        (&["manifest", "list", repository], &[tag]),
        (&["user", "list"], &["admin", "active"]),
        (&["token", "list"], &[scopes, "a-laptop", "never"]),
    ];
    for columns in [100, 80, 40] {
        for (arguments, wanted) in lists {
            let mut terminal = Terminal::with_columns(&place, arguments, columns);
            assert_eq!(terminal.wait(), 0);
            let seen = terminal.rest();
            let most = seen.lines().map(|line| line.trim_end().chars().count()).max();
            assert!(most.unwrap() <= usize::from(columns), "{arguments:?} in {columns}:\n{seen}");
            for text in wanted {
                assert!(holds(&seen, text), "{arguments:?} in {columns}: no {text}\n{seen}");
            }
        }
    }
    let wide = place.run(&["token", "list", "-o", "wide"]).expect(0).stdout;
    assert!(wide.contains(scopes), "{wide}");
}
