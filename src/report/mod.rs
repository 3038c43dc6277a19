//! Verdicts → table, JSON, Markdown. Pure renderers: values in, text out; width is an argument.

pub mod explain;
pub mod json;
pub mod markdown;
pub mod matrix;
pub mod plot;
pub mod table;
mod words;

pub use explain::explain;
pub use json::{from_json, to_json};
pub use markdown::to_markdown;
pub use matrix::Matrix;
pub use table::{TableOptions, to_table};
