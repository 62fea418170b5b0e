//! Tokens. There are two forms of input:
//!
//! * `sign`, a line with a header, and the payload: both are signed with the server's own key, to get past
//!   the check of the signature;
//! * anything else is sent as a token, in which `{token}` and its parts `{header}`, `{payload}`,
//!   `{signature}`, and `{personal}` and `{refresh}` are replaced by valid ones.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use stowage::access::{Credential, Principal};
use stowage::auth::{Applicant, Door};

use super::gate::{GATE, Gate, NOW_S};
use super::json::Json;
use super::text::{first_line, header_value};

/// How far clocks may differ, in seconds.
const LEEWAY_S: u64 = 60;

/// A token is accepted only if this server issued it: a registry token by its signed text, the others by
/// every byte, and each only at its own interface.
pub fn check(input: &[u8]) {
    let gate = &*GATE;
    let (first, rest) = first_line(input);
    if first == b"sign" {
        let (header, payload) = first_line(rest);
        return check_signed(gate, header, payload);
    }
    if let Some(text) = header_value(input) {
        check_sent(gate, &filled(gate, text));
    }
}

fn header_of(token: &str) -> &str {
    token.split('.').next().unwrap_or_default()
}

/// The text, with its placeholders replaced.
fn filled(gate: &Gate, text: &str) -> String {
    let parts: Vec<&str> = gate.token.split('.').collect();
    let good = [
        ("{token}", gate.token.as_str()),
        ("{header}", parts[0]),
        ("{payload}", parts[1]),
        ("{signature}", parts[2]),
        ("{personal}", &gate.personal),
        ("{refresh}", &gate.refresh),
    ];
    good.iter().fold(text.to_owned(), |text, (name, part)| text.replace(name, part))
}

fn check_sent(gate: &Gate, text: &str) {
    let text = text.trim();
    let bearer = format!("Bearer {text}");
    let accepted = gate.runtime.block_on(gate.auth.authenticate(Some(&bearer), None, Door::Registry));
    let signed = gate.token.rsplit_once('.').map(|(message, _)| message);
    let is_ours = text.rsplit_once('.').map(|(message, _)| message) == signed;
    match &accepted {
        Ok(Principal::User { id, credential: Credential::Token(_), claims: None, .. }) => {
            assert!(text == gate.personal && id.0 == gate.user, "{text:?}");
        }
        Ok(Principal::User { id, credential: Credential::Password(_), claims: Some(claims), .. }) => {
            assert!(is_ours && id.0 == gate.user, "{text:?}");
            assert_eq!(claims.0.len(), 1);
            assert_eq!(
                (claims.0[0].name.as_str(), claims.0[0].actions.join(",")),
                ("team/app", "pull,push".to_owned())
            );
        }
        Ok(principal) => panic!("{text:?} is {principal:?}"),
        Err(_) => assert!(text != gate.token && text != gate.personal, "{text:?} is refused"),
    }
    let redeemed =
        gate.runtime.block_on(gate.auth.issue(Applicant::Refresh(text.to_owned()), None, &[], false));
    assert_eq!(redeemed.is_ok(), text == gate.refresh, "{text:?} as a refresh token");
}

/// Signs the input and presents it as a token. `{header}` stands for the header that the server writes.
fn check_signed(gate: &Gate, header: &[u8], payload: &[u8]) {
    let ours = URL_SAFE_NO_PAD.decode(header_of(&gate.token)).expect("base64url");
    let header = if header == b"{header}" { &ours[..] } else { header };
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = gate.key.sign(&SystemRandom::new(), message.as_bytes()).expect("a signature");
    let bearer = format!("Bearer {message}.{}", URL_SAFE_NO_PAD.encode(signature));
    let accepted = |door| gate.runtime.block_on(gate.auth.authenticate(Some(&bearer), None, door)).ok();
    for (door, late_s) in [(Door::Registry, LEEWAY_S), (Door::Upload, 3600)] {
        if let Some(principal) = accepted(door) {
            assert!(header == ours, "another header is accepted: {}", String::from_utf8_lossy(header));
            assert_claims(payload, late_s, &principal);
        }
    }
}

/// Asserts that every claim occurs once with its type, that the token is for this service and time, and that
/// the principal is the one in the claims.
fn assert_claims(payload: &[u8], late_s: u64, principal: &Principal) {
    let claims = Json::parse(payload).expect("claims are JSON");
    let text = |name: &str| claims.get(name).and_then(Json::text).expect("a string");
    let number = |name: &str| claims.get(name).and_then(Json::whole).expect("a whole number");
    assert_eq!((text("iss"), text("aud")), ("stowage", "stowage"));
    assert!(NOW_S <= number("exp").saturating_add(late_s) && number("nbf") <= NOW_S + LEEWAY_S);
    let _ = (text("sub"), text("jti"), number("iat"));
    let entries = claims.get("access").map(Json::entries).expect("a list");
    assert_eq!(principal.claims().map(|claims| claims.0.len()), Some(entries.len()));
    let good = match principal {
        Principal::Anonymous { .. } => number("uid") == 0,
        Principal::User { id, credential: Credential::Password(version), .. } => {
            number("uid") == id.0 && number("tid") == 0 && number("pwv") == *version
        }
        Principal::User { id, credential: Credential::Token(token), .. } => {
            number("uid") == id.0 && number("tid") == token.0
        }
        _ => false,
    };
    assert!(good, "{principal:?}");
}
