//! What a person sees in the terminal.

use super::{plot, words};
use crate::judge::compare::Curves;
use crate::judge::verdict::{Finding, OperationResult, Report, Verdict};

/// How to draw.
#[derive(Clone, Copy, Debug)]
pub struct TableOptions {
    /// Characters in a line.
    pub width: usize,
    /// Operations that are shown at the most.
    pub rows: usize,
}

impl Default for TableOptions {
    fn default() -> Self {
        TableOptions { width: 100, rows: 20 }
    }
}

/// Findings that are shown at the most.
const FINDINGS: usize = 10;

/// Headline, findings, the two distributions of the worst operation, operations, coverage, facts, input.
pub fn to_table(report: &Report, worst: Option<&Curves>, options: &TableOptions) -> String {
    let mut text = headline(report, options.width);
    text.push_str(&findings(&report.findings, options.width));
    if let Some(curves) = worst {
        text.push_str(&plot::cdf(curves, options.width.min(100)));
        text.push('\n');
    }
    text.push_str(&operations(report, options));
    text.push_str(&coverage(report));
    text.push_str(&facts(report));
    text.push_str(&input(report));
    text
}

fn headline(report: &Report, width: usize) -> String {
    let period = match (&report.period.start, &report.period.end) {
        (Some(start), Some(end)) => format!("{start} to {end}, {} windows", report.period.windows),
        _ => "no data".to_owned(),
    };
    format!(
        "{}   score {:.1}   {}: {} → {}\n{period}\n\n{}\n\n",
        words::verdict(report.verdict).to_uppercase(),
        report.score,
        report.comparison,
        report.baseline.environment,
        report.candidate.environment,
        wrap(&report.summary, width, "")
    )
}

fn findings(findings: &[Finding], width: usize) -> String {
    if findings.is_empty() {
        return String::new();
    }
    let mut text = "Findings\n".to_owned();
    for finding in findings.iter().take(FINDINGS) {
        text.push_str(&format!("  {}  {}  {}\n", words::level(finding.level), finding.id, finding.title));
        text.push_str(&format!("      {}\n", wrap(&finding.message, width.saturating_sub(6), "      ")));
        match &finding.waived_by {
            Some(waiver) => text.push_str(&format!("      waived: {waiver}\n")),
            None => text.push_str(&format!(
                "      → {}\n",
                wrap(&finding.action, width.saturating_sub(8), "        ")
            )),
        }
    }
    if findings.len() > FINDINGS {
        text.push_str(&format!("  and {} more; --format json has all\n", findings.len() - FINDINGS));
    }
    text.push('\n');
    text
}

fn operations(report: &Report, options: &TableOptions) -> String {
    let all = report.services.iter().flat_map(|s| s.operations.iter().map(move |o| (s.service.as_str(), o)));
    let all = words::by_interest(all);
    if all.is_empty() {
        return String::new();
    }
    let mut shown = all.iter().take(options.rows).collect::<Vec<_>>();
    // Services in order of their first operation of interest, each with its own heading.
    let order: Vec<&str> = shown.iter().map(|(service, _)| *service).collect();
    shown.sort_by_key(|(service, _)| order.iter().position(|known| known == service));
    let mut text = "Operations\n".to_owned();
    let mut service = "";
    for (of, operation) in shown {
        if *of != service {
            service = of;
            text.push_str(&format!("  [{service}]\n"));
        }
        text.push_str(&row(operation, options.width));
    }
    let rest = all.iter().skip(options.rows);
    let parity = rest.clone().filter(|(_, o)| o.verdict == Verdict::Parity).count();
    let others = rest.count() - parity;
    if parity + others > 0 {
        text.push_str(&format!("and {parity} more at parity, {others} others; --format json has all\n"));
    }
    text.push('\n');
    text
}

/// One operation on two lines: what it is, and its numbers.
fn row(operation: &OperationResult, width: usize) -> String {
    let name = format!("{} ({})", operation.operation, operation.kind);
    let requests = format!("{} → {} requests", operation.latency.n_baseline, operation.latency.n_candidate);
    let room = width.saturating_sub(22 + requests.chars().count()).max(20);
    let numbers = format!(
        "p50 {}   p95 {}   errors {}",
        words::quantile_of(operation, 0.5),
        words::quantile_of(operation, 0.95),
        words::errors(operation)
    );
    format!(
        "  {:<15} {:<room$}  {requests}\n                  {}\n",
        words::verdict(operation.verdict),
        shortened(&name, room),
        wrap(&numbers, width.saturating_sub(18), "                  ")
    )
}

/// A name that is too long loses its middle, because its end tells it apart.
fn shortened(name: &str, room: usize) -> String {
    let length = name.chars().count();
    if length <= room {
        return name.to_owned();
    }
    let (head, tail) = (room / 3, room - room / 3 - 1);
    name.chars().take(head).chain(['…']).chain(name.chars().skip(length - tail)).collect()
}

fn coverage(report: &Report) -> String {
    let short: Vec<_> = report.services.iter().filter(|s| s.coverage.ratio < 1.0).collect();
    let (expected, present) =
        report.services.iter().fold((0, 0), |(e, p), s| (e + s.coverage.expected, p + s.coverage.present));
    if expected == 0 {
        return String::new();
    }
    let share = 100.0 * present as f64 / expected as f64;
    let mut text =
        format!("Coverage: {present} of {expected} expected telemetry items are there ({share:.1} %)\n");
    for service in short {
        let missing = service.coverage.missing.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        let more = service.coverage.missing.len().saturating_sub(5);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        text.push_str(&format!("  {} lacks {missing}{more}\n", service.service));
    }
    text
}

fn facts(report: &Report) -> String {
    let mut text = String::new();
    for service in &report.services {
        for fact in service.facts.iter().filter(|fact| !fact.equal) {
            let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".to_owned());
            text.push_str(&format!(
                "  {}  {}: {} → {}\n",
                service.service,
                fact.key,
                side(&fact.baseline),
                side(&fact.candidate)
            ));
        }
    }
    if text.is_empty() { text } else { format!("Facts that differ\n{text}") }
}

fn input(report: &Report) -> String {
    let input = &report.input;
    let mut text = format!(
        "Input: {} spans, {} metric points, {} log records",
        input.spans, input.metric_points, input.log_records
    );
    if !input.rejected.is_empty() {
        let reasons: Vec<String> =
            input.rejected.iter().map(|(reason, n)| format!("{reason}: {n}")).collect();
        text.push_str(&format!("; refused {}", reasons.join(", ")));
    }
    if !report.limits_hit.is_empty() {
        text.push_str(&format!("; limits reached: {}", report.limits_hit.join(", ")));
    }
    text.push('\n');
    text
}

/// Breaks a sentence into lines of at most `width` characters, the later ones indented.
fn wrap(text: &str, width: usize, indent: &str) -> String {
    let width = width.max(20);
    let (mut wrapped, mut used) = (String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            wrapped.push('\n');
            wrapped.push_str(indent);
            used = 0;
        } else if used > 0 {
            wrapped.push(' ');
            used += 1;
        }
        wrapped.push_str(word);
        used += length;
    }
    wrapped
}
