//! Services, their operations, and one operation closely.

use super::chart::{self, Ratios, Sides};
use super::route::Links;
use super::rows::{Rows, Sort, table};
use super::{class, findings, name, score, section, sentence, verdict};
use crate::judge::curves::Curves;
use crate::judge::verdict::{OperationResult, QuantileResult, ServiceResult};
use crate::judge::{Report, Verdict};
use crate::report::format;
use crate::report::order::{self, Row};
use maud::{Markup, html};

const SERVICES_BYTES_MOST: usize = 1 << 20;
const OPERATIONS_BYTES_MOST: usize = 3 << 20;

/// Services, worst first.
pub(super) fn services(report: &Report, links: Links<'_>) -> Markup {
    if report.services.is_empty() {
        return html! {};
    }
    let mut services: Vec<&ServiceResult> = report.services.iter().collect();
    services.sort_by(|a, b| {
        let of = |s: &ServiceResult| (order::rank(s.verdict), std::cmp::Reverse(traffic(s)));
        of(a).cmp(&of(b)).then_with(|| a.service.cmp(&b.service))
    });
    let found = findings::by_service(report);
    let row = |service: &&ServiceResult| {
        service_row(service, found.get(&*service.service).copied().unwrap_or(0), links)
    };
    let rows = Rows::within(SERVICES_BYTES_MOST, services.iter().map(row));
    let columns = [
        ("verdict", Sort::Text),
        ("service", Sort::Text),
        ("score", Sort::Number),
        ("operations", Sort::Number),
        ("requests", Sort::Number),
        ("telemetry", Sort::Number),
        ("findings", Sort::Number),
    ];
    let body = html! {
        (table("services-table", "Services", "verdict", &columns, &rows.shown))
        (rows.note("services"))
    };
    section("services", "Services", &format::count(services.len() as u64), &body)
}

fn traffic(service: &ServiceResult) -> u64 {
    service.operations.iter().map(order::traffic).fold(0, u64::saturating_add)
}

fn service_row(service: &ServiceResult, found: usize, links: Links<'_>) -> Markup {
    let coverage = &service.coverage;
    let at_parity = service.operations.iter().filter(|o| o.verdict == Verdict::Parity).count();
    let all = service.operations.len();
    html! {
        tr data-verdict=(format::word(service.verdict)) {
            td { (verdict(service.verdict)) }
            th.name scope="row" {
                @match links.service(&service.service) {
                    Some(address) => a href=(address) { (name(&service.service)) },
                    None => (name(&service.service)),
                }
            }
            td.number data-v=(number(service.score)) { (score(service.score, service.verdict)) }
            td.number data-v=(all) { (at_parity) " of " (all) span.unit { " at parity" } }
            td.number data-v=(traffic(service)) { (format::count(traffic(service))) }
            td.number data-v=(number(coverage.ratio)) {
                @if coverage.expected == 0 { span.muted { (format::MISSING) } }
                @else { (coverage.present) " of " (coverage.expected) }
            }
            td.number data-v=(found) { @if found == 0 { span.muted { "0" } } @else { (found) } }
        }
    }
}

/// A number for the script to sort by.
pub(super) fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:.4}") } else { String::new() }
}

/// Operations, most important first.
pub(super) fn list(report: &Report, links: Links<'_>) -> Markup {
    let rows = order::operations(report);
    if rows.is_empty() {
        return html! {};
    }
    let shown = Rows::within(OPERATIONS_BYTES_MOST, rows.iter().map(|row| operation_row(row, links)));
    let columns = [
        ("verdict", Sort::Text),
        ("operation", Sort::Text),
        ("requests", Sort::Number),
        ("p50", Sort::Number),
        ("p95", Sort::Number),
        ("p95: half … same … double", Sort::No),
        ("errors", Sort::Number),
    ];
    let caption = format!(
        "Operations, {} to {}",
        name(&report.baseline.environment),
        name(&report.candidate.environment)
    );
    let body = html! {
        (table("operations-table", &caption, "verdict service kind", &columns, &shown.shown))
        (shown.note("operations"))
    };
    let scene = format!("{} → {}", name(&report.baseline.environment), name(&report.candidate.environment));
    section("operations", "Operations", &scene, &body)
}

fn operation_row(row: &Row<'_>, links: Links<'_>) -> Markup {
    let op = row.operation;
    let quantile = |q: f64| op.latency.quantiles.iter().find(|found| (found.q - q).abs() < 1e-9);
    let p95 = quantile(0.95);
    html! {
        tr data-verdict=(format::word(op.verdict)) data-service=(name(&row.service.service)) data-kind=(name(&op.kind)) {
            td { (verdict(op.verdict)) }
            th.name scope="row" {
                @if let Some(address) = links.operation(row.name()) { a href=(address) { (name(&op.operation)) } }
                @else if op.verdict == Verdict::Parity { (name(&op.operation)) }
                @else { details { summary { (name(&op.operation)) } (reasons(op)) } }
                span.under { (name(&row.service.service)) " · " (name(&op.kind)) }
            }
            td.number data-v=(order::traffic(op)) {
                (format::count(op.latency.n_baseline)) " → " (format::count(op.latency.n_candidate))
            }
            (quantile_cell(quantile(0.5)))
            (quantile_cell(p95))
            td { @if let Some(p95) = p95 { (Ratios::TABLE.picture(p95, None, 120.0)) } }
            td.number data-v=(number(op.errors.delta.get().unwrap_or(0.0))) {
                (format::shares(op.errors.baseline.rate.get(), op.errors.candidate.rate.get()))
                @if op.errors.delta.get().is_some() {
                    span.under { (format::points_interval(op.errors.delta_low.get(), op.errors.delta_high.get())) " pp" }
                }
            }
        }
    }
}

fn quantile_cell(quantile: Option<&QuantileResult>) -> Markup {
    html! {
        td.number data-v=(number(quantile.and_then(|q| q.ratio.get()).unwrap_or(0.0))) {
            @match quantile {
                None => span.muted { (format::MISSING) },
                Some(q) => {
                    (format::durations(q.baseline_s.get(), q.candidate_s.get()))
                    @if q.ratio.get().is_some() {
                        span.under { (format::change_with_interval(q.ratio.get(), q.ratio_low.get(), q.ratio_high.get())) }
                    }
                }
            }
        }
    }
}

/// Why an operation has its verdict, aspect by aspect.
fn reasons(op: &OperationResult) -> Markup {
    let needs = op.latency.needs.map(|needs| {
        let time = needs.minutes.get().map_or(String::new(), |m| format!(", in {}", format::minutes(m)));
        format!("About {} requests a side would decide{time}.", format::count(needs.n))
    });
    let aspects = [
        ("latency", op.latency.verdict, &op.latency.reason),
        ("errors", op.errors.verdict, &op.errors.reason),
        ("volume", op.volume.verdict, &op.volume.reason),
    ];
    html! {
        ul.reasons {
            @for (aspect, of, reason) in aspects {
                @if !reason.is_empty() && (of != Verdict::NoData || aspect == "latency") {
                    li { (verdict(of)) " " b { (aspect) } ": " (sentence(reason)) }
                }
            }
            @if let Some(needs) = needs { li { (needs) } }
            @if let Some(words) = &op.latency.resolution { li { (sentence(words)) } }
        }
    }
}

/// One operation with its two distributions.
pub(super) fn closely(report: &Report, curves: &Curves) -> Markup {
    let found = report.operation(curves.name());
    let sides = Sides { baseline: &report.baseline.environment, candidate: &report.candidate.environment };
    html! {
        @if let Some((service, op)) = found {
            p.outcome.small { (verdict(op.verdict)) " " (name(&service.service)) " · " (name(&op.kind)) }
            (reasons(op))
        }
        @if let Some(picture) = chart::distributions("distributions", curves, sides) { (picture) }
        @if let Some((_, op)) = found { (percentiles(op, curves, sides)) (tests(op)) }
    }
}

/// The quantiles with their intervals, in numbers and as a picture.
fn percentiles(op: &OperationResult, curves: &Curves, sides: Sides<'_>) -> Markup {
    let quantiles = &op.latency.quantiles;
    if quantiles.is_empty() {
        return html! {};
    }
    let axis = Ratios::over(quantiles);
    let picture = format!("change: {}", axis.scale());
    let (baseline, candidate) = (name(sides.baseline), name(sides.candidate));
    let columns = [
        ("quantile", Sort::No),
        (&*baseline, Sort::NoNumber),
        (&*candidate, Sort::NoNumber),
        ("change with interval", Sort::NoNumber),
        ("tolerance", Sort::NoNumber),
        (&*picture, Sort::No),
    ];
    let seconds = |s: Option<f64>| s.map_or_else(|| format::MISSING.to_owned(), format::duration);
    let rows = html! {
        @for quantile in quantiles {
            @let tolerance = curves.tolerances.iter().find(|(q, _)| *q == quantile.q).map(|(_, t)| *t);
            tr {
                th scope="row" { (format::quantile(quantile.q)) }
                td.number { (seconds(quantile.baseline_s.get())) }
                td.number { (seconds(quantile.candidate_s.get())) }
                td.number { (format::change_with_interval(quantile.ratio.get(), quantile.ratio_low.get(), quantile.ratio_high.get())) }
                td.number { (tolerance.map_or_else(|| format::MISSING.to_owned(), format::tolerance)) }
                td { (axis.picture(quantile, tolerance, 220.0)) }
            }
        }
    };
    html! {
        h3 { "Percentiles" }
        (table("percentiles", "Percentiles of durations with the intervals of their change", "", &columns, &rows))
    }
}

/// What the tests over the whole distribution and over errors say.
fn tests(op: &OperationResult) -> Markup {
    let (latency, errors) = (&op.latency, &op.errors);
    html! {
        dl.scene {
            div {
                dt { "requests" }
                dd { (format::count(latency.n_baseline)) " → " (format::count(latency.n_candidate)) " from " (latency.source.as_str()) }
            }
            @if let Some(ks) = latency.ks {
                div {
                    dt { "Kolmogorov-Smirnov" }
                    dd { "D = " (format!("{:.3}", ks.d)) ", adjusted p " (p_value(ks.p_adjusted)) }
                }
            }
            @if let Some(sequential) = latency.sequential {
                div {
                    dt { "over all looks" }
                    dd { "p " (p_value(sequential.p_value)) " in " (format::counted(sequential.windows, "window")) }
                }
            }
            @if let Some(clusters) = latency.clusters {
                div {
                    dt { "instances" }
                    dd { (clusters.baseline) " → " (clusters.candidate) }
                }
            }
            div class=(class(errors.verdict)) {
                dt { "errors" }
                dd {
                    (format::shares(errors.baseline.rate.get(), errors.candidate.rate.get()))
                    @if errors.delta.get().is_some() {
                        ", " (format::points_with_interval(errors.delta.get(), errors.delta_low.get(), errors.delta_high.get()))
                    }
                }
            }
        }
    }
}

/// `= 0.012`, `< 0.001`.
fn p_value(p: f64) -> String {
    let text = format::p_value(p);
    if text.starts_with('<') { text } else { format!("= {text}") }
}
