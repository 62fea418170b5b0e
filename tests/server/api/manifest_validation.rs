//! The rules by which every client reads a manifest in the same way.

use std::fmt::Write as _;

use serde_json::{Value, json};
use stowage::model::media_type::{OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST};

use crate::support::content::{descriptor, image, push_blob, put_manifest, sha256};
use crate::support::{Client, Response, TestStowage};

/// A server whose repository has the config and a layer of the manifests below.
fn with_blobs() -> (TestStowage, Client) {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"{}");
    push_blob(&client, "a", b"layer");
    (server, client)
}

fn image_json() -> Value {
    serde_json::from_slice(&image(&[b"layer"])).expect("JSON")
}

#[track_caller]
fn refused(client: &Client, media_type: &str, body: &[u8]) -> Response {
    let response = put_manifest(client, "a", "t", media_type, body).expect_error(400, "MANIFEST_INVALID");
    client.get("/v2/a/manifests/t").expect(404);
    response
}

/// Asserts that an image is refused after `change`, and that the message contains `word`.
#[track_caller]
fn refused_after(client: &Client, change: impl Fn(&mut Value), word: &str) {
    let mut manifest = image_json();
    change(&mut manifest);
    let message = refused(client, OCI_MANIFEST, manifest.to_string().as_bytes()).message();
    assert!(message.contains(word), "{message}");
}

#[test]
fn what_is_no_json_object_is_refused() {
    let (_server, client) = with_blobs();
    let valid = String::from_utf8(image(&[b"layer"])).unwrap();
    for body in [
        String::new(),
        " ".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "2".to_owned(),
        "\"text\"".to_owned(),
        "{".to_owned(),
        valid[..valid.len() - 1].to_owned(),
        format!("{valid}{valid}"),
        format!("{valid}x"),
        format!("\u{feff}{valid}"),
        format!("{valid}\0"),
        valid.replace('"', "'"),
        valid.replace("\"layers\"", "layers"),
        valid.replace("}]", "},]"),
        format!("//comment\n{valid}"),
    ] {
        refused(&client, OCI_MANIFEST, body.as_bytes());
    }
    refused(&client, OCI_MANIFEST, b"{\"schemaVersion\":2,\"x\":\"\xff\xfe\"}");
}

#[test]
fn another_schema_version_than_2_is_refused() {
    let (_server, client) = with_blobs();
    for version in [json!(0), json!(3), json!("2"), json!(2.5), json!(-2), json!(null), json!([2])] {
        refused_after(&client, |manifest| manifest["schemaVersion"] = version.clone(), "schemaVersion");
    }
    refused_after(
        &client,
        |manifest| drop(manifest.as_object_mut().unwrap().remove("schemaVersion")),
        "schemaVersion",
    );
}

#[test]
fn an_image_needs_its_config_and_its_layers() {
    let (_server, client) = with_blobs();
    for key in ["config", "layers"] {
        refused_after(&client, |manifest| drop(manifest.as_object_mut().unwrap().remove(key)), key);
        for value in [json!("x"), json!(1), json!({}), json!([1])] {
            refused_after(&client, |manifest| manifest[key] = value.clone(), key);
        }
    }
    refused_after(&client, |manifest| manifest["config"] = json!(null), "config");
}

/// Go writes an empty list as null by default: `regctl image create` pushes such an image.
#[test]
fn an_empty_list_may_be_null() {
    let (_server, client) = with_blobs();
    for nothing in [json!([]), json!(null)] {
        let mut without_layers = image_json();
        without_layers["layers"] = nothing.clone();
        let empty_index = json!({ "schemaVersion": 2, "manifests": nothing });
        for (media_type, manifest) in [(OCI_MANIFEST, without_layers), (OCI_INDEX, empty_index)] {
            let body = manifest.to_string();
            put_manifest(&client, "a", "t", media_type, body.as_bytes()).expect(201);
            assert_eq!(client.get("/v2/a/manifests/t").expect(200).body, body.as_bytes());
        }
    }
}

#[test]
fn an_index_needs_its_manifests() {
    let (_server, client) = with_blobs();
    for manifests in ["", ",\"manifests\":{}", ",\"manifests\":[null]", ",\"manifests\":[[]]"] {
        let body = format!("{{\"schemaVersion\":2{manifests}}}");
        assert!(refused(&client, OCI_INDEX, body.as_bytes()).message().contains("manifests"));
    }
}

#[test]
fn what_one_client_would_read_as_an_image_and_another_as_an_index_is_refused() {
    let (_server, client) = with_blobs();
    for value in [json!([]), json!(null)] {
        refused_after(&client, |manifest| manifest["manifests"] = value.clone(), "manifests");
    }
    for key in ["config", "layers"] {
        for value in ["[]", "null", "{}"] {
            let body = format!(r#"{{"schemaVersion":2,"manifests":[],"{key}":{value}}}"#);
            refused(&client, OCI_INDEX, body.as_bytes());
        }
    }
    let both = format!(
        r#"{{"schemaVersion":2,"manifests":[],"config":{},"layers":[]}}"#,
        descriptor(OCI_CONFIG, b"{}")
    );
    refused(&client, "application/json", both.as_bytes());
}

#[test]
fn a_body_that_does_not_tell_what_it_is_is_refused() {
    let (_server, client) = with_blobs();
    for body in [
        "{\"schemaVersion\":2}",
        "{}",
        "{\"schemaVersion\":2,\"layers\":[]}",
        "{\"schemaVersion\":2,\"blobs\":[]}",
    ] {
        refused(&client, "application/json", body.as_bytes());
    }
}

#[test]
fn descriptors_need_a_type_a_digest_and_a_size() {
    let (_server, client) = with_blobs();
    for (key, values) in [
        ("mediaType", vec![json!(""), json!(1), json!(null)]),
        (
            "digest",
            vec![
                json!(""),
                json!("x"),
                json!("sha256:00"),
                json!(sha256(b"layer").to_uppercase()),
                json!(null),
                json!(5),
            ],
        ),
        (
            "size",
            vec![
                json!(-1),
                json!(1.5),
                json!("5"),
                json!(null),
                json!(18_446_744_073_709_551_615_u64),
                json!(1e30),
            ],
        ),
        ("data", vec![json!("***"), json!(1), json!("bGF5ZQ=="), json!("bGF5ZXM=")]),
        ("urls", vec![json!("http://example.com"), json!([1])]),
        ("annotations", vec![json!([]), json!({ "a": 1 }), json!({ "a": null }), json!("x")]),
    ] {
        for value in values {
            refused_after(&client, |manifest| manifest["layers"][0][key] = value.clone(), key);
            if key != "data" {
                refused_after(&client, |manifest| manifest["config"][key] = value.clone(), key);
            }
        }
    }
    for key in ["mediaType", "digest", "size"] {
        refused_after(
            &client,
            |manifest| drop(manifest["layers"][0].as_object_mut().unwrap().remove(key)),
            key,
        );
    }
}

#[test]
fn embedded_data_must_be_the_content() {
    let (_server, client) = with_blobs();
    let mut manifest = image_json();
    manifest["layers"][0]["data"] = json!("bGF5ZXI=");
    manifest["config"]["data"] = json!("e30=");
    put_manifest(&client, "a", "good", OCI_MANIFEST, manifest.to_string().as_bytes()).expect(201);
    refused_after(&client, |manifest| manifest["layers"][0]["data"] = json!("bGF5ZXM="), "digest");
    refused_after(&client, |manifest| manifest["config"]["data"] = json!("e30K"), "size");
    // Embedded data does not replace the blob.
    let elsewhere = manifest.to_string();
    put_manifest(&client, "b", "t", OCI_MANIFEST, elsewhere.as_bytes())
        .expect_error(400, "MANIFEST_BLOB_UNKNOWN");
}

#[test]
fn a_key_that_appears_twice_is_refused() {
    let (_server, client) = with_blobs();
    let valid = image_json().to_string();
    let config = descriptor(OCI_CONFIG, b"{}");
    for (key, again) in [
        ("schemaVersion", "2".to_owned()),
        ("mediaType", format!("\"{OCI_MANIFEST}\"")),
        ("config", config.to_string()),
        ("layers", "[]".to_owned()),
    ] {
        let body = format!("{{\"{key}\":{again},{}", &valid[1..]);
        assert!(refused(&client, OCI_MANIFEST, body.as_bytes()).message().contains(key));
    }
    for key in ["digest", "size", "mediaType"] {
        let mut layer = descriptor(OCI_LAYER, b"layer");
        let again = layer[key].clone();
        layer["filler"] = json!(0);
        let layer = layer.to_string().replace("\"filler\":0", &format!("\"{key}\":{again}"));
        let body = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#);
        assert!(refused(&client, OCI_MANIFEST, body.as_bytes()).message().contains(key));
    }
    let twice =
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"annotations":{{"a":"1","a":"2"}}}}"#);
    refused(&client, OCI_MANIFEST, twice.as_bytes());
}

#[test]
fn a_key_that_go_would_take_for_another_is_refused() {
    let (_server, client) = with_blobs();
    for key in
        ["Layers", "LAYERS", "mediatype", "SchemaVersion", "Config", "layer\u{17f}", "Subject", "ANNOTATIONS"]
    {
        refused_after(&client, |manifest| manifest[key] = json!([]), "letter case");
    }
    refused_after(
        &client,
        |manifest| manifest["layers"][0]["Digest"] = json!(sha256(b"other")),
        "letter case",
    );
}

#[test]
fn unknown_fields_are_kept_and_known_ones_may_be_left_out() {
    let (_server, client) = with_blobs();
    let mut manifest = image_json();
    for field in ["org.example.custom", "x", "newArtifactField", "platform"] {
        manifest[field] = json!({ "nested": [1, 2.5, null, true, { "deep": "value" }] });
        manifest["config"][field] = json!([1]);
        manifest["layers"][0][field] = json!(null);
    }
    manifest["annotations"] = json!({ "org.opencontainers.image.title": "ü\u{0}\"\\", "": "" });
    manifest["artifactType"] = json!("");
    manifest["subject"] = json!(null);
    let body = manifest.to_string();
    put_manifest(&client, "a", "t", OCI_MANIFEST, body.as_bytes()).expect(201);
    assert_eq!(client.get("/v2/a/manifests/t").expect(200).body, body.as_bytes());
}

#[test]
fn media_types_are_as_long_as_they_may_be_and_no_longer() {
    let (_server, client) = with_blobs();
    for length in [255, 256] {
        let long = format!("application/{}", "x".repeat(length - 12));
        let change: [&dyn Fn(&mut Value); 3] = [
            &|manifest| manifest["artifactType"] = json!(long),
            &|manifest| manifest["config"]["mediaType"] = json!(long),
            &|manifest| manifest["layers"][0]["mediaType"] = json!(long),
        ];
        for change in change {
            if length == 256 {
                refused_after(&client, change, "at most 255");
            } else {
                let mut manifest = image_json();
                change(&mut manifest);
                let body = manifest.to_string();
                put_manifest(&client, "a", &sha256(body.as_bytes()), OCI_MANIFEST, body.as_bytes())
                    .expect(201);
            }
        }
    }
}

#[test]
fn annotations_are_strings() {
    let (_server, client) = with_blobs();
    for annotations in [json!({ "a": 1 }), json!({ "a": null }), json!({ "a": {} }), json!([]), json!("x")] {
        refused_after(&client, |manifest| manifest["annotations"] = annotations.clone(), "annotations");
    }
}

#[test]
fn a_size_that_the_blob_has_not_is_refused() {
    let (_server, client) = with_blobs();
    for key in ["config", "layers"] {
        let wrong = |manifest: &mut Value| match key {
            "config" => manifest["config"]["size"] = json!(1234),
            _ => manifest["layers"][0]["size"] = json!(1234),
        };
        refused_after(&client, wrong, "1234");
    }
}

#[test]
fn json_that_nests_without_end_is_refused_at_once() {
    let (_server, client) = with_blobs();
    let valid = image_json().to_string();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let depth = 4_000_000 / (open.len() + 1) - 1000;
        refused(&client, OCI_MANIFEST, open.repeat(depth).as_bytes());
        let depth = depth / 2;
        let bomb = format!("{{\"bomb\":{}1{},{}", open.repeat(depth), close.repeat(depth), &valid[1..]);
        refused(&client, OCI_MANIFEST, bomb.as_bytes());
    }
}

#[test]
fn ten_thousand_layers_are_stored_and_one_more_is_refused() {
    let (_server, client) = with_blobs();
    let layer = descriptor(OCI_LAYER, b"layer").to_string();
    let body = |count: usize| {
        let config = descriptor(OCI_CONFIG, b"{}");
        let mut body = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}"#);
        for _ in 1..count {
            let _ = write!(body, ",{layer}");
        }
        body + "]}"
    };
    assert!(refused(&client, OCI_MANIFEST, body(10_001).as_bytes()).message().contains("layers"));
    put_manifest(&client, "a", "t", OCI_MANIFEST, body(10_000).as_bytes()).expect(201);
}
