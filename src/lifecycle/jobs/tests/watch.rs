//! The events of jobs, as those who follow one get them.

use super::*;

fn said(events: &[JobEvent]) -> Vec<&str> {
    let mut lines = Vec::new();
    for event in events {
        if let JobEvent::Log(line) = event {
            lines.push(line.text.as_str());
        }
    }
    lines
}

#[test]
fn a_job_is_followed_from_its_first_line_to_its_end() {
    let site = Site::new();
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let begun = site.start(probe(move |context| {
        context.log("before");
        assert_eq!(context.progress(progress(3)), ControlFlow::Continue(()));
        wait.lock().unwrap().recv().unwrap();
        context.log("behind");
        Ok(Finished { output: json!({"found": 7}), problems: 2 })
    }));
    let id = begun.unwrap().job.id;
    let mut watch = site.watch(id).unwrap();
    let other = site.watch(id).unwrap();
    site.runtime.block_on(async {
        while watch.next().await.unwrap() != JobEvent::Log(site_line("before", &site)) {}
    });
    go.send(()).unwrap();
    let events = site.events(watch);
    assert_eq!(said(&events), ["behind"]);
    let end = JobEvent::End(Box::new(site.show(id).unwrap()));
    assert_eq!(events.last(), Some(&end));
    let all = site.events(other);
    assert!(matches!(&all[0], JobEvent::Progress(_)), "{all:?}");
    assert_eq!((said(&all), all.last()), (vec!["before", "behind"], Some(&end)));
    // Later, and from the rows.
    let again = site.events(site.watch(id).unwrap());
    assert_eq!((said(&again), again.last()), (vec!["before", "behind"], Some(&end)));
    let site = site.again();
    let again = site.events(site.watch(id).unwrap());
    assert_eq!((said(&again), again.len(), again.last()), (vec!["before", "behind"], 3, Some(&end)));
    assert!(site.watch(Uuid::new_v4()).is_none());
}

fn site_line(text: &str, site: &Site) -> JobLine {
    JobLine { at_ms: site.meta.clock().now().wall_ms, text: text.to_owned() }
}

#[test]
fn a_job_that_tells_much_is_told_of_a_few_times_a_second() {
    let site = Site::new();
    let ended = site.start(probe(|context| {
        for done in 0..100_000 {
            assert!(context.progress(progress(done)).is_continue());
        }
        for line in 0..MAX_LINES + 5 {
            context.log(line.to_string());
        }
        Ok(Finished { output: json!({}), problems: 0 })
    }));
    let events = site.events(site.watch(ended.unwrap().job.id).unwrap());
    let lines = said(&events);
    assert!((MAX_LINES..=MAX_LINES + 1).contains(&lines.len()), "{} lines", lines.len());
    assert_eq!(lines.last(), Some(&"6 more lines are left out"));
    assert!(events.len() < lines.len() + 1_000, "{} events", events.len());
}

#[test]
fn a_server_that_stops_ends_what_is_followed() {
    let site = Site::new();
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    // It does not look whether it is to end.
    let begun = site.start(probe(move |_| {
        wait.lock().unwrap().recv().unwrap();
        Err(Unfinished::Cancelled)
    }));
    let id = begun.unwrap().job.id;
    let watch = site.watch(id).unwrap();
    site.jobs.end();
    let events = site.events(watch);
    assert!(!events.iter().any(|event| matches!(event, JobEvent::End(_))), "{events:?}");
    go.send(()).unwrap();
    let events = site.events(site.watch(id).unwrap());
    let Some(JobEvent::End(job)) = events.last() else { panic!("{events:?}") };
    assert_eq!(job.job.state, JobState::Cancelled);
}
