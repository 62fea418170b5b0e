//! Rules of manifests: what is accepted, what is refused and in which words, and what no body may do.

mod any_body;

use serde_json::{Value, json};

use super::*;
use crate::model::digest::{Algorithm, Digest};
use crate::model::media_type::{
    BUILDKIT_CACHE_CONFIG, DOCKER_FOREIGN_LAYER, DOCKER_LIST, DOCKER_MANIFEST, DOCKER_SCHEMA1,
    DOCKER_SCHEMA1_SIGNED, MANIFESTS, OCI_ARTIFACT, OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_LAYER_GZIP,
    OCI_MANIFEST,
};

/// A descriptor of content made from `seed`.
fn descriptor(media_type: &str, seed: &str) -> Value {
    let digest = Digest::of(Algorithm::Sha256, seed.as_bytes());
    json!({"mediaType": media_type, "digest": digest.to_string(), "size": seed.len()})
}

fn image() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, "config"),
        "layers": [descriptor(OCI_LAYER_GZIP, "one"), descriptor(OCI_LAYER_GZIP, "two")],
    })
}

fn index() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [descriptor(OCI_MANIFEST, "amd64"), descriptor(OCI_MANIFEST, "arm64")],
    })
}

/// The document with one field replaced, added or (by null) left out.
fn with(mut document: Value, field: &str, value: Value) -> Value {
    let fields = document.as_object_mut().unwrap();
    fields.remove(field);
    if !value.is_null() {
        fields.insert(field.to_owned(), value);
    }
    document
}

fn parse(document: &Value) -> Result<Manifest, ManifestError> {
    Manifest::parse(None, document.to_string().as_bytes())
}

/// What a client prints when this is refused.
#[track_caller]
fn refusal(document: &Value) -> String {
    parse(document).unwrap_err().to_string()
}

#[test]
fn an_image_is_read_in_full() {
    let mut document = image();
    document["subject"] = descriptor(OCI_MANIFEST, "subject");
    document["artifactType"] = "application/x".into();
    document["annotations"] = json!({"org.opencontainers.image.title": "x"});
    let manifest = parse(&document).unwrap();
    assert_eq!((manifest.media_type.as_str(), manifest.kind), (OCI_MANIFEST, ManifestKind::Image));
    assert_eq!(manifest.config.as_ref().unwrap().media_type, OCI_CONFIG);
    assert_eq!(manifest.layers.iter().map(|layer| layer.size).collect::<Vec<_>>(), [3, 3]);
    assert_eq!(manifest.subject.as_ref().unwrap().digest.to_string(), document["subject"]["digest"]);
    assert_eq!(manifest.annotations.get("org.opencontainers.image.title"), Some("x"));
    let place = manifest.annotations_at.clone().expect("they stand somewhere");
    let text = &document.to_string()[place.start as usize..place.end as usize];
    assert_eq!(text, r#"{"org.opencontainers.image.title":"x"}"#);
    assert_eq!(manifest.referrer_artifact_type(), Some("application/x"));
    assert!(manifest.children().is_empty());
}

#[test]
fn empty_lists_null_fields_and_unknown_types_pass() {
    assert!(parse(&with(image(), "layers", json!([]))).is_ok());
    assert!(parse(&with(index(), "manifests", json!([]))).is_ok());
    let (mut bare_image, mut bare_index) = (image(), index());
    bare_image["layers"] = Value::Null;
    bare_index["manifests"] = Value::Null;
    assert!(parse(&bare_image).unwrap().layers.is_empty());
    assert!(parse(&bare_index).unwrap().children().is_empty());
    let mut document = image();
    document["config"] = descriptor("application/x-unknown", "config");
    for field in ["subject", "artifactType", "annotations"] {
        document[field] = Value::Null;
    }
    document["layers"][0]["urls"] = Value::Null;
    document["layers"][0]["platform"] = json!({"os": "unknown"});
    assert_eq!(parse(&document).unwrap().referrer_artifact_type(), Some("application/x-unknown"));
    let nested = with(index(), "manifests", json!([descriptor(OCI_INDEX, "nested")]));
    assert_eq!(parse(&nested).unwrap().children().len(), 1);
}

#[test]
fn an_index_without_an_artifact_type_has_none_and_an_empty_one_counts_as_none() {
    assert_eq!(parse(&index()).unwrap().referrer_artifact_type(), None);
    let document = with(image(), "artifactType", "".into());
    assert_eq!(parse(&document).unwrap().referrer_artifact_type(), Some(OCI_CONFIG));
}

#[test]
fn blobs_are_listed_once_and_required_where_any_mention_requires_them() {
    let foreign = descriptor(DOCKER_FOREIGN_LAYER, "windows");
    let mut mirrored = descriptor(OCI_LAYER_GZIP, "elsewhere");
    mirrored["urls"] = json!(["https://example.com/layer"]);
    let twice = descriptor(OCI_LAYER_GZIP, "twice");
    let mut twice_mirrored = twice.clone();
    twice_mirrored["urls"] = json!(["https://example.com/layer"]);
    let layers = json!([foreign, mirrored, twice_mirrored, twice, twice]);
    let blobs = parse(&with(image(), "layers", layers)).unwrap().blobs();
    let required: Vec<_> = blobs.iter().map(|blob| (blob.size, blob.required)).collect();
    assert_eq!(required, [(6, true), (7, false), (9, false), (5, true)]);
}

#[test]
fn a_buildkit_cache_index_lists_blobs_and_an_index_its_children() {
    let entries = json!([
        descriptor(OCI_LAYER_GZIP, "layer"),
        descriptor(BUILDKIT_CACHE_CONFIG, "cache"),
        descriptor(DOCKER_MANIFEST, "child"),
        descriptor(DOCKER_MANIFEST, "child"),
    ]);
    let manifest = parse(&with(index(), "manifests", entries)).unwrap();
    assert_eq!(
        manifest.blobs().iter().map(|blob| (blob.size, blob.required)).collect::<Vec<_>>(),
        [(5, true), (5, true)]
    );
    assert_eq!(
        manifest.children().iter().map(|child| child.media_type.as_str()).collect::<Vec<_>>(),
        [DOCKER_MANIFEST]
    );
}

#[test]
fn two_things_are_not_said_of_one_content() {
    let mut longer = descriptor(OCI_LAYER_GZIP, "layer");
    longer["size"] = json!(6);
    let mut taller = descriptor(OCI_MANIFEST, "child");
    taller["size"] = json!(7);
    for document in [
        with(image(), "layers", json!([descriptor(OCI_LAYER_GZIP, "layer"), longer])),
        with(index(), "manifests", json!([descriptor(OCI_MANIFEST, "child"), taller])),
        with(
            index(),
            "manifests",
            json!([descriptor(OCI_MANIFEST, "child"), descriptor(OCI_INDEX, "child")]),
        ),
    ] {
        let error = parse(&document).unwrap_err().to_string();
        assert!(error.contains("sha256:"), "{error}");
    }
    // Blobs, unlike manifests, may have two media types: an empty config is often a layer as well.
    let layers = json!([descriptor(OCI_LAYER_GZIP, "layer"), descriptor(OCI_EMPTY, "layer")]);
    assert!(parse(&with(image(), "layers", layers)).is_ok());
}

#[test]
fn the_header_or_the_body_or_the_content_says_the_type() {
    let untyped = |document: Value| with(document, "mediaType", Value::Null).to_string();
    let typed =
        |document: Value, media_type: &str| with(document, "mediaType", media_type.into()).to_string();
    let cases = [
        (None, untyped(image()), OCI_MANIFEST),
        (None, untyped(index()), OCI_INDEX),
        (Some(""), typed(image(), ""), OCI_MANIFEST),
        (Some("application/json; charset=utf-8"), typed(image(), DOCKER_MANIFEST), DOCKER_MANIFEST),
        (Some("application/octet-stream"), untyped(index()), OCI_INDEX),
        (Some("text/plain"), typed(index(), DOCKER_LIST), DOCKER_LIST),
        (Some(DOCKER_MANIFEST), untyped(image()), DOCKER_MANIFEST),
        (Some(DOCKER_LIST), typed(index(), DOCKER_LIST), DOCKER_LIST),
        (Some(" application/vnd.oci.image.index.v1+json ; a=b"), typed(index(), OCI_INDEX), OCI_INDEX),
    ];
    for (content_type, body, expected) in cases {
        let manifest = Manifest::parse(content_type, body.as_bytes()).unwrap();
        assert_eq!(manifest.media_type, expected, "{content_type:?} {body}");
    }
}

#[test]
fn the_same_bytes_are_never_two_things() {
    for header in MANIFESTS {
        for body in MANIFESTS {
            for document in [image(), index()] {
                let text = with(document.clone(), "mediaType", body.into()).to_string();
                let result = Manifest::parse(Some(header), text.as_bytes());
                let fits = manifest_kind(body) == manifest_kind(document["mediaType"].as_str().unwrap());
                assert_eq!(result.is_ok(), header == body && fits, "{header} {text}");
            }
        }
    }
    let error = Manifest::parse(Some(OCI_INDEX), image().to_string().as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "header Content-Type says `application/vnd.oci.image.index.v1+json`, but the manifest's mediaType says \
         `application/vnd.oci.image.manifest.v1+json`: make them equal"
    );
}

#[test]
fn what_could_be_read_as_another_kind_is_ambiguous() {
    for value in [json!([]), json!([descriptor(OCI_MANIFEST, "x")]), json!(null)] {
        let mut document = image();
        document["manifests"] = value;
        assert!(matches!(parse(&document), Err(ManifestError::Ambiguous { key: "manifests", .. })));
    }
    for (key, value) in [("layers", json!([])), ("config", descriptor(OCI_CONFIG, "x"))] {
        let document = with(index(), key, value);
        assert!(matches!(parse(&document), Err(ManifestError::Ambiguous { .. })), "{key}");
        let untyped = with(document, "mediaType", Value::Null);
        assert!(matches!(parse(&untyped), Err(ManifestError::Ambiguous { .. })), "{key}");
    }
    assert_eq!(
        refusal(&with(index(), "layers", json!([]))),
        "manifest of type application/vnd.oci.image.index.v1+json must not have `layers`, because some clients would \
         read it as an image: remove it"
    );
}

#[test]
fn types_that_are_not_served_are_refused_with_the_way_out() {
    let body = image().to_string();
    for header in [DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED] {
        let error = Manifest::parse(Some(header), body.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("skopeo copy --format v2s2"), "{error}");
    }
    let schema1 = json!({"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [], "signatures": []});
    assert_eq!(parse(&schema1), Err(ManifestError::Schema1));
    assert_eq!(parse(&with(image(), "fsLayers", json!([]))), Err(ManifestError::Schema1));
    let artifact = json!({"mediaType": OCI_ARTIFACT, "artifactType": "a/b", "blobs": []});
    assert!(refusal(&artifact).contains("push an image manifest with artifactType"));
    for header in
        ["text/html", "application/vnd.oci.image.config.v1+json", "APPLICATION/VND.OCI.IMAGE.INDEX.V1+JSON"]
    {
        let error = Manifest::parse(Some(header), body.as_bytes()).unwrap_err().to_string();
        assert!(MANIFESTS.iter().all(|accepted| error.contains(accepted)), "{error}");
    }
    assert!(matches!(
        parse(&with(image(), "mediaType", "a/b".into())),
        Err(ManifestError::UnknownType { .. })
    ));
    assert_eq!(parse(&json!({"schemaVersion": 2, "signatures": []})), Err(ManifestError::Untyped));
    assert_eq!(parse(&json!({})), Err(ManifestError::Untyped));
}

#[test]
fn the_schema_version_is_2() {
    assert!(refusal(&with(image(), "schemaVersion", Value::Null)).ends_with("but it has none"));
    assert!(refusal(&with(image(), "schemaVersion", 3.into())).ends_with("but it says 3"));
    for value in [json!("2"), json!(2.0), json!(-2), json!(true)] {
        assert!(
            refusal(&with(image(), "schemaVersion", value))
                .starts_with("manifest is invalid: schemaVersion: ")
        );
    }
}

#[test]
fn what_the_type_demands_must_be_there() {
    let mut null = image();
    null["config"] = Value::Null;
    assert!(refusal(&null).contains("needs `config`"));
    for (document, key) in [(image(), "config"), (image(), "layers"), (index(), "manifests")] {
        let broken = with(document, key, Value::Null);
        assert!(refusal(&broken).contains(&format!("needs `{key}`")), "{broken}");
    }
}

#[test]
fn a_descriptor_at_fault_is_named_with_its_place() {
    let spoil = |field: &str, value: Value| {
        let mut document = image();
        let layer = with(document["layers"][1].take(), field, value);
        document["layers"][1] = layer;
        refusal(&document)
    };
    let cases = [
        ("mediaType", Value::Null, "layers[1]: missing field `mediaType`"),
        ("mediaType", "".into(), "layers[1]: mediaType: the descriptor must say what it describes"),
        ("digest", Value::Null, "layers[1]: missing field `digest`"),
        ("digest", "sha256:short".into(), "layers[1]: digest: digest `sha256:short` is malformed"),
        ("digest", json!(1), "layers[1]: digest: invalid type: integer `1`, expected a digest"),
        ("size", Value::Null, "layers[1]: missing field `size`"),
        ("size", json!(-1), "layers[1]: size: invalid value: integer `-1`, expected a whole number of bytes"),
        ("size", json!(3.0), "layers[1]: size: invalid type: floating point `3.0`, expected a whole number"),
        ("size", json!("3"), "layers[1]: size: invalid type: string \"3\", expected a whole number"),
        ("size", json!(u64::MAX), "layers[1]: size: invalid value: integer `18446744073709551615`"),
        ("urls", json!(["a", 1]), "layers[1]: urls[1]: invalid type"),
        ("urls", json!(vec!["a:b"; 17]), "layers[1]: urls: more than 16 entries"),
        ("annotations", json!({"a": 1}), "layers[1]: annotations: invalid type"),
    ];
    for (field, value, expected) in cases {
        let refusal = spoil(field, value);
        assert!(refusal.starts_with(&format!("manifest is invalid: {expected}")), "{refusal}");
        assert!(refusal.contains(" at line 1 column "), "{refusal}");
    }
}

#[test]
fn digests_of_unknown_algorithms_may_be_named() {
    let mut document = image();
    document["layers"][0]["digest"] = "md5:d41d8cd98f00b204e9800998ecf8427e".into();
    document["subject"] = descriptor(OCI_MANIFEST, "subject");
    document["subject"]["digest"] = "sha3-256:00".into();
    let manifest = parse(&document).unwrap();
    assert_eq!(manifest.subject.as_ref().unwrap().digest.known(), None);
    assert_eq!(manifest.blobs().len(), 3);
}

#[test]
fn embedded_data_is_the_content_described() {
    let embedding = |data: &str, size: u64, content: &[u8]| {
        let digest = Digest::of(Algorithm::Sha512, content).to_string();
        let config = json!({"mediaType": OCI_EMPTY, "digest": digest, "size": size, "data": data});
        with(image(), "config", config)
    };
    assert!(parse(&embedding("e30=", 2, b"{}")).is_ok());
    assert!(parse(&embedding("", 0, b"")).is_ok());
    assert!(refusal(&embedding("e30=", 3, b"{}")).contains("config: data: the embedded content has 2 bytes"));
    assert!(refusal(&embedding("e30=", 2, b"[]")).contains("does not have the digest sha512:"));
    for data in ["e30", "e30", "e3?=", "e30=\n"] {
        assert!(refusal(&embedding(data, 2, b"{}")).contains("config: data: not valid base64"), "{data}");
    }
}

#[test]
fn a_key_that_is_read_comes_once_and_in_one_spelling() {
    let body = image().to_string();
    for key in ["schemaVersion", "mediaType", "config", "layers"] {
        let twice = body.replacen('{', &format!("{{\"{key}\":null,"), 1);
        let error = Manifest::parse(None, twice.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("manifest is invalid: key `{key}` appears twice")), "{error}");
    }
    for key in ["Layers", "MEDIATYPE", "manifest\u{17f}", "fslayers", "\\u004cayers"] {
        let look_alike = body.replacen('{', &format!("{{\"{key}\":null,"), 1);
        let error = Manifest::parse(None, look_alike.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("in letter case only"), "{error}");
    }
    let escaped = body.replacen('{', "{\"\\u006cayers\":[],", 1);
    assert!(Manifest::parse(None, escaped.as_bytes()).unwrap_err().to_string().contains("appears twice"));
    let in_descriptor = body.replacen("\"size\":", "\"Digest\":\"x\",\"size\":", 1);
    let error = Manifest::parse(None, in_descriptor.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("config: key `Digest` differs from `digest`"), "{error}");
    let unread = body.replacen('{', "{\"x\":1,\"X\":2,\"x\":3,", 1);
    assert!(Manifest::parse(None, unread.as_bytes()).is_ok());
}

#[test]
fn what_is_no_json_text_is_refused() {
    let error = |body: &[u8]| Manifest::parse(Some(OCI_MANIFEST), body).unwrap_err();
    assert_eq!(error(b"{\"a\":\"\xff\"}"), ManifestError::NotUtf8 { offset: 6 });
    for body in ["", " ", "{", "{}}", "{\"a\":}", "\u{feff}{}", "{'a':1}", "{\"a\":01}", "{\"a\":1,}"] {
        assert!(matches!(error(body.as_bytes()), ManifestError::NotJson { .. }), "{body}");
    }
    for body in ["[]", "null", "1", "\"x\""] {
        assert!(matches!(error(body.as_bytes()), ManifestError::Invalid { .. }), "{body}");
    }
}
