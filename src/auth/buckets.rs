//! Buckets of wrong sign-ins, for each address and each name: after a burst one try every few seconds is heard, so that
//! guessing costs an attacker time and the server no hashing (reliability S-11).
//!
//! An address may stand for many people: a NAT, or a proxy that is not trusted. So its bucket is larger than a name's,
//! and a name that signed in rightly from it a while ago is not held back by what others do there.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::limits::network_of;

/// Wrong tries in a row that are heard of one name, and how many a second after that: ten a minute.
const NAME: Rate = Rate { burst: 20.0, refill: 10.0 / 60.0 };
/// The same of one address: of ten names.
const ADDRESS: Rate = Rate { burst: 200.0, refill: 100.0 / 60.0 };
/// Buckets that are kept. The fullest ones, which hold nobody back, go first.
const CAPACITY: usize = 10_000;
/// Pairs of address and name that signed in rightly, and how long they count.
const KNOWN: usize = 10_000;
const KNOWN_FOR: Duration = Duration::from_hours(24);

struct Rate {
    burst: f64,
    refill: f64,
}

/// Whose tries are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    Name(String),
}

impl Key {
    const fn rate(&self) -> &'static Rate {
        match self {
            Self::Address(_) => &ADDRESS,
            Self::Name(_) => &NAME,
        }
    }
}

struct Bucket {
    left: f64,
    filled: Instant,
}

impl Bucket {
    fn fill(&mut self, rate: &Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.left = (self.left + passed * rate.refill).min(rate.burst);
        self.filled = now;
    }
}

#[derive(Default)]
struct State {
    buckets: HashMap<Key, Bucket>,
    /// Who signed in rightly from where, and when.
    known: HashMap<(IpAddr, String), Instant>,
}

/// The buckets of a server.
#[derive(Default)]
pub(super) struct Buckets(Mutex<State>);

impl Buckets {
    /// How long somebody has to wait before the next try is heard; `None`: not at all.
    pub(super) fn wait(&self, address: Option<IpAddr>, name: &str, now: Instant) -> Option<Duration> {
        let State { buckets, known } = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = address.is_some_and(|address| {
            let last = known.get(&(network_of(address), shortened(name)));
            last.is_some_and(|last| now.saturating_duration_since(*last) < KNOWN_FOR)
        });
        let waits = keys(address, name)
            .filter(|key| !(is_known && matches!(key, Key::Address(_))))
            .filter_map(|key| {
                let rate = key.rate();
                let bucket = buckets.get_mut(&key)?;
                bucket.fill(rate, now);
                (bucket.left < 1.0)
                    .then(|| Duration::from_secs_f64(((1.0 - bucket.left) / rate.refill).max(1.0)))
            });
        waits.max()
    }

    /// Counts a wrong try.
    pub(super) fn wrong(&self, address: Option<IpAddr>, name: &str, now: Instant) {
        let State { buckets, .. } = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= CAPACITY {
            buckets.retain(|key, bucket| {
                bucket.fill(key.rate(), now);
                bucket.left < key.rate().burst
            });
            if buckets.len() >= CAPACITY {
                buckets.clear();
            }
        }
        for key in keys(address, name) {
            let rate = key.rate();
            let bucket = buckets.entry(key).or_insert(Bucket { left: rate.burst, filled: now });
            bucket.fill(rate, now);
            // Tries that were verified at the same time are owed: else one that is free again would let all of them pass.
            bucket.left = (bucket.left - 1.0).max(-rate.burst);
        }
    }

    /// Remembers that somebody signed in rightly from an address.
    pub(super) fn right(&self, address: Option<IpAddr>, name: &str, now: Instant) {
        let Some(address) = address else { return };
        let State { known, .. } = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN {
            known.retain(|_, last| now.saturating_duration_since(*last) < KNOWN_FOR);
            let oldest = known.iter().min_by_key(|(_, last)| **last).map(|(pair, _)| pair.clone());
            if let (true, Some(oldest)) = (known.len() >= KNOWN, oldest) {
                known.remove(&oldest);
            }
        }
        known.insert((network_of(address), shortened(name)), now);
    }
}

/// A name may be anything that a stranger sends.
fn shortened(name: &str) -> String {
    name.chars().take(128).collect()
}

/// The buckets that a try counts in.
fn keys(address: Option<IpAddr>, name: &str) -> impl Iterator<Item = Key> {
    let name = (!name.is_empty()).then(|| Key::Name(shortened(name)));
    address.map(|address| Key::Address(network_of(address))).into_iter().chain(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    fn fail(buckets: &Buckets, rate: &Rate, from: &str, name: impl Fn(u32) -> String, now: Instant) {
        let mut tries = 0;
        while f64::from(tries) < rate.burst {
            let name = name(tries);
            assert_eq!(buckets.wait(address(from), &name, now), None, "try {tries}");
            buckets.wrong(address(from), &name, now);
            tries += 1;
        }
    }

    #[test]
    fn after_a_burst_of_wrong_tries_one_name_is_heard_ten_times_a_minute() {
        let (buckets, start) = (Buckets::default(), Instant::now());
        fail(&buckets, &NAME, "192.0.2.7", |_| "admin".to_owned(), start);
        assert!(buckets.wait(address("192.0.2.7"), "admin", start).unwrap() <= Duration::from_secs(6));
        assert!(buckets.wait(address("192.0.2.1"), "admin", start).is_some());
        assert_eq!(buckets.wait(address("192.0.2.7"), "other", start), None, "the address has more left");
        assert_eq!(buckets.wait(address("192.0.2.7"), "admin", start + Duration::from_secs(7)), None);
    }

    #[test]
    fn tries_that_were_verified_at_the_same_time_are_owed() {
        let (buckets, start) = (Buckets::default(), Instant::now());
        for _ in 0..100 {
            buckets.wrong(address("192.0.2.7"), "admin", start);
        }
        let wait = buckets.wait(address("192.0.2.1"), "admin", start).unwrap().as_secs_f64();
        assert!(
            (wait - (NAME.burst + 1.0) / NAME.refill).abs() < 1.0,
            "{wait} s, a burst of debt and no more"
        );
    }

    #[test]
    fn an_address_that_guesses_many_names_is_held_back_but_for_whoever_signed_in_from_it() {
        let (buckets, start) = (Buckets::default(), Instant::now());
        buckets.right(address("2001:db8::9"), "hanna", start);
        fail(&buckets, &ADDRESS, "2001:db8::1", |number| format!("user-{number}"), start);
        assert!(buckets.wait(address("2001:db8::2"), "other", start).unwrap() <= Duration::from_secs(1));
        assert_eq!(buckets.wait(address("2001:db8::3"), "hanna", start), None);
        assert_eq!(buckets.wait(address("192.0.2.1"), "other", start), None);
        fail(&buckets, &NAME, "2001:db8::3", |_| "hanna".to_owned(), start);
        assert!(
            buckets.wait(address("2001:db8::3"), "hanna", start).is_some(),
            "the name has its own bucket"
        );
        assert!(buckets.wait(address("2001:db8::3"), "other", start + KNOWN_FOR).is_none());
    }

    #[test]
    fn who_signed_in_is_remembered_within_bounds() {
        let (buckets, start) = (Buckets::default(), Instant::now());
        for number in 0..KNOWN + 10 {
            buckets.right(
                address("192.0.2.1"),
                &number.to_string(),
                start + Duration::from_millis(number as u64),
            );
        }
        let state = buckets.0.lock().unwrap();
        assert_eq!(state.known.len(), KNOWN);
        assert!(!state.known.contains_key(&("192.0.2.1".parse().unwrap(), "0".to_owned())));
    }
}
