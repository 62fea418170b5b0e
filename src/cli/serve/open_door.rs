//! Refuses, or warns about, access from other computers.

use std::path::Path;

use super::Options;
use crate::cli::data_dir;
use crate::cli::errors::{Exit, Failure};
use crate::config::{Environment, LISTEN_KEY, Loaded, ServerConfig};

/// Refuses an open registry on the network, unless its store is temporary.
pub(super) fn refuse_network(options: &Options, server: &ServerConfig) -> Result<(), Failure> {
    let Some(address) = server.beyond_loopback() else { return Ok(()) };
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

/// Logs, once, settings that are probably not intended: the warnings of `check-config`, and those about
/// flags.
pub(super) fn warn(options: &Options, loaded: &Loaded, environment: &Environment, data_dir: &Path) {
    let is_network = loaded.config.server.beyond_loopback().is_some();
    if options.anonymous {
        let reach = if is_network { "who reaches this computer" } else { "on this computer" };
        tracing::warn!("open registry: everyone {reach} may pull, push and delete (--open)");
    }
    for warning in loaded.warnings(environment, !data_dir::has_store(data_dir)) {
        // An open registry has no passwords that could be read on the network.
        if !(options.anonymous && warning.key == LISTEN_KEY) {
            tracing::warn!(key = warning.key, fix = warning.fix, "{}", warning.message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(anonymous: bool, ephemeral: bool) -> Options {
        Options { listen: vec![], data_dir: None, ephemeral, anonymous, log_level: None }
    }

    fn server(listen: &[&str]) -> ServerConfig {
        let listen = listen.iter().map(|address| address.parse().unwrap()).collect();
        ServerConfig { listen, ..ServerConfig::default() }
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
            let result = refuse_network(&options(anonymous, ephemeral), &server(&["127.0.0.1:1", listen]));
            assert_eq!(result.is_err(), is_refused, "{listen:?}");
        }
    }

    #[test]
    fn the_refusal_names_the_ways_out() {
        let failure = refuse_network(&options(true, false), &server(&["0.0.0.0:5001"])).unwrap_err();
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
