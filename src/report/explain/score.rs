//! The score's formula with the numbers of one report in it.

use super::{prose, push_lines};
use crate::judge::{Report, Verdict};
use crate::report::format;
use crate::report::order::{self, Row};
use crate::report::table::coverage_totals;
use crate::report::text::{clean, wrap};
use std::fmt::Write as _;

/// Lines of the sum that are printed one by one.
const TERMS_SHOWN: usize = 20;
/// The most that a score can be while an operation that is declared critical diverges.
const CAP: f64 = 49.0;
/// How far the printed sum may be from the report's score before the text speaks of it.
const ACCURACY: f64 = 0.5;

/// The parts of the score's formula, from the numbers in a report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreParts {
    /// Σ v·√n over the operations with data, each of criticality 1.
    pub weighted: f64,
    /// Σ √n over the same.
    pub weights: f64,
    /// Σ v over the metrics that decide and have data.
    pub values: f64,
    /// How many these are.
    pub values_n: usize,
    /// What each of them weighs: the average of the operations' √n, or 1 without operations.
    pub value_weight: f64,
    /// Items present over items expected; 1 when nothing is expected.
    pub coverage: f64,
    /// Whether an operation that is declared critical diverges, and caps the score.
    pub capped: bool,
}

impl ScoreParts {
    /// From the operations, coverage and findings of a report.
    pub fn of(report: &Report) -> ScoreParts {
        let terms: Vec<(f64, f64)> = order::operations(report).iter().filter_map(term).collect();
        let (weighted, weights) = terms
            .iter()
            .fold((0.0, 0.0), |(weighted, weights), (v, root)| (weighted + v * root, weights + root));
        let value_weight = if weights > 0.0 { weights / terms.len() as f64 } else { 1.0 };
        let deciding =
            report.services.iter().flat_map(|service| &service.values).filter(|value| value.decides);
        let values: Vec<f64> = deciding.filter_map(|value| worth(value.counted())).collect();
        let (present, expected) = counted_totals(report);
        let coverage = if expected == 0 { 1.0 } else { present as f64 / expected as f64 };
        let parts = ScoreParts {
            weighted,
            weights,
            values: values.iter().sum(),
            values_n: values.len(),
            value_weight,
            coverage,
            capped: false,
        };
        // Which operations are declared critical is not in the report; that the cap holds shows in the score.
        let beyond = parts.score().is_some_and(|score| score > CAP + ACCURACY);
        ScoreParts { capped: beyond && (report.score - CAP).abs() < 0.05, ..parts }
    }

    /// Σ v·w and Σ w over operations and metrics.
    pub fn sums(&self) -> (f64, f64) {
        let each = self.value_weight;
        (self.weighted + self.values * each, self.weights + self.values_n as f64 * each)
    }

    /// Whether more than these parts make up the report's score.
    pub fn is_not_all(&self, score: f64, report: &Report) -> bool {
        (score - report.score).abs() > ACCURACY
    }

    /// 0 to 100; `None` when nothing has data.
    pub fn score(&self) -> Option<f64> {
        let (weighted, weights) = self.sums();
        if weights <= 0.0 {
            return None;
        }
        let score = 100.0 * weighted / weights * self.coverage;
        Some(if self.capped { score.min(CAP) } else { score })
    }
}

/// Items that are there or whose absence is accepted, and items expected.
pub fn counted_totals(report: &Report) -> (u64, u64) {
    let (present, expected) = coverage_totals(report);
    (present + report.services.iter().map(|service| service.coverage.accepted).sum::<u64>(), expected)
}

/// v and √n of one operation, n being the requests of the side that has more; `None` without data.
pub fn term(row: &Row<'_>) -> Option<(f64, f64)> {
    let v = worth(row.operation.verdict)?;
    let latency = &row.operation.latency;
    Some((v, (latency.n_baseline.max(latency.n_candidate) as f64).sqrt()))
}

/// v: what a verdict is worth; `None` without data.
fn worth(verdict: Verdict) -> Option<f64> {
    match verdict {
        Verdict::Parity => Some(1.0),
        Verdict::Inconclusive => Some(0.5),
        Verdict::Divergent => Some(0.0),
        Verdict::NoData => None,
    }
}

pub(super) fn explain(text: &mut String, report: &Report) {
    prose(text, "  ", "score = 100 · Σ v·c·√n / Σ c·√n · coverage, over what has data;");
    prose(
        text,
        "  ",
        "v is 1 for parity, ½ for inconclusive, 0 for divergent; n is the requests of the side that has more; c is the \
         weight, 1 unless configured; a metric that decides weighs as much as an operation does on average; while an operation that is declared critical diverges the score is 49 at most.",
    );
    let parts = ScoreParts::of(report);
    let Some(score) = parts.score() else {
        prose(text, "  ", "Nothing that decides has data, so there is nothing to weigh.");
        return;
    };
    text.push('\n');
    terms(text, report, parts.sums().1);
    let (weighted, weights) = parts.sums();
    if parts.values_n > 0 {
        let _ = writeln!(
            text,
            "    metrics that decide   Σ v = {} of {}, each with a weight of {:.1}",
            parts.values, parts.values_n, parts.value_weight
        );
    }
    let quotient = 100.0 * weighted / weights;
    let _ = writeln!(text, "\n  100 · Σ v·√n / Σ √n   = 100 · {weighted:.1} / {weights:.1} = {quotient:.1}");
    let (present, expected) = counted_totals(report);
    let covered = quotient * parts.coverage;
    if expected > 0 {
        let _ =
            writeln!(text, "  times coverage        = {quotient:.1} · {present} / {expected} = {covered:.1}");
    }
    if parts.capped {
        let _ = writeln!(
            text,
            "  capped at 49          = {:.1}  (an operation or a fact that is declared critical diverges)",
            covered.min(CAP)
        );
    }
    if parts.is_not_all(score, report) {
        let words = format!(
            "The report's score is {:.1}: weights or waivers that the report does not hold take part in it.",
            report.score
        );
        prose(text, "  ", &words);
    } else {
        let _ = writeln!(text, "  score                 = {}", format::score(report.score));
    }
}

fn terms(text: &mut String, report: &Report, weights: f64) {
    let rows = order::operations(report);
    let with_data: Vec<_> = rows.iter().filter_map(|row| Some((row, term(row)?))).collect();
    let _ = writeln!(text, "    v       √n   weight  operation");
    for (row, (v, root)) in with_data.iter().take(TERMS_SHOWN) {
        let v = if *v == 0.5 { "½".to_owned() } else { format!("{v:.0}") };
        let head = format!("    {v}  {root:>7.1}  {:>6}  ", format::share(root / weights));
        let op = row.operation;
        let name =
            format!("{} {} {} ({})", format::symbol(op.verdict), row.service.service, op.operation, op.kind);
        push_lines(text, wrap(&clean(&name), super::WIDTH, &head, &" ".repeat(26)));
    }
    if with_data.len() > TERMS_SHOWN {
        let rest = with_data.iter().skip(TERMS_SHOWN);
        let sum: f64 = rest.map(|(_, (_, root))| root).sum();
        let _ = writeln!(
            text,
            "       {sum:>7.1}  {:>6}  and {} more operations",
            format::share(sum / weights),
            with_data.len() - TERMS_SHOWN
        );
    }
}
