//! Reason phrases that contain figures. The web framework only takes text with a static lifetime, so each
//! phrase is leaked once, and their number is bounded.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// The most phrases. One takes about 150 bytes.
const KEPT: usize = 512;

static PHRASES: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);

/// The phrase with a static lifetime; `other` if there are too many phrases.
pub(super) fn kept(phrase: String, other: &'static str) -> &'static str {
    let mut phrases = PHRASES.lock().unwrap_or_else(PoisonError::into_inner);
    let phrases = phrases.get_or_insert_default();
    if let Some(known) = phrases.get(phrase.as_str()) {
        return known;
    }
    if phrases.len() >= KEPT {
        return other;
    }
    let phrase: &'static str = Box::leak(phrase.into_boxed_str());
    phrases.insert(phrase);
    phrase
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_phrases_are_kept_once_and_too_many_are_replaced() {
        let first = kept("one".to_owned(), "other");
        assert!(std::ptr::eq(first, kept("one".to_owned(), "other")));
        for number in 0..=KEPT {
            kept(number.to_string(), "other");
        }
        assert_eq!(kept("one more".to_owned(), "other"), "other");
        assert_eq!(kept("one".to_owned(), "other"), "one");
    }
}
