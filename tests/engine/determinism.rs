//! The verdict JSON, catalogs and their coverage are the same bytes whatever the order of arrival and the number of shards.

use crate::build::*;
use isotel::catalog::{self, Catalog, to_yaml};
use isotel::engine::{Engine, Plan};
use isotel::judge::policy::{Policy, Tolerances};
use isotel::model::{EnvironmentId, Limits};
use isotel::report::{catalog_report, to_json};
use isotel::wire::Signal;
use isotel::yaml::Source;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, HistogramDataPoint, Metric,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Windows that generated telemetry lies in.
pub const WINDOWS: u64 = 4;

/// One request and the window that all of it lies in.
#[derive(Clone, Debug)]
pub struct Sent {
    pub window: u64,
    pub signal: Signal,
    pub request: Vec<u8>,
}

fn sender() -> impl Strategy<Value = Sender<'static>> {
    // One environment is in no comparison, and some resources name none.
    let environment = select(vec!["prod", "prod", "canary", "canary", "staging", ""]);
    (environment, select(vec!["cart", "checkout", ""]), select(vec!["a", "b", "c", ""]))
        .prop_map(|(environment, service, instance)| Sender { environment, service, instance })
}

/// A resource of such a sender, which may say when its process began.
fn resource() -> impl Strategy<Value = Resource> {
    let created =
        select(vec!["", "", "2023-11-14T22:12:30Z", "2023-11-14T22:14:10.5Z", "2001-01-01T00:00:00Z"]);
    (sender(), created).prop_map(|(sender, created)| created_at(sender.resource(), created))
}

/// A nanosecond of a window.
fn time_in(window: u64) -> impl Strategy<Value = u64> {
    (0..MINUTE).prop_map(move |offset| T0 + window * MINUTE + offset)
}

fn any_span(window: u64) -> impl Strategy<Value = Span> {
    let route = select(vec!["/cart", "/cart/{id}", "/pay"]);
    let duration = prop_oneof![Just(5 * MS), 1..2_000 * MS];
    let extra = proptest::option::of((select(vec!["a", "b", "c", "faas.coldstart"]), select(vec![1u8, 2])));
    let tracestate = select(vec!["", "", "", "ot=th:8", "ot=th:c"]);
    let defect = select(vec![false, false, false, false, false, false, false, true]);
    // Few ids, so that some parents come, some come twice, and some never.
    let ids = (1..12u8, 1..6u8, 0..6u8);
    let rest = (0..3i32, tracestate, any::<bool>(), defect, ids);
    (time_in(window), duration, route, 0..4i32, extra, rest).prop_map(
        |(end, duration, route, kind, extra, (status, tracestate, event, defect, (trace, id, parent)))| {
            let mut span = Span { kind, ..span_of(route, end) };
            span.trace_id = vec![trace; 16];
            span.span_id = vec![id; 8];
            span.parent_span_id = if parent == 0 { Vec::new() } else { vec![parent; 8] };
            if kind == 3 {
                let host = ["stock.prod", "stock.canary", "10.0.0.7", "pay"][(end % 4) as usize];
                span.attributes.push(text("server.address", host));
            }
            span.start_time_unix_nano = if defect { end + 1 } else { end - duration };
            span.trace_state = tracestate.to_owned();
            span.status = Some(Status { code: status, ..Status::default() });
            if event {
                span.events = vec![Event { name: "retry".to_owned(), ..Event::default() }];
            }
            if let Some((key, kind)) = extra {
                let value = if kind == 1 { Value::IntValue(4) } else { Value::BoolValue(true) };
                span.attributes.push(attribute(key, value));
            }
            span
        },
    )
}

fn temporality() -> impl Strategy<Value = AggregationTemporality> {
    select(vec![
        AggregationTemporality::Delta,
        AggregationTemporality::Cumulative,
        AggregationTemporality::Unspecified,
    ])
}

/// Points that repeat times, starts, counts and bounds more often than any sender would.
fn explicit(window: u64) -> impl Strategy<Value = Metric> {
    let time = (0..4u64).prop_map(move |step| T0 + window * MINUTE + 10 + step);
    let start = select(vec![0, T0 - MINUTE, T0 + 1, T0 + MINUTE]);
    let point = (time, start, [0..5u64, 0..5u64], select(vec![0.1, 0.25]), 0..3u32).prop_map(
        |(time, start, counts, bound, sum)| HistogramDataPoint {
            explicit_bounds: vec![bound],
            sum: Some(f64::from(sum) / 3.0),
            ..durations(start, time, counts)
        },
    );
    (vec(point, 1..4), temporality()).prop_map(|(points, temporality)| histogram(temporality, points))
}

fn exponential(window: u64) -> impl Strategy<Value = Metric> {
    let time = (0..4u64).prop_map(move |step| T0 + window * MINUTE + 10 + step);
    let point = (time, 0..3i32, -8..0i32, vec(0..4u64, 0..5), 0..2u64).prop_map(
        |(time, scale, offset, bucket_counts, zero_count)| ExponentialHistogramDataPoint {
            attributes: durations(0, 0, [0, 0]).attributes,
            start_time_unix_nano: T0,
            time_unix_nano: time,
            count: bucket_counts.iter().sum::<u64>() + zero_count,
            scale,
            zero_count,
            positive: Some(Buckets { offset, bucket_counts }),
            ..ExponentialHistogramDataPoint::default()
        },
    );
    (vec(point, 1..4), temporality(), select(vec!["s", "ms"])).prop_map(|(data_points, temporality, unit)| {
        Metric {
            unit: unit.to_owned(),
            data: Some(Data::ExponentialHistogram(ExponentialHistogram {
                data_points,
                aggregation_temporality: temporality as i32,
            })),
            ..histogram(temporality, Vec::new())
        }
    })
}

fn plain_metric(window: u64) -> impl Strategy<Value = Metric> {
    (select(vec!["queue.depth", "queue.age", ""]), time_in(window), -1.0..1.0f64)
        .prop_map(|(name, time, value)| gauge(name, time, if value > 0.9 { f64::NAN } else { value }))
}

fn record(window: u64) -> impl Strategy<Value = LogRecord> {
    (time_in(window), 0..25i32, select(vec!["", "", "retry"])).prop_map(|(time, severity_number, event)| {
        LogRecord {
            time_unix_nano: time,
            severity_number,
            event_name: event.to_owned(),
            attributes: vec![text("k", "v")],
            ..LogRecord::default()
        }
    })
}

/// Spans through libraries of several versions, from resources of several versions, which evaluate a flag.
fn stating(window: u64) -> impl Strategy<Value = Vec<u8>> {
    let version = || select(vec!["1.0", "1.1", "2.0"]);
    let scope = (select(vec!["io.tomcat", "io.jdbc", ""]), version(), vec(any_span(window), 1..4));
    let flag = select(vec!["on", "off", "half"]);
    (sender(), version(), version(), vec(scope, 1..3), flag).prop_map(
        |(sender, release, runtime, scopes, variant)| {
            let mut resource = sender.resource();
            resource.attributes.push(text("service.version", release));
            resource.attributes.push(text("process.runtime.version", runtime));
            let of_scope = |(name, version, mut spans): (&str, &str, Vec<Span>)| {
                let attributes =
                    vec![text("feature_flag.key", "f"), text("feature_flag.result.variant", variant)];
                let event =
                    Event { name: "feature_flag.evaluation".to_owned(), attributes, ..Event::default() };
                spans.iter_mut().for_each(|span| span.events.push(event.clone()));
                (name.to_owned(), version.to_owned(), spans)
            };
            traces_through(resource, scopes.into_iter().map(of_scope).collect())
        },
    )
}

pub fn sent() -> impl Strategy<Value = Sent> {
    let of_window = |window: u64| {
        let metric = prop_oneof![explicit(window), exponential(window), plain_metric(window)];
        let request = prop_oneof![
            1 => stating(window).prop_map(|request| (Signal::Traces, request)),
            3 => (resource(), vec(any_span(window), 1..10))
                .prop_map(|(of, spans)| (Signal::Traces, traces_of(of, spans))),
            2 => (resource(), vec(metric, 1..4)).prop_map(|(of, list)| (Signal::Metrics, metrics_of(of, list))),
            1 => (sender(), vec(record(window), 1..4)).prop_map(|(s, records)| (Signal::Logs, logs(s, records))),
        ];
        request.prop_map(move |(signal, request)| Sent { window, signal, request })
    };
    (0..WINDOWS).prop_flat_map(of_window)
}

/// Requests and two further orders of them.
fn in_three_orders() -> impl Strategy<Value = [Vec<Sent>; 3]> {
    vec(sent(), 1..40).prop_flat_map(|sent| {
        (Just(sent.clone()), Just(sent.clone()).prop_shuffle(), Just(sent).prop_shuffle())
            .prop_map(|(one, other, third)| [one, other, third])
    })
}

/// A plan that judges on few requests, so that every part of the report has something in it.
pub fn eager(warmup_ns: u64) -> Plan {
    let tolerances = Tolerances { min_requests: 3, ..Tolerances::default() };
    // So few that most of what is stated is beyond the bound, and some traces are.
    let limits = Limits { facts_per_service: 3, sampled_spans: 8, ..Limits::default() };
    Plan {
        warmup_ns,
        policy: Policy { tolerances: tolerances.into(), ..Policy::default() },
        limits,
        ..plan()
    }
}

pub fn warmup() -> impl Strategy<Value = u64> {
    select(vec![0, 1, MINUTE / 3, MINUTE, 3 * MINUTE / 2])
}

fn recorded_verdict(sent: &[Sent], shards: usize, warmup_ns: u64) -> String {
    let mut engine = Engine::new(eager(warmup_ns), shards);
    let ingest = engine.ingest();
    for sent in sent {
        observe(&ingest, sent.signal, &sent.request);
    }
    to_json(&finish(&mut engine))
}

/// The verdicts of a live engine to which each window's requests arrive in the given order.
fn live_verdicts(sent: &[Sent], shards: usize, warmup_ns: u64) -> Vec<String> {
    let mut engine = Engine::new(Plan { observed_from_ns: T0, ..eager(warmup_ns) }, shards);
    let ingest = engine.ingest();
    let mut verdicts = Vec::new();
    for window in 0..WINDOWS {
        let now_ns = T0 + (window + 1) * MINUTE;
        for sent in sent.iter().filter(|sent| sent.window == window) {
            ingest.observe(now_ns, None, sent.signal, &sent.request).expect("a request of the signal");
        }
        engine.advance(now_ns, GENERATED_AT);
        verdicts.extend(engine.reports().map(|report| to_json(report)));
    }
    engine.finish(T0 + WINDOWS * MINUTE, GENERATED_AT);
    verdicts.extend(engine.reports().map(|report| to_json(report)));
    verdicts
}

/// The catalog that is inferred, and how each environment covers a catalog.
fn catalog_and_coverage(
    sent: &[Sent],
    shards: usize,
    expected: Option<&Catalog>,
) -> (Catalog, String, String) {
    let mut engine = Engine::new(eager(0), shards);
    let ingest = engine.ingest();
    for sent in sent {
        observe(&ingest, sent.signal, &sent.request);
    }
    engine.finish(NOW, GENERATED_AT);
    let catalog = engine.infer();
    let environments = (0..engine.names().environments().len()).map(|at| EnvironmentId(at as u16)).collect();
    let report = engine.hold(expected.unwrap_or(&catalog), environments, NOW, GENERATED_AT);
    let yaml = to_yaml(&catalog);
    (catalog, yaml, catalog_report::to_json(&report))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_catalog_and_its_coverage_are_the_same_bytes_in_any_order_on_any_number_of_shards(
        orders in in_three_orders(), other in vec(sent(), 1..20),
    ) {
        let (expected, ..) = catalog_and_coverage(&other, 1, None);
        let (_, yaml, coverage) = catalog_and_coverage(&orders[0], 1, Some(&expected));
        let read = [Source { name: "catalog.yaml".to_owned(), text: yaml.clone() }];
        let nothing = yaml.ends_with("services:\n");
        prop_assert!(nothing || catalog::read(&read).is_ok(), "{}", yaml);
        for (order, sent) in orders.iter().enumerate() {
            for shards in [1, 7] {
                let (_, again, covered) = catalog_and_coverage(sent, shards, Some(&expected));
                prop_assert_eq!(&again, &yaml, "order {}, {} shards", order, shards);
                prop_assert_eq!(&covered, &coverage, "order {}, {} shards", order, shards);
            }
        }
    }

    #[test]
    fn a_verdict_is_the_same_bytes_in_any_order_on_any_number_of_shards(
        orders in in_three_orders(), warmup_ns in warmup(),
    ) {
        let expected = recorded_verdict(&orders[0], 1, warmup_ns);
        for (order, sent) in orders.iter().enumerate() {
            for shards in [1, 2, 7] {
                for run in 0..2 {
                    let verdict = recorded_verdict(sent, shards, warmup_ns);
                    prop_assert_eq!(&verdict, &expected, "order {}, {} shards, run {}", order, shards, run);
                }
            }
        }
    }

    #[test]
    fn live_verdicts_are_the_same_bytes_in_any_order_on_any_number_of_shards(
        orders in in_three_orders(), warmup_ns in warmup(),
    ) {
        let expected = live_verdicts(&orders[0], 1, warmup_ns);
        for (order, sent) in orders.iter().enumerate() {
            for shards in [1, 2, 7] {
                let verdicts = live_verdicts(sent, shards, warmup_ns);
                prop_assert_eq!(&verdicts, &expected, "order {}, {} shards", order, shards);
            }
        }
    }
}

#[test]
fn the_values_of_a_fact_do_not_depend_on_which_came_first() {
    let verdict = |versions: &mut dyn Iterator<Item = u32>| {
        let mut engine = Engine::new(plan(), 1);
        let ingest = engine.ingest();
        for version in versions {
            for sender in [PROD, CANARY] {
                let mut resource = sender.resource();
                resource.attributes.push(text("service.version", &format!("1.{version}")));
                observe(&ingest, Signal::Traces, &traces_of(resource, vec![span(T0, MS)]));
            }
        }
        to_json(&finish(&mut engine))
    };
    let rising = verdict(&mut (10..40));
    assert_eq!(rising, verdict(&mut (10..40).rev()));
    assert!(rising.contains("1.10"), "{rising}");
}
