//! The soak test: ten minutes of clients that push, pull, delete, restore and collect, with four `kill -9`;
//! after each of them the oracle of the crash test checks all that was acknowledged. It is not part of `cargo
//! test`; `docs/reliability.md` says how to run it, and has its results.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::dice::{Dice, told_or_new};
use crate::ledger::{Done, Ledger};
use crate::oracle::judge;
use crate::process::{Stowage, fsck, memory_mib, note};
use crate::workload::{Client, Load};
use crate::{quiescence, tokens};

const CLIENTS: u64 = 4;
const KILLS: u32 = 4;
const LASTS: Duration = Duration::from_mins(10);
/// The most memory that the server may use.
const MEMORY_MIB: u64 = 200;

/// The duration: seconds in `STOWAGE_SOAK_S`, or ten minutes.
fn lasts() -> Duration {
    let told = std::env::var("STOWAGE_SOAK_S").ok();
    told.map_or(LASTS, |text| Duration::from_secs(text.parse().expect("a number of seconds")))
}

/// The result of a load.
struct Came {
    ledger: Ledger,
    /// The server, if it was not killed.
    server: Option<Stowage>,
    peak_mib: u64,
    least_mib: u64,
}

#[test]
#[ignore = "it takes ten minutes"]
fn four_clients_and_four_kills_in_ten_minutes_lose_nothing() {
    let mut dice = Dice::new(told_or_new("STOWAGE_SOAK_SEED"));
    let place = TempDir::new().expect("a directory");
    let data = place.path().join("data");
    let mut server = Stowage::start(&data);
    tokens::make_owner(&data.join("admin.sock"));
    let mut ledger = Ledger::default();
    let (mut peak, mut least, mut starts) = (0, u64::MAX, Vec::new());
    for phase in 0..=KILLS {
        let since = ledger.now();
        // The kills must not coincide with work that the server does by the clock.
        let length = lasts() / (KILLS + 1);
        let length = length * 3 / 4
            + length.mul_f64(f64::from(u32::try_from(dice.below(500)).expect("small")) / 1000.0);
        let came = load(server, &data, ledger, length, phase < KILLS, &mut dice);
        ledger = came.ledger;
        (peak, least) = (peak.max(came.peak_mib), least.min(came.least_mib));
        if let Some(server) = came.server {
            server.stop();
        }
        let (_, wrong) = fsck(&data);
        assert!(wrong.is_none(), "phase {phase}: {wrong:?}");
        let begun = Instant::now();
        server = Stowage::start(&data);
        starts.push(begun.elapsed());
        let since = if phase == KILLS { 0 } else { since };
        let wrong = judge((server.address, &data.join("admin.sock")), &mut ledger, since, &mut dice);
        assert!(wrong.is_empty(), "phase {phase}:\n{}", wrong.join("\n"));
        note(&format!("phase {phase}: {} so far, {least} to {peak} MiB", ledger.done));
    }
    let (wrong, _) = quiescence::judge(server, &data, &mut ledger);
    assert!(wrong.is_empty(), "at rest:\n{}", wrong.join("\n"));
    let Done { deleted, restored, pulled, collected, scrubbed, .. } = ledger.done;
    let did = [deleted, restored, pulled, collected, scrubbed];
    assert!(did.iter().all(|did| *did > 0), "the clients did not do everything: {}", ledger.done);
    assert!(peak < MEMORY_MIB, "{peak} MiB");
    note(&format!(
        "{} s, {KILLS} kills: {}, nothing wrong; {least} to {peak} MiB, longest start {:?}",
        lasts().as_secs(),
        ledger.done,
        starts.iter().max().expect("starts")
    ));
}

/// Runs the clients for a while, with `kill -9` in the middle, or a graceful stop at the end.
fn load(server: Stowage, data: &Path, ledger: Ledger, length: Duration, kill: bool, dice: &mut Dice) -> Came {
    let ledger = Mutex::new(ledger);
    let [quiet, trouble, over] = [const { AtomicBool::new(false) }; 3];
    let (address, socket) = (server.address, &*data.join("admin.sock"));
    let load = Load { address, socket, ledger: &ledger, quiet: &quiet, trouble: &trouble, over: &over };
    let (server, least_mib, peak_mib) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let client = Client::new(&load, number, Dice::new(dice.below(u64::MAX)));
                scope.spawn(move || client.work())
            })
            .collect();
        let tidying = Client::new(&load, CLIENTS, Dice::new(dice.below(u64::MAX)));
        let tidying = scope.spawn(move || tidying.tidy());
        let begun = Instant::now();
        let mut least = u64::MAX;
        while begun.elapsed() < length && clients.iter().all(|client| !client.is_finished()) {
            std::thread::sleep(Duration::from_secs(1).min(length));
            least = least.min(memory_mib(server.id(), "VmRSS:"));
        }
        let peak = server.peak_memory_mib();
        let server = if kill {
            trouble.store(true, Ordering::SeqCst);
            server.kill();
            over.store(true, Ordering::SeqCst);
            None
        } else {
            over.store(true, Ordering::SeqCst);
            Some(server)
        };
        for client in clients.into_iter().chain([tidying]) {
            client.join().expect("a client found nothing wrong");
        }
        (server, least, peak)
    });
    Came { ledger: ledger.into_inner().unwrap_or_else(PoisonError::into_inner), server, peak_mib, least_mib }
}
