//! Which telemetry is there, and in which form.

use super::build::*;
use isotel::engine::{Engine, Ingest, Plan};
use isotel::judge::policy::{Policy, Waiver};
use isotel::judge::presence::Presence;
use isotel::judge::verdict::Finding;
use isotel::judge::{Aspect, Report};
use isotel::model::ItemKind;
use isotel::model::ItemName;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

const SECOND: u64 = 1_000 * MS;

/// What one side sends every ten seconds for ten minutes.
#[derive(Clone)]
struct Sent {
    resource: Resource,
    resource_schema: String,
    scope: InstrumentationScope,
    scope_schema: String,
    span: Span,
    metrics: Vec<Metric>,
    log: LogRecord,
}

fn strings(values: &[&str]) -> Value {
    let value = |text: &&str| AnyValue { value: Some(Value::StringValue((*text).to_owned())) };
    Value::ArrayValue(ArrayValue { values: values.iter().map(value).collect() })
}

fn number(value: number_data_point::Value) -> NumberDataPoint {
    NumberDataPoint { attributes: vec![text("queue", "a")], value: Some(value), ..NumberDataPoint::default() }
}

fn metric(name: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), unit: "s".to_owned(), data: Some(data), ..Metric::default() }
}

impl Sent {
    fn by(sender: Sender<'_>) -> Sent {
        let mut resource = sender.resource();
        resource.attributes.extend([text("service.version", "1"), text("my.zone", "a")]);
        let mut span = span(0, MS);
        span.attributes.extend([text("tag", "a"), attribute("items", strings(&["a"]))]);
        span.events = vec![Event { name: "retry".to_owned(), ..Event::default() }];
        let explicit = HistogramDataPoint {
            count: 3,
            bucket_counts: vec![1, 1, 1],
            explicit_bounds: vec![1.0, 5.0],
            ..HistogramDataPoint::default()
        };
        let exponential = ExponentialHistogramDataPoint {
            count: 2,
            scale: 3,
            positive: Some(Buckets { offset: 0, bucket_counts: vec![1, 1] }),
            ..ExponentialHistogramDataPoint::default()
        };
        let sum = Sum {
            data_points: vec![number(number_data_point::Value::AsInt(1))],
            aggregation_temporality: 1,
            is_monotonic: true,
        };
        let gauge = Gauge { data_points: vec![number(number_data_point::Value::AsDouble(1.0))] };
        let metrics = vec![
            metric(
                "wait",
                Data::Histogram(Histogram { data_points: vec![explicit], aggregation_temporality: 1 }),
            ),
            metric(
                "size",
                Data::ExponentialHistogram(ExponentialHistogram {
                    data_points: vec![exponential],
                    aggregation_temporality: 1,
                }),
            ),
            metric("jobs", Data::Sum(sum)),
            metric("depth", Data::Gauge(gauge)),
        ];
        Sent {
            resource,
            resource_schema: "https://schemas/1".to_owned(),
            scope: InstrumentationScope {
                name: "lib".to_owned(),
                version: "1.0".to_owned(),
                ..InstrumentationScope::default()
            },
            scope_schema: "https://schemas/1".to_owned(),
            span,
            metrics,
            log: LogRecord {
                severity_number: 9,
                attributes: vec![attribute("line", Value::IntValue(3))],
                ..LogRecord::default()
            },
        }
    }

    fn observe(&self, ingest: &Ingest, at: u64) {
        let (resource, scope) = (Some(self.resource.clone()), Some(self.scope.clone()));
        let (schema_url, scope_schema) = (self.resource_schema.clone(), self.scope_schema.clone());
        let span = Span {
            span_id: at.to_be_bytes().to_vec(),
            start_time_unix_nano: at - MS,
            end_time_unix_nano: at,
            ..self.span.clone()
        };
        let spans = ScopeSpans { scope: scope.clone(), spans: vec![span], schema_url: scope_schema.clone() };
        let spans = ResourceSpans {
            resource: resource.clone(),
            scope_spans: vec![spans],
            schema_url: schema_url.clone(),
        };
        let request = ExportTraceServiceRequest { resource_spans: vec![spans] }.encode_to_vec();
        assert!(observe(ingest, Signal::Traces, &request).is_empty());

        let mut metrics = self.metrics.clone();
        metrics.iter_mut().for_each(|metric| set_time(metric, at));
        let metrics = ScopeMetrics { scope: scope.clone(), metrics, schema_url: scope_schema.clone() };
        let metrics = ResourceMetrics {
            resource: resource.clone(),
            scope_metrics: vec![metrics],
            schema_url: schema_url.clone(),
        };
        let request = ExportMetricsServiceRequest { resource_metrics: vec![metrics] }.encode_to_vec();
        assert!(observe(ingest, Signal::Metrics, &request).is_empty());

        let log = LogRecord { time_unix_nano: at, ..self.log.clone() };
        let logs = ScopeLogs { scope, log_records: vec![log], schema_url: scope_schema };
        let logs = ResourceLogs { resource, scope_logs: vec![logs], schema_url };
        let request = ExportLogsServiceRequest { resource_logs: vec![logs] }.encode_to_vec();
        assert!(observe(ingest, Signal::Logs, &request).is_empty());
    }
}

fn set_time(metric: &mut Metric, at: u64) {
    match metric.data.as_mut().expect("data") {
        Data::Gauge(data) => data.data_points.iter_mut().for_each(|point| point.time_unix_nano = at),
        Data::Sum(data) => data.data_points.iter_mut().for_each(|point| point.time_unix_nano = at),
        Data::Histogram(data) => data.data_points.iter_mut().for_each(|point| point.time_unix_nano = at),
        Data::ExponentialHistogram(data) => {
            data.data_points.iter_mut().for_each(|point| point.time_unix_nano = at);
        }
        Data::Summary(data) => data.data_points.iter_mut().for_each(|point| point.time_unix_nano = at),
    }
}

/// Ten minutes of prod beside a canary of which something may be otherwise.
fn judged(change: impl FnOnce(&mut Sent)) -> Report {
    let mut canary = Sent::by(CANARY);
    change(&mut canary);
    both(|_| Some(Sent::by(PROD)), |_| Some(canary.clone()))
}

/// Both sides, by the time since the start.
fn both(prod: impl Fn(u64) -> Option<Sent>, canary: impl Fn(u64) -> Option<Sent>) -> Report {
    let mut engine = Engine::new(plan(), 2);
    let ingest = engine.ingest();
    for step in 0..60 {
        let since = step * 10 * SECOND;
        for sent in [prod(since), canary(since)].into_iter().flatten() {
            sent.observe(&ingest, T0 + SECOND + since);
        }
    }
    finish(&mut engine)
}

fn set(attributes: &mut [KeyValue], key: &str, value: Value) {
    let known = attributes.iter_mut().find(|attribute| attribute.key == key).expect("the key");
    known.value = Some(AnyValue { value: Some(value) });
}

type Change = fn(&mut Sent);

/// What a report tells of telemetry as such: the same counts between other boundaries are other values too.
fn findings(report: &Report) -> Vec<&Finding> {
    let of_amounts = |finding: &&Finding| matches!(finding.aspect, Aspect::Latency | Aspect::Value);
    report.findings.iter().filter(|finding| !of_amounts(finding)).collect()
}

#[test]
fn two_sides_that_send_the_same_have_no_finding() {
    let report = judged(|_| {});
    assert!(findings(&report).is_empty(), "{:?}", report.findings);
    let coverage = &report.services[0].coverage;
    assert_eq!((coverage.present, coverage.extra.len()), (coverage.expected, 0));
    assert!(coverage.shape.is_empty() && coverage.stale.is_empty(), "{coverage:?}");
}

#[test]
fn a_difference_in_form_names_both_values() {
    let report = judged(|sent| sent.metrics[0].unit = "ms".to_owned());
    let coverage = &report.services[0].coverage;
    assert_eq!(coverage.shape, ["metric wait: unit s in the baseline, ms in the candidate"]);
    let shape = &coverage.shapes[0];
    assert_eq!((shape.baseline.as_str(), shape.candidate.as_str()), ("s", "ms"));
}

#[test]
fn a_form_that_is_rare_on_one_side_and_unseen_on_the_other_is_no_difference() {
    let rarely = |since: u64| {
        let mut sent = Sent::by(PROD);
        if since == 100 * SECOND {
            set(&mut sent.log.attributes, "line", Value::StringValue("x".to_owned()));
        }
        Some(sent)
    };
    let report = both(rarely, |_| Some(Sent::by(CANARY)));
    assert!(findings(&report).is_empty(), "{:?}", report.findings);
}

/// Both sides send it until then, the canary with this change since; in seconds of the ten minutes.
fn since(second: u64, change: Change) -> Report {
    let canary = |since: u64| {
        let mut sent = Sent::by(CANARY);
        if since >= second * SECOND {
            change(&mut sent);
        }
        Some(sent)
    };
    both(|_| Some(Sent::by(PROD)), canary)
}

#[test]
fn an_item_that_stops_is_told_with_its_age_and_is_not_missing() {
    let report = since(180, |sent| drop(sent.metrics.pop()));
    let coverage = &report.services[0].coverage;
    assert_eq!(coverage.stale, ["metric depth", "metric attribute depth[queue]"]);
    assert!(coverage.missing.is_empty() && coverage.present == coverage.expected, "{coverage:?}");
    let found = report.findings.iter().find(|finding| finding.item.as_deref() == Some("metric depth"));
    let finding = found.expect("a finding");
    assert_eq!(finding.title, "metric has stopped");
    // The last one was 171 seconds after the start of ten minutes.
    assert_eq!(finding.evidence["age_s"].as_f64(), Some(429.0));
    assert!(finding.message.contains("nothing for 8 minutes"), "{}", finding.message);
}

#[test]
fn a_waiver_of_a_metric_accepts_the_attributes_that_are_gone_with_it() {
    let waiver = Waiver { item: Some("metric depth".to_owned()), expires_ns: u64::MAX, ..Waiver::default() };
    let policy = Policy { waivers: vec![waiver], ..Policy::default() };
    let mut engine = Engine::new(Plan { policy, ..plan() }, 1);
    let ingest = engine.ingest();
    for step in 0..60 {
        let at = T0 + SECOND + step * 10 * SECOND;
        Sent::by(PROD).observe(&ingest, at);
        let mut canary = Sent::by(CANARY);
        canary.metrics.truncate(3);
        canary.observe(&ingest, at);
    }
    let report = finish(&mut engine);
    let [finding] = findings(&report)[..] else { panic!("{:#?}", report.findings) };
    assert!(finding.waived_by.is_some() && finding.item.as_deref() == Some("metric depth"), "{finding:?}");
    let coverage = &report.services[0].coverage;
    assert_eq!(coverage.missing, ["metric depth", "metric attribute depth[queue]"]);
    assert_eq!((coverage.accepted, coverage.counted()), (2, 1.0));
}

#[test]
fn an_item_that_is_late_by_a_few_intervals_or_that_both_sides_stopped_is_no_finding() {
    let late = since(480, |sent| drop(sent.metrics.pop()));
    assert!(findings(&late).is_empty(), "{:?}", late.findings);
    let stopping = |sender: Sender<'_>, since: u64| {
        let mut sent = Sent::by(sender);
        sent.metrics.truncate(if since >= 180 * SECOND { 3 } else { 4 });
        Some(sent)
    };
    let together = both(|since| stopping(PROD, since), |since| stopping(CANARY, since));
    assert!(findings(&together).is_empty(), "{:?}", together.findings);
}

#[test]
fn a_rare_item_is_not_missing_yet_and_the_finding_says_for_how_long_to_watch() {
    // Four failures of ten minutes: too few to expect one of a canary with as much traffic.
    let prod = |since: u64| {
        let mut sent = Sent::by(PROD);
        if (since / SECOND).is_multiple_of(150) {
            sent.log.event_name = "rare".to_owned();
        }
        Some(sent)
    };
    let report = both(prod, |_| Some(Sent::by(CANARY)));
    let coverage = &report.services[0].coverage;
    assert!(coverage.missing.is_empty(), "{coverage:?}");
    let [finding] = findings(&report)[..] else { panic!("{:?}", report.findings) };
    assert_eq!(
        (finding.title.as_str(), finding.item.as_deref()),
        ("log not seen yet", Some("log event rare"))
    );
    let of = |name: &str| finding.evidence[name].as_f64().expect("a number");
    let minutes = 10.0 * (of("needed") / of("expected") - 1.0);
    assert_eq!(of("watch_minutes"), minutes.ceil());
    let told = format!("Watch for another {} minutes.", minutes.ceil());
    assert!(finding.message.ends_with(&told), "{}", finding.message);
}

/// What `environment` shows of an item of `cart`: count, share of instances, rate a second.
fn cell(engine: &Engine, environment: &str, kind: ItemKind, name: &str) -> (u64, Option<f64>, Option<f64>) {
    let names = engine.names();
    let env = names.find_environment(environment).expect("known");
    let mut presence = Presence::default();
    presence.add(&names, env, engine.windows());
    let (service, items) = presence.services.iter().next().expect("one service");
    let item = ItemName { kind, name: name.into() };
    let sighting = items[&item].get(&env).expect("seen");
    let share = presence.share_of_instances(service, env, sighting);
    (sighting.seen.count, share, presence.rate_per_s(env, sighting))
}

#[test]
fn the_share_of_instances_that_send_an_item_does_not_depend_on_how_often_they_do() {
    for shards in [1, 3] {
        let mut engine = Engine::new(plan(), shards);
        let ingest = engine.ingest();
        for second in 0..60 {
            for (at, instance) in ["a", "b", "c", "d"].into_iter().enumerate() {
                let mut sent = Sent::by(Sender { instance, ..PROD });
                if at == 3 {
                    sent.span.attributes.pop();
                    sent.metrics.truncate(3);
                    sent.resource.attributes.retain(|attribute| attribute.key != "my.zone");
                }
                for _ in 0..=at {
                    sent.observe(&ingest, T0 + second * SECOND + MS);
                }
            }
        }
        engine.finish(NOW, GENERATED_AT);
        for (kind, name) in [
            (ItemKind::SpanAttribute, "items"),
            (ItemKind::Metric, "depth"),
            (ItemKind::ResourceAttribute, "my.zone"),
        ] {
            let (_, share, _) = cell(&engine, "prod", kind, name);
            assert!((share.expect("few instances") - 0.75).abs() < 0.02, "{name}: {share:?}");
        }
        let of_all = cell(&engine, "prod", ItemKind::Scope, "lib");
        // Ten requests a second, each as spans, points and records: one span, one record and the points.
        assert_eq!((of_all.1, of_all.2), (Some(1.0), Some(of_all.0 as f64 / 60.0)));
    }
}

#[test]
fn a_matrix_built_window_by_window_is_that_of_all_windows() {
    let mut engine = Engine::new(plan(), 2);
    let ingest = engine.ingest();
    for step in 0..30 {
        let mut sent = Sent::by(PROD);
        sent.metrics.truncate(1 + step as usize % 4);
        sent.observe(&ingest, T0 + MS + step * 17 * SECOND);
    }
    engine.finish(NOW, GENERATED_AT);
    let names = engine.names();
    let env = names.find_environment("prod").expect("known");
    let (mut whole, mut merged) = (Presence::default(), Presence::default());
    whole.add(&names, env, engine.windows());
    for window in engine.windows() {
        merged.add(&names, env, std::iter::once(window));
    }
    assert!(engine.windows().count() > 5 && whole == merged);
}
