//! What people should know, each with what to do.

use super::route::{self, Links};
use super::rows::Rows;
use super::{level_class, name, section, sentence};
use crate::judge::{Finding, Level, Report};
use crate::report::format;
use crate::report::table::{finding_counts, level_sign};
use maud::{Markup, html};
use std::collections::BTreeMap;

const BYTES_MOST: usize = 1 << 20;

/// All findings of a report, most important first.
pub(super) fn list(findings: &[Finding], links: Links<'_>) -> Markup {
    if findings.is_empty() {
        return html! {};
    }
    // What nobody has to do anything about must not stand between a reader and the rest of the page.
    let (quiet, open): (Vec<&Finding>, Vec<&Finding>) =
        findings.iter().partition(|finding| finding.waived_by.is_some() || finding.level == Level::Info);
    let rows = |findings: &[&Finding]| {
        Rows::within(BYTES_MOST / 2, findings.iter().map(|finding| one(finding, links)))
    };
    let (open, folded) = (rows(&open), rows(&quiet));
    let body = html! {
        @if !open.shown.0.is_empty() { ol.findings { (open.shown) } (open.note("findings")) }
        @if !quiet.is_empty() {
            details {
                summary { (format::counted(quiet.len() as u64, "finding")) " with nothing to do: of level info, or accepted" }
                ol.findings { (folded.shown) }
                (folded.note("findings"))
            }
        }
    };
    section("findings", "Findings", &finding_counts(findings), &body)
}

/// One finding as an item of a list.
pub(super) fn one(finding: &Finding, links: Links<'_>) -> Markup {
    let waived = finding.waived_by.is_some();
    let (sign, level) =
        if waived { ("–", "waived") } else { (level_sign(finding.level), finding.level.as_str()) };
    let class = if waived { "no-data" } else { level_class(finding.level) };
    html! {
        li class=(class) id=(anchor(&finding.id)) {
            h3 {
                span class={ "verdict " (class) } { span.sign aria-hidden="true" { (sign) } (level) }
                " " (sentence(&finding.title))
            }
            p { (sentence(&finding.message)) }
            @if let Some(waiver) = &finding.waived_by {
                p.action { "Accepted by " (sentence(waiver)) }
            } @else if !finding.action.is_empty() {
                p.action { (sentence(&finding.action)) }
            }
            p.scene {
                code { (name(&finding.id)) }
                span { (finding.aspect.as_str()) }
                @if let Some(service) = &finding.service {
                    @match links.service(service) {
                        Some(address) => a href=(address) { (name(service)) },
                        None => span { (name(service)) },
                    }
                }
                @if let Some(operation) = &finding.operation { span { (name(operation)) } }
                @if let Some(owner) = &finding.owner { span { "owner " b { (name(owner)) } } }
                a href=(address(&finding.id, links)) { "link" span.unseen { " to " (name(&finding.id)) } }
            }
        }
    }
}

fn address(id: &str, links: Links<'_>) -> String {
    match links {
        Links::File => format!("#{}", anchor(id)),
        Links::Site(_) => route::of_finding(id),
    }
}

/// The place of a finding in a page.
fn anchor(id: &str) -> String {
    format!("finding-{}", name(id).replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_"))
}

/// How many findings that nobody has accepted have to do with each service.
pub(super) fn by_service(report: &Report) -> BTreeMap<&str, usize> {
    let open = report.findings.iter().filter(|finding| finding.waived_by.is_none());
    let mut counts = BTreeMap::new();
    for service in open.filter_map(|finding| finding.service.as_deref()) {
        *counts.entry(service).or_default() += 1;
    }
    counts
}
