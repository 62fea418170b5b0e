//! One round: threads with connections that begin at the same time, and the resources that the server used
//! meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep_until, timeout};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::operation::Operation;
use crate::process::{self, MemoryWatch};
use crate::target::Target;

/// A server counts as stuck this long after the end of a round.
const PATIENCE: Duration = Duration::from_mins(2);

/// The work of one connection in a round.
pub(crate) struct Driver {
    pub(crate) operation: Operation,
    /// When operations begin; `None`: each when the previous one is done.
    pub(crate) pace: Option<Pace>,
    /// Whether its operations are measured.
    pub(crate) measured: bool,
}

/// The times at which operations begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) first: Duration,
    pub(crate) every: Duration,
}

/// The results of a round.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// Operations that were measured.
    pub(crate) operations: u64,
    /// Operations a second.
    pub(crate) rate: f64,
    /// Megabytes of payload a second.
    pub(crate) megabytes: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// The longest operation.
    pub(crate) longest: Duration,
    /// Seconds of server CPU for an operation.
    pub(crate) cpu_per_operation: Option<f64>,
    /// Seconds of server CPU for a megabyte.
    pub(crate) cpu_per_megabyte: Option<f64>,
    /// Seconds of this process's CPU for an operation.
    pub(crate) client_per_operation: Option<f64>,
    /// The server's peak resident memory, in bytes.
    pub(crate) peak: Option<u64>,
}

/// A driver with its connection and its counts.
struct Seat {
    driver: Driver,
    connection: Connection,
    latencies: Vec<Duration>,
    bytes: u64,
    elapsed: Duration,
}

/// The barriers of all threads: ready, start, done, counted.
struct Gate {
    barrier: Barrier,
    /// Whether a thread has failed.
    broken: Arc<AtomicBool>,
}

/// Runs the lanes, each in a thread, for a while.
pub(crate) fn run(target: &Target, lanes: Vec<Vec<Driver>>, length: Duration) -> Result<Round, Failure> {
    let gate = Gate { barrier: Barrier::new(lanes.len() + 1), broken: Arc::default() };
    let own = std::process::id();
    thread::scope(|scope| {
        let gate = &gate;
        let threads: Vec<_> = lanes
            .into_iter()
            .map(|drivers| scope.spawn(move || lane(target, drivers, length, gate)))
            .collect();
        gate.barrier.wait();
        let memory = target.pid.map(MemoryWatch::begin);
        let before = (target.pid.and_then(process::cpu_time), process::cpu_time(own));
        gate.barrier.wait();
        gate.barrier.wait();
        let after = (target.pid.and_then(process::cpu_time), process::cpu_time(own));
        let peak = memory.and_then(MemoryWatch::end);
        gate.barrier.wait();
        let mut seats = Vec::new();
        for thread in threads {
            seats
                .extend(thread.join().map_err(|_| Failure("a thread of the load command panicked".into()))??);
        }
        let used = |before: Option<Duration>, after: Option<Duration>| Some(after?.saturating_sub(before?));
        Ok(sum_up(&seats, used(before.0, after.0), used(before.1, after.1), peak))
    })
}

fn lane(target: &Target, drivers: Vec<Driver>, length: Duration, gate: &Gate) -> Result<Vec<Seat>, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut seats = runtime.block_on(limited(length, sit_down(target, drivers)));
    if seats.is_err() {
        gate.broken.store(true, Ordering::Relaxed);
    }
    gate.barrier.wait();
    gate.barrier.wait();
    if let Ok(ready) = seats {
        seats = drive_all(&runtime, ready, length, gate);
    }
    gate.barrier.wait();
    gate.barrier.wait();
    let mut seats = seats?;
    runtime.block_on(limited(length, async {
        for seat in &mut seats {
            seat.driver
                .operation
                .verify(&mut seat.connection)
                .await
                .map_err(|error| error.during("check"))?;
        }
        Ok(())
    }))?;
    Ok(seats)
}

async fn limited<T>(length: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let limit = length + PATIENCE;
    let late = |_| Failure(format!("no end after {} s", limit.as_secs()));
    timeout(limit, work).await.map_err(late)?
}

/// Connects and warms up, one connection after the other.
async fn sit_down(target: &Target, drivers: Vec<Driver>) -> Result<Vec<Seat>, Failure> {
    let mut seats = Vec::new();
    for mut driver in drivers {
        let mut connection = Connection::open(target.address).await?;
        driver.operation.warm(&mut connection).await?;
        let latencies = Vec::with_capacity(1 << 16);
        seats.push(Seat { driver, connection, latencies, bytes: 0, elapsed: Duration::ZERO });
    }
    Ok(seats)
}

fn drive_all(
    runtime: &Runtime,
    seats: Vec<Seat>,
    length: Duration,
    gate: &Gate,
) -> Result<Vec<Seat>, Failure> {
    let start = Instant::now();
    runtime.block_on(limited(length, async {
        let tasks: Vec<_> = seats
            .into_iter()
            .map(|seat| tokio::spawn(drive(seat, start, length, Arc::clone(&gate.broken))))
            .collect();
        let mut seats = Vec::new();
        for task in tasks {
            seats.push(task.await.map_err(|error| Failure(error.to_string()))??);
        }
        Ok(seats)
    }))
}

async fn drive(
    mut seat: Seat,
    start: Instant,
    length: Duration,
    broken: Arc<AtomicBool>,
) -> Result<Seat, Failure> {
    let deadline = start + length;
    let mut begun = start + seat.driver.pace.map_or(Duration::ZERO, |pace| pace.first);
    while begun < deadline && !broken.load(Ordering::Relaxed) {
        if seat.driver.pace.is_some() {
            sleep_until(begun.into()).await;
        }
        match seat.driver.operation.run(&mut seat.connection).await {
            Ok(bytes) => seat.bytes += bytes,
            Err(failure) => {
                broken.store(true, Ordering::Relaxed);
                return Err(failure);
            }
        }
        let now = Instant::now();
        seat.latencies.push(now - begun);
        seat.elapsed = now - start;
        // A late response does not postpone the next request, so that its lateness counts there, too.
        begun = seat.driver.pace.map_or(now, |pace| begun + pace.every);
    }
    Ok(seat)
}

/// Adds up the connections, each over the time that it worked, because their last operations end at different
/// times.
fn sum_up(seats: &[Seat], server: Option<Duration>, client: Option<Duration>, peak: Option<u64>) -> Round {
    let mut latencies = Vec::new();
    let (mut rate, mut megabytes, mut moved) = (0.0, 0.0, 0.0);
    for seat in seats.iter().filter(|seat| seat.driver.measured) {
        let seconds = seat.elapsed.as_secs_f64().max(f64::EPSILON);
        rate += float(seat.latencies.len() as u64) / seconds;
        megabytes += float(seat.bytes) / 1e6 / seconds;
        moved += float(seat.bytes) / 1e6;
        latencies.extend_from_slice(&seat.latencies);
    }
    latencies.sort_unstable();
    let at = |percent: usize| {
        let rank = (latencies.len() * percent).div_ceil(100).max(1);
        latencies.get(rank - 1).copied().unwrap_or_default()
    };
    let operations = latencies.len() as u64;
    let each = |time: Option<Duration>| Some(time?.as_secs_f64() / float(operations.max(1)));
    Round {
        operations,
        rate,
        megabytes,
        p50: at(50),
        p99: at(99),
        longest: at(100),
        cpu_per_operation: each(server),
        cpu_per_megabyte: server.filter(|_| moved > 0.0).map(|time| time.as_secs_f64() / moved),
        client_per_operation: each(client),
        peak,
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
