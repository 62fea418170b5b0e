//! The first message of a TLS handshake (`ClientHello`, RFC 8446 section 4.1.2). The server waits for it with
//! the bytes left in the kernel's buffer, where a connection that never sends all of it takes neither memory
//! nor a slot.

use std::io;

use actix_web::rt::net::TcpStream;
use rustix::io::ioctl_fionread;
use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;

/// The first byte of every TLS connection: the content type of a handshake.
pub(super) const TLS_HANDSHAKE: u8 = 0x16;
/// Bytes of a record's head.
const RECORD_HEAD: usize = 5;
/// Bytes of a handshake message's head.
const MESSAGE_HEAD: usize = 4;
/// The largest content of a record (RFC 8446, section 5.1).
const LARGEST_RECORD: usize = 16 << 10;

/// The first bytes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hello {
    /// Not TLS.
    Plain,
    /// A complete `ClientHello`.
    Whole,
    /// The first record of a `ClientHello` that has several. Normal clients need less than one record.
    Long,
}

impl Hello {
    /// Waits for it, and leaves it in the kernel's buffer.
    pub(super) async fn of(stream: &TcpStream) -> io::Result<Self> {
        loop {
            let ready = stream.ready(Interest::READABLE).await?;
            match stream.try_io(Interest::READABLE, || look(stream)) {
                // The client will send nothing more, and the stream would be ready again and again.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && ready.is_read_closed() => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                found => return found,
            }
        }
    }
}

/// What was received so far; [`io::ErrorKind::WouldBlock`] if it is not enough to tell.
fn look(stream: &TcpStream) -> io::Result<Hello> {
    let mut head = [0; RECORD_HEAD + MESSAGE_HEAD];
    let (read, _) = recv(stream, &mut head, RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if head[0] != TLS_HANDSHAKE {
        return Ok(Hello::Plain);
    }
    if read < head.len() {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let record = usize::from(u16::from_be_bytes([head[3], head[4]]));
    let message = u32::from_be_bytes([0, head[6], head[7], head[8]]) as usize;
    if record > LARGEST_RECORD {
        // The handshake refuses it.
        return Ok(Hello::Whole);
    }
    if ioctl_fionread(stream)? < (RECORD_HEAD + record) as u64 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(if MESSAGE_HEAD + message > record { Hello::Long } else { Hello::Whole })
}
