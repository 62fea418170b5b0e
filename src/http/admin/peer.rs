//! The user at the other end of the admin socket.

use std::sync::Arc;

use actix_web::HttpRequest;

use crate::access::{Caller, Principal};

/// The local user who opened a connection, by the kernel's peer credentials. The server attaches it to the
/// connection.
#[derive(Clone, Debug)]
pub struct LocalPeer(Arc<str>);

impl LocalPeer {
    /// The user of this name, such as `unix:hanna`. No user of the registry has a colon in the name.
    pub fn new(name: &str) -> Self {
        Self(Arc::from(format!("unix:{name}")))
    }
}

/// The caller of a request that came through the admin socket.
pub(in crate::http) fn local_caller(request: &HttpRequest) -> Option<Caller> {
    let LocalPeer(name) = request.conn_data::<LocalPeer>()?;
    Some(Caller { principal: Principal::Local { name: Arc::clone(name) }, address: None })
}
