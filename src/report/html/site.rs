//! The pages that the agent serves, each from what it shows.

use super::chart::sparkline;
use super::route::{self, Links};
use super::{
    budgets, class, document, facts, findings, format, matrix, name, operations, score, section, sentence,
    sessions,
};
use super::{summary, telemetry, verdict};
use crate::judge::curves::{Curves, OperationName};
use crate::judge::slo::SloResult;
use crate::judge::verdict::{Finding, OperationResult};
use crate::judge::{Release, Report, Verdict};
use crate::report::history::{History, Look, Period};
use crate::report::{Matrix, explain, order};
use maud::{Markup, html};
use serde::Serialize;
use std::sync::Arc;

/// What the pages show of one comparison.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The latest report.
    pub report: Arc<Report>,
    /// The distributions of the operation that diverges most clearly.
    pub worst: Option<Arc<Curves>>,
    /// What it came to so far.
    pub history: Arc<History>,
}

/// `isotel.verdict/v1` is one comparison; this is one line about each.
#[derive(Serialize)]
struct Line<'a> {
    comparison: &'a str,
    baseline: &'a str,
    candidate: &'a str,
    verdict: Verdict,
    score: f64,
    since: Option<&'a str>,
    generated_at: &'a str,
    summary: &'a str,
    looks: Vec<&'a Look>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    slos: &'a [SloResult],
}

/// An operation as JSON, with what is drawn of it.
#[derive(Serialize)]
struct OperationJson<'a> {
    comparison: &'a str,
    service: &'a str,
    result: &'a OperationResult,
    curves: Option<&'a Curves>,
}

/// All comparisons as JSON.
pub fn comparisons_json(shown: &[Arc<Shown>]) -> String {
    let line = |shown: &'_ Arc<Shown>| -> serde_json::Value {
        let report = &shown.report;
        serde_json::json!(Line {
            comparison: &report.comparison,
            baseline: &report.baseline.environment,
            candidate: &report.candidate.environment,
            verdict: report.verdict,
            score: report.score,
            since: shown.history.since(),
            generated_at: &report.generated_at,
            summary: &report.summary,
            looks: shown.history.looks().collect(),
            slos: &report.slos,
        })
    };
    crate::report::json::pretty(&shown.iter().map(line).collect::<Vec<_>>())
}

/// One operation as JSON; `None` when the report has no such operation.
pub fn operation_json(report: &Report, of: OperationName<'_>, curves: Option<&Curves>) -> Option<String> {
    let (service, result) = report.operation(of)?;
    let (comparison, service) = (&*report.comparison, &*service.service);
    Some(crate::report::json::pretty(&OperationJson { comparison, service, result, curves }))
}

/// What has changed since the last look, for listeners: one line of JSON.
pub fn event(shown: &[Arc<Shown>]) -> String {
    let line = |shown: &Arc<Shown>| {
        let report = &shown.report;
        serde_json::json!({
            "comparison": report.comparison, "verdict": report.verdict, "score": report.score,
            "generated_at": report.generated_at,
        })
    };
    serde_json::Value::Array(shown.iter().map(line).collect()).to_string()
}

/// A period of a history as JSON.
pub fn history_json(period: &Period) -> String {
    crate::report::json::pretty(period)
}

/// All comparisons at a glance; `elsewhere`: another agent makes them.
pub fn index(shown: &[Arc<Shown>], releases: &[Arc<Release>], elsewhere: bool) -> String {
    let mut by_concern: Vec<&Arc<Shown>> = shown.iter().collect();
    by_concern.sort_by_key(|one| (order::rank(one.report.verdict), one.report.comparison.clone()));
    let main = html! {
        header.headline { h1 { "Comparisons" } }
        @if elsewhere {
            p.lead { "Nothing is judged here. This agent is a first tier: it hands its windows over to the agent behind "
                code { "parity.exporters" } ", whose page shows what they come to." }
        } @else if shown.is_empty() {
            p.lead { "Nothing has been judged yet. A window is judged when it has ended in every environment that sends; "
                "this page shows it then." }
        }
        @for one in by_concern { (glance(one)) }
        (sessions::glances(releases))
    };
    document::served("Comparisons", &[], &main)
}

fn glance(shown: &Shown) -> Markup {
    let report = &shown.report;
    html! {
        article.glance class=(class(report.verdict)) {
            h2 { a href=(route::of_comparison(&report.comparison)) { (name(&report.comparison)) }
                " " span.detail { (name(&report.candidate.environment)) " against " (name(&report.baseline.environment)) } }
            p.outcome.small { (verdict(report.verdict)) (since(shown)) (of_100(report)) }
            p { (sentence(&report.summary)) }
            (looks(shown))
            nav.depths aria-label={ "More of " (name(&report.comparison)) } {
                a href={ (route::of_comparison(&report.comparison)) "#findings" } { "findings" }
                a href=(route::of_history(&report.comparison)) { "history" }
                a href={ (route::of_comparison(&report.comparison)) "#score" } { "how the score comes about" }
            }
        }
    }
}

fn of_100(report: &Report) -> Markup {
    html! {
        @if report.verdict != Verdict::NoData {
            span.of-100 { "score " b { (format::score(report.score)) } " of 100" }
        }
    }
}

fn since(shown: &Shown) -> Markup {
    html! {
        @if let Some(since) = shown.history.since() {
            span.muted { "since " time datetime=(since) { (format::instant(since)) } }
        }
    }
}

/// The score over the looks so far.
fn looks(shown: &Shown) -> Markup {
    let looks: Vec<&Look> = shown.history.looks().collect();
    let (Some(first), Some(_), true) = (looks.first(), looks.last(), looks.len() > 1) else {
        return html! {};
    };
    let scores = || looks.iter().filter(|look| look.verdict != Verdict::NoData).map(|look| look.score);
    let (least, most) = scores().fold((f64::MAX, f64::MIN), |(l, m), score| (l.min(score), m.max(score)));
    html! {
        figure.looks {
            (sparkline(&looks))
            figcaption {
                (format::counted(looks.len() as u64, "look")) " since " (format::instant(&first.at))
                @if least <= most { ", score " (format::score(least)) " to " (format::score(most)) }
            }
        }
    }
}

/// One comparison with all that leads to its verdict.
pub fn comparison(shown: &Shown) -> String {
    let report = &shown.report;
    let links = Links::Site(&report.comparison);
    let worst = shown.worst.as_deref().map(|curves| {
        let body = operations::closely(report, curves);
        section("worst", "Most divergent operation", &name(&curves.title()), &body)
    });
    let main = html! {
        (summary::headline(report))
        p.outcome.small { (since(shown)) }
        (looks(shown))
        (summary::aspects(report))
        (section("story", "In words", "", &summary::story(report)))
        (findings::list(&report.findings, links))
        (budgets::table_of(report))
        (worst.unwrap_or_default())
        (operations::services(report, links))
        (operations::list(report, links))
        (telemetry::metrics(report))
        (telemetry::dependencies(report))
        (telemetry::traces(report))
        (telemetry::coverage(report))
        (score::formula(report))
        footer {
            (depths(report))
            (summary::input(report))
            p { "The same as JSON: " a href=(route::of_api(&report.comparison, "verdict")) { "isotel.verdict/v1" } }
        }
    };
    of_comparison(report, "", &main)
}

/// One service: its operations, findings, telemetry and facts. `None` of a service that the report does not have.
pub fn service(report: &Report, service: &str) -> Option<String> {
    let found = report.service(service)?;
    let links = Links::Site(&report.comparison);
    // The same parts as of the whole, of a report that has this service only.
    let findings: Vec<Finding> =
        report.findings.iter().filter(|f| f.service.as_deref() == Some(service)).cloned().collect();
    let alone = Report { services: vec![found.clone()], findings, ..without_services(report) };
    let main = html! {
        header.headline class=(class(found.verdict)) {
            h1 { (name(service)) }
            p.outcome { (verdict(found.verdict)) @if found.verdict != Verdict::NoData { span.of-100 { "score " b { (format::score(found.score)) } " of 100" } } }
        }
        (findings::list(&alone.findings, links))
        (operations::list(&alone, links))
        (telemetry::metrics(&alone))
        (telemetry::dependencies(&alone))
        (telemetry::traces(&alone))
        (telemetry::coverage(&alone))
        (facts::table_of(&alone))
    };
    Some(of_comparison(report, &name(service), &main))
}

fn without_services(report: &Report) -> Report {
    Report {
        schema: report.schema.clone(),
        generated_at: report.generated_at.clone(),
        comparison: report.comparison.clone(),
        baseline: report.baseline.clone(),
        candidate: report.candidate.clone(),
        period: report.period.clone(),
        verdict: report.verdict,
        score: report.score,
        summary: report.summary.clone(),
        aspects: report.aspects.clone(),
        services: Vec::new(),
        findings: Vec::new(),
        limits_hit: Vec::new(),
        input: report.input.clone(),
        calibration: report.calibration,
        facts: report.facts.clone(),
        arrival: report.arrival,
        owner: report.owner.clone(),
        slos: report.slos.clone(),
    }
}

/// One operation with its two distributions; without curves when its windows are gone. `None` of one that the report does
/// not have.
pub fn operation(report: &Report, of: OperationName<'_>, curves: Option<&Curves>) -> Option<String> {
    let (_, found) = report.operation(of)?;
    let links = Links::Site(&report.comparison);
    let none = Curves {
        service: of.service.to_owned(),
        operation: of.operation.to_owned(),
        kind: of.kind.to_owned(),
        baseline: Vec::new(),
        candidate: Vec::new(),
        tolerances: Vec::new(),
        d: None,
    };
    let is_it = |finding: &&Finding| {
        finding.service.as_deref() == Some(of.service) && finding.operation.as_deref() == Some(of.operation)
    };
    let findings: Vec<Finding> = report.findings.iter().filter(is_it).cloned().collect();
    let main = html! {
        header.headline class=(class(found.verdict)) { h1 { (name(of.operation)) } }
        (section("closely", "Distributions", "", &operations::closely(report, curves.unwrap_or(&none))))
        (findings::list(&findings, links))
    };
    Some(of_comparison(report, &format!("{} {}", name(of.service), name(of.operation)), &main))
}

/// The presence matrix of a comparison.
pub fn matrix(report: &Report, matrix: &Matrix) -> String {
    let main = html! {
        header.headline { h1 { "Telemetry of " (name(&report.comparison)) } }
        (matrix::grid(matrix))
    };
    of_comparison(report, "telemetry", &main)
}

/// The facts of a comparison.
pub fn facts(report: &Report) -> String {
    let table = facts::table_of(report);
    let main = html! {
        header.headline { h1 { "Facts of " (name(&report.comparison)) } }
        @if table.0.is_empty() { p { "Resources state no facts that are compared." } } @else { (table) }
    };
    of_comparison(report, "facts", &main)
}

/// A finding in every comparison that has it, with the numbers and how it came about. `None` when none has it.
pub fn finding(shown: &[Arc<Shown>], id: &str) -> Option<String> {
    let with = |one: &'_ Arc<Shown>| -> Option<(Arc<Report>, Finding)> {
        let found = one.report.findings.iter().find(|finding| finding.id == id)?;
        Some((one.report.clone(), found.clone()))
    };
    let found: Vec<(Arc<Report>, Finding)> = shown.iter().filter_map(with).collect();
    let title = name(&found.first()?.1.title);
    let main = html! {
        header.headline { h1 { (title) } }
        @for (report, finding) in &found {
            section aria-label=(name(&report.comparison)) {
                h2 { a href=(route::of_comparison(&report.comparison)) { (name(&report.comparison)) }
                    " " span.detail { (name(&report.candidate.environment)) " against " (name(&report.baseline.environment)) } }
                ol.findings { (findings::one(finding, Links::Site(&report.comparison))) }
                @if let Ok(text) = explain(report, Some(id)) {
                    details open { summary { "How it came about" } pre tabindex="0" { (sentence_long(&text)) } }
                }
            }
        }
    };
    Some(document::served(&title, &[("/", "Comparisons")], &main))
}

/// An explanation with its lines, at most as long as a page of it.
fn sentence_long(text: &str) -> String {
    crate::report::text::clip(text, 20_000)
}

/// What is answered when there is no such page.
pub fn absent() -> String {
    message(
        "There is no such page",
        "The comparison, service, operation or finding is not in the latest report, or the address is mistyped.",
    )
}

/// What is answered to an address that cannot be meant so; `text` says what to write.
pub fn unclear(text: &str) -> String {
    message("The address is not clear", text)
}

/// What is answered while the agent has no time.
pub fn busy() -> String {
    message("The agent is judging", "It has no time to draw this now. Try again in a few seconds.")
}

fn message(title: &str, text: &str) -> String {
    let main = html! { header.headline { h1 { (title) } p.lead { (text) } } };
    document::served(title, &[("/", "Comparisons")], &main)
}

/// The same from far and near: at a glance, what to do, what changed, and every number.
pub(super) fn depths(report: &Report) -> Markup {
    let base = route::of_comparison(&report.comparison);
    html! {
        nav.depths aria-label="Depths" {
            a href="/" { "at a glance" }
            a href={ (base) "#findings" } { "findings and what to do" }
            a href=(route::of_history(&report.comparison)) { "what changed, and when" }
            a href={ (base) "#score" } { "how the score comes about" }
        }
    }
}

/// A page of a comparison.
pub(super) fn of_comparison(report: &Report, detail: &str, main: &Markup) -> String {
    let base = route::of_comparison(&report.comparison);
    let (whole, matrix, facts) = (base.clone(), format!("{base}/matrix"), format!("{base}/facts"));
    let history = route::of_history(&report.comparison);
    let comparison = name(&report.comparison);
    let nav = [
        ("/", "Comparisons"),
        (&*whole, &*comparison),
        (&*history, "History"),
        (&*matrix, "Telemetry"),
        (&*facts, "Facts"),
    ];
    let title = format!("{}: {comparison} {detail}", format::word(report.verdict));
    document::served(title.trim_end(), &nav, main)
}
