//! Text that is not shown again.

use std::fmt;

/// What is shown in the place of a secret.
pub const MASK: &str = "[REDACTED]";

/// A token, a password, or the value of a header. Debug output has [`MASK`] in its place, there is no `Display`, and who
/// reads it must say [`Secret::reveal`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}
