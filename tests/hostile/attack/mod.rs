//! The frame of every load: a server, an attacker with many connections, and an honest client beside them.
//!
//! A test describes its [`Load`] and gives it to [`Site::under`], which opens the connections, waits until the server has
//! accepted them, lets the honest client work, and returns an [`Outcome`]: what was accepted, how long the honest client
//! waited, how much memory the server took. A load that the server refuses shows nothing, so [`Outcome::assert_held`] fails
//! on any refusal that the load does not name. Numbers come from the code and its defaults, never from a copy of them.

mod crowd;
mod honest;
mod wire;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rcgen::KeyPair;
use rustix::process::{Resource as Files, getrlimit, setrlimit};
use rustls::ClientConfig;
use serde_json::json;
use stowage::config::Config;
use stowage::limits::{Limits, Resource};
use tempfile::TempDir;

use self::crowd::{Crowd, Fate};
use self::honest::Honest;
use crate::process::{MEMORY_MIB, Setup, Stowage, note};
use crate::support::certificates::Authority;
use crate::support::{Client, eventually};

const PASSWORD: &str = "harbour-crane-and-rope";
/// The longest that one request of an honest client may take beside a load.
const HONEST_PATIENCE: Duration = Duration::from_secs(30);
/// What 99 of 100 of them keep when the load runs alone, in a release build.
const HONEST_P99: Duration = Duration::from_secs(1);

/// Whether the figures are judged as well: the command of docs/security.md sets this, and runs nothing else meanwhile.
fn proof() -> bool {
    std::env::var_os("STOWAGE_PROOF").is_some()
}

/// Who attacks whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Both come without a name, from two addresses, to a registry that is open to everybody.
    Open,
    /// Two users of a registry with sign-in; the attacker may pull and push.
    User,
    /// The attacker has no credentials; the honest client is a user.
    Stranger,
}

impl Who {
    /// The ways in which a user's attack is tried.
    pub(crate) const PUSHERS: [Self; 2] = [Self::Open, Self::User];
    /// The ways in which an attack that needs no credentials is tried.
    pub(crate) const ANYBODY: [Self; 2] = [Self::Open, Self::Stranger];
}

/// What a connection does after it has sent its first bytes.
#[derive(Clone, Copy)]
pub(crate) enum Then<'a> {
    /// It waits, and reads what is answered.
    Wait,
    /// It says that nothing more comes, and reads what is answered.
    End,
    /// It reads nothing, so that the answer stays with the server.
    Deaf,
    /// It sends these bytes again and again, with this pause.
    Trickle(&'a [u8], Duration),
    /// It sends its first bytes once more after each answer, over a new connection if the server closed this one.
    Again,
    /// It connects again this long after the server has closed the connection without an answer.
    Return(Duration),
    /// It reads nothing of what the server sends first, connects again and sends the same once more.
    Replay,
}

/// A load on the server.
pub(crate) struct Load<'a> {
    /// Its row in the table.
    pub(crate) name: &'a str,
    /// How many connections.
    pub(crate) connections: usize,
    /// From how many addresses they come.
    pub(crate) addresses: usize,
    /// What the connection of this number sends at first.
    pub(crate) sends: &'a dyn Fn(usize) -> Vec<u8>,
    /// What each does then.
    pub(crate) then: Then<'a>,
    /// Each makes a TLS handshake with this before it sends anything.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// Connections that must be accepted: held without an answer, or answered with success, or with 408 in the end.
    /// The rest of them may meet a limit: 429, 503, or no `accept` yet.
    pub(crate) accepted: usize,
    /// Refusals that are right for this load. Any other answer of the class 4xx says that the load is not what it claims.
    pub(crate) refusals: &'a [u16],
}

impl Default for Load<'_> {
    fn default() -> Self {
        Self {
            name: "",
            connections: 0,
            addresses: 1,
            sends: &|_| Vec::new(),
            then: Then::Wait,
            tls: None,
            accepted: 0,
            refusals: &[],
        }
    }
}

/// A server with its attacker and its honest client. Sites follow each other: each would be the other's noise.
pub(crate) struct Site {
    pub(crate) server: Stowage,
    /// Sends one request at a time, from the first address of the loads.
    pub(crate) attacker: Client,
    pub(crate) honest: Client,
    /// The settings of the server, with their defaults.
    pub(crate) config: Config,
    /// What clients need for a handshake, where the server speaks TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    who: Who,
    /// Sockets of the server that are no connections.
    sockets: usize,
    network: u8,
    _turn: MutexGuard<'static, ()>,
}

impl Site {
    /// Starts a server with these settings and makes the users that it needs.
    pub(crate) fn start(who: Who, settings: &str) -> Self {
        Self::with(who, &Setup { settings, ..Setup::default() })
    }

    /// A server that speaks TLS with a certificate for this key. Its clients do, too.
    pub(crate) fn over_tls(who: Who, key: &KeyPair) -> Self {
        let directory = TempDir::new().expect("a directory");
        let authority = Authority::new();
        let files = authority.issue_to(directory.path());
        let (cert, key) = authority.issue_for(key, |_| {});
        files.write(&cert, &key);
        let (cert, key) = (files.cert.display(), files.key.display());
        let settings = format!("[server.tls]\ncert_file = \"{cert}\"\nkey_file = \"{key}\"\n");
        // The server has read the files when it is ready, and looks at them again only when they change.
        let setup = Setup { settings: &settings, ..Setup::default() };
        let mut site = Self::with(who, &setup);
        let trust = Arc::new(authority.trust());
        site.attacker = site.attacker.over_tls(Arc::clone(&trust));
        site.honest = site.honest.over_tls(Arc::clone(&trust));
        site.tls = Some(trust);
        site
    }

    /// The same with more of a setup; `who` decides whether it is open and has a password.
    pub(crate) fn with(who: Who, setup: &Setup<'_>) -> Self {
        static NETWORK: AtomicU8 = AtomicU8::new(1);
        let turn = alone();
        let open = who == Who::Open;
        // Every request would leave a line.
        let level = if setup.level.is_empty() { "info,stowage::access=off" } else { setup.level };
        let config = toml_edit::de::from_str(setup.settings).expect("valid settings");
        let server = Stowage::start(&Setup { open, password: (!open).then_some(PASSWORD), level, ..*setup });
        let sockets = server.sockets();
        // Addresses of this load alone: what is counted for one address says nothing of the load before.
        let network = NETWORK.fetch_add(1, Ordering::Relaxed);
        let (mut attacker, mut honest) = (server.client().from(address(network, 0)), server.client());
        if who == Who::User {
            attacker = attacker.basic("mallory", &server.add_user("mallory"));
        }
        if !open {
            honest = honest.basic("hanna", &server.add_user("hanna"));
        }
        Self { server, attacker, honest, config, tls: None, who, sockets, network, _turn: turn }
    }

    /// What one principal may hold of something, as a number of connections or bytes.
    pub(crate) fn limit(&self, resource: Resource) -> usize {
        usize::try_from(Limits::of(&self.config).get(resource).each).unwrap_or(usize::MAX)
    }

    /// The head of an attacker's request that keeps its connection.
    pub(crate) fn head(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
        self.attacker.head_of(method, path, headers).replace("Connection: close\r\n", "").into_bytes()
    }

    /// Puts the server under a load, lets the honest client work beside it, and tells what came of it.
    #[track_caller]
    pub(crate) fn under(&self, load: &Load<'_>) -> Outcome {
        self.run(load, |_| {})
    }

    /// The same, and then the server ends every connection by itself.
    #[track_caller]
    pub(crate) fn until_closed(&self, load: &Load<'_>) -> Outcome {
        self.run(load, |crowd| {
            eventually("the server closes every connection", || crowd.closed() == load.connections);
        })
    }

    /// The same, for a load whose every connection is answered.
    #[track_caller]
    pub(crate) fn until_answered(&self, load: &Load<'_>) -> Outcome {
        self.run(load, |crowd| {
            eventually("the server answers everything", || crowd.fates().iter().all(Fate::is_answered));
        })
    }

    /// Connections that the server has.
    fn connected(&self) -> usize {
        self.server.sockets().saturating_sub(self.sockets)
    }

    #[track_caller]
    fn run(&self, load: &Load<'_>, then: impl FnOnce(&Crowd<'_>)) -> Outcome {
        let crowd =
            Crowd::new(self.server.address, load, |number| address(self.network, number % load.addresses));
        let honest = Honest::new(&self.honest);
        let (most, early, late, waits) = std::thread::scope(|scope| {
            let driver = scope.spawn(|| crowd.drive(|| self.connected()));
            let _stop = crowd.stop_on_drop();
            let mut most = 0;
            let mut look = || {
                most = most.max(self.connected() + crowd.ended());
                most
            };
            eventually("the server accepts the load", || look() >= load.accepted);
            crowd.wait_until_sent();
            let early = crowd.fates();
            look();
            let waits = honest.work();
            then(&crowd);
            crowd.stop();
            (most, early, driver.join().expect("the load goes on to its end"), waits)
        });
        let outcome = Outcome {
            name: format!("{} ({})", load.name, format!("{:?}", self.who).to_lowercase()),
            connections: load.connections,
            wanted: load.accepted,
            accepted: early.iter().filter(|fate| fate.is_accepted(load.refusals)).count().min(most),
            limited: late.iter().filter(|fate| fate.is_limited()).count(),
            refused: refused(&late, load.refusals),
            late,
            waits,
            peak_mib: self.server.peak_mib(),
        };
        outcome.tell();
        outcome
    }
}

/// The address of this number in a network of the loopback interface.
fn address(network: u8, number: usize) -> Ipv4Addr {
    let low = u8::try_from(number % 250).expect("small") + 1;
    let high = u8::try_from(number / 250).expect("few addresses");
    Ipv4Addr::new(127, network, high, low)
}

/// Statuses that were no part of the load, and how often they came.
fn refused(fates: &[Fate], right: &[u16]) -> BTreeMap<u16, usize> {
    let mut found = BTreeMap::new();
    for status in fates.iter().flat_map(|fate| fate.refusals(right)) {
        *found.entry(status).or_default() += 1;
    }
    found
}

/// Loads follow each other. Both ends need their files.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static LOADS: Mutex<()> = Mutex::new(());
    let turn = LOADS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut files = getrlimit(Files::Nofile);
    files.current = files.maximum;
    setrlimit(Files::Nofile, files).expect("what is permitted may be used");
    turn
}

/// What came of a load.
pub(crate) struct Outcome {
    name: String,
    connections: usize,
    wanted: usize,
    /// Connections whose load the server took.
    pub(crate) accepted: usize,
    /// Connections that met a limit: 429 or 503.
    pub(crate) limited: usize,
    refused: BTreeMap<u16, usize>,
    late: Vec<Fate>,
    /// How long each request of the honest client took, the shortest first.
    waits: Vec<Duration>,
    /// The most memory that the server had.
    pub(crate) peak_mib: u64,
}

impl Outcome {
    fn p99(&self) -> Duration {
        self.waits[(self.waits.len() * 99).div_ceil(100) - 1]
    }

    fn tell(&self) {
        let row = json!({
            "attack": self.name, "connections": self.connections, "accepted": self.accepted,
            "limited": self.limited, "honest_p99_ms": self.p99().as_millis(),
            "honest_max_ms": self.waits.last().map(Duration::as_millis), "requests": self.waits.len(),
            "peak_mib": self.peak_mib,
        });
        note(&format!("row {row}"));
    }

    /// How often the server sent anything to connections that only replay.
    pub(crate) fn replies(&self) -> usize {
        self.late.iter().map(|fate| fate.replies).sum()
    }

    /// So many connections were answered with this status before the load ended.
    pub(crate) fn answered(&self, status: u16) -> usize {
        self.late.iter().filter(|fate| fate.has(status)).count()
    }

    /// The server took the load, stayed small, and served the honest client.
    #[track_caller]
    pub(crate) fn assert_held(&self) -> &Self {
        assert!(self.refused.is_empty(), "{}: refused with {:?}: no load at all", self.name, self.refused);
        assert!(
            self.accepted >= self.wanted,
            "{}: {} of {} connections were accepted, {} met a limit; at least {} are the load",
            self.name,
            self.accepted,
            self.connections,
            self.limited,
            self.wanted
        );
        assert!(self.peak_mib < MEMORY_MIB, "{}: {} MiB", self.name, self.peak_mib);
        let slowest = self.waits.last().expect("requests of the honest client");
        assert!(*slowest < HONEST_PATIENCE, "{}: an honest request took {slowest:?}", self.name);
        let p99 = self.p99();
        assert!(!proof() || p99 <= HONEST_P99, "{}: p99 of honest requests is {p99:?}", self.name);
        self
    }
}
