//! Blobs and manifests to push.

use serde_json::{Value, json};
use stowage::model::digest::{Algorithm, Digest};
use stowage::model::media_type::{OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST};

use super::{Client, Response};

pub fn sha256(bytes: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, bytes).to_string()
}

pub fn sha512(bytes: &[u8]) -> String {
    Digest::of(Algorithm::Sha512, bytes).to_string()
}

pub fn blake3(bytes: &[u8]) -> String {
    Digest::of(Algorithm::Blake3, bytes).to_string()
}

/// Pseudo-random bytes from `seed`.
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

pub fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": sha256(content), "size": content.len() })
}

/// An image manifest with these layers and the config `{}`.
pub fn image(layers: &[&[u8]]) -> Vec<u8> {
    let layers: Vec<Value> = layers.iter().map(|layer| descriptor(OCI_LAYER_GZIP, layer)).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, b"{}"), "layers": layers,
    });
    serde_json::to_vec(&manifest).expect("JSON")
}

/// An index of image manifests.
pub fn index(manifests: &[&[u8]]) -> Vec<u8> {
    let manifests: Vec<Value> = manifests.iter().map(|manifest| descriptor(OCI_MANIFEST, manifest)).collect();
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
    serde_json::to_vec(&index).expect("JSON")
}

/// An artifact manifest that refers to `subject`.
pub fn referrer(subject: &[u8], artifact_type: &str, annotations: &Value) -> Vec<u8> {
    let parsed: Value = serde_json::from_slice(subject).unwrap_or_default();
    let subject_type = parsed["mediaType"].as_str().unwrap_or(OCI_MANIFEST);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": artifact_type,
        "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"), "layers": [],
        "subject": descriptor(subject_type, subject), "annotations": annotations,
    });
    serde_json::to_vec(&manifest).expect("JSON")
}

/// Pushes a blob in one POST and returns its digest.
pub fn push_blob(client: &Client, name: &str, content: &[u8]) -> String {
    let digest = sha256(content);
    client.post(&format!("/v2/{name}/blobs/uploads/?digest={digest}"), content).expect(201);
    digest
}

/// Sends a manifest, and returns the response.
pub fn put_manifest(client: &Client, name: &str, reference: &str, media_type: &str, body: &[u8]) -> Response {
    client.send("PUT", &format!("/v2/{name}/manifests/{reference}"), &[("Content-Type", media_type)], body)
}

/// Pushes a manifest and returns its digest.
pub fn push_manifest(client: &Client, name: &str, reference: &str, media_type: &str, body: &[u8]) -> String {
    put_manifest(client, name, reference, media_type, body).expect(201);
    sha256(body)
}

/// Pushes an image of one layer under a tag and returns its manifest.
pub fn push_image(client: &Client, name: &str, tag: &str, layer: &[u8]) -> Vec<u8> {
    push_blob(client, name, b"{}");
    push_blob(client, name, layer);
    let manifest = image(&[layer]);
    push_manifest(client, name, tag, OCI_MANIFEST, &manifest);
    manifest
}

/// Opens an upload and returns its location.
pub fn open_upload(client: &Client, name: &str) -> String {
    client.post(&format!("/v2/{name}/blobs/uploads/"), b"").expect(202).location()
}

/// Sends a chunk with its `Content-Range`.
pub fn send_chunk(client: &Client, location: &str, start: usize, chunk: &[u8]) -> Response {
    let range = format!("{start}-{}", start + chunk.len() - 1);
    client.send("PATCH", location, &[("Content-Range", &range)], chunk)
}

/// Closes an upload with a last body.
pub fn close_upload(client: &Client, location: &str, digest: &str, body: &[u8]) -> Response {
    let separator = if location.contains('?') { '&' } else { '?' };
    client.put(&format!("{location}{separator}digest={digest}"), body)
}

/// Changes the metadata, and leaves them as they were: what follows a change alone is due.
pub fn touch(client: &Client, repository: &str) {
    let upload = open_upload(client, repository);
    send_chunk(client, &upload, 0, b"x").expect(202);
    client.delete(&upload).expect(204);
}
