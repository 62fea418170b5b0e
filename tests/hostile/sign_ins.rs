//! Floods of credentials that are good: the server remembers whom it verified a moment ago within bounds, and makes nobody
//! pay for what another does.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stowage::auth::{LONGEST_REMEMBERED, MAX_SCOPES, MOST_REMEMBERED};

use crate::load::{alone, push_and_pull};
use crate::process::{Setup, Stowage};
use crate::support::Response;
use crate::support::client::read_response;

const PASSWORD: &str = "harbour-crane-and-rope";
/// More than are remembered.
const FLOOD: usize = MOST_REMEMBERED + 100;
/// Connections that flood at once.
const CONNECTIONS: usize = 4;

fn server() -> Stowage {
    // Every request would leave a line.
    let server = Stowage::start(&Setup {
        password: Some(PASSWORD),
        level: "info,stowage::access=off",
        ..Setup::default()
    });
    let made = server.command(&["user", "add", "hanna", "--password-stdin"], PASSWORD);
    assert!(made.status.success(), "{made:?}");
    server
}

/// A connection that is kept.
struct Kept(BufReader<TcpStream>);

impl Kept {
    fn get(&mut self, path: &str, authorization: Option<&str>) -> Response {
        let line = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{line}\r\n");
        self.0.get_mut().write_all(request.as_bytes()).expect("it is sent");
        read_response(&mut self.0, false)
    }

    /// Gets a registry token for these scopes and shows it once; how long it is.
    fn get_and_show(&mut self, scopes: &str, authorization: Option<&str>) -> usize {
        let answer = self.get(&format!("/token?service=stowage{scopes}"), authorization).expect(200).json();
        let token = answer["token"].as_str().expect("a token");
        self.get("/v2/", Some(&format!("Bearer {token}"))).expect(200);
        token.len()
    }
}

/// Does something as often as the flood is large, over several connections.
fn flood(server: &Stowage, step: impl Fn(&mut Kept, usize) + Sync) {
    std::thread::scope(|scope| {
        for part in 0..CONNECTIONS {
            let step = &step;
            scope.spawn(move || {
                let mut kept = Kept(BufReader::new(server.client().connect()));
                for number in (part..FLOOD).step_by(CONNECTIONS) {
                    step(&mut kept, number);
                }
            });
        }
    });
}

/// Guesses at the admin's password until no new sign-in of that name is heard.
fn lock_out(server: &Stowage) {
    let guess = |number: usize| server.client().basic("admin", &format!("guess {number}")).get("/v2/").status;
    assert!((0..100).any(|number| guess(number) == 429), "a hundred guesses were heard");
}

fn basic(name: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{PASSWORD}")))
}

#[test]
fn tokens_of_nobody_make_the_server_forget_no_password() {
    let _turn = alone();
    let server = server();
    let admin = server.client().basic("admin", PASSWORD);
    admin.get("/v2/").expect(200);
    flood(&server, |kept, _| {
        kept.get_and_show("", None);
    });
    lock_out(&server);
    // Were the password to be verified again, the answer would be 429.
    for _ in 0..10 {
        admin.get("/v2/").expect(200);
    }
    push_and_pull(&admin, "after");
    server.assert_small();
}

#[test]
fn tokens_of_one_user_cost_bounded_memory_and_no_other_user_a_password() {
    let _turn = alone();
    let server = server();
    let admin = server.client().basic("admin", PASSWORD);
    admin.get("/v2/").expect(200);
    let hanna = basic("hanna");
    let name = "a".repeat(210);
    let scope = |count: usize| -> String {
        let scope = |number| format!("&scope=repository:{name}{number}:pull,push");
        (0..count).map(scope).collect::<Vec<_>>().concat()
    };
    let (short, long) = (scope(4), scope(2 * MAX_SCOPES));
    flood(&server, |kept, number| {
        let length = kept.get_and_show(if number % 2 == 0 { &short } else { &long }, Some(&hanna));
        assert_eq!(length <= LONGEST_REMEMBERED, number % 2 == 0, "{length}");
    });
    lock_out(&server);
    admin.get("/v2/").expect(200);
    push_and_pull(&admin, "after");
    server.assert_small();
    server.assert_at_rest();
}

#[test]
fn a_personal_token_under_ten_thousand_names_is_refused_and_costs_nobody_a_password() {
    let _turn = alone();
    let server = server();
    let made = server.command(&["token", "create", "hanna", "--name", "ci", "--scopes", "read_registry"], "");
    assert!(made.status.success(), "{made:?}");
    let secret = String::from_utf8(made.stdout).expect("text");
    let secret = secret.trim();
    let admin = server.client().basic("admin", PASSWORD);
    admin.get("/v2/").expect(200);
    flood(&server, |kept, number| {
        let wrong = format!("Basic {}", STANDARD.encode(format!("user-{number}:{secret}")));
        kept.get("/v2/", Some(&wrong)).expect_error(401, "UNAUTHORIZED");
    });
    lock_out(&server);
    admin.get("/v2/").expect(200);
    server.client().basic("hanna", secret).get("/v2/").expect(200);
    server.assert_small();
}
