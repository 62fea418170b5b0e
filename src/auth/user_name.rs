//! User names in the form in which they are looked up.

/// The most characters of a user's name.
pub(crate) const MAX_USER_NAME: usize = 64;

/// The case-folded name: names that differ only in case are the same name.
pub(crate) fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}
