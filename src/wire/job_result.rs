//! What jobs find, by their kind.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::openapi::schema::{OneOfBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::{Collected, Compacted, Report, Scrubbed};

/// A dump that was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DumpMade {
    /// Its file in the directory of dumps.
    pub file: String,
    /// Rows in it, those of manifests apart.
    pub rows: u64,
    /// Manifests in it.
    pub manifests: u64,
    /// Bytes that were written for it.
    pub bytes: u64,
    /// Rows and manifests in it that are damaged.
    pub damaged: u64,
}

/// What a job found or did: a report of a check, a dump that was made, what was collected, what a scrub
/// found, or a compaction. A newer server may have others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum JobResult {
    /// Of a check.
    Check(Report),
    /// Of a dump.
    Dump(DumpMade),
    /// Of garbage collection.
    Gc(Collected),
    /// Of a scrub.
    Scrub(Scrubbed),
    /// Of a compaction.
    Compact(Compacted),
    /// Of a kind that this version does not know.
    Other(Value),
}

// By hand: in the document, what is not known would be anything at all.
impl PartialSchema for JobResult {
    fn schema() -> RefOr<Schema> {
        let of = |name: Cow<'static, str>| Ref::from_schema_name(name);
        OneOfBuilder::new()
            .item(of(Report::name()))
            .item(of(DumpMade::name()))
            .item(of(Collected::name()))
            .item(of(Scrubbed::name()))
            .item(of(Compacted::name()))
            .into()
    }
}

impl ToSchema for JobResult {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Report::name().into_owned(), Report::schema()));
        schemas.push((DumpMade::name().into_owned(), DumpMade::schema()));
        schemas.push((Collected::name().into_owned(), Collected::schema()));
        schemas.push((Scrubbed::name().into_owned(), Scrubbed::schema()));
        schemas.push((Compacted::name().into_owned(), Compacted::schema()));
        Report::schemas(schemas);
        DumpMade::schemas(schemas);
        Collected::schemas(schemas);
        Scrubbed::schemas(schemas);
        Compacted::schemas(schemas);
    }
}
