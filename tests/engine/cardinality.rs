//! How many different values attributes have, and where that differs.

use super::build::*;
use isotel::engine::{Engine, Ingest};
use isotel::judge::presence::Presence;
use isotel::judge::verdict::Finding;
use isotel::judge::{Aspect, Level, Report};
use isotel::model::ItemName;
use isotel::model::{ItemKind, Limits};
use isotel::report::to_json;
use isotel::sketch::Cardinality;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;

/// Which attribute something has, by its number.
type Attribute = fn(u64) -> KeyValue;

fn constant(_: u64) -> KeyValue {
    text("user.id", "test")
}

fn identifier(n: u64) -> KeyValue {
    text("user.id", &format!("secret-{n}"))
}

/// A number for each time that something is sent, as ids are: spread over all of them.
fn id(n: u64) -> Vec<u8> {
    (n + 1).wrapping_mul(0xD134_2543_DE82_EF95).to_be_bytes().to_vec()
}

/// Numbers of what one side sends in a window.
fn in_window(window: u64, n: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..n).map(move |at| (window * n + at, T0 + window * MINUTE + at * MS))
}

fn spans(ingest: &Ingest, sender: Sender<'_>, (window, n): (u64, u64), attribute: Attribute) {
    let with = |(n, at)| {
        let mut span = Span { span_id: id(n), ..span(at, MS) };
        span.attributes.push(attribute(n));
        span
    };
    for request in in_window(window, n).map(with).collect::<Vec<_>>().chunks(7) {
        observe(ingest, Signal::Traces, &traces(sender, request.to_vec()));
    }
}

fn records(ingest: &Ingest, sender: Sender<'_>, (window, n): (u64, u64), attribute: Attribute) {
    let with = |(n, at)| LogRecord {
        time_unix_nano: at,
        span_id: id(n),
        attributes: vec![attribute(n)],
        ..LogRecord::default()
    };
    for request in in_window(window, n).map(with).collect::<Vec<_>>().chunks(7) {
        observe(ingest, Signal::Logs, &logs(sender, request.to_vec()));
    }
}

fn points(ingest: &Ingest, sender: Sender<'_>, (window, n): (u64, u64), attribute: Attribute) {
    let with = |(n, at)| {
        let mut metric = gauge("jobs", at, 1.0);
        let Some(Data::Gauge(data)) = &mut metric.data else { unreachable!() };
        data.data_points[0].attributes = vec![attribute(n), text("queue", "orders")];
        metric
    };
    observe(ingest, Signal::Metrics, &metrics(sender, in_window(window, n).map(with).collect()));
}

/// Ten minutes of both sides in an engine.
fn filled(limits: Limits, shards: usize, send: impl Fn(&Ingest, Sender<'_>, u64)) -> Engine {
    let engine = Engine::new(limited(limits), shards);
    let ingest = engine.ingest();
    for window in 0..10 {
        [PROD, CANARY].into_iter().for_each(|sender| send(&ingest, sender, window));
    }
    engine
}

fn judged(send: impl Fn(&Ingest, Sender<'_>, u64)) -> Report {
    let report = |shards| finish(&mut filled(Limits::default(), shards, &send));
    let (one, three) = (report(1), report(3));
    assert_eq!(to_json(&one), to_json(&three), "the same in one shard and in three");
    assert!(!to_json(&one).contains("secret"), "no value leaves");
    one
}

fn of_shape(report: &Report) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.aspect == Aspect::Shape).collect()
}

/// The class of an attribute of `cart`.
fn class(engine: &mut Engine, environment: &str, kind: ItemKind, name: &str) -> Option<Cardinality> {
    engine.finish(NOW, GENERATED_AT);
    let names = engine.names();
    let env = names.find_environment(environment).expect("known");
    let mut presence = Presence::default();
    presence.add(&names, env, engine.windows());
    let items = presence.services.values().next().expect("one service");
    let sighting = items[&ItemName { kind, name: name.into() }].get(&env).expect("seen");
    sighting.values.as_ref()?.cardinality()
}

#[test]
fn a_metric_attribute_that_becomes_an_identifier_is_a_warning_of_shape() {
    let report = judged(|ingest, sender, window| {
        let of = if sender == PROD { constant } else { identifier };
        spans(ingest, sender, (window, 20), constant);
        points(ingest, sender, (window, 20), of);
    });
    let [finding] = of_shape(&report)[..] else { panic!("{:?}", report.findings) };
    assert_eq!(finding.item.as_deref(), Some("metric attribute jobs[user.id]"));
    assert_eq!((finding.level, &*finding.title), (Level::Warning, "metric attribute of another cardinality"));
    assert!(finding.message.contains("over 100 different values in the candidate, and with one value"));
    assert_eq!(
        (&finding.evidence["baseline"], &finding.evidence["candidate"]),
        (&"one".into(), &"unbounded".into())
    );
    assert_eq!(finding.evidence["baseline_values"], 1);
    let [shape] = &report.services[0].coverage.shapes[..] else { panic!("one field of one item") };
    assert_eq!((&*shape.field, &*shape.baseline, &*shape.candidate), ("cardinality", "one", "unbounded"));
}

#[test]
fn an_identifier_in_place_of_a_constant_on_spans_or_log_records_is_told_and_decides_nothing() {
    for (send, item) in [
        (spans as fn(&Ingest, Sender<'_>, (u64, u64), Attribute), "span attribute user.id"),
        (records, "log attribute user.id"),
    ] {
        for identified in [PROD, CANARY] {
            let report = judged(|ingest, sender, window| {
                let of = if sender == identified { identifier } else { constant };
                send(ingest, sender, (window, 200), of);
            });
            let [finding] = of_shape(&report)[..] else { panic!("{:?}", report.findings) };
            assert_eq!((finding.item.as_deref(), finding.level), (Some(item), Level::Info));
        }
    }
}

#[test]
fn a_side_with_too_few_sightings_to_show_more_values_is_not_another_cardinality() {
    // Users of two thousand requests beside the one of forty and of a thousand.
    let send = |n: u64| {
        move |ingest: &Ingest, sender: Sender<'_>, window: u64| {
            let (n, of): (_, Attribute) = if sender == PROD { (200, identifier) } else { (n, constant) };
            spans(ingest, sender, (window, n), of);
            points(ingest, sender, (window, n.min(20)), of);
        }
    };
    assert!(of_shape(&judged(send(4))).is_empty());
    assert_eq!(of_shape(&judged(send(100))).len(), 2);
}

#[test]
fn a_stream_that_repeats_for_ever_is_one_value_and_not_much_traffic() {
    // One user of the canary came once, and its stream is reported in every window since.
    let report = judged(|ingest, sender, window| {
        let requests = if sender == PROD { 100 } else { 1 };
        spans(ingest, sender, (window, requests), constant);
        points(ingest, sender, (window, 50), if sender == PROD { identifier } else { constant });
    });
    assert!(of_shape(&report).is_empty(), "{:?}", report.findings);
}

#[test]
fn neighbouring_classes_are_no_difference() {
    let nine: Attribute = |n| text("user.id", &(n % 9).to_string());
    let twelve: Attribute = |n| text("user.id", &(n % 12).to_string());
    let report = judged(|ingest, sender, window| {
        let of = if sender == PROD { nine } else { twelve };
        spans(ingest, sender, (window, 200), of);
        points(ingest, sender, (window, 20), of);
    });
    assert!(of_shape(&report).is_empty(), "{:?}", report.findings);
}

#[test]
fn the_class_counts_values_of_each_type_and_none_of_lists() {
    let mut engine = filled(Limits::default(), 2, |ingest, sender, window| {
        points(ingest, sender, (window, 20), |n| match n % 3 {
            0 => text("user.id", "1"),
            1 => attribute("user.id", Value::IntValue(1)),
            _ => attribute("user.id", Value::DoubleValue(1.0)),
        });
        records(ingest, sender, (window, 50), |n| {
            let value = AnyValue { value: Some(Value::IntValue(n as i64)) };
            attribute("user.id", Value::ArrayValue(ArrayValue { values: vec![value] }))
        });
    });
    let class = |engine: &mut Engine, kind, name| class(engine, "prod", kind, name);
    assert_eq!(class(&mut engine, ItemKind::MetricAttribute, "jobs[user.id]"), Some(Cardinality::Few));
    assert_eq!(class(&mut engine, ItemKind::MetricAttribute, "jobs[queue]"), Some(Cardinality::One));
    assert_eq!(class(&mut engine, ItemKind::LogAttribute, "user.id"), None);
}

#[test]
fn what_differs_from_instance_to_instance_is_judged_by_how_many_there_are() {
    let send = |canaries: u64, commit: bool| {
        move |ingest: &Ingest, sender: Sender<'_>, window: u64| {
            let pods = if sender == PROD { 20 } else { canaries };
            for pod in 0..pods {
                let mut resource = sender.resource();
                let shown = if sender == PROD || !commit { pod } else { 0 };
                let named = [("k8s.pod.name", pod), ("my.shard", shown)];
                resource.attributes.extend(named.map(|(key, n)| text(key, &n.to_string())));
                let at = T0 + window * MINUTE + pod;
                observe(ingest, Signal::Traces, &traces_of(resource, vec![span(at, MS)]));
            }
        }
    };
    assert!(of_shape(&judged(send(1, false))).is_empty(), "one pod of the canary has one of everything");
    assert!(of_shape(&judged(send(20, false))).is_empty());
    let report = judged(send(20, true));
    let [finding] = of_shape(&report)[..] else { panic!("{:?}", report.findings) };
    assert_eq!(finding.item.as_deref(), Some("resource attribute my.shard"));
}

#[test]
fn attributes_beyond_the_bound_are_counted_and_have_no_class() {
    let limits = Limits { counted_attributes: 1, ..Limits::default() };
    let mut engine = filled(limits, 1, |ingest, _, window| {
        points(ingest, PROD, (window, 20), |n| text("a", &n.to_string()));
        points(ingest, PROD, (window, 20), |n| text("b", &n.to_string()));
    });
    let class = |engine: &mut Engine, name| class(engine, "prod", ItemKind::MetricAttribute, name);
    assert_eq!(class(&mut engine, "jobs[a]"), Some(Cardinality::Unbounded));
    assert_eq!(class(&mut engine, "jobs[b]"), None);
    assert_eq!(class(&mut engine, "jobs[queue]"), Some(Cardinality::One));
    let report = engine.reports().next().expect("one").clone();
    assert_eq!(hits(&report, "counted_attributes"), 10, "b, in each window");
}
