//! Pins: until its end, a pin holds every blob and manifest against garbage collection. A backup or a
//! transfer sets one before it lists what it copies.

use std::ops::{Bound, ControlFlow};
use std::sync::atomic::Ordering;

use super::Registry;
use super::error::RegistryError;
use crate::access::{Grant, ReadServer, RunJobs};
use crate::model::audit::AuditAction;
use crate::model::time::RunningSecond;
use crate::model::units::HumanDuration;
use crate::store::meta::schema::{self, Pin};
use crate::store::meta::{Change, Raw, Row as _, StoreError, Tx, WriteTx};

/// The most pins at once: each transaction of a run reads them.
const MOST: usize = 100;
/// The longest time until the end of a pin, in running seconds. It can be set again before.
const LONGEST_S: u64 = 7 * 24 * 3600;
/// The most characters of a name.
const NAME: usize = 64;

/// A pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinView {
    /// Its name.
    pub name: String,
    /// Who set it, and when; `None`: its row is damaged.
    pub row: Option<Pin>,
    /// Running seconds from now until its end.
    pub for_s: u64,
}

impl Registry {
    /// The pins that have not ended, by their end.
    ///
    /// # Errors
    /// [`RegistryError`]: the store cannot be read.
    pub fn pins(&self, _grant: &Grant<ReadServer>) -> Result<Vec<PinView>, RegistryError> {
        let now_s = self.meta.clock().now().running_s;
        self.meta.get(|tx| Ok(present(tx, now_s)?))
    }

    /// Sets a pin, or another end for one that is there. When this returns, garbage collection removes
    /// nothing until that end: a run that works ends before its next change.
    ///
    /// # Errors
    /// [`RegistryError`]: the name or the time is not valid, or there are too many pins.
    pub async fn pin(
        &self,
        grant: &Grant<RunJobs>,
        name: &str,
        length: HumanDuration,
    ) -> Result<PinView, RegistryError> {
        let for_s = length.as_secs();
        if !is_name(name) {
            return Err(RegistryError::PinName);
        }
        if for_s == 0 || for_s > LONGEST_S {
            return Err(RegistryError::PinLength);
        }
        let (grant, name) = (grant.carry(), name.to_owned());
        let set = move |tx: &WriteTx<'_>| {
            grant.recheck(tx)??;
            let (now, actor) = (tx.now(), grant.caller().actor());
            let (replaced, others): (Vec<_>, Vec<_>) =
                all(tx)?.into_iter().partition(|(until, other)| until.0 <= now.running_s || *other == name);
            if others.len() >= MOST {
                return Err(RegistryError::TooManyPins(MOST));
            }
            for (until, other) in &replaced {
                tx.delete(&schema::PIN, (*until, other.as_str()))?;
            }
            let row = Pin { by: actor.name.to_owned(), at_ms: now.wall_ms };
            let until = RunningSecond(now.running_s.saturating_add(for_s));
            tx.put(&schema::PIN, (until, name.as_str()), &row)?;
            tx.audit(actor, AuditAction::PinSet, format!("{name}: {length}"))?;
            Ok(PinView { name: name.clone(), row: Some(row), for_s })
        };
        let pin = self.meta.write(set).await?;
        // The files that a run removes at this moment.
        drop(self.removing.lock().await);
        Ok(pin)
    }

    /// Removes a pin before its end.
    ///
    /// # Errors
    /// [`RegistryError::PinUnknown`]: there is none with this name.
    pub async fn unpin(&self, grant: &Grant<RunJobs>, name: &str) -> Result<(), RegistryError> {
        if !is_name(name) {
            return Err(RegistryError::PinName);
        }
        let (grant, name) = (grant.carry(), name.to_owned());
        let remove = move |tx: &WriteTx<'_>| {
            grant.recheck(tx)??;
            let found = all(tx)?.into_iter().find(|(until, other)| is_present(tx, *until) && *other == name);
            let Some((until, _)) = found else { return Err(RegistryError::PinUnknown(name.clone())) };
            tx.delete(&schema::PIN, (until, name.as_str()))?;
            tx.audit(grant.caller().actor(), AuditAction::PinRemove, name.clone())?;
            Ok(())
        };
        // It has to work on a full disk: what it held can be collected then.
        self.meta.change(Change::that_frees(), remove).await
    }

    /// Fails with [`RegistryError::Pinned`] while a pin holds everything.
    ///
    /// # Errors
    /// [`RegistryError`]: the store cannot be read.
    pub fn check_pins(&self) -> Result<(), RegistryError> {
        let now_s = self.meta.clock().now().running_s;
        self.meta.get(|tx| check(tx, now_s))
    }

    /// Whether a run that a pin kept from its work can be made up for now; asked once, it is no more.
    pub fn takes_owed_collection(&self) -> bool {
        self.owes_collection.load(Ordering::Acquire)
            && self.check_pins().is_ok()
            && self.owes_collection.swap(false, Ordering::AcqRel)
    }

    /// Removes the rows of pins that have ended.
    pub(super) async fn remove_ended_pins(&self) -> Result<(), RegistryError> {
        let now_s = self.meta.clock().now().running_s;
        let (all, present) = self.meta.get(|tx| Ok::<_, StoreError>((all(tx)?, present(tx, now_s)?)))?;
        if all.len() == present.len() {
            return Ok(());
        }
        let remove = |tx: &WriteTx<'_>| {
            for (until, name) in self::all(tx)? {
                if !is_present(tx, until) {
                    tx.delete(&schema::PIN, (until, name.as_str()))?;
                }
            }
            Ok(())
        };
        self.meta.change(Change::that_frees(), remove).await
    }
}

/// Fails with [`RegistryError::Pinned`], naming the pin that ends last, while one holds everything.
pub(super) fn check(tx: &impl Tx, now_s: u64) -> Result<(), RegistryError> {
    last(tx, now_s)?.map_or(Ok(()), |pin| Err(RegistryError::Pinned(pin.name)))
}

/// The pin that ends last.
pub(super) fn last(tx: &impl Tx, now_s: u64) -> Result<Option<PinView>, StoreError> {
    Ok(present(tx, now_s)?.pop())
}

/// The pins that have not ended, by their end. A row that cannot be read holds, too: its end is in its key.
fn present(tx: &impl Tx, now_s: u64) -> Result<Vec<PinView>, StoreError> {
    let mut pins = Vec::new();
    let from = Bound::Included((RunningSecond(now_s.saturating_add(1)), ""));
    tx.scan_range(&schema::PIN.raw(), (from, Bound::Unbounded), |(until, name), Raw(row)| {
        let for_s = until.0.saturating_sub(now_s);
        pins.push(PinView { name: name.to_owned(), row: Pin::decode(&row), for_s });
        ControlFlow::Continue(())
    })?;
    Ok(pins)
}

fn all(tx: &impl Tx) -> Result<Vec<(RunningSecond, String)>, StoreError> {
    let mut keys = Vec::new();
    tx.scan_all(&schema::PIN.keys(), |(until, name), _| {
        keys.push((until, name.to_owned()));
        ControlFlow::Continue(())
    })?;
    Ok(keys)
}

fn is_present(tx: &WriteTx<'_>, until: RunningSecond) -> bool {
    until.0 > tx.now().running_s
}

fn is_name(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    name.len() <= NAME
        && name.bytes().all(is_inner)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}
