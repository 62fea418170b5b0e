//! Questions of commands on a terminal.

use rustix::process::{Pid, Signal, kill_process};

use crate::admin::program::{PASSWORD, Place};
use crate::admin::terminal::Terminal;

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
