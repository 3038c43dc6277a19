//! Verdicts as OpenMetrics text, for GitLab's metrics reports and whatever else holds numbers of two pipelines beside each other.
//!
//! A report flows in, a handful of gauges flows out, under the names of [`crate::export::gauges`] where there is one. What has
//! a line for each service is bounded. GitLab splits a line at its spaces, so that there is none in a label's value; it shows
//! what is new, gone or changed by name and labels, so that they say nothing that changes from run to run.

use crate::judge::catalog_report::CatalogReport;
use crate::judge::{Level, Report, Verdict};
use crate::report::text::clip;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Services with lines of their own: the first by name.
const SERVICES_MOST: usize = 200;
/// Characters of a label's value.
const VALUE_MOST: usize = 200;

/// Gauges, a family after the other.
#[derive(Default)]
struct Page {
    text: String,
    /// Two names may be cut to one, and a sample twice makes the page unreadable.
    told: BTreeSet<String>,
}

impl Page {
    fn family(&mut self, name: &str, help: &str) {
        let _ = writeln!(self.text, "# TYPE {name} gauge\n# HELP {name} {help}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let series = match labels.is_empty() {
            true => name.to_owned(),
            false => format!("{name}{{{}}}", labels.join(",")),
        };
        if self.told.insert(series.clone()) {
            let _ = writeln!(self.text, "{series} {}", ten_thousandths(value));
        }
    }

    fn end(mut self) -> String {
        self.text.push_str("# EOF\n");
        self.text
    }
}

/// A comparison: scores, operations by verdict, findings by level, coverage.
pub fn of_report(report: &Report) -> String {
    let comparison = report.comparison.as_str();
    let mut page = Page::default();
    page.family("parity_score", "Composite score, 0 to 1, of the comparison, its aspects and services.");
    let scored = |verdict: Verdict| verdict != Verdict::NoData;
    if scored(report.verdict) {
        page.sample("parity_score", &[("comparison", comparison)], report.score / 100.0);
    }
    for (aspect, result) in report.aspects.iter().filter(|(_, result)| scored(result.verdict)) {
        let labels = [("comparison", comparison), ("aspect", aspect.as_str())];
        page.sample("parity_score", &labels, result.score / 100.0);
    }
    for service in report.services.iter().filter(|s| scored(s.verdict)).take(SERVICES_MOST) {
        let labels = [("comparison", comparison), ("service_name", service.service.as_str())];
        page.sample("parity_score", &labels, service.score / 100.0);
    }
    page.family("parity_verdict", "1 for the state that holds, 0 for the others.");
    for verdict in Verdict::ALL {
        let labels = [("comparison", comparison), ("state", verdict.as_str())];
        page.sample("parity_verdict", &labels, f64::from(u8::from(report.verdict == verdict)));
    }
    page.family("parity_operations", "Operations by verdict.");
    for verdict in Verdict::ALL {
        let operations = report.services.iter().flat_map(|service| &service.operations);
        let n = operations.filter(|operation| operation.verdict == verdict).count();
        page.sample(
            "parity_operations",
            &[("comparison", comparison), ("state", verdict.as_str())],
            n as f64,
        );
    }
    page.family("parity_findings", "Findings by level that no waiver accepts.");
    for level in [Level::Critical, Level::Warning, Level::Info] {
        let open = report.findings.iter().filter(|f| f.waived_by.is_none() && f.level == level);
        let labels = [("comparison", comparison), ("level", level.as_str())];
        page.sample("parity_findings", &labels, open.count() as f64);
    }
    coverage(&mut page, report);
    page.end()
}

/// The telemetry of two environments beside each other.
pub fn of_coverage(report: &Report) -> String {
    let mut page = Page::default();
    coverage(&mut page, report);
    page.end()
}

fn coverage(page: &mut Page, report: &Report) {
    let comparison = report.comparison.as_str();
    let expecting =
        || report.services.iter().filter(|service| service.coverage.expected > 0).take(SERVICES_MOST);
    page.family(
        "parity_coverage_ratio",
        "Share of the expected telemetry that is there, waived items included.",
    );
    for service in expecting() {
        let labels = [("comparison", comparison), ("service_name", service.service.as_str())];
        page.sample("parity_coverage_ratio", &labels, service.coverage.counted());
    }
    page.family("parity_coverage_missing", "Expected items of telemetry that are not there.");
    for service in expecting() {
        let labels = [("comparison", comparison), ("service_name", service.service.as_str())];
        page.sample("parity_coverage_missing", &labels, service.coverage.missing.len() as f64);
    }
}

/// Environments beside a catalog.
pub fn of_catalog(report: &CatalogReport) -> String {
    let mut page = Page::default();
    page.family(
        "parity_coverage_ratio",
        "Share of the expected telemetry that is there, waived items included.",
    );
    for environment in &report.environments {
        let name = ("environment", environment.environment.as_str());
        page.sample("parity_coverage_ratio", &[name], environment.total.ratio);
        for service in environment.services.iter().take(SERVICES_MOST) {
            page.sample(
                "parity_coverage_ratio",
                &[name, ("service_name", &service.service)],
                service.total.ratio,
            );
        }
    }
    page.end()
}

/// A label's value as OpenMetrics has it, without spaces.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in clip(value, VALUE_MOST).chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            c if c.is_whitespace() || c.is_control() => text.push('_'),
            c => text.push(c),
        }
    }
    text
}

/// As far as a difference means something.
fn ten_thousandths(value: f64) -> f64 {
    if value.is_finite() { (value * 1e4).round() / 1e4 } else { 0.0 }
}
