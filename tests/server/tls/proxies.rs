//! The address and the host of a request, from the headers of a proxy: they count only if the proxy is
//! trusted.

use std::io::{BufReader, Write as _};

use crate::support::certificates::Authority;
use crate::support::client::read_response;
use crate::support::{Client, Response, eventually};
use crate::tls::client::TlsClient;
use crate::tls::process::{Place, Process};

const LINES: [(&str, &str); 3] = [
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "registry.lan"),
    ("X-Forwarded-For", "203.0.113.9, 198.51.100.7"),
];

fn realm(response: &Response) -> String {
    let challenge = response.header("www-authenticate").expect("a challenge");
    let (_, realm) = challenge.split_once("realm=\"").expect("a realm");
    realm.split('"').next().unwrap_or_default().to_owned()
}

/// The realm in the challenge, and the address in the log.
fn seen(process: &Process) -> (String, String) {
    let response = Client::new(process.address).send("GET", "/v2/", &LINES, b"").expect(401);
    let log = process.log();
    let line = log.iter().rev().find(|line| line["message"] == "request");
    let line = line.cloned().unwrap_or_else(|| process.wait_for("request"));
    (realm(&response), line["remote"].as_str().expect("an address").to_owned())
}

#[test]
fn nobody_is_believed_unless_trusted() {
    let process = Place::new().start("[server]\ntrusted_proxies = []\n");
    let own = format!("http://{}/token", process.address);
    assert_eq!(seen(&process), (own, "127.0.0.1".to_owned()));
}

#[test]
fn a_proxy_on_this_computer_is_believed_without_any_setting() {
    let process = Place::new().start("");
    assert_eq!(seen(&process), ("https://registry.lan/token".to_owned(), "198.51.100.7".to_owned()));
}

/// The warnings in the log about proxies that are not trusted.
fn warnings(process: &Process) -> Vec<String> {
    let log = process.log();
    let said = log.iter().filter(|line| line["level"] == "WARN").filter_map(|line| line["message"].as_str());
    said.filter(|said| said.contains("X-Forwarded")).map(str::to_owned).collect()
}

#[test]
fn a_proxy_that_is_not_trusted_is_named_once_with_the_settings_that_help() {
    let process = Place::new().start("[server]\ntrusted_proxies = []\n");
    for _ in 0..3 {
        seen(&process);
    }
    eventually("both are named", || warnings(&process).len() >= 2);
    let said = warnings(&process);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("server.trusted_proxies") && said[0].contains("server.public_url"), "{said:?}");
    assert!(said[1].contains("X-Forwarded-For") && said[1].contains("server.trusted_proxies"), "{said:?}");
    // With a public URL the scheme is right, but the addresses are still those of the proxy.
    process.reload("[server]\ntrusted_proxies = []\npublic_url = \"https://registry.lan\"\n");
    seen(&process);
    eventually("it is named again", || warnings(&process).len() >= 3);
    let said = warnings(&process);
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[2].contains("X-Forwarded-For"), "{said:?}");
}

#[test]
fn a_proxy_that_is_trusted_is_not_complained_of() {
    let process = Place::new().start("");
    seen(&process);
    assert_eq!(warnings(&process), Vec::<String>::new());
}

#[test]
fn a_trusted_proxy_is_believed() {
    let process = Place::new().start("[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n");
    assert_eq!(seen(&process), ("https://registry.lan/token".to_owned(), "198.51.100.7".to_owned()));
}

/// The logged address of a request with this header line.
fn seen_with(process: &Process, line: &[u8]) -> String {
    let mut stream = Client::new(process.address).connect();
    let parts: [&[u8]; 3] = [b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", line, b"\r\n\r\n"];
    stream.write_all(&parts.concat()).expect("it is sent");
    read_response(&mut BufReader::new(stream), false).expect(401);
    let log = process.log();
    let line = log.iter().rev().find(|line| line["message"] == "request");
    let line = line.cloned().unwrap_or_else(|| process.wait_for("request"));
    line["remote"].as_str().expect("an address").to_owned()
}

#[test]
fn a_hop_that_cannot_be_read_makes_no_stranger_the_proxy() {
    for (line, client) in [
        (&b"X-Forwarded-For: \xff, 203.0.113.50"[..], "203.0.113.50"),
        (b"X-Forwarded-For: \xc3\xa4\r\nX-Forwarded-For: 203.0.113.50", "203.0.113.50"),
        (b"X-Forwarded-For: 203.0.113.50, \xff, 127.0.0.2", "127.0.0.2"),
    ] {
        let process = Place::new().start("");
        assert_eq!(seen_with(&process, line), client, "{}", line.escape_ascii());
    }
}

#[test]
fn another_proxy_is_not() {
    let process = Place::new().start("[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"127.0.0.2\"]\n");
    assert_eq!(seen(&process).1, "127.0.0.1");
}

#[test]
fn the_public_url_decides() {
    let settings =
        "[server]\npublic_url = \"https://images.example:8443\"\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let process = Place::new().start(settings);
    assert_eq!(seen(&process).0, "https://images.example:8443/token");
    // After a reload, another URL is used.
    process.reload("[server]\npublic_url = \"http://10.0.0.7:5000\"\n");
    assert_eq!(seen(&process).0, "http://10.0.0.7:5000/token");
}

#[test]
fn tls_without_a_proxy_needs_no_setting() {
    let place = Place::new();
    let authority = Authority::new();
    let files = authority.issue_to(place.0.path());
    let settings = format!(
        "[server.tls]\nmode = \"files\"\ncert_file = \"{}\"\nkey_file = \"{}\"\n",
        files.cert.display(),
        files.key.display()
    );
    let process = place.start(&settings);
    let response = TlsClient::new(process.address, &authority).get("/v2/").expect(401);
    assert_eq!(realm(&response), "https://localhost/token");
}
