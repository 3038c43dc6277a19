//! Verdicts → table, JSON, Markdown, HTML, JUnit XML, OpenMetrics, explanation. Pure renderers.
//!
//! A [`Report`](crate::judge::Report) flows in, text flows out. Width and colour are arguments, the time is in the
//! report, and nothing here judges: every number shown is one that the report holds, or arithmetic on those. What
//! came from outside (names in telemetry) is cleaned before it reaches a terminal or a web page.

pub mod catalog_report;
mod curve;
pub mod explain;
pub mod format;
pub mod history;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod matrix;
pub mod narrative;
pub mod openmetrics;
pub mod order;
pub mod plot;
pub mod review;
pub mod snapshots;
pub mod table;
pub mod text;
pub mod values;

pub use explain::{ExplainError, explain};
pub use json::{ReadError, from_json, to_json};
pub use markdown::to_markdown;
pub use matrix::{Matrix, MatrixCell, MatrixRow};
pub use narrative::narrative;
pub use plot::{Plot, PlotSide};
pub use table::{TableOptions, to_table};

/// A length of time as people write it in a configuration: `5m`, `1h`, `30d`.
pub(crate) fn span(seconds: f64) -> String {
    let units = [(86_400.0, "d"), (3_600.0, "h"), (60.0, "m")];
    let whole = units.into_iter().find(|(length, _)| seconds >= *length && seconds % length == 0.0);
    whole.map_or_else(|| format!("{seconds}s"), |(length, unit)| format!("{}{unit}", seconds / length))
}
