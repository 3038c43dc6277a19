//! `isotel coverage --catalog`: how much of the expected telemetry each environment has.
//!
//! A [`CatalogReport`] flows in, a table, Markdown or JSON flows out.

use crate::judge::catalog_report::{CatalogReport, EnvironmentCoverage, ServiceHeld, Share};
use crate::judge::{Finding, Verdict};
use crate::report::format;
use crate::report::json::pretty;
use crate::report::markdown::escape;
use crate::report::table::TableOptions;
use crate::report::text::{Paint, clean, clip, wrap};
use comfy_table::{ContentArrangement, Table, presets};
use std::fmt::Write as _;

/// Services and findings shown unless everything is asked for; Markdown is cut at the second.
const SERVICE_ROWS: usize = 20;
const FINDING_ROWS: usize = 20;
const MARKDOWN_ROWS: usize = 200;
/// The widest that a name is in the table.
const NAME_MOST: usize = 40;
/// Sentences are easier to read when they are not longer than this.
const PROSE_MOST: usize = 100;

/// A cell that says nothing.
const NONE: &str = "–";

const HEADINGS: [&str; 8] =
    ["environment", "service", "resource", "spans", "metrics", "logs", "coverage", "conventions"];

/// The report for a terminal.
pub fn to_table(report: &CatalogReport, options: &TableOptions) -> String {
    let paint = Paint { colour: options.colour };
    let verdict = paint.verdict(report.verdict, &format::verdict(report.verdict));
    let mut text = format!("{verdict}\n");
    for line in wrap(&clean(&report.summary), options.width.clamp(40, PROSE_MOST), "", "") {
        let _ = writeln!(text, "{}", paint.bold(&line));
    }
    let rows = rows(report);
    let shown = if options.verbose { rows.len() } else { rows.len().min(SERVICE_ROWS) };
    if shown > 0 {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
        let all = columns(&rows);
        table.set_header(of_columns(&all, HEADINGS.map(str::to_owned)));
        for (environment, service) in &rows[..shown] {
            let cells = of_columns(&all, cells(environment, service));
            table.add_row(cells.map(|cell| clip(&clean(&cell), NAME_MOST)));
        }
        let _ = writeln!(text, "\n{table}");
    }
    if rows.len() > shown {
        let _ = writeln!(text, "and {} more (--verbose shows all)", rows.len() - shown);
    }
    text.push_str(&findings(report, options, paint));
    for limit in &report.limits_hit {
        let _ = writeln!(text, "limit reached: {}", clean(limit));
    }
    text
}

fn findings(report: &CatalogReport, options: &TableOptions, paint: Paint) -> String {
    let mut text = String::new();
    let shown = if options.verbose { report.findings.len() } else { report.findings.len().min(FINDING_ROWS) };
    let width = options.width.clamp(40, PROSE_MOST);
    for finding in &report.findings[..shown] {
        let level = paint.level(finding.level, finding.level.as_str());
        let _ = writeln!(text, "\n{level}  {}{}", paint.bold(&clean(&finding.title)), waived(finding));
        for line in wrap(&clean(&finding.message), width, "  ", "  ") {
            let _ = writeln!(text, "{line}");
        }
        let _ = writeln!(text, "  {}", paint.faint(&clean(&finding.id)));
    }
    if report.findings.len() > shown {
        let _ = writeln!(text, "\nand {} more findings (--verbose shows all)", report.findings.len() - shown);
    }
    text
}

fn waived(finding: &Finding) -> String {
    finding.waived_by.as_ref().map_or(String::new(), |by| format!(" (waived: {})", clean(by)))
}

/// Services that diverge first, then by environment and name.
fn rows(report: &CatalogReport) -> Vec<(&str, &ServiceHeld)> {
    let mut rows: Vec<(&str, &ServiceHeld)> = report.environments.iter().flat_map(services_of).collect();
    rows.sort_by_key(|(_, service)| service.verdict != Verdict::Divergent);
    rows
}

fn services_of(environment: &EnvironmentCoverage) -> impl Iterator<Item = (&str, &ServiceHeld)> {
    environment.services.iter().map(|service| (&*environment.environment, service))
}

/// The columns in which some row says something.
fn columns(rows: &[(&str, &ServiceHeld)]) -> Vec<usize> {
    let said =
        |at: &usize| rows.iter().any(|(environment, service)| cells(environment, service)[*at] != NONE);
    (0..HEADINGS.len()).filter(said).collect()
}

fn of_columns(columns: &[usize], cells: [String; 8]) -> impl Iterator<Item = String> {
    let cells = cells.into_iter().enumerate();
    cells.filter(|(at, _)| columns.contains(at)).map(|(_, cell)| cell)
}

fn cells(environment: &str, service: &ServiceHeld) -> [String; 8] {
    let part = |share: &Share| match share.expected {
        0 => NONE.to_owned(),
        expected => format!("{}/{expected}", share.present),
    };
    let signal = |name: &str| service.signals.get(name).map_or(NONE.to_owned(), part);
    let ratio = |share: &Share| match share.expected {
        0 => NONE.to_owned(),
        _ => format!("{} of {}", format::share(share.ratio), share.expected),
    };
    [
        environment.to_owned(),
        service.service.clone(),
        signal("resource"),
        signal("spans"),
        signal("metrics"),
        signal("logs"),
        ratio(&service.total),
        service.conventions.as_ref().map_or(NONE.to_owned(), ratio),
    ]
}

/// The report as Markdown, cut at 200 rows of each table with a sentence that says so.
pub fn to_markdown(report: &CatalogReport) -> String {
    let mut text = format!("### {}\n\n{}\n", format::verdict(report.verdict), escape(&report.summary));
    let rows = rows(report);
    if !rows.is_empty() {
        let all = columns(&rows);
        let row = |cells: [String; 8]| {
            of_columns(&all, cells).map(|cell| escape(&cell)).collect::<Vec<_>>().join(" | ")
        };
        let _ = writeln!(text, "\n| {} |\n|{}", row(HEADINGS.map(str::to_owned)), "---|".repeat(all.len()));
        for (environment, service) in rows.iter().take(MARKDOWN_ROWS) {
            let _ = writeln!(text, "| {} |", row(cells(environment, service)));
        }
    }
    if !report.findings.is_empty() {
        let _ = writeln!(text, "\n| level | finding | id |\n|---|---|---|");
        for finding in report.findings.iter().take(MARKDOWN_ROWS) {
            let (level, message) = (finding.level.as_str(), escape(&finding.message));
            let _ = writeln!(
                text,
                "| {level} | {message}{} | {} |",
                escape(&waived(finding)),
                escape(&finding.id)
            );
        }
    }
    let left_out = rows.len().max(report.findings.len()).saturating_sub(MARKDOWN_ROWS);
    if left_out > 0 {
        let _ = writeln!(text, "\n{left_out} more rows were left out.");
    }
    text
}

/// The report as JSON.
pub fn to_json(report: &CatalogReport) -> String {
    pretty(report)
}
