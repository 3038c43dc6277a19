//! The report as a comment on a merge request: GitHub's and GitLab's Markdown.
//!
//! A report flows in, at most [`CHARACTERS_MOST`] characters flow out: headline, findings, operations and coverage.
//! What does not fit is left out in whole rows, least important first, and a sentence says how many.

use crate::judge::verdict::QuantileResult;
use crate::judge::{Finding, Report, Verdict};
use crate::report::format;
use crate::report::narrative::narrative;
use crate::report::order::{self, Row};
use crate::report::table::{
    broken_traces, coverage_totals, dependencies_not_at_parity, dependency_line, fact_rule, finding_counts,
    input_sentences, level_sign,
};
use crate::report::text::{clean, clip};
use crate::report::values;

/// The most characters of the whole text; GitHub takes 65,536 in a comment.
pub const CHARACTERS_MOST: usize = 60_000;
/// Where each section ends at the latest, so that none takes another's place.
const FINDINGS_END: usize = 25_000;
const OPERATIONS_END: usize = 44_000;
const VALUES_END: usize = 50_000;
const DEPENDENCIES_END: usize = 53_000;
const TRACES_END: usize = 54_000;
const COVERAGE_END: usize = 57_000;
/// The longest name or sentence, in characters before escaping.
const NAME_MOST: usize = 200;
const SENTENCE_MOST: usize = 1_000;

/// The report as Markdown; ends with a newline.
pub fn to_markdown(report: &Report) -> String {
    let mut page = Page::default();
    headline(report, &mut page);
    story(report, &mut page);
    findings(report, &mut page);
    operations(report, &mut page);
    metrics(report, &mut page);
    dependencies(report, &mut page);
    traces(report, &mut page);
    coverage(report, &mut page);
    footer(report, &mut page);
    page.text
}

/// Makes a text from outside plain text in Markdown and HTML, on one line: what either would act upon becomes an
/// entity, and `@name` no longer calls a person.
pub fn escape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '@' => plain.push_str("@\u{200b}"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '#' | '!' => {
                plain.push_str(&format!("&#{};", u32::from(c)));
            }
            c => plain.push(c),
        }
    }
    plain
}

/// A name in code type.
fn code(name: &str) -> String {
    format!("<code>{}</code>", escape(&clip(name, NAME_MOST)))
}

fn sentence(text: &str) -> String {
    escape(&clip(text, SENTENCE_MOST))
}

/// Text that knows its length.
#[derive(Default)]
struct Page {
    text: String,
    characters: usize,
}

impl Page {
    fn push(&mut self, text: &str) {
        self.characters += text.chars().count();
        self.text.push_str(text);
    }

    /// Adds rows while they end before `end`; says how many did not. A row is never cut in two, and none is taken
    /// after one was left out.
    fn rows(&mut self, end: usize, rows: impl Iterator<Item = String>) -> usize {
        let mut left_out = 0;
        for row in rows {
            if left_out > 0 || self.characters + row.chars().count() > end {
                left_out += 1;
            } else {
                self.push(&row);
            }
        }
        left_out
    }

    fn left_out(&mut self, rows: usize, what: &str) {
        if rows > 0 {
            self.push(&format!(
                "\n_{} more {what} left out to stay within the size of a comment; the JSON report has all._\n",
                format::count(rows as u64)
            ));
        }
    }
}

fn headline(report: &Report, page: &mut Page) {
    let score = match report.verdict {
        Verdict::NoData => String::new(),
        _ => format!(", score {} of 100", format::score(report.score)),
    };
    page.push(&format!(
        "### {}: {} against {}{score}\n\n{}\n\n",
        format::verdict(report.verdict),
        code(&report.candidate.environment),
        code(&report.baseline.environment),
        sentence(&report.summary)
    ));
    let period = format::period(report.period.start.as_deref(), report.period.end.as_deref());
    let known = [("owner", &report.owner), ("runbook", &report.candidate.runbook)];
    let known = known.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let known: String =
        known.map(|(name, value)| format!(" · {name} {}", escape(&clip(value, NAME_MOST)))).collect();
    page.push(&format!(
        "<sub>{} · {} · {}{known}</sub>\n",
        escape(&clip(&report.comparison, NAME_MOST)),
        escape(&clip(&period, NAME_MOST)),
        format::counted(report.period.windows, "window")
    ));
}

fn story(report: &Report, page: &mut Page) {
    for paragraph in narrative(report) {
        page.push(&format!("\n**{}.** {}\n", paragraph.heading, sentence(&paragraph.text)));
    }
}

fn findings(report: &Report, page: &mut Page) {
    if report.findings.is_empty() {
        return;
    }
    page.push(&format!("\n#### Findings: {}\n\n", finding_counts(&report.findings)));
    let left_out = page.rows(FINDINGS_END, report.findings.iter().map(finding));
    page.left_out(left_out, "findings");
}

fn finding(finding: &Finding) -> String {
    let (sign, level) = match finding.waived_by {
        Some(_) => ("–", "waived"),
        None => (level_sign(finding.level), finding.level.as_str()),
    };
    let mut text = format!(
        "- {} **{level}: {}** {}<br>{}",
        escape(sign),
        sentence(&finding.title),
        code(&finding.id),
        sentence(&finding.message)
    );
    if let Some(owner) = &finding.owner {
        text.push_str(&format!("<br>owner: {}", code(owner)));
    }
    match &finding.waived_by {
        Some(waiver) => text.push_str(&format!("<br>accepted by {}", sentence(waiver))),
        None if finding.action.is_empty() => {}
        None => text.push_str(&format!("<br>→ {}", sentence(&finding.action))),
    }
    text.push('\n');
    text
}

fn operations(report: &Report, page: &mut Page) {
    let rows = order::operations(report);
    if rows.is_empty() {
        return;
    }
    let open = if report.verdict == Verdict::Divergent { " open" } else { "" };
    page.push(&format!(
        "\n<details{open}><summary>Operations: {}</summary>\n\n\
         | verdict | service | operation | kind | requests | p50 | p95 | errors |\n|---|---|---|---|---|---|---|---|\n",
        format::count(rows.len() as u64)
    ));
    let left_out = page.rows(OPERATIONS_END, rows.iter().map(operation));
    page.left_out(left_out, "operations");
    page.push("\n</details>\n");
}

fn operation(row: &Row<'_>) -> String {
    let op = row.operation;
    let quantile = |q: f64| op.latency.quantiles.iter().find(|found| (found.q - q).abs() < 1e-9);
    let errors = &op.errors;
    let rates = format::shares(errors.baseline.rate.get(), errors.candidate.rate.get());
    let errors = match errors.delta.get() {
        None => rates,
        Some(_) => {
            let interval = format::points_with_interval(
                errors.delta.get(),
                errors.delta_low.get(),
                errors.delta_high.get(),
            );
            format!("{rates}<br>{interval}")
        }
    };
    format!(
        "| {} | {} | {} | {} | {} → {} | {} | {} | {errors} |\n",
        format::verdict(op.verdict),
        code(&row.service.service),
        code(&op.operation),
        escape(&clip(&op.kind, NAME_MOST)),
        format::count(op.latency.n_baseline),
        format::count(op.latency.n_candidate),
        quantile_cell(quantile(0.5)),
        quantile_cell(quantile(0.95))
    )
}

fn quantile_cell(found: Option<&QuantileResult>) -> String {
    let Some(found) = found else { return format::MISSING.to_owned() };
    let durations = format::durations(found.baseline_s.get(), found.candidate_s.get());
    match found.ratio.get() {
        None => durations,
        ratio => {
            let change = format::change_with_interval(ratio, found.ratio_low.get(), found.ratio_high.get());
            format!("{durations}<br>{change}")
        }
    }
}

/// The metrics that are not at parity, and how many there are.
fn metrics(report: &Report, page: &mut Page) {
    let Some(counts) = values::counts(report) else { return };
    let rows = values::notable(report);
    if rows.is_empty() {
        return page.push(&format!("\n<sub>Metrics: {}</sub>\n", escape(&counts)));
    }
    page.push(&format!(
        "\n<details><summary>Metrics: {}</summary>\n\n| verdict | service | metric | statistic | values |\n\
         |---|---|---|---|---|\n",
        escape(&counts)
    ));
    let row = |(service, value): &values::ValueRow<'_>| {
        format!(
            "| {} | {} | {} | {} | {} |\n",
            format::verdict(value.verdict),
            code(&service.service),
            code(&value.metric),
            escape(&value.statistic),
            sentence(&values::numbers(value))
        )
    };
    let left_out = page.rows(VALUES_END, rows.iter().map(row));
    page.left_out(left_out, "metrics");
    page.push("\n</details>\n");
}

fn dependencies(report: &Report, page: &mut Page) {
    let rows: Vec<String> = dependencies_not_at_parity(report)
        .map(|(service, dependency)| {
            let line = sentence(&dependency_line(&service.service, dependency));
            format!("- {} {line}\n", format::verdict(dependency.verdict))
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    page.push(&format!(
        "\n<details><summary>Dependencies not shown to be at parity: {}</summary>\n\n",
        format::count(rows.len() as u64)
    ));
    let left_out = page.rows(DEPENDENCIES_END, rows.into_iter());
    page.left_out(left_out, "dependencies");
    page.push("\n</details>\n");
}

/// Services with spans whose parent never came.
fn traces(report: &Report, page: &mut Page) {
    let rows = broken_traces(report);
    if rows.is_empty() {
        return;
    }
    page.push(&format!(
        "\n<details><summary>Traces: spans whose parent never came in {}</summary>\n\n",
        format::counted(rows.len() as u64, "service")
    ));
    let left_out = page.rows(TRACES_END, rows.iter().map(|row| format!("- {}\n", sentence(row))));
    page.left_out(left_out, "services");
    page.push("\n</details>\n");
}

fn coverage(report: &Report, page: &mut Page) {
    let (present, expected) = coverage_totals(report);
    let rows: Vec<String> = coverage_rows(report);
    if expected == 0 && rows.is_empty() {
        return;
    }
    page.push(&format!(
        "\n<details><summary>Coverage: {} of {} expected items</summary>\n\n",
        format::count(present),
        format::count(expected)
    ));
    if rows.is_empty() {
        page.push("Nothing is missing, and nothing has another form.\n");
    }
    let left_out = page.rows(COVERAGE_END, rows.into_iter());
    page.left_out(left_out, "items");
    page.push("\n</details>\n");
}

fn coverage_rows(report: &Report) -> Vec<String> {
    let mut rows = Vec::new();
    for service in &report.services {
        let name = code(&service.service);
        let coverage = &service.coverage;
        for item in &coverage.missing {
            rows.push(format!("- {name} lacks {}\n", sentence(item)));
        }
        for item in &coverage.extra {
            rows.push(format!("- {name} has {} only in the candidate\n", sentence(item)));
        }
        for item in &coverage.shape {
            rows.push(format!("- {name} differs in form: {}\n", sentence(item)));
        }
        for fact in service.facts.iter().filter(|fact| fact.broken || !fact.equal) {
            let value = |side: &Option<String>| side.as_deref().map_or_else(|| "absent".to_owned(), code);
            rows.push(format!(
                "- {name} fact {}: {} → {}\n",
                code(&fact.key),
                value(&fact.baseline),
                value(&fact.candidate) + &sentence(fact_rule(fact))
            ));
        }
    }
    rows
}

fn footer(report: &Report, page: &mut Page) {
    let room = CHARACTERS_MOST.saturating_sub(page.characters + 20);
    // Escaping may lengthen a text six times over.
    let sentences = clip(&input_sentences(report).join(" "), room / 6);
    page.push(&format!("\n<sub>{}</sub>\n", escape(&sentences)));
}
