//! SIGHUP: all of the settings, or nothing.

use rustix::process::Signal;

use crate::process::{Place, changes};
use crate::support::Client;

#[test]
fn what_can_change_changes_and_the_rest_is_named() {
    let process = Place::new().start("[server]\nworkers = 1\n");
    let client = Client::new(process.address);
    client.get("/v2/").expect(401);
    process.wait_for("request");

    let log = process.reload(
        "[server]\nworkers = 2\npublic_url = \"https://registry.lan\"\ntrusted_proxies = [\"127.0.0.1\"]\n\
         [storage.gc]\npromise = \"7h\"\n[log]\nlevel = \"debug\"\naccess = false\n",
    );
    let stays = "a changed setting needs a restart: the old value stays in force";
    assert_eq!(
        changes(&log),
        [
            "changed a setting | log.access | true | false".to_owned(),
            "changed a setting | log.level | \"info\" | \"debug\"".to_owned(),
            "changed a setting | server.public_url | \"\" | \"https://registry.lan\"".to_owned(),
            "changed a setting | server.trusted_proxies | [] | [\"127.0.0.1\"]".to_owned(),
            format!("{stays} | server.workers | 1 | 2"),
            format!("{stays} | storage.gc.promise | \"6h\" | \"7h\""),
        ]
    );
    let requests = |log: &[serde_json::Value]| log.iter().filter(|line| line["message"] == "request").count();
    let before = requests(&process.log());
    client.get("/v2/").expect(401);
    // What waits is named again, because it still waits; what changed is not.
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
        (
            "[server]\npublic_url = \"https://registry.lan\"\nprot = 5001\n",
            "CONFIG_INVALID",
            "line 3, column 1",
        ),
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
        assert!(line["why"].as_str().unwrap().contains(why), "{line}");
    }
    client.get("/v2/a/tags/list").expect(401);
    process.wait_for("request");
    // A file that went is told like a file that is wrong.
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
