//! What a person reads first: the verdict, its score, one sentence, four paragraphs, and each aspect.

use super::{class, name, score, section, sentence, verdict};
use crate::judge::{Report, Verdict};
use crate::report::table::input_sentences;
use crate::report::{format, narrative, order};
use maud::{Markup, html};

/// The headline of one comparison.
pub(super) fn headline(report: &Report) -> Markup {
    let period = format::period(report.period.start.as_deref(), report.period.end.as_deref());
    html! {
        header class={ "headline " (class(report.verdict)) } {
            h1 { (name(&report.candidate.environment)) " against " (name(&report.baseline.environment)) }
            p.outcome {
                (verdict(report.verdict))
                @if report.verdict != Verdict::NoData {
                    span.of-100 { "score " b { (format::score(report.score)) } " of 100" }
                }
            }
            p.lead { (sentence(&report.summary)) }
            dl.scene {
                div { dt { "comparison" } dd { (name(&report.comparison)) } }
                div { dt { "period" } dd { (name(&period)) ", " (format::counted(report.period.windows, "window")) } }
                @if let Some(owner) = &report.owner { div { dt { "owner" } dd { (name(owner)) } } }
                @for side in [&report.baseline, &report.candidate] {
                    @for (word, value) in [("owner", &side.owner), ("runbook", &side.runbook), ("is", &side.description)] {
                        @if let Some(value) = value {
                            div { dt { (name(&side.environment)) " " (word) } dd { (name(value)) } }
                        }
                    }
                }
            }
        }
    }
}

/// Alike, different, how sure, what to do.
pub(super) fn story(report: &Report) -> Markup {
    html! {
        div.story {
            @for paragraph in narrative(report) {
                div { h3 { (paragraph.heading) } p { (sentence(&paragraph.text)) } }
            }
        }
    }
}

/// Each aspect with its verdict and score, worst first.
pub(super) fn aspects(report: &Report) -> Markup {
    let mut aspects: Vec<_> = report.aspects.iter().collect();
    if aspects.is_empty() {
        return html! {};
    }
    aspects.sort_by_key(|(aspect, result)| (order::rank(result.verdict), **aspect));
    let body = html! {
        ul.aspects {
            @for (aspect, result) in aspects {
                li class=(class(result.verdict)) {
                    span.what { (aspect.as_str()) }
                    (verdict(result.verdict))
                    (score(result.score, result.verdict))
                }
            }
        }
    };
    section("aspects", "Aspects", "", &body)
}

/// What was read and refused, and which limits were hit.
pub(super) fn input(report: &Report) -> Markup {
    html! {
        @for line in input_sentences(report) { p { (sentence(&line)) } }
    }
}
