//! The `Authorization` header, and who was recognised by it before.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::RwLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::password;
use super::principal::Principal;

/// Credentials that are remembered. When it is full it is emptied: everybody is verified once more.
const CAPACITY: usize = 10_000;
/// Bytes of a token that is looked at; ours are far below.
const MAX_TOKEN: usize = 16 << 10;

/// What an `Authorization` header holds.
pub enum Header<'h> {
    /// A name and a password (RFC 7617).
    Basic(Basic),
    /// A registry token (RFC 6750).
    Bearer(&'h str),
}

/// A name and a password.
pub struct Basic {
    /// What comes before the first colon.
    pub name: String,
    /// All that follows it.
    pub password: String,
}

impl<'h> Header<'h> {
    /// Reads the value of the header; `None` when it is neither of them.
    pub fn parse(header: &'h str) -> Option<Self> {
        let (scheme, rest) = header.split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return (!rest.is_empty() && rest.len() <= MAX_TOKEN).then_some(Self::Bearer(rest));
        }
        if !scheme.eq_ignore_ascii_case("basic") || rest.len() > 2 * password::MAX_LENGTH {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (name, password) = decoded.split_once(':')?;
        Some(Self::Basic(Basic { name: name.to_owned(), password: password.to_owned() }))
    }
}

struct Known {
    principal: Principal,
    /// Unix milliseconds at which the credential stops being good by itself.
    until_ms: u64,
}

/// Credentials that were verified, by a keyed hash: no password stays in memory, and a change of anybody's rights
/// (another epoch) makes every entry unknown.
pub(super) struct Cache {
    key: [u8; 32],
    known: RwLock<HashMap<[u8; 32], Known>>,
}

impl Cache {
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        getrandom::fill(&mut key).expect("the system's random source answers");
        Self { key, known: RwLock::new(HashMap::new()) }
    }

    /// The key of a credential, given in its parts.
    pub(super) fn key(&self, parts: &[&str], epoch: u64) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&epoch.to_le_bytes());
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    pub(super) fn get(&self, key: &[u8; 32], wall_ms: u64) -> Option<Principal> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|known| wall_ms < known.until_ms).map(|known| known.principal.clone())
    }

    pub(super) fn put(&self, key: [u8; 32], principal: Principal, until_ms: u64) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CAPACITY {
            known.clear();
        }
        known.insert(key, Known { principal, until_ms });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basic_header_is_read_whatever_the_case_of_its_scheme() {
        let Some(Header::Basic(basic)) = Header::parse("bAsIc YWRtaW46YTpi") else { panic!("not read") };
        assert_eq!((basic.name.as_str(), basic.password.as_str()), ("admin", "a:b"));
        assert!(matches!(Header::parse("BEARER a.b.c"), Some(Header::Bearer("a.b.c"))));
    }

    #[test]
    fn headers_of_other_forms_are_not_read() {
        for header in
            ["", "Basic", "Bearer ", "Digest YWRtaW46YTpi", "Basic ***", "Basic YWRtaW4=", "Basic /w=="]
        {
            assert!(Header::parse(header).is_none(), "{header}");
        }
        assert!(Header::parse(&format!("Basic {}", STANDARD.encode("a".repeat(4000)))).is_none());
    }

    #[test]
    fn a_remembered_header_is_unknown_in_another_epoch_and_after_its_time() {
        let cache = Cache::new();
        cache.put(cache.key(&["basic", "x"], 1), Principal::Anybody, 100);
        assert!(cache.get(&cache.key(&["basic", "x"], 1), 99).is_some());
        assert!(cache.get(&cache.key(&["basic", "x"], 1), 100).is_none());
        assert!(cache.get(&cache.key(&["basic", "x"], 2), 99).is_none());
    }
}
