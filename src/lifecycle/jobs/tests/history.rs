//! The rows of jobs: how many there are, what makes them, and that they make no dump due.

use super::*;

#[test]
fn a_history_is_short_however_much_its_jobs_say_and_find() {
    let site = Site::new();
    for round in 0..KEPT_JOBS + 10 {
        let ended = site.ended(probe(move |context| {
            for line in 0..MAX_LINES + 5 {
                context.log(format!("{round}.{line}: {}", "é".repeat(MAX_LINE)));
            }
            Ok(Finished { output: json!(round), problems: 0 })
        }));
        assert_eq!(ended.job.state, JobState::Done);
    }
    let kept = KEPT_JOBS as u64;
    assert_eq!(site.rows(), [kept, kept, kept * MAX_LINES as u64, KEPT_RESULTS as u64]);
    let list = site.list();
    assert!(list.windows(2).all(|pair| pair[0].order > pair[1].order));
    let (newest, oldest) = (list[0].job.id, list[KEPT_JOBS - 1].job.id);
    let site = site.again();
    for (id, round) in [(newest, KEPT_JOBS + 9), (oldest, 10)] {
        let lines = site.log(id);
        assert_eq!((lines.len(), &*lines[MAX_LINES - 1]), (MAX_LINES, "6 more lines are left out"));
        assert!(lines[0].starts_with(&format!("{round}.0: éé")) && lines[0].ends_with("é…"), "{lines:?}");
        assert!(lines.iter().all(|line| line.len() <= MAX_LINE));
    }
    assert_eq!(site.show(newest).unwrap().result.as_deref(), Some((KEPT_JOBS + 9).to_string().as_str()));
    assert_eq!(site.show(oldest).unwrap().result, None);
    let reads = site.reads();
    let pages = |before| site.jobs.list(&reads, Some(JobKind::Check), before, 20);
    let first = site.runtime.block_on(pages(None)).unwrap();
    let second = site.runtime.block_on(pages(Some(first[19].order))).unwrap();
    assert_eq!([first, second].concat(), list[..40]);
    let dumps = site.runtime.block_on(site.jobs.list(&site.reads(), Some(JobKind::Dump), None, 20));
    assert_eq!(dumps.unwrap(), []);
}

#[test]
fn a_report_that_is_too_long_for_a_row_is_cut_and_says_so() {
    let site = Site::new();
    let problem = crate::wire::Finding { found: "x".repeat(1000), ..Default::default() };
    let report = Report {
        checked: crate::wire::Checked::default(),
        problems: vec![problem; 5_000],
        notes: vec!["a note".to_owned()],
    };
    let half = CheckJob::shortened(&report, 1).unwrap();
    assert_eq!((half.problems.len(), half.notes.len()), (2_500, 2));
    assert_eq!(half.notes[1], "2500 more problems are not kept in the history");
    assert_eq!(CheckJob::shortened(&report, 13), None);
    let runs = site.runs();
    let started = site.jobs.start(&runs, Large(report.clone()), CheckParams::default());
    let id = site.runtime.block_on(started).unwrap().job.id;
    let read = |site: &Site| serde_json::from_str::<Report>(&site.show(id).unwrap().result.unwrap()).unwrap();
    assert_eq!(read(&site), report, "its server has all of it");
    let site = site.again();
    let kept = read(&site);
    assert_eq!((kept.problems.len(), site.show(id).unwrap().job.problems), (625, 5_000));
    assert_eq!(kept.notes, ["a note", "4375 more problems are not kept in the history"]);
    assert!(site.show(id).unwrap().result.unwrap().len() <= MAX_RESULT);
}

#[test]
fn a_damaged_row_keeps_no_other_job_from_being_shown_started_or_removed() {
    let site = Site::new();
    let first = site.ended(quick());
    let damaged = schema::JOB.raw();
    let order = first.order;
    let forged =
        site.meta.write(move |tx| tx.put(&damaged, Sequence(order), &crate::store::meta::Raw(vec![9])));
    site.runtime.block_on(forged).unwrap();
    let site = site.again();
    for _ in 0..KEPT_JOBS + 5 {
        site.ended(quick());
    }
    assert_eq!(site.list().len(), KEPT_JOBS);
    assert_eq!(site.rows()[0], KEPT_JOBS as u64 + 1);
}

#[test]
fn the_rows_of_a_job_make_no_dump_due() {
    let site = Site::new();
    let dumps = Dumps::new(site.directory.path(), DumpsConfig { every: "1s".parse().unwrap(), keep: 2 });
    let dumps = Arc::new(dumps);
    let dump = || {
        let job = DumpJob::new(Arc::clone(&site.meta), Arc::clone(&dumps));
        let begun = site.runtime.block_on(site.jobs.start_by_system(&site.system(), job, DumpParams {}));
        site.show(begun.unwrap().job.id).unwrap()
    };
    let before = site.meta.changes();
    let made = dump();
    assert_eq!((made.job.state, &*made.job.by, made.job.error), (JobState::Done, "system", None));
    let result: Value = serde_json::from_str(&made.result.unwrap()).unwrap();
    assert_eq!((&result["file"], &result["damaged"]), (&json!("rows-00000001.dump"), &json!(0)));
    assert_eq!(site.meta.changes(), before);
    assert!(site.audited().is_empty());
    // What a caller starts is in the audit log, which a dump has.
    site.ended(quick());
    assert_eq!(site.meta.changes(), before + 1);
    // A dump has no job: the first one told of nothing but the format, the clock and the like.
    let rows = |made: &str| serde_json::from_str::<Value>(made).unwrap()["rows"].as_u64().unwrap();
    let first = rows(&result.to_string());
    assert_eq!(rows(&dump().result.unwrap()), first + 1, "the entry of the audit log");
}

#[test]
fn a_dump_is_due_when_something_has_changed_or_the_last_one_is_gone() {
    let site = Site::new();
    let every = "1s".parse().unwrap();
    let dumps = Dumps::new(site.directory.path(), DumpsConfig { every, keep: 2 });
    let now_ms = 4_000_000_000_000;
    assert!(dumps.due(now_ms, 0), "there is none yet");
    assert!(!dumps.due(now_ms, 1), "an attempt was just made");
    let written = site.meta.dump(dumps.place().0, 2).unwrap();
    dumps.made(1);
    let wait = || std::thread::sleep(Duration::from_millis(1_100));
    wait();
    assert!(!dumps.due(now_ms, 1), "nothing has changed");
    assert!(dumps.due(now_ms, 2), "something has changed");
    dumps.made(2);
    wait();
    std::fs::remove_file(written.path).unwrap();
    assert!(dumps.due(now_ms, 2), "the dump is gone");
}

#[test]
fn progress_is_kept_in_memory_and_written_seldom() {
    let site = Site::new();
    let commits = site.commits();
    let ended = site.ended(probe(|context| {
        assert!((0..100_000).all(|done| context.progress(progress(done)).is_continue()));
        Ok(Finished { output: json!({}), problems: 0 })
    }));
    assert_eq!(
        ended.job.progress,
        JobProgress { stage: "rows".to_owned(), done: 99_999, total: 10, bytes: 0 }
    );
    // Its beginning and its end; more only where these took longer than ten seconds.
    assert!(site.commits() - commits <= 3, "{} commits", site.commits() - commits);
}

#[test]
fn what_a_job_has_kept_is_its_result_however_it_ends_and_the_next_one_reads_it() {
    let site = Site::new();
    let kept = |found: u64, end: fn() -> Unfinished| {
        probe(move |context| {
            context.keep::<Probe>(&json!({"found": found}));
            Err(end())
        })
    };
    let cancelled = site.ended(kept(1, || Unfinished::Cancelled));
    assert_eq!(
        (cancelled.job.state, cancelled.result.as_deref()),
        (JobState::Cancelled, Some(r#"{"found":1}"#))
    );
    let failed = site.ended(kept(2, || Unfinished::Failed("the disk".to_owned())));
    assert_eq!((failed.job.state, failed.result.as_deref()), (JobState::Failed, Some(r#"{"found":2}"#)));
    // One without a result leaves the last one where it is.
    site.ended(probe(|_| Err(Unfinished::Cancelled)));
    let reads = || probe(|context| Ok(Finished { output: json!(context.earlier()), problems: 0 }));
    let read = |site: &Site| site.ended(reads()).result.unwrap();
    assert_eq!(&*read(&site), json!(r#"{"found":2}"#).to_string());
    // It is kept with the progress, and a job that is done has what it returned.
    let done = site.ended(probe(|context| {
        context.keep::<Probe>(&json!({"found": 3}));
        Ok(Finished { output: json!({"found": 4}), problems: 0 })
    }));
    assert_eq!(done.result.as_deref(), Some(r#"{"found":4}"#));
    let site = site.again();
    assert_eq!(&*read(&site), json!(r#"{"found":4}"#).to_string());
}

#[test]
fn what_was_kept_of_a_job_whose_server_was_killed_is_found() {
    let site = Site::new();
    let job = site.ended(quick());
    let found = Some(r#"{"found":5}"#.to_owned());
    let unsaved = live::Live::new(site.meta.clock()).unsaved();
    let (sequence, standing) = (Sequence(job.order), (JobProgress::default(), &unsaved));
    site.runtime.block_on(rows::save(&site.meta, sequence, standing, found.clone())).unwrap();
    let site = site.again();
    let last = site.meta.read_blocking(|tx| rows::last_result(tx, JobKind::Check.as_str()));
    assert_eq!(last.unwrap(), found);
    assert_eq!(site.meta.read_blocking(|tx| rows::last_result(tx, "dump")).unwrap(), None);
}
