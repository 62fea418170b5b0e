//! A terminal without echo; the echo is restored in whatever way the program ends.

use std::io;
use std::sync::{Once, mpsc};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::output;

/// The exit code by which a shell reports that a signal ended a program.
const ENDED_BY: i32 = 128;

/// The terminal does not echo as long as this lives.
pub(super) struct Unseen(Termios);

impl Unseen {
    pub(super) fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        restore_at_signals(before.clone());
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &unseen)?;
        Ok(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        show(&self.0);
    }
}

fn show(before: &Termios) {
    let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
}

/// From now on, signals that end the program restore the terminal first.
fn restore_at_signals(before: Termios) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let (caught, is_caught) = mpsc::channel();
        std::thread::spawn(move || {
            let Ok(runtime) = Builder::new_current_thread().enable_io().build() else { return };
            let Ok(number) = runtime.block_on(first_signal(&caught)) else { return };
            show(&before);
            output::note("");
            std::process::exit(ENDED_BY + number);
        });
        // If signals cannot be caught, the sender is dropped and they end the program as usual.
        let _ = is_caught.recv();
    });
}

async fn first_signal(caught: &mpsc::Sender<()>) -> io::Result<i32> {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()];
    let [mut interrupt, mut terminate, mut hang_up, mut quit] =
        [signal(kinds[0])?, signal(kinds[1])?, signal(kinds[2])?, signal(kinds[3])?];
    let _ = caught.send(());
    let at = tokio::select! {
        _ = interrupt.recv() => 0,
        _ = terminate.recv() => 1,
        _ = hang_up.recv() => 2,
        _ = quit.recv() => 3,
    };
    Ok(kinds[at].as_raw_value())
}
