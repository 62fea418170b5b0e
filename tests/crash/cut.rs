//! The ways in which a server is interrupted.

use std::time::Duration;

use crate::dice::Dice;
use crate::image::{Image, Journal};
use crate::process::Stowage;
use crate::store::SETTINGS;
use crate::trace;

/// An interruption at the end of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The power is cut.
    Power,
    /// The power is cut just after the file system has written its journal.
    PowerAfterJournal,
    /// The power is cut, and again while the server starts.
    PowerTwice,
    /// The disk becomes full, and then the power is cut.
    PowerOfFullDisk,
    /// `kill -9`: what was written to the kernel stays.
    Kill,
    /// `kill -9` when a thread makes its n-th call that changes a file or a directory.
    KillAtCall,
    /// A call of each thread fails, the server continues, and then the power is cut.
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

    /// Draws one of the wanted cuts: by weight, or the one with this name.
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

    /// Whether it takes effect at once. The others let the server continue for a while.
    pub(crate) const fn strikes_at_once(self) -> bool {
        matches!(self, Self::Power | Self::PowerAfterJournal | Self::PowerTwice | Self::Kill)
    }

    /// Ends a server. The clients have been told to expect errors. For a cut that waits for a certain call,
    /// returns whether the call was made.
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
        // The server may or may not have time to notice that its disk is gone.
        std::thread::sleep(Duration::from_micros(dice.below(3) * dice.below(10_000)));
        server.kill();
        hit
    }

    /// Brings the disk back, after whatever else the cut does before its content is examined.
    pub(crate) fn recover(self, image: &Image, dice: &mut Dice) {
        image.mount_again();
        image.make_room();
        if self == Self::PowerTwice {
            let server = Stowage::launch(&image.data(), SETTINGS);
            std::thread::sleep(Duration::from_micros(dice.below(200_000)));
            image.cut_power(Journal::Lost);
            server.kill();
            image.mount_again();
        }
    }
}
