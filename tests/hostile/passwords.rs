//! Floods of wrong passwords.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::attack::{Flood, Load, PASSWORD, Site, Tally, Then, Who};
use crate::load::push_and_pull;
use crate::process::note;
use crate::support::Client;
use crate::support::client::read_response;

/// Connections that guess passwords.
const GUESSERS: usize = 500;
/// Threads that drive them.
const THREADS: usize = 10;

/// The minimum duration of the flood: seconds in `STOWAGE_FLOOD_S`.
fn duration() -> Duration {
    let seconds = std::env::var("STOWAGE_FLOOD_S").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

/// Guesses over several connections, one guess after the other on each.
fn guess(mut streams: Vec<(usize, BufReader<TcpStream>)>, goes_on: impl Fn() -> bool, tally: &Tally) {
    static GUESS: AtomicUsize = AtomicUsize::new(0);
    let mut round = 0;
    while round < 2 || goes_on() {
        round += 1;
        for (number, stream) in &mut streams {
            let guess = GUESS.fetch_add(1, Ordering::Relaxed);
            let wrong = STANDARD.encode(format!("user-{number}:guess {guess}"));
            let request = format!("GET /token HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {wrong}\r\n\r\n");
            stream.get_mut().write_all(request.as_bytes()).expect("it is sent");
        }
        for (_, stream) in &mut streams {
            tally.tell(read_response(stream, false).status);
        }
    }
}

/// A flood of guesses by `from`, while a client with cached credentials works.
fn flood(
    name: &str,
    site: &Site,
    from: impl Fn(usize) -> Client + Sync,
    beside: impl Fn(&Client, usize) + Sync,
) {
    let known = site.server.client().basic("admin", PASSWORD);
    known.get("/token?service=stowage").expect(200);
    let started = Instant::now();
    let flood = Flood {
        name,
        senders: THREADS + 1,
        // Most meet a limit, because few attempts of one address or of one name are verified.
        accepted: 1,
        refusals: &[401],
        work: &|sender, tally| {
            let goes_on = || tally.goes_on() || started.elapsed() < duration();
            if sender < THREADS {
                let numbers = (sender..GUESSERS).step_by(THREADS);
                let connect = |number| (number, BufReader::new(from(number).connect()));
                return guess(numbers.map(connect).collect(), goes_on, tally);
            }
            for round in 0.. {
                if round > 1 && !goes_on() {
                    return;
                }
                beside(&known, round);
            }
        },
    };
    let outcome = site.flooded(&flood);
    outcome.assert_held();
    let answered = outcome.answered(401) + outcome.answered(429);
    assert!(answered >= 2 * GUESSERS, "{answered} guesses were answered");
    note(&format!("{answered} guesses were answered in {:?}", started.elapsed()));
    site.server.assert_at_rest();
}

#[test]
fn who_is_known_pushes_and_pulls_beside_five_hundred_connections_of_one_address_that_guess() {
    let site = Site::start(Who::Stranger, "");
    let from = |_| site.server.client();
    flood("passwords guessed from one address", &site, from, |known, round| {
        push_and_pull(known, &format!("round-{round}"));
        // Even from the attacker's own address, a cached password is not refused.
        known.get("/token?service=stowage&scope=repository:team/app:pull").expect(200);
    });
    // Nor is a name that signed in from there before and has a new password now: behind a proxy that is not
    // trusted, all users come from one address.
    let (name, password) = ("admin", "another-harbour-and-crane");
    let changed = site.server.command(&["user", "passwd", name, "--password-stdin"], password);
    assert!(changed.status.success(), "{changed:?}");
    let guess =
        |number: usize| site.server.client().basic(&format!("guess-{number}"), password).get("/v2/").status;
    // All at once: on a slow machine, an address may make another attempt by the time that one was answered.
    let heard = thread::scope(|scope| {
        let guesses: Vec<_> = (0..100).map(|number| scope.spawn(move || guess(number))).collect();
        guesses.into_iter().all(|guess| guess.join().expect("a guess") != 429)
    });
    assert!(!heard, "a hundred guesses of that address were heard");
    site.server.client().basic(name, password).get("/v2/").expect(200);
}

#[test]
fn passwords_guessed_from_five_hundred_addresses_cost_bounded_memory_and_nobody_who_is_known() {
    let site = Site::start(Who::Stranger, "");
    let ci = site.server.client().basic("ci", &site.server.add_user("ci"));
    flood(
        "passwords guessed from 500 addresses",
        &site,
        |number| site.stranger(number),
        |known, round| {
            push_and_pull(known, &format!("round-{round}"));
            // A token needs no hash, so it does not wait for passwords.
            ci.get("/v2/").expect(200);
        },
    );
}

#[test]
fn a_token_of_a_user_whose_password_is_guessed_still_works() {
    let site = Site::start(Who::User, "");
    let token = site.attacker.clone();
    for guess in 0..30 {
        let status = site.server.client().basic("mallory", &format!("guess {guess}")).get("/v2/").status;
        assert!(matches!(status, 401 | 429), "{status}");
    }
    site.server.client().basic("mallory", PASSWORD).get("/v2/").expect_error(429, "TOOMANYREQUESTS");
    token.get("/v2/").expect(200);
    token.get("/token?service=stowage").expect(200);
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
