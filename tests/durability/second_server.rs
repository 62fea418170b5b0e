//! A data directory belongs to one process at a time.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use crate::process::{Stowage, refused_start, run};
use crate::support::content::push_image;

#[test]
fn a_second_server_is_refused_with_the_name_of_the_first_which_goes_on() {
    let parent = TempDir::new().unwrap();
    let data = parent.path().join("data");
    let server = Stowage::start(&data);
    let manifest = push_image(&server.client(), "team/app", "v1", b"layer 1");
    let link = parent.path().join("link");
    symlink(&data, &link).unwrap();
    for way in [&data, &link] {
        let refused = refused_start(way);
        assert_eq!(refused.code, Some(9), "{refused:?}");
        let holder = format!("held by: stowage serve (pid {})", server.id());
        assert!(refused.stderr.contains(&holder), "{refused:?}");
        assert!(refused.stderr.contains(&way.display().to_string()), "{refused:?}");
        assert!(refused.stderr.contains("fix:"), "{refused:?}");
    }
    push_image(&server.client(), "team/app", "v2", b"layer 2");
    assert!(server.client().get("/v2/team/app/manifests/v1").expect(200).body == manifest);
    server.stop();

    let server = Stowage::start(&data);
    assert!(server.client().get("/v2/team/app/manifests/v1").expect(200).body == manifest);
}

#[test]
fn a_running_server_checks_its_store_itself_and_nobody_else_opens_it() {
    let dir = TempDir::new().unwrap();
    let server = Stowage::start(dir.path());
    assert_eq!(run("fsck", &["--deep"], dir.path()).code, Some(0));
    for arguments in [&["--offline"][..], &["--offline", "--deep", "--json"]] {
        let refused = run("fsck", arguments, dir.path());
        assert_eq!(refused.code, Some(9), "{refused:?}");
        assert!(format!("{}{}", refused.stdout, refused.stderr).contains("in use"), "{refused:?}");
    }
    push_image(&server.client(), "team/app", "latest", b"layer");
}
