//! `stowage serve`: runs the registry.

mod admin_socket;
mod banner;
mod first_admin;
mod new_store;
mod open_door;
mod reload;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use self::banner::Banner;
use self::reload::{Reload, Sources};
use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure, Typed};
use super::private_dir::PrivateDir;
use super::{output, probe};
use crate::app::{App, Hooks, Older, Start};
use crate::config::{Flags, Loaded, LogFilter, LogFormat, Scheme, parse_listen};
use crate::server::{Ended, Server, Signals, Tls};
use crate::telemetry::{self, Stderr};

/// Run the registry
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stowage serve\n  stowage serve --listen 127.0.0.1:5001 --data-dir /srv/stowage\n  \
                  stowage serve --ephemeral --open"
)]
pub(super) struct Options {
    /// Listen on ADDR, an IP address and a port; may be given more than once
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    listen: Vec<SocketAddr>,
    /// Keep the data in DIR
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    data_dir: Option<PathBuf>,
    /// Keep the data in a new directory that is removed at the end, on any free port; for tests
    #[arg(long)]
    ephemeral: bool,
    /// Allow everyone to pull, push and delete without signing in
    #[arg(long = "open", alias = "anonymous")]
    anonymous: bool,
    /// Log more or less: error, warn, info, debug, trace or off, for parts of the program for example
    /// `info,stowage::store=debug`
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LogFilter>,
}

impl Command for Options {
    fn name(&self) -> &'static str {
        "serve"
    }

    fn typed(&self) -> Typed {
        Typed { data_dir: Typed::flag("--data-dir", self.data_dir.as_deref()), ..Typed::default() }
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let started = Instant::now();
        let ephemeral = self.ephemeral.then(PrivateDir::create).transpose()?;
        let sources = Sources {
            context: context.clone(),
            flags: self.flags(ephemeral.as_ref()),
            ephemeral: self.ephemeral,
        };
        let loaded = sources.load()?;
        open_door::refuse_network(self, &loaded.config.server)?;
        let stderr = context.stderr();
        let log = telemetry::init(&loaded.config.log, stderr).map_err(|error| {
            Failure::new(Exit::Failed, "NO_LOG", error.to_string())
                .because(telemetry::Chain(&error).to_string())
        })?;
        let serve = Serve { started, options: self, context, sources, loaded, stderr };
        match serve.start() {
            Ok(running) => serve.run(running, &log),
            Err(failure) if serve.logs_json() => {
                let failure = failure.completed(&context.typed);
                let (why, fix) = (failure.reasons(), failure.all_fixes());
                tracing::error!(code = failure.code, why, fix, "{}", failure.what);
                Ok(failure.exit)
            }
            Err(failure) => Err(failure),
        }
    }
}

impl Options {
    fn flags(&self, ephemeral: Option<&PrivateDir>) -> Flags {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listen =
            if ephemeral.is_some() && self.listen.is_empty() { vec![any_port] } else { self.listen.clone() };
        let data_dir =
            ephemeral.map(|directory| directory.path().to_owned()).or_else(|| self.data_dir.clone());
        Flags { listen, data_dir, log_level: self.log_level.clone() }
    }
}

/// One run of the server.
struct Serve<'a> {
    started: Instant,
    options: &'a Options,
    context: &'a Context,
    sources: Sources,
    loaded: Loaded,
    stderr: Stderr,
}

struct Running {
    app: Arc<App>,
    server: Server,
    data_dir: PathBuf,
}

impl Serve<'_> {
    fn start(&self) -> Result<Running, Failure> {
        let config = &self.loaded.config;
        // Checked before anything is created: a wrong port is the most likely mistake.
        for address in config.server.listen.iter().filter(|address| address.port() != 0) {
            TcpListener::bind(address).map_err(|error| Failure::cannot_listen(*address, &error))?;
        }
        let tls = Tls::load(&config.server.tls, &self.context.environment)?;
        let (data_dir, blob_dir) = self.context.directories(&self.loaded)?;
        new_store::refuse_foreign_files(&self.loaded, &self.context.environment, &data_dir, &blob_dir)?;
        let first_admin =
            first_admin::choose(self.options, &self.loaded, &self.context.environment, &data_dir)?;
        open_door::warn(self.options, &self.loaded, &self.context.environment, &data_dir);
        probe::after_unclean_stop(&data_dir)?;
        let app = App::open(Start {
            config: config.clone(),
            data_dir: data_dir.clone(),
            open_registry: self.options.anonymous,
            first_admin,
            older: Older::CopyAndMigrate,
            hooks: Hooks::default(),
        })?;
        let server = Server::bind(config, tls, app.clone())
            .map_err(|error| Failure::cannot_listen(error.addr, &error.source))?;
        let server = match admin_socket::bind(&self.loaded, &self.context.environment, &data_dir)? {
            Some(socket) => {
                app.note_socket(socket.path());
                server.with_admin_socket(socket)
            }
            None => server,
        };
        Ok(Running { app, server, data_dir })
    }

    fn run(&self, running: Running, log: &telemetry::Guard) -> Result<Exit, Failure> {
        let Running { app, server, data_dir } = running;
        let failed = |error: io::Error| {
            Failure::new(Exit::Failed, "SERVER_FAILED", "the server failed").because(error.to_string())
        };
        // A process that reads the ready message may send signals, so they are caught before.
        let signals = Signals::catch().map_err(failed)?;
        let named = Typed::flag("--data-dir", self.sources.flags.data_dir.as_deref());
        let typed = Typed { data_dir: named, ..self.context.typed.clone() };
        let banner = Banner {
            file: self.loaded.file.clone(),
            free_bytes: banner::free_bytes(&data_dir),
            addresses: server.addresses(),
            scheme: if server.live().certificate.is_some() { Scheme::Https } else { Scheme::Http },
            public_url: self.loaded.config.server.public_url.clone(),
            socket: server.socket().map(ToOwned::to_owned),
            command: typed.complete("stowage user add NAME"),
            new_admin: app.new_admin(),
            open: self.options.anonymous,
            data_dir,
            ready_in: self.started.elapsed(),
        };
        drop(app);
        if self.options.ephemeral {
            output::print(&banner.variables())?;
        }
        if self.stderr.is_terminal() {
            log.flush();
            output::note(&banner.text());
        } else {
            banner.log();
        }
        // The banner was the last owner of the password.
        drop(banner);
        let reload =
            Reload::new(self.sources.clone(), &self.loaded, server.live(), log.filter(), self.stderr);
        let ended = server.run(signals, move || reload.run()).map_err(failed)?;
        if ended == Ended::AtOnce {
            return Ok(Exit::Interrupted);
        }
        tracing::info!("stopped");
        Ok(Exit::Done)
    }

    fn logs_json(&self) -> bool {
        self.loaded.config.log.format == LogFormat::Json && !self.stderr.is_terminal()
    }
}
