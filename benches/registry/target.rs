//! A registry under test: its address, its authentication, its process.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::process;
use crate::token::{self, Challenge};

/// How long a token must be valid after it was prepared: for a round and its checks.
const LASTING: Duration = Duration::from_secs(30);

/// A target on the command line.
#[derive(Clone, Debug)]
pub(crate) struct TargetSpec {
    /// Its name in the results.
    pub(crate) name: String,
    url: String,
    user: Option<String>,
    password: String,
    pid: Option<u32>,
    basic: bool,
}

impl FromStr for TargetSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let (name, url) = parts.next().and_then(|first| first.split_once('=')).ok_or("not NAME=URL")?;
        let mut spec = Self {
            name: name.into(),
            url: url.into(),
            user: None,
            password: String::new(),
            pid: None,
            basic: false,
        };
        for part in parts {
            match part.split_once('=') {
                Some(("user", user)) => spec.user = Some(user.into()),
                Some(("pass", password)) => spec.password = password.into(),
                Some(("pid", pid)) => {
                    spec.pid = Some(pid.parse().map_err(|_| format!("not a process number: {pid:?}"))?);
                }
                Some(("auth", "basic")) => spec.basic = true,
                _ => return Err(format!("{part:?} is none of user=, pass=, pid=, auth=basic")),
            }
        }
        Ok(spec)
    }
}

/// The authentication of a target.
#[derive(Clone, Debug)]
enum Door {
    Open,
    Basic(String),
    Bearer(Challenge),
}

/// Header lines that all requests for one scope share.
#[derive(Clone, Debug)]
pub(crate) struct Common(pub(crate) String);

/// A target that has answered.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its name in the results.
    pub(crate) name: String,
    /// Its address.
    pub(crate) address: SocketAddr,
    /// The process whose CPU time and memory are measured.
    pub(crate) pid: Option<u32>,
    host: String,
    door: Door,
    credentials: Option<String>,
    tokens: Mutex<HashMap<String, (String, Instant)>>,
}

impl Target {
    /// Asks the target how to authenticate.
    pub(crate) async fn connect(spec: &TargetSpec) -> Result<Self, Failure> {
        let (host, _) = split_url(&spec.url)?;
        let address = resolve(&host)?;
        if let Some(pid) = spec.pid
            && process::cpu_time(pid).is_none()
        {
            return Err(Failure(format!("there is no process {pid}")));
        }
        let credentials = spec
            .user
            .as_ref()
            .map(|user| format!("Basic {}", STANDARD.encode(format!("{user}:{}", spec.password))));
        let mut connection = Connection::open(address).await?;
        connection.write(format!("GET /v2/ HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
        let (status, _) = connection.answer(false, &mut |_| ()).await?;
        let bearer = connection.challenges().iter().find_map(|text| text.parse::<Challenge>().ok());
        let door = match (status, bearer, credentials.clone()) {
            (401, Some(challenge), _) if !spec.basic => Door::Bearer(challenge),
            (200 | 401, _, Some(credentials)) => Door::Basic(credentials),
            (200, _, None) => Door::Open,
            (401, ..) => return Err(Failure("it wants credentials: add ,user=NAME,pass=PASSWORD".into())),
            (status, ..) => return Err(Failure(format!("GET /v2/ answers {status}: is this a registry?"))),
        };
        Ok(Self {
            name: spec.name.clone(),
            address,
            pid: spec.pid,
            host,
            door,
            credentials,
            tokens: Mutex::default(),
        })
    }

    /// The header lines of requests for these scopes. A token is fetched once and used until it is about to
    /// expire.
    pub(crate) async fn common(&self, scopes: &[&str]) -> Result<Common, Failure> {
        let authorization = match &self.door {
            Door::Open => String::new(),
            Door::Basic(credentials) => format!("Authorization: {credentials}\r\n"),
            Door::Bearer(challenge) => {
                format!("Authorization: Bearer {}\r\n", self.token(challenge, scopes).await?)
            }
        };
        Ok(Common(format!("Host: {}\r\nUser-Agent: stowage-bench\r\n{authorization}", self.host)))
    }

    async fn token(&self, challenge: &Challenge, scopes: &[&str]) -> Result<String, Failure> {
        let key = scopes.join(" ");
        let known = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((token, expires)) = known
            && expires.saturating_duration_since(Instant::now()) > LASTING
        {
            return Ok(token);
        }
        let asked = Instant::now();
        let granted = token::fetch(challenge, scopes, self.credentials.as_deref()).await?;
        let entry = (granted.token.clone(), asked + granted.lifetime);
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(key, entry);
        Ok(granted.token)
    }
}

/// The host with its port, and the path, of a plain URL.
pub(crate) fn split_url(url: &str) -> Result<(String, String), Failure> {
    let rest =
        url.strip_prefix("http://").ok_or_else(|| Failure(format!("{url:?} is not an http:// URL")))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let host = if port { host.to_owned() } else { format!("{host}:80") };
    Ok((host, format!("/{path}")))
}

/// The address of a host with its port.
pub(crate) fn resolve(host: &str) -> Result<SocketAddr, Failure> {
    let found = host.to_socket_addrs().map_err(|error| Failure(format!("{host}: {error}")))?;
    found.into_iter().next().ok_or_else(|| Failure(format!("{host} has no address")))
}
