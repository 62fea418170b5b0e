//! Rules of names, tags, references and ids.

use proptest::prelude::*;

use super::*;

#[test]
fn names_follow_the_grammar_of_the_specification() {
    let good = [
        "hello",
        "a/tags/list",
        "0/1",
        "a.b_c__d---e/f",
        "blobs/uploads",
        "manifests",
        "a--------b",
        "library/alpine-3.22",
    ];
    for name in good {
        assert_eq!(name.parse::<RepoName>().unwrap().as_str(), name);
    }
    let bad = [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/..",
        "a/../b",
        "a..b",
        "a___b",
        "a_-b",
        "a.-b",
        "a-_b",
        "-a",
        "a-",
        "_catalog",
        "a_",
        ".a",
        "a.",
        "a/_b",
        "A",
        "aB",
        "a b",
        "a\0b",
        "a\n",
        "a%2fb",
        "a\\b",
        "ä",
        "a:b",
        "a@b",
        "a__.b",
        "\u{ff0e}\u{ff0e}/a",
    ];
    for name in bad {
        assert!(name.parse::<RepoName>().is_err(), "{name}");
    }
}

#[test]
fn a_name_has_at_most_255_bytes() {
    assert!("a".repeat(255).parse::<RepoName>().is_ok());
    assert_eq!("a".repeat(256).parse::<RepoName>(), Err(NameError::TooLong { length: 256 }));
}

#[test]
fn a_refused_name_comes_with_the_fix() {
    let error = |name: &str| name.parse::<RepoName>().unwrap_err().to_string();
    assert_eq!(error("Team/App"), "repository name `Team/App` has upper-case letters: write `team/app`");
    assert_eq!(
        error("Team/App!"),
        "repository name `Team/App!` must not contain 'T': use lower-case letters, digits, `.`, `_`, `-` and `/`"
    );
    assert!(error("A//b").contains("must not contain 'A'"), "no fix is offered that would be refused again");
    assert!(error("a//b").contains("single slashes"));
    assert!(error("a/b..c").contains("at `b..c`"));
    assert!(error(&"é".repeat(127)).len() < 400);
}

#[test]
fn prefixes_run_from_the_name_itself_to_its_first_component() {
    let name: RepoName = "a/b-c/d".parse().unwrap();
    assert_eq!(name.prefixes().collect::<Vec<_>>(), ["a/b-c/d", "a/b-c", "a"]);
    let single: RepoName = "a".parse().unwrap();
    assert_eq!(single.prefixes().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn tags_follow_the_grammar_of_the_specification() {
    let hex = "0".repeat(64);
    for tag in [
        "latest",
        "_",
        "1.2.3_meta",
        "V1",
        "a..b",
        "a-",
        &format!("sha256-{hex}"),
        &format!("sha256-{hex}.sig"),
    ] {
        assert_eq!(tag.parse::<Tag>().unwrap().as_str(), tag);
    }
    for tag in ["", ".a", "-a", "a b", "a/b", "a:b", "a+b", "ä", "a\n", "..", "a\0"] {
        assert!(tag.parse::<Tag>().is_err(), "{tag}");
    }
    assert!("a".repeat(128).parse::<Tag>().is_ok());
    assert_eq!("a".repeat(129).parse::<Tag>(), Err(TagError::TooLong { length: 129 }));
    assert_eq!(
        "1.0+beta".parse::<Tag>().unwrap_err().to_string(),
        "tag `1.0+beta` must not contain '+': use letters, digits, `.`, `_` and `-`"
    );
}

#[test]
fn a_reference_with_a_colon_can_only_be_a_digest() {
    let digest = format!("sha256:{}", "0".repeat(64));
    assert!(matches!(digest.parse(), Ok(Reference::Digest(parsed)) if parsed.to_string() == digest));
    assert!(matches!("latest".parse(), Ok(Reference::Tag(tag)) if tag.as_str() == "latest"));
    for text in ["sha256:baddigeststring", "md5:00", ":", "a:b"] {
        assert!(matches!(text.parse::<Reference>(), Err(ReferenceError::Digest(_))), "{text}");
    }
    assert!(matches!("a/b".parse::<Reference>(), Err(ReferenceError::Tag(_))));
}

#[test]
fn an_upload_id_is_random_and_has_one_spelling() {
    let id = UploadId::random();
    assert_ne!(id, UploadId::random());
    let text = id.to_string();
    assert_eq!(text.parse(), Ok(id));
    assert_eq!(UploadId::from_bytes(id.bytes()), id);
    let others = [
        text.to_uppercase(),
        text.replace('-', ""),
        format!("{{{text}}}"),
        format!("urn:uuid:{text}"),
        format!("{text} "),
    ];
    for other in others.iter().filter(|other| **other != text) {
        assert_eq!(other.parse::<UploadId>(), Err(UploadIdError), "{other}");
    }
    assert!("../../../../../../../../../../etc/passwd".parse::<UploadId>().is_err());
}

#[test]
fn names_and_ids_pass_through_serde() {
    let name: RepoName = "team/app".parse().unwrap();
    let packed = postcard::to_allocvec(&(name.clone(), RepoId(7))).unwrap();
    assert_eq!(packed, b"\x08team/app\x07");
    assert_eq!(postcard::from_bytes::<(RepoName, RepoId)>(&packed).unwrap(), (name, RepoId(7)));
    assert_eq!(serde_json::to_string(&UserId(3)).unwrap(), "3");
    assert!(serde_json::from_str::<Tag>("\"-a\"").is_err());
    let error = serde_json::from_str::<RepoName>("1").unwrap_err().to_string();
    assert!(error.contains("expected a repository name"), "{error}");
}

proptest! {
    #[test]
    fn a_name_made_by_the_grammar_parses(
        name in "([a-z0-9]{1,3}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2})(/[a-z0-9]{1,3}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}){0,4}"
    ) {
        let parsed: RepoName = name.parse().unwrap();
        prop_assert_eq!(parsed.to_string(), name.clone());
        prop_assert!(parsed.prefixes().all(|prefix| prefix.parse::<RepoName>().is_ok()));
        prop_assert_eq!(parsed.prefixes().count(), name.split('/').count());
    }

    #[test]
    fn whatever_parses_as_a_name_is_safe_in_a_path(text in "[a-c./_A-]{0,12}|\\PC{0,12}") {
        if let Ok(name) = text.parse::<RepoName>() {
            prop_assert_eq!(name.as_str(), text.as_str());
            prop_assert!(!text.starts_with('/') && !text.ends_with('/'));
            prop_assert!(text.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains("..")));
        }
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in any::<String>()) {
        let _ = text.parse::<RepoName>();
        let _ = text.parse::<Reference>();
        let _ = text.parse::<UploadId>();
        if let Ok(tag) = text.parse::<Tag>() {
            prop_assert_eq!(tag.to_string(), text);
        }
    }
}
