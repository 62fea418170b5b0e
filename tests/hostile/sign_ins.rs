//! Floods of valid credentials: the cache of verified credentials stays within bounds, and no user evicts the
//! credentials of another one.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stowage::auth::{LONGEST_REMEMBERED, MAX_SCOPES, MOST_REMEMBERED};

use crate::attack::{Flood, Outcome, PASSWORD, Site, Tally, Who};
use crate::process::USER_PASSWORD;
use crate::support::Response;
use crate::support::client::read_response;

/// More than the cache holds.
const FLOOD: usize = MOST_REMEMBERED + 100;
/// Connections that flood at once.
const CONNECTIONS: usize = 4;

/// A connection that is kept alive.
struct Kept<'a> {
    stream: BufReader<TcpStream>,
    tally: &'a Tally,
}

impl Kept<'_> {
    fn get(&mut self, path: &str, authorization: Option<&str>) -> Response {
        let line = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{line}\r\n");
        self.stream.get_mut().write_all(request.as_bytes()).expect("it is sent");
        let answer = read_response(&mut self.stream, false);
        self.tally.tell(answer.status);
        answer
    }

    /// Gets a registry token for these scopes and uses it once; returns its length.
    fn get_and_show(&mut self, scopes: &str, authorization: Option<&str>) -> usize {
        let answer = self.get(&format!("/token?service=stowage{scopes}"), authorization).expect(200).json();
        let token = answer["token"].as_str().expect("a token");
        self.get("/v2/", Some(&format!("Bearer {token}"))).expect(200);
        token.len()
    }
}

/// Repeats a request as often as the flood is large, over several connections. The admin's password must stay
/// cached meanwhile.
fn flood(
    site: &Site,
    name: &str,
    requests: usize,
    refusals: &[u16],
    step: impl Fn(&mut Kept<'_>, usize) + Sync,
) -> Outcome {
    let admin = site.server.client().basic("admin", PASSWORD);
    admin.get("/v2/").expect(200);
    let flood = Flood {
        name,
        senders: CONNECTIONS,
        accepted: requests * FLOOD,
        refusals,
        work: &|sender, tally| {
            let mut kept = Kept { stream: BufReader::new(site.server.client().connect()), tally };
            for number in (sender..FLOOD).step_by(CONNECTIONS) {
                step(&mut kept, number);
            }
        },
    };
    let outcome = site.flooded(&flood);
    outcome.assert_held();
    let guess =
        |number: usize| site.server.client().basic("admin", &format!("guess {number}")).get("/v2/").status;
    assert!((0..100).any(|number| guess(number) == 429), "a hundred guesses were heard");
    // If the password had to be verified again, the response would be 429.
    for _ in 0..10 {
        admin.get("/v2/").expect(200);
    }
    site.server.assert_at_rest();
    outcome
}

#[test]
fn tokens_of_nobody_make_the_server_forget_no_password() {
    let site = Site::start(Who::Stranger, "");
    flood(&site, "anonymous tokens, each shown once", 2, &[], |kept, _| {
        kept.get_and_show("", None);
    });
}

#[test]
fn tokens_of_one_user_cost_bounded_memory_and_no_other_user_a_password() {
    let site = Site::start(Who::User, "");
    let mallory = format!("Basic {}", STANDARD.encode(format!("mallory:{USER_PASSWORD}")));
    let name = "a".repeat(210);
    let scope = |count: usize| -> String {
        let scope = |number| format!("&scope=repository:{name}{number}:pull,push");
        (0..count).map(scope).collect::<Vec<_>>().concat()
    };
    let (short, long) = (scope(4), scope(2 * MAX_SCOPES));
    flood(&site, "tokens of one user, each shown once", 2, &[], |kept, number| {
        let length = kept.get_and_show(if number % 2 == 0 { &short } else { &long }, Some(&mallory));
        assert_eq!(length <= LONGEST_REMEMBERED, number % 2 == 0, "{length}");
    });
}

#[test]
fn a_personal_token_under_ten_thousand_names_is_refused_and_costs_nobody_a_password() {
    let site = Site::start(Who::User, "");
    let secret = site.server.add_user("ci");
    flood(&site, "a personal token under many names", 1, &[401], |kept, number| {
        let wrong = format!("Basic {}", STANDARD.encode(format!("user-{number}:{secret}")));
        kept.get("/v2/", Some(&wrong)).expect_error(401, "UNAUTHORIZED");
    });
    site.server.client().basic("ci", &secret).get("/v2/").expect(200);
}
