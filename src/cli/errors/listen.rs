//! The failure to listen on an address: which process has it, and which address is free.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::{Exit, Failure};
use crate::cli::process;

impl Failure {
    /// Listening on `address` failed with `error`.
    pub(in crate::cli) fn cannot_listen(address: SocketAddr, error: &io::Error) -> Self {
        let (ip, port) = (address.ip(), address.port());
        let failure = |code, what: String| Self::new(Exit::Failed, code, what);
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                let failure =
                    failure("PORT_TAKEN", format!("port {port} on {ip} is taken by another program"));
                let failure = match process::listening_on(port) {
                    Some(holder) => failure.line("by", holder),
                    None => failure,
                };
                match free_port_after(address) {
                    Some(free) => failure.fix(format!("stowage serve --listen {free}")),
                    None => failure.fix("choose another port with --listen"),
                }
            }
            io::ErrorKind::PermissionDenied => {
                failure("PORT_FORBIDDEN", format!("you may not listen on port {port}"))
                    .because("ports below 1024 need a capability")
                    .fix("with systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit")
                    .fix("or put a proxy in front of a higher port, for example nginx")
                    .fix(format!("or use another port: stowage serve --listen {}", SocketAddr::new(ip, 5000)))
            }
            io::ErrorKind::AddrNotAvailable => {
                failure("ADDRESS_ABSENT", format!("this computer does not have the address {ip}"))
                    .fix("the addresses it has: ip -brief address")
                    .fix(format!("every address it has: stowage serve --listen 0.0.0.0:{port}"))
            }
            _ => failure("LISTEN_FAILED", format!("cannot listen on {address}")).because(error.to_string()),
        }
    }
}

fn free_port_after(address: SocketAddr) -> Option<SocketAddr> {
    let next = (address.port().checked_add(1)?..).take(20).map(|port| SocketAddr::new(address.ip(), port));
    next.into_iter().find(|candidate| TcpListener::bind(candidate).is_ok())
}
