//! What reaches further than this computer: refused, or said once.

use std::net::SocketAddr;

use super::Options;
use crate::cli::errors::{Exit, Failure};
use crate::config::ServerConfig;

/// An open registry is for this computer, unless it is thrown away anyway.
pub(super) fn refuse_network(options: &Options, listen: &[SocketAddr]) -> Result<(), Failure> {
    let Some(address) = beyond_loopback(listen) else { return Ok(()) };
    if !options.anonymous || options.ephemeral {
        return Ok(());
    }
    let failure = Failure::new(Exit::Usage, "OPEN_TO_NETWORK", "an open registry is refused on a network");
    Err(failure
        .because(format!("--open lets everyone who can reach {address} push and delete"))
        .fix(format!("only for this computer: --open --listen 127.0.0.1:{}", address.port()))
        .fix("to be thrown away: --open --ephemeral")
        .fix("with a password: leave --open out"))
}

/// Says once what whoever starts this should know.
pub(super) fn warn(options: &Options, server: &ServerConfig) {
    let network = beyond_loopback(&server.listen);
    if options.anonymous {
        let reach = if network.is_some() { "who reaches this computer" } else { "on this computer" };
        tracing::warn!("open registry: everyone {reach} may pull, push and delete (--open)");
    } else if let Some(address) = network.filter(|_| !server.tls.is_on()) {
        tracing::warn!(
            %address,
            "listening without TLS beyond this computer: passwords are sent unencrypted; set [server.tls], put a proxy with TLS in front, or listen on 127.0.0.1"
        );
    }
}

fn beyond_loopback(listen: &[SocketAddr]) -> Option<SocketAddr> {
    listen.iter().copied().find(|address| !address.ip().to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(anonymous: bool, ephemeral: bool) -> Options {
        Options { listen: vec![], data_dir: None, ephemeral, anonymous, log_level: None }
    }

    #[test]
    fn an_open_registry_stays_on_loopback_unless_it_is_thrown_away() {
        for (listen, anonymous, ephemeral, is_refused) in [
            ("127.0.0.1:5000", true, false, false),
            ("127.8.0.1:5000", true, false, false),
            ("[::1]:5000", true, false, false),
            ("[::ffff:127.0.0.1]:5000", true, false, false),
            ("0.0.0.0:5000", true, false, true),
            ("[::]:5000", true, false, true),
            ("192.168.1.2:5000", true, false, true),
            ("0.0.0.0:5000", true, true, false),
            ("0.0.0.0:5000", false, false, false),
        ] {
            let listen = ["127.0.0.1:1".parse().unwrap(), listen.parse().unwrap()];
            let result = refuse_network(&options(anonymous, ephemeral), &listen);
            assert_eq!(result.is_err(), is_refused, "{listen:?}");
        }
    }

    #[test]
    fn the_refusal_names_the_ways_out() {
        let failure = refuse_network(&options(true, false), &["0.0.0.0:5001".parse().unwrap()]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert_eq!(
            failure.to_string(),
            "error: an open registry is refused on a network\n  \
               why:   --open lets everyone who can reach 0.0.0.0:5001 push and delete\n  \
               fix:   only for this computer: --open --listen 127.0.0.1:5001\n         \
                      to be thrown away: --open --ephemeral\n         \
                      with a password: leave --open out"
        );
    }
}
