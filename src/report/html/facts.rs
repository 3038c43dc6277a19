//! What resources say of each service on both sides, beside each other.

use super::rows::{Rows, Sort, table};
use super::{name, section};
use crate::judge::Report;
use crate::judge::verdict::{Fact, ServiceResult};
use crate::report::table::fact_rule;
use maud::{Markup, html};

const BYTES_MOST: usize = 1 << 20;

/// All facts: broken rules first, then what differs, then what is the same.
pub(super) fn table_of(report: &Report) -> Markup {
    let mut facts: Vec<(&ServiceResult, &Fact)> = report
        .services
        .iter()
        .flat_map(|service| service.facts.iter().map(move |fact| (service, fact)))
        .collect();
    if facts.is_empty() {
        return html! {};
    }
    facts.sort_by_key(|(_, fact)| (!fact.broken || fact.accepted, fact.equal));
    let differing = facts.iter().filter(|(_, fact)| fact.broken || !fact.equal).count();
    let rows = Rows::within(BYTES_MOST, facts.iter().map(row));
    let (baseline, candidate) = (name(&report.baseline.environment), name(&report.candidate.environment));
    let columns =
        [("state", Sort::Text), ("fact", Sort::Text), (&*baseline, Sort::Text), (&*candidate, Sort::Text)];
    let body = html! {
        (table("facts-table", "Facts that resources state", "state service group", &columns, &rows.shown))
        (rows.note("facts"))
    };
    section("facts", "Facts", &format!("{differing} of {} differ", facts.len()), &body)
}

fn row((service, fact): &(&ServiceResult, &Fact)) -> Markup {
    let (state, class) = match (fact.broken, fact.accepted, fact.equal) {
        (true, false, _) => ("rule broken", "divergent"),
        (true, true, _) => ("accepted", "no-data"),
        (false, _, false) => ("differs", "no-data"),
        (false, _, true) => ("same", "parity"),
    };
    let group = fact.group.map_or("other", |group| group.as_str());
    html! {
        tr data-state=(state) data-service=(name(&service.service)) data-group=(group) {
            td { span class={ "word " (class) } { (state) } @if fact.broken { span.under { (fact_rule(fact).trim()) } } }
            th.name scope="row" { (name(&fact.key)) span.under { (name(&service.service)) } }
            (value(fact.baseline.as_deref()))
            (value(fact.candidate.as_deref()))
        }
    }
}

fn value(value: Option<&str>) -> Markup {
    html! {
        td.name { @match value { Some(value) => (name(value)), None => span.muted { "absent" } } }
    }
}
