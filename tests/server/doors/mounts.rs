//! Mounts by callers whose registry token covers only the repository that they push to.

use crate::doors::tokens::bearer;
use crate::support::content::{push_blob, sha256};
use crate::support::{Client, TestStowage};

fn mount(client: &Client, query: &str) -> crate::support::Response {
    client.post(&format!("/v2/target/blobs/uploads/?mount={}{query}", sha256(b"a layer")), b"")
}

#[test]
fn a_mount_whose_token_lacks_the_source_is_asked_for_both_scopes() {
    let server = TestStowage::with_sign_in();
    push_blob(&server.admin(), "source", b"a layer");
    let narrow = bearer(&server, "scope=repository:target:pull,push");
    let refused = mount(&narrow, "&from=source").expect_error(401, "UNAUTHORIZED");
    let challenge = refused.header("www-authenticate").unwrap();
    let scopes = "scope=\"repository:target:pull,push repository:source:pull\",error=\"insufficient_scope\"";
    assert!(challenge.contains(scopes), "{challenge}");
    let both = bearer(&server, "scope=repository:target:pull,push+repository:source:pull");
    mount(&both, "&from=source").expect(201);
}

#[test]
fn a_mount_that_no_token_would_help_becomes_an_upload() {
    let server = TestStowage::with_sign_in();
    push_blob(&server.admin(), "source", b"another layer");
    let narrow = bearer(&server, "scope=repository:target:pull,push");
    mount(&narrow, "&from=source").expect(202);
    mount(&narrow, "&from=nowhere").expect(202);
    mount(&narrow, "&from=NO-NAME").expect(202);
    mount(&narrow, "").expect(202);
}

#[test]
fn a_mount_without_a_source_goes_by_what_the_user_may_pull() {
    let server = TestStowage::with_sign_in();
    push_blob(&server.admin(), "source", b"a layer");
    mount(&bearer(&server, "scope=repository:target:pull,push"), "").expect(201);
}
