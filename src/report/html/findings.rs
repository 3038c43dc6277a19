//! What people should know, each with what to do.

use super::rows::Rows;
use super::{level_class, name, section, sentence};
use crate::judge::{Finding, Report};
use crate::report::table::{finding_counts, level_sign};
use maud::{Markup, html};

const BYTES_MOST: usize = 1 << 20;

/// All findings of a report, most important first.
pub(super) fn list(findings: &[Finding]) -> Markup {
    if findings.is_empty() {
        return html! {};
    }
    let rows = Rows::within(BYTES_MOST, findings.iter().map(one));
    let body = html! { ol.findings { (rows.shown) } (rows.note("findings")) };
    section("findings", "Findings", &finding_counts(findings), &body)
}

/// One finding as an item of a list.
fn one(finding: &Finding) -> Markup {
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
                @if let Some(service) = &finding.service { span { (name(service)) } }
                @if let Some(operation) = &finding.operation { span { (name(operation)) } }
                @if let Some(owner) = &finding.owner { span { "owner " b { (name(owner)) } } }
                a href={ "#" (anchor(&finding.id)) } { "link" span.unseen { " to " (name(&finding.id)) } }
            }
        }
    }
}

/// The place of a finding in a page.
pub(super) fn anchor(id: &str) -> String {
    format!("finding-{}", name(id).replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_"))
}

/// How many findings of a report have to do with one service.
pub(super) fn of_service(report: &Report, service: &str) -> usize {
    let open = report.findings.iter().filter(|finding| finding.waived_by.is_none());
    open.filter(|finding| finding.service.as_deref() == Some(service)).count()
}
