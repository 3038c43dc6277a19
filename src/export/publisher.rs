//! What the engine says → the requests that tell others, each thing once.
//!
//! Remembers which findings have been told, so that a finding is an event when it appears and not at every window.

use super::{
    EndpointWindow, ExponentialHistogram, FindingEvent, Judged, Results, Sender, Timing, VerdictChange,
    logs_requests, metrics_requests,
};
use crate::engine::{Endpoint, Event};
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

    /// The requests that tell of some events: signal and protobuf bytes, metrics first.
    pub fn encode(&mut self, events: &[Event], work: Work) -> Vec<(Signal, Vec<u8>)> {
        let reports: Vec<(&Report, u64)> = events.iter().filter_map(judged).collect();
        let endpoints = events.iter().flat_map(|event| match event {
            Event::Sealed(endpoints) => &endpoints[..],
            _ => &[],
        });
        let results = Results {
            judged: reports.iter().map(|(report, end_ns)| Judged { report, end_ns: *end_ns }).collect(),
            endpoints: endpoints.map(endpoint).collect(),
            timings: reports.iter().map(|(report, end_ns)| timing(report, *end_ns, work)).collect(),
        };
        let metrics = metrics_requests(&results, &self.sender, self.bytes_most);
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
        let metrics = metrics.iter().map(|request| (Signal::Metrics, request.encode_to_vec()));
        let logs = logs.iter().map(|request| (Signal::Logs, request.encode_to_vec()));
        metrics.chain(logs).collect()
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

fn endpoint(endpoint: &Endpoint) -> EndpointWindow {
    EndpointWindow {
        environment: endpoint.environment.to_string(),
        service_name: endpoint.series.service.name.to_string(),
        service_namespace: endpoint.series.service.namespace.to_string(),
        operation: endpoint.series.operation.to_string(),
        kind: endpoint.series.kind.as_str().to_owned(),
        start_ns: endpoint.start_ns,
        end_ns: endpoint.end_ns,
        calls_ok: endpoint.calls_ok,
        calls_error: endpoint.calls_error,
        duration: ExponentialHistogram::from_sketch(&endpoint.latency),
    }
}
