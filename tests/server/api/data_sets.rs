//! The data sets of the conformance suite: each is pushed, listed, pulled, queried for referrers, and
//! deleted.

use serde_json::{Value, json};
use stowage::model::digest::{Algorithm, Digest};
use stowage::model::media_type::{
    OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, OCI_MANIFEST, OCI_NONDISTRIBUTABLE,
};

use crate::support::content::bytes;
use crate::support::{Client, Setup, TestStowage};

/// Content to push, children first.
#[derive(Default)]
struct DataSet {
    algorithm: Option<Algorithm>,
    blobs: Vec<(String, Vec<u8>)>,
    manifests: Vec<Pushed>,
    by_parameter: bool,
}

struct Pushed {
    digest: String,
    media_type: String,
    body: Vec<u8>,
    tags: Vec<String>,
}

impl DataSet {
    fn of(algorithm: Algorithm) -> Self {
        Self { algorithm: Some(algorithm), ..Self::default() }
    }

    fn digest(&self, content: &[u8]) -> String {
        Digest::of(self.algorithm.unwrap_or(Algorithm::Sha256), content).to_string()
    }

    fn describe(&self, media_type: &str, content: &[u8]) -> Value {
        json!({ "mediaType": media_type, "digest": self.digest(content), "size": content.len() })
    }

    fn blob(&mut self, media_type: &str, content: &[u8]) -> Value {
        let digest = self.digest(content);
        self.blobs.push((digest, content.to_vec()));
        self.describe(media_type, content)
    }

    /// Adds a manifest and returns its descriptor.
    fn manifest(&mut self, manifest: &Value, tags: &[&str]) -> Value {
        let body = serde_json::to_vec(manifest).expect("JSON");
        let media_type = manifest["mediaType"].as_str().expect("a type").to_owned();
        let descriptor = self.describe(&media_type, &body);
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        self.manifests.push(Pushed { digest: self.digest(&body), media_type, body, tags });
        descriptor
    }

    fn image_json(&mut self, seed: u64, layer_type: &str) -> Value {
        let config = self.blob(OCI_CONFIG, format!("{{\"seed\":{seed}}}").as_bytes());
        let layers =
            [self.blob(layer_type, &bytes(seed, 600)), self.blob(layer_type, &bytes(seed + 1000, 700))];
        json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers })
    }

    fn image(&mut self, seed: u64, tags: &[&str]) -> Value {
        let image = self.image_json(seed, OCI_LAYER_GZIP);
        self.manifest(&image, tags)
    }

    fn artifact_json(&mut self, seed: u64) -> Value {
        let config = self.blob(OCI_EMPTY, b"{}");
        let layer = self.blob("application/vnd.example.data", &bytes(seed, 600));
        json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/vnd.example.artifact",
            "config": config, "layers": [layer],
        })
    }

    /// Pushes everything, checks everything, and deletes everything.
    fn check(&self, client: &Client) {
        for (digest, content) in &self.blobs {
            let created =
                client.post(&format!("/v2/repo/blobs/uploads/?digest={digest}"), content).expect(201);
            assert_eq!(client.get(&created.location()).expect(200).body, *content);
        }
        self.manifests.iter().for_each(|manifest| self.push(client, manifest));
        self.check_tags(client);
        for manifest in &self.manifests {
            manifest.check(client);
            manifest.check_referrers(client);
        }
        self.delete(client);
    }

    fn push(&self, client: &Client, manifest: &Pushed) {
        let subject: Value = serde_json::from_slice(&manifest.body).expect("JSON");
        let put = |reference: &str| {
            let path = format!("/v2/repo/manifests/{reference}");
            let created = client
                .send("PUT", &path, &[("Content-Type", &manifest.media_type)], &manifest.body)
                .expect(201);
            assert_eq!(created.header("oci-subject"), subject["subject"]["digest"].as_str());
            let accept = [("Accept", OCI_INDEX), ("Accept", OCI_MANIFEST)];
            let got = client.send("GET", &created.location(), &accept, b"").expect(200);
            assert_eq!(got.header("content-type"), Some(manifest.media_type.as_str()));
            assert_eq!(got.header("content-length"), Some(manifest.body.len().to_string().as_str()));
            assert!(got.body == manifest.body);
            created
        };
        if self.by_parameter {
            let query: Vec<String> = manifest.tags.iter().map(|tag| format!("tag={tag}")).collect();
            let created = put(&format!("{}?{}", manifest.digest, query.join("&")));
            let tags: Vec<&str> =
                created.all("oci-tag").iter().flat_map(|line| line.split(',')).map(str::trim).collect();
            assert!(manifest.tags.iter().all(|tag| tags.contains(&tag.as_str())), "{tags:?}");
            return;
        }
        put(&manifest.digest);
        for tag in &manifest.tags {
            put(tag);
        }
    }

    fn check_tags(&self, client: &Client) {
        let mut tags: Vec<&String> = self.manifests.iter().flat_map(|manifest| &manifest.tags).collect();
        tags.sort_unstable();
        let listed = client.get("/v2/repo/tags/list").expect(200).json();
        assert_eq!(listed["tags"], json!(tags));
        if let Some(middle) = tags.get(tags.len() / 2) {
            let after = client.get(&format!("/v2/repo/tags/list?last={middle}")).expect(200).json();
            assert_eq!(after["tags"], json!(tags[tags.len() / 2 + 1..]));
        }
    }

    fn delete(&self, client: &Client) {
        for manifest in self.manifests.iter().rev() {
            for reference in manifest.tags.iter().chain([&manifest.digest]) {
                let path = format!("/v2/repo/manifests/{reference}");
                client.delete(&path).expect(202);
                client.head(&path).expect(404);
            }
        }
        for (digest, _) in &self.blobs {
            let path = format!("/v2/repo/blobs/{digest}");
            if client.head(&path).status == 200 {
                client.delete(&path).expect(202);
            }
            client.head(&path).expect(404);
        }
        client.get("/v2/repo/tags/list").expect_error(404, "NAME_UNKNOWN");
    }
}

impl Pushed {
    /// Checks the referrers of a manifest's subject.
    fn check_referrers(&self, client: &Client) {
        let body: Value = serde_json::from_slice(&self.body).expect("JSON");
        let Some(subject) = body["subject"]["digest"].as_str() else { return };
        let own = body["artifactType"].as_str().or(body["config"]["mediaType"].as_str());
        let filter = own.map(|own| format!("?artifactType={}", own.replace('+', "%2B"))).unwrap_or_default();
        for query in ["", &filter] {
            let response = client.get(&format!("/v2/repo/referrers/{subject}{query}")).expect(200);
            assert_eq!(response.header("oci-filters-applied").is_some(), !query.is_empty());
            let listed = response.json()["manifests"].as_array().expect("an array").clone();
            let entry = listed.iter().find(|entry| entry["digest"] == self.digest).expect("it is listed");
            assert_eq!(entry["mediaType"], self.media_type);
            assert_eq!(entry["size"], self.body.len());
            assert_eq!(entry["artifactType"].as_str(), own);
            for (key, value) in body["annotations"].as_object().into_iter().flatten() {
                assert_eq!(entry["annotations"][key], *value);
            }
            assert!(query.is_empty() || listed.iter().all(|entry| entry["artifactType"].as_str() == own));
        }
    }

    /// Pulls the manifest by its digest and by its tags.
    fn check(&self, client: &Client) {
        for reference in self.tags.iter().chain([&self.digest]) {
            for method in ["HEAD", "GET"] {
                let path = format!("/v2/repo/manifests/{reference}");
                let response = client.send(method, &path, &[], b"").expect(200);
                assert_eq!(response.header("content-type"), Some(self.media_type.as_str()));
                assert_eq!(response.header("content-length"), Some(self.body.len().to_string().as_str()));
                assert_eq!(response.header("docker-content-digest"), Some(self.digest.as_str()));
                assert!(method == "HEAD" || response.body == self.body);
            }
        }
    }
}

fn index_json(manifests: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests })
}

fn check(set: &DataSet) {
    let server = TestStowage::start();
    set.check(&server.client());
}

#[test]
fn an_image_goes_through() {
    for layer_type in [OCI_LAYER_GZIP, OCI_LAYER] {
        let mut set = DataSet::default();
        let image = set.image_json(1, layer_type);
        set.manifest(&image, &["image", "latest", "v1.0"]);
        check(&set);
    }
}

#[test]
fn an_image_with_large_annotations_goes_through() {
    let mut set = DataSet::default();
    let mut image = set.image_json(1, OCI_LAYER_GZIP);
    let annotations = (0..390).map(|index| (format!("a{index}"), json!("x".repeat(10_000)))).collect();
    image["annotations"] = Value::Object(annotations);
    set.manifest(&image, &["large"]);
    check(&set);
}

#[test]
fn an_index_goes_through() {
    let mut set = DataSet::default();
    let images = [set.image(1, &["first"]), set.image(2, &[])];
    set.manifest(&index_json(&images), &["index", "latest"]);
    check(&set);
}

#[test]
fn a_nested_index_goes_through() {
    let mut set = DataSet::default();
    let (first, second) = (set.image(1, &[]), set.image(2, &[]));
    let inner = set.manifest(&index_json(&[first.clone(), second]), &["inner"]);
    set.manifest(&index_json(&[inner, first]), &["outer"]);
    check(&set);
}

#[test]
fn an_empty_index_goes_through() {
    let mut set = DataSet::default();
    set.manifest(&index_json(&[]), &["empty"]);
    check(&set);
}

#[test]
fn an_image_without_layers_goes_through() {
    let mut set = DataSet::default();
    let mut image = set.image_json(1, OCI_LAYER);
    image["layers"] = json!([]);
    set.manifest(&image, &["no-layers"]);
    check(&set);
}

#[test]
fn artifacts_with_and_without_layers_and_an_index_of_them_go_through() {
    let mut set = DataSet::default();
    let with_layers = set.artifact_json(1);
    let mut without = set.artifact_json(2);
    without["layers"] = json!([]);
    let entries = [set.manifest(&with_layers, &["artifact"]), set.manifest(&without, &["bare"])];
    let mut index = index_json(&entries);
    index["artifactType"] = json!("application/vnd.example.artifacts");
    set.manifest(&index, &["artifacts"]);
    check(&set);
}

#[test]
fn artifacts_and_indexes_with_a_subject_go_through() {
    let mut set = DataSet::default();
    let subject = set.image(1, &["image"]);
    for (seed, artifact_type) in
        [(2, None), (3, Some("application/vnd.example.sbom")), (4, Some("application/vnd.example+sig"))]
    {
        let mut artifact = set.artifact_json(seed);
        artifact.as_object_mut().unwrap().remove("artifactType");
        if let Some(artifact_type) = artifact_type {
            artifact["artifactType"] = json!(artifact_type);
        }
        artifact["subject"] = subject.clone();
        artifact["annotations"] = json!({ "org.example.seed": seed.to_string(), "org.example.key": "value" });
        set.manifest(&artifact, if seed == 2 { &["tagged"] } else { &[] });
    }
    let mut index = index_json(&[]);
    index["artifactType"] = json!("application/vnd.example.index");
    index["subject"] = subject;
    index["annotations"] = json!({ "org.example.index": "yes" });
    set.manifest(&index, &["index"]);
    check(&set);
}

#[test]
fn an_artifact_whose_subject_is_missing_goes_through() {
    let mut set = DataSet::default();
    let mut artifact = set.artifact_json(1);
    artifact["subject"] = set.describe(OCI_MANIFEST, b"never pushed");
    set.manifest(&artifact, &["orphan"]);
    check(&set);
}

#[test]
fn embedded_data_goes_through() {
    let mut set = DataSet::default();
    let mut artifact = set.artifact_json(1);
    artifact["config"]["data"] = json!("e30=");
    set.manifest(&artifact, &["data"]);
    check(&set);
}

#[test]
fn layers_that_are_not_distributed_go_through() {
    let mut set = DataSet::default();
    let mut image = set.image_json(1, OCI_LAYER);
    let mut foreign = set.describe(OCI_NONDISTRIBUTABLE, b"kept elsewhere");
    foreign["urls"] = json!(["https://store.example.com/layer"]);
    image["layers"].as_array_mut().unwrap().push(foreign);
    set.manifest(&image, &["foreign"]);
    check(&set);
}

#[test]
fn custom_fields_go_through() {
    let mut set = DataSet::default();
    let mut image = set.image_json(1, OCI_LAYER);
    for place in ["", "/config", "/layers/0"] {
        let target = image.pointer_mut(place).unwrap();
        target["org.example.custom"] = json!({ "list": [1, "two", null] });
    }
    let entry = set.manifest(&image, &["image"]);
    let mut index = index_json(&[entry]);
    index["org.example.custom"] = json!(true);
    index["manifests"][0]["org.example.custom"] = json!(1.5);
    set.manifest(&index, &["index"]);
    check(&set);
}

#[test]
fn an_index_of_missing_images_goes_through_where_nothing_is_required() {
    let mut setup = Setup::default();
    setup.config.registry.require_references = false;
    let server = TestStowage::with(setup);
    let mut set = DataSet::default();
    let there = set.image(1, &[]);
    let missing = set.describe(OCI_MANIFEST, b"never pushed");
    set.manifest(&index_json(&[there, missing]), &["sparse"]);
    set.check(&server.client());
}

#[test]
fn images_of_every_algorithm_go_through_with_their_tags_as_parameters() {
    for algorithm in Algorithm::ALL {
        let mut set = DataSet { by_parameter: true, ..DataSet::of(algorithm) };
        let images = [set.image(1, &["first"]), set.image(2, &["second"])];
        set.manifest(&index_json(&images), &["index", "latest"]);
        let mut artifact = set.artifact_json(3);
        artifact["subject"] = images[0].clone();
        set.manifest(&artifact, &["artifact"]);
        check(&set);
    }
}
