//! Other processes of this computer, as far as /proc shows them.

use std::fs;
use std::path::Path;

/// The process that listens on a TCP port, for an error message: `docker-proxy (pid 812)`.
pub(super) fn listening_on(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let sockets: Vec<Socket> = tables.iter().flat_map(|table| listeners(table, port)).collect();
    let named = sockets.iter().find_map(|socket| owner_of(socket.inode)).map(describe);
    // /proc does not show the process of another user's socket.
    named
        .or_else(|| sockets.first().map(|socket| format!("a process of the user with the id {}", socket.uid)))
}

/// A process, for an error message: `stowage serve (pid 812)`.
pub(super) fn describe(pid: u32) -> String {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let name = name(&arguments).or_else(|| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some(name.trim().to_owned())
    });
    match name {
        Some(name) if !name.is_empty() => format!("{name} (pid {pid})"),
        _ => format!("pid {pid}"),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Socket {
    inode: u64,
    uid: u32,
}

/// The listening sockets with this port in a table of /proc/net.
fn listeners(table: &str, port: u16) -> Vec<Socket> {
    let suffix = format!(":{port:04X}");
    let socket = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        // The fields: local address, state (0A: listening), user and inode.
        let (local, state) = (fields.get(1)?, fields.get(3)?);
        let listens = local.ends_with(&suffix) && *state == "0A";
        listens.then_some(Socket { uid: fields.get(7)?.parse().ok()?, inode: fields.get(9)?.parse().ok()? })
    };
    table.lines().skip(1).filter_map(socket).collect()
}

fn owner_of(inode: u64) -> Option<u32> {
    let link = format!("socket:[{inode}]");
    let has_it = |directory: &Path| {
        let Ok(files) = fs::read_dir(directory.join("fd")) else { return false };
        files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == Path::new(&link)))
    };
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        has_it(&entry.path()).then_some(pid)
    })
}

/// The program and, for Stowage, the command. Other arguments are left out, because they may be secret.
fn name(arguments: &[u8]) -> Option<String> {
    let mut arguments = arguments.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let program = arguments.next()?;
    let program = program.rsplit('/').next()?.to_owned();
    let command = arguments.find(|argument| !argument.starts_with('-')).filter(|command| !command.is_empty());
    match command {
        Some(command) if program == "stowage" => Some(format!("{program} {command}")),
        _ => Some(program),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_holder_of_a_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let holder = listening_on(port).unwrap();
        assert!(holder.ends_with(&format!("(pid {})", std::process::id())), "{holder}");
        drop(listener);
        assert_eq!(listening_on(port), None);
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000   106        0 4711 1 0 100 0\n   \
             1: 0100007F:1388 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000   106        0 4712 1 0 100 0\n   \
             2: 0100007F:1389 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0\n";
        assert_eq!(listeners(table, 5000), [Socket { inode: 4711, uid: 106 }]);
        assert_eq!(listeners("garbage\nmore garbage", 5000), []);
    }

    #[test]
    fn a_process_is_named_without_its_secrets() {
        assert_eq!(name(b"/usr/bin/stowage\0--config\0/x\0serve\0"), Some("stowage /x".to_owned()));
        assert_eq!(name(b"/usr/bin/stowage\0serve\0--data-dir\0/x\0"), Some("stowage serve".to_owned()));
        assert_eq!(name(b"nginx: master\0"), Some("nginx: master".to_owned()));
        assert_eq!(name(b"/usr/bin/other\0--password=x\0y\0"), Some("other".to_owned()));
    }
}
