//! Ctrl-C during long work: the first one stops it in order, the second one at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::errors::Exit;
use super::output;

/// Whether Ctrl-C has asked for the work to end.
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on the first Ctrl-C is recorded, and `ending` is printed. If the signal cannot be caught, it
    /// ends the program as usual.
    pub(super) fn catch(ending: &'static str) -> Self {
        let wanted = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&wanted);
        std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else {
                return;
            };
            runtime.block_on(async {
                if tokio::signal::ctrl_c().await.is_ok() {
                    noted.store(true, Ordering::Release);
                    output::note(ending);
                    if tokio::signal::ctrl_c().await.is_ok() {
                        std::process::exit(i32::from(Exit::Interrupted.code()));
                    }
                }
            });
        });
        Self(wanted)
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
