//! The ways in which a server is cut off.

use std::time::Duration;

use crate::dice::Dice;
use crate::dumps::OFTEN;
use crate::image::{Image, Journal};
use crate::process::Stowage;
use crate::trace;

/// What happens at the end of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The power goes.
    Power,
    /// The power goes when the file system has just brought its journal to the disk.
    PowerAfterJournal,
    /// The power goes, and goes again while the server starts.
    PowerTwice,
    /// The disk is full, and then the power goes.
    PowerOfFullDisk,
    /// `kill -9`: what the kernel has stays.
    Kill,
    /// The same when a thread makes its n-th call that changes a file or a directory.
    KillAtCall,
    /// A call of each thread fails, the server goes on, and then the power goes.
    PowerAfterError,
}

impl Cut {
    const ALL: [(Self, &str, u64); 7] = [
        (Self::Power, "power", 35),
        (Self::PowerAfterJournal, "journal", 10),
        (Self::PowerTwice, "twice", 15),
        (Self::PowerOfFullDisk, "full", 10),
        (Self::Kill, "kill", 10),
        (Self::KillAtCall, "call", 10),
        (Self::PowerAfterError, "error", 10),
    ];

    /// One of those that are wanted: as often as its weight says, or the one of this name.
    pub(crate) fn roll(dice: &mut Dice, only: Option<&str>) -> Self {
        if let Some(only) = only {
            let found = Self::ALL.iter().find(|(_, name, _)| *name == only);
            return found.unwrap_or_else(|| panic!("STOWAGE_CRASH_CUT={only} is none of {:?}", Self::ALL)).0;
        }
        let mut left = dice.below(Self::ALL.iter().map(|(_, _, weight)| weight).sum());
        for (cut, _, weight) in Self::ALL {
            if left < weight {
                return cut;
            }
            left -= weight;
        }
        Self::Power
    }

    /// Whether it strikes the moment it is applied. The others let the server go on for a while.
    pub(crate) const fn strikes_at_once(self) -> bool {
        matches!(self, Self::Power | Self::PowerAfterJournal | Self::PowerTwice | Self::Kill)
    }

    /// Ends a server. The clients know of trouble by now. Of a cut that waits for a certain call: whether it
    /// has come.
    pub(crate) fn apply(self, image: &Image, mut server: Stowage, dice: &mut Dice) -> Option<bool> {
        let mut hit = None;
        match self {
            Self::Power | Self::PowerTwice => image.cut_power(Journal::Lost),
            Self::PowerAfterJournal => image.cut_power(Journal::Flushed),
            Self::PowerOfFullDisk => {
                image.fill();
                std::thread::sleep(Duration::from_micros(dice.below(200_000)));
                image.cut_power(Journal::Lost);
            }
            Self::Kill => {}
            Self::PowerAfterError => {
                hit = trace::fail_calls(&server, dice);
                image.cut_power(Journal::Lost);
            }
            Self::KillAtCall => hit = trace::kill_at_call(&mut server, dice),
        }
        // A server may have time to find out that its disk is gone, or none.
        std::thread::sleep(Duration::from_micros(dice.below(3) * dice.below(10_000)));
        server.kill();
        hit
    }

    /// Brings the disk back, after whatever else happens before its content is looked at.
    pub(crate) fn recover(self, image: &Image, dice: &mut Dice) {
        image.mount_again();
        image.make_room();
        if self == Self::PowerTwice {
            let server = Stowage::launch(&image.data(), OFTEN);
            std::thread::sleep(Duration::from_micros(dice.below(200_000)));
            image.cut_power(Journal::Lost);
            server.kill();
            image.mount_again();
        }
    }
}
