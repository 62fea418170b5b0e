use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use super::subscriber::to;
use super::*;
use crate::config::{LogConfig, LogFormat};

#[derive(Clone, Default)]
struct Sink {
    bytes: Arc<Mutex<Vec<u8>>>,
    delay: Duration,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        std::thread::sleep(self.delay);
        self.bytes.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
    }
}

fn config(level: &str, format: LogFormat) -> LogConfig {
    LogConfig { level: level.parse().unwrap(), format, access: true }
}

fn logged(log: &LogConfig, stderr: Stderr, events: impl FnOnce()) -> String {
    let sink = Sink::default();
    let (subscriber, guard) = to(log, stderr, Box::new(sink.clone()));
    tracing::subscriber::with_default(subscriber, events);
    drop(guard);
    sink.text()
}

#[test]
fn json_lines_hold_the_fields_at_the_top() {
    let text = logged(&config("info", LogFormat::Json), Stderr::ColorTerminal, || {
        info!(target: ACCESS, method = "GET", status = 200, bytes = 7_u64, ms = 0.25, "request");
    });
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["message"], "request");
    assert_eq!(line["target"], "stowage::access");
    assert_eq!(
        (&line["method"], line["status"].as_u64(), line["ms"].as_f64()),
        (&"GET".into(), Some(200), Some(0.25))
    );
    assert_eq!(line["level"], "INFO");
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn json_lines_are_whole_whatever_is_in_them() {
    let text = logged(&config("info", LogFormat::Json), Stderr::Other, || {
        let span = tracing::info_span!("push", repository = "a/b", tag = tracing::field::Empty);
        span.record("tag", "v1\"\n");
        let _entered = span.entered();
        let inner = tracing::info_span!("inner").entered();
        info!(evil = "\"},\n\x1b\\ä\u{2028}", r#type = true, nan = f64::NAN, debug = ?Some("x"), n = -5, "said \"hi\"");
        drop(inner);
        info!("bare");
    });
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = &lines[0];
    assert_eq!(line["evil"], "\"},\n\x1b\\ä\u{2028}");
    assert_eq!(line["message"], "said \"hi\"");
    assert_eq!(
        (&line["type"], &line["nan"], &line["n"]),
        (&true.into(), &serde_json::Value::Null, &(-5).into())
    );
    assert_eq!(line["debug"], "Some(\"x\")");
    assert_eq!(
        line["spans"],
        serde_json::json!([{"name": "push", "repository": "a/b", "tag": "v1\"\n"}, {"name": "inner"}])
    );
    assert_eq!(lines[1]["message"], "bare");
    assert_eq!(lines.len(), 2);
}

#[test]
fn text_is_coloured_for_a_terminal_alone() {
    let line = || info!(size_bytes = 7, "stored");
    assert!(logged(&config("info", LogFormat::Auto), Stderr::ColorTerminal, line).contains("\x1b["));
    // At info level the target is hidden on a terminal.
    for (format, stderr, target) in [
        (LogFormat::Auto, Stderr::Terminal, ""),
        (LogFormat::Auto, Stderr::Other, "stowage::telemetry::tests: "),
        (LogFormat::Text, Stderr::ColorTerminal, ""),
        (LogFormat::Text, Stderr::Journal, "stowage::telemetry::tests: "),
    ] {
        let text = logged(&config("info", format), stderr, line);
        assert!(text.ends_with(&format!("Z  INFO {target}stored size_bytes=7\n")), "{text}");
        assert!(!text.contains('\x1b'));
    }
}

#[test]
fn the_journal_gets_priorities_and_no_time() {
    let text = logged(&config("debug", LogFormat::Auto), Stderr::Journal, || {
        error!("a");
        warn!("b");
        info!("c");
        debug!("d");
    });
    let place = "stowage::telemetry::tests:";
    assert_eq!(
        text,
        format!("<3>ERROR {place} a\n<4> WARN {place} b\n<6> INFO {place} c\n<7>DEBUG {place} d\n")
    );
}

#[test]
fn levels_and_the_access_switch_decide_what_is_logged() {
    let events = || {
        info!(target: "stowage::store::meta", "store info");
        debug!(target: "stowage::store::meta", "store debug");
        debug!(target: "stowage::http", "http debug");
        info!(target: "other", "other info");
        warn!(target: "other", "other warn");
        info!(target: ACCESS, "access");
    };
    let messages = |log: &LogConfig| {
        let text = logged(log, Stderr::Journal, events);
        let messages: Vec<&str> = text.lines().map(|line| line.rsplit_once(": ").unwrap().1).collect();
        messages.join(", ")
    };
    let mut log = config("warn,stowage=info,stowage::store=debug", LogFormat::Auto);
    assert_eq!(messages(&log), "store info, store debug, other warn, access");
    log.access = false;
    assert_eq!(messages(&log), "store info, store debug, other warn");
    assert_eq!(messages(&config("off", LogFormat::Auto)), "");
}

#[test]
fn the_http_library_is_quiet_until_it_is_asked() {
    let logged = |level| {
        let text = logged(&config(level, LogFormat::Auto), Stderr::Journal, || {
            info!(target: "actix_server::builder", "starting 2 workers");
            warn!(target: "actix_server::accept", "cannot accept");
        });
        text.lines().count()
    };
    assert_eq!(logged("info"), 1);
    assert_eq!(logged("info,actix_server=info"), 2);
    assert_eq!(logged("debug"), 2);
}

#[test]
fn one_event_is_one_line_whatever_a_client_sends() {
    for stderr in [Stderr::Other, Stderr::Journal, Stderr::ColorTerminal] {
        let text = logged(&config("info", LogFormat::Auto), stderr, || {
            let evil = "eve\n2030-01-01T00:00:00Z ERROR forged\r\x1b[31m\u{9b}";
            info!(shown = %evil, debug = ?evil, plain = evil, "signed in\n{evil}");
        });
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.contains('\r') && !text.contains("\x1b[31m") && !text.contains('\u{9b}'), "{text:?}");
        assert_eq!(
            text.matches("eve\\n2030-01-01T00:00:00Z ERROR forged\\r\\u{1b}[31m\\u{9b}").count(),
            4,
            "{text}"
        );
    }
}

#[test]
fn text_quotes_only_what_needs_it_and_follows_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot sync the directory")]
    struct Sync(#[source] io::Error);

    let text = logged(&config("info", LogFormat::Auto), Stderr::Journal, || {
        let cause = Sync(io::Error::other("input/output error"));
        let error: &(dyn std::error::Error + 'static) = &cause;
        warn!(method = "GET", uri = "/v2/", user = "", name = "a b", pair = "a=b", error, "it failed");
    });
    assert_eq!(
        text,
        "<4> WARN stowage::telemetry::tests: it failed method=GET uri=/v2/ user=\"\" name=\"a b\" pair=\"a=b\" \
         error=\"cannot sync the directory: input/output error\"\n"
    );
}

#[test]
fn no_line_is_lost_at_the_end() {
    let sink = Sink::default();
    let (subscriber, guard) = to(&config("info", LogFormat::Text), Stderr::Other, Box::new(sink.clone()));
    let subscriber: Arc<dyn tracing::Subscriber + Send + Sync> = Arc::new(subscriber);
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let subscriber = subscriber.clone();
            std::thread::spawn(move || {
                tracing::subscriber::with_default(subscriber, || {
                    (0..1000).for_each(|number| info!(thread, number, "line"));
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    drop(guard);
    assert_eq!(sink.text().lines().count(), 8000);
    assert!(sink.text().lines().all(|line| line.contains(" INFO ")), "lines are whole");
    tracing::subscriber::with_default(subscriber, || info!("after the end"));
    assert!(sink.text().ends_with("after the end\n"), "later lines are written at once");
}

#[test]
fn an_error_is_written_before_the_program_goes_on() {
    let sink = Sink::default();
    let (subscriber, _guard) = to(&config("info", LogFormat::Text), Stderr::Other, Box::new(sink.clone()));
    tracing::subscriber::with_default(subscriber, || {
        error!("disk is gone");
        assert!(sink.text().ends_with("disk is gone\n"));
    });
}

#[test]
fn a_slow_reader_does_not_slow_those_who_log() {
    let sink = Sink { delay: Duration::from_secs(2), ..Sink::default() };
    let (subscriber, guard) = to(&config("info", LogFormat::Text), Stderr::Other, Box::new(sink.clone()));
    let start = Instant::now();
    tracing::subscriber::with_default(subscriber, || (0..100).for_each(|number| info!(number, "line")));
    assert!(start.elapsed() < sink.delay, "{:?}", start.elapsed());
    drop(guard);
    assert_eq!(sink.text().lines().count(), 100);
}
