//! Blobs and manifests to push.

use serde_json::{Value, json};

use crate::model::digest::{Algorithm, Digest};
use crate::model::media_type::{
    DOCKER_FOREIGN_LAYER, DOCKER_MANIFEST, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST,
};

/// A blob to push.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    pub(super) content: Vec<u8>,
    pub(super) digest: Digest,
}

/// A manifest to push.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    pub(super) body: String,
    /// The blobs that must be there.
    pub(super) blobs: Vec<Digest>,
    /// The manifests that must be there.
    pub(super) children: Vec<Digest>,
    /// Its subject, if we can compute its digest.
    pub(super) subject: Option<Digest>,
    pub(super) media_type: &'static str,
}

impl Manifest {
    pub(super) fn digest(&self) -> Digest {
        self.digest_by(Algorithm::Sha256)
    }

    pub(super) fn digest_by(&self, algorithm: Algorithm) -> Digest {
        Digest::of(algorithm, self.body.as_bytes())
    }
}

pub(super) fn blobs() -> Vec<Blob> {
    let contents: [(&[u8], Algorithm); 5] = [
        (b"", Algorithm::Sha256),
        (b"{}", Algorithm::Sha256),
        (b"a layer", Algorithm::Sha256),
        (b"a layer by another hash", Algorithm::Sha512),
        (b"a layer by a third hash", Algorithm::Blake3),
    ];
    let blob =
        |(content, algorithm)| Blob { content: Vec::from(content), digest: Digest::of(algorithm, content) };
    contents.map(blob).to_vec()
}

fn descriptor(media_type: &str, digest: &str, size: usize) -> Value {
    json!({"mediaType": media_type, "digest": digest, "size": size})
}

fn layer(blob: &Blob) -> Value {
    descriptor(OCI_LAYER_GZIP, &blob.digest.to_string(), blob.content.len())
}

fn of(manifest: &Manifest) -> Value {
    descriptor(manifest.media_type, &manifest.digest().to_string(), manifest.body.len())
}

fn build(media_type: &'static str, document: Value, blobs: &[&Blob], children: &[&Manifest]) -> Manifest {
    let mut document = document;
    document["schemaVersion"] = json!(2);
    document["mediaType"] = json!(media_type);
    Manifest {
        body: document.to_string(),
        blobs: blobs.iter().map(|blob| blob.digest).collect(),
        children: children.iter().map(|child| child.digest()).collect(),
        subject: document["subject"]["digest"].as_str().and_then(|digest| digest.parse().ok()),
        media_type,
    }
}

/// An image of a config and layers.
pub(super) fn image(blobs: &[Blob]) -> Manifest {
    let layers: Vec<Value> = blobs[1..].iter().map(layer).collect();
    let document = json!({"config": layer(&blobs[0]), "layers": layers});
    build(OCI_MANIFEST, document, &blobs.iter().collect::<Vec<_>>(), &[])
}

/// An index of manifests, which differs from others of the same by its number.
pub(super) fn index(children: &[&Manifest], number: u32) -> Manifest {
    let listed: Vec<Value> = children.iter().map(|child| of(child)).collect();
    let document = json!({"manifests": listed, "annotations": {"number": number.to_string()}});
    build(OCI_INDEX, document, &[], children)
}

/// Images, indexes of them and of indexes, and referrers of each; with shared, repeated, foreign and
/// unsupported parts.
pub(super) fn manifests() -> Vec<Manifest> {
    let blobs = blobs();
    let [empty, config, plain, sha512, blake3] = &blobs[..] else { unreachable!("there are five blobs") };
    let image = build(
        OCI_MANIFEST,
        json!({"config": layer(config), "layers": [layer(empty), layer(plain), layer(plain)]}),
        &[config, empty, plain],
        &[],
    );
    let other = build(
        OCI_MANIFEST,
        json!({"config": layer(config), "layers": [layer(config), layer(sha512)], "annotations": {"a": "b"}}),
        &[config, sha512],
        &[],
    );
    let docker = build(
        DOCKER_MANIFEST,
        json!({"config": layer(plain), "layers": [layer(blake3)]}),
        &[plain, blake3],
        &[],
    );
    let elsewhere = json!({
        "config": layer(config),
        "layers": [
            descriptor(DOCKER_FOREIGN_LAYER, &Digest::of(Algorithm::Sha256, b"elsewhere").to_string(), 9),
            {"mediaType": OCI_LAYER_GZIP, "digest": "sha384:ab", "size": 3, "urls": ["https://example.org/layer"]},
        ],
        "subject": descriptor(OCI_MANIFEST, "sha384:cd", 7),
    });
    let foreign = build(OCI_MANIFEST, elsewhere, &[config], &[]);
    let index =
        build(OCI_INDEX, json!({"manifests": [of(&image), of(&other), of(&image)]}), &[], &[&image, &other]);
    let nested = build(OCI_INDEX, json!({"manifests": [of(&index), of(&docker)]}), &[], &[&index, &docker]);
    let referrer = build(
        OCI_MANIFEST,
        json!({"config": layer(config), "layers": [], "subject": of(&image), "artifactType": "application/x-sbom"}),
        &[config],
        &[],
    );
    let second = build(
        OCI_INDEX,
        json!({"manifests": [of(&referrer)], "subject": of(&image), "annotations": {"who": "me"}}),
        &[],
        &[&referrer],
    );
    let cache = build(
        OCI_INDEX,
        json!({"manifests": [layer(plain), of(&image)], "subject": of(&index)}),
        &[plain],
        &[&image],
    );
    let bare = build(OCI_INDEX, json!({"manifests": []}), &[], &[]);
    vec![image, other, docker, foreign, index, nested, referrer, second, cache, bare]
}
