//! The state of the model: the rows of one blob in some repositories, its file, and what runs.

/// Repositories. Two are enough: what a third holds is held as what the second holds.
pub(super) const REPOSITORIES: usize = 2;
/// Manifests of each repository that refer to the blob. The first is pushed when the blob is there, the
/// second may come before it.
pub(super) const MANIFESTS: usize = 2;
/// Uploads of the blob that are under way at the same time.
pub(super) const UPLOADS: usize = 2;

/// The link of the blob to a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Link {
    pub(super) present: bool,
    pub(super) references: u8,
    pub(super) trash_references: u8,
    pub(super) hidden: bool,
    pub(super) zero_since: u8,
    /// It was made by an upload, and no manifest has referred to it since.
    pub(super) fresh: bool,
}

impl Link {
    pub(super) const fn is_visible(self) -> bool {
        self.present && !self.hidden
    }

    /// Whether `link_zero` has it.
    pub(super) const fn is_zero(self) -> bool {
        self.present && self.references == 0 && self.trash_references == 0
    }

    /// Whether its row is removed.
    pub(super) const fn is_nothing(self) -> bool {
        !self.present && self.references == 0 && self.trash_references == 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum BlobState {
    Present,
    Deleting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ManifestState {
    Absent,
    Live,
    Trashed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Manifest {
    pub(super) state: ManifestState,
    /// Its blob was there at some time since it was put: it must stay there.
    pub(super) complete: bool,
}

impl Manifest {
    pub(super) const ABSENT: Self = Self { state: ManifestState::Absent, complete: false };
}

/// Where an upload is, whose bytes are all in its staged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Upload {
    Idle,
    Locked(usize),
    Renamed(usize),
    Synced(usize),
    /// In the variant that commits first.
    Committed(usize),
}

/// What holds the lock on the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    Upload(usize),
    Collector,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Collector {
    Idle,
    /// It has read, without the lock, that the blob is being removed.
    Picked,
    /// It has the lock.
    Locked,
    Unlinked,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// The running time.
    pub(super) now: u8,
    pub(super) links: [Option<Link>; REPOSITORIES],
    /// The row of the blob.
    pub(super) blob: Option<BlobState>,
    /// The file as processes see it.
    pub(super) file: bool,
    /// The file as a power cut leaves it at least; the same as `file` once the directory was synced.
    pub(super) durable: bool,
    pub(super) lock: Option<Holder>,
    pub(super) uploads: [Upload; UPLOADS],
    pub(super) collector: Collector,
    pub(super) manifests: [[Manifest; MANIFESTS]; REPOSITORIES],
    /// In memory: until when the existence of the blob is promised, as far as the server has noted.
    pub(super) noted: [Option<u8>; REPOSITORIES],
    /// Until when promises may be binding that a crash has made the server forget.
    pub(super) forgotten_until: Option<u8>,
    /// What clients rely on: until when the first upload has promised the blob.
    pub(super) uploaded: [Option<u8>; REPOSITORIES],
    /// The same of all other answers.
    pub(super) told: [Option<u8>; REPOSITORIES],
    /// `storage.gc.promise` in ticks: how long an answer that the blob exists is binding.
    pub(super) promise: u8,
    /// The longer promise from before it was lowered, and until when it decides.
    pub(super) old_promise: Option<(u8, u8)>,
    /// The collector has removed the file at some time.
    pub(super) removed: bool,
    pub(super) requests: u8,
    pub(super) crashes: u8,
}

impl State {
    pub(super) fn new(promise: u8) -> Self {
        Self {
            now: 0,
            links: [None; REPOSITORIES],
            blob: None,
            file: false,
            durable: false,
            lock: None,
            uploads: [Upload::Idle; UPLOADS],
            collector: Collector::Idle,
            manifests: [[Manifest::ABSENT; MANIFESTS]; REPOSITORIES],
            noted: [None; REPOSITORIES],
            forgotten_until: None,
            uploaded: [None; REPOSITORIES],
            told: [None; REPOSITORIES],
            promise,
            old_promise: None,
            removed: false,
            requests: 0,
            crashes: 0,
        }
    }

    /// Two states that differ only in a time that is over are one.
    pub(super) fn forget_what_is_over(&mut self) {
        let now = self.now;
        self.old_promise = self.old_promise.filter(|(_, until)| *until >= now);
        let all = self.noted.iter_mut().chain(&mut self.uploaded).chain(&mut self.told);
        for until in all.chain([&mut self.forgotten_until]) {
            *until = until.filter(|until| *until >= now);
        }
    }

    pub(super) fn is_visible(&self, repository: usize) -> bool {
        self.links[repository].is_some_and(Link::is_visible) && self.blob == Some(BlobState::Present)
    }

    /// Whether the bytes are there, as the row says.
    pub(super) fn has_bytes(&self) -> bool {
        self.blob == Some(BlobState::Present) && self.file
    }

    pub(super) fn is_held(&self) -> bool {
        self.links.iter().flatten().any(|link| link.present)
    }
}
