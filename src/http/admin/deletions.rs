//! `/api/v1/deletions`: what a deletion would free, before it is made.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::endpoint::{Endpoint, at};
use super::operation::operation;
use super::permit::Permit;
use super::problem::Problem;
use super::sent::Sent;
use super::{json, time};
use crate::access::{Catalog, Delete};
use crate::app::App;
use crate::http::challenge;
use crate::http::fault::Code;
use crate::model::digest::Digest;
use crate::model::names::{RepoName, Tag};
use crate::registry::{Deletion, KeptBy, RegistryError, Selection};
use crate::wire::{DeletionPlan, KeptManifest, NewDeletion};

/// The most repositories of one preview: for each of them the policy is asked.
const REPOSITORIES: usize = 500;

/// The path of previews.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let preview = at("/deletions/preview").post(preview, || {
        let summary =
            "Show what deleting tags, manifests and repositories would free, and change nothing. For admins.";
        operation("previewDeletion", summary)
            .takes::<NewDeletion>()
            .answers::<DeletionPlan>(200, "What it would free.")
    });
    vec![preview]
}

/// `POST /api/v1/deletions/preview`
pub(super) async fn preview(
    app: Data<App>,
    permit: Permit<Catalog>,
    request: HttpRequest,
    sent: Sent<NewDeletion>,
) -> Result<HttpResponse, Problem> {
    let selected = selected(&sent.read(&permit).await?.names)?;
    let mut granted = Vec::with_capacity(selected.len());
    for (name, Names { all, tags, manifests }) in selected {
        let name: RepoName = name.parse()?;
        let grant = app.access.repository::<Delete>(permit.grant().caller(), &name);
        let grant = grant.map_err(|refusal| challenge::refusal(&request, refusal))?;
        let of = Selection::Of {
            tags: tags.iter().map(|tag| tag.parse()).collect::<Result<Vec<Tag>, _>>()?,
            manifests: manifests.into_iter().collect(),
        };
        granted.push((grant, if all { Selection::All } else { of }));
    }
    let plan = app.registry.plan_deletion(granted).await.map_err(unknown)?;
    Ok(json(StatusCode::OK, &answer(plan, app.now_ms())))
}

/// What is selected in one repository.
#[derive(Default)]
struct Names {
    all: bool,
    tags: BTreeSet<String>,
    manifests: BTreeSet<Digest>,
}

/// The names by repository.
fn selected(names: &[String]) -> Result<BTreeMap<String, Names>, Problem> {
    let mut selected: BTreeMap<String, Names> = BTreeMap::new();
    for name in names {
        let (repository, digest) = match name.split_once('@') {
            Some((repository, digest)) => (repository, Some(digest.parse()?)),
            None => (name.as_str(), None),
        };
        let (repository, tag) = match repository.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (repository, None),
        };
        let one = selected.entry(repository.to_owned()).or_default();
        match (tag, digest) {
            // As in docker, the digest counts.
            (_, Some(digest)) => drop(one.manifests.insert(digest)),
            (Some(tag), None) => drop(one.tags.insert(tag.to_owned())),
            (None, None) => one.all = true,
        }
        if selected.len() > REPOSITORIES {
            let message =
                format!("names are in more than {REPOSITORIES} repositories; send them in several requests");
            return Err(Problem::new(Code::BodyInvalid, message));
        }
    }
    Ok(selected)
}

fn answer(plan: Deletion, now_ms: u64) -> DeletionPlan {
    let by_digest = |name: &RepoName, digest: &Digest| format!("{name}@{digest}");
    let kept = plan.kept.iter().map(|(name, digest, by)| {
        let (by_tag, by_manifest) = match by {
            KeptBy::Tag(tag) => (Some(tag.clone()), None),
            KeptBy::Manifest(digest) => (None, Some(digest.to_string())),
            KeptBy::Many => (None, None),
        };
        KeptManifest { name: by_digest(name, digest), by_tag, by_manifest }
    });
    let in_ms = |seconds: u64| now_ms.saturating_add(seconds.saturating_mul(1000));
    DeletionPlan {
        tags: plan.tags,
        manifests: plan.manifests,
        manifest_bytes: plan.manifest_bytes,
        blobs: plan.blobs,
        freed_bytes: plan.freed_bytes,
        kept_manifests: plan.kept_manifests,
        kept_bytes: plan.kept_bytes,
        elsewhere_bytes: plan.elsewhere_bytes,
        manifest_names: plan.gone.iter().map(|(name, digest)| by_digest(name, digest)).collect(),
        kept: kept.collect(),
        tag_names: plan.tag_names,
        at_least: plan.at_least,
        collected_from: plan.due_in_s.map(|seconds| time(in_ms(seconds))),
    }
}

fn unknown(error: RegistryError) -> Problem {
    match error {
        RegistryError::ManifestUnknown(name) => {
            let code = if name.contains('@') { Code::ManifestUnknown } else { Code::TagUnknown };
            Problem::new(code, format!("there is no {name}"))
        }
        other => other.into(),
    }
}
