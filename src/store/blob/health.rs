//! Whether a staged file can still be trusted after an error.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

/// The first I/O error of a staged file, which makes all later steps fail.
///
/// The kernel reports a failed write to one caller of `fdatasync` only: a second sync of the same file
/// succeeds although the bytes are lost.
#[derive(Debug, Default)]
pub(super) struct Health {
    failed: AtomicBool,
    turn: Mutex<()>,
}

impl Health {
    /// Runs a step, unless an earlier one failed. An error of this one is final.
    pub(super) fn guard<T>(&self, step: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if self.failed.load(Ordering::Acquire) {
            return Err(io::Error::other("an earlier error made this staged file useless"));
        }
        let result = step();
        if result.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    /// The same for a step that may consume the kernel's pending error of the file. Such steps run one at a
    /// time: otherwise one could succeed while the other has not recorded the error yet.
    pub(super) fn guard_alone<T>(&self, step: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.guard(step)
    }

    /// The same, but returns `None` instead of waiting for another step.
    pub(super) fn guard_if_alone<T>(&self, step: impl FnOnce() -> io::Result<T>) -> Option<io::Result<T>> {
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(self.guard(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_the_last_word() {
        let health = Health::default();
        assert_eq!(health.guard(|| Ok(1)).unwrap(), 1);
        assert_eq!(health.guard_alone(|| Ok(2)).unwrap(), 2);
        let error = io::Error::from_raw_os_error(libc::EIO);
        assert_eq!(health.guard_alone(|| Err::<(), _>(error)).unwrap_err().raw_os_error(), Some(libc::EIO));
        assert!(health.guard(|| -> io::Result<()> { panic!("must not run") }).is_err());
        assert!(health.guard_alone(|| -> io::Result<()> { panic!("must not run") }).is_err());
        assert!(health.guard_if_alone(|| -> io::Result<()> { panic!("must not run") }).unwrap().is_err());
    }

    #[test]
    fn a_step_that_may_not_wait_is_left_out_while_another_runs() {
        let health = Health::default();
        let nested = health.guard_alone(|| Ok(health.guard_if_alone(|| Ok(())).is_none())).unwrap();
        assert!(nested);
        assert!(health.guard_if_alone(|| Ok(())).unwrap().is_ok());
    }
}
