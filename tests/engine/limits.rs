//! Every bound of [`Limits`]: what happens when it is reached, that it is counted, and that nothing else is lost.

use crate::build::*;
use isotel::agent::prometheus::{Point, Value};
use isotel::agent::telemetry::of_engine;
use isotel::engine::{Engine, Plan};
use isotel::judge::Report;
use isotel::model::operation::OVERFLOW;
use isotel::model::{Limit, Limits};
use isotel::wire::Signal;
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality::{Cumulative, Delta};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::BTreeMap;

/// An engine with these bounds that has seen some requests of traces.
fn judged(limits: Limits, requests: &[Vec<u8>]) -> (Report, Engine) {
    let mut engine = Engine::new(limited(limits), 1);
    let ingest = engine.ingest();
    for request in requests {
        assert!(observe(&ingest, Signal::Traces, request).is_empty(), "a bound refuses no item");
    }
    (finish(&mut engine), engine)
}

fn routes(sender: Sender<'_>, names: &[&str]) -> Vec<u8> {
    traces(sender, names.iter().map(|name| span_of(name, T0)).collect())
}

fn owned(pairs: &[(&str, &str, u64)]) -> BTreeMap<(String, String), u64> {
    pairs.iter().map(|(env, operation, n)| (((*env).to_owned(), (*operation).to_owned()), *n)).collect()
}

#[test]
fn environments_beyond_the_bound_are_counted_and_belong_to_no_side() {
    let limits = Limits { environments: 2, ..Limits::default() };
    let sent: Vec<Vec<u8>> = ["prod", "canary", "third", "fourth", "prod"]
        .map(|environment| routes(Sender { environment, ..PROD }, &["/a"]))
        .to_vec();
    let (report, engine) = judged(limits, &sent);
    assert_eq!(hits(&report, "environments"), 2);
    assert_eq!(spans_by_operation(&engine), owned(&[("prod", "GET /a", 2), ("canary", "GET /a", 1)]));
    assert_eq!((report.input.spans, report.input.rejected.get("no_environment")), (5, Some(&2)));
}

#[test]
fn an_environment_that_is_in_no_window_any_more_leaves_its_place_to_the_next_release() {
    let limits = Limits { environments: 6, ..Limits::default() };
    let mut engine = Engine::new(Plan { observed_from_ns: T0, period_windows: 4, ..limited(limits) }, 2);
    let send = |engine: &mut Engine, environment: &str, minute: u64| {
        let end_ns = T0 + minute * MINUTE + MS;
        let request = traces(Sender { environment, ..PROD }, vec![span(end_ns, MS)]);
        engine.ingest().observe(end_ns, None, Signal::Traces, &request).unwrap();
        engine.advance(end_ns, GENERATED_AT);
        engine.names().find_environment(environment)
    };
    let prod = send(&mut engine, "prod", 0);
    // A release every four minutes, each with a name of its own.
    for minute in 0..80 {
        assert_eq!(send(&mut engine, "prod", minute), prod);
        assert!(send(&mut engine, &format!("release-{}", minute / 4), minute).is_some(), "minute {minute}");
    }
    // Numbers are not given twice, and who invents names finds no more places than there are.
    assert_eq!(engine.names().environments().len(), 21);
    let invented = (0..10).filter(|n| send(&mut engine, &format!("invented-{n}"), 80).is_some()).count();
    assert!(invented <= 4, "{invented} of ten");
}

#[test]
fn services_beyond_the_bound_are_counted_and_known_ones_go_on() {
    let limits = Limits { services: 2, ..Limits::default() };
    let sent: Vec<Vec<u8>> = ["cart", "pay", "third", "cart", "third", "fourth"]
        .map(|service| routes(Sender { service, ..PROD }, &["/a", "/b"]))
        .to_vec();
    let (report, engine) = judged(limits, &sent);
    assert_eq!(hits(&report, "services"), 2);
    assert_eq!(report.input.rejected, BTreeMap::from([("too_many_services".to_owned(), 6)]));
    let services: BTreeMap<String, u64> =
        cells(&engine).into_iter().fold(BTreeMap::new(), |mut sum, (key, cell)| {
            *sum.entry(key.2).or_default() += cell.latency.n();
            sum
        });
    assert_eq!(services, BTreeMap::from([("cart".to_owned(), 4), ("pay".to_owned(), 2)]));
}

#[test]
fn bounds_that_were_reached_are_among_the_agents_own_metrics_by_their_key() {
    let limits = Limits { services: 1, ..Limits::default() };
    let sent = ["cart", "pay"].map(|service| routes(Sender { service, ..PROD }, &["/a"]));
    let (_, engine) = judged(limits, &sent);
    let families = of_engine(engine.ingest())();
    let hits = families.iter().find(|family| family.name == "isotel_engine_limit_hits").unwrap();
    assert_eq!(hits.points, [Point::new(&[("limit", "services")], Value::Count(1))]);
}

#[test]
fn operations_beyond_the_bound_overflow_within_their_service_and_environment() {
    let limits = Limits { operations_per_service: 2, ..Limits::default() };
    let pay = Sender { service: "pay", ..CANARY };
    let sent = [
        routes(PROD, &["/a", "/b", "/c", "/d", "/a"]),
        routes(CANARY, &["/b", "/e", "/f", "/c"]),
        routes(pay, &["/x", "/y"]),
    ];
    let (report, engine) = judged(limits, &sent);
    let of = |wanted: &str| -> BTreeMap<(String, String), u64> {
        let cells = cells(&engine).into_iter().filter(|(key, _)| key.2 == wanted);
        cells.map(|(key, cell)| ((key.1, key.3), cell.latency.n())).collect()
    };
    let cart = [
        ("prod", "GET /a", 2),
        ("prod", "GET /b", 1),
        ("prod", OVERFLOW, 2),
        ("canary", "GET /b", 1),
        ("canary", OVERFLOW, 3),
    ];
    assert_eq!(of("cart"), owned(&cart));
    assert_eq!(of("pay"), owned(&[("canary", "GET /x", 1), ("canary", "GET /y", 1)]));
    assert_eq!(hits(&report, "operations_per_service"), 4, "c, d, e and f");
    let overflow =
        report.services[0].operations.iter().find(|op| *op.operation == *OVERFLOW).expect("judged");
    assert_eq!((overflow.latency.n_baseline, overflow.latency.n_candidate), (2, 3));
}

#[test]
fn series_beyond_the_bound_overflow_within_their_service_and_environment() {
    let limits = Limits { series: 3, ..Limits::default() };
    let pay = Sender { service: "pay", ..CANARY };
    let (report, engine) =
        judged(limits, &[routes(PROD, &["/a", "/b", "/c"]), routes(pay, &["/x", "/y", "/x"])]);
    let expected =
        [("prod", "GET /a", 1), ("prod", "GET /b", 1), ("prod", "GET /c", 1), ("canary", OVERFLOW, 3)];
    assert_eq!(spans_by_operation(&engine), owned(&expected));
    let key = cells(&engine).into_keys().find(|key| key.3 == OVERFLOW).expect("an overflow series");
    assert_eq!((key.1.as_str(), key.2.as_str()), ("canary", "pay"));
    assert_eq!(hits(&report, "series"), 2, "x and y");
}

#[test]
fn instances_beyond_the_bound_are_counted_as_one_and_keep_their_requests() {
    let limits = Limits { instances_per_series: 2, ..Limits::default() };
    let sent: Vec<Vec<u8>> =
        ["a", "b", "c", "d", "a", "c"].map(|instance| routes(Sender { instance, ..PROD }, &["/a"])).to_vec();
    let (report, engine) = judged(limits, &sent);
    let cells = cells(&engine);
    let cell = cells.values().next().expect("one");
    assert_eq!(cell.instances.iter().map(|(_, counts)| counts.n).collect::<Vec<_>>().iter().sum::<u64>(), 6);
    assert_eq!((cells.len(), cell.instances.len(), cell.latency.n()), (1, 3, 6));
    assert_eq!(hits(&report, "instances_per_series"), 3, "spans of c and d");
}

#[test]
fn telemetry_items_beyond_the_bound_are_counted_and_cost_no_span() {
    let limits = Limits { items: 3, ..Limits::default() };
    let with = |key: &str| {
        let mut span = span_of("/a", T0);
        span.attributes.push(text(key, "x"));
        span
    };
    // Method and route are two items, so one key of three finds room, and neither scope, resource nor its two attributes do.
    let (report, engine) =
        judged(limits, &[traces(PROD, vec![with("k1"), with("k2"), with("k3"), with("k1")])]);
    assert_eq!(hits(&report, "items"), 2 + 4);
    let items: usize = engine.windows().map(|window| window.presence.len()).sum();
    assert_eq!((items, report.input.spans), (3, 4));
    assert_eq!(spans_by_operation(&engine), owned(&[("prod", "GET /a", 4)]));
}

#[test]
fn metrics_beyond_the_item_bound_are_counted_and_still_give_latency() {
    let mut engine = Engine::new(limited(Limits { items: 1, ..Limits::default() }), 1);
    let list = vec![gauge("first", T0, 1.0), histogram(Delta, vec![durations(T0, T0 + 1, [3, 4])])];
    observe(&engine.ingest(), Signal::Metrics, &metrics(PROD, list));
    let report = finish(&mut engine);
    let beyond =
        "the histogram and its two attribute keys, the scope, the resource and its two attribute keys";
    assert_eq!(hits(&report, "items"), 7, "{beyond}");
    assert_eq!(metric_requests(&engine), BTreeMap::from([(0, 7)]));
}

#[test]
fn attribute_shapes_beyond_the_bound_are_counted_and_cost_no_span() {
    let limits = Limits { shapes_per_series: 2, ..Limits::default() };
    let with = |key: &str| Span {
        attributes: [span_of("/a", T0).attributes, vec![text(key, "x")]].concat(),
        ..span_of("/a", T0)
    };
    let spans = ["k1", "k2", "k3", "k1", "k4", "k3"].map(with).to_vec();
    let (report, engine) = judged(limits, &[traces(PROD, spans)]);
    assert_eq!(hits(&report, "shapes_per_series"), 3, "spans with k3 and k4");
    assert_eq!(spans_by_operation(&engine), owned(&[("prod", "GET /a", 6)]));
    let names: Vec<(String, u64)> = engine
        .windows()
        .flat_map(|window| &window.presence)
        .map(|((_, item), seen)| (engine.names().item_key(*item).name.to_string(), seen.count))
        .filter(|(name, _)| name.starts_with('k'))
        .collect();
    assert_eq!(names, [("k1".to_owned(), 2), ("k2".to_owned(), 1)]);
}

#[test]
fn names_beyond_the_bound_are_cut_at_a_character_and_counted_once_each() {
    let limits = Limits { name_bytes: 16, ..Limits::default() };
    let long = format!("/{}", "é".repeat(20));
    let service = "s".repeat(17);
    let sender = Sender { service: &service, ..PROD };
    let mut span = span_of(&long, T0);
    span.attributes.push(text("an.attribute.key.beyond", "x"));
    let (report, engine) =
        judged(limits, &[traces(sender, vec![span.clone(), span.clone()]), traces(sender, vec![span])]);
    let cells = cells(&engine);
    let (key, cell) = cells.iter().next().expect("one");
    assert_eq!((key.2.as_str(), key.3.as_str()), ("ssssssssssssssss", "GET /ééééé"));
    assert_eq!((cells.len(), cell.latency.n()), (1, 3));
    // The service, its operation, and the keys http.request.method, an.attribute.key.beyond and
    // deployment.environment.name.
    assert_eq!(hits(&report, "name_bytes"), 5);
}

#[test]
fn names_within_the_bound_are_whole_and_not_counted() {
    let limits = Limits { name_bytes: 27, ..Limits::default() };
    let (report, engine) = judged(limits, &[routes(PROD, &["/exactly/twenty-seven/b"])]);
    assert_eq!(spans_by_operation(&engine), owned(&[("prod", "GET /exactly/twenty-seven/b", 1)]));
    assert_eq!(hits(&report, "name_bytes"), 0);
}

#[test]
fn windows_beyond_the_bound_close_the_oldest_early_and_older_ones_are_late() {
    let limits = Limits { open_windows: 2, ..Limits::default() };
    let at = |window: u64| traces(PROD, vec![span(T0 + window * MINUTE, MS)]);
    let (report, engine) = judged(limits, &[at(1), at(2), at(3), at(1), at(0), at(2)]);
    let spans: BTreeMap<i64, u64> =
        cells(&engine).into_iter().map(|(key, cell)| (key.0, cell.latency.n())).collect();
    assert_eq!(spans, BTreeMap::from([(1, 2), (2, 2), (3, 1)]), "what is closed early is still merged");
    assert_eq!(hits(&report, "open_windows"), 1, "window 3 closed window 1");
    assert_eq!(report.input.rejected, BTreeMap::from([("late".to_owned(), 1)]), "window 0");
}

#[test]
fn windows_never_exceed_twice_the_bound_however_fast_time_goes() {
    let limits = Limits { open_windows: 2, ..Limits::default() };
    let sent: Vec<Vec<u8>> =
        (0..10).map(|window| traces(PROD, vec![span(T0 + window * MINUTE, MS)])).collect();
    let (report, engine) = judged(limits, &sent);
    assert_eq!(engine.windows().count(), 4);
    assert_eq!((hits(&report, "open_windows"), report.input.rejected["late"]), (8, 6));
}

#[test]
fn metric_streams_beyond_the_bound_are_counted_and_known_ones_go_on() {
    let mut engine = Engine::new(limited(Limits { metric_streams: 2, ..Limits::default() }), 1);
    let ingest = engine.ingest();
    for window in 0..2 {
        for (at, instance) in ["a", "b", "c"].into_iter().enumerate() {
            let point = durations(T0, T0 + window * MINUTE + at as u64, [1 + window, 1]);
            let list = vec![histogram(Cumulative, vec![point])];
            observe(&ingest, Signal::Metrics, &metrics(Sender { instance, ..PROD }, list));
        }
    }
    let report = finish(&mut engine);
    assert_eq!(hits(&report, "metric_streams"), 2, "c, in each window");
    assert_eq!((metric_requests(&engine), report.input.metric_points), (BTreeMap::from([(0, 4), (1, 2)]), 6));
}

#[test]
fn findings_beyond_the_bound_are_cut_by_importance_and_counted() {
    let requests = |limits: Limits| {
        let sent: Vec<Vec<u8>> =
            ["a", "b", "c"].map(|service| routes(Sender { service, ..PROD }, &["/x"])).to_vec();
        judged(limits, &[sent, vec![routes(Sender { service: "d", ..CANARY }, &["/x"])]].concat()).0
    };
    let (all, cut) = (requests(Limits::default()), requests(Limits { findings: 2, ..Limits::default() }));
    assert_eq!((all.findings.len(), cut.findings.len()), (4, 2));
    assert_eq!(cut.findings[..], all.findings[..2]);
    assert_eq!((hits(&all, "findings"), hits(&cut, "findings")), (0, 2));
}

#[test]
fn parents_are_looked_for_in_fewer_traces_where_there_are_more_spans_than_the_bound() {
    let judged = |sampled_spans| {
        let span = |trace: u64, id: u8, parent: &[u8]| Span {
            trace_id: [trace.to_be_bytes(); 2].concat(),
            span_id: vec![id; 8],
            parent_span_id: parent.to_vec(),
            ..span(T0 + trace, 1)
        };
        // Of every four traces one has lost its root.
        let trace = |n: u64| {
            [span(n, 1, &[]), span(n, 2, &[1; 8])].into_iter().skip(usize::from(n.is_multiple_of(4)))
        };
        let sent: Vec<Vec<u8>> =
            [PROD, CANARY].map(|side| traces(side, (1..=2_000).flat_map(trace).collect())).to_vec();
        let (report, _) = judged(Limits { sampled_spans, ..Limits::default() }, &sent);
        report.services[0].completeness.clone().expect("told").candidate.expect("sends")
    };
    let (all, some) = (judged(4_096), judged(1_000));
    assert_eq!((all.parents_sought, all.broken_parent_share), (2_000, Some(0.25)));
    assert!((200..=1_000).contains(&some.parents_sought), "{}", some.parents_sought);
    let share = some.broken_parent_share.expect("told");
    assert!((share - 0.25).abs() < 0.06, "four standard deviations: {share}");
}

#[test]
fn an_event_may_lie_ahead_by_the_skew_and_no_more() {
    let plan = Plan { limits: Limits { future_skew_ns: 5, ..Limits::default() }, ..plan() };
    let mut engine = Engine::new(plan, 1);
    let request = traces(PROD, vec![span(NOW + 5, MS), span(NOW + 6, MS)]);
    assert_eq!(observe(&engine.ingest(), Signal::Traces, &request), [("time_in_future", 1)].into());
    assert_eq!(finish(&mut engine).input.spans, 1);
}

#[test]
fn bounds_are_hit_without_a_panic_when_all_are_as_low_as_they_go() {
    let limits = Limits {
        environments: 0,
        services: 0,
        operations_per_service: 0,
        series: 0,
        instances_per_series: 0,
        instances: 0,
        items: 0,
        error_types_per_service: 0,
        dependencies_per_service: 0,
        shapes_per_series: 0,
        counted_attributes: 0,
        resource_attributes: 0,
        name_bytes: 0,
        open_windows: 0,
        sampled_spans: 0,
        metric_streams: 0,
        facts_per_service: 0,
        values: 0,
        values_per_service: 0,
        texts_per_value: 0,
        future_skew_ns: 0,
        findings: 0,
        sessions: 0,
        snapshot_bytes: 0,
        sources: 0,
    };
    let one = |raise: &dyn Fn(&mut Limits)| {
        let mut limits = limits.clone();
        raise(&mut limits);
        let mut engine = Engine::new(Plan { warmup_ns: 1, ..limited(limits) }, 2);
        let ingest = engine.ingest();
        for window in 0..3 {
            let time = T0 + window * MINUTE;
            observe(&ingest, Signal::Traces, &traces(PROD, vec![span(time, MS), span_of("/other", time)]));
            let list = vec![gauge("a", time, 1.0), histogram(Cumulative, vec![durations(T0, time, [1, 1])])];
            observe(&ingest, Signal::Metrics, &metrics(CANARY, list));
        }
        finish(&mut engine)
    };
    assert_eq!(one(&|_| {}).input.spans, 6);
    let report = one(&|limits| (limits.environments, limits.services, limits.open_windows) = (2, 2, 2));
    let told: Vec<&str> =
        report.limits_hit.iter().map(|hit| hit.split(':').next().expect("a word")).collect();
    let expected = [
        Limit::OperationsPerService,
        Limit::InstancesPerSeries,
        Limit::Items,
        Limit::ShapesPerSeries,
        Limit::ResourceAttributes,
        Limit::NameBytes,
        Limit::MetricStreams,
        Limit::ValuesPerService,
    ];
    for limit in expected {
        assert!(told.contains(&limit.as_str()), "{} is not among {told:?}", limit.as_str());
    }
}
