//! The attacker's connections, all driven by one thread with non-blocking I/O.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_linger, set_socket_recv_buffer_size};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustls::ClientConfig;

use super::answer::Answer;
use super::wire::Wire;
use super::{Load, Then};

/// A connection that could not send for this long counts as having sent all that the server takes.
const STALLED: Duration = Duration::from_millis(500);
/// Connections that may wait for the server's `accept`. More than the backlog of its socket may be dropped.
const AHEAD: usize = 100;
/// After this time more connections are opened, although the server does not accept the waiting ones.
const BACK_OFF: Duration = Duration::from_secs(1);
/// The pause when no connection made progress.
const PAUSE: Duration = Duration::from_millis(10);

/// The outcome of a connection.
#[derive(Clone, Default)]
pub(super) struct Fate {
    /// The status of every response, in order.
    statuses: Vec<u16>,
    /// How often the server sent anything at all.
    pub(super) replies: usize,
    /// When the server closed it, counted from its start.
    closed: Option<Duration>,
}

impl Fate {
    /// Whether the server accepted the load: it still waits for more bytes, answered with success, or gave up
    /// after `given_up` without a response.
    pub(super) fn is_accepted(&self, refusals: &[u16], given_up: Option<Duration>) -> bool {
        match self.statuses.first() {
            None => self.closed.is_none_or(|after| given_up.is_some_and(|given_up| after >= given_up)),
            Some(status) => matches!(status, 200..=399 | 408) || refusals.contains(status),
        }
    }

    pub(super) fn statuses(&self) -> &[u16] {
        &self.statuses
    }

    pub(super) fn is_answered(&self) -> bool {
        self.replies > 0 || !self.statuses.is_empty()
    }

    pub(super) fn is_limited(&self) -> bool {
        self.statuses.iter().any(|status| matches!(status, 429 | 503))
    }

    /// The statuses of responses that mean that this was not the intended load.
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
            trickled: 0,
            moved: Instant::now(),
            since: Instant::now(),
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

    /// Drives all connections until it is stopped; returns their outcomes. `accepted` returns how many
    /// sockets the server has for them.
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
                let has_ended = connection.fate.closed.is_some() || connection.fate.is_answered();
                ended += usize::from(has_ended);
                came_back += usize::from(!has_ended && connection.is_closed_once());
            }
            drop(connections);
            self.ended.store(ended, Ordering::Relaxed);
            self.came_back.store(came_back, Ordering::Relaxed);
            // Sleeps, because the other cores' work is what is measured.
            std::thread::sleep(if moved { Duration::from_millis(1) } else { PAUSE });
        }
        // Connections that do not read look at the end what they were sent.
        self.lock()
            .iter_mut()
            .filter(|connection| matches!(connection.then, Then::Deaf))
            .for_each(Connection::hear);
        self.fates()
    }

    /// The number of connections that were answered or closed.
    pub(super) fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }

    pub(super) fn fates(&self) -> Vec<Fate> {
        self.lock().iter().map(|connection| connection.fate.clone()).collect()
    }

    /// The number of connections that the server closed.
    pub(super) fn closed(&self) -> usize {
        self.lock().iter().filter(|connection| connection.fate.closed.is_some()).count()
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
    /// Bytes of `first` that were sent.
    sent: usize,
    /// Bytes of the trickled part that were sent this time.
    trickled: usize,
    /// When bytes were last sent.
    moved: Instant,
    since: Instant,
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
            // With linger 0, closing leaves no port in TIME_WAIT.
            set_socket_linger(&socket, Some(Duration::ZERO)).expect("a socket option");
        }
        self.stream = Some(Wire::new(TcpStream::from(socket), self.tls.as_ref()));
        self.opened += 1;
        self.again = None;
        self.sent = 0;
        (self.since, self.moved) = (Instant::now(), Instant::now());
        self.answer = Answer::default();
    }

    /// Whether the server has closed it at least once; it is or will be opened again.
    fn is_closed_once(&self) -> bool {
        self.opened > 1 || self.again.is_some()
    }

    /// Reads the beginning of the response.
    fn hear(&mut self) {
        let before = self.fate.statuses.len();
        while self.fate.statuses.len() == before && self.answer.status == 0 && self.read() {}
        if self.fate.statuses.len() == before && self.answer.status != 0 {
            self.fate.statuses.push(self.answer.status);
        }
    }

    fn is_sent(&self) -> bool {
        // A connection that was answered sends again, and may have sent a part at any moment.
        if self.is_closed_once() || self.fate.is_answered() {
            return true;
        }
        let closed = self.fate.closed.is_some();
        let opened = self.stream.is_some() || closed;
        opened && (closed || self.sent == self.first.len() || self.moved.elapsed() > STALLED)
    }

    /// Sends and reads without blocking; returns whether there was progress.
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
            Then::Trickle(bytes, pause) if whole && (self.trickled > 0 || self.moved.elapsed() >= pause) => {
                &bytes[self.trickled..]
            }
            _ => &self.first[self.sent..],
        };
        if bytes.is_empty() {
            return false;
        }
        match stream.write(bytes) {
            Ok(written) => {
                if let Then::Trickle(bytes, _) = self.then
                    && whole
                {
                    self.trickled = (self.trickled + written) % bytes.len();
                } else {
                    self.sent += written;
                }
                if matches!(self.then, Then::End) && self.sent == self.first.len() {
                    stream.end();
                }
                self.moved = Instant::now();
                written > 0
            }
            Err(error) if is_patient(error.kind()) => false,
            // The server's response before it closed the connection must still be read.
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
        } else if matches!(self.then, Then::Replay)
            || (matches!(self.then, Then::Again) && !self.fate.statuses.is_empty())
        {
            self.open();
        } else {
            self.fate.closed = Some(self.since.elapsed());
        }
        true
    }
}

fn is_patient(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::NotConnected | ErrorKind::Interrupted)
}
