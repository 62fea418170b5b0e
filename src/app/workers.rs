//! What runs by itself: pulls are written, idle uploads and sign-ins end, dumps are made, unused memory
//! goes back to the system. A worker ends with its `App`.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::App;
use super::dumps;
use crate::limits::Standing;
use crate::store::give_unused_memory_back;

const STORE_PULLS_EVERY: Duration = Duration::from_secs(30);
const EXPIRE_UPLOADS_EVERY: Duration = Duration::from_mins(1);
const SAMPLE_SPACE_EVERY: Duration = Duration::from_secs(1);
const GIVE_MEMORY_BACK_EVERY: Duration = Duration::from_secs(10);
const REPORT_LIMITS_EVERY: Duration = Duration::from_mins(1);
/// Lines about limits in one report; the rest is counted.
const LIMITS_TOLD: usize = 10;
const TRIM_EVERY: Duration = Duration::from_mins(10);
const EXPIRE_SIGN_INS_EVERY: Duration = Duration::from_hours(1);

pub(super) fn start(app: &Arc<App>) {
    app.registry.spawn(store_pulls(Arc::downgrade(app)));
    every(app, EXPIRE_UPLOADS_EVERY, |app| async move {
        let grant = app.access.system("uploads");
        let ended = match app.registry.expire_uploads(&grant).await {
            Ok(_) => app.registry.end_uploads_without_owner(&grant).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "could not remove expired uploads");
        }
    });
    app.registry.spawn(sweep_uploads(Arc::downgrade(app)));
    every(app, SAMPLE_SPACE_EVERY, |app| async move {
        app.registry.sample_space(&app.access.system("space")).await;
    });
    app.registry.spawn(dumps::run(Arc::downgrade(app)));
    every(app, REPORT_LIMITS_EVERY, |app| async move { report_limits(&app.ledger.report()) });
    every(app, GIVE_MEMORY_BACK_EVERY, |_| async {
        drop(tokio::task::spawn_blocking(give_unused_memory_back));
    });
    every(app, TRIM_EVERY, |app| async move {
        match app.registry.trim(&app.access.system("trimming")).await {
            Ok(0) => {}
            Ok(removed) => {
                tracing::debug!(
                    removed,
                    "removed old audit entries and the tag history of deleted repositories"
                );
            }
            Err(error) => tracing::warn!(%error, "old audit entries and tag histories could not be removed"),
        }
    });
    every(app, EXPIRE_SIGN_INS_EVERY, |app| async move {
        match app.auth.expire_refresh_tokens(&app.access.system("sign-ins")).await {
            Ok(0) => {}
            Ok(removed) => {
                tracing::debug!(removed, "removed expired refresh tokens");
            }
            Err(error) => tracing::warn!(%error, "could not remove expired refresh tokens"),
        }
    });
}

/// Writes counted pulls every now and then, and when they are many.
async fn store_pulls(weak: Weak<App>) {
    loop {
        let Some(many) = weak.upgrade().map(|app| app.registry.pulls_are_many()) else { return };
        // Which of both it was does not matter.
        let _ = tokio::time::timeout(STORE_PULLS_EVERY, many).await;
        let Some(app) = weak.upgrade() else { return };
        if let Err(error) = app.registry.store_pulls(&app.access.system("pulls")).await {
            tracing::warn!(%error, "could not store the pull counts");
            drop(app);
            // They are many as long as they cannot be written.
            tokio::time::sleep(STORE_PULLS_EVERY).await;
        }
    }
}

/// Removes what the uploads of the last run left, once. It holds the registry and not the app, which may be closed
/// meanwhile.
async fn sweep_uploads(weak: Weak<App>) {
    let Some((registry, grant)) =
        weak.upgrade().map(|app| (Arc::clone(&app.registry), app.access.system("start")))
    else {
        return;
    };
    if let Err(error) = registry.sweep_uploads(&grant).await {
        tracing::warn!(%error, "leftovers of uploads could not be removed; the next start tries again");
    }
}

/// Logs who reached which limit since the last report.
pub(super) fn report_limits(standings: &[Standing]) {
    for standing in standings.iter().take(LIMITS_TOLD) {
        tracing::warn!(
            principal = standing.principal,
            address = standing.address.map(tracing::field::display),
            setting = standing.setting,
            limit = standing.limit,
            times = standing.times,
            waiting = standing.waiting,
            "a limit was reached: too many {}",
            standing.resource.words(),
        );
    }
    if standings.len() > LIMITS_TOLD {
        tracing::warn!(principals = standings.len() - LIMITS_TOLD, "more principals reached a limit");
    }
}

/// Repeats `step` on the app's runtime for as long as the app is there. A worker holds it only while it works, so that
/// the last owner elsewhere can close it.
fn every<F>(app: &Arc<App>, period: Duration, step: impl Fn(Arc<App>) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send,
{
    let weak: Weak<App> = Arc::downgrade(app);
    app.registry.spawn(async move {
        loop {
            tokio::time::sleep(period).await;
            let Some(app) = weak.upgrade() else { return };
            step(app).await;
        }
    });
}
