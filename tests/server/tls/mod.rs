//! TLS, headers of proxies, and settings that change while the server runs.

#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod certificate_reload;
mod certificate_warnings;
mod client;
mod listener;
mod modes;
mod own_client;
mod process;
mod proxies;
mod settings_reload;
