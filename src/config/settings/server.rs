//! `[server]`: addresses, workers and times.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::tls::TlsConfig;
use crate::config::listen;
use crate::config::network::Network;
use crate::config::public_url::PublicUrl;
use crate::model::units::HumanDuration;

/// `[server]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Addresses to listen on.
    #[serde(deserialize_with = "listen::addresses")]
    pub listen: Vec<SocketAddr>,
    /// The URL under which clients know the server; empty: taken from each request.
    pub public_url: PublicUrl,
    /// Proxies whose headers about the client are accepted.
    pub trusted_proxies: Vec<Network>,
    /// Worker threads; 0: one for each core.
    pub workers: usize,
    /// Connections of the whole server; more of them wait.
    pub max_connections: usize,
    /// How long an idle connection is kept.
    pub keep_alive: HumanDuration,
    /// How long a client may take to send the head of a request.
    pub client_header_timeout: HumanDuration,
    /// How long an upload may be idle before its connection is dropped; its session survives.
    pub client_idle_timeout: HumanDuration,
    /// How long transfers in flight may go on at a stop.
    pub shutdown_grace: HumanDuration,
    /// `[server.tls]`: TLS without a proxy.
    pub tls: TlsConfig,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 5000))],
            public_url: PublicUrl::default(),
            trusted_proxies: Network::loopback(),
            workers: 0,
            max_connections: 4096,
            keep_alive: HumanDuration::from_secs(75),
            client_header_timeout: HumanDuration::from_secs(15),
            client_idle_timeout: HumanDuration::minutes(5),
            shutdown_grace: HumanDuration::from_secs(100),
            tls: TlsConfig::default(),
        }
    }
}
