//! Snapshots → a table, JSON.

use super::TableOptions;
use super::format;
use super::history::entry::rfc3339;
use super::text::{clean, clip};
use crate::engine::snapshot::About;
use comfy_table::{ContentArrangement, Table, presets};

/// A snapshot and where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The file.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// What it is of.
    pub about: About,
}

/// One row a snapshot.
pub fn to_table(listed: &[Listed], options: &TableOptions) -> String {
    if listed.is_empty() {
        return "there are no snapshots\n".to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(options.width.min(1_000) as u16);
    table.set_header(["snapshot", "environment", "saved", "evidence", "requests", "series", "note"]);
    for one in listed {
        let about = &one.about;
        let period = format::period(Some(&rfc3339(about.start_ns)), Some(&rfc3339(about.end_ns)));
        table.add_row([
            clean(&one.file),
            clean(&clip(&about.environment, 60)),
            format::instant(&rfc3339(about.saved_ns)),
            format!("{period}, {}", format::counted(about.windows, "window")),
            format::short(about.requests),
            format::short(about.series),
            clean(&clip(&about.note, 100)),
        ]);
    }
    format!("{table}\n")
}

/// The same as JSON.
pub fn to_json(listed: &[Listed]) -> String {
    let one = |one: &Listed| {
        let about = &one.about;
        serde_json::json!({
            "file": one.file,
            "bytes": one.bytes,
            "environment": about.environment,
            "saved": rfc3339(about.saved_ns),
            "note": about.note,
            "window_s": about.window_ns as f64 / 1e9,
            "start": rfc3339(about.start_ns),
            "end": rfc3339(about.end_ns),
            "windows": about.windows,
            "services": about.services,
            "series": about.series,
            "requests": about.requests,
            "versions": about.versions.iter().map(|(service, version)|
                serde_json::json!({"service": service, "version": version})).collect::<Vec<_>>(),
        })
    };
    super::json::pretty(&listed.iter().map(one).collect::<Vec<_>>())
}
