//! `/v2/<name>/tags/list` (end-8).

use serde_json::{Value, json};
use stowage::model::media_type::OCI_INDEX;

use crate::support::content::{push_blob, push_manifest, put_manifest, sha256};
use crate::support::{Client, Response, TestStowage};

const BODY: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;
/// In byte order.
const TAGS: [&str; 9] = ["0", "1.10", "1.9", "A", "Z.b", "_x", "a", "sha256-0.sig", "z"];

fn with_tags() -> TestStowage {
    let server = TestStowage::start();
    for tag in TAGS.iter().rev() {
        push_manifest(&server.client(), "a/b", tag, OCI_INDEX, BODY);
    }
    server
}

fn list(client: &Client, query: &str) -> Response {
    let response = client.get(&format!("/v2/a/b/tags/list{query}")).expect(200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.json()["name"], "a/b");
    response
}

fn names(response: &Response) -> Vec<String> {
    response.json()["tags"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|tag| tag.as_str().expect("a tag").to_owned())
        .collect()
}

#[test]
fn all_tags_are_listed_in_byte_order() {
    let server = with_tags();
    let response = list(&server.client(), "");
    assert_eq!(response.json(), json!({ "name": "a/b", "tags": TAGS }));
    assert_eq!(response.next_page(), None);
    let head = server.client().head("/v2/a/b/tags/list").expect(200);
    assert_eq!(head.header("content-length"), Some(response.body.len().to_string().as_str()));
}

#[test]
fn pages_followed_to_the_end_hold_every_tag_once_in_order() {
    let server = with_tags();
    for n in 1..=10 {
        let mut page = list(&server.client(), &format!("?n={n}"));
        let mut all = names(&page);
        while let Some(next) = page.next_page() {
            assert_eq!(names(&page).len(), n);
            page = server.client().get(&next).expect(200);
            all.extend(names(&page));
        }
        assert_eq!(all, TAGS, "n={n}");
    }
}

#[test]
fn the_link_names_the_last_tag_and_n_and_is_there_only_when_more_follows() {
    let server = with_tags();
    let page = list(&server.client(), "?n=3");
    assert_eq!(page.next_page().as_deref(), Some("/v2/a/b/tags/list?last=1.9&n=3"));
    assert_eq!(list(&server.client(), "?n=9").next_page(), None);
    assert_eq!(list(&server.client(), "?n=3&last=_x").next_page(), None);
    assert!(list(&server.client(), "?n=8").next_page().is_some());
}

#[test]
fn last_leaves_only_what_comes_after_it_with_and_without_n() {
    let server = with_tags();
    let after = |last: &str| TAGS.iter().filter(|tag| **tag > last).copied().collect::<Vec<_>>();
    for last in TAGS.iter().chain(&["B", "1.99", "zz", "!", "~", "%", "does not exist"]) {
        let encoded = last.replace('%', "%25").replace(' ', "%20");
        assert_eq!(names(&list(&server.client(), &format!("?last={encoded}"))), after(last), "{last}");
        let two: Vec<&str> = after(last).into_iter().take(2).collect();
        assert_eq!(names(&list(&server.client(), &format!("?n=2&last={encoded}"))), two, "{last}");
    }
    assert_eq!(names(&list(&server.client(), "?last=")), TAGS);
}

#[test]
fn n_of_0_is_an_empty_page_without_a_link() {
    let server = with_tags();
    for query in ["?n=0", "?n=0&last=A", "?n=000"] {
        let page = list(&server.client(), query);
        assert_eq!((page.json()["tags"].clone(), page.next_page()), (json!([]), None), "{query}");
    }
}

#[test]
fn a_huge_n_is_not_an_error() {
    let server = with_tags();
    for n in ["1000", "10000", "10001", "4294967296", "18446744073709551615", "99999999999999999999999999"] {
        let page = list(&server.client(), &format!("?n={n}"));
        assert_eq!((names(&page).len(), page.next_page()), (9, None), "{n}");
    }
}

#[test]
fn an_n_that_is_no_number_is_400() {
    let server = with_tags();
    for n in ["-1", "-0", "abc", "1.5", "0x10", "%2B1", "1e3", "1%20", "%20", "%D9%A1"] {
        let path = format!("/v2/a/b/tags/list?n={n}");
        server.client().get(&path).expect_error(400, "PAGINATION_NUMBER_INVALID");
        server.client().head(&path).expect(400);
    }
}

#[test]
fn a_repository_without_tags_has_an_empty_list_and_an_unknown_one_is_404() {
    let server = TestStowage::start();
    let client = server.client();
    client.get("/v2/a/tags/list").expect_error(404, "NAME_UNKNOWN");
    client.head("/v2/a/tags/list").expect(404);
    push_blob(&client, "a", b"blob");
    assert_eq!(client.get("/v2/a/tags/list").expect(200).json(), json!({ "name": "a", "tags": [] }));
    push_manifest(&client, "b", &sha256(BODY), OCI_INDEX, BODY);
    assert_eq!(client.get("/v2/b/tags/list").expect(200).json()["tags"], Value::Array(Vec::new()));
}

#[test]
fn tags_of_other_repositories_are_not_listed() {
    let server = with_tags();
    for name in ["a", "a/b/c", "a/bc", "b"] {
        push_manifest(&server.client(), name, "other", OCI_INDEX, BODY);
        assert_eq!(names(&list(&server.client(), "")), TAGS);
        let other = server.client().get(&format!("/v2/{name}/tags/list?n=1")).expect(200);
        assert_eq!((names(&other), other.next_page()), (vec!["other".to_owned()], None));
    }
}

#[test]
fn without_n_a_page_has_ten_thousand_tags_and_a_link_to_the_rest() {
    let server = TestStowage::start();
    let client = server.client();
    let tags: Vec<String> = (0..10_001).map(|index| format!("t{index:05}")).collect();
    for chunk in tags.chunks(64) {
        let query: Vec<String> = chunk.iter().map(|tag| format!("tag={tag}")).collect();
        let reference = format!("{}?{}", sha256(BODY), query.join("&"));
        put_manifest(&client, "a/b", &reference, OCI_INDEX, BODY).expect(201);
    }
    for query in ["", "?n=10000", "?n=20000"] {
        let page = list(&client, query);
        assert_eq!(names(&page), tags[..10_000]);
        let next = page.next_page().expect("a link to the rest");
        let rest = client.get(&next).expect(200);
        assert_eq!((names(&rest), rest.next_page()), (vec!["t10000".to_owned()], None));
    }
}
