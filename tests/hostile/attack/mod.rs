//! The frame of every load: a server, an attacker with many connections, and an honest client beside them.
//!
//! A test describes its [`Load`] and gives it to [`Site::under`], which opens the connections, waits until
//! the server has accepted them, lets the honest client work, and returns an [`Outcome`]: what was accepted,
//! how long the honest client waited, how much memory the server took. A load that the server refuses shows
//! nothing, so [`Outcome::assert_held`] fails on any refusal that the load does not name. Numbers come from
//! the code and its defaults, never from a copy of them.

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
/// The longest that one request of an honest client may take beside a load.
pub(crate) const HONEST_PATIENCE: Duration = Duration::from_secs(30);
/// What 99 of 100 of them keep when the load runs alone, in a release build.
const HONEST_P99: Duration = Duration::from_secs(1);

/// Whether the figures are judged as well: the command of docs/security.md sets this, and runs nothing else
/// meanwhile.
pub(crate) fn proof() -> bool {
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
    /// It sends its first bytes once more after each answer, over a new connection if the server closed this
    /// one.
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
    /// Connections that must be accepted: held without an answer, or answered with success, or with 408 in
    /// the end. The rest of them may meet a limit: 429, 503, or no `accept` yet.
    pub(crate) accepted: usize,
    /// When the server gives up such a connection without an answer.
    pub(crate) given_up: Option<Duration>,
    /// Refusals that are right for this load. Any other answer of the class 4xx says that the load is not
    /// what it claims.
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

/// A server with its attacker and its honest client. Sites follow each other: each would be the other's
/// noise.
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
    _turn: Option<MutexGuard<'static, ()>>,
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

    /// A site for a load that is so small that others may run meanwhile.
    pub(crate) fn beside_others(who: Who) -> Self {
        Self::new(who, &Setup::default(), None)
    }

    /// The same with more of a setup; `who` decides whether it is open and has a password.
    pub(crate) fn with(who: Who, setup: &Setup<'_>) -> Self {
        Self::new(who, setup, Some(alone()))
    }

    fn new(who: Who, setup: &Setup<'_>, turn: Option<MutexGuard<'static, ()>>) -> Self {
        static NETWORK: AtomicU8 = AtomicU8::new(1);
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

    /// Floods the server while the honest client works, and tells what came of it.
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

    /// Kills the server and starts it on its data again; how long the start took.
    pub(crate) fn kill_and_start(&mut self) -> Duration {
        let took = self.server.kill_and_start();
        for client in [&mut self.attacker, &mut self.honest] {
            *client = client.clone().at(self.server.address);
        }
        took
    }

    /// Upload sessions that are open.
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

    /// A client from the address of this number, without credentials.
    pub(crate) fn stranger(&self, number: usize) -> Client {
        self.server.client().from(address(self.network, number))
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

/// The address of this number in a network of the loopback interface.
fn address(network: u8, number: usize) -> Ipv4Addr {
    let low = u8::try_from(number % 250).expect("small") + 1;
    let high = u8::try_from(number / 250).expect("few addresses");
    Ipv4Addr::new(127, network, high, low)
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
