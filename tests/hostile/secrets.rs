//! No secret in any file or log: all credentials of people and machines, right or wrong, at the most verbose
//! level.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::process::{Setup, Stowage};
use crate::support::content::{bytes, open_upload, push_image};
use crate::support::{Client, Response};

const ADMIN: &str = "canary-admin-Quay-Violin-77";
const USER: &str = "canary-user-Otter-Maple-88";
const CHANGED: &str = "canary-changed-Pier-Walnut-99";

/// The secrets to search for, and the texts to search in.
struct Watch {
    canaries: Vec<String>,
    /// Bodies of refusals.
    refusals: String,
}

impl Watch {
    /// Adds a secret in all forms in which it is sent.
    fn canary(&mut self, name: &str, secret: &str) {
        let pair = format!("{name}:{secret}");
        self.canaries.extend([
            secret.to_owned(),
            STANDARD.encode(&pair),
            // In base64 the last letter depends on what follows.
            URL_SAFE_NO_PAD.encode(secret).chars().take(secret.len()).collect(),
            STANDARD_NO_PAD.encode(secret).chars().take(secret.len()).collect(),
        ]);
    }

    /// Records the response to a wrong secret.
    #[track_caller]
    fn refused(&mut self, response: &Response) {
        assert!((400..500).contains(&response.status), "{response:?}");
        self.refusals += &String::from_utf8_lossy(&response.body);
        self.refusals.extend(response.headers.iter().map(|(name, value)| format!("{name}: {value}\n")));
    }

    #[track_caller]
    fn assert_absent(&self, place: &str, text: &str) {
        let found = self.canaries.iter().find(|canary| text.contains(canary.as_str()));
        let line = found.and_then(|canary| text.lines().find(|line| line.contains(canary.as_str())));
        assert!(found.is_none(), "{place} holds {found:?}: {line:?}");
    }
}

fn over_socket(server: &Stowage, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let mut stream = UnixStream::connect(server.socket()).expect("the socket is there");
    let body = body.to_string();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head[9..12].parse().expect("a status"), serde_json::from_str(body).unwrap_or_default())
}

/// Uses every kind of credential with a right secret.
fn right(server: &Stowage, watch: &mut Watch) {
    let user = json!({ "name": "hanna", "password": USER, "admin": true });
    assert_eq!(over_socket(server, "POST", "/api/v1/users", &user).0, 201);
    let hanna = server.client().basic("hanna", USER);
    push_image(&hanna, "team/app", "1", b"a layer");
    let wanted =
        json!({ "user": "hanna", "name": "laptop", "scopes": ["read_registry", "write_registry", "api"] });
    let (status, made) = over_socket(server, "POST", "/api/v1/tokens", &wanted);
    assert_eq!(status, 201, "{made}");
    let personal = find(&made, "stw_pat_");
    watch.canary("hanna", &personal);
    let with_token = server.client().basic("hanna", &personal);
    let upload = open_upload(&with_token, "team/app");
    with_token.patch(&upload, &bytes(1, 300_000)).expect(202);
    for (path, form) in [
        ("/token?service=stowage&offline_token=true&scope=repository:team/app:pull,push", None),
        ("/jwt/auth?service=stowage&offline_token=true", None),
        ("/token", Some(format!("grant_type=password&access_type=offline&username=hanna&password={USER}"))),
    ] {
        let answer = match form {
            None => hanna.get(path).expect(200).json(),
            Some(form) => server.client().post(path, form.as_bytes()).expect(200).json(),
        };
        let (token, refresh) = (find(&answer["token"], "ey"), find(&answer, "stw_ref_"));
        server.client().authorization(&format!("Bearer {token}")).get("/v2/").expect(200);
        let form = format!("grant_type=refresh_token&service=stowage&refresh_token={refresh}");
        let again = server.client().post("/token", form.as_bytes()).expect(200).json();
        watch.canary("<token>", &refresh);
        // Only the signature is secret, not the claims.
        for token in [token, find(&again["token"], "ey")] {
            watch.canaries.push(token.rsplit('.').next().expect("a signature").to_owned());
        }
    }
    let change = json!({ "password": CHANGED });
    assert_eq!(over_socket(server, "PATCH", "/api/v1/users/hanna", &change).0, 200);
    server.client().basic("hanna", CHANGED).get("/v2/_catalog").expect(200);
    let commands = [("user", "passwd", "hanna"), ("user", "add", "omar")];
    for (noun, verb, name) in commands {
        let ran = server.command(&[noun, verb, name, "--password-stdin"], USER);
        assert!(ran.status.success(), "{ran:?}");
        watch.refusals += &String::from_utf8_lossy(&ran.stderr);
        watch.refusals += &String::from_utf8_lossy(&ran.stdout);
    }
}

/// The string in a response that has this prefix.
fn find(answer: &Value, prefix: &str) -> String {
    let text = answer.to_string();
    let found = text.split('"').find(|part| part.starts_with(prefix));
    found.unwrap_or_else(|| panic!("nothing begins with {prefix}: {text}")).to_owned()
}

/// Uses wrong secrets, and secrets in wrong places.
fn wrong(server: &Stowage, watch: &mut Watch) {
    let mut number = 0;
    let mut next = |watch: &mut Watch| {
        number += 1;
        let secret = format!("canary-wrong-{number:03}-Heron");
        watch.canary("hanna", &secret);
        secret
    };
    let client = server.client();
    for path in ["/v2/", "/token", "/v2/team/app/manifests/1", "/api/v1/users"] {
        let secret = next(watch);
        watch.refused(&client.clone().basic("hanna", &secret).get(path));
        let secret = next(watch);
        watch.refused(&client.clone().authorization(&format!("Bearer {secret}")).get(path));
        let secret = next(watch);
        watch.refused(&client.clone().authorization(&format!("Unheard-Of {secret}")).get(path));
        let secret = next(watch);
        watch.refused(&client.clone().authorization(&secret).get(path));
        let secret = next(watch);
        let twice = [("Authorization", secret.as_str()), ("Authorization", secret.as_str())];
        let two: Client = client.clone();
        watch.refused(&two.send("GET", path, &twice, b""));
    }
    for path in
        ["/v2/", "/v2/team/app/tags/list", "/nowhere", "/api/v1/users", "/v2/team/app/blobs/uploads/x"]
    {
        for name in ["password", "token", "access_token", "refresh_token", "_state", "key"] {
            let secret = next(watch);
            watch.refused(&client.get(&format!("{path}?{name}={secret}")));
        }
        let secret = next(watch);
        let target = format!("http://hanna:{secret}@{}{path}", server.address);
        watch.refused(&client.get(&target));
        let secret = next(watch);
        watch.refused(&client.send("GET", path, &[("Cookie", &format!("session={secret}"))], b""));
        let secret = next(watch);
        watch.refused(&client.send("GET", path, &[("X-Registry-Auth", &secret)], b""));
    }
    for form in [
        "grant_type=password&username=hanna&password=",
        "grant_type=refresh_token&refresh_token=",
        "grant_type=refresh_token&refresh_token=stw_ref_",
        "grant_type=nothing&password=",
        "password=%zz&",
        "service=another&password=",
        "",
    ] {
        let secret = next(watch);
        watch.refused(&client.post("/token", format!("{form}{secret}").as_bytes()));
    }
    let admin = server.client().basic("admin", ADMIN);
    let json = [("Content-Type", "application/json")];
    for body in [
        r#"{"name":"x","password":["@"]}"#,
        r#"{"name":"x","password":"@","unheard_of":1}"#,
        r#"{"name":"x","password":"@""#,
        r#"{"name":"X Y","password":"@"}"#,
        r#""@""#,
        "@",
    ] {
        let secret = next(watch);
        let body = body.replace('@', &secret);
        watch.refused(&admin.send("POST", "/api/v1/users", &json, body.as_bytes()));
        assert!(over_socket(server, "POST", "/api/v1/users", &Value::String(body)).0 >= 400);
        let secret = next(watch);
        watch.refused(&admin.send("PUT", "/v2/team/app/manifests/1", &json, secret.as_bytes()));
    }
}

/// Every file that contains text. The operator's own password file is left out.
fn texts(directory: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            texts(&path, found);
        } else if let Ok(mut content) = fs::read(&path) {
            // No secret contains zeros, so pages of zeros are skipped.
            const PAGE: usize = 4096;
            let written: Vec<&[u8]> =
                content.chunks(PAGE).filter(|page| *page != &[0; PAGE][..page.len()]).collect();
            content = written.concat();
            found.push((path.display().to_string(), String::from_utf8_lossy(&content).into_owned()));
        }
    }
}

#[test]
fn no_secret_reaches_the_log_an_answer_or_the_data_directory() {
    let server = Stowage::start(&Setup { password: Some(ADMIN), level: "trace", ..Setup::default() });
    let mut watch = Watch { canaries: Vec::new(), refusals: String::new() };
    for (name, secret) in [("admin", ADMIN), ("hanna", USER), ("hanna", CHANGED), ("omar", USER)] {
        watch.canary(name, secret);
    }
    right(&server, &mut watch);
    wrong(&server, &mut watch);
    watch.assert_absent("an answer", &watch.refusals);
    let data = server.data();
    let mut files = Vec::new();
    texts(&data, &mut files);
    assert!(files.iter().any(|(path, _)| path.ends_with("stowage.redb")));
    for (path, text) in &files {
        watch.assert_absent(path, text);
    }
    let log = server.stop();
    assert!(
        log.contains("\"TRACE\"") && log.contains("actix_http") && log.contains("\"uri\""),
        "all is logged"
    );
    watch.assert_absent("the log", &log);
}
