//! `stowage rebuild`: rebuilds the store from its blobs and a dump of its metadata.

mod failures;

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure, Typed, refuse_stranger};
use super::fsck::report::{Report, View};
use super::output::{self, Form};
use super::progress::Display;
use super::terminal;
use super::words::{counted, when_ms};
use crate::config::Flags;
use crate::transfer::{self, Rebuild, Rebuilt};
use crate::wire;

const NAME: &str = "rebuild";
/// The most blobs in text output; `--json` has more.
const SHOWN: usize = 20;

/// Recover a lost or corrupt database from a dump
#[derive(clap::Args)]
#[command(
    after_help = "The server must not run. Nothing in the old data directory is changed. Blobs are hard-linked into the \
                  new one, which has to be on the same file system; with storage.blob_dir set they stay where they \
                  are. Changes after the dump are lost; blobs that were written after it are listed.\n\n\
                  Exit codes: 0 recovered, 7 recovered, but something is missing, or there is no usable dump, \
                  6 the new directory is not empty, or a rebuild into it was interrupted, 9 another process uses the \
                  data, 3 dumps of an unknown version\n\n\
                  Examples:\n  stowage rebuild --into /srv/stowage.new\n  \
                  stowage rebuild --from /backup/dumps/rows-00000042.dump --into /srv/stowage.new"
)]
pub(super) struct Options {
    #[command(flatten)]
    form: Form,
    /// The new data directory: empty, or not existing yet
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// Use this dump instead of the newest intact one; its segments (bodies-*.seg) are beside it
    #[arg(long, value_name = "DUMP")]
    from: Option<PathBuf>,
    /// The data directory whose database is lost
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Show no progress
    #[arg(long)]
    no_progress: bool,
}

impl Command for Options {
    fn name(&self) -> &'static str {
        NAME
    }

    fn form(&self) -> Form {
        self.form
    }

    fn typed(&self) -> Typed {
        Typed { data_dir: Typed::flag("--data-dir", self.data_dir.as_deref()), ..Typed::default() }
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let flags = Flags { data_dir: self.data_dir.clone(), ..Flags::default() };
        let loaded = context.load(flags)?;
        let (data_dir, blob_dir) = context.directories(&loaded)?;
        let owner = std::fs::metadata(&data_dir).map_err(|error| Failure::unusable(&data_dir, &error))?.uid();
        let again = format!("{NAME} --into {} --data-dir {}", self.into.display(), data_dir.display());
        let directory = data_dir.display().to_string();
        refuse_stranger(&directory, &again, owner, rustix::process::geteuid().as_raw())?;
        let into = std::path::absolute(&self.into).map_err(|error| Failure::unusable(&self.into, &error))?;
        // A blob directory that is set explicitly stays the same for the new store.
        let link_blobs = loaded.config.storage.blob_dir.as_os_str().is_empty();
        let request = Rebuild { from: self.from.clone(), data_dir, blob_dir, link_blobs, into };
        let mut display = Display::new(context.format(), self.no_progress);
        let rebuilt = transfer::rebuild(&request, &mut |step| {
            display.show(step.stage, step.done, step.total, step.bytes);
        });
        drop(display);
        let rebuilt = rebuilt.map_err(|error| failures::failure(error, &request))?;
        let report = Report::from(wire::Report::from(&rebuilt.check));
        let data = data(&rebuilt, &report);
        let problem = report.failure();
        context.result(problem.as_ref(), &data, || text(&rebuilt, &report, &request))?;
        Ok(if report.is_clean() { Exit::Done } else { Exit::Integrity })
    }
}

fn data(rebuilt: &Rebuilt, report: &Report) -> Value {
    let differences = &rebuilt.differences;
    let later: Vec<Value> = differences
        .later_blobs
        .iter()
        .map(|blob| json!({"digest": blob.digest, "size": blob.size, "modified": time(blob.modified_ms)}))
        .collect();
    json!({
        "dump": {
            "path": rebuilt.dump,
            "made": time(rebuilt.dump_ms),
            "sequence": rebuilt.sequence,
            "rows": rebuilt.rows,
            "manifests": rebuilt.manifests,
            "damaged": rebuilt.damaged,
        },
        "refused": rebuilt.refused,
        "database": rebuilt.database,
        "blob_dir": rebuilt.blob_dir,
        "linked": rebuilt.linked,
        "missing": {"count": differences.missing, "blobs": differences.missing_blobs},
        "later": {"count": differences.later, "bytes": differences.later_bytes, "blobs": later},
        "check": report.data(),
    })
}

fn text(rebuilt: &Rebuilt, report: &Report, request: &Rebuild) -> String {
    let made = when_ms(rebuilt.dump_ms);
    let mut lines: Vec<String> =
        rebuilt.refused.iter().map(|dump| format!("not used: {}", dump.reason)).collect();
    lines.push(format!("created {} from {}", rebuilt.database.display(), rebuilt.dump.display()));
    lines.push(format!(
        "the dump is of {made}: pushes, deletions, users and tokens after it are lost, and changes to permissions \
         after it are undone: what was revoked later is valid again"
    ));
    if rebuilt.damaged > 0 {
        lines.push(format!(
            "{} damaged when the dump was written; the last dump without damage is kept: --from DUMP",
            counted(rebuilt.damaged, "row was", "rows were")
        ));
    }
    lines.push(match rebuilt.linked {
        0 => format!("the blobs are in {}", rebuilt.blob_dir.display()),
        linked => {
            let blobs = counted(linked, "blob is", "blobs are");
            format!("{blobs} hard-linked into {}", rebuilt.blob_dir.display())
        }
    });
    let differences = &rebuilt.differences;
    if differences.later > 0 {
        let size = output::size(differences.later_bytes);
        lines.push(format!(
            "{} newer than the dump or part of an unfinished push ({size}). Push the images that used {} again:",
            counted(differences.later, "blob is", "blobs are"),
            if differences.later == 1 { "it" } else { "them" },
        ));
        let rows = differences
            .later_blobs
            .iter()
            .take(SHOWN)
            .map(|blob| vec![blob.digest.clone(), output::size(blob.size), when_ms(blob.modified_ms)]);
        lines.push(terminal::table(&["DIGEST", "SIZE", "WRITTEN"], &rows.collect::<Vec<_>>(), None));
        lines.extend(more(differences.later));
    }
    if differences.missing > 0 {
        let blobs = counted(differences.missing, "blob is", "blobs are");
        lines.push(format!("{blobs} missing; push the images that use them again:"));
        let rows = differences.missing_blobs.iter().take(SHOWN).map(|blob| {
            vec![
                blob.digest.clone(),
                output::size(blob.size),
                blob.found.clone(),
                blob.repositories.join(", "),
            ]
        });
        lines.push(terminal::table(
            &["DIGEST", "SIZE", "FOUND", "REPOSITORIES"],
            &rows.collect::<Vec<_>>(),
            None,
        ));
        lines.extend(more(differences.missing));
    }
    let view = View { width: terminal::width(), in_full: false };
    lines.push(report.text(view, &str::to_owned));
    lines.push(format!(
        "next: stowage serve --data-dir {}, or give it the place of {}, which can go when all is well",
        request.into.display(),
        request.data_dir.display()
    ));
    lines.join("\n")
}

/// The line in place of the rest of a list.
fn more(count: u64) -> Option<String> {
    let rest = count.saturating_sub(SHOWN as u64);
    (rest > 0).then(|| format!("... and {rest} more: --json lists them"))
}

/// A time for programs (RFC 3339).
fn time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| "an unknown time".to_owned(), |time| time.to_string())
}
