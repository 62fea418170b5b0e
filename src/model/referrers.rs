//! The tag under which clients without the referrers API keep a subject's referrers.

use super::digest::AnyDigest;

/// The fallback tag of a subject (distribution-spec, "Referrers Tag Schema"): the algorithm cut to 32
/// characters, a dash, the encoded part cut to 64, with every character that a tag may not have replaced by a
/// dash.
pub fn fallback_tag(subject: &AnyDigest) -> String {
    let text = subject.to_string();
    let (algorithm, encoded) = text.split_once(':').unwrap_or((&text, ""));
    let in_tag = |character: char| {
        if character.is_ascii_alphanumeric() || "._-".contains(character) { character } else { '-' }
    };
    let algorithm = algorithm.chars().take(32);
    let encoded = encoded.chars().take(64);
    algorithm.chain(['-']).chain(encoded).map(in_tag).collect()
}

#[cfg(test)]
mod tests {
    use super::super::digest::{Algorithm, Digest};
    use super::super::names::Tag;
    use super::*;

    #[test]
    fn the_fallback_tag_is_a_tag_of_limited_length() {
        let sha256 = Digest::of(Algorithm::Sha256, b"");
        assert_eq!(fallback_tag(&sha256.into()), format!("sha256-{}", sha256.hex()));
        let sha512 = Digest::of(Algorithm::Sha512, b"");
        assert_eq!(fallback_tag(&sha512.into()), format!("sha512-{}", &sha512.hex()[..64]));
        let foreign = format!("{}+b64:a=b{}", "long".repeat(9), "x".repeat(80)).parse().unwrap();
        assert_eq!(fallback_tag(&foreign), format!("{}-a-b{}", "long".repeat(8), "x".repeat(61)));
        let plus: AnyDigest = "a+b:c".parse().unwrap();
        assert_eq!(fallback_tag(&plus), "a-b-c");
        assert!(fallback_tag(&foreign).parse::<Tag>().is_ok());
    }
}
