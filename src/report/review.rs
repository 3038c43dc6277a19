//! A report over a period, such as a week: what changed, what to look at, who got better or worse.
//!
//! [`Period`]s of histories and the waivers of a configuration flow in, a [`Review`] flows out, and of it Markdown and JSON; the page
//! is [`super::html::of_review`]. It tells what was judged and judges nothing.

use super::format;
use super::history::entry::{rfc3339, time_ns};
use super::history::period::{Change, Tally};
use super::history::{Deploy, Episode, Period, SideName, matters};
use super::markdown::escape;
use super::narrative::Paragraph;
use super::text::clip;
use crate::judge::policy::Waiver;
use crate::judge::{Aspect, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;

/// The name and version of the JSON's layout.
pub const SCHEMA: &str = "isotel.report/v1";
/// Rows of a list in Markdown.
const ROWS_MOST: usize = 20;
/// Things that a sentence names.
const NAMED_MOST: usize = 3;
/// A change of a mean score below this is none.
const CHANGE_LEAST: f64 = 1.0;
/// How long before its end a waiver is told of.
const SOON_NS: u64 = 14 * 86_400_000_000_000;

/// A report over a period.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Review {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// When it was made, RFC 3339.
    pub generated_at: String,
    /// The first moment.
    pub from: String,
    /// The first moment after it.
    pub to: String,
    /// In words.
    pub paragraphs: Vec<Paragraph>,
    /// Waivers that have expired or soon will.
    pub waivers: Vec<WaiverEnd>,
    /// Findings that are still there, by who should know.
    pub owners: BTreeMap<String, u64>,
    /// Each comparison with the evidence of the above.
    pub comparisons: Vec<Period>,
}

/// A waiver near its end or beyond.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaiverEnd {
    /// What it accepts.
    pub waiver: String,
    /// Why.
    pub reason: String,
    /// Who accepts it.
    pub owner: String,
    /// Until when, RFC 3339.
    pub expires: String,
    /// Whether that is over.
    pub expired: bool,
}

impl Review {
    /// Of comparisons over one period.
    pub fn of(comparisons: Vec<Period>, waivers: &[Waiver], now_ns: u64) -> Review {
        let mut ends: Vec<&Waiver> =
            waivers.iter().filter(|waiver| waiver.expires_ns < now_ns.saturating_add(SOON_NS)).collect();
        ends.sort_by_key(|waiver| waiver.expires_ns);
        let end = |waiver: &Waiver| WaiverEnd {
            waiver: waiver.to_string(),
            reason: waiver.reason.clone(),
            owner: waiver.owner.clone(),
            expires: rfc3339(waiver.expires_ns),
            expired: waiver.expires_ns <= now_ns,
        };
        let mut owners = BTreeMap::new();
        for period in &comparisons {
            for episode in open(period) {
                let owner = episode.finding.owner.as_ref().or(period.owner.as_ref());
                *owners.entry(owner.cloned().unwrap_or_else(|| "nobody".to_owned())).or_default() += 1;
            }
        }
        let edge = |of: fn(&Period) -> &String| comparisons.first().map(of).cloned().unwrap_or_default();
        Review {
            schema: SCHEMA,
            generated_at: rfc3339(now_ns),
            from: edge(|period| &period.from),
            to: edge(|period| &period.to),
            paragraphs: narrative(&comparisons),
            waivers: ends.into_iter().map(end).collect(),
            owners,
            comparisons,
        }
    }
}

/// Findings that somebody has to look at and that are still there.
fn open(period: &Period) -> impl Iterator<Item = &Episode> {
    period.findings.iter().filter(|episode| episode.open && matters(&episode.finding))
}

fn narrative(comparisons: &[Period]) -> Vec<Paragraph> {
    let paragraph = |heading, text| Paragraph { heading, text };
    let mut paragraphs = vec![paragraph("At a glance", at_a_glance(comparisons))];
    let more = [
        ("What changed", what_changed(comparisons)),
        ("Better and worse", better_and_worse(comparisons)),
        ("Deployments", deployments(comparisons)),
        ("Data", data(comparisons)),
        ("Tests", tests(comparisons)),
    ];
    paragraphs.extend(more.into_iter().filter_map(|(heading, text)| Some(paragraph(heading, text?))));
    paragraphs
}

fn at_a_glance(comparisons: &[Period]) -> String {
    if comparisons.iter().all(|period| period.total.is_none()) {
        return "Nothing was judged in this period.".to_owned();
    }
    let each = comparisons.iter().map(|period| match &period.total {
        None => format!("{} was not judged.", period.comparison),
        Some(total) => {
            let score = total.score.map_or(String::new(), |score| {
                let before = period.before.as_ref().and_then(|before| before.score);
                let before = before
                    .map_or(String::new(), |score| format!(", {} the time before", format::score(score)));
                format!(", mean score {}{before}", format::score(score))
            });
            let divergent = |tally: &Tally| format::share(tally.share(Verdict::Divergent));
            let before = period.before.as_ref();
            let before =
                before.map_or(String::new(), |before| format!(" ({} the time before)", divergent(before)));
            format!(
                "{}: {}, {} of them divergent{before}{score}.",
                period.comparison,
                format::counted(total.n(), "look"),
                divergent(total)
            )
        }
    });
    each.collect::<Vec<_>>().join(" ")
}

fn what_changed(comparisons: &[Period]) -> Option<String> {
    let all = || comparisons.iter().flat_map(|period| period.findings.iter().map(move |e| (period, e)));
    let mut told = all().filter(|(_, episode)| matters(&episode.finding)).peekable();
    told.peek()?;
    let (mut came, mut went, mut stayed) = (Vec::new(), 0u64, 0u64);
    for (period, episode) in told {
        let began = time_ns(&episode.from) >= time_ns(&period.from);
        went += u64::from(!episode.open);
        stayed += u64::from(episode.open && !began);
        if began {
            came.push(episode);
        }
    }
    let named: Vec<String> =
        came.iter().filter(|e| e.open).take(NAMED_MOST).map(|episode| place(episode)).collect();
    let named = if named.is_empty() { String::new() } else { format!(" Still there: {}.", named.join("; ")) };
    Some(format!(
        "{} came, {} went, and {} stayed from before.{named}",
        format::counted(came.len() as u64, "finding"),
        format::count(went),
        format::count(stayed)
    ))
}

/// `slower (shop/checkout POST /checkout)`, `missing metric (shop/cart cart.items)`.
fn place(episode: &Episode) -> String {
    let finding = &episode.finding;
    // Titles may have their place in them.
    let parts = [&finding.service, &finding.operation, &finding.item].into_iter().flatten();
    let parts: Vec<&str> = parts.map(String::as_str).filter(|part| !finding.title.contains(part)).collect();
    match parts.is_empty() {
        true => finding.title.clone(),
        false => format!("{} ({})", finding.title, parts.join(" ")),
    }
}

/// A comparison, one of its services, and by how much its mean score rose.
type Moved<'p> = (&'p Period, &'p str, &'p Change, f64);

/// Services whose mean score moved; most moved first.
fn moved(comparisons: &[Period], better: bool) -> Vec<Moved<'_>> {
    let all = comparisons.iter().flat_map(|period| period.services.iter().map(move |one| (period, one)));
    let mut moved: Vec<_> = all
        .filter_map(|(period, (service, change))| {
            let by = change.by()?;
            let counts = if better { by >= CHANGE_LEAST } else { by <= -CHANGE_LEAST };
            counts.then_some((period, service.as_str(), change, by))
        })
        .collect();
    moved.sort_by(|a, b| b.3.abs().total_cmp(&a.3.abs()).then_with(|| a.1.cmp(b.1)));
    moved
}

fn better_and_worse(comparisons: &[Period]) -> Option<String> {
    let [worse, better] = [false, true].map(|better| moved(comparisons, better));
    let known = comparisons.iter().flat_map(|period| period.services.values()).any(|c| c.by().is_some());
    if !known {
        return None;
    }
    let told = |word: &str, moved: &[Moved<'_>]| {
        let each = moved.iter().take(NAMED_MOST).map(|(period, service, change, _)| {
            let of = if comparisons.len() > 1 { format!(" in {}", period.comparison) } else { String::new() };
            let score = |tally: &Option<Tally>| {
                tally.as_ref().and_then(|t| t.score).map_or(String::new(), format::score)
            };
            format!("{service}{of} ({} → {})", score(&change.before), score(&change.now))
        });
        let more = moved.len().saturating_sub(NAMED_MOST);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        match moved.is_empty() {
            true => format!("Nothing got {word}."),
            false => format!("Got {word}: {}{more}.", each.collect::<Vec<_>>().join(", ")),
        }
    };
    Some(format!("{} {}", told("worse", &worse), told("better", &better)))
}

/// What the candidate came to after a deployment.
#[derive(Debug, PartialEq)]
struct After {
    diverged: bool,
    /// Seconds until the first parity; `None` where there was none before the next deployment or the end.
    parity_s: Option<u64>,
}

fn after(period: &Period, at_ns: u64, until_ns: u64) -> After {
    let mut diverged = false;
    for point in &period.points {
        let Some(time) = time_ns(&point.at).filter(|time| (at_ns..until_ns).contains(time)) else { continue };
        match point.verdict {
            Verdict::Parity => return After { diverged, parity_s: Some((time - at_ns) / 1_000_000_000) },
            verdict => diverged |= verdict == Verdict::Divergent,
        }
    }
    After { diverged, parity_s: None }
}

fn deployments(comparisons: &[Period]) -> Option<String> {
    let (mut n, mut back, mut outcomes) = (0u64, 0u64, Vec::new());
    for period in comparisons {
        let candidate: Vec<&Deploy> =
            period.deploys.iter().filter(|d| d.side == SideName::Candidate).collect();
        back += candidate.iter().filter(|deploy| deploy.back).count() as u64;
        // Services that are seen with new versions by the same look were deployed together.
        let mut times: Vec<u64> =
            candidate.iter().filter(|d| !d.back).filter_map(|d| time_ns(&d.at)).collect();
        n += times.len() as u64;
        times.dedup();
        let end = time_ns(&period.to).unwrap_or(u64::MAX);
        for (at, time) in times.iter().enumerate() {
            outcomes.push(after(period, *time, times.get(at + 1).copied().unwrap_or(end)));
        }
    }
    if n + back == 0 {
        return None;
    }
    let diverged = outcomes.iter().filter(|outcome| outcome.diverged).count() as u64;
    let mut times: Vec<u64> = outcomes.iter().filter_map(|outcome| outcome.parity_s).collect();
    times.sort_unstable();
    let reached = match times.get(times.len() / 2) {
        Some(median) => format!(
            "{} of {} reached parity, at the median in {}",
            times.len(),
            format::counted(outcomes.len() as u64, "release"),
            format::minutes(*median as f64 / 60.0)
        ),
        None => format!("None of {} reached parity", format::counted(outcomes.len() as u64, "release")),
    };
    let back = if back > 0 { format!(" {} back to an older version.", went(back)) } else { String::new() };
    Some(format!(
        "{} came to candidates. {reached}; {} diverged first.{back}",
        format::counted(n, "new version"),
        format::count(diverged)
    ))
}

fn went(n: u64) -> String {
    format!("{} went", format::counted(n, "service"))
}

/// Whether the data that the system keeps are the same, where metrics or texts are compared.
fn data(comparisons: &[Period]) -> Option<String> {
    about(comparisons, "values", &|finding| finding.aspect == Aspect::Value, Some(Aspect::Value))
}

/// What tests and pipelines tell of themselves, where they send telemetry: OpenTelemetry's `test.*` and `cicd.*`, and what runners
/// call theirs, such as `tests_failed_total` or `k6.http_reqs`.
fn tests(comparisons: &[Period]) -> Option<String> {
    let of_tests = |finding: &super::history::entry::FindingScene| {
        let names = [&finding.item, &finding.operation];
        let words = names.into_iter().flatten().flat_map(|name| name.split([' ', '[']));
        let runners = ["test", "tests", "ci", "cicd", "junit", "pytest", "k6"];
        words.filter_map(|word| word.split_once(['.', '_'])).any(|(first, _)| runners.contains(&first))
    };
    about(comparisons, "tests and pipelines", &of_tests, None)
}

fn about(
    comparisons: &[Period],
    what: &str,
    is: &dyn Fn(&super::history::entry::FindingScene) -> bool,
    aspect: Option<Aspect>,
) -> Option<String> {
    let scores: Vec<String> = comparisons
        .iter()
        .filter_map(|period| {
            let now = period.aspects.get(aspect?.as_str())?.now.as_ref()?;
            let parity = format::share(now.share(Verdict::Parity));
            Some(format!("In {} {what} were at parity in {parity} of looks.", period.comparison))
        })
        .collect();
    let findings =
        || comparisons.iter().flat_map(|p| &p.findings).filter(|e| is(&e.finding) && matters(&e.finding));
    let still: Vec<String> = findings().filter(|episode| episode.open).map(place).collect();
    let all = findings().count() as u64;
    if scores.is_empty() && all == 0 {
        return None;
    }
    let told = match all {
        0 => "No finding was about them.".to_owned(),
        _ => {
            let first = still[..still.len().min(NAMED_MOST)].join("; ");
            let first = if first.is_empty() { first } else { format!(": {first}") };
            let (all, still) = (format::counted(all, "finding"), format::count(still.len() as u64));
            format!("{all} about {what}, {still} still there{first}.")
        }
    };
    Some(scores.into_iter().chain([told]).collect::<Vec<_>>().join(" "))
}

/// As JSON.
pub fn to_json(review: &Review) -> String {
    super::json::pretty(review)
}

/// As Markdown, for a mail, a wiki or an issue.
pub fn to_markdown(review: &Review) -> String {
    let name = |text: &str| escape(&clip(text, 200));
    let mut text = format!("# Parity report, {}\n\n", format::period(Some(&review.from), Some(&review.to)));
    for paragraph in &review.paragraphs {
        text.push_str(&format!("**{}.** {}\n\n", paragraph.heading, escape(&clip(&paragraph.text, 2_000))));
    }
    let mut table = |title: &str, head: &str, rows: Vec<String>| {
        if rows.is_empty() {
            return;
        }
        let left_out = rows.len().saturating_sub(ROWS_MOST);
        let rule = "|---".repeat(head.matches('|').count() - 1);
        text.push_str(&format!("## {title}\n\n{head}\n{rule}|\n"));
        rows.iter().take(ROWS_MOST).for_each(|row| text.push_str(row));
        if left_out > 0 {
            text.push_str(&format!("\n{left_out} more are in the JSON report.\n"));
        }
        text.push('\n');
    };
    let findings = review.comparisons.iter().flat_map(|period| open(period).map(move |e| (period, e)));
    let finding = |(period, episode): (&Period, &Episode)| {
        format!(
            "| {} | {} | {} | {} | {} |\n",
            episode.finding.level.as_str(),
            name(&place(episode)),
            name(&period.comparison),
            format::instant(&episode.from),
            name(episode.finding.owner.as_deref().or(period.owner.as_deref()).unwrap_or(format::MISSING))
        )
    };
    table("Still there", "| level | finding | comparison | since | owner |", findings.map(finding).collect());
    let change = |(period, service, change, by): Moved<'_>| {
        let score =
            |tally: &Option<Tally>| tally.as_ref().and_then(|t| t.score).map_or(String::new(), format::score);
        let (before, now) = (score(&change.before), score(&change.now));
        format!("| {} | {} | {before} | {now} | {by:+.0} |\n", name(service), name(&period.comparison))
    };
    let head = "| service | comparison | before | now | change |";
    table("Worse", head, moved(&review.comparisons, false).into_iter().map(change).collect());
    table("Better", head, moved(&review.comparisons, true).into_iter().map(change).collect());
    let deploys =
        review.comparisons.iter().flat_map(|period| period.deploys.iter().map(move |d| (period, d)));
    let deploy = |(period, deploy): (&Period, &Deploy)| {
        let environment =
            if deploy.side == SideName::Baseline { &period.baseline } else { &period.candidate };
        let (service, at) = (name(&deploy.service), format::instant(&deploy.at));
        format!(
            "| {at} | {service} | {} | {} → {} |\n",
            name(environment),
            name(&deploy.from),
            name(&deploy.to)
        )
    };
    table("Deployments", "| first seen | service | environment | version |", deploys.map(deploy).collect());
    let waiver = |end: &WaiverEnd| {
        let state = if end.expired { "expired" } else { "expires" };
        format!(
            "| {} | {} | {state} {} | {} |\n",
            name(&end.waiver),
            name(&end.reason),
            format::instant(&end.expires),
            name(&end.owner)
        )
    };
    table("Waivers", "| waiver | reason | until | owner |", review.waivers.iter().map(waiver).collect());
    let owner = |(owner, n): (&String, &u64)| format!("| {} | {} |\n", name(owner), format::count(*n));
    table("Owners", "| owner | findings still there |", review.owners.iter().map(owner).collect());
    text
}
