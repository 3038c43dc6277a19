//! Results as Prometheus text, format 0.0.4.
//!
//! Reports flow in, one page of text flows out: the same families as in OTLP, dots as underscores. A label is its
//! attribute's key without `parity.` in front, dots as underscores (`parity.operation` is `operation`,
//! `service.name` is `service_name`); the state of a verdict is `state` and the level of a finding `level`.

use crate::export::gauges::{self, Family, Point};
use crate::judge::Report;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The `Content-Type` of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The results of the latest judgement of each comparison as Prometheus text: HELP and TYPE once per metric, samples
/// in the order of their labels, no sample twice (of two reports that claim the same series the later one holds) and
/// no timestamp, since a scrape asks for what holds now.
pub fn render(reports: &[&Report]) -> String {
    let mut page = String::new();
    for Family { name, description, points, .. } in gauges::families(reports) {
        let name = name.replace('.', "_");
        let _ = writeln!(page, "# HELP {name} {}", escape_help(description));
        let _ = writeln!(page, "# TYPE {name} gauge");
        let samples: BTreeMap<String, _> = points.iter().map(|point| (labels(point), point.value)).collect();
        for (labels, value) in samples {
            let _ = writeln!(page, "{name}{{{labels}}} {value}");
        }
    }
    page
}

fn labels(point: &Point) -> String {
    let mut text = String::new();
    for (key, value) in &point.attributes {
        if !text.is_empty() {
            text.push(',');
        }
        let _ = write!(text, "{}=\"{}\"", label_name(key), escape_label(value));
    }
    text
}

fn label_name(key: &str) -> String {
    match key {
        "parity.verdict.state" => "state".to_owned(),
        "parity.finding.level" => "level".to_owned(),
        _ => key.strip_prefix("parity.").unwrap_or(key).replace('.', "_"),
    }
}

/// Backslash, quote and line feed, as the format asks; other control characters have no place in a label.
fn escape_label(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c if c.is_control() => text.push('\u{fffd}'),
            c => text.push(c),
        }
    }
    text
}

fn escape_help(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}
