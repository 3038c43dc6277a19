//! Sessions of releases: all of them under the comparisons, and each with what it rests on.

use super::route::{self, Links};
use super::{document, findings, name, operations, section, sentence, summary, telemetry};
use crate::judge::Release;
use crate::judge::release::{Decision, State};
use crate::report::{format, json};
use maud::{Markup, html};
use std::sync::Arc;

/// All sessions as JSON, the latest first.
pub fn all_json(sessions: &[Arc<Release>], root: &str) -> String {
    json::pretty(&sessions.iter().rev().map(|session| session.to_json(root)).collect::<Vec<_>>())
}

/// One session as JSON; `root` as in [`Release::page`].
pub fn one_json(session: &Release, root: &str) -> String {
    json::pretty(&session.to_json(root))
}

/// The sessions at a glance, the latest first; nothing where there is none.
pub(super) fn glances(sessions: &[Arc<Release>]) -> Markup {
    if sessions.is_empty() {
        return html! {};
    }
    let body = html! { @for session in sessions.iter().rev() { (glance(session)) } };
    section("sessions", "Releases", &format::counted(sessions.len() as u64, "session"), &body)
}

fn glance(session: &Release) -> Markup {
    html! {
        article.glance class=(class(session.decision())) {
            h3 { a href=(route::of_session(&session.id)) { (name(session.release.as_deref().unwrap_or(&session.id))) }
                " " span.detail { (name(&session.comparison.name)) ": " (name(&session.comparison.candidate)) " against "
                    (name(&session.comparison.baseline)) } }
            (outcome(session))
            p { (sentence(&session.reason())) }
        }
    }
}

/// What the judge says, how far the session is, and where tools are told something else, what.
fn outcome(session: &Release) -> Markup {
    let (decision, answer) = (session.decision(), session.answer());
    html! {
        p.outcome.small {
            (verdict(decision))
            span { (state(session.state)) }
            @if session.dry_run { span { "dry run" } }
            @if answer != decision { span { "tools are told " b { (answer.as_str()) } } }
            @if let Some(score) = session.score() { span.of-100 { "score " b { (format::score(score)) } " of 100" } }
        }
    }
}

fn verdict(decision: Decision) -> Markup {
    let sign = match decision {
        Decision::Pass => "✓",
        Decision::Fail => "✗",
        Decision::Inconclusive => "?",
        Decision::Error => "!",
    };
    html! {
        span class={ "verdict " (class(decision)) } { span.sign aria-hidden="true" { (sign) } (decision.as_str()) }
    }
}

fn class(decision: Decision) -> &'static str {
    match decision {
        Decision::Pass => "parity",
        Decision::Fail => "divergent",
        Decision::Inconclusive => "inconclusive",
        Decision::Error => "no-data",
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Decided => "decided",
        State::TimedOut => "time is up",
        State::Cancelled => "cancelled",
    }
}

/// One session with the judgement that it rests on.
pub fn page(session: &Release) -> String {
    let title =
        format!("{}: {}", session.decision().as_str(), session.release.as_deref().unwrap_or(&session.id));
    let links = Links::Site(&session.comparison.name);
    let (baseline, candidate) = session.requests();
    let main = html! {
        header.headline class=(class(session.decision())) {
            h1 { (name(session.release.as_deref().unwrap_or(&session.id))) }
            (outcome(session))
            p.lead { (sentence(&session.reason())) }
            dl.scene {
                (fact("comparison", &session.comparison.name))
                (fact("sides", &format!("{} against {}", session.comparison.candidate, session.comparison.baseline)))
                @if !session.comparison.services.is_empty() { (fact("services", &session.comparison.services.join(", "))) }
                (fact("requests", &format!("{} and {}", format::count(candidate), format::count(baseline))))
                (fact("telemetry from", &at(session.start_ns)))
                (fact("at the latest until", &at(session.deadline_ns)))
                @if let Some(ended_ns) = session.ended_ns { (fact("ended", &at(ended_ns))) }
                (fact("id", &session.id))
            }
        }
        @if let Some(by) = &session.overridden {
            (section("override", "Decided by a person", "", &html! {
                p { b { (name(&by.name)) } " says " b { (by.verdict.as_str()) } " (" (format::instant(&by.at)) "): "
                    (sentence(&by.reason)) " This changes neither the judge's statistics nor its limits." }
            }))
        }
        @if let Some(report) = &session.report {
            (summary::aspects(report))
            (findings::list(&report.findings, links))
            (operations::list(report, links))
            (telemetry::metrics(report))
            (telemetry::coverage(report))
            footer { p { "The verdict as JSON: "
                a href=(route::of_session_verdict(&session.id)) { "isotel.verdict/v1" } } }
        }
    };
    let comparison = route::of_comparison(&session.comparison.name);
    document::served(
        &name(&title),
        &[("/", "Comparisons"), (&comparison, &name(&session.comparison.name))],
        &main,
    )
}

fn fact(key: &str, value: &str) -> Markup {
    html! { div { dt { (key) } dd { (name(value)) } } }
}

fn at(ns: u64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(ns)).map(|time| time.to_string());
    format::instant(&time.unwrap_or_default())
}
