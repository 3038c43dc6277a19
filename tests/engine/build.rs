//! Requests as an SDK would encode them, and an engine to give them to.

use isotel::engine::{Comparisons, Engine, Event, Plan};
use isotel::judge::{Comparison, Policy, Report};
use isotel::model::{EnvironmentRules, Limits};
use isotel::window::Patience;
use isotel::wire::{Malformed, Refusals, Signal};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

pub const SECOND: u64 = 1_000_000_000;
/// 2026-01-01T00:00:00Z.
pub const START: u64 = 1_767_225_600 * SECOND;
/// The engine's clock.
pub const NOW: u64 = START + 600 * SECOND;

pub fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

pub fn int(key: &str, value: i64) -> KeyValue {
    let value = AnyValue { value: Some(Value::IntValue(value)) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// A pod of a service in an environment; no environment when that is empty.
pub fn resource(environment: &str, service: &str, pod: &str) -> Resource {
    let mut attributes = vec![text("service.name", service), text("service.instance.id", pod)];
    if !environment.is_empty() {
        attributes.push(text("deployment.environment.name", environment));
    }
    Resource { attributes, ..Resource::default() }
}

/// A good server span of a route that ends at `end_ns`.
pub fn span(route: &str, end_ns: u64, duration_ns: u64, failed: bool) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: format!("GET {route}"),
        kind: 2,
        start_time_unix_nano: end_ns - duration_ns,
        end_time_unix_nano: end_ns,
        attributes: vec![text("http.request.method", "GET"), text("http.route", route)],
        status: failed.then(|| Status { code: 2, message: String::new() }),
        ..Span::default()
    }
}

pub type Request = (Signal, Vec<u8>);

pub fn traces(resource: Resource, spans: Vec<Span>) -> Request {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }];
    (Signal::Traces, ExportTraceServiceRequest { resource_spans }.encode_to_vec())
}

pub fn metrics(resource: Resource, metrics: Vec<Metric>) -> Request {
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource_metrics =
        vec![ResourceMetrics { resource: Some(resource), scope_metrics, ..ResourceMetrics::default() }];
    (Signal::Metrics, ExportMetricsServiceRequest { resource_metrics }.encode_to_vec())
}

pub fn logs(resource: Resource, times_ns: &[u64]) -> Request {
    let record = |time: &u64| LogRecord { time_unix_nano: *time, severity_number: 9, ..LogRecord::default() };
    let log_records = times_ns.iter().map(record).collect();
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource_logs =
        vec![ResourceLogs { resource: Some(resource), scope_logs, ..ResourceLogs::default() }];
    (Signal::Logs, ExportLogsServiceRequest { resource_logs }.encode_to_vec())
}

/// Windows of ten seconds; `prod` against `canary`.
pub fn plan() -> Plan {
    Plan {
        environments: EnvironmentRules::default(),
        window_ns: 10 * SECOND,
        patience: Patience { lateness_ns: 5 * SECOND, idle_ns: 30 * SECOND },
        period_windows: 1_000,
        comparisons: Comparisons::Named(vec![Comparison {
            name: "release".to_owned(),
            baseline: "prod".to_owned(),
            candidate: "canary".to_owned(),
            services: Vec::new(),
            offset_ns: 0,
        }]),
        policy: Policy::default(),
        limits: Limits { open_windows: 1_000, ..Limits::default() },
        observed_from_ns: 0,
    }
}

pub fn engine(limits: Limits) -> Engine {
    Engine::new(Plan { limits, ..plan() }, 1)
}

pub fn observe(engine: &Engine, request: &Request) -> Result<Refusals, Malformed> {
    engine.ingest().observe(NOW, None, request.0, &request.1)
}

/// Seals all and judges.
pub fn finish(engine: &mut Engine) -> Report {
    let judged = engine.finish(NOW, "2026-01-01T00:10:00Z").into_iter().filter_map(|event| match event {
        Event::Judged(judgement) => Some(judgement.report),
        _ => None,
    });
    judged.last().expect("the comparison is judged")
}

/// Spans and failures by environment and operation, over all sealed windows.
pub fn counted(engine: &Engine) -> std::collections::BTreeMap<(String, String), (u64, u64)> {
    let catalog = engine.catalog();
    let mut counts = std::collections::BTreeMap::<_, (u64, u64)>::new();
    for ((env, series), cell) in engine.windows().flat_map(|window| &window.cells) {
        let environment = catalog.environments()[usize::from(env.0)].to_string();
        let key = (environment, catalog.series_key(*series).operation.to_string());
        let count = counts.entry(key).or_default();
        *count = (count.0 + cell.latency.n(), count.1 + cell.errors);
    }
    counts
}
