//! The rounds: load, cut, check, start, and the oracle.

use std::fmt;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cut::Cut;
use crate::dice::{Dice, told_or_new};
use crate::dumps::{self, Dumps};
use crate::image::{FileSystem, Image, Journal, SMALL, count};
use crate::ledger::{Done, Ledger};
use crate::oracle::judge;
use crate::process::{Stowage, fsck, note};
use crate::store::{Contents, PROMISES_S, SETTINGS, pass_time};
use crate::workload::{CLIENTS, Client, Load};
use crate::{quiescence, tokens};

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
/// Before one in this many rounds all promises are over, so that much can be collected.
const AGED: u64 = 2;
/// Of so many last requests, which are sent while the clients pause, all but one collect garbage when much
/// can be collected, and otherwise only one does.
const COLLECTED: u64 = 4;
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
        feature = "mutant-no-unlink-sync",
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
    done: Done,
    /// Stores that were compared with the ledger at rest, and files of pushes that were cut off in them.
    rested: u64,
    strays: u64,
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
    tell(&format!("{file_system:?}: {total}, {} s", begun.elapsed().as_secs()));
    assert!(!mutant() || total.caught > 0, "the planted fault was not noticed");
    assert!(rounds < ROUNDS || mutant() || total.is_everything(), "something was not done");
    // Some kinds of cut are never timed for a dump, so this does not hold if only those were chosen.
    assert!(rounds < ROUNDS || only.is_some() || total.aimed > 0, "no cut came at a dump");
    assert!(total.awaited < AWAITED || total.hit > 0, "none of the calls came that were waited for");
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cuts, done, rested, strays, caught, aimed, awaited, hit, rebuilt, longest_start } = self;
        write!(f, "{cuts} cuts, {done}, {caught} rounds with something wrong, {aimed} cut off at a dump, ")?;
        write!(f, "{hit} of {awaited} at a certain call, {rebuilt} made again of their dumps, ")?;
        write!(f, "{rested} compared at rest ({strays} files of pushes that were cut off), ")?;
        write!(f, "longest start {} ms", longest_start.as_millis())
    }
}

impl Total {
    /// Whether everything was done at least once that must be tested.
    const fn is_everything(&self) -> bool {
        let Done { restored, collected, scrubbed, .. } = self.done;
        self.rebuilt > 0 && restored > 0 && collected > 0 && scrubbed > 0 && self.rested > 0
    }
}

impl Site {
    /// A new file system with a server on it, whose first start was cut off once before.
    fn new(file_system: FileSystem, dice: &mut Dice) -> Option<Self> {
        let image = Image::new(file_system, SMALL)?;
        let server = Stowage::launch(&image.data(), SETTINGS);
        std::thread::sleep(Duration::from_micros(dice.below(600_000)));
        image.cut_power(Journal::Lost);
        server.kill();
        image.mount_again();
        let server = Stowage::start_with(&image.data(), SETTINGS);
        let (ledger, dumps) = (Ledger::default(), Dumps::default());
        let site = Self { server: Some(server), ledger, dumps, image };
        tokens::make_owner(&site.socket());
        Some(site)
    }

    /// The admin socket of its server.
    fn socket(&self) -> PathBuf {
        self.image.data().join("admin.sock")
    }

    /// Lets promises end between two loads. Returns files without a row that should not be there.
    fn age(&mut self, server: Stowage) -> (Stowage, Vec<String>) {
        let data = self.image.data();
        server.stop();
        pass_time(&data, PROMISES_S);
        self.ledger.age();
        let strays = quiescence::strays(&Contents::of(&data), &self.ledger);
        (Stowage::start_with(&data, SETTINGS), strays)
    }

    /// One load and its cut. Returns the problems found afterwards.
    fn round(&mut self, cut: Cut, thorough: bool, dice: &mut Dice, total: &mut Total) -> Vec<String> {
        let mut server = self.server.take().expect("it was started");
        let since = self.ledger.now();
        let mut wrong = Vec::new();
        let is_aged = dice.below(AGED) == 0;
        if is_aged {
            (server, wrong) = self.age(server);
        }
        let (aimed, hit) = self.load(server, (cut, is_aged), dice);
        total.aimed += u64::from(aimed);
        total.awaited += u64::from(hit.is_some());
        total.hit += u64::from(hit == Some(true));
        cut.recover(&self.image, dice);

        let data = self.image.data();
        let (report, found) = fsck(&data);
        wrong.extend(found);
        let into = (total.cuts % REBUILT_EVERY == REBUILT_EVERY - 1).then(|| self.image.rebuilt());
        let rebuilt = self.dumps.rebuilt;
        wrong.extend(self.dumps.judge(&data, into.as_deref(), &self.ledger));
        total.rebuilt += self.dumps.rebuilt - rebuilt;
        let begun = Instant::now();
        let server = match Stowage::launch(&data, SETTINGS).wait_for_answer() {
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
        if thorough && wrong.is_empty() {
            total.rested += 1;
            let (found, strays) = quiescence::judge(server, &data, &mut self.ledger);
            wrong.extend(found);
            total.strays += strays;
        } else {
            self.server = Some(server);
        }
        total.done.add(std::mem::take(&mut self.ledger.done));
        wrong
    }

    /// Runs the clients until the cut; returns whether the cut was timed for a dump, and whether the call was
    /// made for which it waited.
    fn load(
        &mut self,
        server: Stowage,
        (cut, is_aged): (Cut, bool),
        dice: &mut Dice,
    ) -> (bool, Option<bool>) {
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
            let tidying = Client::new(&load, CLIENTS, Dice::new(dice.below(u64::MAX)));
            scope.spawn(move || tidying.tidy());
            std::thread::sleep(Duration::from_micros(5_000 + dice.below(LOAD_US)));
            // If the server continues for a while, it needs work.
            let mut collects = false;
            if cut.strikes_at_once() && dice.below(2) == 0 {
                quiet.store(true, Ordering::SeqCst);
                std::thread::sleep(REST);
                let client = Client::new(&load, CLIENTS, Dice::new(dice.below(u64::MAX)));
                collects = (dice.below(COLLECTED) == 0) != is_aged;
                if collects { client.last_collection() } else { client.last_words() }
            }
            // A dump syncs directories as well.
            let may_aim = cut.strikes_at_once() && !collects;
            let aimed = may_aim && dice.below(AIMED) == 0 && dumps::wait_for_one(&image.data(), dice);
            trouble.store(true, Ordering::SeqCst);
            let hit = catch_unwind(AssertUnwindSafe(|| cut.apply(image, server, dice)));
            // The clients must end, whatever happened to the cut.
            over.store(true, Ordering::SeqCst);
            (aimed, hit.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        self.ledger = ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
        if cut == Cut::PowerOfFullDisk {
            // A server whose disk is full empties the trash by itself.
            self.ledger.note_emptied();
        }
        came
    }
}
