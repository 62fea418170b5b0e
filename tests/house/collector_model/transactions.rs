//! What changes a state: each function is one write transaction, or one step on the file system.

use super::state::{
    BlobState, Collector, Holder, Link, Manifest, ManifestState, REPOSITORIES, State, UPLOADS, Upload,
};
use super::variant::Variant;

/// `storage.gc.promise` in ticks once it was lowered.
const LOW_PROMISE: u8 = 1;

impl State {
    /// The longest promise that may still be binding.
    fn longest_promise(&self, variant: Variant) -> u8 {
        match self.old_promise {
            Some((promise, until)) if self.now <= until && variant != Variant::LoweringShortens => promise,
            _ => self.promise,
        }
    }

    pub(super) fn lower_promise(&mut self) {
        self.old_promise = Some((self.promise, self.now + 2 * self.promise));
        self.promise = LOW_PROMISE;
    }

    fn store(&mut self, repository: usize, link: Link) {
        self.links[repository] = (!link.is_nothing()).then_some(link);
    }

    fn note(&mut self, repository: usize) {
        self.noted[repository] = Some(self.now + self.promise);
    }

    /// The commit of an upload or a mount.
    pub(super) fn attach(&mut self, variant: Variant, repository: usize, by_upload: bool) {
        let old = self.links[repository].unwrap_or_default();
        let created = !old.is_visible();
        let zero_since = if old.references == 0 { self.now } else { old.zero_since };
        let fresh = if created { by_upload && old.references == 0 } else { old.fresh };
        self.links[repository] = Some(Link { present: true, hidden: false, zero_since, fresh, ..old });
        if by_upload && (self.blob != Some(BlobState::Deleting) || variant != Variant::UploadLeavesDeleting) {
            self.blob = Some(BlobState::Present);
        }
        let until = Some(self.now + self.promise);
        if by_upload && created && old.references == 0 {
            self.uploaded[repository] = until;
        } else {
            self.told[repository] = until;
            let forgets =
                if by_upload { Variant::NowForgetsRepeatedUpload } else { Variant::NowForgetsMount };
            if variant != forgets {
                self.note(repository);
            }
        }
        for manifest in &mut self.manifests[repository] {
            manifest.complete |= manifest.state != ManifestState::Absent;
        }
    }

    pub(super) fn head(&mut self, variant: Variant, repository: usize) {
        let Some(mut link) = self.links[repository] else { return };
        let age = self.now - link.zero_since;
        let is_due = match variant {
            Variant::HeadRenewsNothing => false,
            Variant::HeadRenewsTooLate => age > self.promise,
            _ => age >= self.promise,
        };
        if link.references == 0 && is_due {
            link.zero_since = self.now;
            self.links[repository] = Some(link);
        }
        if variant != Variant::NowForgetsHeadOfReferenced || link.references == 0 {
            self.note(repository);
        }
        self.told[repository] = Some(self.now + self.promise);
    }

    /// Puts a manifest; false if it is refused.
    pub(super) fn put(&mut self, variant: Variant, repository: usize, manifest: usize) -> bool {
        let is_there = self.is_visible(repository);
        if !is_there && manifest == 0 && variant != Variant::PutIgnoresMissing {
            return false;
        }
        let complete = is_there || manifest == 0;
        self.manifests[repository][manifest] = Manifest { state: ManifestState::Live, complete };
        let mut link = self.links[repository].unwrap_or_default();
        link.references += 1;
        link.fresh = false;
        self.links[repository] = Some(link);
        self.uploaded[repository] = None;
        true
    }

    pub(super) fn trash(&mut self, variant: Variant, repository: usize, manifest: usize) {
        self.manifests[repository][manifest].state = ManifestState::Trashed;
        let Some(mut link) = self.links[repository] else { return };
        link.references -= 1;
        link.trash_references += 1;
        if link.references == 0 && variant == Variant::TrashHoldsNothing {
            link.zero_since = self.now;
        }
        self.links[repository] = Some(link);
    }

    pub(super) fn undo(&mut self, variant: Variant, repository: usize, manifest: usize) {
        self.manifests[repository][manifest].state = ManifestState::Live;
        let Some(mut link) = self.links[repository] else { return };
        link.references += 1;
        link.trash_references -= 1;
        if variant != Variant::UndoLeavesHidden {
            link.hidden = false;
        }
        self.links[repository] = Some(link);
    }

    /// Takes a manifest out of the trash for ever.
    pub(super) fn purge(&mut self, variant: Variant, repository: usize, manifest: usize) {
        self.manifests[repository][manifest] = Manifest::ABSENT;
        let Some(mut link) = self.links[repository] else { return };
        link.trash_references -= 1;
        if link.trash_references == 0 && link.hidden {
            link.present = false;
            link.hidden = false;
        }
        let resets =
            !matches!(variant, Variant::AgeNotResetWhenTrashEmptied | Variant::AgeNotResetAtUnreference);
        if link.trash_references == 0 && link.references == 0 && resets {
            link.zero_since = self.now;
        }
        self.store(repository, link);
    }

    /// `DELETE` of a manifest in a registry without a trash: it is gone at once.
    pub(super) fn drop_manifest(&mut self, variant: Variant, repository: usize, manifest: usize) {
        self.manifests[repository][manifest] = Manifest::ABSENT;
        let Some(mut link) = self.links[repository] else { return };
        link.references -= 1;
        if link.references == 0 && variant != Variant::AgeNotResetAtUnreference {
            link.zero_since = self.now;
        }
        self.store(repository, link);
    }

    /// `DELETE` of a blob; false if it is refused. A client that deletes it gives up what it was promised.
    pub(super) fn delete_blob(&mut self, variant: Variant, repository: usize) -> bool {
        let Some(mut link) = self.links[repository].filter(|link| link.is_visible()) else { return false };
        if link.references > 0 && variant != Variant::DeleteIgnoresReferences {
            return false;
        }
        if link.trash_references > 0 && variant != Variant::DeleteIgnoresTrash {
            link.hidden = true;
        } else {
            link.present = false;
        }
        self.uploaded[repository] = None;
        self.told[repository] = None;
        self.store(repository, link);
        true
    }

    pub(super) fn is_collectable(&self, variant: Variant, repository: usize) -> bool {
        let grace = match variant {
            Variant::NoGrace => 0,
            Variant::GraceIsPromise => self.longest_promise(variant),
            _ => 2 * self.longest_promise(variant),
        };
        self.links[repository].is_some_and(|link| {
            let without_trash = variant == Variant::TrashHoldsNothing && link.present && link.references == 0;
            (link.is_zero() || without_trash) && self.now - link.zero_since >= grace
        })
    }

    /// Whether "free the space now" may take the link before its time.
    pub(super) fn is_free_now(&self, variant: Variant, repository: usize) -> bool {
        let Some(link) = self.links[repository].filter(|link| link.is_zero()) else { return false };
        let over = |until: Option<u8>| until.is_none_or(|until| self.now > until);
        let first_upload = !link.fresh || self.now > link.zero_since + self.longest_promise(variant);
        (over(self.noted[repository]) || variant == Variant::NowIgnoresPromises)
            && (first_upload || variant == Variant::NowIgnoresFirstUpload)
            && (over(self.forgotten_until) || variant == Variant::NowAfterCrash)
    }

    /// The first transaction of a collection: the link goes.
    pub(super) fn collect_link(&mut self, repository: usize) {
        if let Some(mut link) = self.links[repository] {
            link.present = false;
            self.store(repository, link);
        }
    }

    /// The collector, which has the lock, removes the file if the row still says so.
    pub(super) fn unlink(&mut self, variant: Variant) {
        if self.blob == Some(BlobState::Deleting) || variant == Variant::NoRecheck {
            self.removed |= self.file;
            self.file = false;
            self.collector = Collector::Unlinked;
        } else {
            self.collector = Collector::Idle;
            self.unlock(Holder::Collector);
        }
    }

    /// The last transaction of a collection: the row goes, if it still says so.
    pub(super) fn forget(&mut self) {
        if self.blob == Some(BlobState::Deleting) {
            self.blob = None;
        }
        self.collector = Collector::Idle;
        self.unlock(Holder::Collector);
    }

    pub(super) fn unlock(&mut self, holder: Holder) {
        if self.lock == Some(holder) {
            self.lock = None;
        }
    }

    /// The machine ends and starts again. What the directory held that was not synced is there or not.
    pub(super) fn crash(&mut self, file: bool) {
        self.crashes += 1;
        self.file = file;
        self.durable = file;
        self.lock = None;
        self.uploads = [Upload::Idle; UPLOADS];
        self.collector = Collector::Idle;
        self.noted = [None; REPOSITORIES];
        self.forgotten_until = Some(self.now + self.longest_promise(Variant::Design));
    }
}
