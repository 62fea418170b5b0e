//! Floods of wrong passwords.

use std::io::{BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::attack::{Load, Site, Then, Who, alone};
use crate::load::push_and_pull;
use crate::process::{Setup, Stowage, note};
use crate::support::Client;
use crate::support::client::read_response;

const PASSWORD: &str = "harbour-crane-and-rope";
/// Connections that guess.
const GUESSERS: usize = 500;

/// How long the flood lasts: seconds in `STOWAGE_FLOOD_S`, or as long as a test may take that is run often.
fn duration() -> Duration {
    let seconds = std::env::var("STOWAGE_FLOOD_S").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(5))
}

fn server() -> Stowage {
    // Every request would leave a line.
    Stowage::start(&Setup { password: Some(PASSWORD), level: "info,stowage::access=off", ..Setup::default() })
}

/// A connection from an address of its own, as far as the loopback network has them.
fn connect_from(number: usize, spread: bool, to: SocketAddr) -> TcpStream {
    let low = u8::try_from(number % 250).expect("small") + 1;
    let high = u8::try_from(number / 250).expect("small") + 1;
    let from = if spread { Ipv4Addr::new(127, 1, high, low) } else { Ipv4Addr::LOCALHOST };
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::new(IpAddr::V4(from), 0)).expect("every address of the network is ours");
    connect(&socket, &to).expect("the server accepts");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a socket option");
    stream
}

/// Guesses over many connections until `stop`, one guess after the other; returns how many were answered.
fn guess(server: &Stowage, spread: bool, stop: &AtomicBool) -> u64 {
    let answered = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for part in 0..10 {
            let answered = &answered;
            scope.spawn(move || {
                let numbers = (part..GUESSERS).step_by(10);
                let mut streams: Vec<_> = numbers
                    .map(|number| (number, BufReader::new(connect_from(number, spread, server.address))))
                    .collect();
                while !stop.load(Ordering::Relaxed) {
                    for (number, stream) in &mut streams {
                        let guess = answered.load(Ordering::Relaxed);
                        let wrong = STANDARD.encode(format!("user-{number}:guess {guess}"));
                        let request =
                            format!("GET /token HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {wrong}\r\n\r\n");
                        stream.get_mut().write_all(request.as_bytes()).expect("it is sent");
                    }
                    for (_, stream) in &mut streams {
                        let status = read_response(stream, false).status;
                        assert!(matches!(status, 401 | 429), "{status}");
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        }
    });
    answered.into_inner()
}

/// Sets `stop` when it is dropped, so that a failed test ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A flood, and what a client that is known does beside it.
fn flood(server: &Stowage, spread: bool, beside: impl Fn(&Client, u64)) {
    let known = server.client().basic("admin", PASSWORD);
    known.get("/token?service=stowage").expect(200);
    let stop = AtomicBool::new(false);
    let answered = std::thread::scope(|scope| {
        let flood = scope.spawn(|| guess(server, spread, &stop));
        let stopped = Stop(&stop);
        let started = Instant::now();
        let mut round = 0;
        while started.elapsed() < duration() {
            beside(&known, round);
            round += 1;
            std::thread::sleep(Duration::from_millis(300));
        }
        drop(stopped);
        flood.join().expect("every guess was answered")
    });
    note(&format!("{answered} guesses were answered in {:?}", duration()));
    server.assert_small();
    server.assert_at_rest();
}

#[test]
fn who_is_known_pushes_and_pulls_beside_five_hundred_connections_of_one_address_that_guess() {
    let _turn = alone();
    let server = server();
    flood(&server, false, |known, round| {
        push_and_pull(known, &format!("round-{round}"));
        // Not even from the guessers' own address is a password that was right a moment ago refused.
        known.get("/token?service=stowage&scope=repository:team/app:pull").expect(200);
    });
}

#[test]
fn passwords_guessed_from_five_hundred_addresses_cost_bounded_memory_and_nobody_who_is_known() {
    let _turn = alone();
    let server = server();
    let made = server.command(&["token", "create", "admin", "--name", "ci", "--scopes", "read_registry"], "");
    assert!(made.status.success(), "{made:?}");
    let token = String::from_utf8(made.stdout).unwrap();
    let ci = server.client().basic("admin", token.trim());
    flood(&server, true, |known, round| {
        push_and_pull(known, &format!("round-{round}"));
        // A token needs no hash: it is not in anybody's way, and nobody in its.
        ci.get("/v2/").expect(200);
    });
}

#[test]
fn a_token_of_a_user_whose_password_is_guessed_still_works() {
    let _turn = alone();
    let server = server();
    let made = server.command(&["token", "create", "admin", "--name", "ci", "--scopes", "read_registry"], "");
    let token = String::from_utf8(made.stdout).unwrap();
    for guess in 0..30 {
        let status = server.client().basic("admin", &format!("guess {guess}")).get("/v2/").status;
        assert!(matches!(status, 401 | 429), "{status}");
    }
    server.client().basic("admin", PASSWORD).get("/v2/").expect_error(429, "TOOMANYREQUESTS");
    server.client().basic("admin", token.trim()).get("/v2/").expect(200);
    server.client().basic("admin", token.trim()).get("/token?service=stowage").expect(200);
}

#[test]
fn tokens_that_nobody_was_given_are_refused_by_the_thousand() {
    let site = Site::start(Who::Stranger, "");
    let load = Load {
        name: "made-up tokens",
        connections: 200,
        accepted: 200,
        sends: &|number| {
            let token = format!("Bearer {}", "x".repeat(100 + number));
            site.head("GET", "/v2/team/app/tags/list", &[("Authorization", &token)])
        },
        then: Then::Again,
        refusals: &[401],
        ..Load::default()
    };
    let outcome = site.until_answered(&load);
    outcome.assert_held();
    assert_eq!(outcome.answered(401), 200);
    site.server.assert_at_rest();
}
