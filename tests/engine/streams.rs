//! Duration histograms become requests per window; what comes late is counted and in no window.

use crate::build::*;
use isotel::engine::{Comparisons, Engine, Event, Plan};
use isotel::judge::policy::Comparison;
use isotel::judge::verdict::Source;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality::{Cumulative, Delta};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Metric,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn exponential(temporality: AggregationTemporality, point: ExponentialHistogramDataPoint) -> Metric {
    let data = ExponentialHistogram { data_points: vec![point], aggregation_temporality: temporality as i32 };
    Metric { data: Some(Data::ExponentialHistogram(data)), ..histogram(temporality, Vec::new()) }
}

fn exponential_point(
    start_ns: u64,
    time_ns: u64,
    scale: i32,
    counts: &[u64],
) -> ExponentialHistogramDataPoint {
    ExponentialHistogramDataPoint {
        attributes: durations(0, 0, [0, 0]).attributes,
        start_time_unix_nano: start_ns,
        time_unix_nano: time_ns,
        count: counts.iter().sum(),
        scale,
        positive: Some(Buckets { offset: 0, bucket_counts: counts.to_vec() }),
        ..ExponentialHistogramDataPoint::default()
    }
}

/// What happens to a stream in one window.
#[derive(Clone, Debug)]
struct Step {
    /// Requests under and over the bound.
    added: [u64; 2],
    /// The process was started anew when the window began.
    restarted: bool,
    /// The exponential histogram halves its resolution.
    coarser: bool,
    /// Exports in the window beside the last one.
    earlier_exports: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = ([0..50u64, 0..50u64], prop::bool::weighted(0.2), prop::bool::weighted(0.2), 0..3usize)
        .prop_map(|(added, restarted, coarser, earlier_exports)| Step {
            added,
            restarted,
            coarser,
            earlier_exports,
        });
    vec(step, 1..12)
}

/// The requests that a stream's exports carry: cumulative points since its last start, some of them repeated.
fn exports(steps: &[Step], instance: &str, exponential_histograms: bool) -> Vec<Vec<u8>> {
    let sender = Sender { instance, ..PROD };
    let (mut start, mut counts, mut scale, mut sent) = (T0, [0u64; 2], 2, Vec::new());
    for (window, step) in steps.iter().enumerate() {
        let begin = T0 + window as u64 * MINUTE;
        if step.restarted {
            (start, counts, scale) = (begin, [0, 0], 2);
        }
        scale -= i32::from(step.coarser && scale > 0);
        for export in 0..=step.earlier_exports {
            let last = export == step.earlier_exports;
            let now = if last { [counts[0] + step.added[0], counts[1] + step.added[1]] } else { counts };
            let time = begin + 1 + export as u64;
            let metric = match exponential_histograms {
                false => histogram(Cumulative, vec![durations(start, time, now)]),
                // At scale 2 the counts lie in the buckets 0 and 8, at scale 1 in 0 and 4, at scale 0 in 0 and 2.
                true => {
                    let mut buckets = vec![0; 9];
                    (buckets[0], buckets[8 >> (2 - scale)]) = (now[0], now[1]);
                    exponential(Cumulative, exponential_point(start, time, scale, &buckets))
                }
            };
            sent.push(metrics(sender, vec![metric]));
        }
        counts = [counts[0] + step.added[0], counts[1] + step.added[1]];
    }
    sent
}

proptest! {
    #[test]
    fn cumulative_histograms_count_what_each_window_added_through_restarts(
        one in steps(), other in steps(), exponential_histograms: bool, shards in 1usize..4, backwards: bool,
    ) {
        let mut engine = Engine::new(plan(), shards);
        let ingest = engine.ingest();
        let mut sent = exports(&one, "a", exponential_histograms);
        sent.extend(exports(&other, "b", exponential_histograms));
        if backwards {
            sent.reverse();
        }
        for request in sent {
            prop_assert!(observe(&ingest, Signal::Metrics, &request).is_empty());
        }
        engine.finish(NOW, GENERATED_AT);
        let mut expected: BTreeMap<i64, u64> = BTreeMap::new();
        for steps in [&one, &other] {
            for (window, step) in steps.iter().enumerate() {
                *expected.entry(window as i64).or_default() += step.added[0] + step.added[1];
            }
        }
        expected.retain(|_, n| *n > 0);
        prop_assert_eq!(metric_requests(&engine), expected);
    }

    #[test]
    fn delta_histograms_add_up_whatever_their_bounds_and_units(
        points in vec(([0..50u64, 0..50u64], 0..4usize, 0..3u64), 1..30), shards in 1usize..4,
    ) {
        let mut engine = Engine::new(plan(), shards);
        let ingest = engine.ingest();
        let mut expected: BTreeMap<i64, u64> = BTreeMap::new();
        for (at, (counts, form, window)) in points.iter().enumerate() {
            let time = T0 + window * MINUTE + at as u64;
            let mut point = durations(time, time, *counts);
            let metric = match form {
                0 => histogram(Delta, vec![point]),
                1 => {
                    point.explicit_bounds = vec![0.5];
                    histogram(Delta, vec![point])
                }
                2 => Metric { unit: "ms".to_owned(), ..histogram(Delta, vec![point]) },
                _ => exponential(Delta, exponential_point(time, time, 3, counts)),
            };
            observe(&ingest, Signal::Metrics, &metrics(PROD, vec![metric]));
            *expected.entry(*window as i64).or_default() += counts[0] + counts[1];
        }
        engine.finish(NOW, GENERATED_AT);
        expected.retain(|_, n| *n > 0);
        prop_assert_eq!(metric_requests(&engine), expected);
    }
}

#[test]
fn counts_that_fall_without_a_new_start_time_are_a_restart() {
    let mut engine = Engine::new(plan(), 1);
    let ingest = engine.ingest();
    for (window, counts) in [(0, [5, 1]), (1, [7, 1]), (2, [3, 0]), (3, [4, 2])] {
        let point = durations(T0, T0 + window * MINUTE + 1, counts);
        observe(&ingest, Signal::Metrics, &metrics(PROD, vec![histogram(Cumulative, vec![point])]));
    }
    engine.finish(NOW, GENERATED_AT);
    assert_eq!(metric_requests(&engine), BTreeMap::from([(0, 6), (1, 2), (2, 3), (3, 3)]));
}

#[test]
fn a_live_engine_leaves_out_what_happened_before_it_watched() {
    let mut engine = Engine::new(Plan { observed_from_ns: T0, ..plan() }, 1);
    let ingest = engine.ingest();
    for (start, window, counts) in
        [(T0 - 60 * MINUTE, 0, [900, 9]), (T0 - 60 * MINUTE, 1, [905, 9]), (T0 + 2 * MINUTE, 2, [4, 0])]
    {
        let point = durations(start, T0 + window * MINUTE + 1, counts);
        observe(&ingest, Signal::Metrics, &metrics(PROD, vec![histogram(Cumulative, vec![point])]));
    }
    engine.finish(NOW, GENERATED_AT);
    assert_eq!(metric_requests(&engine), BTreeMap::from([(1, 5), (2, 4)]));
}

#[test]
fn a_single_recorded_point_of_an_older_stream_counts_in_full() {
    let mut engine = Engine::new(plan(), 1);
    let point = durations(T0 - 60 * MINUTE, T0 + 1, [40, 2]);
    observe(&engine.ingest(), Signal::Metrics, &metrics(PROD, vec![histogram(Cumulative, vec![point])]));
    engine.finish(NOW, GENERATED_AT);
    assert_eq!(metric_requests(&engine), BTreeMap::from([(0, 42)]));
}

#[test]
fn a_stream_that_pauses_is_measured_from_where_it_stopped() {
    let mut engine = Engine::new(plan(), 2);
    let ingest = engine.ingest();
    for (window, counts) in [(0, [5, 1]), (5, [9, 1]), (9, [9, 3])] {
        let point = durations(T0, T0 + window * MINUTE + 1, counts);
        observe(&ingest, Signal::Metrics, &metrics(PROD, vec![histogram(Cumulative, vec![point])]));
    }
    engine.finish(NOW, GENERATED_AT);
    assert_eq!(metric_requests(&engine), BTreeMap::from([(0, 6), (5, 4), (9, 2)]));
}

/// One span of each environment, ending `offset_ns` after the first window's start.
fn both(engine: &Engine, now_ns: u64, offset_ns: u64) {
    for sender in [PROD, CANARY] {
        let request = traces(sender, vec![span(T0 + offset_ns, MS)]);
        let refused = engine.ingest().observe(now_ns, None, Signal::Traces, &request).expect("a request");
        assert_eq!(refused.total(), 0);
    }
}

fn sealed(engine: &Engine) -> Vec<u64> {
    engine.windows().map(|window| window.index - T0 / MINUTE).collect()
}

#[test]
fn late_data_is_counted_by_environment_and_changes_no_sealed_window() {
    let mut engine = Engine::new(Plan { observed_from_ns: T0, ..plan() }, 3);
    both(&engine, T0 + MINUTE, 5);
    assert!(engine.advance(T0 + MINUTE, GENERATED_AT).is_empty(), "the window may still get more");
    let now = T0 + 3 * MINUTE;
    both(&engine, now, 2 * MINUTE);
    assert_eq!(engine.next_deadline(now), Some(now));
    let first = (T0 / MINUTE, 2);
    assert!(
        matches!(engine.advance(now, GENERATED_AT).first(), Some(Event::Sealed(windows)) if *windows == [first.0])
    );
    let mut endpoints = 0;
    engine.endpoints(first.0, &mut |_| endpoints += 1);
    assert_eq!(endpoints, first.1);
    assert_eq!(sealed(&engine), [0]);
    let ingest = engine.ingest();
    let late = vec![span(T0 + 6, MS), span(T0 + MINUTE - 1, MS), span(T0 + 2 * MINUTE + 1, MS)];
    let refused = ingest.observe(now, None, Signal::Traces, &traces(CANARY, late)).expect("a request");
    assert_eq!(refused.total(), 0, "late is not the sender's fault");
    engine.finish(now, GENERATED_AT);
    assert_eq!(sealed(&engine), [0, 2]);
    let spans: Vec<u64> = cells(&engine).values().map(|cell| cell.latency.n()).collect();
    assert_eq!(spans, [1, 1, 2, 1], "canary and prod in the first window, then in the third");
    let canary = engine.names().find_environment("canary").expect("seen");
    assert_eq!(ingest.tally().late, BTreeMap::from([(canary, 2)]));
    let report = engine.reports().next().expect("judged").clone();
    assert_eq!((report.input.spans, report.input.rejected.get("late")), (7, Some(&2)));
    let finding = report.findings.iter().find(|finding| finding.title == "late telemetry").expect("told");
    assert_eq!(finding.evidence["late"], 2);
    assert!(finding.message.starts_with("2 item(s) of canary came after"), "{}", finding.message);
}

#[test]
fn one_clock_that_is_ahead_makes_nobody_else_late() {
    let mut engine = Engine::new(Plan { observed_from_ns: T0, ..plan() }, 2);
    let ingest = engine.ingest();
    for step in 0..30 {
        let now_ns = T0 + step * MINUTE / 3;
        for (sender, ahead_ns) in [(PROD, 0), (PROD, 4 * MINUTE), (CANARY, 0)] {
            let request = traces(sender, vec![span(now_ns + ahead_ns, MS)]);
            ingest.observe(now_ns, None, Signal::Traces, &request).expect("a request");
        }
        engine.advance(now_ns, GENERATED_AT);
    }
    assert!(sealed(&engine).len() > 5);
    assert_eq!(ingest.tally().late, BTreeMap::new());
}

#[test]
fn what_is_older_than_any_judgement_looks_back_is_late_and_moves_no_window() {
    let mut engine = Engine::new(Plan { period_windows: 10, ..plan() }, 1);
    let ingest = engine.ingest();
    for sender in [PROD, CANARY] {
        observe(&ingest, Signal::Traces, &traces(sender, vec![span(T0, MS), span(T0 + MINUTE, MS)]));
    }
    observe(&ingest, Signal::Traces, &traces(CANARY, vec![span(T0 - 1_000 * MINUTE, MS); 3]));
    let report = finish(&mut engine);
    assert_eq!((sealed(&engine), report.input.rejected["late"]), (vec![0, 1], 3));
}

#[test]
fn a_point_that_is_sent_again_counts_once_and_growth_lands_in_its_buckets() {
    let mut engine = Engine::new(plan(), 2);
    let ingest = engine.ingest();
    for (window, start, counts) in [(0, 0, [5, 1]), (1, 0, [7, 4]), (1, 0, [7, 4]), (3, 2, [1, 0])] {
        let point = durations(T0 + start * MINUTE, T0 + window * MINUTE + 1, counts);
        observe(&ingest, Signal::Metrics, &metrics(PROD, vec![histogram(Cumulative, vec![point])]));
    }
    engine.finish(NOW, GENERATED_AT);
    let bins = cells(&engine).into_values().flat_map(|cell| cell.metrics.into_values()).map(|sketch| {
        let bins = sketch.distribution().bins().iter().map(|bin| bin.count).collect::<Vec<_>>();
        (sketch.n, bins)
    });
    assert_eq!(bins.collect::<Vec<_>>(), [(6, vec![5.0, 1.0]), (5, vec![2.0, 3.0]), (1, vec![1.0])]);
}

#[test]
fn an_environment_that_lags_holds_the_window_open_until_it_is_idle() {
    let mut engine = Engine::new(Plan { observed_from_ns: T0, ..plan() }, 1);
    both(&engine, T0 + 1, 1);
    let ingest = engine.ingest();
    let ahead = traces(PROD, vec![span(T0 + 3 * MINUTE, MS)]);
    ingest.observe(T0 + 3 * MINUTE, None, Signal::Traces, &ahead).expect("a request");
    assert!(engine.advance(T0 + 3 * MINUTE, GENERATED_AT).is_empty(), "the canary may still send");
    assert!(!engine.advance(T0 + 5 * MINUTE + 1, GENERATED_AT).is_empty(), "the canary is idle");
    assert_eq!(sealed(&engine), [0]);
}

#[test]
fn recorded_windows_of_another_hour_are_compared_by_their_offset() {
    let mut comparison = Comparison {
        name: "hour".to_owned(),
        baseline: "prod".to_owned(),
        candidate: "prod".to_owned(),
        services: Vec::new(),
        offset_ns: 10 * MINUTE,
        traffic: None,
    };
    let named = Comparisons::Named(vec![comparison.clone()]);
    let mut engine = Engine::new(Plan { comparisons: named, period_windows: 2, ..plan() }, 1);
    for (window, spans) in [(0, 3), (1, 4), (5, 9), (10, 5), (11, 6)] {
        let spans = (0..spans).map(|at| span(T0 + window * MINUTE + at, MS)).collect();
        observe(&engine.ingest(), Signal::Traces, &traces(PROD, spans));
    }
    let report = finish(&mut engine);
    let latency = &report.services[0].operations[0].latency;
    assert_eq!((latency.n_baseline, latency.n_candidate, latency.source), (7, 11, Source::Spans));
    comparison.offset_ns = 0;
    let judgement = engine.judge(&comparison, NOW, GENERATED_AT);
    assert_eq!(judgement.report.services[0].operations[0].latency.n_baseline, 11);
}
