//! Jobs from their start to their end, however that comes.

use super::*;

#[test]
fn a_job_is_told_of_while_it_works_at_its_end_and_after_a_restart() {
    let site = Site::new();
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let begun = site.start(probe(move |context| {
        context.log("a line");
        let goes_on = context.progress(progress(3));
        wait.lock().unwrap().recv().unwrap();
        assert_eq!(goes_on, ControlFlow::Continue(()));
        Ok(Finished { output: json!({"found": 7}), problems: 2 })
    }));
    let id = begun.unwrap().job.id;
    let stored = site.meta.get(|tx| rows::find(tx, id)).unwrap().unwrap();
    assert_eq!((stored.job.state, &*stored.job.by, stored.job.ended_ms), (JobState::Running, "root", None));
    assert_eq!(site.list()[0].job.state, JobState::Running);
    go.send(()).unwrap();
    let shown = site.show(id).unwrap();
    let JobView { job, result, .. } = &shown;
    assert_eq!((job.state, job.problems, &job.error), (JobState::Done, 2, &None));
    assert_eq!((&*job.progress.stage, job.progress.done, job.ended_ms), ("rows", 3, Some(4_000_000_000_000)));
    assert_eq!(result.as_deref(), Some(r#"{"found":7}"#));
    assert_eq!(site.log(id), ["a line"]);
    let site = site.again();
    assert_eq!(site.show(id), Some(shown.clone()));
    assert_eq!(site.list(), [JobView { result: None, ..shown.clone() }]);
    assert_eq!(site.log(id), ["a line"]);
    let last = site.jobs.last_done(&site.reads(), JobKind::Check);
    assert_eq!(last, Some(JobView { result: None, ..shown }));
    assert_eq!(site.jobs.last_done(&site.reads(), JobKind::Dump), None);
    assert_eq!(site.show(Uuid::new_v4()), None);
}

#[test]
fn one_job_of_a_kind_works_at_a_time_and_ends_when_it_is_asked_to() {
    let site = Site::new();
    let first = site.start(endless()).unwrap().job.id;
    let refused = site.start(quick()).unwrap_err();
    assert_eq!(refused.to_string(), format!("a check is already running: job {first}"));
    site.cancel(first).unwrap();
    site.cancel(first).unwrap();
    let ended = site.show(first).unwrap();
    assert_eq!((ended.job.state, ended.result), (JobState::Cancelled, None));
    assert_eq!(site.log(first), ["root asked the job to end"]);
    let second = site.ended(quick()).job.id;
    assert_eq!(site.cancel(second).unwrap().job.state, JobState::Done);
    assert_eq!(site.list().iter().map(|job| job.job.id).collect::<Vec<_>>(), [second, first]);
    let entry = |action: &str, id| ("root".to_owned(), action.to_owned(), format!("check/{id}"));
    let expected = [entry("job.start", first), entry("job.cancel", first), entry("job.start", second)];
    assert_eq!(site.audited(), expected);
}

#[test]
fn a_panic_is_a_failure_and_a_failure_has_its_reason() {
    let site = Site::new();
    let panicked = site.ended(probe(|_| panic!("a damaged page"))).job;
    assert_eq!(panicked.state, JobState::Failed);
    assert!(panicked.error.unwrap().contains("stowage fsck"));
    let failed = site.ended(probe(|_| Err(Unfinished::Failed("no such file".to_owned())))).job;
    assert_eq!((failed.state, failed.error.as_deref()), (JobState::Failed, Some("no such file")));
    assert_eq!(site.jobs.last_done(&site.reads(), JobKind::Check), None);
}

#[test]
fn a_job_whose_server_was_killed_is_marked_as_interrupted() {
    let site = Site::new();
    let id = site.start(endless()).unwrap().job.id;
    let site = site.again();
    let job = site.show(id).unwrap().job;
    assert_eq!((job.state, job.ended_ms), (JobState::Interrupted, None));
    assert_eq!(job.error.as_deref(), Some("the server ended while the job ran"));
    let commits = site.commits();
    let site = site.again();
    // The last commit of the writer, and none of the jobs.
    assert_eq!(site.commits(), commits + 1);
    assert_eq!(site.show(id).unwrap().job.state, JobState::Interrupted);
}

#[test]
fn a_stop_cancels_what_is_under_way_and_its_row_says_so() {
    let site = Site::new();
    let id = site.start(endless()).unwrap().job.id;
    site.jobs.stop();
    assert_eq!(site.meta.get(|tx| rows::find(tx, id)).unwrap().unwrap().job.state, JobState::Cancelled);
    let late = site.ended(endless()).job;
    assert_eq!(late.state, JobState::Cancelled, "nothing begins behind the stop");
}

#[test]
fn a_store_that_takes_no_change_keeps_no_job_from_its_work() {
    let site = Site::new();
    let kept = site.ended(quick());
    std::fs::remove_file(site.directory.path().join(FILE_NAME)).unwrap();
    let begun = site.start(quick()).unwrap();
    assert_eq!(begun.order, u64::MAX);
    let ended = site.show(begun.job.id).unwrap();
    assert_eq!(ended.job.state, JobState::Done);
    assert_eq!(site.list(), [ended, kept].map(|job| JobView { result: None, ..job }));
    let again = site.start(endless()).unwrap().job.id;
    assert_eq!(site.cancel(again).unwrap().job.id, again);
    assert_eq!(site.show(again).unwrap().job.state, JobState::Cancelled);
}

#[test]
fn a_permission_that_was_withdrawn_starts_nothing_and_cancels_nothing() {
    let site = Site::new();
    let set = |user: User| {
        let changed = site.meta.write(move |tx| {
            tx.put(&schema::USER, UserId(7), &user)?;
            tx.raise_epoch()
        });
        site.runtime.block_on(changed).unwrap_or_else(|error: StoreError| panic!("{error}"));
    };
    set(User { admin: true, ..User::sample("hanna") });
    let principal = Principal::User {
        id: UserId(7),
        name: "hanna".into(),
        credential: Credential::Password(1),
        scopes: Scopes::ALL,
        claims: None,
    };
    let grant: Grant<RunJobs> = site.access.site(&Caller { principal, address: None }).unwrap();
    let running = site.start(endless()).unwrap().job.id;
    set(User { disabled: true, admin: true, ..User::sample("hanna") });
    let cancelled = site.runtime.block_on(site.jobs.cancel(&grant, running));
    assert!(matches!(cancelled, Err(JobError::Withdrawn)), "{cancelled:?}");
    site.cancel(running).unwrap();
    site.show(running).unwrap();
    let refused = site.runtime.block_on(site.jobs.start(&grant, quick(), CheckParams::default()));
    assert!(matches!(refused, Err(JobError::Withdrawn)), "{refused:?}");
    assert_eq!(site.rows()[0], 1);
    assert!(site.audited().iter().all(|(actor, ..)| actor == "root"));
}
