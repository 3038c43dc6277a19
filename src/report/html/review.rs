//! A report over a period as one HTML file.

use super::history::{Part, changes, deploys, findings, looks, over_time};
use super::{class, document, format, name, section, sentence, verdict};
use crate::judge::Verdict;
use crate::report::history::period::Tally;
use crate::report::review::Review;
use maud::{Markup, html};

/// The whole report: in words, then each comparison with its score over time, deployments, services and findings.
pub fn of_review(review: &Review) -> String {
    let period = format::period(Some(&review.from), Some(&review.to));
    let main = html! {
        header.headline { h1 { "Parity report, " (period) } }
        section id="story" aria-label="In words" {
            div.story { @for paragraph in &review.paragraphs { div { h2 { (paragraph.heading) } p { (sentence(&paragraph.text)) } } } }
        }
        (waivers(review))
        (owners(review))
        @for (at, period) in review.comparisons.iter().enumerate() {
            @let worst = period.total.as_ref().map_or(Verdict::NoData, Tally::worst);
            header id={ "comparison-" (at) } class={ "headline " (class(worst)) } {
                h2 { (name(&period.comparison)) " " span.detail { (name(&period.candidate)) " against " (name(&period.baseline)) } }
                p.outcome.small { span.muted { "worst" } (verdict(worst)) }
                p { (sentence(&looks(period))) }
            }
            @let part = Part { at, of: Some(&period.comparison), linked: false };
            (over_time(period, part))
            (deploys(period, part))
            (changes(("services", part), "Services", "service", &period.services))
            (changes(("aspects", part), "Aspects", "aspect", &period.aspects))
            (findings(period, part))
        }
        footer { p { "isotel.report/v1, made " (format::instant(&review.generated_at)) } }
    };
    let places: Vec<String> = (0..review.comparisons.len()).map(|at| format!("comparison-{at}")).collect();
    let names: Vec<String> = review.comparisons.iter().map(|period| name(&period.comparison)).collect();
    let links: Vec<(&str, &str)> =
        places.iter().map(String::as_str).zip(names.iter().map(String::as_str)).take(20).collect();
    document::one_file(&format!("Parity report, {period}"), &links, &main)
}

fn waivers(review: &Review) -> Markup {
    if review.waivers.is_empty() {
        return html! {};
    }
    let body = html! {
        ul.plain { @for end in review.waivers.iter().take(100) {
            li {
                span class={ "word " (if end.expired { "divergent" } else { "inconclusive" }) } { (if end.expired { "expired" } else { "expires" }) }
                " " (format::instant(&end.expires)) ": " (sentence(&end.waiver)) ", " (sentence(&end.reason)) " (" (name(&end.owner)) ")"
            }
        } }
    };
    section("waivers", "Waivers", "expired, or within two weeks of it", &body)
}

fn owners(review: &Review) -> Markup {
    if review.owners.is_empty() {
        return html! {};
    }
    let body = html! {
        ul.plain { @for (owner, n) in review.owners.iter().take(100) { li { b { (name(owner)) } " " (format::counted(*n, "finding")) } } }
    };
    section("owners", "Who should know", "findings still there", &body)
}
