//! TLS handshakes that cost the server more than the attacker: endless ones, and one that is repeated.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{KeyPair, PKCS_RSA_SHA256};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::attack::{Load, Site, Then, Who, proof};

/// An RSA key of 4,096 bits for this test only, because no dependency can generate one.
const RSA_4096: &str = include_str!("rsa_4096.pem");
/// The largest handshake message is 64 KiB (RFC 8446 permits more, rustls does not).
const HELLO: usize = 60_000;
/// The largest content of a TLS record.
const RECORD: usize = 16 << 10;

/// A `ClientHello` without its last byte.
fn half_hello() -> Vec<u8> {
    let mut message = vec![0; HELLO];
    message[0] = 1;
    message[1..4].copy_from_slice(&u32::try_from(HELLO - 4).expect("small").to_be_bytes()[1..]);
    let mut sent = Vec::new();
    for part in message.chunks(RECORD) {
        sent.extend([0x16, 3, 1]);
        sent.extend(u16::try_from(part.len()).expect("small").to_be_bytes());
        sent.extend(part);
    }
    sent.pop();
    sent
}

#[test]
fn half_client_hellos_keep_nobody_out_and_cost_little_memory() {
    for who in Who::ANYBODY {
        let site = Site::over_tls(who, &KeyPair::generate().unwrap());
        let hello = half_hello();
        let connections = site.config.server.max_connections.min(4000);
        let load = Load {
            name: "half a ClientHello",
            connections,
            // Connections that are given up are opened again after a while, so not all of them exist at once.
            accepted: connections / 4 * 3,
            sends: &|_| hello.clone(),
            then: Then::Return(Duration::from_secs(2)),
            ..Load::default()
        };
        site.under(&load).assert_held();
        site.server.assert_at_rest();
    }
}

/// The first message of a handshake.
fn hello(site: &Site) -> Vec<u8> {
    let mut hello = Vec::new();
    let (name, tls) =
        (ServerName::try_from("localhost").expect("a name"), site.tls.as_ref().expect("a site with TLS"));
    let mut client = ClientConnection::new(Arc::clone(tls), name).expect("a client");
    client.write_tls(&mut hello).expect("a message");
    hello
}

#[test]
fn half_handshakes_from_many_addresses_keep_nobody_out() {
    let mut loads = vec![
        ("half a ClientHello from 200 addresses", 200, false),
        ("half a handshake from 200 addresses", 200, true),
        ("half a ClientHello from 1,000 addresses", 1000, false),
    ];
    // Each address has its turn: on a busy machine a debug build takes longer for a signature for each of
    // 1,000 than a handshake waits for its own.
    if proof() {
        loads.push(("half a handshake from 1,000 addresses", 1000, true));
    }
    for (name, addresses, whole) in loads {
        let site = Site::over_tls(Who::Open, &KeyPair::generate().unwrap());
        let mut sent = hello(&site);
        if !whole {
            sent.pop();
        }
        let connections = 3 * addresses;
        let load = Load {
            name,
            connections,
            addresses,
            accepted: connections / 4 * 3,
            sends: &|_| sent.clone(),
            then: Then::Return(Duration::from_secs(1)),
            ..Load::default()
        };
        site.under(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn a_replayed_client_hello_keeps_nobody_out() {
    let key = KeyPair::from_pem_and_sign_algo(RSA_4096, &PKCS_RSA_SHA256).unwrap();
    for who in Who::ANYBODY {
        let site = Site::over_tls(who, &key);
        let hello = hello(&site);
        let load = Load {
            name: "a replayed ClientHello, RSA 4096",
            connections: 200,
            accepted: 200,
            sends: &|_| hello.clone(),
            then: Then::Replay,
            ..Load::default()
        };
        let outcome = site.until_answered(&load);
        outcome.assert_held();
        assert!(outcome.replies() >= load.connections, "the server signed {} times", outcome.replies());
        site.server.assert_at_rest();
    }
}
