//! A model of the collector beside pushes: every order of its steps, of requests, of crashes and of time that
//! passes, over one blob, up to some bounds. `src/registry/collect/mod.rs` is what it is a model of, and has
//! the same names.
//!
//! The rules as they are built must keep every property; with any one rule left out, the checker must find a
//! counterexample. What happens in one write transaction is one step, and so is each call to the file system.
//!
//! `cargo test --test house collector_model` takes small bounds. The full ones, with what each check took:
//! `cargo test --release --test house collector_model -- --ignored --nocapture`.

mod properties;
mod protocol;
mod state;
mod transactions;
mod variant;

use std::time::Instant;

use stateright::{Checker as _, DiscoveryClassification, HasDiscoveries, Model as _};

use protocol::{Bounds, Collection};
use variant::Variant;

/// Threads of a check.
const THREADS: usize = 2;

/// One repository. All variants but two are found with it.
const ONE: Bounds = Bounds { ticks: 4, requests: 6, crashes: 1, promise: 1, repositories: 1 };
/// Two repositories, for mounts.
const TWO: Bounds = Bounds { ticks: 3, requests: 4, crashes: 1, promise: 1, repositories: 2 };
/// The promise is lowered meanwhile.
const LOWERED: Bounds = Bounds { ticks: 6, requests: 4, crashes: 0, promise: 2, repositories: 1 };

/// The full bounds.
const FULL: [Bounds; 3] = [
    Bounds { ticks: 5, requests: 7, crashes: 2, promise: 1, repositories: 1 },
    Bounds { ticks: 4, requests: 6, crashes: 1, promise: 1, repositories: 2 },
    Bounds { ticks: 7, requests: 6, crashes: 1, promise: 2, repositories: 1 },
];

/// The smallest of the bounds within which a variant is found to be unsafe.
const fn bounds_for(variant: Variant) -> Bounds {
    match variant {
        Variant::NowForgetsMount => TWO,
        Variant::LoweringShortens => LOWERED,
        _ => ONE,
    }
}

/// What a check found.
struct Verdict {
    states: usize,
    seconds: f64,
    /// Properties that do not hold, each with the steps to where it does not.
    broken: Vec<String>,
    /// What should be reached, and was not.
    unreached: Vec<&'static str>,
}

/// Checks a variant, up to the first counterexample.
fn check(variant: Variant, bounds: Bounds) -> Verdict {
    let begun = Instant::now();
    let model = Collection { variant, bounds };
    let properties = model.properties();
    let search = model.checker().threads(THREADS).finish_when(HasDiscoveries::AnyFailures);
    let checker = search.spawn_bfs().join();
    let found = checker.discoveries();
    let mut broken = Vec::new();
    let mut unreached: Vec<&str> = properties.iter().map(|property| property.name).collect();
    for (name, path) in found {
        match checker.discovery_classification(name) {
            DiscoveryClassification::Counterexample => {
                broken.push(format!("{name}: {:?}", path.into_actions()));
            }
            DiscoveryClassification::Example => unreached.retain(|unreached| *unreached != name),
        }
    }
    // What always holds is never reached.
    unreached.retain(|name| properties::GOALS.contains(name));
    let seconds = begun.elapsed().as_secs_f64();
    Verdict { states: checker.unique_state_count(), seconds, broken, unreached }
}

fn assert_safe(bounds: Bounds) -> Verdict {
    let verdict = check(Variant::Design, bounds);
    assert!(verdict.broken.is_empty(), "{bounds:?}: {:#?}", verdict.broken);
    assert!(verdict.unreached.is_empty(), "{bounds:?}: never reached: {:?}", verdict.unreached);
    verdict
}

fn assert_unsafe(variant: Variant, bounds: Bounds) -> Verdict {
    let verdict = check(variant, bounds);
    assert!(!verdict.broken.is_empty(), "{variant:?} is not found unsafe within {bounds:?}");
    verdict
}

#[test]
fn the_design_is_safe() {
    for bounds in [ONE, TWO, LOWERED] {
        assert_safe(bounds);
    }
}

#[test]
fn without_any_one_of_its_rules_it_is_not() {
    for variant in Variant::UNSAFE {
        assert_unsafe(variant, bounds_for(variant));
    }
}

#[test]
#[ignore = "it checks three million states"]
#[expect(clippy::print_stdout, reason = "the figures of docs/reliability.md come from here")]
fn within_the_full_bounds() {
    let tell = |variant: Variant, bounds: Bounds, verdict: &Verdict| {
        let Verdict { states, seconds, broken, .. } = verdict;
        println!("{variant:?}, {bounds:?}: {states} states in {seconds:.1} s; {broken:?}");
    };
    for bounds in FULL {
        tell(Variant::Design, bounds, &assert_safe(bounds));
    }
    for variant in Variant::UNSAFE {
        // A variant must be found beside everything else that the full bounds let happen.
        let bounds = match variant {
            Variant::NowForgetsMount => FULL[1],
            Variant::LoweringShortens => FULL[2],
            _ => FULL[0],
        };
        tell(variant, bounds, &assert_unsafe(variant, bounds));
    }
}
