//! A shop of three services with three pods each, over ten minutes: what its production and its canary send, so that the
//! canary is as good and everything about it can be changed.

use super::build::*;
use isotel::engine::{Comparisons, Engine, Plan};
use isotel::judge::facts::policy::{FactPolicy, KeyRule};
use isotel::judge::policy::{Comparison, Override, Policy, Statistic, ValueRule};
use isotel::judge::verdict::FactRule;
use isotel::judge::{Level, Report};
use isotel::model::Limits;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::collections::BTreeMap;
use std::sync::LazyLock;

pub const SECOND: u64 = 1_000 * MS;
/// A pod exports so often, every twenty seconds.
pub const STEPS: u64 = 30;
const INTERVAL: u64 = 20 * SECOND;
const PODS: usize = 3;

/// What one pod exports at a time.
#[derive(Clone, Debug)]
pub struct Export {
    pub service: &'static str,
    pub pod: usize,
    /// Which of the [`STEPS`].
    pub step: u64,
    pub resource: Resource,
    pub resource_schema: String,
    pub scope: InstrumentationScope,
    pub scope_schema: String,
    pub spans: Vec<Span>,
    pub metrics: Vec<Metric>,
    pub logs: Vec<LogRecord>,
}

/// Numbers that look like chance and are the same in every run.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Log-normal around this median.
    fn around(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }
}

fn strings(values: &[&str]) -> Value {
    let value = |text: &&str| AnyValue { value: Some(Value::StringValue((*text).to_owned())) };
    Value::ArrayValue(ArrayValue { values: values.iter().map(value).collect() })
}

fn int(value: i64) -> number_data_point::Value {
    number_data_point::Value::AsInt(value)
}

fn double(value: f64) -> number_data_point::Value {
    number_data_point::Value::AsDouble(value)
}

/// An operation: how it is seen, how many requests an export has of it, and how long they take in milliseconds.
struct Operation {
    name: &'static str,
    kind: i32,
    attributes: Vec<KeyValue>,
    requests: u64,
    median_ms: f64,
}

fn http(kind: i32, method: &str, route: &str, requests: u64, median_ms: f64) -> Operation {
    let mut attributes = vec![text("http.request.method", method), text("http.route", route)];
    let name = if method == "GET" { "GET" } else { "POST" };
    if kind == 3 {
        let host = if route == "/cart" { "cart" } else { "pay" };
        attributes.push(text("server.address", host));
    }
    Operation { name, kind, attributes, requests, median_ms }
}

fn query(verb: &str, table: &str, requests: u64, median_ms: f64) -> Operation {
    let attributes = vec![
        text("db.system.name", "postgresql"),
        text("db.operation.name", verb),
        text("db.collection.name", table),
        text("server.address", "carts-db"),
    ];
    Operation { name: "query", kind: 3, attributes, requests, median_ms }
}

fn operations(service: &str) -> Vec<Operation> {
    match service {
        "web" => vec![
            http(2, "GET", "/", 4, 30.0),
            http(2, "POST", "/checkout", 4, 120.0),
            http(3, "GET", "/cart", 4, 12.0),
            http(3, "POST", "/charge", 4, 80.0),
        ],
        "cart" => vec![
            http(2, "GET", "/cart", 20, 10.0),
            http(2, "POST", "/cart/items", 4, 16.0),
            query("SELECT", "items", 4, 4.0),
            query("UPDATE", "items", 4, 6.0),
        ],
        _ => vec![http(2, "POST", "/charge", 4, 75.0), http(3, "POST", "/gateway", 4, 50.0)],
    }
}

fn metric_of(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() }
}

fn point(at: u64, value: number_data_point::Value, attributes: Vec<KeyValue>) -> NumberDataPoint {
    NumberDataPoint {
        attributes,
        start_time_unix_nano: T0,
        time_unix_nano: at,
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

fn gauge_of(name: &str, unit: &str, data_point: NumberDataPoint) -> Metric {
    metric_of(name, unit, Data::Gauge(Gauge { data_points: vec![data_point] }))
}

fn sum_of(
    name: &str,
    unit: &str,
    temporality: i32,
    is_monotonic: bool,
    data_point: NumberDataPoint,
) -> Metric {
    let data = Sum { data_points: vec![data_point], aggregation_temporality: temporality, is_monotonic };
    metric_of(name, unit, Data::Sum(data))
}

/// Values between the bounds, as this export has seen them.
fn explicit(name: &str, unit: &str, at: u64, values: &[f64], bounds: &[f64]) -> Metric {
    let mut counts = vec![0; bounds.len() + 1];
    values.iter().for_each(|value| counts[bounds.partition_point(|bound| bound < value)] += 1);
    let data_point = HistogramDataPoint {
        start_time_unix_nano: at - 18 * SECOND,
        time_unix_nano: at,
        count: values.len() as u64,
        sum: Some(values.iter().sum()),
        bucket_counts: counts,
        explicit_bounds: bounds.to_vec(),
        ..HistogramDataPoint::default()
    };
    metric_of(
        name,
        unit,
        Data::Histogram(Histogram { data_points: vec![data_point], aggregation_temporality: 1 }),
    )
}

fn exponential(name: &str, unit: &str, at: u64, values: &[f64]) -> Metric {
    let scale = 3;
    let index = |value: &f64| (value.log2() * f64::from(1 << scale)).ceil() as i32 - 1;
    let offset = values.iter().map(index).min().unwrap_or(0);
    let last = values.iter().map(index).max().unwrap_or(0);
    let mut bucket_counts = vec![0; (last - offset + 1) as usize];
    values.iter().for_each(|value| bucket_counts[(index(value) - offset) as usize] += 1);
    let data_point = ExponentialHistogramDataPoint {
        start_time_unix_nano: at - 18 * SECOND,
        time_unix_nano: at,
        count: values.len() as u64,
        sum: Some(values.iter().sum()),
        scale,
        positive: Some(Buckets { offset, bucket_counts }),
        ..ExponentialHistogramDataPoint::default()
    };
    let data = ExponentialHistogram { data_points: vec![data_point], aggregation_temporality: 1 };
    metric_of(name, unit, Data::ExponentialHistogram(data))
}

fn summary(name: &str, unit: &str, at: u64, values: [f64; 2]) -> Metric {
    let quantile = |(quantile, value)| ValueAtQuantile { quantile, value };
    let data_point = SummaryDataPoint {
        start_time_unix_nano: T0,
        time_unix_nano: at,
        count: (at - T0) / SECOND,
        sum: values[0] * ((at - T0) / SECOND) as f64,
        quantile_values: [0.5, 0.95].into_iter().zip(values).map(quantile).collect(),
        ..SummaryDataPoint::default()
    };
    metric_of(name, unit, Data::Summary(Summary { data_points: vec![data_point] }))
}

fn measured(service: &str, step: u64, at: u64, random: &mut Random) -> Vec<Metric> {
    let mut many = |median: f64, sigma: f64, n: usize| -> Vec<f64> {
        (0..n).map(|_| random.around(median, sigma)).collect()
    };
    let channel = || vec![text("channel", "app")];
    match service {
        "web" => vec![
            gauge_of("web.sessions", "{session}", point(at, double(many(200.0, 0.03, 1)[0]), channel())),
            gauge_of(
                "web_build_info",
                "",
                point(at, int(1), vec![text("revision", "8c1f"), text("branch", "main")]),
            ),
        ],
        "cart" => vec![
            sum_of("cart.items.added", "{item}", 1, true, {
                let counted = point(at, int(many(40.0, 0.05, 1)[0] as i64), channel());
                NumberDataPoint { start_time_unix_nano: at - 18 * SECOND, ..counted }
            }),
            sum_of(
                "cart.open",
                "{cart}",
                2,
                false,
                point(at, int(many(500.0, 0.02, 1)[0] as i64), Vec::new()),
            ),
            gauge_of(
                "cart.size",
                "{item}",
                point(at, double(many(5.0, 0.05, 1)[0]), vec![text("tier", "gold")]),
            ),
            explicit("cart.weight", "kg", at, &many(2.0, 0.4, 20), &[1.0, 2.0, 5.0, 10.0]),
            exponential("cart.value", "EUR", at, &many(30.0, 0.4, 20)),
            sum_of("cart.lookups", "{lookup}", 2, true, point(at, int(30 * (step as i64 + 1)), Vec::new())),
        ],
        _ => vec![
            gauge_of("pay.availability", "%", point(at, double(100.0), Vec::new())),
            gauge_of("pay.queue.depth", "{job}", point(at, double(many(40.0, 0.05, 1)[0]), Vec::new())),
            gauge_of("pay.report.age", "s", point(at, double(many(300.0, 0.05, 1)[0]), Vec::new())),
            gauge_of(
                "pay.report.rows",
                "{row}",
                point(at, int(1_000), vec![text("report.checksum", "f00d")]),
            ),
            summary("pay.settlement", "EUR", at, [many(80.0, 0.03, 1)[0], many(200.0, 0.03, 1)[0]]),
        ],
    }
}

fn resource(environment: &str, service: &str, pod: usize) -> Resource {
    let pod = format!("{environment}-{service}-{pod}");
    let mut resource = Sender { environment, service, instance: &pod }.resource();
    // The canary is a new release of all but pay.
    let version = if environment == "canary" && service != "pay" { "1.5.0" } else { "1.4.2" };
    let said = [
        ("service.version", version),
        ("telemetry.sdk.name", "opentelemetry"),
        ("telemetry.sdk.language", "java"),
        ("telemetry.sdk.version", "1.40.0"),
        ("process.runtime.name", "OpenJDK"),
        ("process.runtime.version", "21.0.3"),
        ("host.arch", "amd64"),
        ("os.type", "linux"),
        ("cloud.region", "eu-west-1"),
        ("k8s.namespace.name", "shop"),
        ("k8s.pod.name", &pod),
        ("app.mode", "strict"),
        ("app.shard", environment),
    ];
    resource.attributes.extend(said.map(|(key, value)| text(key, value)));
    if service == "pay" {
        let digest = "registry.example.com/pay@sha256:0a1b";
        resource.attributes.extend([
            text("container.image.repo_digests", digest),
            text("vcs.ref.head.revision", "77aa01de"),
        ]);
    }
    resource
}

fn export(environment: &str, service: &'static str, pod: usize, step: u64) -> Export {
    let named = format!("{environment} {service} {pod} {step}");
    let mut random = Random(xxhash_rust::xxh3::xxh3_64(named.as_bytes()));
    let begin = T0 + step * INTERVAL + SECOND;
    let at = begin + 18 * SECOND;
    let mut spans = Vec::new();
    for (of, operation) in operations(service).into_iter().enumerate() {
        for n in 0..operation.requests {
            let end_ns = begin + n * 18 * SECOND / operation.requests + (random.unit() * 500e6) as u64;
            let took = (random.around(operation.median_ms, 0.1) * MS as f64) as u64;
            let mut attributes = operation.attributes.clone();
            attributes.push(text("user.tier", "gold"));
            attributes.push(attribute("items", strings(&["a"])));
            let is_entry = service == "web" && operation.kind == 2;
            let flag = |variant| {
                vec![text("feature_flag.key", "new-cart"), text("feature_flag.result.variant", variant)]
            };
            let mut events = Vec::new();
            if service == "web" && of == 1 {
                let attributes = flag(if n % 2 == 0 { "on" } else { "off" });
                events.push(Event {
                    name: "feature_flag.evaluation".to_owned(),
                    attributes,
                    ..Event::default()
                });
            }
            if service == "cart" && of == 0 && n % 2 == 0 {
                events.push(Event { name: "cache.miss".to_owned(), ..Event::default() });
            }
            spans.push(Span {
                name: operation.name.to_owned(),
                kind: operation.kind,
                span_id: (random.0 | 1).to_be_bytes().to_vec(),
                parent_span_id: if is_entry { Vec::new() } else { vec![7; 8] },
                events,
                attributes,
                ..span(end_ns, took)
            });
        }
    }
    let record = |severity_number, event_name: &str| LogRecord {
        time_unix_nano: at,
        severity_number,
        event_name: event_name.to_owned(),
        attributes: vec![attribute("line", Value::IntValue(3)), text("logger", "main")],
        ..LogRecord::default()
    };
    Export {
        service,
        pod,
        step,
        resource: resource(environment, service, pod),
        resource_schema: "https://opentelemetry.io/schemas/1.30.0".to_owned(),
        scope: InstrumentationScope {
            name: format!("lib-{service}"),
            version: "2.1.0".to_owned(),
            ..InstrumentationScope::default()
        },
        scope_schema: "https://opentelemetry.io/schemas/1.30.0".to_owned(),
        metrics: measured(service, step, at, &mut random),
        spans,
        logs: vec![record(9, ""), record(13, ""), record(9, "order.placed")],
    }
}

fn exports(environment: &str) -> Vec<Export> {
    let mut all = Vec::new();
    for step in 0..STEPS {
        for service in ["web", "cart", "pay"] {
            all.extend((0..PODS).map(|pod| export(environment, service, pod, step)));
        }
    }
    all
}

impl Export {
    /// Whether it is one of every `n` exports, spread evenly over time and pods.
    pub fn is_turn(&self, n: u64) -> bool {
        (self.step + self.pod as u64).is_multiple_of(n)
    }

    /// The requests that carry it; none for a signal that it lacks.
    fn requests(self) -> Vec<(Signal, Vec<u8>)> {
        let Export {
            resource, resource_schema: schema_url, scope, scope_schema, spans, metrics, logs, ..
        } = self;
        let (resource, scope) = (Some(resource), Some(scope));
        let mut requests = Vec::new();
        if !spans.is_empty() {
            let of_scope = ScopeSpans { scope: scope.clone(), spans, schema_url: scope_schema.clone() };
            let sent = ResourceSpans {
                resource: resource.clone(),
                scope_spans: vec![of_scope],
                schema_url: schema_url.clone(),
            };
            let request = ExportTraceServiceRequest { resource_spans: vec![sent] };
            requests.push((Signal::Traces, request.encode_to_vec()));
        }
        if !metrics.is_empty() {
            let of_scope = ScopeMetrics { scope: scope.clone(), metrics, schema_url: scope_schema.clone() };
            let sent = ResourceMetrics {
                resource: resource.clone(),
                scope_metrics: vec![of_scope],
                schema_url: schema_url.clone(),
            };
            let request = ExportMetricsServiceRequest { resource_metrics: vec![sent] };
            requests.push((Signal::Metrics, request.encode_to_vec()));
        }
        if !logs.is_empty() {
            let of_scope = ScopeLogs { scope, log_records: logs, schema_url: scope_schema };
            let sent = ResourceLogs { resource, scope_logs: vec![of_scope], schema_url };
            let request = ExportLogsServiceRequest { resource_logs: vec![sent] };
            requests.push((Signal::Logs, request.encode_to_vec()));
        }
        requests
    }
}

fn fact_rule(key: &str, service: Option<&str>, rule: FactRule) -> KeyRule {
    let service = service.map(str::to_owned);
    KeyRule { key: key.to_owned(), service, rule, severity: Level::Warning, required: false }
}

fn value_rule(metric: &str, statistic: Option<Statistic>) -> ValueRule {
    ValueRule {
        metric: Some(metric.to_owned()),
        service: None,
        tolerance: 0.10,
        floor: 0.0,
        per_request: false,
        statistic,
        by: Vec::new(),
        severity: Level::Critical,
        equal: None,
    }
}

/// What the people of the shop have decided.
fn shop_plan() -> Plan {
    let facts = vec![
        fact_rule("service.version", Some("web"), FactRule::MustDiffer),
        fact_rule("service.version", Some("cart"), FactRule::MustDiffer),
        fact_rule("container.image.repo_digests", None, FactRule::MustEqual),
        fact_rule("vcs.ref.head.revision", None, FactRule::MustEqual),
        fact_rule("cloud.region", None, FactRule::MustEqual),
        fact_rule("k8s.namespace.name", None, FactRule::MustEqual),
        fact_rule("web_build_info[branch]", None, FactRule::MustEqual),
        fact_rule("app.mode", None, FactRule::MustEqual),
        fact_rule("app.shard", None, FactRule::MustDiffer),
    ];
    let values = vec![
        ValueRule { per_request: true, ..value_rule("cart.items.added", None) },
        value_rule("cart.size", None),
        value_rule("cart.weight", None),
        value_rule("pay.report.age", Some(Statistic::Max)),
        ValueRule { metric: None, equal: Some("report.checksum".to_owned()), ..value_rule("", None) },
    ];
    let overrides = vec![Override { service: "pay".to_owned(), volume: Some(0.5), ..Override::default() }];
    let policy = Policy { facts: FactPolicy { rules: facts }, values, overrides, ..Policy::default() };
    Plan { policy, window_ns: INTERVAL, ..plan() }
}

type Requests = Vec<(Signal, Vec<u8>)>;

static PRODUCTION: LazyLock<Vec<Requests>> =
    LazyLock::new(|| exports("prod").into_iter().map(Export::requests).collect());
/// Each export of the canary with the requests that carry it.
static CANARY: LazyLock<Vec<(Export, Requests)>> = LazyLock::new(|| {
    exports("canary").into_iter().map(|export| (export.clone(), export.requests())).collect()
});

/// Whose exports are otherwise, and how.
pub type Change = (&'static str, fn(&mut Export));

/// Production beside canaries of which one thing each is otherwise: a report for each of them.
pub fn judged(changes: &[Change]) -> Vec<Report> {
    let mut engine = Engine::new(plan_of(changes), 1);
    take_production(&engine);
    take_canaries(&engine, changes);
    reports(&mut engine, changes)
}

fn names(changes: &[Change]) -> Vec<String> {
    (0..changes.len()).map(|at| format!("canary-{at}")).collect()
}

/// Production is compared with so many canaries.
pub fn plan_of(changes: &[Change]) -> Plan {
    let comparison = |name: String| Comparison {
        name: name.clone(),
        baseline: "production".to_owned(),
        candidate: name,
        ..Comparison::default()
    };
    let comparisons = Comparisons::Named(names(changes).into_iter().map(comparison).collect());
    let limits = Limits { environments: changes.len() + 1, ..Limits::default() };
    Plan { comparisons, limits, ..shop_plan() }
}

fn take(engine: &Engine, name: &str, requests: &Requests) {
    let ingest = engine.ingest();
    for (signal, request) in requests {
        let refused = ingest.observe(NOW, ingest.environment(name), *signal, request);
        assert_eq!(named(&refused.expect("a request")), BTreeMap::new());
    }
}

/// Production sends.
pub fn take_production(engine: &Engine) {
    PRODUCTION.iter().for_each(|requests| take(engine, "production", requests));
}

/// The canaries send.
pub fn take_canaries(engine: &Engine, changes: &[Change]) {
    for ((service, change), name) in changes.iter().zip(names(changes)) {
        for (export, requests) in &*CANARY {
            if export.service == *service {
                let mut changed = export.clone();
                change(&mut changed);
                take(engine, &name, &changed.requests());
            } else {
                take(engine, &name, requests);
            }
        }
    }
}

/// What all of it comes to, canary by canary.
pub fn reports(engine: &mut Engine, changes: &[Change]) -> Vec<Report> {
    engine.finish(NOW, GENERATED_AT);
    let report = |name: &String| {
        engine.reports().find(|report| report.comparison == *name).map(|report| Report::clone(report))
    };
    names(changes).iter().map(|name| report(name).expect("a report")).collect()
}

/// Gives the attribute of that key another value.
pub fn set(attributes: &mut [KeyValue], key: &str, value: Value) {
    let known = attributes.iter_mut().find(|attribute| attribute.key == key).expect("the key");
    known.value = Some(AnyValue { value: Some(value) });
}
