//! Requests and engines, in the few words that the tests need.

use isotel::engine::{Comparisons, Engine, Ingest, Plan, Tier};
use isotel::judge::Report;
use isotel::judge::policy::{Comparison, Policy};
use isotel::model::{EnvironmentRules, Limits, SpanKind};
use isotel::report::to_json;
use isotel::window::{Patience, SealedCell};
use isotel::wire::{Refusal, Refusals, Signal};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use std::collections::BTreeMap;

/// The start of a window, in November 2023.
pub const T0: u64 = 1_699_999_980_000_000_000;
/// One window.
pub const MINUTE: u64 = 60_000_000_000;
/// A millisecond.
pub const MS: u64 = 1_000_000;
/// The receiver's clock where a test has no other.
pub const NOW: u64 = T0 + 20 * MINUTE;
/// When reports say that they were made.
pub const GENERATED_AT: &str = "2023-11-14T22:33:00Z";

/// A plan that compares `prod` with `canary` on recorded input.
pub fn plan() -> Plan {
    Plan {
        environments: EnvironmentRules::default(),
        window_ns: MINUTE,
        patience: Patience { lateness_ns: 10_000 * MS, idle_ns: 5 * MINUTE },
        warmup_ns: 0,
        period_windows: 1_000,
        comparisons: Comparisons::Named(vec![Comparison {
            name: "prod-vs-canary".to_owned(),
            baseline: "prod".to_owned(),
            candidate: "canary".to_owned(),
            services: Vec::new(),
            offset_ns: 0,
            traffic: None,
        }]),
        policy: Policy::default(),
        limits: Limits::default(),
        observed_from_ns: 0,
        tier: Tier::Judging,
    }
}

/// The same with other bounds.
pub fn limited(limits: Limits) -> Plan {
    Plan { limits, ..plan() }
}

pub fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

pub fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Who sends; empty strings are left out of the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sender<'a> {
    pub environment: &'a str,
    pub service: &'a str,
    pub instance: &'a str,
}

pub const PROD: Sender<'static> = Sender { environment: "prod", service: "cart", instance: "" };
pub const CANARY: Sender<'static> = Sender { environment: "canary", ..PROD };

impl Sender<'_> {
    pub fn resource(self) -> Resource {
        let named = [
            ("deployment.environment.name", self.environment),
            ("service.name", self.service),
            ("service.instance.id", self.instance),
        ];
        let attributes =
            named.iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| text(key, value));
        Resource { attributes: attributes.collect(), ..Resource::default() }
    }
}

/// A finished request of `GET /cart`.
pub fn span(end_ns: u64, duration_ns: u64) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: end_ns.max(1).to_be_bytes().to_vec(),
        name: "GET".to_owned(),
        kind: 2,
        start_time_unix_nano: end_ns.saturating_sub(duration_ns),
        end_time_unix_nano: end_ns,
        attributes: vec![text("http.request.method", "GET"), text("http.route", "/cart")],
        ..Span::default()
    }
}

/// The same for another route.
pub fn span_of(route: &str, end_ns: u64) -> Span {
    let attributes = vec![text("http.request.method", "GET"), text("http.route", route)];
    Span { attributes, ..span(end_ns, MS) }
}

pub fn failed(span: Span) -> Span {
    Span { status: Some(Status { code: 2, ..Status::default() }), ..span }
}

pub fn traces(sender: Sender<'_>, spans: Vec<Span>) -> Vec<u8> {
    traces_of(sender.resource(), spans)
}

pub fn traces_of(resource: Resource, spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let sent = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![sent] }.encode_to_vec()
}

/// The resource of a process that says when it began; it says nothing for an empty text.
pub fn created_at(mut resource: Resource, time: &str) -> Resource {
    if !time.is_empty() {
        resource.attributes.push(text("process.creation.time", time));
    }
    resource
}

/// Spans of one resource by instrumentation scope, each with its name and version.
pub fn traces_through(resource: Resource, scopes: Vec<(String, String, Vec<Span>)>) -> Vec<u8> {
    let of_scope = |(name, version, spans)| ScopeSpans {
        scope: Some(InstrumentationScope { name, version, ..InstrumentationScope::default() }),
        spans,
        ..ScopeSpans::default()
    };
    let scope_spans = scopes.into_iter().map(of_scope).collect();
    let sent = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![sent] }.encode_to_vec()
}

pub fn metrics(sender: Sender<'_>, metrics: Vec<Metric>) -> Vec<u8> {
    metrics_of(sender.resource(), metrics)
}

pub fn metrics_of(resource: Resource, metrics: Vec<Metric>) -> Vec<u8> {
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let sent = ResourceMetrics { resource: Some(resource), scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![sent] }.encode_to_vec()
}

pub fn logs(sender: Sender<'_>, log_records: Vec<LogRecord>) -> Vec<u8> {
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let sent = ResourceLogs { resource: Some(sender.resource()), scope_logs, ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![sent] }.encode_to_vec()
}

pub fn gauge(name: &str, time_ns: u64, value: f64) -> Metric {
    let point = NumberDataPoint {
        time_unix_nano: time_ns,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    };
    Metric {
        name: name.to_owned(),
        data: Some(Data::Gauge(Gauge { data_points: vec![point] })),
        ..Metric::default()
    }
}

/// The server's durations of `GET /cart` in buckets under and over a tenth of a second.
pub fn durations(start_ns: u64, time_ns: u64, [under, over]: [u64; 2]) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: vec![text("http.request.method", "GET"), text("http.route", "/cart")],
        start_time_unix_nano: start_ns,
        time_unix_nano: time_ns,
        count: under + over,
        sum: Some(0.05 * under as f64 + 0.2 * over as f64),
        bucket_counts: vec![under, over],
        explicit_bounds: vec![0.1],
        ..HistogramDataPoint::default()
    }
}

pub fn histogram(temporality: AggregationTemporality, data_points: Vec<HistogramDataPoint>) -> Metric {
    Metric {
        name: "http.server.request.duration".to_owned(),
        unit: "s".to_owned(),
        data: Some(Data::Histogram(Histogram { data_points, aggregation_temporality: temporality as i32 })),
        ..Metric::default()
    }
}

/// Takes in a request that must be one, at [`NOW`].
pub fn observe(ingest: &Ingest, signal: Signal, request: &[u8]) -> BTreeMap<&'static str, u64> {
    named(&ingest.observe(NOW, None, signal, request).expect("a request of the signal"))
}

/// Refusals by their word.
pub fn named(refusals: &Refusals) -> BTreeMap<&'static str, u64> {
    refusals.iter().map(|(reason, n)| (reason.as_str(), n)).collect()
}

/// Seals all, judges, and returns the one comparison's report.
pub fn finish(engine: &mut Engine) -> Report {
    engine.finish(NOW, GENERATED_AT);
    let report = Report::clone(engine.reports().next().expect("one comparison"));
    let json = to_json(&report);
    // A reason for which points are refused has these words.
    let figures = json.replace(Refusal::NotFinite.sentence(), "");
    let mut words = figures.split(|c: char| !c.is_alphanumeric());
    assert!(words.all(|word| word != "NaN" && word != "inf"), "{json}");
    report
}

/// The cells of all sealed windows by window (from [`T0`]), environment, service, operation and kind.
pub fn cells(engine: &Engine) -> BTreeMap<(i64, String, String, String, SpanKind), SealedCell> {
    let names = engine.names();
    let mut cells = BTreeMap::new();
    for window in engine.windows() {
        for ((environment, series), cell) in window.cells.iter() {
            let series = names.series_key(series);
            let key = (
                window.index as i64 - (T0 / MINUTE) as i64,
                names.environments()[usize::from(environment.0)].to_string(),
                series.service.to_string(),
                series.operation.to_string(),
                series.kind,
            );
            assert!(cells.insert(key, cell.cell().into_owned()).is_none(), "one cell a series");
        }
    }
    cells
}

/// Spans in all sealed windows, by environment and operation.
pub fn spans_by_operation(engine: &Engine) -> BTreeMap<(String, String), u64> {
    let mut spans = BTreeMap::new();
    for ((_, environment, _, operation, _), cell) in cells(engine) {
        *spans.entry((environment, operation)).or_default() += cell.latency.n();
    }
    spans
}

/// Requests in duration metrics by window, from [`T0`].
pub fn metric_requests(engine: &Engine) -> BTreeMap<i64, u64> {
    let mut requests = BTreeMap::new();
    for ((window, ..), cell) in cells(engine) {
        *requests.entry(window).or_default() += cell.metrics.values().map(|sketch| sketch.n).sum::<u64>();
    }
    requests
}

/// How often a report says that a bound was reached.
pub fn hits(report: &Report, limit: &str) -> u64 {
    let told = report.limits_hit.iter().find_map(|hit| hit.strip_prefix(limit)?.strip_prefix(": "));
    told.map_or(0, |n| n.parse().expect("a count"))
}
