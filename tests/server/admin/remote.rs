//! Commands that reach the server over the network, and what the scopes of a token permit them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, generate_simple_self_signed,
};
use serde_json::json;

use crate::admin::program::{PASSWORD, Place, Ran};
use crate::support::content;

fn private(place: &Place, name: &str, content: &str) -> PathBuf {
    let path = place.directory.path().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// The secret of a new token; an older token of the same user and scopes is revoked.
fn token(place: &Place, user: &str, scopes: &str) -> String {
    place.run(&["token", "revoke", &format!("{user}/{scopes}")]);
    let made = ["token", "create", user, "--name", scopes, "--scopes", scopes];
    place.run(&made).expect(0).stdout.trim().to_owned()
}

/// A command on another computer, without access to the data directory.
fn away(place: &Place, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    place.run_elsewhere(arguments, environment)
}

#[test]
fn a_command_reaches_a_server_by_its_url_and_a_token() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", b"layer");
    let url = format!("http://{}", server.address);
    let secret = token(&place, "admin", "api");
    let file = private(&place, "token", &format!("{secret}\n"));
    let by_file = ["--server", &url, "--token-file", file.to_str().unwrap()];
    let ran = away(&place, &[&["user", "list"], &by_file[..]].concat(), &[]).expect(0);
    assert!(ran.stdout.contains("admin"), "{ran:?}");
    let environment = [("STOWAGE_SERVER", url.as_str()), ("STOWAGE_TOKEN", secret.as_str())];
    let status = away(&place, &["status", "--json"], &environment).expect(0).json();
    assert_eq!((&status["data"]["running"], &status["data"]["tags"]), (&json!(true), &json!(1)));
    away(&place, &["fsck", "--deep"], &environment).expect(0);
    away(&place, &["tag", "delete", "team/app:1", "--yes"], &environment).expect(0);

    let none = away(&place, &["user", "list"], &environment[..1]).expect(4);
    assert_eq!(none.error(), "error: the server does not know who you are");
    assert!(none.stderr.contains("fix:   add --token-file FILE or set STOWAGE_TOKEN"), "{none:?}");
    let wrong = [environment[0], ("STOWAGE_TOKEN", "stw_pat_wrong")];
    let ran = away(&place, &["user", "list"], &wrong).expect(4);
    assert!(ran.stderr.contains("fix:   make another token on the server"), "{ran:?}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = away(&place, &[&["user", "list"], &by_file[..]].concat(), &[]).expect(3);
    assert!(ran.stderr.contains("chmod o-rwx"), "{ran:?}");
    let clear = [("STOWAGE_SERVER", "http://registry.invalid"), environment[1]];
    let ran = away(&place, &["user", "list"], &clear).expect(2);
    assert!(ran.error().contains("is not encrypted"), "{ran:?}");
    server.stop();
    let ran = away(&place, &["user", "list"], &environment).expect(4);
    assert_eq!(ran.error(), "error: cannot reach the Stowage server");
    assert!(ran.stderr.contains(&format!("tried: {url}: ")), "{ran:?}");
}

#[test]
fn a_certificate_is_believed_only_from_an_authority_that_is_known() {
    let place = Place::new();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let names = vec!["localhost".to_owned()];
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let cert = private(&place, "cert.pem", &certificate.pem());
    let key = private(&place, "key.pem", &key.serialize_pem());
    let ca = private(&place, "ca.pem", &authority.as_ref().pem());
    let server = place.serve_with(&[
        ("STOWAGE__SERVER__TLS__MODE", "files"),
        ("STOWAGE__SERVER__TLS__CERT_FILE", cert.to_str().unwrap()),
        ("STOWAGE__SERVER__TLS__KEY_FILE", key.to_str().unwrap()),
    ]);
    let secret = token(&place, "admin", "read_api");
    let port = server.address.port();
    let url = format!("https://localhost:{port}");
    let environment = [("STOWAGE_SERVER", url.as_str()), ("STOWAGE_TOKEN", secret.as_str())];
    let with_ca = ["user", "list", "--ca-file", ca.to_str().unwrap()];
    let ran = away(&place, &with_ca, &environment).expect(0);
    assert!(ran.stdout.contains("admin"), "{ran:?}");
    let other = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other = private(&place, "other.pem", &other.cert.pem());
    let ran = away(&place, &["user", "list", "--ca-file", other.to_str().unwrap()], &environment).expect(4);
    assert!(ran.stderr.contains("--ca-file FILE"), "{ran:?}");
    let other_name = format!("https://127.0.0.1:{port}");
    let ran = away(&place, &with_ca, &[("STOWAGE_SERVER", &other_name), environment[1]]).expect(4);
    assert!(ran.stderr.contains("by a name that is in it"), "{ran:?}");
    let plain = format!("http://localhost:{port}");
    let ran = away(&place, &["user", "list"], &[("STOWAGE_SERVER", &plain), environment[1]]);
    assert_ne!(ran.exit, 0);
    assert!(ran.stderr.contains("https://"), "{ran:?}");
    for wrong in [key.to_str().unwrap(), "/nowhere"] {
        let ran = away(&place, &["user", "list", "--ca-file", wrong], &environment).expect(3);
        assert!(ran.stderr.contains("--ca-file FILE"), "{ran:?}");
    }
}

#[test]
fn a_token_does_through_the_api_what_its_scopes_and_its_owner_may() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    place.add("hanna");
    content::push_image(&admin, "team/app", "1", b"layer");
    let client = |user: &str, scopes: &str| {
        let secret = token(&place, user, scopes);
        server.client().authorization(&format!("Bearer {secret}"))
    };
    let everything = ["/users", "/users/hanna", "/tokens", "/jobs"];
    let content = ["/repositories", "/repositories/team/app", "/repositories/team/app/-/tags/1", "/system"];
    for (user, scopes, manages, reads, changes) in [
        ("admin", "api", 200, 200, 204),
        ("admin", "read_api", 200, 200, 403),
        ("admin", "read_registry,write_registry,delete_registry", 403, 0, 0),
        ("hanna", "api", 403, 200, 403),
        ("hanna", "read_api", 403, 200, 403),
        ("hanna", "read_registry", 403, 0, 0),
    ] {
        let client = client(user, scopes);
        for path in everything {
            assert_eq!(client.get(&format!("/api/v1{path}")).status, manages, "{user} {scopes} {path}");
        }
        for path in content {
            let status = client.get(&format!("/api/v1{path}")).status;
            // Without a scope for the API, a repository is reported as absent.
            let fits = if reads == 0 { status == 403 || status == 404 } else { status == reads };
            assert!(fits, "{user} {scopes} {path} {status}");
        }
        content::push_image(&admin, "team/app", "1", b"layer");
        let status = client.delete("/api/v1/repositories/team/app/-/tags/1").status;
        let fits = if changes == 0 { status == 403 || status == 404 } else { status == changes };
        assert!(fits, "{user} {scopes} {status}");
        admin.get("/v2/team/app/manifests/1").expect(if changes == 204 { 404 } else { 200 });
        content::push_image(&admin, "team/app", "1", b"layer");
    }
    // At the registry, scopes of the API do not count.
    client("admin", "api").get("/v2/team/app/manifests/1").expect(404);
    // A password is accepted by both.
    let hanna = server.client().basic("hanna", PASSWORD);
    hanna.get("/api/v1/repositories").expect(200);
    hanna.get("/api/v1/users").expect(403);
}
