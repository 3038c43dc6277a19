//! A small shop in two environments, from a seed.

use crate::agent::retry::Jitter;
use crate::wire::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

/// Event time of one round.
pub const ROUND_NS: u64 = 30_000_000_000;

/// An operation of the shop: service, method, route, median in milliseconds, spread (σ of the logarithm), requests of
/// one pod in a round, share of failures.
struct Operation(&'static str, &'static str, &'static str, f64, f64, u64, f64);

const SHOP: [Operation; 7] = [
    Operation("frontend", "GET", "/", 18.0, 0.4, 70, 0.0),
    Operation("frontend", "GET", "/product/{id}", 26.0, 0.4, 90, 0.0),
    Operation("cart", "GET", "/cart/{user}", 4.0, 0.3, 80, 0.0),
    Operation("cart", "POST", "/cart/{user}/items", 6.0, 0.3, 50, 0.0),
    Operation("checkout", "POST", "/checkout", 110.0, 0.35, 60, 0.002),
    Operation("payment", "POST", "/charge", 48.0, 0.3, 60, 0.004),
    Operation("catalog", "GET", "/search", 33.0, 0.5, 70, 0.001),
];

/// Pods of each service.
const PODS: [(&str, u64); 2] = [("production", 4), ("canary", 3)];

/// The two environments. The canary differs in three ways: `POST /checkout` takes 35 % longer, `POST /charge` fails
/// for 3 % of its requests, and `cart` does not send `cart.items`.
pub struct World {
    random: Jitter,
    now_ns: u64,
}

impl World {
    /// The world of a seed, at a point in time.
    pub fn new(seed: u64, now_ns: u64) -> World {
        World { random: Jitter::seeded(seed), now_ns }
    }

    /// What all pods send in the next half minute, with the environment that they are of.
    pub fn next_round(&mut self) -> Vec<(&'static str, Signal, Vec<u8>)> {
        let mut requests = Vec::new();
        for (environment, pods) in PODS {
            let mut services: Vec<&str> = SHOP.iter().map(|operation| operation.0).collect();
            services.dedup();
            for service in services {
                for pod in 0..pods {
                    let resource = resource(environment, service, pod);
                    requests.push((environment, Signal::Traces, self.spans(environment, service, &resource)));
                    requests.push((
                        environment,
                        Signal::Metrics,
                        self.metrics(environment, service, &resource),
                    ));
                    requests.push((environment, Signal::Logs, self.logs(service, &resource)));
                }
            }
        }
        self.now_ns += ROUND_NS;
        requests
    }

    fn spans(&mut self, environment: &str, service: &str, resource: &Resource) -> Vec<u8> {
        let mut spans = Vec::new();
        for Operation(_, method, route, median_ms, spread, requests, failures) in
            SHOP.iter().filter(|operation| operation.0 == service)
        {
            let canary = environment == "canary";
            let slower = if canary && *route == "/checkout" { 1.35 } else { 1.0 };
            let failures = if canary && *route == "/charge" { 0.03 } else { *failures };
            for _ in 0..*requests {
                let duration_ms = median_ms * slower * (spread * self.normal()).exp();
                let failed = self.random.draw() < failures;
                let end_ns = self.now_ns + (self.random.draw() * ROUND_NS as f64) as u64;
                spans.push(self.span(method, route, end_ns, duration_ms, failed));
            }
        }
        let scope_spans = ScopeSpans { scope: scope(), spans, ..Default::default() };
        let resource_spans = ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![scope_spans],
            ..Default::default()
        };
        ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
    }

    fn span(&mut self, method: &str, route: &str, end_ns: u64, duration_ms: f64, failed: bool) -> Span {
        let code = if failed { 500 } else { 200 };
        Span {
            trace_id: [self.id(), self.id()].concat(),
            span_id: self.id(),
            name: format!("{method} {route}"),
            kind: SpanKind::Server as i32,
            start_time_unix_nano: end_ns - (duration_ms * 1e6) as u64,
            end_time_unix_nano: end_ns,
            attributes: vec![
                text("http.request.method", method),
                text("http.route", route),
                KeyValue {
                    key: "http.response.status_code".to_owned(),
                    value: value(Value::IntValue(code)),
                    ..Default::default()
                },
            ],
            status: failed.then(|| Status { code: 2, message: String::new() }),
            ..Default::default()
        }
    }

    fn metrics(&mut self, environment: &str, service: &str, resource: &Resource) -> Vec<u8> {
        let mut metrics = vec![self.counter("http.server.active_requests", "{request}")];
        if service == "cart" && environment != "canary" {
            metrics.push(self.counter("cart.items", "{item}"));
        }
        let scope_metrics = ScopeMetrics { scope: scope(), metrics, ..Default::default() };
        let resource_metrics = ResourceMetrics {
            resource: Some(resource.clone()),
            scope_metrics: vec![scope_metrics],
            ..Default::default()
        };
        ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }.encode_to_vec()
    }

    fn counter(&mut self, name: &str, unit: &str) -> Metric {
        let point = NumberDataPoint {
            start_time_unix_nano: self.now_ns,
            time_unix_nano: self.now_ns + ROUND_NS / 2,
            value: Some(number_data_point::Value::AsInt((self.random.draw() * 100.0) as i64)),
            ..Default::default()
        };
        let sum = Sum { data_points: vec![point], aggregation_temporality: 1, is_monotonic: false };
        Metric {
            name: name.to_owned(),
            unit: unit.to_owned(),
            data: Some(Data::Sum(sum)),
            ..Default::default()
        }
    }

    fn logs(&mut self, service: &str, resource: &Resource) -> Vec<u8> {
        let record = LogRecord {
            time_unix_nano: self.now_ns + ROUND_NS / 2,
            severity_number: 9,
            body: value(Value::StringValue(format!("{service} is well"))),
            ..Default::default()
        };
        let scope_logs = ScopeLogs { scope: scope(), log_records: vec![record], ..Default::default() };
        let resource_logs = ResourceLogs {
            resource: Some(resource.clone()),
            scope_logs: vec![scope_logs],
            ..Default::default()
        };
        ExportLogsServiceRequest { resource_logs: vec![resource_logs] }.encode_to_vec()
    }

    /// Eight bytes that are not all zero.
    fn id(&mut self) -> Vec<u8> {
        ((self.random.draw() * 2f64.powi(53)) as u64 | 1).to_be_bytes().to_vec()
    }

    /// A standard normal number (Box & Muller 1958).
    fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.random.draw(), self.random.draw());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

fn resource(environment: &str, service: &str, pod: u64) -> Resource {
    let version = if environment == "canary" { "1.5.0" } else { "1.4.2" };
    Resource {
        attributes: vec![
            text("service.namespace", "shop"),
            text("service.name", service),
            text("service.version", version),
            text("service.instance.id", &format!("{service}-{environment}-{pod}")),
            text("deployment.environment.name", environment),
        ],
        ..Default::default()
    }
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: "isotel-demo".to_owned(), ..Default::default() })
}

fn text(key: &str, content: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: value(Value::StringValue(content.to_owned())),
        ..Default::default()
    }
}

fn value(content: Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(content) })
}
