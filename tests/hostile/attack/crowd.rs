//! The attacker's connections, all driven by one thread that never waits for any of them.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_linger, set_socket_recv_buffer_size};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustls::ClientConfig;

use super::wire::Wire;
use super::{Load, Then};

/// How long a connection may take nothing before its first bytes count as sent as far as the server takes them.
const STALLED: Duration = Duration::from_millis(500);
/// Connections that may wait for the server's `accept`. What is above the backlog of its socket may never arrive.
const AHEAD: usize = 100;
/// After this time more are opened although the server does not accept those that wait.
const BACK_OFF: Duration = Duration::from_secs(1);
/// How long to pause when nothing moved.
const PAUSE: Duration = Duration::from_millis(10);

/// What became of a connection.
#[derive(Clone, Default)]
pub(super) struct Fate {
    /// Every status that was answered, in order.
    statuses: Vec<u16>,
    /// How often the server sent anything at all.
    pub(super) replies: usize,
    /// The server closed it.
    closed: bool,
}

impl Fate {
    /// The server took what was sent: it still waits for more, did it, or gave up in the end.
    pub(super) fn is_accepted(&self, refusals: &[u16]) -> bool {
        match self.statuses.first() {
            None => !self.closed,
            Some(status) => matches!(status, 200..=399 | 408) || refusals.contains(status),
        }
    }

    pub(super) fn has(&self, status: u16) -> bool {
        self.statuses.contains(&status)
    }

    pub(super) fn is_answered(&self) -> bool {
        self.replies > 0 || !self.statuses.is_empty()
    }

    pub(super) fn is_limited(&self) -> bool {
        self.statuses.iter().any(|status| matches!(status, 429 | 503))
    }

    /// Statuses that say that this was no load.
    pub(super) fn refusals(&self, right: &[u16]) -> impl Iterator<Item = u16> {
        let found = self.statuses.iter().copied();
        found.filter(|status| *status >= 400 && !matches!(status, 408 | 429 | 503) && !right.contains(status))
    }
}

pub(super) struct Crowd<'a> {
    connections: Mutex<Vec<Connection<'a>>>,
    stopped: AtomicBool,
    ended: AtomicUsize,
    came_back: AtomicUsize,
}

impl<'a> Crowd<'a> {
    pub(super) fn new(server: SocketAddr, load: &Load<'a>, from: impl Fn(usize) -> Ipv4Addr) -> Self {
        let made = (0..load.connections).map(|number| Connection {
            from: from(number),
            server,
            tls: load.tls.clone(),
            first: (load.sends)(number),
            then: load.then,
            stream: None,
            opened: 0,
            again: None,
            sent: 0,
            moved: Instant::now(),
            answer: Answer::default(),
            fate: Fate::default(),
        });
        Self {
            connections: Mutex::new(made.collect()),
            stopped: AtomicBool::new(false),
            ended: AtomicUsize::new(0),
            came_back: AtomicUsize::new(0),
        }
    }

    /// Drives all connections until it is stopped; returns what became of them. `accepted` tells how many sockets the
    /// server has for them.
    pub(super) fn drive(&self, accepted: impl Fn() -> usize) -> Vec<Fate> {
        let mut opened = 0;
        let mut last = Instant::now();
        while !self.stopped.load(Ordering::Relaxed) {
            let mut connections = self.lock();
            let mut moved = false;
            let (mut ended, mut came_back) = (0, 0);
            let arrived = accepted() + self.ended() + self.came_back.load(Ordering::Relaxed);
            if opened < connections.len() && (arrived + AHEAD > opened || last.elapsed() > BACK_OFF) {
                let more = (opened + AHEAD / 2).min(connections.len());
                connections[opened..more].iter_mut().for_each(Connection::open);
                (opened, last, moved) = (more, Instant::now(), true);
            }
            for connection in &mut connections[..opened] {
                moved |= connection.step();
                let has_ended = connection.fate.closed || connection.fate.is_answered();
                ended += usize::from(has_ended);
                came_back += usize::from(!has_ended && connection.is_closed_once());
            }
            drop(connections);
            self.ended.store(ended, Ordering::Relaxed);
            self.came_back.store(came_back, Ordering::Relaxed);
            // The other cores' work is what is measured.
            std::thread::sleep(if moved { Duration::from_millis(1) } else { PAUSE });
        }
        self.fates()
    }

    /// Connections that were answered or closed: the server no longer has them, or has done what they wanted.
    pub(super) fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }

    pub(super) fn fates(&self) -> Vec<Fate> {
        self.lock().iter().map(|connection| connection.fate.clone()).collect()
    }

    /// Connections that the server closed.
    pub(super) fn closed(&self) -> usize {
        self.lock().iter().filter(|connection| connection.fate.closed).count()
    }

    /// Waits until each connection has sent its first bytes, or as many of them as the server takes.
    pub(super) fn wait_until_sent(&self) {
        while !self.lock().iter().all(Connection::is_sent) {
            std::thread::sleep(PAUSE);
        }
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Stops it when the value is dropped, so that a failed test ends.
    pub(super) fn stop_on_drop(&self) -> impl Drop {
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        Stop(&self.stopped)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection<'a>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Connection<'a> {
    from: Ipv4Addr,
    server: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    first: Vec<u8>,
    then: Then<'a>,
    stream: Option<Wire>,
    /// How often it was opened.
    opened: usize,
    /// When it is to be opened again.
    again: Option<Instant>,
    /// Bytes of `first` that were taken.
    sent: usize,
    /// When something was last sent.
    moved: Instant,
    answer: Answer,
    fate: Fate,
}

impl Connection<'_> {
    fn open(&mut self) {
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::NONBLOCK, None);
        let socket = socket.expect("a socket");
        if matches!(self.then, Then::Deaf) {
            set_socket_recv_buffer_size(&socket, 4096).expect("a socket option");
        }
        bind(&socket, &SocketAddr::from((self.from, 0))).expect("every address of the network is ours");
        match connect(&socket, &self.server) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => panic!("connecting from {}: {error}", self.from),
        }
        if matches!(self.then, Then::Replay) {
            // Closing then leaves no port behind that cannot be used for a minute.
            set_socket_linger(&socket, Some(Duration::ZERO)).expect("a socket option");
        }
        self.stream = Some(Wire::new(TcpStream::from(socket), self.tls.as_ref()));
        self.opened += 1;
        self.again = None;
        self.sent = 0;
        self.moved = Instant::now();
        self.answer = Answer::default();
    }

    /// The server has closed it, and it came back or will.
    fn is_closed_once(&self) -> bool {
        self.opened > 1 || self.again.is_some()
    }

    fn is_sent(&self) -> bool {
        if self.is_closed_once() {
            return true;
        }
        let opened = self.stream.is_some() || self.fate.closed;
        opened && (self.fate.closed || self.sent == self.first.len() || self.moved.elapsed() > STALLED)
    }

    /// Sends and reads what goes without waiting; whether anything moved.
    fn step(&mut self) -> bool {
        if self.again.is_some_and(|again| again <= Instant::now()) {
            self.open();
        }
        let sent = self.send();
        let read = !matches!(self.then, Then::Deaf) && self.read();
        sent || read
    }

    fn send(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let whole = self.sent == self.first.len();
        let bytes = match self.then {
            Then::Trickle(bytes, pause) if whole && self.moved.elapsed() >= pause => bytes,
            _ => &self.first[self.sent..],
        };
        if bytes.is_empty() {
            return false;
        }
        match stream.write(bytes) {
            Ok(written) => {
                self.sent += if whole { 0 } else { written };
                if matches!(self.then, Then::End) && self.sent == self.first.len() {
                    stream.end();
                }
                self.moved = Instant::now();
                written > 0
            }
            Err(error) if is_patient(error.kind()) => false,
            // What the server said before it closed the connection is still to be read.
            Err(_) if matches!(self.then, Then::Deaf) => self.close(),
            Err(_) => false,
        }
    }

    fn read(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let mut buffer = [0; 16 << 10];
        match stream.read(&mut buffer) {
            Ok(0) => self.close(),
            Ok(_) if matches!(self.then, Then::Replay) => {
                self.fate.replies += 1;
                self.open();
                true
            }
            Ok(read) => {
                let again = matches!(self.then, Then::Again);
                for status in self.answer.take(&buffer[..read]) {
                    self.fate.statuses.push(status);
                    self.sent = if again { 0 } else { self.sent };
                }
                true
            }
            Err(error) if is_patient(error.kind()) => false,
            Err(_) => self.close(),
        }
    }

    fn close(&mut self) -> bool {
        let answered = std::mem::take(&mut self.answer).until_closed();
        self.fate.statuses.extend(answered);
        self.stream = None;
        if let Then::Return(pause) = self.then {
            self.again = Some(Instant::now() + pause);
        } else if matches!(self.then, Then::Replay) {
            self.open();
        } else if matches!(self.then, Then::Again) && !self.fate.statuses.is_empty() {
            self.open();
        } else {
            self.fate.closed = true;
        }
        true
    }
}

fn is_patient(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::NotConnected | ErrorKind::Interrupted)
}

/// The answers on a connection, as far as they came.
#[derive(Default)]
struct Answer {
    head: Vec<u8>,
    status: u16,
    body: Rest,
}

/// What of an answer is still to come.
#[derive(Default)]
enum Rest {
    #[default]
    Head,
    Bytes(u64),
    /// Up to the last chunk; the last bytes that came.
    Chunks(Vec<u8>),
    /// Up to the end of the connection.
    All,
}

impl Answer {
    /// Takes what came and returns the status of each answer that is whole.
    fn take(&mut self, mut bytes: &[u8]) -> Vec<u16> {
        let mut whole = Vec::new();
        while !bytes.is_empty() {
            match &mut self.body {
                Rest::Head => {
                    self.head.push(bytes[0]);
                    bytes = &bytes[1..];
                    if self.head.ends_with(b"\r\n\r\n") {
                        self.begin();
                    }
                }
                Rest::Bytes(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= taken as u64;
                    bytes = &bytes[taken..];
                }
                Rest::Chunks(last) => {
                    last.push(bytes[0]);
                    bytes = &bytes[1..];
                    if last.ends_with(b"\r\n0\r\n\r\n") || *last == b"0\r\n\r\n" {
                        self.body = Rest::Bytes(0);
                    } else if last.len() > 64 {
                        last.drain(..32);
                    }
                }
                Rest::All => break,
            }
            if matches!(self.body, Rest::Bytes(0)) {
                whole.push(self.status);
                *self = Self::default();
            }
        }
        whole
    }

    /// Reads a whole head.
    fn begin(&mut self) {
        let head = String::from_utf8_lossy(&std::mem::take(&mut self.head)).to_ascii_lowercase();
        self.status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(999);
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        self.body = match length.and_then(|length| length.trim().parse().ok()) {
            _ if self.status == 100 => Rest::Head,
            _ if matches!(self.status, 204 | 304) => Rest::Bytes(0),
            Some(length) => Rest::Bytes(length),
            None if head.contains("transfer-encoding: chunked") => Rest::Chunks(Vec::new()),
            None => Rest::All,
        };
    }

    /// The status of an answer that the end of the connection ends, or cuts off.
    fn until_closed(self) -> Option<u16> {
        (!matches!(self.body, Rest::Head)).then_some(self.status)
    }
}
