//! Secrets that this server generates and clients keep: personal and refresh tokens. A prefix that says the
//! kind, 160 random bits, and a checksum that tells a typing error from a wrong token. Only their hash is
//! stored.

use sha2::{Digest as _, Sha256};

use crate::model::secret::SecretHash;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Letters of 160 random bits.
const BODY: usize = 27;
/// Letters of a 32-bit checksum.
const CHECK: usize = 6;

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretKind {
    /// `stw_pat_`: a user's token.
    Personal,
    /// `stw_ref_`: a refresh token.
    Refresh,
}

impl SecretKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Personal => "stw_pat_",
            Self::Refresh => "stw_ref_",
        }
    }

    /// Generates a secret of this kind.
    pub(crate) fn generate(self) -> String {
        let mut random = [0_u8; BODY * 2];
        getrandom::fill(&mut random).expect("the system's random source answers");
        // Two random bytes a letter: the bias of the remainder is below a thousandth of a letter's
        // probability.
        let body: String = random
            .chunks_exact(2)
            .map(|pair| {
                char::from(ALPHABET[usize::from(u16::from_le_bytes([pair[0], pair[1]])) % ALPHABET.len()])
            })
            .collect();
        let checksum = self.checksum(&body);
        format!("{}{body}{checksum}", self.prefix())
    }

    /// Whether a text has the form of this kind, checksum included. A text without it is refused before the
    /// store is read.
    pub(crate) fn recognises(self, text: &str) -> bool {
        let Some(rest) = text.strip_prefix(self.prefix()) else { return false };
        rest.is_ascii() && rest.len() == BODY + CHECK && self.checksum(&rest[..BODY]) == rest[BODY..]
    }

    fn checksum(self, body: &str) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.prefix());
        hasher.update(body);
        let hash = hasher.finalize();
        let mut number = u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]);
        let letters = (0..CHECK).map(|_| {
            let letter = ALPHABET[number as usize % ALPHABET.len()];
            number /= 62;
            char::from(letter)
        });
        letters.collect()
    }
}

/// The hash that is stored of a secret, and by which it is found.
pub(crate) fn hash(secret: &str) -> SecretHash {
    SecretHash(Sha256::digest(secret).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_recognised_and_a_mistyped_one_is_not() {
        let secret = SecretKind::Personal.generate();
        assert!(secret.starts_with("stw_pat_") && secret.len() == 8 + 33, "{secret}");
        assert!(SecretKind::Personal.recognises(&secret));
        assert!(!SecretKind::Refresh.recognises(&secret));
        assert!(!SecretKind::Personal.recognises(&secret.replacen(&secret[10..11], "-", 1)));
        assert!(!SecretKind::Personal.recognises(&secret[..40]));
        assert_ne!(secret, SecretKind::Personal.generate());
    }
}
