//! The framework of every load: a server, an attacker with many connections, and an honest client.
//!
//! A test describes its [`Load`] and passes it to [`Site::under`], which opens the connections, waits until
//! the server has accepted them, lets the honest client work, and returns an [`Outcome`]: how much was
//! accepted, how long the honest client waited, how much memory the server took. A load that the server
//! refuses proves nothing, so [`Outcome::assert_held`] fails on any refusal that the load does not list.
//! Numbers come from the code and its defaults, never from a copy of them.

mod answer;
mod crowd;
mod flood;
mod honest;
mod outcome;
mod wire;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rcgen::KeyPair;
use rustix::process::{Resource as Files, getrlimit, setrlimit};
use rustls::ClientConfig;
use serde_json::Value;
use stowage::config::Config;
use stowage::limits::{Limits, Resource};
use tempfile::TempDir;

pub(crate) use self::flood::{Flood, Tally};
pub(crate) use self::outcome::Outcome;

use self::crowd::{Crowd, Fate};
use self::honest::Honest;
use self::outcome::{count, sorted};
use crate::process::{Setup, Stowage};
use crate::support::certificates::Authority;
use crate::support::{Client, eventually};

/// The first admin's password.
pub(crate) const PASSWORD: &str = "harbour-crane-and-rope";
/// The longest permitted time of one request of an honest client under a load.
pub(crate) const HONEST_PATIENCE: Duration = Duration::from_secs(30);
/// The permitted 99th percentile of these times when the load runs alone, in a release build.
const HONEST_P99: Duration = Duration::from_secs(1);

/// Whether the times are checked as well: the command in docs/security.md sets this, and runs nothing else
/// meanwhile.
pub(crate) fn proof() -> bool {
    std::env::var_os("STOWAGE_PROOF").is_some()
}

/// The identities of the attacker and of the honest client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Both are anonymous, from two addresses, in an open registry.
    Open,
    /// Two users of a registry with sign-in; the attacker may pull and push.
    User,
    /// The attacker has no credentials; the honest client is a user.
    Stranger,
}

impl Who {
    /// The variants of an attack by a user.
    pub(crate) const PUSHERS: [Self; 2] = [Self::Open, Self::User];
    /// The variants of an attack that needs no credentials.
    pub(crate) const ANYBODY: [Self; 2] = [Self::Open, Self::Stranger];
}

/// The behaviour of a connection after it has sent its first bytes.
#[derive(Clone, Copy)]
pub(crate) enum Then<'a> {
    /// It waits, and reads the response.
    Wait,
    /// It closes its sending side, and reads the response.
    End,
    /// It reads nothing, so that the response stays with the server.
    Deaf,
    /// It sends these bytes again and again, with this pause.
    Trickle(&'a [u8], Duration),
    /// It sends its first bytes again after each response, over a new connection if the server closed this
    /// one.
    Again,
    /// It connects again this long after the server has closed the connection without an answer.
    Return(Duration),
    /// It does not read what the server sends first, connects again, and sends the same bytes again.
    Replay,
}

/// A load on the server.
pub(crate) struct Load<'a> {
    /// The name of its row in the table.
    pub(crate) name: &'a str,
    /// The number of connections.
    pub(crate) connections: usize,
    /// The number of addresses from which they come.
    pub(crate) addresses: usize,
    /// The first bytes of the connection with this number.
    pub(crate) sends: &'a dyn Fn(usize) -> Vec<u8>,
    /// The behaviour after that.
    pub(crate) then: Then<'a>,
    /// For TLS: the configuration of the handshakes.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// The connections that must be accepted: held without a response, answered with success, or finally with
    /// 408. The others may meet a limit: 429, 503, or not accepted yet.
    pub(crate) accepted: usize,
    /// When the server gives up such a connection without a response.
    pub(crate) given_up: Option<Duration>,
    /// The refusals that are expected. Any other 4xx means that the load is not what it claims to be.
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
            given_up: None,
            refusals: &[],
        }
    }
}

/// A server with its attacker and its honest client. Sites run one after the other, because each would
/// disturb the times of another one.
pub(crate) struct Site {
    pub(crate) server: Stowage,
    /// Sends single requests, from the first address of the loads.
    pub(crate) attacker: Client,
    pub(crate) honest: Client,
    /// The settings of the server, with defaults.
    pub(crate) config: Config,
    /// The clients' TLS configuration, if the server uses TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    who: Who,
    /// Sockets of the server that are not connections.
    sockets: usize,
    network: u8,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Site {
    /// Starts a server with these settings and creates its users.
    pub(crate) fn start(who: Who, settings: &str) -> Self {
        Self::with(who, &Setup { settings, ..Setup::default() })
    }

    /// A server with TLS and a certificate for this key. Its clients use TLS, too.
    pub(crate) fn over_tls(who: Who, key: &KeyPair) -> Self {
        let directory = TempDir::new().expect("a directory");
        let authority = Authority::new();
        let files = authority.issue_to(directory.path());
        let (cert, key) = authority.issue_for(key, |_| {});
        files.write(&cert, &key);
        let (cert, key) = (files.cert.display(), files.key.display());
        let settings = format!("[server.tls]\ncert_file = \"{cert}\"\nkey_file = \"{key}\"\n");
        // The server has read the files when it is ready, and reads them again only when they change.
        let setup = Setup { settings: &settings, ..Setup::default() };
        let mut site = Self::with(who, &setup);
        let trust = Arc::new(authority.trust());
        site.attacker = site.attacker.over_tls(Arc::clone(&trust));
        site.honest = site.honest.over_tls(Arc::clone(&trust));
        site.tls = Some(trust);
        site
    }

    /// A site for a load so small that others may run meanwhile.
    pub(crate) fn beside_others(who: Who) -> Self {
        Self::new(who, &Setup::default(), None)
    }

    /// A site with this setup; `who` decides whether the registry is open and has a password.
    pub(crate) fn with(who: Who, setup: &Setup<'_>) -> Self {
        Self::new(who, setup, Some(alone()))
    }

    fn new(who: Who, setup: &Setup<'_>, turn: Option<MutexGuard<'static, ()>>) -> Self {
        static NETWORK: AtomicU8 = AtomicU8::new(1);
        let open = who == Who::Open;
        // The access log would have a line for every request.
        let level = if setup.level.is_empty() { "info,stowage::access=off" } else { setup.level };
        let config = toml_edit::de::from_str(setup.settings).expect("valid settings");
        let server = Stowage::start(&Setup { open, password: (!open).then_some(PASSWORD), level, ..*setup });
        let sockets = server.sockets();
        // Addresses of this load alone, so that earlier loads do not count for them.
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

    /// The limit of one principal, as a number of connections or bytes.
    pub(crate) fn limit(&self, resource: Resource) -> usize {
        usize::try_from(Limits::of(&self.config).get(resource).each).unwrap_or(usize::MAX)
    }

    /// The head of an attacker's request on a connection that is kept alive.
    pub(crate) fn head(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
        self.attacker.head_of(method, path, headers).replace("Connection: close\r\n", "").into_bytes()
    }

    /// Puts the server under a load while the honest client works, and returns the outcome.
    #[track_caller]
    pub(crate) fn under(&self, load: &Load<'_>) -> Outcome {
        self.run(load, |_| {})
    }

    /// The same, for a load whose every connection the server finally closes.
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

    /// Floods the server while the honest client works, and returns the outcome.
    #[track_caller]
    pub(crate) fn flooded(&self, flood: &Flood<'_>) -> Outcome {
        let honest = Honest::new(&self.honest);
        let (tally, waits) = flood.run(&honest);
        let requests = tally.requests();
        let outcome = Outcome {
            name: self.row(flood.name),
            connections: requests,
            wanted: flood.accepted,
            accepted: tally.count(|status| matches!(status, 200..=399) || flood.refusals.contains(&status)),
            limited: tally.count(|status| matches!(status, 429 | 503)),
            refused: tally.others(flood.refusals),
            replies: 0,
            answered: tally.into_answers(),
            waits: sorted(waits),
            peak_mib: self.server.peak_mib(),
        };
        outcome.tell();
        outcome
    }

    /// The name of a load's row in the table.
    fn row(&self, name: &str) -> String {
        format!("{name} ({})", format!("{:?}", self.who).to_lowercase())
    }

    /// Kills the server and starts it on its data again; returns how long the start took.
    pub(crate) fn kill_and_start(&mut self) -> Duration {
        let took = self.server.kill_and_start();
        for client in [&mut self.attacker, &mut self.honest] {
            *client = client.clone().at(self.server.address);
        }
        took
    }

    /// The number of open upload sessions.
    pub(crate) fn open_uploads(&self) -> usize {
        let status = self.server.command(&["status", "--json"], "");
        let status: Value = serde_json::from_slice(&status.stdout).expect("JSON");
        let open = status["data"]["server"]["uploads"].as_u64().expect("a number");
        usize::try_from(open).expect("few")
    }

    /// Bytes of all unfinished uploads on the disk.
    pub(crate) fn staged(&self) -> usize {
        let files = std::fs::read_dir(self.server.data().join("uploads")).expect("the directory of uploads");
        let sizes = files.filter_map(|file| file.ok()?.metadata().ok()).map(|found| found.len());
        usize::try_from(sizes.sum::<u64>()).expect("few bytes")
    }

    /// A client without credentials, from the address with this number.
    pub(crate) fn stranger(&self, number: usize) -> Client {
        self.server.client().from(address(self.network, number))
    }

    /// The number of connections of the server.
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
            name: self.row(load.name),
            connections: load.connections,
            wanted: load.accepted,
            accepted: early
                .iter()
                .filter(|fate| fate.is_accepted(load.refusals, load.given_up))
                .count()
                .min(most),
            limited: late.iter().filter(|fate| fate.is_limited()).count(),
            refused: count(late.iter().flat_map(|fate| fate.refusals(load.refusals))),
            replies: late.iter().map(|fate| fate.replies).sum(),
            answered: count(
                late.iter().flat_map(|fate| fate.statuses().iter().copied().collect::<BTreeSet<_>>()),
            ),
            waits: sorted(waits),
            peak_mib: self.server.peak_mib(),
        };
        outcome.tell();
        outcome
    }
}

/// The address with this number in a network of the loopback interface.
fn address(network: u8, number: usize) -> Ipv4Addr {
    let low = u8::try_from(number % 250).expect("small") + 1;
    let high = u8::try_from(number / 250).expect("few addresses");
    Ipv4Addr::new(127, network, high, low)
}

/// Runs loads one after the other, because both ends need many file descriptors.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static LOADS: Mutex<()> = Mutex::new(());
    let turn = LOADS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut files = getrlimit(Files::Nofile);
    files.current = files.maximum;
    setrlimit(Files::Nofile, files).expect("what is permitted may be used");
    turn
}
