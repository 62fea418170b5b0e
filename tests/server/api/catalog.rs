//! `/v2/_catalog`

use serde_json::json;
use stowage::model::media_type::OCI_INDEX;

use crate::support::content::{open_upload, push_blob, push_manifest, sha256};
use crate::support::{Client, Response, TestStowage};

const BODY: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;
/// In byte order: `-` comes before `/`, and both before letters.
const NAMES: [&str; 8] = ["0", "a", "a-b", "a/b", "a/b/c", "a0", "b", "z/z"];

fn with_repositories() -> TestStowage {
    let server = TestStowage::start();
    for name in NAMES.iter().rev() {
        push_manifest(&server.client(), name, "t", OCI_INDEX, BODY);
    }
    server
}

fn list(client: &Client, query: &str) -> Response {
    client.get(&format!("/v2/_catalog{query}")).expect(200)
}

fn names(response: &Response) -> Vec<String> {
    let names = response.json()["repositories"].as_array().expect("an array").clone();
    names.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

#[test]
fn an_empty_registry_has_an_empty_catalogue() {
    let server = TestStowage::start();
    assert_eq!(list(&server.client(), "").json(), json!({ "repositories": [] }));
}

#[test]
fn all_repositories_are_listed_in_byte_order() {
    let server = with_repositories();
    let response = list(&server.client(), "");
    assert_eq!(response.json(), json!({ "repositories": NAMES }));
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.next_page(), None);
    let head = server.client().head("/v2/_catalog").expect(200);
    assert_eq!(head.header("content-length"), Some(response.body.len().to_string().as_str()));
}

#[test]
fn pages_followed_to_the_end_hold_every_repository_once_in_order() {
    let server = with_repositories();
    for n in 1..=9 {
        let mut page = list(&server.client(), &format!("?n={n}"));
        let mut all = names(&page);
        while let Some(next) = page.next_page() {
            assert_eq!(names(&page).len(), n);
            page = server.client().get(&next).expect(200);
            all.extend(names(&page));
        }
        assert_eq!(all, NAMES, "n={n}");
    }
}

#[test]
fn last_need_not_be_a_repository() {
    let server = with_repositories();
    for (last, expected) in [("a", 6), ("a%2Fb", 4), ("a/b", 4), ("a/a", 5), ("zz", 0), ("", 8), ("~", 0)] {
        assert_eq!(names(&list(&server.client(), &format!("?last={last}"))), NAMES[8 - expected..], "{last}");
    }
}

#[test]
fn n_of_0_is_empty_a_huge_one_is_not_an_error_and_no_number_is_400() {
    let server = with_repositories();
    let none = list(&server.client(), "?n=0");
    assert_eq!((names(&none).len(), none.next_page()), (0, None));
    for n in ["1000", "100000", "99999999999999999999999999"] {
        assert_eq!(names(&list(&server.client(), &format!("?n={n}"))), NAMES);
    }
    for n in ["-1", "x", "1.5"] {
        let path = format!("/v2/_catalog?n={n}");
        server.client().get(&path).expect_error(400, "PAGINATION_NUMBER_INVALID");
    }
}

#[test]
fn only_repositories_with_a_manifest_are_listed() {
    let server = TestStowage::start();
    let client = server.client();
    open_upload(&client, "upload");
    push_blob(&client, "blob", b"blob");
    assert!(names(&list(&client, "")).is_empty());
    push_manifest(&client, "blob", &sha256(BODY), OCI_INDEX, BODY);
    assert_eq!(names(&list(&client, "")), ["blob"]);
    client.delete(&format!("/v2/blob/manifests/{}", sha256(BODY))).expect(202);
    assert!(names(&list(&client, "")).is_empty());
    push_manifest(&client, "blob", "t", OCI_INDEX, BODY);
    client.delete("/v2/blob/manifests/t").expect(202);
    assert_eq!(names(&list(&client, "")), ["blob"]);
}
