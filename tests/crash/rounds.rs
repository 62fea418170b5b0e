//! The rounds: load, cut, check, start, and the oracle.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cut::Cut;
use crate::dice::{Dice, told_or_new};
use crate::dumps::{self, Dumps, OFTEN};
use crate::image::{FileSystem, Image, Journal, SMALL, count};
use crate::ledger::Ledger;
use crate::oracle::judge;
use crate::process::{Stowage, note, run};
use crate::tokens;
use crate::workload::{CLIENTS, Client, Load};

/// Rounds on each kind of file system.
const ROUNDS: u64 = 30;
/// A file system is used for this many rounds; then a new one is created, whose first start is cut off too.
const ROUNDS_PER_IMAGE: u64 = 10;
/// The longest load, in microseconds.
const LOAD_US: u64 = 700_000;
/// How long the clients have to complete their requests.
const REST: Duration = Duration::from_millis(60);
/// One in this many of the immediate cuts is timed for a dump.
const AIMED: u64 = 2;
/// After this many rounds the store is rebuilt from its dumps.
const REBUILT_EVERY: u64 = 4;
/// How long a start may take after a cut. The longest one is reported: on a busy machine most of it is
/// waiting.
const START: Duration = Duration::from_secs(10);
/// Of this many cuts that wait for a certain call, at least one must reach it.
const AWAITED: u64 = 6;

#[test]
fn nothing_acknowledged_is_lost_in_cuts_on_ext4() {
    rounds(FileSystem::Ext4);
}

#[test]
fn nothing_acknowledged_is_lost_in_cuts_on_xfs() {
    rounds(FileSystem::Xfs);
}

/// Whether a fault is planted into the server, which the test must detect.
fn mutant() -> bool {
    cfg!(any(
        feature = "mutant-no-blob-sync",
        feature = "mutant-no-dir-sync",
        feature = "mutant-commit-first",
        feature = "mutant-no-commit-sync",
    ))
}

/// Prints a text also when the test succeeds; the runner hides `println` then.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A file system, a server on it, and its clients. The server must be dropped first.
struct Site {
    server: Option<Stowage>,
    ledger: Ledger,
    dumps: Dumps,
    image: Image,
}

/// The totals of all rounds.
#[derive(Default)]
struct Total {
    cuts: u64,
    acknowledged: u64,
    deleted: u64,
    pulled: u64,
    caught: u64,
    aimed: u64,
    /// Cuts that wait for a certain call, and those that reached it.
    awaited: u64,
    hit: u64,
    rebuilt: u64,
    longest_start: Duration,
}

fn rounds(file_system: FileSystem) {
    let seed = told_or_new("STOWAGE_CRASH_SEED");
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let rounds = number("STOWAGE_CRASH_ROUNDS").unwrap_or(ROUNDS);
    let only = std::env::var("STOWAGE_CRASH_CUT").ok();
    let mut dice = Dice::new(seed);
    tell(&format!("{file_system:?}: {rounds} cuts, to be repeated with STOWAGE_CRASH_SEED={seed}"));
    let (mut site, mut total, begun) = (None, Total::default(), Instant::now());
    for round in 0..rounds {
        if round % ROUNDS_PER_IMAGE == 0 {
            site = None;
        }
        if site.is_none() {
            let Some(new) = Site::new(file_system, &mut dice) else { return };
            site = Some(new);
        }
        let cut = Cut::roll(&mut dice, only.as_deref());
        let mut at_work = site.take().expect("it was made");
        let last = (round + 1) % ROUNDS_PER_IMAGE == 0 || round + 1 == rounds;
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let wrong = at_work.round(cut, last, &mut dice, &mut total);
            (at_work, wrong)
        }));
        total.cuts += 1;
        let (wrong, kept) = match ended {
            Ok((at_work, wrong)) => (wrong, Some(at_work)),
            Err(_) => (vec!["a panic, see above".to_owned()], None),
        };
        if wrong.is_empty() {
            site = kept;
            continue;
        }
        total.caught += 1;
        let mut told = format!("{file_system:?}, round {round}, {cut:?}, STOWAGE_CRASH_SEED={seed}:");
        for line in wrong.iter().take(20) {
            told.push_str("\n  ");
            told.push_str(line);
        }
        assert!(mutant(), "{told}");
        note(&told);
    }
    let Total { cuts, acknowledged, deleted, pulled, caught, aimed, awaited, hit, rebuilt, longest_start } =
        total;
    tell(&format!(
        "{file_system:?}: {cuts} cuts, {acknowledged} acknowledged changes ({deleted} deletions), {pulled} pulls, {caught} rounds with something wrong, \
         {aimed} cut off at a dump, {hit} of {awaited} at a certain call, {rebuilt} made again of their dumps, longest start {} ms, {} s",
        longest_start.as_millis(),
        begun.elapsed().as_secs()
    ));
    assert!(rounds < ROUNDS || rebuilt > 0, "no store was made again");
    // Some kinds of cut are never timed for a dump, so this does not hold if only those were chosen.
    assert!(rounds < ROUNDS || only.is_some() || aimed > 0, "no cut came at a dump");
    assert!(awaited < AWAITED || hit > 0, "none of {awaited} calls came that were waited for");
    assert!(!mutant() || caught > 0, "the planted fault was not noticed");
}

impl Site {
    /// A new file system with a server on it, whose first start was cut off once before.
    fn new(file_system: FileSystem, dice: &mut Dice) -> Option<Self> {
        let image = Image::new(file_system, SMALL)?;
        let server = Stowage::launch(&image.data(), OFTEN);
        std::thread::sleep(Duration::from_micros(dice.below(600_000)));
        image.cut_power(Journal::Lost);
        server.kill();
        image.mount_again();
        let server = Stowage::start_with(&image.data(), OFTEN);
        let (ledger, dumps) = (Ledger::default(), Dumps::default());
        let site = Self { server: Some(server), ledger, dumps, image };
        tokens::make_owner(&site.socket());
        Some(site)
    }

    /// The admin socket of its server.
    fn socket(&self) -> PathBuf {
        self.image.data().join("admin.sock")
    }

    /// One load and its cut. Returns the problems found afterwards.
    fn round(&mut self, cut: Cut, thorough: bool, dice: &mut Dice, total: &mut Total) -> Vec<String> {
        let server = self.server.take().expect("it was started");
        let since = self.ledger.now();
        let (acknowledged, deleted, pulled) =
            (self.ledger.acknowledged, self.ledger.deleted, self.ledger.pulled);
        let (aimed, hit) = self.load(server, cut, dice);
        total.aimed += u64::from(aimed);
        total.awaited += u64::from(hit.is_some());
        total.hit += u64::from(hit == Some(true));
        total.acknowledged += self.ledger.acknowledged - acknowledged;
        total.deleted += self.ledger.deleted - deleted;
        total.pulled += self.ledger.pulled - pulled;
        cut.recover(&self.image, dice);

        let data = self.image.data();
        let checked = run("fsck", &["--deep", "--json"], &data);
        let report: Value = serde_json::from_str(&checked.stdout).unwrap_or_default();
        let mut wrong = Vec::new();
        if checked.code != Some(0) || report["ok"] != true {
            wrong.push(format!("fsck: {checked:?}"));
        }
        let into = (total.cuts % REBUILT_EVERY == REBUILT_EVERY - 1).then(|| self.image.rebuilt());
        let rebuilt = self.dumps.rebuilt;
        wrong.extend(self.dumps.judge(&data, into.as_deref()));
        total.rebuilt += self.dumps.rebuilt - rebuilt;
        let begun = Instant::now();
        let server = match Stowage::launch(&data, OFTEN).wait_for_answer() {
            Ok(server) => server,
            Err(ended) => {
                wrong.push(format!("the start: {ended:?}"));
                return wrong;
            }
        };
        let start = begun.elapsed();
        total.longest_start = total.longest_start.max(start);
        if start > START {
            wrong.push(format!("the start took {start:?}"));
        }
        let rows = report["data"]["checked"]["uploads"].as_u64().unwrap_or(0);
        // Leftovers of the previous run are removed while the server answers already.
        let uploads = data.join("uploads");
        let swept = Instant::now() + START;
        while count(&uploads) as u64 > rows && Instant::now() < swept {
            std::thread::sleep(Duration::from_millis(10));
        }
        let files = count(&uploads);
        if files as u64 > rows {
            wrong.push(format!("{files} files of uploads for {rows} rows"));
        }
        let since = if thorough { 0 } else { since };
        wrong.extend(judge((server.address, &self.socket()), &mut self.ledger, since, dice));
        self.server = Some(server);
        wrong
    }

    /// Runs the clients until the cut; returns whether the cut was timed for a dump, and whether the call was
    /// made for which it waited.
    fn load(&mut self, server: Stowage, cut: Cut, dice: &mut Dice) -> (bool, Option<bool>) {
        let ledger = Mutex::new(std::mem::take(&mut self.ledger));
        let [quiet, trouble, over] = [const { AtomicBool::new(false) }; 3];
        let (address, socket) = (server.address, &*self.socket());
        let load = Load { address, socket, ledger: &ledger, quiet: &quiet, trouble: &trouble, over: &over };
        let image = &self.image;
        let came = std::thread::scope(|scope| {
            for number in 0..CLIENTS {
                let client = Client::new(&load, number, Dice::new(dice.below(u64::MAX)));
                scope.spawn(move || client.work());
            }
            std::thread::sleep(Duration::from_micros(5_000 + dice.below(LOAD_US)));
            // If the server continues for a while, it needs work.
            if cut.strikes_at_once() && dice.below(2) == 0 {
                quiet.store(true, Ordering::SeqCst);
                std::thread::sleep(REST);
                Client::new(&load, CLIENTS, Dice::new(dice.below(u64::MAX))).last_words();
            }
            let aimed =
                cut.strikes_at_once() && dice.below(AIMED) == 0 && dumps::wait_for_one(&image.data(), dice);
            trouble.store(true, Ordering::SeqCst);
            let hit = catch_unwind(AssertUnwindSafe(|| cut.apply(image, server, dice)));
            // The clients must end, whatever happened to the cut.
            over.store(true, Ordering::SeqCst);
            (aimed, hit.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        self.ledger = ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
        came
    }
}
