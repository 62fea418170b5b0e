//! Rules of digests, their forms and their hashers.

use proptest::prelude::*;

use super::*;

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const EMPTY_BLAKE3: &str = "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(&Algorithm::ALL[..])
}

fn digests() -> impl Strategy<Value = Digest> {
    (algorithms(), any::<[u8; 8]>()).prop_map(|(algorithm, seed)| Digest::of(algorithm, &seed))
}

/// Known and foreign digests, with foreign ones that sort around the known ones.
fn any_digests() -> impl Strategy<Value = AnyDigest> {
    prop_oneof![
        digests().prop_map(AnyDigest::from),
        "[a-z0-9]{1,3}([+._-][a-z0-9]{1,3}){0,2}:[a-zA-Z0-9=_-]{1,9}".prop_map(|text| text.parse().unwrap()),
    ]
}

#[test]
fn known_content_has_its_known_digest() {
    assert_eq!(Digest::of(Algorithm::Sha256, b"").to_string(), EMPTY);
    assert_eq!(Digest::of(Algorithm::Blake3, b"").to_string(), EMPTY_BLAKE3);
    let sha512 = Digest::of(Algorithm::Sha512, b"abc");
    assert!(sha512.hex().starts_with("ddaf35a193617abacc417349ae204131"), "{sha512}");
    assert_eq!(sha512.hex().len(), 128);
    let digest = Digest::of(Algorithm::Sha256, b"{}");
    assert_eq!(digest.hex(), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    assert_eq!(format!("{digest:?}"), digest.to_string());
}

#[test]
fn algorithm_bytes_never_change() {
    assert_eq!(Algorithm::ALL.map(Algorithm::byte), [1, 2, 3]);
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::from_byte(algorithm.byte()), Some(algorithm));
        assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
    }
    assert_eq!(Algorithm::from_byte(0), None);
    assert_eq!(Algorithm::from_byte(4), None);
}

#[test]
fn what_breaks_the_grammar_is_malformed() {
    let hex = &EMPTY[7..];
    let broken = [
        String::new(),
        "sha256".into(),
        "sha256:".into(),
        "sha256:baddigeststring".into(),
        format!("sha256:{}", hex.to_uppercase()),
        format!("sha256:{hex}0"),
        format!("sha256:{}", &hex[1..]),
        format!("sha256:{}g", &hex[1..]),
        format!("sha512:{hex}"),
        format!("blake3:{hex}{hex}"),
        format!("SHA256:{hex}"),
        format!(":{hex}"),
        format!("sha256::{hex}"),
        format!(" {EMPTY}"),
        format!("{EMPTY}\n"),
        "md5:a/b".into(),
        "md5:../../etc".into(),
        "md5:\0".into(),
        "a++b:c".into(),
        "+a:c".into(),
        "md5:é".into(),
        format!("md5:{}", "0".repeat(509)),
    ];
    for text in broken {
        assert!(matches!(text.parse::<Digest>(), Err(DigestError::Malformed { .. })), "{text}");
        assert!(matches!(text.parse::<AnyDigest>(), Err(DigestError::Malformed { .. })), "{text}");
    }
}

#[test]
fn a_good_digest_of_an_unknown_algorithm_is_unsupported_but_may_be_named() {
    for text in [
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
    ] {
        let error = text.parse::<Digest>().unwrap_err();
        assert!(matches!(error, DigestError::Unsupported { .. }), "{error}");
        let named: AnyDigest = text.parse().unwrap();
        assert_eq!(named.known(), None);
        assert_eq!(named.to_string(), text);
    }
    assert!(format!("md5:{}", "0".repeat(508)).parse::<AnyDigest>().is_ok());
}

#[test]
fn an_error_names_the_digest_and_the_fix_and_stays_short() {
    let error = "sha256:baddigeststring".parse::<Digest>().unwrap_err().to_string();
    assert_eq!(
        error,
        "digest `sha256:baddigeststring` is malformed: write the algorithm, a colon and the hash in lower-case \
         hexadecimal, such as sha256: and 64 digits"
    );
    let error = "md5:00".parse::<Digest>().unwrap_err().to_string();
    assert_eq!(error, "digest algorithm `md5` is not supported: use sha256, sha512 or blake3");
    let error = "x".repeat(1 << 20).parse::<Digest>().unwrap_err().to_string();
    assert!(error.len() < 300);
}

#[test]
fn keys_of_other_shapes_are_no_digest() {
    let key = Digest::of(Algorithm::Sha256, b"").key();
    assert_eq!(key.len(), 33);
    for broken in
        [&[][..], &[1], &key[..32], &[&key[..], &[0]].concat(), &[&[4], &key[1..]].concat(), &[2; 70]]
    {
        assert_eq!(Digest::from_key(broken), None);
        assert_eq!(AnyDigest::from_key(broken), None);
    }
    assert_eq!(AnyDigest::from_key(b"\0md5:"), None);
    assert_eq!(AnyDigest::from_key(b"\0\xff"), None);
    assert_eq!(
        AnyDigest::from_key(&[b"\0", EMPTY.as_bytes()].concat()),
        None,
        "a known digest has one key only"
    );
}

#[test]
fn a_state_of_another_algorithm_or_form_is_not_restored() {
    let saved = Hasher::with_state(Algorithm::Sha256).save().unwrap();
    assert!(Hasher::restore(Algorithm::Sha512, &saved).is_none());
    assert!(Hasher::restore(Algorithm::Blake3, &saved).is_none());
    assert!(Hasher::restore(Algorithm::Sha256, &saved[1..]).is_none());
    assert!(Hasher::restore(Algorithm::Sha256, &saved[..saved.len() - 1]).is_none());
    assert!(Hasher::restore(Algorithm::Sha256, &[]).is_none());
    assert!(Hasher::restore(Algorithm::Sha256, &[0xff; 105]).is_none());
    assert!(Hasher::new(Algorithm::Blake3).save().is_none());
}

#[test]
fn serde_uses_text_for_people_and_keys_for_machines() {
    let digest: Digest = EMPTY.parse().unwrap();
    assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{EMPTY}\""));
    assert_eq!(serde_json::from_str::<Algorithm>("\"blake3\"").unwrap(), Algorithm::Blake3);
    let packed = postcard::to_allocvec(&digest).unwrap();
    assert_eq!(packed, [&[33][..], &digest.key()].concat());
    assert!(postcard::from_bytes::<Digest>(&packed[..20]).is_err());
    assert!(postcard::from_bytes::<Digest>(&[2, 0, b'x']).is_err());
    let error = serde_json::from_str::<Digest>("\"md5:00\"").unwrap_err().to_string();
    assert!(error.starts_with("digest algorithm `md5` is not supported"), "{error}");
}

proptest! {
    #[test]
    fn text_key_and_serde_forms_read_back(digest in any_digests()) {
        prop_assert_eq!(digest.to_string().parse::<AnyDigest>().unwrap(), digest.clone());
        prop_assert_eq!(AnyDigest::from_key(&digest.key()), Some(digest.clone()));
        let json = serde_json::to_string(&digest).unwrap();
        prop_assert_eq!(serde_json::from_str::<AnyDigest>(&json).unwrap(), digest.clone());
        let packed = postcard::to_allocvec(&digest).unwrap();
        prop_assert_eq!(postcard::from_bytes::<AnyDigest>(&packed).unwrap(), digest.clone());
        if let Some(known) = digest.known() {
            prop_assert_eq!(known.to_string().parse::<Digest>().unwrap(), known);
            prop_assert_eq!(Digest::from_key(&known.key()), Some(known));
            prop_assert_eq!(&known.key()[..], &digest.key()[..]);
        }
    }

    #[test]
    fn digests_sort_like_their_keys(one in any_digests(), other in any_digests()) {
        prop_assert_eq!(one.cmp(&other), one.key().cmp(&other.key()));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        if let Ok(digest) = text.parse::<AnyDigest>() {
            prop_assert_eq!(digest.to_string(), text);
        }
    }

    #[test]
    fn no_key_makes_the_reader_panic(key in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Some(digest) = AnyDigest::from_key(&key) {
            prop_assert_eq!(&*digest.key(), key);
        }
    }

    #[test]
    fn hashing_in_pieces_across_restarts_equals_hashing_at_once(
        algorithm in algorithms(),
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
    ) {
        let mut straight = Hasher::new(algorithm);
        let mut hasher = Hasher::with_state(algorithm);
        for piece in &pieces {
            straight.update(piece);
            hasher.update(piece);
            if let Some(saved) = hasher.save() {
                hasher = Hasher::restore(algorithm, &saved).unwrap();
            }
            prop_assert_eq!(hasher.algorithm(), algorithm);
        }
        prop_assert_eq!(hasher.finish(), straight.clone().finish());
        prop_assert_eq!(straight.finish(), Digest::of(algorithm, &pieces.concat()));
    }
}
