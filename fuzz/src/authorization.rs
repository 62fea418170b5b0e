//! The `Authorization` header, and the scopes in a token request. The first line of the input is the value of
//! the header, the second the query of the token endpoint.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stowage::access::AccessEntry;
use stowage::auth::{Applicant, Header, ScopeRequest};
use stowage::http::query::Query;

use super::gate::{GATE, Gate};
use super::names;
use super::text::{first_line, header_value};

/// The most bytes of a bearer token and of a basic credential in base64, and the most scopes of one request.
const MAX_TOKEN: usize = 16 << 10;
const MAX_BASIC: usize = 5548;
const MAX_SCOPES: usize = 64;

/// A header is accepted exactly when the RFCs permit it, with the meaning that they give it; a scope is split
/// as written; no principal is granted more than was requested, nor more than it may do.
pub fn check(input: &[u8]) {
    let (header, query) = first_line(input);
    if let Some(header) = header_value(header) {
        check_header(header);
    }
    if let Ok(query) = str::from_utf8(first_line(query).0) {
        check_scopes(query);
    }
}

/// The credential in a header.
#[derive(Debug, PartialEq, Eq)]
enum Credential {
    Bearer(String),
    Basic(String, String),
}

fn check_header(header: &str) {
    let found = Header::parse(header).map(|found| match found {
        Header::Bearer(token) => Credential::Bearer(token.to_owned()),
        Header::Basic(basic) => Credential::Basic(basic.name, basic.password),
    });
    assert_eq!(found, expected(header), "{header:?}");
    let again = match &found {
        Some(Credential::Bearer(token)) => format!("Bearer {token}"),
        Some(Credential::Basic(name, password)) => {
            format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
        }
        None => return,
    };
    assert_eq!(expected(&again), found);
    assert!(Header::parse(&again).is_some(), "{again:?}");
}

/// RFC 7617 and RFC 6750: a scheme in any case, a space, and the credential.
fn expected(header: &str) -> Option<Credential> {
    let (scheme, rest) = header.split_at(header.find(' ')?);
    let rest = rest.trim_matches([' ', '\t']);
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" if !rest.is_empty() && rest.len() <= MAX_TOKEN => Some(Credential::Bearer(rest.to_owned())),
        "basic" if rest.len() <= MAX_BASIC => {
            let text = String::from_utf8(decoded(rest)?).ok()?;
            let colon = text.find(':')?;
            Some(Credential::Basic(text[..colon].to_owned(), text[colon + 1..].to_owned()))
        }
        _ => None,
    }
}

/// RFC 4648 section 4, with padding and without stray bits.
fn decoded(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let body = text.trim_end_matches('=');
    if text.len() - body.len() > 2 {
        return None;
    }
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for letter in body.chars() {
        bits = bits << 6 | u32::try_from(ALPHABET.find(letter)?).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    (bits == 0 && count < 6).then_some(bytes)
}

fn check_scopes(query: &str) {
    let query = Query::parse(query);
    let mut scopes = Vec::new();
    for text in query.all("scope").flat_map(str::split_whitespace) {
        let parsed: Option<ScopeRequest> = text.parse().ok();
        let colons: Vec<usize> = text.match_indices(':').map(|(at, _)| at).collect();
        assert_eq!(parsed.is_some(), colons.len() >= 2, "{text:?}");
        let (Some(scope), [first, .., last]) = (parsed, &colons[..]) else { continue };
        assert_eq!(scope.name, text[first + 1..*last]);
        assert!(text.starts_with(&scope.kind) && !scope.kind.contains(['(', ':']));
        assert!(scope.actions.iter().all(|action| !action.is_empty() && !action.contains([',', ':'])));
        let written = format!("{}:{}:{}", scope.kind, scope.name, scope.actions.join(","));
        assert_eq!(written.parse::<ScopeRequest>().ok().as_ref(), Some(&scope), "{text:?}");
        scopes.push(scope);
    }
    if !scopes.is_empty() {
        let gate = &*GATE;
        check_grants(&issued(gate, Applicant::Anonymous, &scopes), &scopes, &["pull"]);
        let user = Applicant::Refresh(gate.refresh.clone());
        check_grants(&issued(gate, user, &scopes), &scopes, &["delete", "pull", "push", "*"]);
    }
}

fn issued(gate: &Gate, applicant: Applicant<'_>, scopes: &[ScopeRequest]) -> Vec<AccessEntry> {
    let issued = gate.runtime.block_on(gate.auth.issue(applicant, None, scopes, false));
    issued.expect("a token, if for nothing").access
}

fn check_grants(granted: &[AccessEntry], asked: &[ScopeRequest], possible: &[&str]) {
    let mut seen = BTreeSet::new();
    for entry in granted {
        assert!(seen.insert((&entry.kind, &entry.name)), "{entry:?} is there twice");
        let same = |scope: &&ScopeRequest| scope.kind == entry.kind && scope.name == entry.name;
        let asked: Vec<&String> =
            asked.iter().take(MAX_SCOPES).filter(same).flat_map(|scope| &scope.actions).collect();
        let everything = asked.iter().any(|action| *action == "*");
        assert!(!entry.actions.is_empty());
        for action in &entry.actions {
            assert!(possible.contains(&action.as_str()), "{entry:?}");
            assert!(everything || asked.contains(&action), "{entry:?} of {asked:?}");
        }
        match entry.kind.as_str() {
            "repository" => assert!(names::is_name(&entry.name) && !entry.actions.contains(&"*".to_owned())),
            "registry" => assert_eq!(entry.name, "catalog"),
            kind => panic!("{kind:?} is granted"),
        }
    }
}
