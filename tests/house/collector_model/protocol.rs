//! The steps of the model: which are possible in a state, and what each does.

use stateright::{Model, Property};

use super::properties;
use super::state::{BlobState, Collector, Holder, ManifestState, State, Upload};
use super::variant::Variant;

/// How far a check goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// How often time passes.
    pub(super) ticks: u8,
    /// Requests of clients.
    pub(super) requests: u8,
    /// Ends of the machine.
    pub(super) crashes: u8,
    /// `storage.gc.promise` in ticks; more than 1 can be lowered.
    pub(super) promise: u8,
    /// Repositories that take part.
    pub(super) repositories: usize,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Tick,
    LowerPromise,
    /// `file`: whether the directory has the file afterwards.
    Crash {
        file: bool,
    },
    BeginUpload {
        upload: usize,
        repository: usize,
    },
    UploadStep {
        upload: usize,
    },
    Head {
        repository: usize,
    },
    Mount {
        from: usize,
        to: usize,
    },
    Put {
        repository: usize,
        manifest: usize,
    },
    Trash {
        repository: usize,
        manifest: usize,
    },
    /// Deletes a manifest past the trash.
    Drop {
        repository: usize,
        manifest: usize,
    },
    Undo {
        repository: usize,
        manifest: usize,
    },
    /// Takes a manifest out of the trash for ever.
    Purge {
        repository: usize,
        manifest: usize,
    },
    DeleteBlob {
        repository: usize,
    },
    /// The collector removes a link whose grace is over.
    CollectLink {
        repository: usize,
    },
    /// "Free the space now" removes a link of which no promise is binding.
    FreeNow {
        repository: usize,
    },
    /// The collector marks a blob that no link holds.
    Condemn,
    /// The collector reads, without the lock, which blobs are marked.
    Pick,
    LockFile,
    /// The collector looks again, and removes the file.
    Unlink,
    /// The collector removes the row.
    Forget,
}

impl Action {
    const fn is_request(self) -> bool {
        matches!(
            self,
            Self::BeginUpload { .. }
                | Self::Head { .. }
                | Self::Mount { .. }
                | Self::Put { .. }
                | Self::Trash { .. }
                | Self::Drop { .. }
                | Self::Undo { .. }
                | Self::Purge { .. }
                | Self::DeleteBlob { .. }
        )
    }
}

/// The collector with a rule left out, within bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Collection {
    pub(super) variant: Variant,
    pub(super) bounds: Bounds,
}

impl Model for Collection {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.bounds.promise)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let Self { variant, bounds } = *self;
        if state.now < bounds.ticks {
            actions.push(Action::Tick);
        }
        if state.promise > 1 {
            actions.push(Action::LowerPromise);
        }
        if state.crashes < bounds.crashes {
            actions.push(Action::Crash { file: state.durable });
            if state.file != state.durable {
                actions.push(Action::Crash { file: state.file });
            }
        }
        for (upload, phase) in state.uploads.iter().enumerate() {
            if *phase != Upload::Idle {
                actions.push(Action::UploadStep { upload });
            }
        }
        if state.requests < bounds.requests {
            self.requests(state, actions);
        }
        for repository in 0..bounds.repositories {
            if state.is_collectable(variant, repository) {
                actions.push(Action::CollectLink { repository });
            }
            if state.is_free_now(variant, repository) {
                actions.push(Action::FreeNow { repository });
            }
        }
        if state.blob == Some(BlobState::Present) && !state.is_held() {
            actions.push(Action::Condemn);
        }
        let lock_is_free = state.lock.is_none() || variant == Variant::NoLock;
        match state.collector {
            Collector::Idle if state.blob == Some(BlobState::Deleting) => actions.push(Action::Pick),
            Collector::Picked if lock_is_free => actions.push(Action::LockFile),
            Collector::Idle | Collector::Picked => {}
            Collector::Locked => actions.push(Action::Unlink),
            Collector::Unlinked => actions.push(Action::Forget),
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let variant = self.variant;
        let mut state = last.clone();
        let is_done = match action {
            Action::Put { repository, manifest } => state.put(variant, repository, manifest),
            Action::DeleteBlob { repository } => state.delete_blob(variant, repository),
            _ => {
                self.step(&mut state, action);
                true
            }
        };
        if !is_done {
            return None;
        }
        if action.is_request() {
            state.requests += 1;
        }
        state.forget_what_is_over();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

impl Collection {
    /// The requests that a client can make.
    fn requests(&self, state: &State, actions: &mut Vec<Action>) {
        let repositories = 0..self.bounds.repositories;
        let idle = state.uploads.iter().position(|upload| *upload == Upload::Idle);
        if let (true, Some(upload)) = (state.lock.is_none(), idle) {
            actions.extend(repositories.clone().map(|repository| Action::BeginUpload { upload, repository }));
        }
        for repository in repositories.clone() {
            if state.is_visible(repository) {
                actions.push(Action::Head { repository });
                actions.push(Action::DeleteBlob { repository });
                let others = repositories.clone().filter(|&to| to != repository);
                if state.lock.is_none() {
                    actions.extend(others.map(|to| Action::Mount { from: repository, to }));
                }
            }
            for (manifest, row) in state.manifests[repository].iter().enumerate() {
                match row.state {
                    ManifestState::Absent => actions.push(Action::Put { repository, manifest }),
                    ManifestState::Live => {
                        actions.push(Action::Trash { repository, manifest });
                        actions.push(Action::Drop { repository, manifest });
                    }
                    ManifestState::Trashed => {
                        actions.push(Action::Undo { repository, manifest });
                        actions.push(Action::Purge { repository, manifest });
                    }
                }
            }
        }
    }

    /// A step that cannot be refused.
    fn step(&self, state: &mut State, action: Action) {
        let variant = self.variant;
        match action {
            Action::Tick => state.now += 1,
            Action::LowerPromise => state.lower_promise(),
            Action::Crash { file } => state.crash(file),
            Action::BeginUpload { upload, repository } => {
                state.lock = Some(Holder::Upload(upload));
                state.uploads[upload] = Upload::Locked(repository);
            }
            Action::UploadStep { upload } => upload_step(state, variant, upload),
            Action::Head { repository } => state.head(variant, repository),
            Action::Mount { to, .. } => state.attach(variant, to, false),
            Action::Trash { repository, manifest } => state.trash(variant, repository, manifest),
            Action::Drop { repository, manifest } => state.drop_manifest(variant, repository, manifest),
            Action::Undo { repository, manifest } => state.undo(variant, repository, manifest),
            Action::Purge { repository, manifest } => state.purge(variant, repository, manifest),
            Action::CollectLink { repository } | Action::FreeNow { repository } => {
                state.collect_link(repository);
            }
            Action::Condemn => state.blob = Some(BlobState::Deleting),
            Action::Pick => state.collector = Collector::Picked,
            Action::LockFile => {
                if variant != Variant::NoLock {
                    state.lock = Some(Holder::Collector);
                }
                state.collector = Collector::Locked;
            }
            Action::Unlink => state.unlink(variant),
            Action::Forget => state.forget(),
            Action::Put { .. } | Action::DeleteBlob { .. } => unreachable!("it can be refused"),
        }
    }
}

/// The next step of an upload: file, sync, commit, in this order unless a variant does otherwise.
fn upload_step(state: &mut State, variant: Variant, upload: usize) {
    let next = match state.uploads[upload] {
        Upload::Idle => Upload::Idle,
        Upload::Locked(repository) if variant == Variant::CommitBeforeRename => {
            state.attach(variant, repository, true);
            Upload::Committed(repository)
        }
        Upload::Locked(repository) => {
            state.file = true;
            Upload::Renamed(repository)
        }
        Upload::Renamed(repository) if variant != Variant::NoDirectorySync => {
            state.durable = state.file;
            Upload::Synced(repository)
        }
        Upload::Renamed(repository) | Upload::Synced(repository) => {
            state.attach(variant, repository, true);
            state.unlock(Holder::Upload(upload));
            Upload::Idle
        }
        Upload::Committed(_) => {
            (state.file, state.durable) = (true, true);
            state.unlock(Holder::Upload(upload));
            Upload::Idle
        }
    };
    state.uploads[upload] = next;
}
