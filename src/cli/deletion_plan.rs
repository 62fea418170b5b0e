//! What a deletion would free: asked before anything is deleted.

use super::client::Api;
use super::errors::Failure;
use super::output::size;
use super::visible::one_line;
use super::words::{counted, when};
use crate::wire::{DeletionPlan, KeptManifest, NewDeletion};

/// Bytes of names in one request: its body has at most 64 KiB.
const NAMES: usize = 60_000;
/// Manifests that are listed, unless all details are wanted.
const LISTED: usize = 5;

/// What deleting these tags, manifests and repositories would free.
pub(super) fn plan(api: &Api, names: &[String]) -> Result<DeletionPlan, Failure> {
    let mut sum: Option<DeletionPlan> = None;
    for names in parts(names) {
        let plan = api.post("/api/v1/deletions/preview", &NewDeletion { names: names.to_vec() })?;
        sum = Some(match sum {
            None => plan,
            Some(sum) => together(sum, plan),
        });
    }
    Ok(sum.unwrap_or_default())
}

/// The names in parts that fit into a request.
fn parts(names: &[String]) -> impl Iterator<Item = &[String]> {
    let mut rest = names;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|name| {
            // Quotes and a comma; a name with other characters would be refused anyway.
            bytes += name.len() + 3;
            bytes <= NAMES
        });
        let (part, others) = rest.split_at(fits.count().max(1).min(rest.len()));
        rest = others;
        (!part.is_empty()).then_some(part)
    })
}

/// Two plans as one. What only both together would free is not in it.
fn together(one: DeletionPlan, other: DeletionPlan) -> DeletionPlan {
    let both = |one: Vec<String>, other: Vec<String>| one.into_iter().chain(other).take(100).collect();
    DeletionPlan {
        tags: one.tags + other.tags,
        manifests: one.manifests + other.manifests,
        manifest_bytes: one.manifest_bytes + other.manifest_bytes,
        blobs: one.blobs + other.blobs,
        freed_bytes: one.freed_bytes + other.freed_bytes,
        kept_manifests: one.kept_manifests + other.kept_manifests,
        kept_bytes: one.kept_bytes + other.kept_bytes,
        elsewhere_bytes: one.elsewhere_bytes + other.elsewhere_bytes,
        tag_names: both(one.tag_names, other.tag_names),
        manifest_names: both(one.manifest_names, other.manifest_names),
        kept: one.kept.into_iter().chain(other.kept).take(100).collect(),
        at_least: true,
        collected_from: one.collected_from.zip(other.collected_from).map(|(one, other)| one.max(other)),
    }
}

/// What is freed, in a few words for a question.
pub(super) fn in_short(plan: &DeletionPlan) -> String {
    let at_least = if plan.at_least { "at least " } else { "" };
    format!("frees {at_least}{}", size(plan.freed_bytes))
}

/// The plan, as people read it.
pub(super) fn text(plan: &DeletionPlan, in_full: bool) -> String {
    let at_least = if plan.at_least { "at least " } else { "" };
    let (blobs, manifests) =
        (counted(plan.blobs, "blob", "blobs"), counted(plan.manifests, "manifest", "manifests"));
    let freed = size(plan.freed_bytes);
    let mut lines = vec![format!("would free {at_least}{freed} in {blobs}, with {manifests}")];
    if in_full {
        lines.extend(plan.manifest_names.iter().map(|name| format!("  {}", one_line(name))));
    }
    if plan.kept_bytes > 0 {
        lines.push(format!("would keep {} that other images of the repository use", size(plan.kept_bytes)));
    }
    if plan.elsewhere_bytes > 0 {
        lines.push(format!("would keep {} that other repositories use", size(plan.elsewhere_bytes)));
    }
    let listed = if in_full { plan.kept.len() } else { LISTED.min(plan.kept.len()) };
    lines.extend(plan.kept[..listed].iter().map(|kept| format!("would keep {}", one_line(&why(kept)))));
    if plan.kept.len() > listed {
        lines.push("and more; see all with -o wide".to_owned());
    }
    if plan.blobs > 0 {
        let sooner = "stowage gc run --empty-trash --untagged 0s";
        lines.push(match &plan.collected_from {
            Some(from) => {
                let from = when(from);
                format!(
                    "garbage collection takes it from {} on; to free it sooner: {sooner}",
                    one_line(&from)
                )
            }
            None => {
                format!("scheduled garbage collection leaves manifests without a tag; to free it: {sooner}")
            }
        });
    }
    lines.join("\n")
}

fn why(kept: &KeptManifest) -> String {
    let name = &kept.name;
    match (&kept.by_tag, &kept.by_manifest) {
        (Some(tag), _) => format!("{name}: the tag {tag} leads to it"),
        (None, Some(manifest)) => format!("{name}: {manifest} stays and needs it"),
        (None, None) => format!("{name}: very many manifests may need it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sent_in_requests_that_are_not_too_large() {
        let names: Vec<String> = (0..5_000).map(|number| format!("team/app:{number:0>20}")).collect();
        let sent: Vec<&[String]> = parts(&names).collect();
        assert_eq!(sent.concat(), names);
        for part in &sent {
            let body = serde_json::to_string(&NewDeletion { names: part.to_vec() }).unwrap();
            assert!(body.len() <= 64 << 10, "{} bytes", body.len());
        }
        assert_eq!(sent.len(), 3);
        assert_eq!(parts(&["x".repeat(100_000)]).count(), 1);
        assert_eq!(parts(&[]).count(), 0);
    }

    #[test]
    fn the_text_says_what_goes_what_stays_and_why() {
        let kept = |by_tag: Option<&str>| KeptManifest {
            name: "a@sha256:ab".to_owned(),
            by_tag: by_tag.map(str::to_owned),
            by_manifest: None,
        };
        let plan = DeletionPlan {
            blobs: 2,
            manifests: 1,
            freed_bytes: 3 << 20,
            kept_bytes: 1 << 10,
            elsewhere_bytes: 1 << 20,
            kept: vec![kept(Some("latest")), kept(None)],
            ..DeletionPlan::default()
        };
        let text = text(&plan, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "would free 3 MiB in 2 blobs, with 1 manifest",
                "would keep 1 KiB that other images of the repository use",
                "would keep 1 MiB that other repositories use",
                "would keep a@sha256:ab: the tag latest leads to it",
                "would keep a@sha256:ab: very many manifests may need it",
                "scheduled garbage collection leaves manifests without a tag; to free it: stowage gc run --empty-trash --untagged 0s",
            ]
        );
        let twice = together(plan.clone(), plan);
        assert_eq!(in_short(&twice), "frees at least 6 MiB");
    }
}
