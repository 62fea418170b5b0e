//! What the ledger counts, refuses and grants.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Charge, Holder, Ledger, Limit, Limits, Resource};
use crate::config::Config;
use crate::model::names::UserId;

const LONG: Duration = Duration::from_mins(1);
const PLACES: Resource = Resource::BodyPlaces;

fn ledger(each: u64, total: u64) -> Arc<Ledger> {
    let limit = Limit { each, total, setting: "each", total_setting: "total" };
    Ledger::new(Limits::of(&Config::default()).with(PLACES, limit))
}

fn user(id: u64) -> Holder {
    Holder::user(UserId(id), format!("user{id}").into(), None)
}

/// Starts to wait; the request is in the queue when this returns.
async fn waits(ledger: &Arc<Ledger>, holder: Holder) -> tokio::task::JoinHandle<Charge> {
    let shared = Arc::clone(ledger);
    let before = queued(ledger);
    let task = tokio::spawn(async move { shared.wait(&holder, PLACES, 1, LONG).await.unwrap() });
    while queued(ledger) == before {
        tokio::task::yield_now().await;
    }
    task
}

fn queued(ledger: &Ledger) -> usize {
    ledger.standings().iter().map(|standing| standing.waiting).sum()
}

#[test]
fn one_principal_is_refused_at_its_limit_and_another_is_not() {
    let ledger = ledger(2, 3);
    let first = ledger.charge(&user(1), PLACES, 1).unwrap();
    let _second = ledger.charge(&user(1), PLACES, 1).unwrap();
    let refused = ledger.charge(&user(1), PLACES, 1).err().unwrap();
    assert_eq!(
        refused.to_string(),
        "too many request bodies are sent at once for this user (limit 2, each): wait until some of them end"
    );
    let _other = ledger.charge(&user(2), PLACES, 1).unwrap();
    assert_eq!(ledger.charge(&user(2), PLACES, 1).err().unwrap().setting, "total");
    drop(first);
    let _again = ledger.charge(&user(1), PLACES, 1).unwrap();
    assert_eq!((ledger.held(&user(1), PLACES), ledger.total(PLACES)), (2, 3));
}

#[test]
fn a_charge_grows_shrinks_and_gives_everything_back() {
    let ledger = ledger(10, 10);
    let mut charge = ledger.charge(&user(1), PLACES, 4).unwrap();
    charge.grow(&user(1), 6).unwrap();
    assert!(charge.grow(&user(1), 1).is_err());
    charge.shrink(3);
    assert_eq!((charge.amount(), ledger.total(PLACES)), (7, 7));
    drop(charge);
    assert_eq!((ledger.held(&user(1), PLACES), ledger.total(PLACES)), (0, 0));
}

#[test]
fn all_addresses_of_an_ipv6_network_are_one_principal() {
    let holder = |text: &str| Holder::address(Some(text.parse::<IpAddr>().unwrap()));
    assert_eq!(holder("2001:db8::1"), holder("2001:db8::ffff:1"));
    assert_ne!(holder("2001:db8::1"), holder("2001:db8:0:1::1"));
    assert_eq!(holder("::ffff:10.0.0.1"), holder("10.0.0.1"));
    assert_ne!(holder("10.0.0.1"), holder("10.0.0.2"));
}

#[tokio::test]
async fn who_waits_alone_comes_before_the_second_request_of_a_busy_principal() {
    let ledger = ledger(1, 1);
    let held = ledger.charge(&user(1), PLACES, 1).unwrap();
    let (first, second) = (waits(&ledger, user(1)).await, waits(&ledger, user(1)).await);
    let other = waits(&ledger, user(2)).await;
    drop(held);
    let charge = first.await.unwrap();
    drop(charge);
    drop(other.await.unwrap());
    drop(second.await.unwrap());
    assert_eq!(ledger.total(PLACES), 0);
}

#[tokio::test]
async fn a_principal_at_its_own_limit_keeps_the_places_free_for_others() {
    let ledger = ledger(1, 2);
    let held = ledger.charge(&user(1), PLACES, 1).unwrap();
    let waiting = waits(&ledger, user(1)).await;
    let other = ledger.wait(&user(2), PLACES, 1, LONG).await.unwrap();
    assert!(!waiting.is_finished());
    drop(held);
    drop((waiting.await.unwrap(), other));
    assert_eq!(ledger.total(PLACES), 0);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_leaves_nothing_behind() {
    let ledger = ledger(1, 1);
    let held = ledger.charge(&user(1), PLACES, 1).unwrap();
    let refused = ledger.wait(&user(2), PLACES, 1, Duration::from_secs(30)).await.err().unwrap();
    assert_eq!((refused.setting, queued(&ledger)), ("total", 0));
    let waiting = waits(&ledger, user(2)).await;
    waiting.abort();
    assert!(waiting.await.is_err());
    assert_eq!(queued(&ledger), 0);
    drop(held);
    assert_eq!(ledger.total(PLACES), 0);
    assert!(ledger.wait(&user(3), PLACES, 2, LONG).await.is_err(), "it could never be granted");
}

#[tokio::test]
async fn a_higher_limit_serves_those_who_wait() {
    let ledger = ledger(1, 1);
    let held = ledger.charge(&user(1), PLACES, 1).unwrap();
    let waiting = waits(&ledger, user(2)).await;
    let limit = Limit { each: 2, total: 2, setting: "each", total_setting: "total" };
    ledger.reconfigure(Limits::of(&Config::default()).with(PLACES, limit));
    drop((held, waiting.await.unwrap()));
    assert_eq!(ledger.total(PLACES), 0);
}

#[test]
fn who_reached_a_limit_is_reported_once_and_shown_until_the_next_report() {
    let ledger = ledger(0, 1);
    assert!(ledger.charge(&user(7), PLACES, 1).is_err());
    assert!(ledger.charge(&user(7), PLACES, 1).is_err());
    let report = ledger.report();
    assert_eq!((report.len(), report[0].principal.as_str(), report[0].times), (1, "user7", 2));
    assert_eq!(ledger.report().len(), 0);
    assert_eq!(ledger.standings().len(), 0);
    assert!(ledger.charge(&user(7), PLACES, 1).is_err());
    ledger.report();
    assert_eq!(ledger.standings().len(), 1);
}

#[test]
fn shares_of_connections_are_of_those_that_the_process_can_have() {
    let config = Config::default();
    let ledger = Ledger::new(Limits::of(&config));
    let shares =
        || [Resource::Connections, Resource::UserConnections].map(|resource| ledger.limit(resource).each);
    let configured = shares();
    let together = configured.iter().sum::<u64>();
    assert!(together < config.server.max_connections as u64, "an address and a user leave some to others");
    ledger.set_connections(300);
    assert_eq!(shares(), [150, 100]);
    ledger.reconfigure(Limits::of(&config));
    assert_eq!(shares(), [150, 100], "also after a reload");
    ledger.set_connections(usize::MAX);
    ledger.reconfigure(Limits::of(&config));
    assert_eq!(shares(), configured);
}
