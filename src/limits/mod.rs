//! Limits per principal: what each of them makes the server hold, in memory or in transfer, and how much of
//! it is permitted.
//!
//! Everything that a request can make the server hold is a [`Resource`]. A [`Charge`] counts an amount of it
//! for one [`Holder`] and releases it when it is dropped, so that no error path can leak it. Each resource
//! has a limit per principal and, for most, one over all principals. Waiting requests are served round-robin
//! by principal: a principal with a thousand waiting requests delays another one by one request.

mod account;
mod evictable;
mod evictions;
mod holder;
mod ledger;
mod reached;
mod resource;
mod settings;
mod state;
#[cfg(test)]
mod tests;

pub use evictable::Evictable;
pub use holder::{Holder, HolderId, network_of};
pub use ledger::{Charge, Ledger};
pub use reached::{LimitReached, Standing};
pub use resource::Resource;
pub use settings::{Limit, Limits};
