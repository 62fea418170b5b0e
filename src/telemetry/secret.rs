//! A value that must not be written anywhere by accident.

/// Holds a secret. It has neither `Debug` nor `Display` nor `Serialize`, so that no log line, error or answer
/// can hold it unless the code calls `expose`.
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a secret.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The secret itself. Call this only where the value is used.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The secret itself, without its wrapper.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}
