//! Commands on a terminal.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::admin::program::Place;

/// A command on a terminal of its own.
pub(crate) struct Terminal {
    master: File,
    /// Keeps the terminal open after the command has ended.
    side: File,
    pub(crate) child: Child,
    /// Its output since the last expected text.
    seen: String,
}

impl Terminal {
    /// `stowage ARGUMENTS --data-dir DATA`.
    pub(crate) fn run(place: &Place, arguments: &[&str]) -> Self {
        let mut command = place.command();
        command.args(arguments).arg("--data-dir").arg(place.data());
        Self::start(command)
    }

    /// The same on a terminal with this many columns.
    pub(crate) fn with_columns(place: &Place, arguments: &[&str], columns: u16) -> Self {
        let mut command = place.command();
        command.args(arguments).arg("--data-dir").arg(place.data());
        Self::on(command, columns)
    }

    pub(crate) fn start(command: Command) -> Self {
        Self::on(command, 80)
    }

    fn on(mut command: Command, columns: u16) -> Self {
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
        let window = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&side, window).unwrap();
        let end = || Stdio::from(side.try_clone().unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        Self { master: File::from(master), side, child, seen: String::new() }
    }

    /// Reads until the command has written this text, and returns everything up to its end.
    pub(crate) fn expect(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let mut bytes = [0; 256];
            let read = self.master.read(&mut bytes).unwrap();
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }

    /// The rest of its output. Only for a command that has ended.
    pub(crate) fn rest(&mut self) -> String {
        self.side.write_all(b"\0").unwrap();
        self.expect("\0")
    }

    pub(crate) fn answer(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn shows_what_is_typed(&self) -> bool {
        tcgetattr(&self.side).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    pub(crate) fn wait(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A failed test must leave no server behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
