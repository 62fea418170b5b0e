//! The `OpenAPI` document, the types of `wire` and the API agree.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use stowage::wire::{
    NewCheck, NewDeletion, NewGcRun, NewPin, NewSchedule, NewScrub, NewToken, NewUser, Problem, Restore,
    UserChange,
};

use crate::admin::answer_types::type_holds;
use crate::admin::program::{PASSWORD, Place, over_socket};
use crate::support::{Client, Response, content};

/// Checks `value` against `schema`; the document uses no other keywords of JSON Schema.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(place) = schema["$ref"].as_str() {
        let schema = document.pointer(place.trim_start_matches('#')).unwrap_or_else(|| panic!("{place}"));
        return check(document, schema, value, at);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let is_meant = |schema: &&Value| match schema["$ref"].as_str() {
            Some(place) => {
                let schema = document.pointer(place.trim_start_matches('#')).unwrap();
                let mut required = schema["required"].as_array().into_iter().flatten();
                !value.is_null() && required.all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            None => schema["type"] == "null" && value.is_null(),
        };
        let schema = any.iter().find(is_meant).unwrap_or_else(|| panic!("{at}: {value} is none of {any:?}"));
        return check(document, schema, value, at);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds = &schema["type"];
    let fits = kinds == kind || kinds.as_array().is_some_and(|kinds| kinds.contains(&json!(kind)));
    assert!(fits, "{at} is a {kind}: {schema}");
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at} is {value}");
    }
    if schema["format"] == "date-time" && !value.is_null() {
        value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(document, &schema["items"], item, &format!("{at}/{index}"));
    }
    if let (Some(object), Some(properties)) = (value.as_object(), schema["properties"].as_object()) {
        for (name, value) in object {
            let schema =
                properties.get(name).unwrap_or_else(|| panic!("{at} has {name}, the document has not"));
            check(document, schema, value, &format!("{at}/{name}"));
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(object.contains_key(name.as_str().unwrap()), "{at} lacks {name}");
        }
    }
}

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap();
        methods.iter().map(|(method, operation)| (path.clone(), method.clone(), operation.clone()))
    });
    operations.collect()
}

/// Run with `UPDATE_DOCS=1` to update the document.
#[test]
fn the_document_is_what_routes_and_types_make() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/admin/openapi.json");
    let made = stowage::http::admin::document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, made).unwrap();
    } else {
        assert!(
            made == fs::read_to_string(&path).unwrap(),
            "src/http/admin/openapi.json is old; run: UPDATE_DOCS=1 cargo test --test server openapi::the_document_is"
        );
    }
}

/// Calls an operation, and checks the request and the answer against the document.
fn call(admin: &Client, document: &Value, operation: &str, path: &str, body: &Value) -> Response {
    let all = operations(document);
    let (_, method, found) = all.iter().find(|(_, _, found)| found["operationId"] == operation).unwrap();
    let text = if body.is_null() { String::new() } else { body.to_string() };
    if !body.is_null() {
        check(document, &found["requestBody"]["content"]["application/json"]["schema"], body, operation);
    }
    let headers: &[(&str, &str)] = if body.is_null() { &[] } else { &[("Content-Type", "application/json")] };
    let response = admin.send(&method.to_uppercase(), &format!("/api/v1{path}"), headers, text.as_bytes());
    let answers = found["responses"].as_object().unwrap();
    let answer = answers.get(&response.status.to_string());
    let answer = answer.unwrap_or_else(|| panic!("{operation}: {response:?}"));
    match answer["content"]["application/json"]["schema"].as_object() {
        Some(_) => {
            let value = response.json();
            let schema = &answer["content"]["application/json"]["schema"];
            check(document, schema, &value, operation);
            if let Some(name) = schema["$ref"].as_str() {
                let name = name.rsplit('/').next().unwrap();
                assert!(type_holds(name, &value), "{operation}: {value}");
            }
        }
        None if answer["content"]["text/event-stream"].is_object() => {
            assert_eq!(response.header("content-type"), Some("text/event-stream"), "{operation}");
        }
        None => assert!(response.body.is_empty(), "{operation}: {response:?}"),
    }
    for header in answer["headers"].as_object().into_iter().flat_map(|headers| headers.keys()) {
        assert!(response.header(&header.to_lowercase()).is_some(), "{operation} has no {header}");
    }
    response
}

/// Calls the operations of the scrub and of compaction.
fn call_scrub_and_compaction(
    run: &mut dyn FnMut(&str, &str, &Value) -> Response,
    place: &Place,
    admin: &Client,
) {
    let none = Value::Null;
    let run_of = json!({"repository": "team/app"});
    let scrub = run("startScrub", "/scrub/runs", &run_of).json()["id"].as_str().unwrap().to_owned();
    let ended = run("showJob", &format!("/jobs/{scrub}?wait=30s"), &none);
    assert!(ended.json()["result"].is_object());
    run("showScrub", "/scrub", &none);
    let damaged = content::push_blob(admin, "team/app", b"damaged");
    fs::write(place.blob(&damaged), b"dAmaged").unwrap();
    let scrub = run("startScrub", "/scrub/runs", &json!({"digest": damaged})).json();
    run("showJob", &format!("/jobs/{}?wait=30s", scrub["id"].as_str().unwrap()), &none);
    let listed = run("listQuarantine", "/scrub/quarantine?limit=10", &none).json();
    assert_eq!(listed["items"][0]["digest"], json!(damaged), "{listed}");
    run("dropQuarantined", &format!("/scrub/quarantine/{damaged}"), &none);
    run("showCompact", "/compact", &none);
    let compact = run("startCompact", "/compact/runs", &none).json()["id"].as_str().unwrap().to_owned();
    let ended = run("showJob", &format!("/jobs/{compact}?wait=30s"), &none);
    assert!(ended.json()["result"].is_object());
    run("showCompact", "/compact", &none);
}

#[test]
fn every_operation_of_the_document_answers_as_it_says() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", b"layer");
    content::push_image(&admin, "team/app", "2", b"other");
    let printed: Value =
        serde_json::from_str(&place.run_elsewhere(&["openapi"], &[]).expect(0).stdout).unwrap();
    let document = server.client().get("/api/v1/openapi.json").expect(200).json();
    assert_eq!(printed, document);
    let user = json!({"name": "omar", "password": PASSWORD});
    let token = json!({"user": "omar", "name": "ci", "scopes": ["read_registry"], "lifetime_s": 3600});
    let mut called = BTreeSet::new();
    let none = Value::Null;
    let mut run = |operation: &str, path: &str, body: &Value| {
        called.insert(operation.to_owned());
        call(&admin, &document, operation, path, body)
    };
    run("createUser", "/users", &user);
    run("changeUser", "/users/omar", &json!({"disabled": true}));
    run("showUser", "/users/omar", &none);
    let id = run("createToken", "/tokens", &token).json()["id"].to_string();
    run("showToken", &format!("/tokens/{id}"), &none);
    run("listUsers", "/users?limit=1", &none);
    run("listTokens", "/tokens?user=omar", &none);
    run("revokeToken", &format!("/tokens/{id}"), &none);
    run("deleteUser", "/users/omar", &none);
    run("listRepositories", "/repositories", &none);
    run("showRepository", "/repositories/team/app", &none);
    run("listTags", "/repositories/team/app/-/tags", &none);
    run("showTag", "/repositories/team/app/-/tags/1", &none);
    run("listTagSizes", "/repositories/team/app/-/sizes?limit=1", &none);
    run("listBiggest", "/storage/top?limit=1&by=unique", &none);
    let both = json!({"names": ["team/app:1", "team/app:2"]});
    assert_eq!(run("previewDeletion", "/deletions/preview", &both).json()["tags"], 2);
    run("deleteTag", "/repositories/team/app/-/tags/1", &none);
    let trash = run("listTrash", "/trash?repository=team/app", &none).json();
    let entry = trash["items"][0]["id"].as_u64().unwrap();
    run("showTrash", &format!("/trash/{entry}"), &none);
    run("restoreTrash", &format!("/trash/{entry}/restore"), &json!({"as": "3"}));
    admin.delete("/v2/team/app/manifests/3").expect(202);
    let listed = run("listManifests", "/repositories/team/app/-/manifests?untagged=true", &none).json();
    let digest = listed["items"][0]["digest"].as_str().unwrap().to_owned();
    run("showManifest", &format!("/repositories/team/app/-/manifests/{digest}"), &none);
    run("deleteManifest", &format!("/repositories/team/app/-/manifests/{digest}"), &none);
    let entry = admin.get("/api/v1/trash").json()["items"][0]["id"].as_u64().unwrap();
    run("emptyTrash", &format!("/trash/{entry}"), &none);
    let job = run("startCheck", "/checks", &json!({"deep": true})).json()["id"].as_str().unwrap().to_owned();
    let ended = run("showJob", &format!("/jobs/{job}?wait=30s"), &none);
    assert!(ended.json()["result"].is_object());
    run("listJobs", "/jobs?kind=check", &none);
    run("showJobLog", &format!("/jobs/{job}/log"), &none);
    run("followJob", &format!("/jobs/{job}/events"), &none);
    run("cancelJob", &format!("/jobs/{job}/cancel"), &none);
    run("setSchedule", "/schedules/check", &json!({"when": "daily 03:30"}));
    run("listSchedules", "/schedules", &none);
    run("resetSchedule", "/schedules/check", &none);
    run("showGc", "/gc", &none);
    run("planGc", "/gc/plan?now=true&untagged=14d", &none);
    let gc = run("startGc", "/gc/runs", &json!({"now": true})).json()["id"].as_str().unwrap().to_owned();
    let ended = run("showJob", &format!("/jobs/{gc}?wait=30s"), &none);
    assert!(ended.json()["result"].is_object());
    run("showGc", "/gc", &none);
    call_scrub_and_compaction(&mut run, &place, &admin);
    run("setPin", "/gc/pins/backup", &json!({"duration": "2h"}));
    run("listPins", "/gc/pins", &none);
    run("removePin", "/gc/pins/backup", &none);
    run("showSystem", "/system", &none);
    run("deleteRepository", "/repositories/team/app", &none);
    run("showOpenapi", "/openapi.json", &none);
    let documented: BTreeSet<String> = operations(&document)
        .iter()
        .map(|(_, _, operation)| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    let uncalled: Vec<_> = documented.symmetric_difference(&called).collect();
    assert!(uncalled.is_empty(), "call these operations in this test: {uncalled:?}");
    let problem = &document["paths"]["/users"]["get"]["responses"]["default"]["content"];
    let answer = admin.get("/api/v1/users/absent").expect(404).json();
    check(&document, &problem["application/problem+json"]["schema"], &answer, "problem");
    assert!(type_holds("Problem", &answer), "{answer}");
}

#[test]
fn a_body_has_no_field_that_the_document_lacks_and_no_null() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    let document: Value = serde_json::from_str(stowage::http::admin::OPENAPI).unwrap();
    let new_user = NewUser { name: "omar".to_owned(), password: PASSWORD.to_owned(), admin: false };
    let change = UserChange { disabled: true.into(), ..UserChange::default() };
    let new_token = NewToken {
        user: "admin".to_owned(),
        name: "ci".to_owned(),
        scopes: vec!["api".to_owned()],
        lifetime_s: 60.into(),
    };
    content::push_image(&admin, "team/app", "1", b"a layer");
    admin.delete("/api/v1/repositories/team/app/-/tags/1").expect(204);
    let entry = admin.get("/api/v1/trash").json()["items"][0]["id"].as_u64().unwrap();
    let restored = format!("/trash/{entry}/restore");
    let bodies = [
        ("createUser", "/users", json!(new_user)),
        ("changeUser", "/users/omar", json!(change)),
        ("createToken", "/tokens", json!(new_token)),
        ("restoreTrash", &restored[..], json!(Restore { name: "2".to_owned().into() })),
        ("startCheck", "/checks", json!(NewCheck { deep: false })),
        (
            "startGc",
            "/gc/runs",
            json!(NewGcRun { now: true, empty_trash: true, untagged: "14d".to_owned().into() }),
        ),
        ("previewDeletion", "/deletions/preview", json!(NewDeletion::default())),
        ("startScrub", "/scrub/runs", json!(NewScrub { full: true, ..NewScrub::default() })),
        ("setPin", "/gc/pins/backup", json!(NewPin { duration: "2h".to_owned() })),
        ("setSchedule", "/schedules/check", json!(NewSchedule { when: "off".to_owned() })),
    ];
    let with_body: BTreeSet<String> = operations(&document)
        .into_iter()
        .filter(|(_, _, operation)| operation["requestBody"].is_object())
        .map(|(_, _, operation)| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    let known: BTreeSet<String> = bodies.iter().map(|(operation, ..)| (*operation).to_owned()).collect();
    let unknown: Vec<_> = with_body.symmetric_difference(&known).collect();
    assert!(unknown.is_empty(), "add a body to this test for: {unknown:?}");
    for (operation, path, body) in bodies {
        let all = operations(&document);
        let (_, method, found) = all.iter().find(|(_, _, found)| found["operationId"] == operation).unwrap();
        let schema = &found["requestBody"]["content"]["application/json"]["schema"];
        let schema = document.pointer(schema["$ref"].as_str().unwrap().trim_start_matches('#')).unwrap();
        assert_eq!(schema["additionalProperties"], false, "{operation}");
        let send = |body: &Value| {
            let headers = [("Content-Type", "application/json")];
            let path = format!("/api/v1{path}");
            admin.send(&method.to_uppercase(), &path, &headers, body.to_string().as_bytes())
        };
        let refused = |body: &Value, why: &str| {
            let problem: Problem = serde_json::from_slice(&send(body).expect(400).body).unwrap();
            assert_eq!(problem.code, "BODY_INVALID", "{operation} {body}");
            assert!(problem.detail.contains(why), "{operation} {body}: {}", problem.detail);
        };
        let properties = schema["properties"].as_object().unwrap();
        for (name, schema) in properties {
            assert!(schema["type"].is_string(), "{operation}: {name} may be of several types");
            let mut with_null = body.clone();
            with_null[name] = Value::Null;
            refused(&with_null, "a value has a wrong type");
        }
        let mut unknown = body.clone();
        unknown["color"] = json!("blue");
        refused(&unknown, "unknown field `color`");
        refused(&json!([]), "the body is an array");
        assert!(send(&body).status < 300, "{operation} {body}");
    }
}

#[test]
fn what_is_not_in_the_document_is_refused() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    let document = server.client().get("/api/v1/openapi.json").expect(200).json();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let concrete = path
            .replace("{name}", "admin")
            .replace("{id}", "1")
            .replace("{tag}", "t")
            .replace("{digest}", "d")
            .replace("{job}", "check");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "BREW", "get", "Post"] {
            if methods.get(method.to_lowercase()).is_some() && method == method.to_uppercase() {
                continue;
            }
            let path = format!("/api/v1{concrete}");
            let (status, _, body) = over_socket(&place.socket(), method, &path, "", "");
            assert_eq!(status, 405, "{method} {path}: {body}");
            let refused = admin.send(method, &path, &[], b"").expect(405);
            assert_eq!(refused.header("content-type"), Some("application/problem+json"), "{method} {path}");
            let allowed: BTreeSet<String> =
                refused.header("allow").expect("Allow").split(", ").map(str::to_lowercase).collect();
            assert_eq!(allowed, methods.as_object().unwrap().keys().cloned().collect(), "{method} {path}");
        }
    }
}

#[test]
fn a_condition_is_never_left_out() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", b"layer");
    let paths = ["/api/v1/repositories/team/app", "/api/v1/repositories/team/app/-/tags/1"];
    for path in paths {
        for condition in ["\"0\"", "*"] {
            let refused = admin.send("DELETE", path, &[("If-Match", condition)], b"").expect(400);
            assert_eq!(refused.json()["code"], "IF_MATCH_INVALID", "{path}");
        }
    }
    for path in paths {
        admin.send("GET", path, &[("If-Match", "*")], b"").expect(200);
    }
}

#[test]
fn the_document_holds_together() {
    let place = Place::new();
    let document: Value =
        serde_json::from_str(&place.run_elsewhere(&["openapi"], &[]).expect(0).stdout).unwrap();
    let text = document.to_string();
    let mut used = BTreeSet::new();
    for (_, rest) in text.match_indices("\"$ref\":\"#").map(|(at, found)| text.split_at(at + found.len())) {
        let place = rest.split('"').next().unwrap();
        assert!(document.pointer(place).is_some(), "{place}");
        used.insert(place.to_owned());
    }
    for kind in ["schemas", "parameters"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(used.contains(&format!("/components/{kind}/{name}")), "nothing uses {name}");
        }
    }
    for (path, method, operation) in operations(&document) {
        let described = |parameter: &Value| match parameter["$ref"].as_str() {
            Some(place) => document.pointer(place.trim_start_matches('#')).unwrap().clone(),
            None => parameter.clone(),
        };
        let parameters: Vec<Value> =
            operation["parameters"].as_array().into_iter().flatten().map(described).collect();
        for part in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            let found = parameters.iter().any(|other| other["name"] == part && other["in"] == "path");
            assert!(found, "{method} {path}: {part}");
        }
        assert!(operation["summary"].as_str().unwrap().ends_with('.'), "{method} {path}");
    }
}
