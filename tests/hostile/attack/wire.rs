//! A connection of the attacker, plain or with TLS, with non-blocking I/O.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

pub(super) struct Wire {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Wire {
    /// Needs a non-blocking socket.
    pub(super) fn new(tcp: TcpStream, tls: Option<&Arc<ClientConfig>>) -> Self {
        let tls = tls.map(|config| {
            let name = ServerName::try_from("localhost").expect("a name");
            Box::new(ClientConnection::new(Arc::clone(config), name).expect("a connection"))
        });
        Self { tcp, tls }
    }

    /// Sends bytes, after the handshake.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.tcp.write(bytes) };
        while tls.is_handshaking() {
            while tls.wants_write() {
                tls.write_tls(&mut self.tcp)?;
            }
            if tls.is_handshaking() {
                receive(tls, &mut self.tcp)?;
            }
        }
        let taken = tls.writer().write(bytes)?;
        while tls.wants_write() {
            tls.write_tls(&mut self.tcp)?;
        }
        Ok(taken)
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.tcp.read(buffer) };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => receive(tls, &mut self.tcp)?,
                other => return other,
            }
        }
    }

    /// Closes the sending side.
    pub(super) fn end(&self) {
        let _ = self.tcp.shutdown(Shutdown::Write);
    }
}

fn receive(tls: &mut ClientConnection, tcp: &mut TcpStream) -> io::Result<()> {
    if tls.read_tls(tcp)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    tls.process_new_packets().map(drop).map_err(io::Error::other)
}
