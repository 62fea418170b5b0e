//! Requests of browsers for pages of other sites, and DNS rebinding.

use std::io::{BufReader, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::client::read_response;
use crate::support::content::{push_image, sha256};
use crate::support::{Client, Response, Setup, TestStowage};

/// Sends a request with this host and these header lines.
fn send(server: &TestStowage, method: &str, path: &str, host: &str, lines: &[&str], body: &[u8]) -> Response {
    let mut stream = server.client().connect();
    let lines: String = lines.iter().flat_map(|line| [line, "\r\n"]).collect();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n{lines}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("it is sent");
    let _ = stream.write_all(body);
    read_response(&mut BufReader::new(stream), method == "HEAD")
}

/// Every request that changes something.
fn changes() -> Vec<(&'static str, String)> {
    vec![
        ("POST", format!("/v2/a/blobs/uploads/?digest={}", sha256(b"x"))),
        ("PUT", "/v2/a/manifests/t".to_owned()),
        ("DELETE", "/v2/a/manifests/t".to_owned()),
        ("PATCH", "/v2/a/blobs/uploads/9d3a4bb2-3a0f-4d43-8b3a-6d2b7d6d6c4e".to_owned()),
        ("POST", "/token".to_owned()),
        ("GET", "/token?offline_token=true".to_owned()),
        ("GET", "/%74oken?offline_token=true".to_owned()),
        ("GET", "/%6Awt/%61uth?offline_token=true".to_owned()),
        ("POST", "/%61pi/v1/checks".to_owned()),
        ("POST", "/api/v1/checks".to_owned()),
        ("DELETE", "/api/v1/repositories/a".to_owned()),
    ]
}

fn authorization(server: &TestStowage) -> String {
    let password = server.password.as_deref().unwrap_or_default();
    format!("Authorization: Basic {}", STANDARD.encode(format!("admin:{password}")))
}

#[test]
fn pages_of_other_sites_change_nothing() {
    for server in [TestStowage::start(), TestStowage::with_sign_in()] {
        let admin = if server.password.is_some() { server.admin() } else { server.client() };
        let manifest = push_image(&admin, "a", "t", b"layer");
        let (host, credential) = (server.address.to_string(), authorization(&server));
        for line in [
            "Origin: http://evil.example",
            "Origin: null",
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Site: same-site",
        ] {
            for (method, path) in changes() {
                let refused = send(&server, method, &path, &host, &[line, &credential], b"x").expect(403);
                if path.ends_with("/v1/checks") || path.starts_with("/api/") {
                    assert_eq!(refused.json()["code"], "BROWSER_REFUSED", "{method} {path}");
                } else {
                    assert_eq!(refused.code(), "DENIED", "{method} {path}");
                }
            }
            // A request that changes nothing is answered: the page cannot read the response.
            send(&server, "GET", "/v2/a/manifests/t", &host, &[line, &credential], b"").expect(200);
        }
        assert_eq!(admin.get("/v2/a/manifests/t").expect(200).body, manifest);
        let path = format!("/v2/a/blobs/uploads/?digest={}", sha256(b"x"));
        let own = format!("Origin: http://{host}");
        for line in [own.as_str(), "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: none"] {
            send(&server, "POST", &path, &host, &[line, &credential], b"x").expect(201);
        }
    }
}

#[test]
fn an_open_registry_answers_to_no_name_that_somebody_else_can_own() {
    let mut setup = Setup::default();
    setup.config.server.public_url = "http://images.example:5000".parse().expect("a URL");
    let server = TestStowage::with(setup);
    let manifest = push_image(&server.client(), "a", "t", b"layer");
    let address = server.address;
    // A page of a name that suddenly resolves to this server (DNS rebinding) is of the same origin.
    for (method, path) in changes() {
        let own =
            ["Origin: http://evil.example:5000", "Sec-Fetch-Site: same-origin", "Content-Type: text/plain"];
        send(&server, method, &path, "evil.example:5000", &own, b"x").expect(403);
    }
    assert_eq!(server.client().get("/v2/a/manifests/t").expect(200).body, manifest);
    server.client().head(&format!("/v2/a/blobs/{}", sha256(b"x"))).expect(404);
    for host in [
        "evil.example",
        "evil.example:5000",
        "images.example",
        "127.0.0.1.evil.example:5000",
        "[::1].evil.example",
        "[::1]evil:5000",
        "localhost@evil",
        "localhost:x@evil",
    ] {
        for path in ["/v2/a/manifests/t", "/v2/", "/token"] {
            let refused = send(&server, "GET", path, host, &[], b"").expect_error(403, "DENIED");
            let expected = format!(
                "this open registry is not known as {host}: use localhost or an IP address, or set server.public_url"
            );
            assert_eq!(refused.message(), expected);
        }
        send(&server, "GET", "/api/v1/repositories", host, &[], b"").expect(403);
    }
    // Headers that a page could add do not help it.
    send(&server, "GET", "/v2/", "evil.example", &["X-Forwarded-Host: localhost"], b"").expect(403);
    for host in
        [address.to_string().as_str(), "localhost:5000", "[::1]:5000", "registry:5000", "Images.EXAMPLE:5000"]
    {
        send(&server, "GET", "/v2/a/manifests/t", host, &[], b"").expect(200);
    }
    // With sign-in, a page under another name has no stored password to send.
    let server = TestStowage::with_sign_in();
    send(&server, "GET", "/v2/", "evil.example", &[&authorization(&server)], b"").expect(200);
}

#[test]
fn no_browser_is_asked_for_a_password() {
    let server = TestStowage::with_sign_in();
    let wrong = |path: &str, lines: &[(&str, &str)]| {
        let client: Client = server.client().basic("admin", "wrong");
        client.send("GET", path, lines, b"").expect(401)
    };
    for path in ["/token", "/api/v1/users"] {
        assert!(wrong(path, &[]).header("www-authenticate").is_some(), "{path}");
        let browser = wrong(path, &[("Sec-Fetch-Mode", "navigate")]);
        assert_eq!(browser.header("www-authenticate"), None, "{path}");
    }
    // The Bearer challenge opens no dialogue in a browser.
    assert!(wrong("/v2/", &[("Sec-Fetch-Mode", "navigate")]).header("www-authenticate").is_some());
}
