//! SIGHUP: either all settings are applied, or none.

use rustix::process::Signal;
use stowage::model::media_type::OCI_MANIFEST;

use crate::support::certificates::put;
use crate::support::{Client, content};
use crate::tls::process::{Place, changes};

#[test]
fn what_can_change_changes_and_the_rest_is_named() {
    let process = Place::new().start("[server]\nworkers = 1\n");
    let client = Client::new(process.address);
    client.get("/v2/").expect(401);
    process.wait_for("request");

    let log = process.reload(
        "[server]\nworkers = 2\npublic_url = \"https://registry.lan\"\ntrusted_proxies = [\"127.0.0.1\"]\n\
         [storage]\nmetadata_cache = \"48MiB\"\n[log]\nlevel = \"debug\"\naccess = false\n",
    );
    let stays = "a changed setting needs a restart: the old value stays in effect";
    assert_eq!(
        changes(&log),
        [
            "changed a setting | log.access | true | false".to_owned(),
            "changed a setting | log.level | info | debug".to_owned(),
            "changed a setting | server.public_url |  | https://registry.lan".to_owned(),
            "changed a setting | server.trusted_proxies | [\"127.0.0.0/8\", \"::1\"] | [\"127.0.0.1\"]"
                .to_owned(),
            format!("{stays} | server.workers | 1 | 2"),
            format!("{stays} | storage.metadata_cache | 24MiB | 48MiB"),
        ]
    );
    let requests = |log: &[serde_json::Value]| log.iter().filter(|line| line["message"] == "request").count();
    let before = requests(&process.log());
    client.get("/v2/").expect(401);
    // Changes that wait for a restart are reported again; those that took effect are not.
    let log = process.hang_up();
    assert_eq!(changes(&log).len(), 2, "{log:#?}");
    assert_eq!(requests(&process.log()), before, "no line for a request any more");
    assert!(process.stop().success());
}

#[test]
fn settings_that_are_not_valid_change_nothing() {
    let process = Place::new().start("");
    let client = Client::new(process.address);
    for (settings, code, why) in [
        ("[server]\npublic_url = \"https://registry.lan\"\nprot = 5001\n", "CONFIG_INVALID", "line 3: "),
        ("[log]\naccess = false\nlevel = \"loud\"\n", "CONFIG_INVALID", "`loud` is not a log level"),
        ("[server]\nmax_connections = 0\n[log]\naccess = false\n", "CONFIG_UNSAFE", "it is 0"),
        (
            "[server]\ntrusted_proxies = [\"proxy.lan\"]\n",
            "CONFIG_INVALID",
            "`proxy.lan` is neither an IP address nor a network",
        ),
        ("[server\n", "CONFIG_INVALID", "line 1"),
    ] {
        let log = process.reload(settings);
        assert_eq!(changes(&log), Vec::<String>::new(), "{settings}");
        let line = log.last().unwrap();
        assert_eq!(line["code"], code, "{line}");
        let told = line["why"].as_str().unwrap();
        assert!(told.contains(why), "{line}");
        // The log has no excerpt of the file with a caret, because each message is one line.
        assert!(!told.contains(['\n', '^', '|']), "{line}");
    }
    client.get("/v2/a/tags/list").expect(401);
    process.wait_for("request");
    // A missing file is reported like an invalid one.
    std::fs::remove_file(process.directory.path().join("stowage.toml")).unwrap();
    assert_eq!(process.hang_up().last().unwrap()["code"], "CONFIG_UNREADABLE");
    client.get("/v2/").expect(401);
    assert!(process.stop().success());
}

#[test]
fn a_flag_wins_at_a_reload_too() {
    let process = Place::new().start("");
    let log = process.reload("[server]\nlisten = [\"127.0.0.1:1\"]\n");
    assert_eq!(changes(&log), Vec::<String>::new());
    process.signal(Signal::HUP);
    process.signal(Signal::HUP);
    assert!(process.stop().success());
}

#[test]
fn limits_that_change_count_from_the_next_request_on() {
    let place = Place::new();
    let file = place.0.path().join("password");
    put(&file, "Otter-Maple-Quay-88", 0o600);
    let settings = |free: &str, auth: &str, registry: &str| {
        format!(
            "[storage]\nmin_free = \"{free}\"\n[registry]\n{registry}\n\
             [auth]\ninitial_admin_password_file = \"{}\"\n{auth}\n",
            file.display()
        )
    };
    let process = place.start(&settings("0", "", ""));
    let admin = Client::new(process.address).basic("admin", "Otter-Maple-Quay-88");
    let anonymous = Client::new(process.address);
    let open = || admin.post("/v2/team/app/blobs/uploads/", b"").status;
    let lifetime = || admin.get("/token").expect(200).json()["expires_in"].as_u64().unwrap();
    let manifest = content::image(&[b"not there"]);
    let push =
        || admin.send("PUT", "/v2/team/app/manifests/1", &[("Content-Type", OCI_MANIFEST)], &manifest).status;
    // An anonymous token may cover nothing.
    let pull = || {
        let token = anonymous.get("/token?scope=repository:team/app:pull");
        let token = if token.status == 200 {
            token.json()["token"].as_str().unwrap().to_owned()
        } else {
            String::new()
        };
        let bearer = Client::new(process.address).authorization(&format!("Bearer {token}"));
        bearer.get("/v2/team/app/tags/list").status
    };
    assert_eq!((open(), lifetime(), push(), pull()), (202, 300, 400, 401));
    let log = process.reload(&settings(
        "0",
        "token_ttl = \"10m\"\nanonymous_pull = true",
        "require_references = false\nmax_concurrent_uploads = 1",
    ));
    assert_eq!(changes(&log).len(), 4, "{log:#?}");
    assert_eq!((open(), lifetime(), push(), pull()), (202, 600, 201, 200));
    process.reload(&settings("99%", "", ""));
    assert_eq!((open(), lifetime(), pull()), (507, 300, 401));
    let warning = || admin.get("/api/v1/system").expect(200).json()["space_warning"].clone();
    let log = process.reload(&settings("0\"\nwarn_free = \"99%", "", ""));
    assert!(changes(&log).iter().any(|change| change.contains("storage.warn_free")), "{log:#?}");
    assert!(warning().as_str().unwrap().starts_with("less than storage.warn_free (99%) is left: "));
    process.reload(&settings("0\"\nwarn_free = \"0", "", ""));
    assert_eq!((warning(), open()), (serde_json::Value::Null, 202));
    process.reload(&settings("0", "", ""));
    assert_eq!(open(), 202);
    assert!(process.stop().success());
}
