//! The verdict JSON.

use crate::judge::Report;
use crate::judge::verdict::SCHEMA;

/// Why a text is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum NotAVerdict {
    /// Not JSON, or fields are missing.
    #[error("not a verdict file: {0}; expected the output of `isotel judge --format json`")]
    Syntax(#[from] serde_json::Error),
    /// Another schema.
    #[error("schema is {found:?}, and this version reads {SCHEMA:?}")]
    Schema {
        /// What the file says.
        found: String,
    },
}

/// Indented by two, with a newline at the end. The same report gives the same bytes.
pub fn to_json(report: &Report) -> String {
    // A report is made of strings, numbers and lists: nothing that JSON cannot hold.
    let mut text = serde_json::to_string_pretty(report).unwrap_or_default();
    text.push('\n');
    text
}

/// Reads what [`to_json`] wrote.
///
/// # Errors
/// [`NotAVerdict`] when the text is something else.
pub fn from_json(text: &str) -> Result<Report, NotAVerdict> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    let found = value["schema"].as_str().unwrap_or("");
    if found != SCHEMA && !found.is_empty() {
        return Err(NotAVerdict::Schema { found: found.to_owned() });
    }
    Ok(serde_json::from_value(value)?)
}
