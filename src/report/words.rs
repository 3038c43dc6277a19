//! Numbers as people read them; one way for every rendering.

use crate::judge::findings::duration;
use crate::judge::verdict::{Level, OperationResult, QuantileResult, Verdict};

/// A verdict with its sign, readable without colour.
pub fn verdict(verdict: Verdict) -> String {
    let sign = match verdict {
        Verdict::Parity => "✓",
        Verdict::Divergent => "✗",
        Verdict::Inconclusive => "?",
        Verdict::NoData => "–",
    };
    format!("{sign} {}", verdict.as_str().replace('_', " "))
}

/// A level with its sign.
pub fn level(level: Level) -> &'static str {
    match level {
        Level::Critical => "✗ critical",
        Level::Warning => "! warning",
        Level::Info => "· info",
    }
}

/// `12.3 ms → 15.1 ms  +23 % [+18, +29]`
pub fn quantile(at: &QuantileResult) -> String {
    let side = |value: Option<f64>| value.map_or("–".to_owned(), duration);
    let mut text = format!("{} → {}", side(at.baseline_s), side(at.candidate_s));
    if let Some(ratio) = at.ratio {
        let end =
            |ratio: Option<f64>| ratio.map_or("…".to_owned(), |r| format!("{:+.0}", (r - 1.0) * 100.0));
        text.push_str(&format!(
            "  {:+.0} % [{}, {}]",
            (ratio - 1.0) * 100.0,
            end(at.ratio_low),
            end(at.ratio_high)
        ));
    }
    text
}

/// The quantile `q` of an operation.
pub fn quantile_of(operation: &OperationResult, q: f64) -> String {
    operation.latency.quantiles.iter().find(|at| at.q == q).map_or("–".to_owned(), quantile)
}

/// `0.42 % → 3.10 %`
pub fn errors(operation: &OperationResult) -> String {
    let percent = |rate: Option<f64>| rate.map_or("–".to_owned(), |rate| format!("{:.2} %", rate * 100.0));
    format!("{} → {}", percent(operation.errors.baseline.rate), percent(operation.errors.candidate.rate))
}

/// Operations in order of interest: divergent, inconclusive, no data, parity; each by traffic.
pub fn by_interest<'a>(
    operations: impl Iterator<Item = (&'a str, &'a OperationResult)>,
) -> Vec<(&'a str, &'a OperationResult)> {
    let rank = |verdict: Verdict| match verdict {
        Verdict::Divergent => 0,
        Verdict::Inconclusive => 1,
        Verdict::NoData => 2,
        Verdict::Parity => 3,
    };
    let mut all: Vec<_> = operations.collect();
    all.sort_by(|(a_service, a), (b_service, b)| {
        let traffic = b.latency.n_baseline.cmp(&a.latency.n_baseline);
        let name = (a_service, &a.operation, &a.kind).cmp(&(b_service, &b.operation, &b.kind));
        rank(a.verdict).cmp(&rank(b.verdict)).then(traffic).then(name)
    });
    all
}
