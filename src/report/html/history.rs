//! What a comparison came to over a period: score, deployments, findings that came and went, who got better or worse.

use super::rows::{Rows, Sort, table};
use super::site::{Shown, depths, of_comparison};
use super::{level_class, name, route, section, timeline, verdict};
use crate::judge::Verdict;
use crate::report::format;
use crate::report::history::entry::{rfc3339, time_ns};
use crate::report::history::period::{Change, Tally};
use crate::report::history::{Episode, Period, SideName, matters};
use crate::report::table::level_sign;
use maud::{Markup, html};
use std::collections::BTreeMap;

const BYTES_MOST: usize = 1 << 20;
/// Periods that end with the latest look.
const LASTS: [(&str, &str); 5] =
    [("1h", "hour"), ("6h", "6 hours"), ("24h", "24 hours"), ("7d", "7 days"), ("30d", "30 days")];

/// Which part of a history is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// First nanosecond.
    pub from_ns: u64,
    /// First nanosecond after it.
    pub to_ns: u64,
    /// How the address says it, where it ends with the latest look.
    pub last: Option<String>,
}

/// Which of the periods on a page.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    /// Its number, which sets its ids apart.
    pub(super) at: usize,
    /// The comparison's name, where there are several.
    pub(super) of: Option<&'a str>,
    /// Whether findings have pages of their own.
    pub(super) linked: bool,
}

impl Part<'_> {
    /// The only one, on the agent's page.
    const SITE: Part<'static> = Part { at: 0, of: None, linked: true };

    fn id(self, what: &str) -> String {
        if self.at == 0 { what.to_owned() } else { format!("{what}-{}", self.at) }
    }

    fn title(self, words: &str) -> String {
        self.of.map_or_else(|| words.to_owned(), |of| format!("{words}, {}", name(of)))
    }
}

/// The page of a period.
pub fn page(shown: &Shown, span: &Span) -> String {
    let report = &shown.report;
    let period = shown.history.period(&report.comparison, span.from_ns, span.to_ns);
    let base = route::of_history(&report.comparison);
    let api = route::of_api(&report.comparison, "history");
    let main = html! {
        header.headline {
            h1 { "History of " (name(&report.comparison)) }
            p.lead { (sentence(&period, shown)) }
            (periods(&base, span, &period, shown.history.point_ns()))
        }
        (over_time(&period, Part::SITE))
        (deploys(&period, Part::SITE))
        (changes(("services", Part::SITE), "Services", "service", &period.services))
        (changes(("aspects", Part::SITE), "Aspects", "aspect", &period.aspects))
        (findings(&period, Part::SITE))
        footer {
            (depths(report))
            p { "The same as JSON: " a href=(address(&api, (span.from_ns, span.to_ns), shown.history.point_ns())) { "isotel.history/v1" } }
        }
    };
    of_comparison(report, "history", &main)
}

/// An address that names this period, by whole points.
fn address(base: &str, (from_ns, to_ns): (u64, u64), point_ns: u64) -> String {
    let (from, to) = (from_ns / point_ns * point_ns, to_ns.div_ceil(point_ns) * point_ns);
    format!("{base}?from={}&to={}", rfc3339(from), rfc3339(to))
}

fn periods(base: &str, span: &Span, period: &Period, point_ns: u64) -> Markup {
    let length = span.to_ns - span.from_ns;
    let address = |from_ns, to_ns| address(base, (from_ns, to_ns), point_ns);
    let earlier = address(span.from_ns.saturating_sub(length), span.from_ns);
    let later = address(span.to_ns, span.to_ns.saturating_add(length));
    let is_last = |text: &str| span.last.as_deref() == Some(text);
    html! {
        nav.periods aria-label="Periods" {
            @for (text, words) in LASTS {
                a href={ (base) "?last=" (text) } aria-current=[is_last(text).then_some("true")] { (words) }
            }
            a href=(earlier) rel="prev" { "earlier" }
            @if span.last.is_none() { a href=(later) rel="next" { "later" } }
            @else { a href=(address(span.from_ns, span.to_ns)) { "this period, pinned" } }
        }
        p.scene {
            (format::period(Some(&period.from), Some(&period.to)))
            @if let Some(begins) = &period.begins { span { "known since " (format::instant(begins)) } }
        }
    }
}

fn sentence(period: &Period, shown: &Shown) -> String {
    let now = shown.history.since().map_or_else(String::new, |since| {
        format!("Now {} since {}. ", format::word(shown.report.verdict), format::instant(since))
    });
    now + &looks(period)
}

/// `120 looks: 96 divergent, 24 parity; mean score 61, from 40 to 100.`
pub(super) fn looks(period: &Period) -> String {
    let Some(total) = &period.total else { return "Nothing was judged in this period.".to_owned() };
    let each = total.looks.iter().rev();
    let each: Vec<String> =
        each.map(|(verdict, n)| format!("{} {}", format::count(*n), format::word(*verdict))).collect();
    let scores = match (total.score, total.least, total.most) {
        (Some(mean), Some(least), Some(most)) => format!(
            "; mean score {}, from {} to {}",
            format::score(mean),
            format::score(least),
            format::score(most)
        ),
        _ => String::new(),
    };
    let before = match (total.score, period.before.as_ref().and_then(|before| before.score)) {
        (Some(_), Some(before)) => format!(", {} in the time before", format::score(before)),
        _ => String::new(),
    };
    format!("{}: {}{scores}{before}.", format::counted(total.n(), "look"), each.join(", "))
}

pub(super) fn over_time(period: &Period, part: Part<'_>) -> Markup {
    let id = part.id("score");
    let title = part.title("Score over time");
    if period.points.is_empty() {
        return section(&id, &title, "", &html! { p { "Nothing was judged in this period." } });
    }
    let body = html! {
        figure.distributions {
            (timeline::picture(period, &id, &looks(period)))
            figcaption {
                @for (class, words) in [("parity", "parity"), ("inconclusive", "inconclusive"), ("divergent", "divergent")] {
                    span.key { span class={ "line over " (class) } {} (words) }
                }
                span.key { span.line.band {} "least to greatest score" }
                @if !period.deploys.is_empty() { span.key { span.line.gap {} "deployment, by its number below" } }
            }
        }
    };
    let detail = format!("a point is {}", format::minutes(period.point_s as f64 / 60.0));
    section(&id, &title, &detail, &body)
}

pub(super) fn deploys(period: &Period, part: Part<'_>) -> Markup {
    if period.deploys.is_empty() {
        return html! {};
    }
    let row = |(at, deploy): (usize, &crate::report::history::Deploy)| {
        let environment = match deploy.side {
            SideName::Baseline => &period.baseline,
            SideName::Candidate => &period.candidate,
        };
        html! {
            tr data-service=(name(&deploy.service)) data-environment=(name(environment)) {
                td.number data-v=(at) { (at + 1) }
                td { time datetime=(deploy.at) { (format::instant(&deploy.at)) } }
                th.name scope="row" { (name(&deploy.service)) }
                td.name { (name(environment)) }
                td.name { (name(&deploy.from)) " → " b { (name(&deploy.to)) }
                    @if deploy.back { span.under { "the newer one is gone" } } }
            }
        }
    };
    let rows = Rows::within(BYTES_MOST, period.deploys.iter().enumerate().rev().map(row));
    let columns = [
        ("no.", Sort::Number),
        ("first seen", Sort::Text),
        ("service", Sort::Text),
        ("environment", Sort::Text),
        ("version", Sort::Text),
    ];
    let body = html! {
        (table(&part.id("deploys"), &part.title("Deployments"), "service environment", &columns, &rows.shown))
        (rows.note("deployments"))
    };
    section(&part.id("deployments"), &part.title("Deployments"), "by service.version", &body)
}

pub(super) fn findings(period: &Period, part: Part<'_>) -> Markup {
    if period.findings.is_empty() {
        let body = html! { p { "There were no findings." } };
        return section(&part.id("episodes"), &part.title("Findings that came and went"), "", &body);
    }
    // What nobody has to do anything about must not stand between a reader and the rest.
    let (open, quiet): (Vec<&Episode>, Vec<&Episode>) =
        period.findings.iter().partition(|episode| matters(&episode.finding));
    let there = open.iter().filter(|episode| episode.open).count() as u64;
    let detail = format!("{} of {} still there", format::count(there), format::count(open.len() as u64));
    let body = html! {
        @if open.is_empty() { p { "Nothing that anybody has to look at." } }
        @else { (episodes(("episodes-table", part), "Findings that came and went", &open)) }
        @if !quiet.is_empty() {
            details {
                summary { (format::counted(quiet.len() as u64, "finding")) " with nothing to do: of level info, or accepted" }
                (episodes(("quiet-table", part), "Findings with nothing to do", &quiet))
            }
        }
    };
    section(&part.id("episodes"), &part.title("Findings that came and went"), &detail, &body)
}

fn episodes((id, part): (&str, Part<'_>), title: &str, episodes: &[&Episode]) -> Markup {
    let rows = Rows::within(BYTES_MOST / 2, episodes.iter().map(|episode| finding(episode, part.linked)));
    let columns = [
        ("level", Sort::Text),
        ("finding", Sort::Text),
        ("where", Sort::Text),
        ("came", Sort::Text),
        ("went", Sort::Text),
        ("for", Sort::Number),
    ];
    html! { (table(&part.id(id), &part.title(title), "level aspect state", &columns, &rows.shown)) (rows.note("findings")) }
}

fn finding(episode: &Episode, linked: bool) -> Markup {
    let finding = &episode.finding;
    let level = if finding.waived_by.is_some() { "waived" } else { finding.level.as_str() };
    let class = if matters(finding) { level_class(finding.level) } else { "no-data" };
    let length_s = match (time_ns(&episode.from), time_ns(&episode.to)) {
        (Some(from), Some(to)) => to.saturating_sub(from) / 1_000_000_000,
        _ => 0,
    };
    let parts = [&finding.service, &finding.operation, &finding.item];
    let place: Vec<String> = parts.into_iter().flatten().map(|part| name(part)).collect();
    html! {
        tr data-level=(level) data-aspect=(finding.aspect.as_str()) data-state=(if episode.open { "there" } else { "gone" }) {
            td { span class={ "verdict " (class) } { span.sign aria-hidden="true" { (level_sign(finding.level)) } (level) } }
            th.name scope="row" {
                // Only what the latest report has can be explained.
                @if linked && episode.open { a href=(route::of_finding(&finding.id)) { (name(&finding.title)) } }
                @else { (name(&finding.title)) }
                span.under { (name(&finding.id)) ", " (finding.aspect.as_str())
                    @if let Some(owner) = &finding.owner { ", owner " (name(owner)) } }
            }
            td.name { (place.join(" ")) }
            td { time datetime=(episode.from) { (format::instant(&episode.from)) } }
            td { @if episode.open { "still there" } @else { time datetime=(episode.to) { (format::instant(&episode.to)) } } }
            td.number data-v=(length_s) { (format::minutes(length_s as f64 / 60.0)) }
        }
    }
}

pub(super) fn changes(
    (id, part): (&str, Part<'_>),
    title: &str,
    what: &'static str,
    changes: &BTreeMap<String, Change>,
) -> Markup {
    if changes.is_empty() {
        return html! {};
    }
    let mut ordered: Vec<(&String, &Change)> = changes.iter().collect();
    let fall = |change: &Change| change.by().unwrap_or(0.0);
    ordered.sort_by(|a, b| fall(a.1).total_cmp(&fall(b.1)).then_with(|| a.0.cmp(b.0)));
    let score = |tally: &Option<Tally>| tally.as_ref().and_then(|tally| tally.score);
    let shown = |score: Option<f64>| score.map_or_else(|| format::MISSING.to_owned(), format::score);
    let row = |(of, change): (&String, &Change)| {
        let worst = change.now.as_ref().map_or(Verdict::NoData, Tally::worst);
        let by = change.by();
        html! {
            tr data-worst=(format::word(worst)) {
                th.name scope="row" { (name(of)) }
                td { (verdict(worst)) }
                td.number data-v=[score(&change.now)] { (shown(score(&change.now))) }
                td.number data-v=[score(&change.before)] { (shown(score(&change.before))) }
                td.number data-v=[by] { (by.map_or_else(|| format::MISSING.to_owned(), points)) }
            }
        }
    };
    let rows = Rows::within(BYTES_MOST, ordered.into_iter().map(row));
    let columns = [
        (what, Sort::Text),
        ("worst", Sort::Text),
        ("mean score", Sort::Number),
        ("time before", Sort::Number),
        ("change", Sort::Number),
    ];
    let body = html! {
        (table(&part.id(&format!("{id}-table")), &part.title(title), "worst", &columns, &rows.shown))
        (rows.note(id))
    };
    section(&part.id(id), &part.title(title), "what fell most comes first", &body)
}

/// A change of a score: `+3`, `-12`, `0`.
fn points(change: f64) -> String {
    let rounded = change.round();
    if rounded == 0.0 { "0".to_owned() } else { format!("{rounded:+.0}") }
}
