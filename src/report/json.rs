//! The verdict JSON, written and read back.
//!
//! [`Report`] ⇄ text of schema [`SCHEMA`]. Field order is the order of the types' fields, maps are ordered by key, so
//! equal reports give equal bytes.

use crate::judge::Report;
use crate::judge::verdict::SCHEMA;
use serde_json::Value;

/// Why a text is not a verdict that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not JSON at all, or JSON that is cut off.
    #[error("this is not a verdict file: not JSON at line {line}, column {column} ({message})")]
    NotJson {
        /// One-based.
        line: usize,
        /// One-based.
        column: usize,
        /// What the JSON reader said.
        message: String,
    },
    /// JSON of something else.
    #[error(
        "this is not a verdict file: it has no \"schema\" field. \
         `isotel judge --format json -o verdict.json` writes one"
    )]
    NotAVerdict,
    /// A verdict of a layout that this version does not know.
    #[error("this file is of schema {found:?}; this version reads {SCHEMA:?}")]
    OtherSchema {
        /// The schema that the file names.
        found: String,
    },
    /// The right schema, with a field missing or of another type.
    #[error("this verdict file is damaged: {message}")]
    Damaged {
        /// Which field, and where.
        message: String,
    },
}

/// The verdict JSON: pretty with two spaces, a newline at the end, the same bytes for the same report.
pub fn to_json(report: &Report) -> String {
    pretty(report)
}

/// Any of the reports' own values as pretty JSON with a newline at the end.
pub(crate) fn pretty<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_string_pretty(value) {
        Ok(mut text) => {
            text.push('\n');
            text
        }
        // serde_json fails on maps without string keys and on failing writers; neither exists here.
        Err(error) => unreachable!("a report is always JSON: {error}"),
    }
}

/// Reads a verdict JSON back.
///
/// # Errors
/// When the text is not JSON, is not a verdict, is of another schema, or misses a field: [`ReadError`], worded for
/// the person who named the file.
pub fn from_json(text: &str) -> Result<Report, ReadError> {
    let value: Value = serde_json::from_str(text).map_err(|error| ReadError::NotJson {
        line: error.line(),
        column: error.column(),
        message: without_position(&error),
    })?;
    match value.get("schema") {
        None => return Err(ReadError::NotAVerdict),
        Some(Value::String(found)) if found == SCHEMA => {}
        Some(Value::String(found)) => return Err(ReadError::OtherSchema { found: found.clone() }),
        Some(other) => return Err(ReadError::OtherSchema { found: other.to_string() }),
    }
    // From the text once more, and not from the value: so the message has the line.
    serde_json::from_str(text).map_err(|error| ReadError::Damaged { message: error.to_string() })
}

/// The reader's message without its " at line 1 column 2", which is said in our own words.
fn without_position(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rfind(" at line ") {
        Some(at) => message.get(..at).unwrap_or(&message).to_owned(),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_verdict_is_refused_in_words() {
        let said = |text: &str| from_json(text).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(
            said("nope"),
            Err("this is not a verdict file: not JSON at line 1, column 2 (expected ident)".to_owned())
        );
        assert!(said("{}").is_err_and(|text| text.contains("no \"schema\" field")));
        assert!(said("[1]").is_err_and(|text| text.contains("no \"schema\" field")));
        assert_eq!(
            said(r#"{"schema": "isotel.verdict/v9"}"#),
            Err("this file is of schema \"isotel.verdict/v9\"; this version reads \"isotel.verdict/v1\""
                .to_owned())
        );
        assert!(said("{\"schema\": \"isotel.verdict/v1\"\n}").is_err_and(|text| text.contains("damaged")
            && text.contains("generated_at")
            && text.contains("line 2")));
    }
}
