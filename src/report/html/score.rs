//! How the score comes about: the formula with the report's numbers in it.

use super::rows::{Rows, Sort, table};
use super::{name, section, verdict};
use crate::judge::Report;
use crate::report::explain::score::{ScoreParts, counted_totals, term};
use crate::report::{format, order};
use maud::{Markup, html};

/// Terms of the sum that are written one by one.
const TERMS_MOST: usize = 50;
const BYTES_MOST: usize = 256 << 10;

/// The formula, its terms and its result.
pub(super) fn formula(report: &Report) -> Markup {
    let parts = ScoreParts::of(report);
    let Some(score) = parts.score() else { return html! {} };
    let (weighted, weights) = parts.sums();
    let quotient = 100.0 * weighted / weights;
    let (present, expected) = counted_totals(report);
    let covered = quotient * parts.coverage;
    let body = html! {
        p { "score = 100 · Σ v·c·√n / Σ c·√n · coverage, over what has data. v is 1 for parity, ½ for inconclusive, 0 for "
            "divergent; n is the requests of the side that has more; c is the weight, 1 unless configured; a metric that "
            "decides weighs as much as an operation does on average." }
        dl.sums {
            div { dt { "100 · Σ v·√n / Σ √n" } dd { "100 · " (one(weighted)) " / " (one(weights)) " = " b { (one(quotient)) } } }
            @if parts.values_n > 0 {
                div { dt { "of these metrics that decide" } dd { "Σ v = " (parts.values) " of " (parts.values_n) ", each with a weight of " (one(parts.value_weight)) } }
            }
            @if expected > 0 {
                div { dt { "times coverage" } dd { (one(quotient)) " · " (format::count(present)) " / " (format::count(expected)) " = " b { (one(covered)) } } }
            }
            @if parts.capped {
                div { dt { "capped at 49" } dd { "an operation or a fact that is declared critical diverges" } }
            }
            div { dt { "score" } dd { b { (format::score(report.score)) } } }
        }
        @if parts.is_not_all(score, report) {
            p.note { "The report's score is " (one(report.score)) ": weights or waivers that the report does not hold take part in it." }
        }
        (terms(report, weights))
    };
    section("score", "How the score comes about", "", &body)
}

fn one(value: f64) -> String {
    if value.is_finite() { format!("{value:.1}") } else { "?".to_owned() }
}

fn terms(report: &Report, weights: f64) -> Markup {
    let rows = order::operations(report);
    let with_data: Vec<_> = rows.iter().filter_map(|row| Some((row, term(row)?))).collect();
    if with_data.is_empty() {
        return html! {};
    }
    let row = |(row, (v, root)): &(&order::Row<'_>, (f64, f64))| {
        html! {
            tr {
                td { (verdict(row.operation.verdict)) }
                th.name scope="row" { (name(&row.operation.operation)) span.under { (name(&row.service.service)) " · " (name(&row.operation.kind)) } }
                td.number { (v) }
                td.number { (one(*root)) }
                td.number { (format::share(root / weights)) }
            }
        }
    };
    let shown = Rows::within(BYTES_MOST, with_data.iter().take(TERMS_MOST).map(row));
    let hidden = with_data.len().saturating_sub(TERMS_MOST) + shown.left_out;
    let columns = [
        ("verdict", Sort::No),
        ("operation", Sort::No),
        ("v", Sort::NoNumber),
        ("√n", Sort::NoNumber),
        ("weight", Sort::NoNumber),
    ];
    html! {
        details {
            summary { "The terms, operation by operation" }
            (table("score-table", "Terms of the score", "", &columns, &shown.shown))
            @if hidden > 0 { p.note { "and " (format::count(hidden as u64)) " more operations" } }
        }
    }
}
