//! Results as Prometheus text, format 0.0.4.
//!
//! Reports flow in, one page of text flows out: the same families as in OTLP, dots as underscores. A label is its
//! attribute's key without `parity.` in front, dots as underscores (`parity.operation` is `operation`,
//! `service.name` is `service_name`); the state of a verdict is `state` and the level of a finding `level`.

use crate::export::gauges::{Attributes, FAMILIES, Number};
use crate::judge::Report;
use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::hash::BuildHasher;
use std::ops::Deref;

/// The `Content-Type` of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The results of the latest judgement of each comparison as Prometheus text: HELP and TYPE once per metric, samples in the
/// order of the reports, no sample twice (of two that claim the same series the first holds) and no timestamp, since a
/// scrape asks for what holds now. In pieces, a service's samples of a metric each: the page of thousands of operations has
/// many megabytes. `tenant` says of whom they are, where there are tenants.
pub fn render<R: Deref<Target = Report>>(
    reports: Vec<R>,
    tenant: Option<String>,
) -> impl Iterator<Item = String> {
    let tenant = tenant.map(|name| format!(",tenant=\"{}\"", escape_label(&name))).unwrap_or_default();
    Page { reports, tenant, at: Place::default(), told: HashSet::default() }
}

struct Page<R> {
    reports: Vec<R>,
    /// What stands at the end of every sample's labels.
    tenant: String,
    at: Place,
    /// Hashes of the family's labels up to here. Escaping can make two names one, and a page with a sample twice is refused
    /// as a whole.
    told: HashSet<u64, RandomState>,
}

/// What comes next.
#[derive(Default)]
struct Place {
    family: usize,
    report: usize,
    /// 0 is the comparison itself.
    service: usize,
}

impl<R: Deref<Target = Report>> Iterator for Page<R> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        loop {
            let family = FAMILIES.get(self.at.family)?;
            let Some(report) = self.reports.get(self.at.report) else {
                self.at = Place { family: self.at.family + 1, ..Place::default() };
                self.told.clear();
                continue;
            };
            let service = self.at.service;
            self.at.service += 1;
            let (mut piece, mut labels, name) = (String::new(), String::new(), family.name.replace('.', "_"));
            let (told, tenant) = (&mut self.told, &self.tenant);
            let mut tell = |attributes: &Attributes<'_>, value: Number| {
                labels.clear();
                write_labels(&mut labels, attributes);
                let head = told.is_empty();
                if !told.insert(told.hasher().hash_one(&labels)) {
                    return;
                }
                // Writing to a String cannot fail.
                if head {
                    let _ = writeln!(piece, "# HELP {name} {}", escape_help(family.description));
                    let _ = writeln!(piece, "# TYPE {name} gauge");
                }
                let _ = writeln!(piece, "{name}{{{labels}{tenant}}} {value}");
            };
            match service.checked_sub(1).map(|at| report.services.get(at)) {
                None => family.of_comparison(report, &mut tell),
                Some(Some(service)) => family.of_service(report, service, &mut tell),
                Some(None) => self.at = Place { report: self.at.report + 1, service: 0, ..self.at },
            }
            if !piece.is_empty() {
                return Some(piece);
            }
        }
    }
}

fn write_labels(text: &mut String, attributes: &Attributes<'_>) {
    for (key, value) in attributes {
        if !text.is_empty() {
            text.push(',');
        }
        let _ = write!(text, "{}=\"{}\"", label_name(key), escape_label(value));
    }
}

pub(super) fn label_name(key: &str) -> String {
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
