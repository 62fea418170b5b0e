use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::*;

const HEAD: &str = "# Errors

Every refusal has a code for programs, which never changes, and a sentence for people.

* The admin API (`/api/v1`) answers with `application/problem+json` (RFC 9457). `type` is `urn:stowage:error:` and a name of
  this page; `detail` is the sentence; `fix`, where there is one, says what to do.
* The registry's API (`/v2`) answers as the distribution-spec says: `{\"errors\": [{\"code\": …, \"message\": …}]}`, with
  the specification's code where it has one.
* What is refused before it reaches an API (a malformed request, a WebSocket, too many connections) is answered in the form
  of `/v2` at every path.
* The header `x-request-id` is also in the line of the access log. What never becomes a request has none: malformed bytes, a
  too large or too slow head, a connection above the limit.

This page is made from the table in `src/http/fault/mod.rs`: `UPDATE_DOCS=1 cargo test --lib the_page_of_errors`.

| Name | Code | Code in `/v2` | Status | Meaning | Fix |
|---|---|---|---|---|---|
";

fn page() -> String {
    let mut codes = Code::ALL.to_vec();
    codes.sort_by_key(|code| (code.text(), code.status()));
    let mut page = HEAD.to_owned();
    let mut anchors = BTreeSet::new();
    for code in codes {
        let name = code.page();
        let is_new = anchors.insert(name.clone());
        let anchor = if is_new { format!("<a id=\"{name}\"></a>") } else { String::new() };
        let (text, registry) = (code.text(), code.registry_text());
        let (status, title, fix) = (code.status().as_u16(), code.title(), code.fix());
        writeln!(page, "| {anchor}{name} | {text} | {registry} | {status} | {title} | {fix} |").unwrap();
    }
    page
}

/// Run with `UPDATE_DOCS=1` to update the page.
#[test]
fn the_page_of_errors_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, page()).unwrap();
    } else {
        assert!(
            page() == fs::read_to_string(&path).unwrap_or_default(),
            "docs/errors.md is old; run: UPDATE_DOCS=1 cargo test --lib the_page_of_errors"
        );
    }
}
