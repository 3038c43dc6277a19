//! A new instance's first minutes: seen, told, and no evidence.

use crate::build::*;
use isotel::engine::{Engine, Event, Ingest, Plan};
use isotel::judge::Report;
use isotel::judge::verdict::{Level, Warmup};
use isotel::model::Limits;
use isotel::window::SealedCell;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality::{Cumulative, Delta};
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;

/// The warm-up of these tests, two windows.
const WARMUP: u64 = 2 * MINUTE;

fn warming() -> Plan {
    Plan { warmup_ns: WARMUP, ..plan() }
}

fn pod(environment: &'static str, instance: &'static str) -> Sender<'static> {
    Sender { environment, service: "cart", instance }
}

/// Sixty requests in each of some windows, one a second.
fn traffic(windows: std::ops::Range<u64>, duration_ns: u64) -> Vec<Span> {
    let seconds = windows.start * 60..windows.end * 60;
    seconds.map(|second| span(T0 + second * MINUTE / 60, duration_ns + second)).collect()
}

fn only(report: &Report) -> (u64, u64, Option<Warmup>) {
    let operation = &report.services[0].operations[0];
    (operation.latency.n_baseline, operation.latency.n_candidate, operation.warmup)
}

fn left_out(baseline: u64, candidate: u64) -> Option<Warmup> {
    Some(Warmup { baseline, candidate })
}

/// A live engine that has watched since [`T0`], to which each window's requests come when the window is over.
fn live(plan: Plan, pods: &[(Sender<'static>, std::ops::Range<u64>)], windows: u64) -> (Engine, Report) {
    let mut engine = Engine::new(Plan { observed_from_ns: T0, ..plan }, 2);
    let ingest = engine.ingest();
    for window in 0..windows {
        let now_ns = T0 + (window + 1) * MINUTE;
        for (sender, of) in pods.iter().filter(|(_, of)| of.contains(&window)) {
            assert!(of.end <= windows);
            let request = traces(*sender, traffic(window..window + 1, 5 * MS));
            ingest.observe(now_ns, None, Signal::Traces, &request).expect("a request");
        }
        engine.advance(now_ns + 20_000 * MS, GENERATED_AT);
    }
    engine.finish(T0 + windows * MINUTE, GENERATED_AT);
    let report = Report::clone(engine.reports().next().expect("one comparison"));
    (engine, report)
}

#[test]
fn the_first_minutes_of_each_recorded_instance_are_told_and_are_no_evidence() {
    let mut engine = Engine::new(warming(), 1);
    let ingest = engine.ingest();
    // Cold requests take a hundred times as long; with them the canary would be slower.
    let mut cold = traffic(3..5, 500 * MS);
    cold.extend(traffic(5..9, 5 * MS));
    observe(&ingest, Signal::Traces, &traces(pod("prod", "a"), traffic(0..9, 5 * MS)));
    observe(&ingest, Signal::Traces, &traces(pod("canary", "b"), cold));
    let report = finish(&mut engine);
    assert_eq!(only(&report), (420, 240, left_out(120, 120)));
    let operation = &report.services[0].operations[0];
    assert!(operation.latency.quantiles.iter().all(|at| at.candidate_s.get().is_some_and(|s| s < 0.01)));
    assert_eq!((operation.errors.baseline.n, operation.errors.candidate.n), (420, 240));
    // They were there: in the input, in the volume, and in what is expected of the candidate.
    assert_eq!(report.input.spans, 900);
    let per_s = (operation.volume.baseline_per_s.get(), operation.volume.candidate_per_s.get());
    assert_eq!(per_s, (Some(1.0), Some(360.0 / 540.0)));
    let seen: u64 = cells(&engine).values().filter_map(|cell| cell.seen).map(|seen| seen.count).sum();
    assert_eq!(seen, 900);
    let told = report.findings.iter().find(|finding| finding.title == "warm-up left out").expect("a finding");
    assert_eq!(told.level, Level::Info);
    assert!(told.message.starts_with("120 request(s) of the baseline and 120 of the candidate"));
}

#[test]
fn without_a_warm_up_everything_is_evidence_and_nothing_is_said() {
    let mut engine = Engine::new(plan(), 1);
    let ingest = engine.ingest();
    for sender in [pod("prod", "a"), pod("canary", "b")] {
        observe(&ingest, Signal::Traces, &traces(sender, traffic(0..2, 5 * MS)));
    }
    let report = finish(&mut engine);
    assert_eq!(only(&report), (120, 120, None));
    // That nobody states a version is all.
    let said: Vec<&str> = report.findings.iter().map(|finding| finding.title.as_str()).collect();
    assert_eq!(said, ["service.version not stated"]);
}

#[test]
fn a_process_that_says_when_it_was_created_is_as_old_as_it_says() {
    let mut engine = Engine::new(warming(), 1);
    let ingest = engine.ingest();
    // T0 is 2023-11-14T22:13:00Z.
    let old = created_at(pod("prod", "a").resource(), "2023-11-01T00:00:00+02:00");
    let young = created_at(pod("canary", "b").resource(), "2023-11-14T22:12:30.5Z");
    observe(&ingest, Signal::Traces, &traces_of(old, traffic(0..4, 5 * MS)));
    observe(&ingest, Signal::Traces, &traces_of(young, traffic(0..4, 5 * MS)));
    // Windows that begin within two minutes of its creation: the first two.
    assert_eq!(only(&finish(&mut engine)), (240, 120, left_out(0, 120)));
    // Neither a time that is none nor one after the request is believed.
    for nonsense in ["yesterday", "1960-01-01T00:00:00Z", "2099-01-01T00:00:00Z"] {
        let mut engine = Engine::new(warming(), 1);
        let ingest = engine.ingest();
        for environment in ["prod", "canary"] {
            let resource = created_at(pod(environment, "a").resource(), nonsense);
            observe(&ingest, Signal::Traces, &traces_of(resource, traffic(0..4, 5 * MS)));
        }
        assert_eq!(only(&finish(&mut engine)), (120, 120, left_out(120, 120)), "{nonsense}");
    }
}

#[test]
fn live_those_who_were_there_before_are_warm_and_those_who_come_are_not() {
    let (_, report) = live(
        warming(),
        &[
            (pod("prod", "a"), 0..9),
            (pod("prod", "b"), 1..9),
            // Begins anew at the fourth minute, as every pod of a release does.
            (pod("prod", "c"), 4..9),
            (pod("canary", "d"), 4..9),
        ],
        9,
    );
    // A pod's first request is at a window's start, so that two windows are left out.
    assert_eq!(only(&report), (9 * 60 + 8 * 60 + 3 * 60, 3 * 60, left_out(120, 120)));
    // Looks share one level, of which windows without evidence use up nothing.
    let sequential = report.services[0].operations[0].latency.sequential;
    assert_eq!(sequential.expect("polled").windows, 3);
}

#[test]
fn an_instance_without_a_name_is_its_service_in_its_environment() {
    let (_, report) = live(warming(), &[(pod("prod", ""), 0..9), (pod("canary", ""), 5..9)], 9);
    assert_eq!(only(&report), (540, 120, left_out(0, 120)));
}

#[test]
fn a_candidate_that_is_all_new_has_no_data_and_the_reason_says_why() {
    let (_, report) = live(warming(), &[(pod("prod", "a"), 0..5), (pod("canary", "b"), 4..5)], 5);
    assert_eq!(only(&report), (300, 0, left_out(0, 60)));
    let reason = &report.services[0].operations[0].latency.reason;
    assert_eq!(
        &**reason,
        "all 60 requests of the candidate came while their instances were warming up (parity.warmup)"
    );
    assert!(report.services[0].coverage.missing.is_empty(), "it was seen");
}

#[test]
fn a_warm_up_that_a_reload_brings_takes_nobody_for_new_who_was_there() {
    let mut engine = Engine::new(Plan { observed_from_ns: T0, ..plan() }, 2);
    let ingest = engine.ingest();
    for window in 0..9 {
        let now_ns = T0 + (window + 1) * MINUTE;
        if window == 3 {
            engine.replan(Plan { observed_from_ns: T0 + 3 * MINUTE, ..warming() });
        }
        let canary = pod("canary", if window < 6 { "b" } else { "c" });
        for sender in [pod("prod", "a"), canary] {
            let request = traces(sender, traffic(window..window + 1, 5 * MS));
            ingest.observe(now_ns, None, Signal::Traces, &request).expect("a request");
        }
        engine.advance(now_ns + 20_000 * MS, GENERATED_AT);
    }
    engine.finish(T0 + 9 * MINUTE, GENERATED_AT);
    let report = Report::clone(engine.reports().next().expect("one comparison"));
    assert_eq!(only(&report), (540, 420, left_out(0, 120)));
}

#[test]
fn what_endpoints_did_is_told_with_the_warm_up() {
    let mut engine = Engine::new(warming(), 1);
    observe(
        &engine.ingest(),
        Signal::Traces,
        &traces(pod("prod", "a"), vec![failed(span(T0, MS)), span(T0, MS)]),
    );
    let events = engine.finish(NOW, GENERATED_AT);
    let sealed = events.iter().find_map(|event| match event {
        Event::Sealed(windows) => Some(windows),
        _ => None,
    });
    let mut calls = Vec::new();
    for window in sealed.expect("sealed") {
        engine.endpoints(*window, &mut |e| calls.push((e.calls_ok, e.calls_error, e.latency.n())));
    }
    assert_eq!(calls, [(1, 1, 2)]);
}

#[test]
fn duration_metrics_of_a_new_instance_are_left_out_by_the_window_of_their_points() {
    for (temporality, per_window, expected) in
        [(Delta, [60, 60, 60, 60], (120, 120)), (Cumulative, [60, 120, 180, 240], (240, 120))]
    {
        let mut engine = Engine::new(warming(), 1);
        let ingest = engine.ingest();
        for (window, under) in (0..).zip(per_window) {
            let time_ns = T0 + window * MINUTE + MINUTE / 2;
            // The baseline's cumulative streams began a day ago, which says how old it is; deltas do not say it.
            let day = 24 * 60 * MINUTE;
            for (sender, began_ns) in [(pod("prod", "a"), T0 - day), (pod("canary", "b"), T0)] {
                let start_ns = if temporality == Delta { T0 + window * MINUTE } else { began_ns };
                let points = vec![durations(start_ns, time_ns, [under, 0])];
                observe(&ingest, Signal::Metrics, &metrics(sender, vec![histogram(temporality, points)]));
            }
        }
        let report = finish(&mut engine);
        // The first point of a stream that is older than the recording is the mark for the others.
        let baseline = expected.0 - if temporality == Cumulative { 60 } else { 0 };
        let warmup = left_out(if temporality == Delta { 120 } else { 0 }, 120);
        assert_eq!(only(&report), (baseline, expected.1, warmup), "{temporality:?}");
    }
}

#[test]
fn instances_beyond_the_bound_are_counted_and_count_as_warm_and_the_dead_make_room() {
    let limits = Limits { instances: 2, ..Limits::default() };
    let plan = Plan { limits, period_windows: 2, ..warming() };
    let (_, report) = live(
        plan.clone(),
        &[(pod("prod", "a"), 0..6), (pod("canary", "b"), 0..6), (pod("canary", "c"), 4..6)],
        6,
    );
    assert!(hits(&report, "instances") > 0, "{:?}", report.limits_hit);
    // The last two windows: all of them, for the third is not known to be new.
    assert_eq!(only(&report), (120, 240, None));
    let (_, report) =
        live(plan, &[(pod("prod", "a"), 0..9), (pod("canary", "b"), 0..2), (pod("canary", "c"), 8..9)], 9);
    assert_eq!(hits(&report, "instances"), 0);
    assert_eq!(only(&report), (120, 0, left_out(0, 60)));
}

#[test]
fn young_instances_beyond_the_bound_of_a_series_are_counted_and_lose_no_request() {
    let limits = Limits { instances_per_series: 1, ..Limits::default() };
    let mut engine = Engine::new(Plan { limits, ..warming() }, 1);
    let ingest = engine.ingest();
    for instance in ["a", "b"] {
        observe(&ingest, Signal::Traces, &traces(pod("prod", instance), traffic(0..1, MS)));
        observe(&ingest, Signal::Traces, &traces(pod("canary", instance), traffic(0..1, MS)));
    }
    let report = finish(&mut engine);
    assert_eq!(only(&report), (60, 60, left_out(60, 60)));
    assert_eq!(hits(&report, "instances_per_series"), 120);
}

/// One request: instance, window, second in it, whether it failed.
type Call = (&'static str, u64, u64, bool);

fn call() -> impl Strategy<Value = Call> {
    (select(vec!["a", "b", "c", ""]), 0..6u64, 0..60u64, any::<bool>())
}

fn time((_, window, second, _): &Call) -> u64 {
    T0 + window * MINUTE + second * 1_000 * MS
}

/// Requests and failures that are evidence, and those that are left out.
type Counts = [(u64, u64); 2];

fn count_naively(calls: &[Call], watched_from_ns: u64, warmup_ns: u64) -> Counts {
    let mut began: BTreeMap<&str, u64> = BTreeMap::new();
    for call in calls {
        began.entry(call.0).and_modify(|first| *first = time(call).min(*first)).or_insert(time(call));
    }
    let mut counts = Counts::default();
    for call in calls {
        let began = began[call.0];
        let new = watched_from_ns == 0 || began >= watched_from_ns + warmup_ns;
        let young = new && T0 + call.1 * MINUTE < began + warmup_ns;
        let count = &mut counts[usize::from(young)];
        *count = (count.0 + 1, count.1 + u64::from(call.3));
    }
    counts
}

fn count_by_engine(engine: &Engine) -> Counts {
    let mut counts = Counts::default();
    let mut add = |at: usize, cell: &SealedCell| {
        counts[at] = (counts[at].0 + cell.latency.n(), counts[at].1 + cell.errors);
        assert_eq!(cell.instances.iter().map(|(_, instance)| instance.n).sum::<u64>(), cell.latency.n());
    };
    for cell in cells(engine).values() {
        add(0, cell);
        cell.warming.iter().for_each(|warming| add(1, warming));
    }
    counts
}

/// Sends calls, one or all of an instance in a request.
fn send(ingest: &Ingest, now_ns: u64, calls: &[Call], batched: bool) {
    let request = |call: &Call| if call.3 { failed(span(time(call), MS)) } else { span(time(call), MS) };
    let send = |instance: &'static str, spans: Vec<Span>| {
        let refused = ingest.observe(now_ns, None, Signal::Traces, &traces(pod("prod", instance), spans));
        assert!(refused.is_ok_and(|refusals| refusals.iter().next().is_none()));
    };
    if !batched {
        return calls.iter().for_each(|call| send(call.0, vec![request(call)]));
    }
    let mut batches: BTreeMap<&'static str, Vec<Span>> = BTreeMap::new();
    calls.iter().for_each(|call| batches.entry(call.0).or_default().push(request(call)));
    batches.into_iter().for_each(|(instance, spans)| send(instance, spans));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_left_out_of_a_recording_is_what_a_naive_count_leaves_out(
        calls in vec(call(), 1..120), warmup_s in 1..300u64, shards in 1usize..4, batched in any::<bool>(),
    ) {
        let warmup_ns = warmup_s * 1_000 * MS;
        let mut engine = Engine::new(Plan { warmup_ns, ..plan() }, shards);
        send(&engine.ingest(), NOW, &calls, batched);
        engine.finish(NOW, GENERATED_AT);
        prop_assert_eq!(count_by_engine(&engine), count_naively(&calls, 0, warmup_ns));
    }

    #[test]
    fn what_is_left_out_live_does_not_depend_on_batches_or_on_when_windows_are_sealed(
        calls in vec(call(), 1..120), warmup_s in 1..200u64, shards in 1usize..4, batched in any::<bool>(),
        looked_at in vec(any::<bool>(), 6),
    ) {
        let warmup_ns = warmup_s * 1_000 * MS;
        let mut engine = Engine::new(Plan { warmup_ns, observed_from_ns: T0, ..plan() }, shards);
        let ingest = engine.ingest();
        for (window, looked_at) in (0..).zip(looked_at) {
            let now_ns = T0 + (window + 1) * MINUTE;
            let of_window: Vec<Call> = calls.iter().filter(|call| call.1 == window).copied().collect();
            send(&ingest, now_ns, &of_window, batched);
            if looked_at {
                engine.advance(now_ns, GENERATED_AT);
            }
        }
        engine.finish(NOW, GENERATED_AT);
        prop_assert_eq!(ingest.tally().late, BTreeMap::new());
        prop_assert_eq!(count_by_engine(&engine), count_naively(&calls, T0, warmup_ns));
    }
}
