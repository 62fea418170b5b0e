//! Sample answers of the API, for fake servers.

use stowage::model::names::{RepoId, TokenId, UserId};
use stowage::wire::{
    Checked, CompactStatus, CreatedToken, Damaged, DeletionPlan, Dropped, Finding, Job, JobKind,
    JobParameters, JobResult, JobState, KeptManifest, LastCheck, LastGc, LastScrub, LimitReached, Manifest,
    OpenEnum, Pin, Progress, Report, Repository, Schedule, ScheduleOverride, ScrubCycle, ScrubStatus,
    Scrubbed, Server, System, Tag, TagSize, Token, TrashEntry, Unhealed, User,
};

pub(crate) fn user(text: &str) -> User {
    let (name, created_at) = (text.to_owned(), text.to_owned());
    User { id: UserId(7), name, admin: false, disabled: false, created_at }
}

pub(crate) fn token(text: &str) -> CreatedToken {
    let token = Token {
        id: TokenId(7),
        user: text.to_owned(),
        name: text.to_owned(),
        scopes: vec![text.to_owned()],
        state: text.to_owned(),
        created_at: text.to_owned(),
        expires_at: Some(text.to_owned()),
        last_used_at: Some(text.to_owned()),
        last_used_from: Some(text.to_owned()),
    };
    CreatedToken { token, secret: text.to_owned(), warnings: vec![text.to_owned()] }
}

pub(crate) fn pin(text: &str) -> Pin {
    let by = Some(text.to_owned());
    Pin { name: text.to_owned(), until: text.to_owned(), set_at: by.clone(), by }
}

pub(crate) fn repository(text: &str) -> Repository {
    Repository {
        id: RepoId(7),
        name: text.to_owned(),
        created_at: text.to_owned(),
        tags: 1,
        manifests: 1,
        blobs: 1,
        size_bytes: 1,
        unique_bytes: 1,
        shared_bytes: 1,
        manifest_bytes: 1,
    }
}

pub(crate) fn tag_size(text: &str) -> TagSize {
    TagSize {
        name: text.to_owned(),
        digest: text.to_owned(),
        manifests: 1,
        size_bytes: 1,
        unique_bytes: 1,
        shared_bytes: 1,
        manifest_bytes: 1,
        at_least: true,
    }
}

pub(crate) fn deletion_plan(text: &str) -> DeletionPlan {
    let kept = KeptManifest {
        name: text.to_owned(),
        by_tag: Some(text.to_owned()),
        by_manifest: Some(text.to_owned()),
    };
    DeletionPlan {
        blobs: 1,
        tag_names: vec![text.to_owned()],
        manifest_names: vec![text.to_owned()],
        kept: vec![kept],
        collected_from: Some(text.to_owned()),
        ..DeletionPlan::default()
    }
}

pub(crate) fn manifest(text: &str) -> Manifest {
    Manifest {
        digest: text.to_owned(),
        media_type: text.to_owned(),
        size_bytes: 1,
        platform: Some(text.to_owned()),
        pushed_at: text.to_owned(),
        tags: vec![text.to_owned()],
        subject: Some(text.to_owned()),
        in_index: false,
        untagged: false,
    }
}

pub(crate) fn tag(text: &str) -> Tag {
    Tag {
        name: text.to_owned(),
        digest: text.to_owned(),
        size_bytes: 1,
        platform: Some(text.to_owned()),
        pushed_at: text.to_owned(),
        pushed_by: text.to_owned(),
    }
}

fn finding(text: &str) -> Finding {
    Finding {
        kind: text.to_owned(),
        severity: text.to_owned(),
        repository: Some(text.to_owned()),
        digest: Some(text.to_owned()),
        images: vec![text.to_owned()],
        expected: text.to_owned(),
        found: text.to_owned(),
    }
}

fn cycle(text: &str) -> ScrubCycle {
    let (began_at, stage, after) = (text.to_owned(), text.to_owned(), Some(text.to_owned()));
    ScrubCycle { began_at, stage, after, ..ScrubCycle::default() }
}

/// A scrub that is done and has found damage.
pub(crate) fn scrub(text: &str) -> Job {
    let result = Scrubbed {
        damaged: 1,
        shown: 1,
        findings: vec![finding(text)],
        cycle: Some(cycle(text)),
        cycle_ended_at: Some(text.to_owned()),
        unhealed: vec![Unhealed { digest: Some(text.to_owned()), hidden: true, found_at: text.to_owned() }],
        ..Scrubbed::default()
    };
    let parameters = JobParameters { repository: Some(text.to_owned()), ..JobParameters::default() };
    let (kind, result) = (JobKind::Scrub.into(), Some(JobResult::Scrub(result)));
    Job { kind, parameters, result, ..job(text, JobState::Done) }
}

pub(crate) fn scrub_status(text: &str) -> ScrubStatus {
    ScrubStatus {
        cycle: Some(cycle(text)),
        cycle_ended_at: Some(text.to_owned()),
        next_at: Some(text.to_owned()),
        running: Some(job(text, JobState::Running)),
        last: Some(scrub(text)),
        ..ScrubStatus::default()
    }
}

pub(crate) fn damaged(text: &str) -> Damaged {
    let (kind, digest) = (OpenEnum::Unknown(text.to_owned()), text.to_owned());
    Damaged { kind, digest, size_bytes: 7, kept_bytes: 7, images: vec![text.to_owned()] }
}

pub(crate) fn dropped(text: &str) -> Dropped {
    Dropped { digest: text.to_owned(), bytes: 7 }
}

/// A check that is running, or one that is done and has found a problem.
pub(crate) fn job(text: &str, state: JobState) -> Job {
    let report =
        Report { checked: Checked::default(), problems: vec![finding(text)], notes: vec![text.to_owned()] };
    Job {
        id: uuid::Uuid::nil(),
        kind: JobKind::Check.into(),
        parameters: JobParameters { deep: Some(false), ..JobParameters::default() },
        by: text.to_owned(),
        started_at: text.to_owned(),
        ended_at: (state != JobState::Running).then(|| text.to_owned()),
        state: state.into(),
        progress: Progress { stage: text.to_owned(), done: 1, total: 2, bytes: 0 },
        problems: 1,
        error: Some(text.to_owned()),
        result: (state == JobState::Done).then_some(JobResult::Check(report)),
    }
}

pub(crate) fn trash_entry(text: &str) -> TrashEntry {
    TrashEntry {
        id: 7,
        kind: OpenEnum::Unknown(text.to_owned()),
        repository: text.to_owned(),
        tags: vec![text.to_owned()],
        digest: Some(text.to_owned()),
        size_bytes: 1,
        deleted_by: text.to_owned(),
        deleted_at: text.to_owned(),
        kept_until: text.to_owned(),
    }
}

pub(crate) fn schedule(text: &str) -> Schedule {
    let set = ScheduleOverride { when: text.to_owned(), by: text.to_owned(), at: text.to_owned() };
    Schedule {
        job: OpenEnum::Unknown(text.to_owned()),
        when: text.to_owned(),
        timezone: text.to_owned(),
        setting: text.to_owned(),
        configured: text.to_owned(),
        set: Some(set),
        next_at: Some(text.to_owned()),
        last_job: Some(job(text, JobState::Done)),
    }
}

pub(crate) fn compact(text: &str) -> CompactStatus {
    CompactStatus {
        file_bytes: 3,
        needed_bytes: 1,
        free_bytes: 2,
        due: true,
        refused: Some(text.to_owned()),
        next_at: Some(text.to_owned()),
        running: Some(job(text, JobState::Running)),
        last: Some(job(text, JobState::Done)),
    }
}

pub(crate) fn system(text: &str) -> System {
    let server = Server {
        urls: vec![text.to_owned()],
        certificate_expires_at: Some(text.to_owned()),
        certificate_warnings: vec![text.to_owned()],
        data_dir: text.to_owned(),
        last_dump_at: Some(text.to_owned()),
        last_check: Some(LastCheck { ended_at: text.to_owned(), deep: false, problems: 1 }),
        last_gc: Some(LastGc { ended_at: text.to_owned(), freed_bytes: 7, spared: 1 }),
        pins: vec![pin(text)],
        last_scrub: Some(LastScrub { ended_at: Some(text.to_owned()), damaged: 1 }),
        ..Server::default()
    };
    let limit = LimitReached {
        principal: text.to_owned(),
        address: Some(text.to_owned()),
        setting: text.to_owned(),
        limit: 1,
        held: 1,
        waiting: 1,
        times: 1,
    };
    System {
        version: text.to_owned(),
        changes_refused: Some(text.to_owned()),
        pushes_refused: Some(text.to_owned()),
        space_warning: Some(text.to_owned()),
        server: Some(server),
        limits: Some(vec![limit]),
        ..System::default()
    }
}
