//! Telemetry that is missing, additional or of another form; metrics, dependencies and broken traces.

use super::rows::{Rows, Sort, table};
use super::{name, section, sentence, verdict};
use crate::judge::Report;
use crate::report::format;
use crate::report::table::{broken_traces, coverage_totals, dependencies_not_at_parity, dependency_line};
use crate::report::values;
use maud::{Markup, html};

const BYTES_MOST: usize = 1 << 20;

/// What is missing, what is additional, what has another form.
pub(super) fn coverage(report: &Report) -> Markup {
    let (present, expected) = coverage_totals(report);
    let items = report.services.iter().flat_map(|service| {
        let coverage = &service.coverage;
        let of = |words: &'static str, items: &'static str| (words, items);
        let lists = [
            (of("missing", "divergent"), &coverage.missing),
            (of("stopped", "inconclusive"), &coverage.stale),
            (of("other form", "inconclusive"), &coverage.shape),
            (of("only in the candidate", "no-data"), &coverage.extra),
        ];
        lists.into_iter().flat_map(move |((words, class), items)| {
            items.iter().map(move |item| (&service.service, words, class, item))
        })
    });
    let row = |(service, words, class, item): (&String, &str, &str, &String)| {
        html! {
            tr data-difference=(words) data-service=(name(service)) {
                td { span class={ "word " (class) } { (words) } }
                td.name { (name(service)) }
                td.name { (sentence(item)) }
            }
        }
    };
    let rows = Rows::within(BYTES_MOST, items.map(row));
    if expected == 0 && rows.shown.0.is_empty() {
        return html! {};
    }
    let columns = [("difference", Sort::Text), ("service", Sort::Text), ("item", Sort::Text)];
    let body = html! {
        @if rows.shown.0.is_empty() { p { "Nothing is missing, and nothing has another form." } }
        @else {
            (table("coverage-table", "Differences in telemetry", "difference service", &columns, &rows.shown))
            (rows.note("items"))
        }
    };
    let detail = format!("{} of {} expected items", format::count(present), format::count(expected));
    section("coverage", "Coverage", &detail, &body)
}

/// The metrics that are not at parity.
pub(super) fn metrics(report: &Report) -> Markup {
    let Some(counts) = values::counts(report) else { return html! {} };
    let notable = values::notable(report);
    let row = |(service, value): &values::ValueRow<'_>| {
        html! {
            tr data-verdict=(format::word(value.verdict)) data-service=(name(&service.service)) {
                td { (verdict(value.verdict)) @if !value.decides { span.under { "evidence" } } }
                th.name scope="row" { (name(&value.metric)) span.under { (name(&service.service)) " · " (name(&value.statistic)) } }
                td.number { (sentence(&values::numbers(value))) }
                td { (sentence(&value.reason)) }
            }
        }
    };
    let rows = Rows::within(BYTES_MOST, notable.iter().map(row));
    let columns = [("verdict", Sort::Text), ("metric", Sort::Text), ("values", Sort::No), ("why", Sort::No)];
    let body = html! {
        @if notable.is_empty() { p { "None is shown to differ." } }
        @else { (table("metrics-table", "Metrics", "verdict service", &columns, &rows.shown)) (rows.note("metrics")) }
    };
    section("metrics", "Metrics", &counts, &body)
}

/// Dependencies that are not shown to be at parity.
pub(super) fn dependencies(report: &Report) -> Markup {
    let all: usize = report.services.iter().map(|service| service.dependencies.len()).sum();
    if all == 0 {
        return html! {};
    }
    let row = |(service, dependency): (
        &crate::judge::verdict::ServiceResult,
        &crate::judge::verdict::DependencyResult,
    )| {
        html! {
            li { (verdict(dependency.verdict)) " " (sentence(&dependency_line(&service.service, dependency))) }
        }
    };
    let open = dependencies_not_at_parity(report).count();
    let rows = Rows::within(BYTES_MOST, dependencies_not_at_parity(report).map(row));
    let body = html! {
        @if open == 0 { p { "All are shown to be at parity." } }
        @else { ul.plain { (rows.shown) } (rows.note("dependencies")) }
    };
    section("dependencies", "Dependencies", &format!("{open} of {all} not shown to be at parity"), &body)
}

/// Services with spans whose parent never came.
pub(super) fn traces(report: &Report) -> Markup {
    let broken = broken_traces(report);
    if broken.is_empty() {
        return html! {};
    }
    let rows = Rows::within(BYTES_MOST, broken.iter().map(|line| html! { li { (sentence(line)) } }));
    let body = html! { ul.plain { (rows.shown) } (rows.note("services")) };
    section("traces", "Traces", "spans whose parent never came", &body)
}
