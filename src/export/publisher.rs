//! What the engine says → the requests that tell others, each thing once.
//!
//! Remembers which findings have been told, so that a finding is an event when it appears and not at every window.

use super::{FindingEvent, Judged, Results, Sender, Timing, VerdictChange, logs_requests, metrics_requests};
use crate::engine::{Engine, Event};
use crate::judge::Report;
use crate::wire::Signal;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// Turns events into encoded requests.
#[derive(Debug)]
pub struct Publisher {
    sender: Sender,
    bytes_most: usize,
    told: BTreeMap<String, BTreeSet<String>>,
}

/// When and how long the engine worked.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// When it began, nanoseconds since the epoch.
    pub began_ns: u64,
    /// When it had ended, nanoseconds since the epoch.
    pub ended_ns: u64,
}

impl Publisher {
    /// Requests come from `sender` and have at most `bytes_most` bytes each.
    pub fn new(sender: Sender, bytes_most: usize) -> Publisher {
        Publisher { sender, bytes_most, told: BTreeMap::new() }
    }

    /// Who says so.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Sends the requests that tell of some events of this engine: signal and protobuf bytes, metrics first. None is made
    /// before the one in front of it was sent.
    pub fn encode(
        &mut self,
        engine: &Engine,
        events: &[Event],
        work: Work,
        send: &mut dyn FnMut(Signal, Vec<u8>),
    ) {
        let reports: Vec<(&Report, u64)> = events.iter().filter_map(judged).collect();
        let sealed = events.iter().filter_map(|event| match event {
            Event::Sealed(windows) => Some(windows),
            _ => None,
        });
        let sealed: Vec<u64> = sealed.flatten().copied().collect();
        let results = Results {
            judged: reports.iter().map(|(report, end_ns)| Judged { report, end_ns: *end_ns }).collect(),
            endpoints: &|tell| sealed.iter().for_each(|window| engine.endpoints(*window, tell)),
            timings: reports.iter().map(|(report, end_ns)| timing(report, *end_ns, work)).collect(),
        };
        metrics_requests(&results, &self.sender, self.bytes_most, &mut |request| {
            send(Signal::Metrics, request.encode_to_vec());
        });
        let changes: Vec<VerdictChange> = events.iter().filter_map(|event| change(event, &reports)).collect();
        let mut findings = Vec::new();
        for (report, end_ns) in &reports {
            let now: BTreeSet<String> = report.findings.iter().map(|finding| finding.id.clone()).collect();
            let before = self.told.insert(report.comparison.clone(), now).unwrap_or_default();
            let new = report.findings.iter().filter(|finding| !before.contains(&finding.id));
            findings.extend(new.map(|finding| FindingEvent {
                comparison: &report.comparison,
                baseline: &report.baseline.environment,
                candidate: &report.candidate.environment,
                finding,
                time_ns: *end_ns,
            }));
        }
        let logs = logs_requests(&changes, &findings, &self.sender, work.ended_ns, self.bytes_most);
        logs.iter().for_each(|request| send(Signal::Logs, request.encode_to_vec()));
    }
}

/// A report with the end of its period, nanoseconds since the epoch.
fn judged(event: &Event) -> Option<(&Report, u64)> {
    let Event::Judged(judgement) = event else { return None };
    let end: Option<jiff::Timestamp> = judgement.report.period.end.as_ref().and_then(|end| end.parse().ok());
    let end_ns = end.and_then(|end| u64::try_from(end.as_nanosecond()).ok())?;
    Some((&judgement.report, end_ns))
}

fn change(event: &Event, reports: &[(&Report, u64)]) -> Option<VerdictChange> {
    let Event::Changed { comparison, from, to, summary } = event else { return None };
    let (report, end_ns) = reports.iter().find(|(report, _)| report.comparison == *comparison)?;
    Some(VerdictChange {
        comparison: comparison.clone(),
        baseline: report.baseline.environment.clone(),
        candidate: report.candidate.environment.clone(),
        service: None,
        operation: None,
        kind: None,
        from: *from,
        to: *to,
        score: report.score,
        sentence: summary.clone(),
        time_ns: *end_ns,
    })
}

fn timing(report: &Report, end_ns: u64, work: Work) -> Timing {
    let seconds = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1e9;
    Timing {
        comparison: report.comparison.clone(),
        baseline: report.baseline.environment.clone(),
        candidate: report.candidate.environment.clone(),
        start_ns: work.began_ns,
        end_ns: work.ended_ns,
        durations_s: vec![seconds(work.began_ns, work.ended_ns)],
        delays_s: vec![seconds(end_ns, work.ended_ns)],
    }
}
