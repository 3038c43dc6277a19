//! How a verdict came about: the numbers, the formulas, and the sentence.
//!
//! A report and perhaps a finding's id flow in, text for a terminal flows out. Without an id: the score with its
//! formula filled in ([`score`]), the aspects and the list of findings. With one: the question that was asked, the
//! numbers, the method ([`method`]), the tolerance, the answer and what to do. Nothing is judged again; where the
//! numbers of the report do not give its score, the text says so.

pub mod method;
pub mod score;

use crate::judge::verdict::{Bursts, Needs, OperationResult, ServiceResult, ValueResult};
use crate::judge::{Aspect, Finding, Report, Verdict};
use crate::report::format;
use crate::report::narrative::narrative;
use crate::report::order;
use crate::report::table::{finding_counts, level_sign};
use crate::report::text::{clean, clip, wrap};
use crate::report::values;
use serde_json::Value;
use std::fmt::Write as _;

/// The width of the text: a terminal's usual least.
const WIDTH: usize = 80;
/// The longest id that is compared with others.
const ID_MOST: usize = 200;

/// Why nothing can be explained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// There are findings, and none has this id.
    #[error(
        "no finding has the id {id:?}; did you mean {nearest:?}? \
         `isotel explain VERDICT.json` without an id lists all of them"
    )]
    UnknownFinding {
        /// What was asked for.
        id: String,
        /// The id that is most like it.
        nearest: String,
    },
    /// The report has no findings at all.
    #[error(
        "no finding has the id {id:?}: this verdict has no findings. \
         `isotel explain VERDICT.json` without an id explains the verdict"
    )]
    NoFindings {
        /// What was asked for.
        id: String,
    },
}

/// Explains a whole verdict, or one finding of it; ends with a newline.
///
/// # Errors
/// When no finding has the id: [`ExplainError`], with the id that is nearest.
pub fn explain(report: &Report, finding_id: Option<&str>) -> Result<String, ExplainError> {
    let Some(id) = finding_id else { return Ok(explain_verdict(report)) };
    match report.findings.iter().find(|finding| finding.id == id) {
        Some(finding) => Ok(explain_finding(report, finding)),
        None => Err(unknown(report, id)),
    }
}

fn unknown(report: &Report, id: &str) -> ExplainError {
    let id = clip(&clean(id), ID_MOST);
    let ids = report.findings.iter().map(|finding| clip(&clean(&finding.id), ID_MOST));
    match ids.min_by_key(|known| distance(known, &id)) {
        Some(nearest) => ExplainError::UnknownFinding { id, nearest },
        None => ExplainError::NoFindings { id },
    }
}

/// Edit distance (Levenshtein): insertions, deletions and substitutions that turn one text into the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (to, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = *cell;
            left = substituted.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

fn explain_verdict(report: &Report) -> String {
    let mut text = String::new();
    let _ =
        writeln!(text, "{}  {}", format::verdict(report.verdict).to_uppercase(), clean(&report.comparison));
    let period = format::period(report.period.start.as_deref(), report.period.end.as_deref());
    prose(
        &mut text,
        "",
        &format!("{} → {} · {period}", report.baseline.environment, report.candidate.environment),
    );
    prose(&mut text, "", &report.summary);
    for paragraph in narrative(report) {
        prose(&mut text, "", &format!("{}. {}", paragraph.heading, paragraph.text));
    }
    owners(&mut text, report);
    heading(&mut text, "How the verdict came about");
    prose(&mut text, "  ", verdict_rule(report.verdict));
    aspects(&mut text, report);
    heading(&mut text, "How the score came about");
    score::explain(&mut text, report);
    heading(&mut text, &format!("Findings: {}", listed(report)));
    for finding in &report.findings {
        let level = if finding.waived_by.is_some() { "waived" } else { finding.level.as_str() };
        let line = format!("{level}  {}  {}", finding.id, finding.title);
        push_lines(
            &mut text,
            wrap(&clean(&line), WIDTH, &format!("  {} ", level_sign(finding.level)), "      "),
        );
    }
    if !report.findings.is_empty() {
        text.push_str("\n  `isotel explain VERDICT.json ID` explains one of them.\n");
    }
    text
}

/// Whom to ask, where that is configured.
fn owners(text: &mut String, report: &Report) {
    if let Some(owner) = &report.owner {
        prose(text, "", &format!("Comparison owned by {owner}."));
    }
    for side in [&report.baseline, &report.candidate] {
        let known = [("", &side.description), ("owner ", &side.owner), ("runbook ", &side.runbook)];
        let words: Vec<String> = known
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}{}", value.as_ref()?)))
            .collect();
        if !words.is_empty() {
            prose(text, "", &format!("{}: {}", side.environment, words.join(", ")));
        }
    }
}

fn listed(report: &Report) -> String {
    if report.findings.is_empty() { "none".to_owned() } else { finding_counts(&report.findings) }
}

fn needed(needs: Needs) -> String {
    let time =
        needs.minutes.get().map_or(String::new(), |m| format!(", {} more at this rate", format::minutes(m)));
    format!("about {} requests a side{time}", format::count(needs.n))
}

/// The rule by which the verdict of a comparison follows from those of its operations.
fn verdict_rule(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Parity => {
            "Parity: no operation is divergent, the operations shown to be within their tolerances carry at least \
             95 % of the baseline's traffic, and every metric that decides is shown to be within its own \
             (intersection-union, Berger 1982: no correction is needed)."
        }
        Verdict::Divergent => {
            "Divergent: at least one operation or metric, or the telemetry itself, is shown to be outside its tolerance, \
             after correction for how many were looked at; or a fact breaks a rule that is declared critical. What \
             waivers accept does not count."
        }
        Verdict::Inconclusive => {
            "Inconclusive: nothing is shown to be outside its tolerance, and what is shown to be inside carries \
             less than 95 % of the baseline's traffic, or a metric that decides is open. More requests decide it, or \
             wider tolerances."
        }
        Verdict::NoData => "No data: on one side or on both there was nothing that could be compared.",
    }
}

fn aspects(text: &mut String, report: &Report) {
    let mut aspects: Vec<_> = report.aspects.iter().collect();
    aspects.sort_by_key(|(aspect, result)| (order::rank(result.verdict), **aspect));
    for (aspect, result) in aspects {
        let score = match result.verdict {
            Verdict::NoData => String::new(),
            _ => format!(", score {}", format::score(result.score)),
        };
        let own = report.findings.iter().filter(|finding| finding.aspect == *aspect).count();
        let findings = match own {
            0 => String::new(),
            n => format!(", {}", format::counted(n as u64, "finding")),
        };
        let _ = writeln!(
            text,
            "  {} {:<9} {}{score}{findings}",
            format::symbol(result.verdict),
            aspect.as_str(),
            format::word(result.verdict)
        );
    }
}

fn explain_finding(report: &Report, finding: &Finding) -> String {
    let mut text = String::new();
    let level = if finding.waived_by.is_some() { "waived" } else { finding.level.as_str() };
    prose(&mut text, "", &format!("{} {level}: {}", level_sign(finding.level), finding.title));
    let item = finding.item.as_ref().map_or_else(String::new, |item| format!(", item {item}"));
    prose(&mut text, "", &format!("id {}, aspect {}{item}", finding.id, finding.aspect));
    if let Some(owner) = &finding.owner {
        prose(&mut text, "", &format!("owner {owner}"));
    }
    heading(&mut text, "Question");
    prose(&mut text, "  ", &method::question(report, finding));
    heading(&mut text, "Numbers");
    let before = text.len();
    numbers(&mut text, report, finding);
    if text.len() == before {
        text.push_str("  The finding rests on what is or is not there; it has no numbers.\n");
    }
    heading(&mut text, "Method");
    for paragraph in method::formulas(finding.aspect) {
        prose(&mut text, "  ", paragraph);
    }
    heading(&mut text, "Tolerance");
    for line in method::tolerance(report, finding) {
        prose(&mut text, "  ", &line);
    }
    heading(&mut text, "Answer");
    prose(&mut text, "  ", &finding.message);
    if let Some(waiver) = &finding.waived_by {
        prose(&mut text, "  ", &format!("Accepted by {waiver}; it counts no more."));
    }
    heading(&mut text, "What to do");
    prose(&mut text, "  ", if finding.action.is_empty() { "Nothing." } else { &finding.action });
    if let Some(runbook) = &report.candidate.runbook {
        prose(&mut text, "  ", &format!("Runbook of {}: {runbook}", report.candidate.environment));
    }
    text
}

fn numbers(text: &mut String, report: &Report, finding: &Finding) {
    for op in operations(report, finding) {
        prose(text, "  ", &format!("{} ({})", op.operation, op.kind));
        match finding.aspect {
            Aspect::Latency => latency_numbers(text, op),
            Aspect::Errors => errors_numbers(text, op),
            Aspect::Volume => volume_numbers(text, op),
            _ => {
                row(text, "requests", &requests(op));
            }
        }
    }
    if let (Aspect::Presence | Aspect::Shape, Some(service)) = (finding.aspect, service(report, finding)) {
        let coverage = &service.coverage;
        let ratio = format!(
            "{} of {} expected items ({})",
            format::count(coverage.present),
            format::count(coverage.expected),
            format::share(coverage.ratio)
        );
        row(text, "coverage", &ratio);
    }
    let values = service(report, finding).into_iter().flat_map(|service| &service.values);
    for value in values.filter(|value| value.finding.as_ref() == Some(&finding.id)) {
        value_numbers(text, value);
    }
    for (name, value) in &finding.evidence {
        row(text, name, &evidence(value));
    }
}

fn latency_numbers(text: &mut String, op: &OperationResult) {
    let latency = &op.latency;
    row(text, "requests", &format!("{}, from {}", requests(op), latency.source.as_str()));
    for quantile in &latency.quantiles {
        let change = format::change_with_interval(
            quantile.ratio.get(),
            quantile.ratio_low.get(),
            quantile.ratio_high.get(),
        );
        let durations = format::durations(quantile.baseline_s.get(), quantile.candidate_s.get());
        row(text, &format::quantile(quantile.q), &format!("{durations}  {change}"));
    }
    if let Some(ks) = latency.ks {
        let words = format!(
            "D = {:.3} (between {:.3} and {:.3}), p {}, corrected p {}",
            ks.d,
            ks.d_low,
            ks.d_high,
            format::p_value(ks.p_value),
            format::p_value(ks.p_adjusted)
        );
        row(text, "KS", &words);
    }
    if let Some(sequential) = latency.sequential {
        let p = format::p_value(sequential.p_value);
        row(text, "sequential", &format!("p {p} after {}", format::counted(sequential.windows, "window")));
    }
    if let Some(clusters) = latency.clusters {
        let borrowed =
            if clusters.borrowed { "; the candidate's variance is borrowed from the baseline" } else { "" };
        let words = format!(
            "{} → {}, design effect {:.2} → {:.2}{borrowed}",
            clusters.baseline, clusters.candidate, clusters.deff_baseline, clusters.deff_candidate
        );
        row(text, "instances", &words);
    }
    if let Some(distances) = latency.distances {
        let wasserstein =
            distances.wasserstein_s.get().map(|s| format!("Wasserstein {}", format::duration(s)));
        let effect = distances
            .effect
            .get()
            .map(|a| format!("a candidate's request is the longer one in {}", format::share(a)));
        let tails = distances.anderson_darling.get().map(|a| format!("Anderson-Darling {a:.1}"));
        let words: Vec<String> = [wasserstein, effect, tails].into_iter().flatten().collect();
        row(text, "distance", &words.join(", "));
    }
    if let Some(resolution) = &latency.resolution {
        row(text, "resolution", resolution);
    }
    if let Some(needs) = latency.needs {
        row(text, "needs", &needed(needs));
    }
    row(text, "reason", &latency.reason);
}

fn errors_numbers(text: &mut String, op: &OperationResult) {
    let errors = &op.errors;
    for (side, counts) in [("baseline", errors.baseline), ("candidate", errors.candidate)] {
        let rate = counts.rate.get().map_or_else(String::new, |rate| format!(" ({})", format::share(rate)));
        let words = format!("{} of {} failed{rate}", format::count(counts.errors), format::count(counts.n));
        row(text, side, &words);
    }
    if errors.delta.get().is_some() {
        let words =
            format::points_with_interval(errors.delta.get(), errors.delta_low.get(), errors.delta_high.get());
        row(text, "difference", &words);
    }
    if let Some(p) = errors.p_value.get() {
        row(text, "p", &format::p_value(p));
    }
    row(text, "reason", &errors.reason);
}

fn value_numbers(text: &mut String, value: &ValueResult) {
    row(text, "metric", &format!("{} ({})", value.metric, value.instrument));
    row(text, &value.statistic, &values::numbers(value));
    let windows = format!("{} → {}", value.windows_baseline, value.windows_candidate);
    row(text, "windows", &windows);
    if let Some(p) = value.p_value {
        row(text, "corrected p", &format::p_value(p));
    }
    if let Some(needs) = value.needs {
        row(text, "needs", &format!("about {} windows a side", format::count(needs.windows)));
    }
    let counts = match (value.accepted, value.decides) {
        (true, _) => "as parity, for a waiver accepts it",
        (false, true) => "in verdict and score",
        (false, false) => "as evidence only",
    };
    row(text, "counts", counts);
    row(text, "reason", &value.reason);
}

fn volume_numbers(text: &mut String, op: &OperationResult) {
    let volume = &op.volume;
    let rate =
        |side: Option<f64>| side.map_or_else(|| format::MISSING.to_owned(), |rate| format!("{rate:.3}/s"));
    row(
        text,
        "requests",
        &format!("{} → {}", rate(volume.baseline_per_s.get()), rate(volume.candidate_per_s.get())),
    );
    if let Some(ratio) = volume.ratio.get() {
        let (low, high) = (volume.ratio_low, volume.ratio_high);
        row(text, "change", &format::change_with_interval(Some(ratio), low.get(), high.get()));
    }
    if let Some(expected) = volume.expected.get() {
        row(text, "expected", &format::change(expected));
    }
    for (side, bursts) in [("baseline", volume.baseline_bursts), ("candidate", volume.candidate_bursts)] {
        if let Some(Bursts { peak_to_mean, dispersion }) = bursts {
            let dispersion =
                dispersion.get().map_or_else(|| format::MISSING.to_owned(), |d| format!("{d:.1}"));
            row(text, side, &format!("peak over mean {peak_to_mean:.2}, variance over mean {dispersion}"));
        }
    }
    row(text, "reason", &volume.reason);
}

fn requests(op: &OperationResult) -> String {
    format!("{} → {}", format::count(op.latency.n_baseline), format::count(op.latency.n_candidate))
}

/// The service that a finding is about.
fn service<'a>(report: &'a Report, finding: &Finding) -> Option<&'a ServiceResult> {
    let name = finding.service.as_ref()?;
    report.services.iter().find(|service| service.service == *name)
}

/// The operations that a finding is about: one per span kind.
fn operations<'a>(report: &'a Report, finding: &'a Finding) -> impl Iterator<Item = &'a OperationResult> {
    let all = service(report, finding).into_iter().flat_map(|service| &service.operations);
    all.filter(|op| finding.operation.as_ref().is_some_and(|name| **name == *op.operation))
}

fn evidence(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `  name        value`, broken under the value.
fn row(text: &mut String, name: &str, value: &str) {
    let head = format!("    {:<12} ", clip(&clean(name), 40));
    push_lines(text, wrap(&clean(value), WIDTH, &head, &" ".repeat(17)));
}

fn heading(text: &mut String, words: &str) {
    let _ = writeln!(text, "\n{words}");
}

fn prose(text: &mut String, indent: &str, words: &str) {
    push_lines(text, wrap(&clean(words), WIDTH, indent, indent));
}

fn push_lines(text: &mut String, lines: Vec<String>) {
    for line in lines {
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_single_changes() {
        for (a, b, expected) in
            [("", "", 0), ("abc", "abc", 0), ("abc", "abd", 1), ("", "ab", 2), ("kitten", "sitting", 3)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }
}
