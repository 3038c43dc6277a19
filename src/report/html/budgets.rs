//! What is left of error budgets, the most pressing first.

use super::rows::{Rows, Sort, table};
use super::{format, name, section};
use crate::judge::Report;
use crate::judge::slo::{Severity, SloResult};
use crate::report::span;
use maud::{Markup, html};

const BYTES_MOST: usize = 1 << 20;

/// All budgets; nothing where there are no objectives.
pub(super) fn table_of(report: &Report) -> Markup {
    let mut budgets: Vec<&SloResult> = report.slos.iter().collect();
    if budgets.is_empty() {
        return html! {};
    }
    budgets.sort_by(|a, b| {
        let left = |slo: &SloResult| slo.remaining.unwrap_or(1.0);
        b.burning.cmp(&a.burning).then(left(a).total_cmp(&left(b)))
    });
    let burning = budgets.iter().filter(|slo| slo.burning.is_some()).count();
    let rows = Rows::within(BYTES_MOST, budgets.into_iter().map(row));
    let columns = [
        ("state", Sort::Text),
        ("objective", Sort::Text),
        ("target", Sort::Number),
        ("left", Sort::Number),
        ("divergent looks", Sort::Number),
        ("times as fast as allowed", Sort::No),
    ];
    let body = html! {
        (table("budgets-table", "Error budgets", "state", &columns, &rows.shown))
        (rows.note("budgets"))
    };
    section("budgets", "Error budgets", &format!("{burning} spent too fast"), &body)
}

fn row(slo: &SloResult) -> Markup {
    let (state, class) = match (slo.burning, slo.remaining) {
        (Some(Severity::Page), _) => ("page", "divergent"),
        (Some(Severity::Ticket), _) => ("ticket", "inconclusive"),
        (None, Some(left)) if left < 0.0 => ("overspent", "inconclusive"),
        (None, Some(_)) => ("kept", "parity"),
        (None, None) => ("too few looks", "no-data"),
    };
    let about = [slo.service.as_deref(), slo.aspect.map(|aspect| aspect.as_str())];
    let about: Vec<&str> = about.into_iter().flatten().collect();
    let burn = slo.burn.iter().map(|burn| match burn.rate {
        Some(rate) => format!("{}: {rate:.1}", span(burn.window_s)),
        None => format!("{}: {}", span(burn.window_s), format::MISSING),
    });
    html! {
        tr data-state=(state) {
            td { span class={ "word " (class) } { (state) } }
            th.name scope="row" {
                (name(&slo.slo))
                @if !about.is_empty() { span.under { (name(&about.join(", "))) } }
            }
            td.number data-v=(slo.target) { (percent(slo.target)) }
            td.number data-v=(slo.remaining.unwrap_or(1.0)) {
                @match slo.remaining { Some(left) => (percent(left)), None => (format::MISSING) }
            }
            td.number data-v=(slo.bad) { (slo.bad) " of " (slo.good + slo.bad) }
            td.name { (burn.collect::<Vec<_>>().join(", ")) }
        }
    }
}

/// As many digits as it takes: 99.9 % and −12 %.
fn percent(share: f64) -> String {
    let rounded = (share * 1e5).round() / 1e3;
    format!("{rounded} %")
}
