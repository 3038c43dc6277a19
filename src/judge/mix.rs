//! Aspect mix: do both sides ask a service for the same things in the same proportions?
//!
//! Operations are compared one by one, so a shifted mix makes no operation slower. It does make a service's total look
//! slower or faster, and it says that the two sides do not get the same traffic; so it is a finding of its own, and decides
//! nothing.

use super::findings::{Draft, Findings, numbers};
use super::verdict::{Aspect, Level, OperationResult};
use crate::stats::mix::{MixCount, chi_square, jensen_shannon_distance};

/// The least distance (Jensen-Shannon, base 2) that is worth telling: two operations that go from 50:50 to 40:60.
const DISTANCE_MIN: f64 = 0.085;
/// The p-value at which a shift is no chance; requests come in bursts, so it is far below 5 %.
const SURE: f64 = 1e-6;

/// Tells of a service whose mix of operations is another one. Only requests that come in are its traffic: `server` and
/// `consumer` spans.
pub fn of_service(service: &str, operations: &[&OperationResult], findings: &mut Findings) {
    let incoming: Vec<_> =
        operations.iter().filter(|operation| matches!(&*operation.kind, "server" | "consumer")).collect();
    let counts: Vec<MixCount> = incoming
        .iter()
        .map(|operation| MixCount {
            baseline: operation.latency.n_baseline as f64,
            candidate: operation.latency.n_candidate as f64,
        })
        .collect();
    let (Some(distance), Some(test)) = (jensen_shannon_distance(&counts), chi_square(&counts)) else {
        return;
    };
    if distance < DISTANCE_MIN || test.p_value > SURE {
        return;
    }
    let totals =
        counts.iter().fold((0.0, 0.0), |sum, count| (sum.0 + count.baseline, sum.1 + count.candidate));
    let shares = |count: &MixCount| (count.baseline / totals.0, count.candidate / totals.1);
    let moved = incoming.iter().zip(&counts).max_by(|(_, a), (_, b)| {
        let by = |count: &MixCount| (shares(count).0 - shares(count).1).abs();
        by(a).total_cmp(&by(b))
    });
    let Some((most, count)) = moved else { return };
    let (base, cand) = shares(count);
    findings.add(Draft {
        level: Level::Info,
        aspect: Aspect::Mix,
        service: Some(service),
        operation: Some(&most.operation),
        subject: "mix",
        title: "another mix of requests".to_owned(),
        message: format!(
            "{service} is asked for other things in the candidate: {} is {:.0} % of its requests instead of {:.0} %. \
             Operations are compared one by one, so this makes none of them slower; totals are not comparable.",
            most.operation,
            cand * 100.0,
            base * 100.0
        ),
        action: "Route the same kinds of requests to both sides, or compare operations and not totals.",
        evidence: numbers([
            ("jensen_shannon_distance", Some(distance)),
            ("chi_square", Some(test.statistic)),
            ("p_value", Some(test.p_value)),
        ]),
        traffic: (totals.0 + totals.1) as u64,
    });
}
