//! The report as a release manager reads it: what is alike, what differs, how sure that is, what to do.
//!
//! A report flows in, four paragraphs flow out, as plain sentences from the report's numbers. Whoever prints them cleans
//! or escapes them, since they hold names from outside.

use super::format;
use crate::judge::verdict::OperationResult;
use crate::judge::{Finding, Level, Report, Verdict};
use serde::Serialize;

/// The findings that are told; the list has all.
const TOLD: usize = 3;

/// One paragraph: its heading and its sentences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Paragraph {
    /// Two or three words.
    pub heading: &'static str,
    /// Sentences.
    pub text: String,
}

/// What a report comes to, in four paragraphs.
pub fn narrative(report: &Report) -> Vec<Paragraph> {
    let paragraph = |heading, text| Paragraph { heading, text };
    vec![
        paragraph("Alike", alike(report)),
        paragraph("Different", different(report)),
        paragraph("How sure", how_sure(report)),
        paragraph("What to do", what_to_do(report)),
    ]
}

fn operations(report: &Report) -> impl Iterator<Item = &OperationResult> {
    report.services.iter().flat_map(|s| &s.operations).filter(|o| o.verdict != Verdict::NoData)
}

fn alike(report: &Report) -> String {
    let requests = |verdict: Option<Verdict>| {
        let of_it = operations(report).filter(|o| verdict.is_none_or(|verdict| o.verdict == verdict));
        of_it.fold((0, 0u64), |(n, sum), o| (n + 1, sum.saturating_add(o.latency.n_baseline)))
    };
    let ((alike, traffic), (all, total)) = (requests(Some(Verdict::Parity)), requests(None));
    let mut text = match (alike, all) {
        (_, 0) => "No operation has requests on both sides.".to_owned(),
        (0, all) => format!("None of {} is shown to be alike yet.", format::counted(all, "operation")),
        _ => format!(
            "{} of {}, with {} of {}'s requests, take as long and fail as rarely in {} within the tolerances.",
            alike,
            format::counted(all, "operation"),
            format::share(traffic as f64 / total.max(1) as f64),
            report.baseline.environment,
            report.candidate.environment
        ),
    };
    let (expected, present) = report.services.iter().fold((0, 0), |(expected, present), s| {
        (expected + s.coverage.expected, present + s.coverage.present)
    });
    if expected > 0 {
        text.push_str(&match present == expected {
            true => format!(" All of {} of telemetry are there.", format::counted(expected, "expected item")),
            false => format!(
                " {} of {} of telemetry are there.",
                format::count(present),
                format::counted(expected, "expected item")
            ),
        });
    }
    text
}

fn open(report: &Report) -> impl Iterator<Item = &Finding> {
    report.findings.iter().filter(|finding| finding.waived_by.is_none() && finding.level > Level::Info)
}

fn different(report: &Report) -> String {
    let found: Vec<&Finding> = open(report).collect();
    if found.is_empty() {
        return "Nothing that anybody has to look at.".to_owned();
    }
    let told: Vec<&str> = found.iter().take(TOLD).map(|finding| finding.message.as_str()).collect();
    let rest = match found.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(" And {} more.", format::counted(more as u64, "finding")),
    };
    format!("{}{rest}", told.join(" "))
}

fn how_sure(report: &Report) -> String {
    let open: Vec<&OperationResult> =
        operations(report).filter(|o| o.verdict == Verdict::Inconclusive).collect();
    let mut sentences = vec![match report.verdict {
        Verdict::Parity => {
            "What is called alike is shown: its intervals lie inside the tolerances, each with at most a 5 % \
                            chance to be wrong."
                .to_owned()
        }
        Verdict::Divergent => {
            "What is called different is shown, with at most 5 % of such findings expected to be false; \
                               the number of operations is taken into account."
                .to_owned()
        }
        Verdict::Inconclusive => {
            "Neither likeness nor difference is shown, which is no verdict and no reproach.".to_owned()
        }
        Verdict::NoData => "There is nothing to be sure of.".to_owned(),
    }];
    if !open.is_empty() && report.verdict != Verdict::NoData {
        sentences.push(format!("{} cannot be decided yet.", format::counted(open.len() as u64, "operation")));
    }
    if open.iter().any(|o| o.latency.clusters.is_some_and(|clusters| clusters.borrowed)) {
        sentences.push(
            "The candidate has too few instances to know how they differ; that is taken from the baseline."
                .to_owned(),
        );
    }
    if let Some(calibration) = report.calibration {
        sentences.push(format!(
            "Halves of {} held against each other were called different in {} of {} cases.",
            report.baseline.environment, calibration.divergent, calibration.splits
        ));
    }
    sentences.join(" ")
}

fn what_to_do(report: &Report) -> String {
    match report.verdict {
        Verdict::Parity => "Nothing here speaks against going on.".to_owned(),
        Verdict::Divergent => match open(report).next() {
            Some(first) if first.action.contains("hold the release") => first.action.clone(),
            Some(first) => format!("Hold the release. {}", first.action),
            None => "Hold the release.".to_owned(),
        },
        Verdict::Inconclusive => format!("Neither promote nor roll back for this. {}", more(report)),
        Verdict::NoData => match open(report).next() {
            Some(first) => first.action.clone(),
            None => "Send telemetry of both environments.".to_owned(),
        },
    }
}

/// What the operation with the most requests among those that are open needs.
fn more(report: &Report) -> String {
    let open = operations(report).filter(|o| o.verdict == Verdict::Inconclusive);
    let most = open.filter_map(|o| Some((o, o.latency.needs?))).max_by_key(|(o, _)| o.latency.n_baseline);
    match most {
        Some((operation, needs)) => format!(
            "{} would be decided by about {} requests a side{}.",
            operation.operation,
            format::count(needs.n),
            needs.minutes.get().map_or(String::new(), |minutes| format!(", in {}", format::minutes(minutes)))
        ),
        None => "Watch for longer, or send more requests to the candidate.".to_owned(),
    }
}
