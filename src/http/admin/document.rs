//! The `OpenAPI` document, generated from the routes and the types of [`wire`](crate::wire). The result is
//! checked in as `openapi.json`, and `tests/server/admin/openapi.rs` compares the two.

use serde_json::{Map, Value, json};
use utoipa::openapi::path::{HttpMethod, ParameterIn, Paths};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, LicenseBuilder, OpenApiBuilder, RefOr, Server};

use super::operation::parameter;
use super::{endpoints, form};

const ABOUT: &str = "What manages a Stowage registry. The same API answers on the admin socket, where no sign-in is \
                     needed, and at every address of the registry. An operation, a query parameter, a field or an \
                     `If-Match` that is not in this document is refused. Answers may get more fields, and fields more values: ignore \
                     what you do not know.";

/// The document in the form in which it is checked in.
///
/// # Panics
///
/// Never: every value of it has a JSON form.
pub fn document() -> String {
    let mut components = Components::new();
    let mut paths = Paths::new();
    for endpoint in endpoints() {
        for (method, operation) in endpoint.operations() {
            let scope = if matches!(method, HttpMethod::Get) { "read_api" } else { "api" };
            let (operation, schemas) = operation.build(scope);
            paths.add_path_operation(endpoint.documented(), vec![method], operation);
            components.schemas.extend(schemas);
        }
    }
    shared_parameters(&mut components);
    security(&mut components);
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let info =
        InfoBuilder::new().title("Stowage").version("1").description(Some(ABOUT)).license(Some(license));
    let document = OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([Server::new("/api/v1")]))
        .paths(paths)
        .components(Some(components))
        .build();
    let mut document = serde_json::to_value(document).expect("a document is JSON");
    let schemas = document["components"]["schemas"].clone();
    tidy(&mut document, &schemas);
    format!("{document:#}\n")
}

fn shared_parameters(components: &mut Components) {
    let etag = "The ETag of the resource to change: refused with 412 if it changed meanwhile.";
    let parameters = [
        ("limit", parameter(ParameterIn::Query, "limit", "Entries at most.", form::limit())),
        (
            "cursor",
            parameter(
                ParameterIn::Query,
                "cursor",
                "The `next_cursor` of the previous page.",
                form::cursor(),
            ),
        ),
        ("ifMatch", parameter(ParameterIn::Header, "If-Match", etag, form::if_match())),
    ];
    let parameters = parameters.map(|(name, parameter)| (name.to_owned(), RefOr::T(parameter)));
    components.parameters.extend(parameters);
}

fn security(components: &mut Components) {
    let scheme = |scheme, description: &str| {
        let http = HttpBuilder::new().scheme(scheme).description(Some(description));
        SecurityScheme::Http(http.build())
    };
    let token = "A personal token (`stw_pat_...`) with the scope that the operation names; `api` includes `read_api`.";
    components.add_security_scheme("token", scheme(HttpAuthScheme::Bearer, token));
    let password = "A user's name with the password, or with a personal token.";
    components.add_security_scheme("password", scheme(HttpAuthScheme::Basic, password));
}

/// Removes what tells a client nothing, and writes the rest in the simplest form. `schemas` are the
/// components.
fn tidy(value: &mut Value, schemas: &Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| tidy(item, schemas)),
        Value::Object(object) => {
            if let Some(Value::Array(parts)) = object.remove("allOf") {
                let outer = std::mem::replace(object, merged(parts, schemas));
                object.extend(outer);
            }
            object.values_mut().for_each(|value| tidy(value, schemas));
            tidy_object(object);
        }
        _ => {}
    }
}

/// Merges the schemas of an `allOf` into one: a flattened or inlined type, and what its field adds.
fn merged(parts: Vec<Value>, schemas: &Value) -> Map<String, Value> {
    let mut merged = Map::new();
    for mut part in parts {
        if let Some(name) = part["$ref"].as_str().and_then(|place| place.rsplit('/').next()) {
            part = schemas[name].clone();
        }
        for (key, value) in part.as_object().cloned().unwrap_or_default() {
            match (merged.get_mut(&key), value) {
                (Some(Value::Object(known)), Value::Object(more)) => known.extend(more),
                (Some(Value::Array(known)), Value::Array(more)) => known.extend(more),
                // The field says only "any object"; the schema of the type is more exact.
                (Some(_), _) if key == "type" => {}
                (_, value) => drop(merged.insert(key, value)),
            }
        }
    }
    merged
}

fn tidy_object(object: &mut Map<String, Value>) {
    // The width of a Rust integer; the bounds say which values are possible.
    if object.get("format").is_some_and(|format| format == "int64" || format == "int32") {
        object.remove("format");
    }
    // The default, so it is left out.
    if object.get("required") == Some(&Value::Bool(false)) {
        object.remove("required");
    }
    // Joins the lines of a comment of the source.
    if let Some(Value::String(description)) = object.get_mut("description") {
        *description = description.replace('\n', " ");
    }
    // A reference that may be null: the reference comes first, and the description moves outside.
    if let Some(Value::Array(mut items)) = object.remove("oneOf") {
        items.sort_by_key(|item| *item == json!({"type": "null"}));
        let description = items[0].as_object_mut().and_then(|item| item.remove("description"));
        object.extend(description.map(|description| ("description".to_owned(), description)));
        object.insert("anyOf".to_owned(), Value::Array(items));
    }
}
