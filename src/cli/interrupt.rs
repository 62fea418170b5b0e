//! Ctrl-C and SIGTERM during long work: the first one stops it in order, the second one at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::errors::Exit;
use super::output;

/// Whether a signal has asked for the work to end.
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on the first signal is recorded, and `ending` is printed. If signals cannot be caught, they
    /// end the program as usual.
    pub(super) fn catch(ending: &'static str) -> Self {
        let wanted = Arc::new(AtomicBool::new(false));
        let runtime = Builder::new_current_thread().enable_io().build();
        let caught = runtime.and_then(|runtime| Ok((Signals::catch(&runtime)?, runtime)));
        if let Ok((signals, runtime)) = caught {
            let noted = Arc::clone(&wanted);
            std::thread::spawn(move || runtime.block_on(signals.follow(&noted, ending)));
        }
        Self(wanted)
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Catches them before it returns, so that none ends the program between this and the work.
    fn catch(runtime: &Runtime) -> io::Result<Self> {
        let _entered = runtime.enter();
        let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
        Ok(Self { interrupt: signal(interrupt)?, terminate: signal(terminate)? })
    }

    async fn follow(mut self, wanted: &AtomicBool, ending: &str) {
        self.next().await;
        wanted.store(true, Ordering::Release);
        output::note(ending);
        self.next().await;
        std::process::exit(i32::from(Exit::Interrupted.code()));
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
