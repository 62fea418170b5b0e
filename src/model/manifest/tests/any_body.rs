//! What holds for every body, however large, deep or broken.

use proptest::prelude::*;

use super::*;

/// A valid body filled up to `size` bytes by one annotation.
fn filled(size: usize) -> Vec<u8> {
    let empty = with(image(), "annotations", json!({"a": ""})).to_string();
    let filling = "x".repeat(size - empty.len());
    empty.replacen("\"a\":\"", &format!("\"a\":\"{filling}"), 1).into_bytes()
}

/// A body of a mebibyte made of one piece again and again.
fn bomb(start: &str, piece: &str) -> Vec<u8> {
    let pieces = ((1 << 20) - start.len()) / piece.len();
    [start, &piece.repeat(pieces)].concat().into_bytes()
}

#[test]
fn four_mebibytes_are_accepted_and_one_byte_more_is_not() {
    assert!(Manifest::parse(None, &filled(MAX_MANIFEST_SIZE)).is_ok());
    let error = Manifest::parse(None, &filled(MAX_MANIFEST_SIZE + 1)).unwrap_err();
    assert_eq!(error, ManifestError::TooLarge { size: 4_194_305 });
}

#[test]
fn ten_thousand_references_are_accepted_and_one_more_is_not() {
    let list = |count: usize| Value::Array(vec![descriptor("a/b", "x"); count]);
    for (document, key) in [(image(), "layers"), (index(), "manifests")] {
        let manifest = parse(&with(document.clone(), key, list(10_000))).unwrap();
        assert_eq!(manifest.layers.len() + manifest.manifests.len(), 10_000);
        let error = refusal(&with(document, key, list(10_001)));
        assert!(
            error.starts_with(&format!("manifest is invalid: {key}: more than 10000 entries")),
            "{error}"
        );
    }
}

#[test]
fn thirty_two_levels_are_accepted_and_one_more_is_not() {
    let nested = |levels: usize| {
        let value = format!("{}{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        image().to_string().replacen('{', &format!("{{\"x\":{value},"), 1)
    };
    assert!(Manifest::parse(None, nested(32).as_bytes()).is_ok());
    assert_eq!(Manifest::parse(None, nested(33).as_bytes()), Err(ManifestError::TooDeep));
}

#[test]
fn bombs_are_refused_in_short_words() {
    let url = format!("{{\"layers\":[{{\"urls\":[{}", "\"\",".repeat(100));
    let bombs = [
        bomb("", "["),
        bomb("", "{\"a\":"),
        bomb("{\"layers\":[", "{},"),
        bomb("{\"layers\":[", "null,"),
        bomb("{\"layers\":[[", "0,"),
        bomb("{\"x\":[", "0,"),
        bomb("{\"annotations\":{", "\"\":\"\","),
        bomb("{\"annotations\":{\"a\":\"", "\\u0000"),
        bomb(&url, "\"\","),
        bomb("{\"mediaType\":\"", "x"),
        bomb("{\"schemaVersion\":", "9"),
        bomb("{\"config\":{\"size\":\"", "\\u202e"),
        bomb("{\"config\":{\"digest\":\"", "é"),
        bomb("{", "\"layers\":1,"),
        bomb("", "\0"),
        bomb("\"", "\\"),
    ];
    for body in bombs {
        let error = Manifest::parse(None, &body).unwrap_err().to_string();
        assert!(error.len() < 3_000, "{} bytes: {}", error.len(), &error[..300]);
    }
}

#[test]
fn a_long_value_of_a_wrong_type_is_not_repeated_in_full() {
    let size = "x".repeat(1 << 20);
    let mut document = image();
    document["config"]["size"] = size.into();
    let refusal = refusal(&document);
    assert!(refusal.len() < 500, "{} bytes", refusal.len());
}

fn documents() -> impl Strategy<Value = String> {
    let mut full = image();
    full["subject"] = descriptor(OCI_MANIFEST, "subject");
    full["annotations"] = json!({"a": "b", "c": "d"});
    full["layers"][0]["urls"] = json!(["https://example.com/"]);
    full["config"] = json!({"mediaType": OCI_EMPTY, "size": 2, "data": "e30=", "digest": Digest::of(Algorithm::Blake3, b"{}")});
    prop::sample::select(vec![full.to_string(), image().to_string(), index().to_string()])
}

/// Any JSON of a few levels.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z]{1,8}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_make_the_parser_panic(
        header in prop::option::of(any::<String>()),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = Manifest::parse(header.as_deref(), &body);
    }

    #[test]
    fn mutated_manifests_never_make_the_parser_panic(
        document in documents(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            any::<u8>(), prop::sample::select(&b"{}[]\",:\\0-.enull"[..])
        ], 0..3), 1..4),
    ) {
        let mut body = document.into_bytes();
        for (place, byte, edit) in edits {
            let place = place.index(body.len());
            match edit {
                0 => body[place] = byte,
                1 => body.insert(place, byte),
                _ => _ = body.remove(place),
            }
        }
        if let Ok(manifest) = Manifest::parse(None, &body) {
            prop_assert!(manifest.blobs().len() <= 4);
            prop_assert!(manifest.children().len() <= 2);
            prop_assert_eq!(manifest_kind(&manifest.media_type), Some(manifest.kind));
            prop_assert_eq!(manifest.config.is_some(), manifest.kind == ManifestKind::Image);
        }
    }

    #[test]
    fn any_value_in_a_field_that_is_read_is_accepted_or_refused(
        key in prop::sample::select(&["schemaVersion", "mediaType", "config", "layers", "manifests", "subject",
            "artifactType", "annotations"][..]),
        value in values(),
    ) {
        if let Err(error) = parse(&with(image(), key, value)) {
            prop_assert!(error.to_string().len() < 1000);
        }
    }

    #[test]
    fn unknown_fields_change_nothing(document in documents(), key in "x[a-zA-Z.]{0,8}", value in values()) {
        // The position of the annotations differs between the two texts, so it is not compared.
        let parse = |header: Option<&str>, text: &str| {
            Manifest { annotations_at: None, ..Manifest::parse(header, text.as_bytes()).unwrap() }
        };
        let plain = parse(None, &document);
        let field = format!("{}:{value}", Value::from(key));
        let first = document.replacen("\"size\":", &format!("{field},\"size\":"), 9).replacen('{', &format!("{{{field},"), 1);
        prop_assert_eq!(&parse(None, &first), &plain);
        let last = format!("{},{field}}}", document.strip_suffix('}').unwrap());
        prop_assert_eq!(&parse(Some("text/plain"), &last), &plain);
    }
}
