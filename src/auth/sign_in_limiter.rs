//! The rate limiter of failed sign-ins: a token bucket for each address and each name. After a burst, one
//! attempt every few seconds is verified; the others are refused without hashing (docs/security.md).
//!
//! An address may stand for many people: a NAT, or a proxy that is not trusted. So its bucket is larger than
//! a name's. Where a name signed in correctly within the last day, its attempts count in a bucket of that
//! name and network alone: guesses from elsewhere, or for other names, do not block the user there.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::network_of;

/// The burst of wrong attempts for one name, and the rate after it, per second: ten a minute.
pub(super) const NAME: Rate = Rate { burst: 20.0, refill: 10.0 / 60.0 };
/// The same for one address: ten times that of a name.
const ADDRESS: Rate = Rate { burst: 200.0, refill: 100.0 / 60.0 };
/// The most buckets. Above that the fullest ones are removed, because they limit the least.
const CAPACITY: usize = 10_000;
/// The most networks from which names signed in correctly, in all and of one name, and how long they are
/// kept.
const KNOWN: usize = 10_000;
const KNOWN_OF_NAME: usize = 100;
const KNOWN_FOR: Duration = Duration::from_hours(24);

pub(super) struct Rate {
    pub(super) burst: f64,
    pub(super) refill: f64,
}

/// The key of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    Name(String),
    /// A name, from a network from which it signed in correctly.
    Recent(IpAddr, String),
}

impl Key {
    const fn rate(&self) -> &'static Rate {
        match self {
            Self::Address(_) => &ADDRESS,
            Self::Name(_) | Self::Recent(..) => &NAME,
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
struct Attempts {
    buckets: HashMap<Key, Bucket>,
    recent: RecentNetworks,
}

/// The networks from which each name signed in correctly, with the time of the last sign-in.
#[derive(Default)]
struct RecentNetworks {
    names: HashMap<String, Vec<(IpAddr, Instant)>>,
    count: usize,
}

impl RecentNetworks {
    fn has(&self, network: IpAddr, name: &str, now: Instant) -> bool {
        let networks = self.names.get(name).map_or(&[][..], Vec::as_slice);
        networks.iter().any(|(known, last)| *known == network && is_recent(*last, now))
    }

    fn note(&mut self, network: IpAddr, name: String, now: Instant) {
        let known = self
            .names
            .get_mut(&name)
            .and_then(|networks| networks.iter_mut().find(|(known, _)| *known == network));
        if let Some((_, last)) = known {
            *last = now;
            return;
        }
        if self.count >= KNOWN {
            self.forget_old(now);
        }
        let networks = self.names.entry(name).or_default();
        // A user with many networks evicts only networks of that user.
        let oldest = networks.iter().enumerate().min_by_key(|(_, (_, last))| *last).map(|(index, _)| index);
        if let Some(oldest) = oldest.filter(|_| networks.len() >= KNOWN_OF_NAME) {
            networks.swap_remove(oldest);
            self.count -= 1;
        }
        networks.push((network, now));
        self.count += 1;
    }

    /// Removes outdated entries; if there are none, the name whose last sign-in is the longest ago.
    fn forget_old(&mut self, now: Instant) {
        for networks in self.names.values_mut() {
            networks.retain(|(_, last)| is_recent(*last, now));
        }
        self.names.retain(|_, networks| !networks.is_empty());
        self.count = self.names.values().map(Vec::len).sum();
        if self.count >= KNOWN {
            let latest = |networks: &[(IpAddr, Instant)]| networks.iter().map(|(_, last)| *last).max();
            let oldest =
                self.names.iter().min_by_key(|(_, networks)| latest(networks)).map(|(name, _)| name.clone());
            let forgotten =
                oldest.and_then(|name| self.names.remove(&name)).map_or(0, |networks| networks.len());
            self.count -= forgotten;
        }
    }
}

/// Removes buckets when there are too many: those that are full, else an eighth, the fullest first. An
/// attacker who sends very many names must not reset the rate limit of another name, whose bucket is empty.
fn make_room(buckets: &mut HashMap<Key, Bucket>, now: Instant) {
    if buckets.len() < CAPACITY {
        return;
    }
    buckets.retain(|key, bucket| {
        bucket.fill(key.rate(), now);
        bucket.left < key.rate().burst
    });
    if buckets.len() < CAPACITY {
        return;
    }
    let mut by_level: Vec<(Key, f64)> =
        buckets.iter().map(|(key, bucket)| (key.clone(), bucket.left / key.rate().burst)).collect();
    by_level.sort_unstable_by(|(_, one), (_, other)| other.total_cmp(one));
    for (key, _) in by_level.iter().take(CAPACITY / 8) {
        buckets.remove(key);
    }
}

fn is_recent(last: Instant, now: Instant) -> bool {
    now.saturating_duration_since(last) < KNOWN_FOR
}

impl Attempts {
    /// The buckets in which an attempt counts.
    fn keys(&self, address: Option<IpAddr>, name: &str, now: Instant) -> Vec<Key> {
        let (network, name) = (address.map(network_of), shortened(name));
        match network {
            Some(network) if self.recent.has(network, &name, now) => vec![Key::Recent(network, name)],
            _ => {
                let name = (!name.is_empty()).then_some(Key::Name(name));
                network.map(Key::Address).into_iter().chain(name).collect()
            }
        }
    }
}

/// The buckets of all names and addresses.
#[derive(Default)]
pub(super) struct SignInLimiter(Mutex<Attempts>);

impl SignInLimiter {
    /// How long a caller has to wait before the next attempt is verified; `None` if it need not wait.
    pub(super) fn wait(&self, address: Option<IpAddr>, name: &str, now: Instant) -> Option<Duration> {
        let mut state = self.lock();
        let keys = state.keys(address, name, now);
        let waits = keys.iter().filter_map(|key| {
            let rate = key.rate();
            let bucket = state.buckets.get_mut(key)?;
            bucket.fill(rate, now);
            (bucket.left < 1.0).then(|| Duration::from_secs_f64(((1.0 - bucket.left) / rate.refill).max(1.0)))
        });
        waits.max()
    }

    /// Counts a wrong attempt.
    pub(super) fn wrong(&self, address: Option<IpAddr>, name: &str, now: Instant) {
        let mut state = self.lock();
        let keys = state.keys(address, name, now);
        let buckets = &mut state.buckets;
        make_room(buckets, now);
        for key in keys {
            let rate = key.rate();
            let bucket = buckets.entry(key).or_insert(Bucket { left: rate.burst, filled: now });
            bucket.fill(rate, now);
            // A bucket can go below zero: several attempts may be verified at the same time, and all are
            // counted. Otherwise each refilled token would let as many attempts pass as there are hashing
            // threads.
            bucket.left -= 1.0;
        }
    }

    /// Remembers that a user signed in correctly from an address.
    pub(super) fn right(&self, address: Option<IpAddr>, name: &str, now: Instant) {
        if let Some(address) = address {
            self.lock().recent.note(network_of(address), shortened(name), now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Attempts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client may send any text as a name.
fn shortened(name: &str) -> String {
    name.chars().take(128).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    fn fail(limiter: &SignInLimiter, rate: &Rate, from: &str, name: impl Fn(u32) -> String, now: Instant) {
        let mut tries = 0;
        while f64::from(tries) < rate.burst {
            let name = name(tries);
            assert_eq!(limiter.wait(address(from), &name, now), None, "try {tries}");
            limiter.wrong(address(from), &name, now);
            tries += 1;
        }
    }

    #[test]
    fn after_a_burst_of_wrong_tries_one_name_is_heard_ten_times_a_minute() {
        let (limiter, start) = (SignInLimiter::default(), Instant::now());
        fail(&limiter, &NAME, "192.0.2.7", |_| "admin".to_owned(), start);
        assert!(limiter.wait(address("192.0.2.7"), "admin", start).unwrap() <= Duration::from_secs(6));
        assert!(limiter.wait(address("192.0.2.1"), "admin", start).is_some());
        assert_eq!(limiter.wait(address("192.0.2.7"), "other", start), None, "the address has more left");
        assert_eq!(limiter.wait(address("192.0.2.7"), "admin", start + Duration::from_secs(7)), None);
    }

    #[test]
    fn tries_that_are_verified_at_the_same_time_are_heard_no_more_often_than_others() {
        const TOGETHER: u32 = 100;
        let (limiter, start) = (SignInLimiter::default(), Instant::now());
        let (mut heard, seconds) = (0, 3600);
        for second in 0..seconds {
            let now = start + Duration::from_secs(second);
            if limiter.wait(address("192.0.2.7"), "admin", now).is_none() {
                heard += TOGETHER;
                for _ in 0..TOGETHER {
                    limiter.wrong(address("192.0.2.7"), "admin", now);
                }
            }
        }
        let promised = NAME.burst + NAME.refill * Duration::from_secs(seconds).as_secs_f64();
        assert!(f64::from(heard) <= promised + f64::from(TOGETHER), "{heard} heard, {promised} promised");
        assert!(f64::from(heard) >= promised - f64::from(TOGETHER), "{heard} heard, {promised} promised");
    }

    #[test]
    fn an_address_that_guesses_many_names_is_held_back_but_for_whoever_signed_in_from_it() {
        let (limiter, start) = (SignInLimiter::default(), Instant::now());
        limiter.right(address("2001:db8::9"), "hanna", start);
        fail(&limiter, &ADDRESS, "2001:db8::1", |number| format!("user-{number}"), start);
        assert!(limiter.wait(address("2001:db8::2"), "other", start).unwrap() <= Duration::from_secs(1));
        assert_eq!(limiter.wait(address("2001:db8::3"), "hanna", start), None);
        assert_eq!(limiter.wait(address("192.0.2.1"), "other", start), None);
        fail(&limiter, &NAME, "2001:db8::3", |_| "hanna".to_owned(), start);
        assert!(
            limiter.wait(address("2001:db8::3"), "hanna", start).is_some(),
            "the name has its own bucket"
        );
        assert!(limiter.wait(address("2001:db8::3"), "other", start + KNOWN_FOR).is_none());
    }

    #[test]
    fn guesses_from_elsewhere_keep_no_user_out_where_the_name_has_signed_in() {
        let (limiter, start) = (SignInLimiter::default(), Instant::now());
        limiter.right(address("192.0.2.1"), "hanna", start);
        for stranger in 1..=100 {
            for _ in 0..100 {
                limiter.wrong(address(&format!("198.51.100.{stranger}")), "hanna", start);
            }
        }
        assert!(limiter.wait(address("203.0.113.1"), "hanna", start).is_some());
        assert_eq!(limiter.wait(address("192.0.2.1"), "hanna", start), None);
        // Guesses from the known network are limited, too; and the entry of the network expires.
        fail(&limiter, &NAME, "192.0.2.1", |_| "hanna".to_owned(), start);
        assert!(limiter.wait(address("192.0.2.1"), "hanna", start).is_some());
        limiter.right(address("192.0.2.2"), "hanna", start);
        let (before, later) = (start + KNOWN_FOR / 2, start + KNOWN_FOR);
        limiter.wrong(address("198.51.100.1"), "hanna", before);
        assert_eq!(limiter.wait(address("192.0.2.2"), "hanna", before), None);
        for _ in 0..100 {
            limiter.wrong(address("198.51.100.1"), "hanna", later);
        }
        assert!(limiter.wait(address("192.0.2.2"), "hanna", later).is_some());
    }

    #[test]
    fn wrong_sign_ins_with_very_many_names_reset_no_rate_limit_that_is_in_force() {
        let (limiter, start) = (SignInLimiter::default(), Instant::now());
        fail(&limiter, &NAME, "192.0.2.7", |_| "admin".to_owned(), start);
        for number in 0..3 * CAPACITY {
            limiter.wrong(address(&format!("2001:db8:0:{number:x}::1")), &format!("user-{number}"), start);
            assert!(limiter.lock().buckets.len() <= CAPACITY + 1);
        }
        assert!(limiter.wait(address("192.0.2.7"), "admin", start).is_some());
    }

    #[test]
    fn who_signed_in_is_remembered_within_bounds() {
        let (limiter, start) = (SignInLimiter::default(), Instant::now());
        let at = |number: usize| start + Duration::from_millis(number as u64);
        let count = || {
            let state = limiter.lock();
            assert_eq!(state.recent.count, state.recent.names.values().map(Vec::len).sum::<usize>());
            state.recent.count
        };
        for number in 0..KNOWN + 10 {
            limiter.right(address("192.0.2.1"), &number.to_string(), at(number));
            assert!(count() <= KNOWN);
        }
        let known = |text: &str, name: &str| limiter.lock().recent.has(text.parse().unwrap(), name, start);
        assert!(!known("192.0.2.1", "0") && known("192.0.2.1", &KNOWN.to_string()));
        // A user with many networks does not evict those of others.
        let before = count();
        for number in 0..10 * KNOWN_OF_NAME {
            let network = format!("2001:db8:0:{number:x}::1");
            limiter.right(address(&network), "roamer", at(KNOWN + 10 + number));
        }
        assert!(count() <= before + KNOWN_OF_NAME && known("192.0.2.1", &KNOWN.to_string()));
        assert!(known(&format!("2001:db8:0:{:x}::", 10 * KNOWN_OF_NAME - 1), "roamer"));
        assert!(!known("2001:db8:0:0::", "roamer"));
    }
}
