//! The `Authorization` header, and who was recognised by it before.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::RwLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::password;
use super::principal::Principal;

/// Headers that are remembered. When it is full it is emptied: everybody is verified once more.
const CAPACITY: usize = 10_000;

/// A name and a password (RFC 7617).
pub(super) struct Basic {
    pub(super) name: String,
    pub(super) password: String,
}

impl Basic {
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, encoded) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > 2 * password::MAX_LENGTH {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (name, password) = decoded.split_once(':')?;
        Some(Self { name: name.to_owned(), password: password.to_owned() })
    }
}

/// Headers that were verified, by a keyed hash: no password stays in memory, and a change of anybody's rights
/// (another epoch) makes every entry unknown.
pub(super) struct Cache {
    key: [u8; 32],
    known: RwLock<HashMap<[u8; 32], Principal>>,
}

impl Cache {
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        getrandom::fill(&mut key).expect("the system's random source answers");
        Self { key, known: RwLock::new(HashMap::new()) }
    }

    pub(super) fn key(&self, header: &str, epoch: u64) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&epoch.to_le_bytes());
        hasher.update(header.as_bytes());
        *hasher.finalize().as_bytes()
    }

    pub(super) fn get(&self, key: &[u8; 32]) -> Option<Principal> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(super) fn put(&self, key: [u8; 32], principal: Principal) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CAPACITY {
            known.clear();
        }
        known.insert(key, principal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basic_header_is_read_whatever_the_case_of_its_scheme() {
        let basic = Basic::parse("bAsIc YWRtaW46YTpi").unwrap();
        assert_eq!((basic.name.as_str(), basic.password.as_str()), ("admin", "a:b"));
    }

    #[test]
    fn headers_of_other_forms_are_not_read() {
        for header in ["", "Basic", "Bearer YWRtaW46YTpi", "Basic ***", "Basic YWRtaW4=", "Basic /w=="] {
            assert!(Basic::parse(header).is_none(), "{header}");
        }
        assert!(Basic::parse(&format!("Basic {}", STANDARD.encode("a".repeat(4000)))).is_none());
    }

    #[test]
    fn another_epoch_makes_a_remembered_header_unknown() {
        let cache = Cache::new();
        cache.put(cache.key("Basic x", 1), Principal::Anonymous);
        assert!(cache.get(&cache.key("Basic x", 1)).is_some());
        assert!(cache.get(&cache.key("Basic x", 2)).is_none());
    }
}
