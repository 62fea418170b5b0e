//! The schemas in the `OpenAPI` document agree with what the API accepts: lengths, patterns, numbers and
//! words.

use std::collections::BTreeSet;

use regex_lite::Regex;
use serde_json::{Value, json};

use crate::admin::program::{PASSWORD, Place};
use crate::support::{Client, Response, content};

const CONSTRAINTS: [&str; 7] =
    ["pattern", "minLength", "maxLength", "minimum", "maximum", "enum", "minItems"];
const LIFETIME: u64 = u32::MAX as u64;

/// A value of a request, with its name and its schema in the document.
struct Form {
    name: &'static str,
    schema: &'static str,
    /// The error codes that mean that the form of the value was refused; any other answer means that it was
    /// accepted.
    codes: &'static [&'static str],
    values: Vec<Value>,
    send: fn(&Client, &Value) -> Response,
}

/// Whether the schema of a string, a number or a list allows a value.
fn allows(schema: &Value, value: &Value) -> bool {
    let at_least = |key: &str, number: i64| schema[key].as_i64().is_none_or(|least| number >= least);
    let at_most = |key: &str, number: i64| schema[key].as_i64().is_none_or(|most| number <= most);
    let is_word = schema["enum"].as_array().is_none_or(|words| words.contains(value));
    let fits = match value {
        Value::Array(items) => {
            at_least("minItems", items.len().try_into().unwrap())
                && items.iter().all(|item| allows(&schema["items"], item))
        }
        Value::String(text) => {
            // JSON Schema counts characters.
            let length = text.chars().count().try_into().unwrap();
            let matches = |pattern| Regex::new(pattern).unwrap().is_match(text);
            at_least("minLength", length)
                && at_most("maxLength", length)
                && schema["pattern"].as_str().is_none_or(matches)
        }
        Value::Number(number) => {
            let number = number.as_i64().unwrap();
            at_least("minimum", number) && at_most("maximum", number)
        }
        other => panic!("{other}: no value of the table"),
    };
    is_word && fits
}

/// A value, encoded for a path or a query.
fn encoded(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn get(client: &Client, path: &str) -> Response {
    client.get(&format!("/api/v1{path}"))
}

fn send(client: &Client, method: &str, path: &str, body: &Value) -> Response {
    let headers = [("Content-Type", "application/json")];
    client.send(method, &format!("/api/v1{path}"), &headers, body.to_string().as_bytes())
}

fn token(client: &Client, name: &Value, scopes: &Value, lifetime_s: &Value) -> Response {
    let body = json!({"user": "admin", "name": name, "scopes": scopes, "lifetime_s": lifetime_s});
    send(client, "POST", "/tokens", &body)
}

fn texts<const N: usize>(values: [&str; N]) -> Vec<Value> {
    values.map(Value::from).to_vec()
}

/// Texts of these lengths, of one-byte and of two-byte letters.
fn lengths<const N: usize>(values: [usize; N]) -> Vec<Value> {
    values.into_iter().flat_map(|length| ["x", "é"].map(|letter| letter.repeat(length).into())).collect()
}

/// The values in bodies. The user `omar` exists.
fn bodies() -> Vec<Form> {
    let names = ["a1", "7", "B.c_d-e@f", "", "-a", ".a", "_a", "@a", "a b", "a/b", "a:b", "aé", "é", "a\n"];
    let [longest, longer] = [64, 65].map(|length| "n".repeat(length));
    let words = [
        json!([]),
        json!(["api"]),
        json!(["read_registry", "write_registry", "delete_registry", "read_api", "api"]),
        json!(["API"]),
        json!([""]),
        json!(["api", ""]),
        json!([" api"]),
        json!(["read_registry,api"]),
        json!(["read_registry api"]),
    ];
    let token_names =
        ["a", "a b", "", "a\u{7}", "a\n", "\u{85}", "a\u{7f}", "a\u{202e}b", "\u{61c}", "\u{2066}"];
    vec![
        Form {
            name: "name",
            schema: "/components/schemas/NewUser/properties/name",
            codes: &["USER_NAME_INVALID"],
            values: [texts(names), texts([&longest, &longer])].concat(),
            send: |client, name| send(client, "POST", "/users", &json!({"name": name, "password": PASSWORD})),
        },
        Form {
            name: "password",
            schema: "/components/schemas/NewUser/properties/password",
            codes: &["PASSWORD_INVALID"],
            values: lengths([0, 11, 12, 1024, 1025]),
            send: |client, word| send(client, "POST", "/users", &json!({"name": "vera", "password": word})),
        },
        Form {
            name: "password",
            schema: "/components/schemas/UserChange/properties/password",
            codes: &["PASSWORD_INVALID"],
            values: lengths([0, 11, 12, 1024, 1025]),
            send: |client, word| send(client, "PATCH", "/users/omar", &json!({"password": word})),
        },
        Form {
            name: "user",
            schema: "/components/schemas/NewToken/properties/user",
            codes: &["USER_UNKNOWN"],
            values: texts(["omar", "", "-omar", "omar ", "omar\n"]),
            send: |client, user| {
                let body = json!({"user": user, "name": "ci", "scopes": ["api"]});
                send(client, "POST", "/tokens", &body)
            },
        },
        Form {
            name: "name",
            schema: "/components/schemas/NewToken/properties/name",
            codes: &["TOKEN_NAME_INVALID"],
            values: [texts(token_names), lengths([128, 129])].concat(),
            send: |client, name| token(client, name, &json!(["api"]), &json!(60)),
        },
        Form {
            name: "scopes",
            schema: "/components/schemas/NewToken/properties/scopes",
            codes: &["SCOPE_INVALID"],
            values: words.to_vec(),
            send: |client, scopes| token(client, &json!("scopes"), scopes, &json!(60)),
        },
        Form {
            name: "lifetime_s",
            schema: "/components/schemas/NewToken/properties/lifetime_s",
            codes: &["LIFETIME_INVALID", "BODY_INVALID"],
            values: vec![json!(-1), json!(0), json!(1), json!(LIFETIME), json!(LIFETIME + 1)],
            send: |client, lifetime| token(client, &json!("lifetime"), &json!(["api"]), lifetime),
        },
    ]
}

/// The values in paths. The repository `team/app` exists.
fn paths() -> Vec<Form> {
    let names = [
        "a", "team/app", "a.b", "a_b", "a__b", "a---b", "0/1/2", "A", "a..b", "a___b", "a._b", "a-", "-a",
        "_a", "a/", "a//b", "a/-b", "a b", "é", "a\n", "a:b",
    ];
    let [longest, longer] = [255, 256].map(|length| "n".repeat(length));
    let tags = ["v1", "_a", "A.b-c_d", "7", "-a", ".a", "a b", "a+b", "a:b", "é", "v1\n"];
    let [longest_tag, longer_tag] = [128, 129].map(|length| "t".repeat(length));
    let digest = |algorithm: &str, length| format!("{algorithm}:{}", "0a".repeat(length)).into();
    let digests = vec![
        digest("sha256", 32),
        digest("sha512", 64),
        digest("blake3", 32),
        digest("sha256", 16),
        digest("sha256", 33),
        digest("sha512", 32),
        digest("blake3", 64),
        digest("md5", 16),
        digest("SHA256", 32),
        format!("sha256:{}", "0A".repeat(32)).into(),
        format!("sha256:{}\n", "0a".repeat(32)).into(),
        "0a".repeat(32).into(),
    ];
    vec![
        Form {
            name: "name",
            schema: "/paths/~1repositories~1{name}/get/parameters/0/schema",
            codes: &["REPOSITORY_NAME_INVALID"],
            values: [texts(names), texts([&longest, &longer])].concat(),
            send: |client, name| get(client, &format!("/repositories/{}", encoded(name))),
        },
        Form {
            name: "tag",
            schema: "/paths/~1repositories~1{name}~1-~1tags~1{tag}/get/parameters/1/schema",
            codes: &["TAG_NAME_INVALID"],
            values: [texts(tags), texts([&longest_tag, &longer_tag])].concat(),
            send: |client, tag| get(client, &format!("/repositories/team/app/-/tags/{}", encoded(tag))),
        },
        Form {
            name: "digest",
            schema: "/paths/~1repositories~1{name}~1-~1manifests~1{digest}/get/parameters/1/schema",
            codes: &["DIGEST_INVALID"],
            values: digests,
            send: |client, digest| {
                get(client, &format!("/repositories/team/app/-/manifests/{}", encoded(digest)))
            },
        },
    ]
}

/// The values in queries about jobs.
fn about_jobs() -> Vec<Form> {
    let waits = [
        "0",
        "00",
        "0s",
        "30s",
        " 1m ",
        "1 h",
        "007d",
        "9999w",
        "99999999999999999999w",
        "99999999999999999999",
        "99999999999999999999x",
        "",
        "s",
        "1",
        "1x",
        "-1s",
        "1.5s",
        "1m30s",
        "1S",
    ];
    vec![
        Form {
            name: "kind",
            schema: "/paths/~1jobs/get/parameters/2/schema",
            codes: &["JOB_KIND_INVALID"],
            values: texts(["check", "dump", "scrub", "", "Check", "check ", "defrag", "check\n"]),
            send: |client, kind| get(client, &format!("/jobs?kind={}", encoded(kind))),
        },
        Form {
            name: "wait",
            schema: "/paths/~1jobs~1{id}/get/parameters/1/schema",
            codes: &["WAIT_INVALID"],
            values: texts(waits),
            send: |client, wait| {
                get(client, &format!("/jobs/00000000-0000-4000-8000-000000000000?wait={}", encoded(wait)))
            },
        },
        Form {
            name: "untagged",
            schema: "/paths/~1gc~1plan/get/parameters/1/schema",
            codes: &["PARAMETER_INVALID"],
            values: texts(waits),
            send: |client, age| get(client, &format!("/gc/plan?untagged={}", encoded(age))),
        },
    ]
}

/// The values in queries and headers. `cursor` is from the list of users.
fn parameters(cursor: &str) -> Vec<Form> {
    let tags = [
        "*",
        "\"x\"",
        "\"\"",
        "\"a b\"",
        "",
        "x",
        "\"x",
        "x\"",
        "W/\"x\"",
        "\"a\"b\"",
        "\"a\", \"b\"",
        "\"é\"",
    ];
    vec![
        Form {
            name: "limit",
            schema: "/components/parameters/limit/schema",
            codes: &["LIMIT_INVALID"],
            values: vec![json!(-1), json!(0), json!(1), json!(500), json!(501)],
            send: |client, limit| get(client, &format!("/users?limit={limit}")),
        },
        Form {
            name: "cursor",
            schema: "/components/parameters/cursor/schema",
            codes: &["CURSOR_INVALID"],
            values: texts([cursor, "", "!!", "a=", "a+b", "a/b", "MQBrZXkA=", "MQBrZXkA\n", "é"]),
            send: |client, cursor| get(client, &format!("/users?cursor={}", encoded(cursor))),
        },
        Form {
            name: "by",
            schema: "/paths/~1storage~1top/get/parameters/1/schema",
            codes: &["PARAMETER_INVALID"],
            values: texts(["size", "unique", "", "Size", "unique ", "name"]),
            send: |client, by| get(client, &format!("/storage/top?by={}", encoded(by))),
        },
        Form {
            name: "user",
            schema: "/paths/~1tokens/get/parameters/2/schema",
            codes: &["USER_UNKNOWN"],
            values: texts(["admin", "", "-admin", "admin ", "admin\n"]),
            send: |client, user| get(client, &format!("/tokens?user={}", encoded(user))),
        },
        Form {
            name: "If-Match",
            schema: "/components/parameters/ifMatch/schema",
            codes: &["IF_MATCH_INVALID"],
            values: texts(tags),
            send: |client, tag| {
                client.send("DELETE", "/api/v1/users/absent", &[("If-Match", tag.as_str().unwrap())], b"")
            },
        },
    ]
}

fn constraints(name: &str, schema: &Value) -> Option<String> {
    let of = |schema: &Value| {
        let found = CONSTRAINTS.iter().filter(|key| !schema[**key].is_null());
        found.map(|key| format!("{key}={}", schema[*key])).collect::<Vec<_>>()
    };
    let found = [of(schema), of(&schema["items"])].concat();
    (!found.is_empty()).then(|| format!("{name}: {}", found.join(" ")))
}

/// Every value of a request whose schema the document has.
fn documented(document: &Value) -> BTreeSet<String> {
    let resolved = |value: &Value| match value["$ref"].as_str() {
        Some(place) => document.pointer(place.trim_start_matches('#')).unwrap().clone(),
        None => value.clone(),
    };
    let mut all = BTreeSet::new();
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    for operation in operations {
        for parameter in operation["parameters"].as_array().into_iter().flatten().map(resolved) {
            all.extend(constraints(parameter["name"].as_str().unwrap(), &parameter["schema"]));
        }
        let body = resolved(&operation["requestBody"]["content"]["application/json"]["schema"]);
        for (name, schema) in body["properties"].as_object().into_iter().flatten() {
            all.extend(constraints(name, schema));
        }
    }
    all
}

#[test]
fn the_document_allows_what_is_accepted_and_nothing_that_is_refused() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    place.add("omar");
    content::push_image(&admin, "team/app", "1", b"layer");
    let document = server.client().get("/api/v1/openapi.json").expect(200).json();
    let listed = get(&admin, "/users?limit=1").expect(200).json();
    let all = [bodies(), paths(), about_jobs(), parameters(listed["next_cursor"].as_str().unwrap())];
    let mut wrong = Vec::new();
    let mut tested = BTreeSet::new();
    for Form { name, schema: at, codes, values, send } in all.into_iter().flatten() {
        let schema = document.pointer(at).unwrap_or_else(|| panic!("the document has no {at}"));
        tested.extend(constraints(name, schema));
        assert!(values.iter().any(|value| allows(schema, value)), "{at} allows nothing of the table");
        for value in &values {
            let response = send(&admin, value);
            let code =
                if response.status < 300 { String::new() } else { response.json()["code"].to_string() };
            assert!(response.status < 500, "{at} {value}: {response:?}");
            let refused = codes.iter().any(|refusal| code == format!("{refusal:?}"));
            if refused == allows(schema, value) {
                wrong.push(format!("{at} {value}: {} {code}", response.status));
            }
        }
    }
    assert!(wrong.is_empty(), "the document says otherwise:\n{}", wrong.join("\n"));
    let documented = documented(&document);
    let untested: Vec<_> = documented.difference(&tested).collect();
    assert!(untested.is_empty(), "add forms to tests/server/admin/forms.rs for: {untested:#?}");
    let gone: Vec<_> = tested.difference(&documented).collect();
    assert!(gone.is_empty(), "the document has no more: {gone:#?}");
}

#[test]
fn the_longest_name_and_password_sign_in() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    for (letter, name) in [("x", "n".repeat(64)), ("é", "m".repeat(64)), ("🔑", "k".repeat(64))] {
        let password = letter.repeat(1024);
        send(&admin, "POST", "/users", &json!({"name": name, "password": password})).expect(201);
        server.client().basic(&name, &password).get("/v2/").expect(200);
    }
}
