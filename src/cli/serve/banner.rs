//! What `stowage serve` prints when it is ready: on a terminal, in the log, or for a script.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::app::NewAdmin;
use crate::cli::output;
use crate::config::{PublicUrl, Scheme};

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) struct Banner {
    /// The configuration file that was read.
    pub(super) file: Option<PathBuf>,
    pub(super) data_dir: PathBuf,
    pub(super) free_bytes: Option<u64>,
    pub(super) addresses: Vec<SocketAddr>,
    /// The scheme of its addresses.
    pub(super) scheme: Scheme,
    pub(super) public_url: PublicUrl,
    /// The admin socket.
    pub(super) socket: Option<PathBuf>,
    /// A command for this server, with the flags that select its data.
    pub(super) command: String,
    pub(super) new_admin: Option<NewAdmin>,
    /// Whether no sign-in is needed.
    pub(super) open: bool,
    pub(super) ready_in: Duration,
}

/// The free space on the disk of `path` for this user.
pub(super) fn free_bytes(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

impl Banner {
    /// The text on a terminal.
    pub(super) fn text(&self) -> String {
        let settings = match &self.file {
            Some(file) => format!("settings from {}", file.display()),
            None => "no configuration file, using built-in settings".to_owned(),
        };
        let mut lines = vec![format!("Stowage {VERSION}  ·  {settings}")];
        lines.extend(self.places());
        lines.extend(self.password_box());
        lines.extend(self.try_it());
        lines.push(format!("Ready in {} ms.  Stop with Ctrl-C.", self.ready_in.as_millis()));
        lines.join("\n")
    }

    /// Logs it, without the password.
    pub(super) fn log(&self) {
        if let Some(admin) = &self.new_admin {
            if let Some(file) = &admin.file {
                let password_file = file.display();
                tracing::info!(user = admin.name, %password_file, "created the first admin; its password is in the file");
            } else {
                tracing::info!(user = admin.name, "created the first admin, with the password provided");
            }
        }
        let urls: Vec<String> = self.addresses.iter().map(|address| self.url(*address)).collect();
        tracing::info!(
            version = VERSION,
            registry = urls.join(","),
            data = %self.data_dir.display(),
            free_bytes = self.free_bytes,
            socket = self.socket.as_ref().map(|socket| tracing::field::display(socket.display())),
            start_ms = u64::try_from(self.ready_in.as_millis()).unwrap_or(u64::MAX),
            "ready"
        );
    }

    /// Variables for a script, on stdout.
    pub(super) fn variables(&self) -> String {
        let mut lines = Vec::new();
        lines.extend(
            self.addresses.first().map(|address| format!("STOWAGE_URL={}", self.url(reachable(*address)))),
        );
        if let Some(NewAdmin { name, file: Some(file), .. }) = &self.new_admin {
            lines.push(format!("STOWAGE_USER={name}"));
            lines.push(format!("STOWAGE_PASSWORD_FILE={}", file.display()));
        }
        lines.join("\n")
    }

    fn places(&self) -> Vec<String> {
        let free = self.free_bytes.map(|free| format!("(free {})", output::size(free))).unwrap_or_default();
        let mut rows = vec![("data", self.data_dir.display().to_string(), free)];
        for address in &self.addresses {
            rows.push(("registry", self.url(*address), reach(*address)));
        }
        if let Some(socket) = &self.socket {
            rows.push(("socket", socket.display().to_string(), format!("for commands: {}", self.command)));
        }
        let width = rows.iter().map(|(_, value, _)| value.chars().count()).max().unwrap_or(0);
        let line = |(label, value, note): &(&str, String, String)| {
            format!("  {label:<8} {value:<width$}   {note}").trim_end().to_owned()
        };
        rows.iter().map(line).collect()
    }

    fn url(&self, address: SocketAddr) -> String {
        format!("{}://{address}", self.scheme)
    }

    fn password_box(&self) -> Vec<String> {
        let Some(NewAdmin { name, password, file: Some(file) }) = &self.new_admin else { return Vec::new() };
        let rows = [format!("user      {name}"), format!("password  {}", password.expose())];
        let notes =
            ["created now, shown once".to_owned(), format!("also in {} until you change it", file.display())];
        let width = rows.iter().map(|row| row.chars().count()).max().unwrap_or(0);
        let edge = "─".repeat(width + 2);
        let row = |(row, note): (&String, &String)| format!("│ {row:<width$} │   {note}");
        let mut lines = vec![format!("┌{edge}┐")];
        lines.extend(rows.iter().zip(&notes).map(row));
        lines.push(format!("└{edge}┘"));
        lines
    }

    fn try_it(&self) -> Vec<String> {
        let Some(address) = self.addresses.first() else { return Vec::new() };
        let public = self.public_url.get().map(|(_, host)| host.to_owned());
        let place = public.unwrap_or_else(|| reachable(*address).to_string());
        let image = format!("{place}/demo/alpine");
        let push = format!("docker pull alpine && docker tag alpine {image} && docker push {image}");
        let user = self.new_admin.as_ref().map_or("", |admin| &admin.name);
        match user {
            _ if self.open => vec![format!("Try:  {push}")],
            "" => vec![format!("Try:  docker login {place}"), format!("      {push}")],
            user => vec![format!("Try:  docker login {place} -u {user}"), format!("      {push}")],
        }
    }
}

/// The address under which this computer reaches a server that listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn reach(address: SocketAddr) -> String {
    let ip = address.ip().to_canonical();
    let reach = if ip.is_loopback() {
        "only this computer can reach it"
    } else if ip.is_unspecified() {
        "on every address of this computer"
    } else {
        "other computers can reach it"
    };
    reach.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Secret;

    fn banner() -> Banner {
        Banner {
            file: None,
            data_dir: "/home/hanna/.local/share/stowage".into(),
            free_bytes: Some(412 << 30),
            addresses: vec!["127.0.0.1:5000".parse().unwrap()],
            scheme: Scheme::Http,
            public_url: PublicUrl::default(),
            socket: Some("/run/user/1000/stowage/admin.sock".into()),
            command: "stowage user add NAME".to_owned(),
            new_admin: Some(NewAdmin {
                name: "admin".to_owned(),
                password: Secret::new("maple-otter-42-violin-quay".to_owned()),
                file: Some("/home/hanna/.local/share/stowage/initial-admin-password".into()),
            }),
            open: false,
            ready_in: Duration::from_millis(84),
        }
    }

    #[test]
    fn the_first_start_shows_the_password_and_two_commands() {
        let expected = "\
Stowage 0.1.0  ·  no configuration file, using built-in settings
  data     /home/hanna/.local/share/stowage    (free 412 GiB)
  registry http://127.0.0.1:5000               only this computer can reach it
  socket   /run/user/1000/stowage/admin.sock   for commands: stowage user add NAME
┌──────────────────────────────────────┐
│ user      admin                      │   created now, shown once
│ password  maple-otter-42-violin-quay │   also in \
         /home/hanna/.local/share/stowage/initial-admin-password until you change it
└──────────────────────────────────────┘
Try:  docker login 127.0.0.1:5000 -u admin
      docker pull alpine && docker tag alpine 127.0.0.1:5000/demo/alpine && docker push 127.0.0.1:5000/demo/alpine
Ready in 84 ms.  Stop with Ctrl-C.";
        assert_eq!(banner().text(), expected.replace("0.1.0", VERSION));
    }

    #[test]
    fn a_later_start_shows_no_password() {
        let banner = Banner {
            file: Some("/etc/stowage/stowage.toml".into()),
            data_dir: "/var/lib/stowage".into(),
            free_bytes: None,
            addresses: vec!["0.0.0.0:5000".parse().unwrap(), "[::1]:5001".parse().unwrap()],
            socket: None,
            new_admin: None,
            ..banner()
        };
        let expected = "\
Stowage 0.1.0  ·  settings from /etc/stowage/stowage.toml
  data     /var/lib/stowage
  registry http://0.0.0.0:5000   on every address of this computer
  registry http://[::1]:5001     only this computer can reach it
Try:  docker login 127.0.0.1:5000
      docker pull alpine && docker tag alpine 127.0.0.1:5000/demo/alpine && docker push 127.0.0.1:5000/demo/alpine
Ready in 84 ms.  Stop with Ctrl-C.";
        assert_eq!(banner.text(), expected.replace("0.1.0", VERSION));
    }

    #[test]
    fn an_open_registry_needs_no_login() {
        let banner = Banner { open: true, new_admin: None, ..banner() };
        assert!(!banner.text().contains("login"));
        assert_eq!(banner.variables(), "STOWAGE_URL=http://127.0.0.1:5000");
    }

    #[test]
    fn with_tls_the_name_is_the_one_of_the_certificate() {
        let public_url = "https://registry.lan".parse().unwrap();
        let text = Banner { scheme: Scheme::Https, public_url, ..banner() }.text();
        assert!(text.contains("registry https://127.0.0.1:5000"), "{text}");
        assert!(text.contains("docker login registry.lan -u admin"), "{text}");
    }

    #[test]
    fn a_script_gets_variables_and_no_password() {
        assert_eq!(
            banner().variables(),
            "STOWAGE_URL=http://127.0.0.1:5000\nSTOWAGE_USER=admin\n\
             STOWAGE_PASSWORD_FILE=/home/hanna/.local/share/stowage/initial-admin-password"
        );
        let everywhere = Banner { addresses: vec!["[::]:7".parse().unwrap()], new_admin: None, ..banner() };
        assert_eq!(everywhere.variables(), "STOWAGE_URL=http://[::1]:7");
    }
}
