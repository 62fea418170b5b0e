//! Buckets of wrong sign-ins, for each address and each name: after a burst one try every few seconds is heard, so that
//! guessing costs an attacker time and the server no hashing (reliability S-11).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// Wrong tries in a row that are heard.
const BURST: f64 = 20.0;
/// Wrong tries a second that are heard after that: ten a minute.
const REFILL: f64 = 10.0 / 60.0;
/// Buckets that are kept. The fullest ones, which hold nobody back, go first.
const CAPACITY: usize = 10_000;

/// Whose tries are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    Name(String),
}

struct Bucket {
    left: f64,
    filled: Instant,
}

impl Bucket {
    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.left = (self.left + passed * REFILL).min(BURST);
        self.filled = now;
    }
}

/// The buckets of a server.
#[derive(Default)]
pub(super) struct Buckets(Mutex<HashMap<Key, Bucket>>);

impl Buckets {
    /// How long somebody has to wait before the next try is heard; `None`: not at all.
    pub(super) fn wait(&self, address: Option<IpAddr>, name: &str, now: Instant) -> Option<Duration> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = keys(address, name).filter_map(|key| {
            let bucket = buckets.get_mut(&key)?;
            bucket.fill(now);
            (bucket.left < 1.0).then(|| Duration::from_secs_f64(((1.0 - bucket.left) / REFILL).max(1.0)))
        });
        waits.max()
    }

    /// Counts a wrong try.
    pub(super) fn wrong(&self, address: Option<IpAddr>, name: &str, now: Instant) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= CAPACITY {
            buckets.retain(|_, bucket| {
                bucket.fill(now);
                bucket.left < BURST
            });
            if buckets.len() >= CAPACITY {
                buckets.clear();
            }
        }
        for key in keys(address, name) {
            let bucket = buckets.entry(key).or_insert(Bucket { left: BURST, filled: now });
            bucket.fill(now);
            bucket.left = (bucket.left - 1.0).max(0.0);
        }
    }
}

/// The buckets that a try counts in. An IPv6 network of 64 bits is one client.
fn keys(address: Option<IpAddr>, name: &str) -> impl Iterator<Item = Key> {
    let network = address.map(|address| match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    });
    let name = (!name.is_empty()).then(|| Key::Name(name.chars().take(128).collect()));
    network.map(Key::Address).into_iter().chain(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_twenty_wrong_tries_one_every_six_seconds_is_heard() {
        let buckets = Buckets::default();
        let start = Instant::now();
        let address = Some("2001:db8::1".parse().unwrap());
        for _ in 0..20 {
            assert_eq!(buckets.wait(address, "admin", start), None);
            buckets.wrong(address, "admin", start);
        }
        let neighbour = Some("2001:db8::2".parse().unwrap());
        assert!(buckets.wait(neighbour, "other", start).unwrap() <= Duration::from_secs(6));
        assert!(buckets.wait(Some("192.0.2.1".parse().unwrap()), "admin", start).is_some());
        assert_eq!(buckets.wait(Some("192.0.2.1".parse().unwrap()), "other", start), None);
        assert_eq!(buckets.wait(address, "admin", start + Duration::from_secs(7)), None);
    }
}
