//! `stowage repo size`: what the space is used for, by repository and by tag.

use super::client::{Api, Received};
use super::context::Context;
use super::errors::Failure;
use super::output::{self, size};
use super::words::counted;
use crate::wire::{List, Repository, TagSize};

/// The most repositories that the API lists by size.
const MOST: i64 = 500;

/// The order of a list by size, the biggest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum By {
    /// By everything in it
    Size,
    /// By what no other repository, or no other tag, has
    Unique,
}

impl By {
    const fn word(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Unique => "unique",
        }
    }
}

/// The flags of `stowage repo size`.
#[derive(clap::Args)]
pub(super) struct SizeArgs {
    /// Its name; without one, the biggest repositories
    pub(super) name: Option<String>,
    /// Show each tag, with what deleting it would free
    #[arg(long, requires = "name")]
    pub(super) by_tag: bool,
    /// The order of a list: size, or unique (what no other repository or tag has), which is the default
    #[arg(long, value_name = "ORDER", hide_possible_values = true)]
    pub(super) by: Option<By>,
    /// Show at most this many repositories
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 20,
        value_parser = clap::value_parser!(u16).range(1..=MOST),
        conflicts_with = "name"
    )]
    pub(super) limit: u16,
}

/// The biggest repositories.
pub(super) fn biggest(api: &Api, by: By, limit: u16) -> Result<Vec<Received<Repository>>, Failure> {
    let list: List<Received<Repository>> =
        api.get(&format!("/api/v1/storage/top?limit={limit}&by={}", by.word()))?;
    Ok(list.items)
}

/// The sizes of tags, as people read them.
pub(super) fn table(tags: &[Received<TagSize>], context: &Context) -> String {
    let row = |tag: &Received<TagSize>| {
        let at_least = if tag.at_least { "at least " } else { "" };
        [
            tag.name.clone(),
            format!("{at_least}{}", size(tag.size_bytes)),
            format!("{at_least}{}", size(tag.unique_bytes)),
            size(tag.shared_bytes),
            tag.manifests.to_string(),
            output::digest(&tag.digest, context.is_wide()),
        ]
    };
    let headings = ["TAG", "SIZE", "FREES", "SHARED", "MANIFESTS", "DIGEST"];
    output::list(tags, headings, context.width(), row, "no tag")
}

/// The size of a repository, as people read it.
pub(super) fn card(repository: &Repository) -> String {
    let Repository { name, tags, manifests, size_bytes, unique_bytes, shared_bytes, manifest_bytes, .. } =
        repository;
    let unique = format!("{} that no other repository has: deleting it frees so much", size(*unique_bytes));
    let manifests = counted(*manifests, "manifest", "manifests");
    let by_tag = format!("{}: stowage repo size {name} --by-tag", counted(*tags, "tag", "tags"));
    output::card(&[
        ("name", name.clone()),
        ("size", size(*size_bytes)),
        ("unique", unique),
        ("shared", format!("{} that other repositories have, too", size(*shared_bytes))),
        ("manifests", format!("{manifests}, {}", size(*manifest_bytes))),
        ("tags", by_tag),
    ])
}
