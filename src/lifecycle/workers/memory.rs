//! Returns unused memory to the operating system.

use std::time::Duration;

use crate::lifecycle::worker::Worker;
use crate::store::give_unused_memory_back;

pub(super) struct GiveMemoryBack;

impl Worker for GiveMemoryBack {
    fn pause(&self) -> Duration {
        Duration::from_secs(10)
    }

    async fn step(&self) {
        drop(tokio::task::spawn_blocking(give_unused_memory_back));
    }
}
