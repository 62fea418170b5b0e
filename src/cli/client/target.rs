//! The address of a server, and the credential for it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::trust::Trust;
use crate::cli::errors::{Exit, Failure};
use crate::config::{Environment, PublicUrl, Scheme, SecretFile};
use crate::telemetry::Secret;

/// The admin API of a server.
pub(in crate::cli) enum Target {
    /// Its admin socket, where no sign-in is needed.
    Socket(PathBuf),
    /// The address of its registry.
    Remote(Remote),
}

/// A server that is reached over the network.
pub(in crate::cli) struct Remote {
    /// The URL as the user has written it.
    pub(super) url: String,
    /// The host and the port, as in the `Host` header.
    pub(super) authority: String,
    /// The host without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    /// The TLS configuration; `None` for plain HTTP.
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) token: Option<Secret<String>>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
            Self::Remote(remote) => f.write_str(&remote.url),
        }
    }
}

impl Target {
    /// The server of a URL. The token is read from its file, else from the environment.
    pub(super) fn named(
        server: &str,
        token_file: Option<&Path>,
        ca_file: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self, Failure> {
        if let Some(path) = server.strip_prefix("unix:") {
            if path.starts_with('/') {
                return Ok(Self::Socket(PathBuf::from(path)));
            }
            return Err(wrong_url(format!("{server:?} names no socket")));
        }
        let url: PublicUrl = server.parse().map_err(|_| wrong_url(format!("{server:?} names no server")))?;
        let (scheme, authority) =
            url.get().ok_or_else(|| wrong_url("the server's URL is empty".to_owned()))?;
        let (host, port) = parts(authority, scheme);
        let token = token(token_file, environment)?;
        if scheme == Scheme::Http && token.is_some() && !is_this_computer(&host) {
            let what = format!("{url} is not encrypted: others on the network could read the token");
            return Err(Failure::new(Exit::Usage, "TOKEN_IN_CLEAR", what)
                .fix("use https://, or run the command on the server itself"));
        }
        let tls = match scheme {
            Scheme::Http => None,
            Scheme::Https => Some(tls(ca_file)?),
        };
        let (url, authority) = (url.to_string(), authority.to_owned());
        Ok(Self::Remote(Remote { url, authority, host, port, tls, token }))
    }
}

fn wrong_url(what: String) -> Failure {
    Failure::new(Exit::Usage, "SERVER_URL", what)
        .fix("name its address or its socket: --server https://registry.lan")
        .fix("or: --server unix:/run/stowage/admin.sock")
}

/// The host and the port of a URL's authority.
fn parts(authority: &str, scheme: Scheme) -> (String, u16) {
    let usual = if scheme == Scheme::Https { 443 } else { 80 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(usual)),
        _ => (authority, usual),
    };
    (host.trim_start_matches('[').trim_end_matches(']').to_owned(), port)
}

fn is_this_computer(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn token(file: Option<&Path>, environment: &Environment) -> Result<Option<Secret<String>>, Failure> {
    let token = match (file, environment.get("STOWAGE_TOKEN")) {
        (Some(file), _) => SecretFile::new(file.to_string_lossy()).read(environment)?,
        (None, Some(token)) => token.to_string_lossy().into_owned(),
        (None, None) => return Ok(None),
    };
    let token = token.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let place = file.map_or("STOWAGE_TOKEN".to_owned(), |file| file.display().to_string());
        return Err(Failure::new(Exit::Usage, "TOKEN_INVALID", format!("there is no token in {place}"))
            .fix("make one on the server: stowage token create USER --name NAME --scopes api"));
    }
    Ok(Some(Secret::new(token.to_owned())))
}

/// TLS with the certificates in a file, or with the CA certificates of this computer.
fn tls(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    let (found, place) = match ca_file {
        Some(file) => (from_file(file)?, file.display().to_string()),
        None => (rustls_native_certs::load_native_certs().certs, "this computer".to_owned()),
    };
    let named = if ca_file.is_some() { found.clone() } else { Vec::new() };
    let (good, _) = roots.add_parsable_certificates(found);
    if good == 0 {
        let what = format!("there is no CA certificate in {place}");
        return Err(Failure::new(Exit::Configuration, "NO_AUTHORITY", what)
            .fix("name a PEM file with the certificate that the server's was made with: --ca-file FILE"));
    }
    let failed = |error: &dyn fmt::Display| Failure::new(Exit::Failed, "TLS", error.to_string());
    let provider = Arc::new(ring::default_provider());
    let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let authorities = authorities.build().map_err(|error| failed(&error))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trust { named, authorities }));
    Ok(Arc::new(config.with_no_client_auth()))
}

fn from_file(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let bytes = fs::read(file);
    let found = bytes.and_then(|bytes| rustls_pemfile::certs(&mut bytes.as_slice()).collect());
    found.map_err(|error: std::io::Error| {
        Failure::new(Exit::Configuration, "NO_AUTHORITY", format!("cannot read {}", file.display()))
            .because(error.to_string())
            .fix("name a PEM file: --ca-file FILE")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(server: &str, environment: &[(&str, &str)]) -> Result<Target, Failure> {
        Target::named(server, None, None, &environment.iter().copied().collect())
    }

    #[test]
    fn a_server_is_named_by_its_socket_or_its_address() {
        assert!(matches!(named("unix:/x", &[]).unwrap(), Target::Socket(path) if path == Path::new("/x")));
        for (url, host, port) in [
            ("http://127.0.0.1:5000", "127.0.0.1", 5000),
            ("http://Registry.lan/", "registry.lan", 80),
            ("http://[::1]:7", "::1", 7),
            ("http://[::1]", "::1", 80),
        ] {
            let Ok(Target::Remote(remote)) = named(url, &[]) else { panic!("{url}") };
            assert_eq!((remote.host.as_str(), remote.port), (host, port));
        }
        for wrong in ["unix:x", "/x", "registry.lan", "https://registry.lan/v2", "ftp://x", ""] {
            assert_eq!(named(wrong, &[]).err().unwrap().exit, Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn a_token_does_not_go_over_the_network_in_clear() {
        let token = [("STOWAGE_TOKEN", "stw_pat_x\n")];
        for here in ["http://127.0.0.1:5000", "http://[::1]", "http://localhost:1"] {
            assert!(named(here, &token).is_ok(), "{here}");
        }
        for there in ["http://registry.lan", "http://10.0.0.7:5000"] {
            assert_eq!(named(there, &token).err().unwrap().code, "TOKEN_IN_CLEAR");
            assert!(named(there, &[]).is_ok());
        }
        for wrong in [" ", "a b", "stw\r\nX: y"] {
            let failure = named("http://localhost", &[("STOWAGE_TOKEN", wrong)]).err().unwrap();
            assert_eq!((failure.exit, failure.code.as_str()), (Exit::Usage, "TOKEN_INVALID"));
        }
    }
}
