//! The grammar of scopes at the token endpoint.

use crate::doors::tokens::ask;
use crate::support::TestStowage;

#[test]
fn a_scope_parameter_may_repeat_and_be_a_list() {
    let server = TestStowage::with_sign_in();
    for query in [
        "scope=repository:r1:pull,push&scope=repository:r2:pull",
        "scope=repository:r1:pull,push+repository:r2:pull",
        "scope=repository%3Ar1%3Apush%2Cpull%20repository%3Ar2%3Apull",
    ] {
        assert_eq!(
            ask(&server.admin(), query)["scope"],
            "repository:r1:pull,push repository:r2:pull",
            "{query}"
        );
    }
}

#[test]
fn a_star_is_every_action_that_the_user_holds() {
    let server = TestStowage::with_sign_in();
    assert_eq!(ask(&server.admin(), "scope=repository:a:*")["scope"], "repository:a:delete,pull,push");
}

#[test]
fn unknown_types_actions_and_names_grant_nothing() {
    let server = TestStowage::with_sign_in();
    for scope in [
        "artifact:a:pull",
        "repository:a:fly",
        "repository:UPPER:pull",
        "repository:a:",
        "nonsense",
        "registry:other:*",
    ] {
        assert_eq!(ask(&server.admin(), &format!("scope={scope}"))["scope"], "", "{scope}");
    }
}
