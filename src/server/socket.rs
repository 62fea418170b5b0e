//! The admin socket: a Unix socket that serves the admin API to every process that may open its file.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::dev::{Extensions, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::rt::System;
use actix_web::rt::net::UnixStream as Connection;
use actix_web::web::Data;
use actix_web::{App as WebApp, HttpServer};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::app::App;
use crate::config::user_name;
use crate::http;
use crate::http::admin::LocalPeer;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;
/// How long the name of a local user is cached.
const NAME_FOR: Duration = Duration::from_mins(1);

/// Why the admin socket could not be created.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another server listens there.
    #[error("another server listens on {}", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

/// A Unix socket that listens already, and is served by a [`Server`](super::Server) or by itself. Dropping it
/// removes its file.
pub struct AdminSocket {
    listener: UnixListener,
    file: SocketFile,
}

/// The file of a listening socket. It is removed on drop, unless another file has its name by then.
struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.id) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl AdminSocket {
    /// Listens at `path`. No process can connect before the file has its `mode`, which is the access control.
    /// The file of a server that has ended is replaced.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, SocketError> {
        if let Some(directory) = path.parent() {
            match DirBuilder::new().mode(0o750).create(directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(at(path)(error)),
                _ => {}
            }
        }
        remove_stale(path)?;
        let (listener, id) = listen(path, mode).map_err(at(path))?;
        Ok(Self { listener, file: SocketFile { path: path.to_owned(), id } })
    }

    /// The path of its file.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Serves until `stop` is ready, then closes `app`: for a command that works while no server runs.
    pub fn run_until(self, app: &Arc<App>, stop: impl Future<Output = ()> + 'static) -> io::Result<()> {
        let served = System::new().block_on(async {
            let serving = self.serve(app)?;
            stop.await;
            serving.stop().await;
            Ok(())
        });
        app.close();
        served
    }

    /// Starts to serve.
    pub(super) fn serve(self, app: &Arc<App>) -> io::Result<Serving> {
        let data = Data::from(Arc::clone(app));
        let server = HttpServer::new(move || {
            WebApp::new()
                .app_data(data.clone())
                .wrap(from_fn(http::observe_socket))
                .configure(http::admin::socket_routes)
        })
        .workers(1)
        .shutdown_timeout(5)
        .on_connect(name_peer)
        .disable_signals()
        .listen_uds(self.listener)?
        .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Ok(Serving { handle, _file: self.file })
    }
}

/// An admin socket that is being served.
pub(super) struct Serving {
    handle: ServerHandle,
    _file: SocketFile,
}

impl Serving {
    /// Completes running requests and removes the file.
    pub(super) async fn stop(self) {
        self.handle.stop(true).await;
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> SocketError {
    move |source| SocketError::Io { path: path.to_owned(), source }
}

/// Removes the file of a socket on which no process listens.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    if !fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        return Ok(());
    }
    match connect_socket(path) {
        Ok(_) => Err(SocketError::InUse { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(at(path))
        }
        Err(error) => Err(at(path)(error)),
    }
}

/// Connects to the socket at `path`, however long the path is.
pub fn connect_socket(path: &Path) -> io::Result<UnixStream> {
    let (_directory, address) = address(path)?;
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &address)?;
    Ok(UnixStream::from(socket))
}

/// The address of a socket. The kernel takes at most 107 bytes: a longer path is opened through a descriptor
/// of its directory, which must stay open meanwhile.
fn address(path: &Path) -> io::Result<(Option<File>, SocketAddrUnix)> {
    if let Ok(address) = SocketAddrUnix::new(path) {
        return Ok((None, address));
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let directory = File::open(directory)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    let address = SocketAddrUnix::new(&short)?;
    Ok((Some(directory), address))
}

fn listen(path: &Path, mode: u32) -> io::Result<(UnixListener, (u64, u64))> {
    let (_directory, address) = address(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &address)?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    rustix::net::listen(&socket, BACKLOG)?;
    let file = fs::symlink_metadata(path)?;
    Ok((UnixListener::from(socket), (file.dev(), file.ino())))
}

fn name_peer(connection: &dyn std::any::Any, extensions: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<Connection>() else { return };
    match stream.peer_cred() {
        Ok(peer) => {
            let name = NAMES.of(peer.uid(), Instant::now(), user_name);
            extensions.insert(LocalPeer::new(&name));
        }
        // A connection without a name has no permissions.
        Err(error) => tracing::warn!(%error, "cannot determine the user at the admin socket"),
    }
}

static NAMES: KnownNames = KnownNames(Mutex::new(Vec::new()));

/// A cache of the names of local users, so that not every connection reads the system's list of users.
struct KnownNames(Mutex<Vec<(u32, Instant, String)>>);

impl KnownNames {
    /// The name of a user by `read`, which is called at most once in [`NAME_FOR`].
    fn of(&self, uid: u32, now: Instant, read: impl FnOnce(u32) -> String) -> String {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|(_, asked, _)| now.duration_since(*asked) < NAME_FOR);
        if let Some((_, _, name)) = names.iter().find(|(known, _, _)| *known == uid) {
            return name.clone();
        }
        let name = read(uid);
        names.push((uid, now, name.clone()));
        name
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/admin.sock");
        let first = AdminSocket::bind(&path, 0o660).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(AdminSocket::bind(&path, 0o660), Err(SocketError::InUse { .. })));
        // Leaves the file as a killed server would.
        let AdminSocket { listener, file } = first;
        drop(listener);
        std::mem::forget(file);
        assert!(path.exists());
        let second = AdminSocket::bind(&path, 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(AdminSocket::bind(&path, 0o660), Err(SocketError::Io { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn local_users_are_named() {
        for _ in 0..2 {
            let name = |uid| NAMES.of(uid, Instant::now(), user_name);
            assert_eq!((name(0).as_str(), name(4_000_000_001).as_str()), ("root", "4000000001"));
        }
    }

    #[test]
    fn however_many_connect_the_list_of_users_is_read_once_a_minute_for_each() {
        let (names, reads) = (KnownNames(Mutex::default()), Cell::new(0));
        let name = |uid, now| {
            names.of(uid, now, |uid| {
                reads.set(reads.get() + 1);
                format!("user{uid}")
            })
        };
        let begun = Instant::now();
        for number in 0..1_000 {
            let now = begun + NAME_FOR / 1_000 * number;
            assert_eq!((name(7, now), name(8, now)), ("user7".to_owned(), "user8".to_owned()));
        }
        assert_eq!(reads.get(), 2);
        // A user who was renamed has the new name a minute later.
        assert_eq!(name(7, begun + NAME_FOR), "user7");
        assert_eq!(reads.get(), 3);
    }
}
