//! Wrong sign-ins cost the server little, and guessing takes an attacker long.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::net::sockopt::set_socket_linger;
use serde_json::json;

use crate::support::TestStowage;

#[test]
fn after_twenty_wrong_passwords_a_name_waits_and_another_user_does_not_notice_with_a_known_header() {
    let server = TestStowage::with_sign_in();
    let admin = server.admin();
    admin.get("/v2/").expect(200);
    let mut refused = 0;
    for guess in 0..25 {
        let response = server.client().basic("admin", &format!("guess number {guess}")).get("/v2/");
        if response.status == 429 {
            refused += 1;
            assert_eq!(response.code(), "TOOMANYREQUESTS");
            assert!(response.header("retry-after").unwrap().parse::<u64>().unwrap() <= 6);
        }
    }
    assert!(refused >= 4, "{refused}");
    admin.get("/v2/").expect(200);
}

#[test]
fn a_wrong_password_with_a_document_is_one_guess() {
    let server = TestStowage::with_sign_in();
    let json = [("Content-Type", "application/json")];
    // Fewer guesses than a name has, and more than half of them.
    for guess in 0..16 {
        let client = server.client().basic("admin", &format!("guess number {guess}"));
        client.send("POST", "/api/v1/users", &json, b"{}").expect(401);
    }
}

#[test]
fn a_verified_header_is_not_hashed_again() {
    let server = TestStowage::with_sign_in();
    let admin = server.admin();
    admin.get("/v2/").expect(200);
    let started = Instant::now();
    for _ in 0..100 {
        admin.get("/v2/").expect(200);
    }
    assert!(started.elapsed().as_secs_f64() < 2.0, "{:?}", started.elapsed());
}

#[test]
fn guesses_from_elsewhere_do_not_keep_a_user_from_signing_in_where_it_did_before() {
    let server = TestStowage::with_sign_in();
    let admin = server.admin();
    let from = |address: &str, name: &str, password: &str| {
        let forwarded = [("X-Forwarded-For", address)];
        server.client().basic(name, password).send("GET", "/v2/", &forwarded, b"").status
    };
    let add = json!({"name": "hanna", "password": "the first password"}).to_string();
    let json = [("Content-Type", "application/json")];
    admin.send("POST", "/api/v1/users", &json, add.as_bytes()).expect(201);
    assert_eq!(from("192.0.2.1", "hanna", "the first password"), 200);
    let guess = |number: usize| from(&format!("198.51.100.{number}"), "hanna", "a wrong password");
    // The new password is not cached, so it must be verified.
    let change = json!({"password": "the second password"}).to_string();
    admin.send("PATCH", "/api/v1/users/hanna", &json, change.as_bytes()).expect(200);
    assert!((1..100).any(|number| guess(number) == 429), "no guess was refused");
    assert_eq!(from("192.0.2.1", "hanna", "the second password"), 200);
}

#[test]
fn guesses_whose_connection_is_reset_before_the_answer_count_as_wrong_ones() {
    // More attempts than are verified of one name at once.
    const ABORTED: usize = 25;
    let server = TestStowage::with_sign_in();
    let guess = |number: usize| {
        let mut stream = server.client().connect();
        set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        let guess = STANDARD.encode(format!("hanna:aborted guess {number}"));
        // The server keeps reading for the announced body, and so notices the reset while it verifies the
        // password.
        let head = format!(
            "GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {guess}\r\nContent-Length: 9\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let abort = |round: usize| {
        let streams: Vec<_> = (0..ABORTED).map(|number| guess(round * ABORTED + number)).collect();
        // By then most heads were read, and few passwords verified. Attempts that were read count in either
        // case.
        let mut last = streams.last().unwrap();
        last.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let _answered = last.read(&mut [0]);
    };
    // A reset that arrives before its request aborts nothing, so there are several rounds: all of their other
    // attempts together are below the limit.
    let refused = (0..10).any(|round| {
        abort(round);
        let guess = server.client().basic("hanna", &format!("guess {round}")).get("/v2/");
        assert!(matches!(guess.status, 401 | 429), "{}", guess.status);
        guess.status == 429
    });
    assert!(refused, "guesses that were aborted were not counted");
}
