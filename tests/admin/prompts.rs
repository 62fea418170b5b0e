//! What commands ask on a terminal.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::program::{PASSWORD, Place};

/// A command on a terminal of its own.
struct Terminal {
    master: File,
    /// Keeps the terminal there when the command has ended.
    side: File,
    child: Child,
    seen: String,
}

impl Terminal {
    fn run(place: &Place, arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = i32::try_from(OpenptFlags::NOCTTY.bits()).unwrap();
        let side = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(name.to_str().unwrap())
            .unwrap();
        let mut command = place.command();
        command.args(arguments).arg("--data-dir").arg(place.data());
        let end = || Stdio::from(side.try_clone().unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        Self { master: File::from(master), side, child, seen: String::new() }
    }

    /// Reads until the command has written this.
    fn expect(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let mut bytes = [0; 256];
            let read = self.master.read(&mut bytes).unwrap();
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        self.seen.clear();
    }

    fn answer(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    fn shows_what_is_typed(&self) -> bool {
        tcgetattr(&self.side).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    fn wait(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

#[test]
fn a_signal_at_the_prompt_leaves_the_terminal_as_it_was() {
    let place = Place::new();
    let _server = place.serve();
    for (signal, exit) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut terminal = Terminal::run(&place, &["user", "add", "otto"]);
        terminal.expect("New password for otto (12 to 1024 characters): ");
        assert!(!terminal.shows_what_is_typed());
        let pid = Pid::from_raw(i32::try_from(terminal.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        assert_eq!(terminal.wait(), exit);
        assert!(terminal.shows_what_is_typed());
    }
}

#[test]
fn a_password_is_asked_for_twice_and_judged_first() {
    let place = Place::new();
    let _server = place.serve();
    let mut terminal = Terminal::run(&place, &["user", "add", "otto"]);
    terminal.expect("characters): ");
    terminal.answer("no\n");
    terminal.expect("the password is too short (2): it needs 12 to 1,024 characters");
    assert_eq!(terminal.wait(), 2);
    let mut terminal = Terminal::run(&place, &["user", "add", "otto"]);
    terminal.expect("characters): ");
    terminal.answer(&format!("{PASSWORD}\n"));
    terminal.expect("Repeat password: ");
    terminal.answer(&format!("{PASSWORD}\n"));
    terminal.expect("otto");
    assert_eq!(terminal.wait(), 0);
    assert!(terminal.shows_what_is_typed());
}

#[test]
fn no_is_an_answer_and_no_error() {
    let place = Place::new();
    let _server = place.serve();
    place.add("otto");
    let mut terminal = Terminal::run(&place, &["user", "delete", "otto"]);
    terminal.expect("[y/N] ");
    terminal.answer("n\n");
    terminal.expect("\nnothing was changed");
    assert_eq!(terminal.wait(), 0);
    place.run(&["user", "show", "otto"]).expect(0);
}
