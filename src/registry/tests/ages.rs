//! The ages of links in the model: since when nothing refers to them, and when they were promised last.

/// The promise of [`Place::open`](super::Place::open), in running seconds.
pub(super) const PROMISE_S: u64 = 3600;
/// How long a link stays that nothing refers to.
pub(super) const GRACE_S: u64 = 2 * PROMISE_S;
/// How long a file stays in quarantine.
pub(super) const QUARANTINE_S: u64 = 24 * 3600;

/// The running second of an act. The clock goes on while the act runs, so only two seconds are known between
/// which it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    first: u64,
    last: u64,
}

impl Moment {
    pub(super) const fn between(first: u64, last: u64) -> Self {
        Self { first, last }
    }

    /// Whether at `now` so many seconds have passed since; `None` if it depends on the exact seconds.
    pub(super) const fn has_passed(self, seconds: u64, now: Self) -> Option<bool> {
        if now.first.saturating_sub(self.last) >= seconds {
            Some(true)
        } else if now.last.saturating_sub(self.first) < seconds {
            Some(false)
        } else {
            None
        }
    }
}

/// A blob that a repository holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// When the last reference to it went, or its age was renewed; without meaning while something refers to
    /// it.
    unused: Moment,
    /// The last response that let a client skip its upload.
    promised: Moment,
}

impl Held {
    /// Uploaded or mounted.
    pub(super) const fn new(at: Moment) -> Self {
        Self { unused: at, promised: at }
    }

    /// The last reference to it is gone.
    pub(super) const fn release(&mut self, at: Moment) {
        self.unused = at;
    }

    /// A client reads it. Its age starts anew when it is as long as a promise.
    pub(super) const fn renew(&mut self, at: Moment) {
        match self.unused.has_passed(PROMISE_S, at) {
            Some(true) => self.unused = at,
            Some(false) => {}
            None => self.unused.last = at.last,
        }
    }

    /// A client is told that it exists.
    pub(super) const fn promise(&mut self, at: Moment) {
        self.renew(at);
        self.promised = at;
    }

    /// Whether its grace is over, if nothing refers to it; `None` if that depends on the exact second.
    pub(super) const fn is_due(&self, now: Moment) -> Option<bool> {
        self.unused.has_passed(GRACE_S, now)
    }

    /// Whether a promise is certainly still binding.
    pub(super) const fn is_promised(&self, now: Moment) -> bool {
        now.last <= self.promised.first + PROMISE_S
    }
}

/// A file in quarantine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aside {
    pub(super) size: u64,
    pub(super) since: Moment,
}
