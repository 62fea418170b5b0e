//! The schemas of parameters, outside of bodies: patterns, lengths and bounds. `tests/server/admin/forms.rs`
//! compares them with what the server accepts.

use serde_json::Value;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::page::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::wire::JobKind;

/// Any text.
pub(super) fn text() -> Object {
    Object::with_type(Type::String)
}

pub(super) fn user_name() -> Object {
    pattern("^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$").build()
}

pub(super) fn repository_name() -> Object {
    let component = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*";
    pattern(&format!("^{component}(/{component})*$")).max_length(Some(255)).build()
}

pub(super) fn tag_name() -> Object {
    pattern("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$").build()
}

pub(super) fn digest() -> Object {
    pattern("^((sha256|blake3):[0-9a-f]{64}|sha512:[0-9a-f]{128})$").build()
}

/// How long the answer may be delayed.
pub(super) fn wait() -> Object {
    pattern(r"^\s*(0+|[0-9]+\s*[wdhms])\s*$").build()
}

/// A duration such as `14d`.
pub(super) fn duration() -> Object {
    wait()
}

/// What a job does.
pub(super) fn job_kind() -> Object {
    let kinds = JobKind::ALL.map(JobKind::as_str);
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(kinds)).build()
}

/// How the biggest repositories are found.
pub(super) fn biggest_by() -> Object {
    let orders = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["size", "unique"]));
    orders.default(Some(Value::from("size"))).build()
}

/// True or false; false when it is absent.
pub(super) fn switch() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).default(Some(Value::from(false))).build()
}

/// The number of entries on a page.
pub(super) fn limit() -> Object {
    let number = ObjectBuilder::new().schema_type(Type::Integer).default(Some(Value::from(DEFAULT_LIMIT)));
    number.minimum(Some(1)).maximum(Some(MAX_LIMIT)).build()
}

/// Where a page begins.
pub(super) fn cursor() -> Object {
    pattern("^[A-Za-z0-9_-]+$").min_length(Some(1)).build()
}

/// One `ETag`, or `*`.
pub(super) fn if_match() -> Object {
    pattern(r#"^(\*|"[\t !#-~]*")$"#).build()
}

fn pattern(pattern: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern))
}
