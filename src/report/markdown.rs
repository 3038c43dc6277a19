//! Markdown for comments on GitHub and GitLab.

use super::words;
use crate::judge::verdict::Report;

/// GitHub's comments hold 65,536 characters.
const CHARACTERS_MAX: usize = 60_000;

/// Headline, findings, operations in a collapsed table, coverage. Rows that do not fit are counted.
pub fn to_markdown(report: &Report) -> String {
    let mut text = format!(
        "## {} · isotel: {} → {}\n\n**Score {:.1}** · {}\n\n{}\n\n",
        words::verdict(report.verdict),
        escape(&report.baseline.environment),
        escape(&report.candidate.environment),
        report.score,
        escape(&report.comparison),
        escape(&report.summary)
    );
    let mut cut = 0;
    for finding in &report.findings {
        let waived =
            finding.waived_by.as_ref().map_or(String::new(), |w| format!(" *(waived: {})*", escape(w)));
        let line = format!(
            "- **{}** `{}` {} {}{waived}\n",
            words::level(finding.level),
            finding.id,
            escape(&finding.message),
            escape(&finding.action)
        );
        cut += push(&mut text, &line, CHARACTERS_MAX / 2);
    }
    text.push_str("\n<details><summary>Operations</summary>\n\n");
    text.push_str(
        "| service | operation | requests | p50 | p95 | errors | verdict |\n|---|---|---|---|---|---|---|\n",
    );
    let all = report.services.iter().flat_map(|s| s.operations.iter().map(move |o| (s.service.as_str(), o)));
    for (service, operation) in words::by_interest(all) {
        let line = format!(
            "| {} | {} ({}) | {} → {} | {} | {} | {} | {} |\n",
            escape(service),
            escape(&operation.operation),
            operation.kind,
            operation.latency.n_baseline,
            operation.latency.n_candidate,
            words::quantile_of(operation, 0.5),
            words::quantile_of(operation, 0.95),
            words::errors(operation),
            words::verdict(operation.verdict)
        );
        cut += push(&mut text, &line, CHARACTERS_MAX);
    }
    text.push_str("\n</details>\n");
    if cut > 0 {
        text.push_str(&format!("\n{cut} lines were left out to keep this short; the JSON has all.\n"));
    }
    text
}

/// Appends a line if it fits, in characters as the sites count them; returns 1 when it does not.
fn push(text: &mut String, line: &str, limit: usize) -> usize {
    if text.len() + line.len() > limit {
        return 1;
    }
    text.push_str(line);
    0
}

/// Text that may hold anything, as Markdown that shows it.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '@' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '\n' | '\r' => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
