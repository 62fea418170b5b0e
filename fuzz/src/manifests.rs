//! Manifests as a push sends them. The first line of the input is the value of `Content-Type`, the rest is
//! the body.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stowage::model::media_type::{self, MANIFESTS, ManifestKind};
use stowage::model::{Annotations, Descriptor, Digest, MAX_MANIFEST_SIZE, Manifest, ManifestError};

use super::json::Json;
use super::names;
use super::text::{assert_message, first_line, header_value};

/// The bounds of docs/decisions.md, "Limits of manifests".
const MAX_DEPTH: usize = 32;
const MAX_REFERENCES: usize = 10_000;
const MAX_URLS: usize = 16;
/// Keys that Go clients read, in each kind of object.
const DOCUMENT: &[&str] = &[
    "schemaVersion",
    "mediaType",
    "config",
    "layers",
    "manifests",
    "subject",
    "artifactType",
    "annotations",
];
const DESCRIPTOR: &[&str] = &["mediaType", "digest", "size", "urls", "annotations", "artifactType", "data"];

/// An accepted manifest has the same meaning for every client and for the server; a refused one gets a
/// message that can be printed.
pub fn check(input: &[u8]) {
    let (content_type, body) = first_line(input);
    let Some(content_type) = header_value(content_type) else { return };
    let content_type = (!content_type.is_empty()).then_some(content_type);
    match Manifest::parse(content_type, body) {
        Ok(manifest) => accepted(content_type, body, &manifest),
        Err(error) => {
            assert_message(&error);
            if let ManifestError::NotUtf8 { offset } = error {
                assert!(str::from_utf8(&body[..offset]).is_ok() && offset < body.len());
            }
        }
    }
}

fn accepted(content_type: Option<&str>, body: &[u8], manifest: &Manifest) {
    assert!(body.len() <= MAX_MANIFEST_SIZE);
    let document = Json::parse(body).expect("what is accepted is JSON");
    assert!(document.depth() <= MAX_DEPTH);
    assert_keys(&document, DOCUMENT);
    assert_eq!(document.get("schemaVersion").and_then(Json::whole), Some(2));
    assert!(!document.pairs().iter().any(|(key, _)| key == "fsLayers"));
    assert_type(content_type, &document, manifest);
    assert_eq!(manifest.artifact_type.as_deref(), non_empty(&document, "artifactType"));
    assert_annotations(&document, &manifest.annotations);
    assert_descriptors(document.get("config").as_slice(), manifest.config.as_slice());
    assert_descriptors(document.get("subject").as_slice(), manifest.subject.as_slice());
    for (name, list) in [("layers", &manifest.layers), ("manifests", &manifest.manifests)] {
        let entries: Vec<&Json> = document.get(name).map(Json::entries).unwrap_or_default().iter().collect();
        assert!(entries.len() <= MAX_REFERENCES);
        assert_descriptors(&entries, list);
    }
    assert_references(manifest);
    let own = manifest.artifact_type.as_deref();
    let expected = own.or(manifest.config.as_ref().map(|config| config.media_type.as_str()));
    assert_eq!(manifest.referrer_artifact_type(), expected);
    assert_eq!(
        Manifest::parse(None, &written(manifest))
            // The annotations are at another position now.
            .map(|read| Manifest { annotations_at: manifest.annotations_at.clone(), ..read })
            .as_ref(),
        Ok(manifest),
        "it reads differently when written anew"
    );
}

/// Asserts that header, body and content agree on one type, and that no client can take an image for an index
/// (CVE-2021-41190).
fn assert_type(content_type: Option<&str>, document: &Json, manifest: &Manifest) {
    assert!(MANIFESTS.contains(&manifest.media_type.as_str()), "{}", manifest.media_type);
    assert_eq!(media_type::manifest_kind(&manifest.media_type), Some(manifest.kind));
    if let Some(said) = non_empty(document, "mediaType") {
        assert_eq!(said, manifest.media_type);
    }
    if let Some(essence) = content_type.and_then(|value| value.split(';').next()).map(str::trim)
        && !essence.is_empty()
        && !media_type::is_generic(essence)
    {
        assert_eq!(essence, manifest.media_type);
    }
    let has = |name: &str| document.pairs().iter().any(|(key, _)| key == name);
    match manifest.kind {
        ManifestKind::Image => {
            assert!(has("config") && has("layers") && !has("manifests"));
            assert!(manifest.config.is_some() && manifest.manifests.is_empty());
        }
        ManifestKind::Index => {
            assert!(has("manifests") && !has("config") && !has("layers"));
            assert!(manifest.config.is_none() && manifest.layers.is_empty());
        }
    }
}

/// Asserts that no known key occurs twice, in any spelling that Go accepts: Go ignores case, by Unicode's
/// folding.
fn assert_keys(object: &Json, names: &[&str]) {
    for name in names {
        let alike = |key: &str| {
            let folded: String = key.replace('\u{17f}', "s").replace('\u{212a}', "k").to_ascii_lowercase();
            folded == name.to_ascii_lowercase()
        };
        let found: Vec<&String> =
            object.pairs().iter().map(|(key, _)| key).filter(|key| alike(key)).collect();
        assert!(found.len() <= 1 && found.iter().all(|key| key == name), "{found:?}");
    }
}

fn non_empty<'j>(object: &'j Json, name: &str) -> Option<&'j str> {
    object.get(name).map(|value| value.text().expect("a string")).filter(|text| !text.is_empty())
}

fn assert_annotations(object: &Json, annotations: &Annotations) {
    let said = object.get("annotations").map(Json::pairs).unwrap_or_default();
    assert!(
        said.iter()
            .map(|(key, value)| (key.as_str(), value.text().expect("a string")))
            .eq(annotations.iter())
    );
    assert_eq!(said.iter().map(|(key, _)| key).collect::<BTreeSet<_>>().len(), annotations.len());
}

fn assert_descriptors(said: &[&Json], read: &[Descriptor]) {
    assert_eq!(said.len(), read.len());
    for (said, read) in said.iter().zip(read) {
        assert_descriptor(said, read);
    }
}

/// Asserts that a descriptor equals the document, and that its digest and size are valid for every client.
fn assert_descriptor(said: &Json, read: &Descriptor) {
    assert_keys(said, DESCRIPTOR);
    assert_eq!(said.get("mediaType").and_then(Json::text), Some(read.media_type.as_str()));
    assert!(!read.media_type.is_empty());
    let digest = read.digest.to_string();
    assert_eq!(said.get("digest").and_then(Json::text), Some(digest.as_str()));
    assert!(names::is_digest(&digest), "{digest:?}");
    assert_eq!(read.digest.known().is_some(), names::is_known_digest(&digest));
    assert_eq!(said.get("size").and_then(Json::whole), Some(read.size));
    assert!(i64::try_from(read.size).is_ok());
    assert_eq!(read.artifact_type.as_deref(), non_empty(said, "artifactType"));
    assert_annotations(said, &read.annotations);
    let urls = said.get("urls").map(Json::entries).unwrap_or_default();
    assert!(urls.iter().filter_map(Json::text).eq(&read.urls) && urls.len() <= MAX_URLS);
    if let Some(data) = said.get("data") {
        let data = STANDARD.decode(data.text().expect("a string")).expect("base64");
        assert_eq!(data.len() as u64, read.size);
        if let Some(digest) = read.digest.known() {
            assert_eq!(Digest::of(digest.algorithm(), &data), digest);
        }
    }
}

/// Asserts that blobs and children together are what the manifest names, each digest once.
fn assert_references(manifest: &Manifest) {
    let mut blobs = BTreeMap::new();
    let mut children = BTreeSet::new();
    for entry in manifest.config.iter().chain(&manifest.layers).chain(&manifest.manifests) {
        if manifest.kind == ManifestKind::Index && MANIFESTS.contains(&entry.media_type.as_str()) {
            children.insert(entry.digest.to_string());
        } else {
            let elsewhere = !entry.urls.is_empty() || media_type::is_nondistributable(&entry.media_type);
            *blobs.entry(entry.digest.to_string()).or_insert(false) |= !elsewhere;
        }
    }
    let found = manifest.blobs();
    assert_eq!(found.len(), blobs.len());
    assert!(
        found.iter().all(|blob| blobs.get(&blob.digest.to_string()) == Some(&blob.required)),
        "{found:?}"
    );
    let found = manifest.children();
    assert_eq!(found.len(), children.len());
    assert!(found.iter().all(|child| children.contains(&child.digest.to_string())), "{found:?}");
}

/// The manifest, written as a new document.
fn written(manifest: &Manifest) -> Vec<u8> {
    let mut document = serde_json::json!({ "schemaVersion": 2, "mediaType": manifest.media_type });
    match manifest.kind {
        ManifestKind::Image => {
            document["config"] = serde_json::json!(manifest.config);
            document["layers"] = serde_json::json!(manifest.layers);
        }
        ManifestKind::Index => document["manifests"] = serde_json::json!(manifest.manifests),
    }
    document["subject"] = serde_json::json!(manifest.subject);
    document["artifactType"] = serde_json::json!(manifest.artifact_type);
    let mut text = document.to_string();
    // Written by hand, because a map of the library would sort the keys.
    let annotations = serde_json::to_string(&manifest.annotations).expect("strings are JSON");
    text.truncate(text.len() - 1);
    text.extend([",\"annotations\":", &annotations, "}"]);
    text.into_bytes()
}
