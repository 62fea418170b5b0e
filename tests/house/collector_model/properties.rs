//! What must hold in every state, and what must be reached in some.

use stateright::Property;

use super::protocol::Collection;
use super::state::{BlobState, ManifestState, REPOSITORIES, State};

const COLLECTED: &str = "garbage is collected";
const PUSHED: &str = "a push works after a collection";

/// What must be reached: a model in which nothing ever happens would be safe, too.
pub(super) const GOALS: [&str; 2] = [COLLECTED, PUSHED];

type Rule = Property<Collection>;

pub(super) fn all() -> Vec<Rule> {
    vec![
        Rule::always("a live manifest can be pulled", |_, state| {
            manifests(state, ManifestState::Live)
                .all(|repository| state.is_visible(repository) && state.has_bytes())
        }),
        Rule::always("what is in the trash can come back", |_, state| {
            manifests(state, ManifestState::Trashed).all(|repository| {
                state.links[repository].is_some_and(|link| link.present) && state.has_bytes()
            })
        }),
        Rule::always("a promise is kept", |_, state| {
            (0..REPOSITORIES).all(|repository| {
                let binds = |until: Option<u8>| until.is_some_and(|until| state.now <= until);
                !(binds(state.uploaded[repository]) || binds(state.told[repository]))
                    || (state.is_visible(repository) && state.has_bytes())
            })
        }),
        Rule::always("a row that is present has a durable file", |_, state| {
            state.blob != Some(BlobState::Present) || (state.file && state.durable)
        }),
        Rule::always("counts are exact", |_, state| {
            (0..REPOSITORIES).all(|repository| {
                let held = &state.manifests[repository];
                let count = |wanted| held.iter().filter(|manifest| manifest.state == wanted).count();
                let link = state.links[repository].unwrap_or_default();
                usize::from(link.references) == count(ManifestState::Live)
                    && usize::from(link.trash_references) == count(ManifestState::Trashed)
                    && (!link.hidden || link.trash_references > 0)
            })
        }),
        Rule::always("a link that is present has a blob", |_, state| {
            !state.is_held() || state.blob == Some(BlobState::Present)
        }),
        Rule::sometimes(COLLECTED, |_, state| {
            state.removed && state.blob.is_none() && !state.file && state.crashes == 0
        }),
        Rule::sometimes(PUSHED, |_, state| {
            let is_live = state.manifests[0][0].state == ManifestState::Live;
            state.removed && state.crashes == 0 && is_live
        }),
    ]
}

/// Repositories with a manifest in this state whose blob has to be there.
fn manifests(state: &State, wanted: ManifestState) -> impl Iterator<Item = usize> + '_ {
    (0..REPOSITORIES).filter(move |&repository| {
        state.manifests[repository].iter().any(|manifest| manifest.state == wanted && manifest.complete)
    })
}
