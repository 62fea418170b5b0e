//! Warnings about a valid configuration: the same list for `check-config` and for `serve`.

use std::net::SocketAddr;

use super::check::SettingProblem;
use super::environment::Environment;
use super::loaded::{Loaded, Source};
use super::machine::Machine;
use super::settings::ServerConfig;
use crate::model::units::human_size;

/// The key of the listen addresses; in an open registry its warning is left out.
pub const LISTEN: &str = "server.listen";

impl Loaded {
    /// Settings that work and are probably not intended. `is_new` says that there is no store yet.
    pub fn warnings(&self, environment: &Environment, is_new: bool) -> Vec<SettingProblem> {
        let mut found = Vec::new();
        let config = &self.config;
        if let Some(address) = config.server.beyond_loopback().filter(|_| !config.server.tls.is_on()) {
            found.push(SettingProblem {
                key: LISTEN,
                message: format!(
                    "listening without TLS beyond this computer ({address}): passwords are sent unencrypted"
                ),
                fix: "set [server.tls], put a proxy with TLS in front, or listen on 127.0.0.1".to_owned(),
            });
        }
        if config.server.trusted_proxies.iter().any(|network| network.is_everything()) {
            found.push(SettingProblem {
                key: "server.trusted_proxies",
                message: "every client is trusted as a proxy, and can claim any address".to_owned(),
                fix: "name the addresses of your proxies only".to_owned(),
            });
        }
        let (cache, memory) = (config.storage.metadata_cache, Machine::this().memory);
        let is_set = self.source("storage.metadata_cache") != Source::Default;
        if let Some(memory) = memory.filter(|memory| is_set && cache.bytes() > memory / 2) {
            found.push(SettingProblem {
                key: "storage.metadata_cache",
                message: format!("{cache} is more than half of the memory ({})", human_size(memory)),
                fix: "leave memory for transfers".to_owned(),
            });
        }
        let (min_free, warn_free) = (config.storage.min_free, config.storage.warn_free);
        if !warn_free.is_nothing() && warn_free.is_at_most(min_free) {
            found.push(SettingProblem {
                key: "storage.warn_free",
                message: format!(
                    "{warn_free} is not more than storage.min_free ({min_free}): nothing warns before pushes are refused"
                ),
                fix: "set it to more than storage.min_free, or to \"0\" for no warning".to_owned(),
            });
        }
        // The password file is needed at the first start only, and may be removed after it.
        let password = &config.auth.initial_admin_password_file;
        if is_new
            && password.is_set()
            && let Err(error) = password.read(environment)
        {
            found.push(SettingProblem {
                key: "auth.initial_admin_password_file",
                message: format!("{error}: the first start needs it"),
                fix: error.fix(),
            });
        }
        found
    }
}

impl ServerConfig {
    /// An address that other computers can reach.
    pub fn beyond_loopback(&self) -> Option<SocketAddr> {
        self.listen.iter().copied().find(|address| !address.ip().to_canonical().is_loopback())
    }
}
