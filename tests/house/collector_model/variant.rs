//! The rules of the collector, each as the variant in which it is left out.

/// A rule that is left out, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Variant {
    /// Every rule holds.
    Design,
    /// Removing a file takes no lock on the digest.
    NoLock,
    /// The row is not read again under the lock.
    NoRecheck,
    /// `HEAD` does not renew the promise of a link without references.
    HeadRenewsNothing,
    /// `HEAD` renews a promise only when it is older than the promise, not when it is as old.
    HeadRenewsTooLate,
    /// The age of a link goes on from before its last reference went.
    AgeNotResetAtUnreference,
    /// The age of a link goes on from before its last reference in the trash went.
    AgeNotResetWhenTrashEmptied,
    /// A link is collected when the promise is over, not after twice that time.
    GraceIsPromise,
    /// A link is collected at once.
    NoGrace,
    /// The row is committed before the file is renamed.
    CommitBeforeRename,
    /// The directory is not synced between rename and commit.
    NoDirectorySync,
    /// References from the trash do not hold a link.
    TrashHoldsNothing,
    /// `DELETE` of a blob removes a link that the trash refers to.
    DeleteIgnoresTrash,
    /// `DELETE` of a blob removes a link that a manifest refers to.
    DeleteIgnoresReferences,
    /// What comes back from the trash leaves its link hidden.
    UndoLeavesHidden,
    /// "Free the space now" does not ask which promises were given.
    NowIgnoresPromises,
    /// Promises over links that are referred to are not noted.
    NowForgetsHeadOfReferenced,
    /// Promises of repeated uploads are not noted.
    NowForgetsRepeatedUpload,
    /// Promises of mounts are not noted.
    NowForgetsMount,
    /// A link that was uploaded and never referred to is free at once.
    NowIgnoresFirstUpload,
    /// After a crash "free the space now" does not wait until the lost promises are over.
    NowAfterCrash,
    /// A manifest is accepted although its blob is being removed.
    PutIgnoresMissing,
    /// An upload leaves the state of a blob that is being removed.
    UploadLeavesDeleting,
    /// A lower promise applies to what was promised before, too.
    LoweringShortens,
}

impl Variant {
    /// Every variant but the design.
    pub(super) const UNSAFE: [Self; 23] = [
        Self::NoLock,
        Self::NoRecheck,
        Self::HeadRenewsNothing,
        Self::HeadRenewsTooLate,
        Self::AgeNotResetAtUnreference,
        Self::AgeNotResetWhenTrashEmptied,
        Self::GraceIsPromise,
        Self::NoGrace,
        Self::CommitBeforeRename,
        Self::NoDirectorySync,
        Self::TrashHoldsNothing,
        Self::DeleteIgnoresTrash,
        Self::DeleteIgnoresReferences,
        Self::UndoLeavesHidden,
        Self::NowIgnoresPromises,
        Self::NowForgetsHeadOfReferenced,
        Self::NowForgetsRepeatedUpload,
        Self::NowForgetsMount,
        Self::NowIgnoresFirstUpload,
        Self::NowAfterCrash,
        Self::PutIgnoresMissing,
        Self::UploadLeavesDeleting,
        Self::LoweringShortens,
    ];
}
