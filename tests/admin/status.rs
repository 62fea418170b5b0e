//! `stowage status`: how a server is, and an exit code that a monitor can use.

use serde_json::Value;

use crate::program::Place;
use crate::support::content;

#[test]
fn a_running_server_tells_how_it_is() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", b"layer");
    let status = place.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["ok"], true);
    let server_says = &status["data"]["server"];
    assert_eq!(server_says["urls"][0], format!("http://{}", server.address));
    assert_eq!(server_says["data_dir"], place.data().to_str().unwrap());
    for nothing in ["certificate_expires_at", "last_check"] {
        assert_eq!(server_says[nothing], Value::Null, "{nothing}");
    }
    place.run(&["fsck"]).expect(0);
    let status = place.run(&["status", "--exit-code"]).expect(0).stdout;
    for part in [
        &format!("at http://{}", server.address),
        "tls      off",
        &format!("data     {}", place.data().display()),
        "pushes   accepted",
        "1 repository, 1 tag, 1 manifest, 2 blobs: ",
        " free",
        "ago), no problem",
    ] {
        assert!(status.contains(part), "{part:?} is not in {status}");
    }
}

#[test]
fn a_server_that_is_down_is_an_exit_code() {
    let place = Place::new();
    let ran = place.run(&["status"]).expect(4);
    assert!(ran.stderr.contains("there is no data in"), "{ran:?}");
    place.serve().stop();
    let ran = place.run(&["status"]).expect(4);
    assert!(ran.stdout.starts_with("server   down; "), "{ran:?}");
    let document = place.run(&["status", "--json"]).expect(4).json();
    assert_eq!((&document["ok"], &document["data"]["running"]), (&Value::from(false), &Value::from(false)));
}

#[test]
fn refused_pushes_are_told_with_their_reason() {
    let place = Place::new();
    let _server = place.serve_with(&[("STOWAGE__STORAGE__MIN_FREE", "99%")]);
    let ran = place.run(&["status"]).expect(0);
    assert!(ran.stdout.contains("pushes   refused: "), "{ran:?}");
    assert!(ran.stdout.contains("warning  pushes are refused: "), "{ran:?}");
    place.run(&["status", "--exit-code"]).expect(10);
}
