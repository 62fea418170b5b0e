//! Logs failed sign-ins with the name and the address, for operators and for fail2ban.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::sign_in_error::SignInError;

/// The most lines in each period, so that an attacker cannot fill the disk with them.
const MAX_LINES: u32 = 100;
const PERIOD: Duration = Duration::from_secs(10);
/// The most characters of a name, which the client chose.
const MAX_NAME: usize = 64;

/// A rate limiter of these lines.
#[derive(Default)]
pub(super) struct Failures(Mutex<Written>);

#[derive(Default)]
struct Written {
    since: Option<Instant>,
    lines: u32,
    unsaid: u64,
}

impl Failures {
    /// Logs a sign-in that failed because of its credential.
    pub(super) fn tell(&self, name: &str, address: Option<IpAddr>, error: &SignInError) {
        let unsaid = match error {
            SignInError::Wrong
            | SignInError::Revoked
            | SignInError::Expired { .. }
            | SignInError::Disabled { .. }
            | SignInError::Anothers { .. } => self.admit(Instant::now()),
            _ => None,
        };
        let Some(unsaid) = unsaid else { return };
        let user: String = name.chars().take(MAX_NAME).collect();
        let remote = address.map(|address| address.to_string()).unwrap_or_default();
        tracing::warn!(user, remote, why = %error, unsaid, "a sign-in failed");
    }

    /// How many lines were dropped since the last one; `None`: this one is dropped, too.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if written.since.is_none_or(|since| now.duration_since(since) >= PERIOD) {
            (written.since, written.lines) = (Some(now), 0);
        }
        if written.lines == MAX_LINES {
            written.unsaid += 1;
            return None;
        }
        written.lines += 1;
        Some(std::mem::take(&mut written.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_those_left_out_are_counted() {
        let failures = Failures::default();
        let start = Instant::now();
        for _ in 0..MAX_LINES {
            assert_eq!(failures.admit(start), Some(0));
        }
        assert_eq!(failures.admit(start), None);
        assert_eq!(failures.admit(start), None);
        assert_eq!(failures.admit(start + PERIOD), Some(2));
    }
}
