//! The traffic of a shop from a seed: HTTP, database and RPC spans of 20 services, and their duration histograms.
//!
//! The same seed gives the same bytes on every machine. Attributes are those of the semantic conventions as SDKs fill
//! them in, 10 to 14 a span; durations are lognormal around each operation's own median; one request in 200 fails.

#![allow(dead_code, reason = "each benchmark uses its part")]

pub mod floor;
mod histograms;
pub mod json;

use isotel::engine::{Comparisons, Engine, Plan};
use isotel::judge::{Comparison, Policy};
use isotel::model::{EnvironmentRules, Limits};
use isotel::window::Patience;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// A minute's boundary: 2026-01-01T00:00:00Z, nanoseconds.
pub const START_NS: u64 = 1_767_225_600_000_000_000;
/// Everything ends inside the minute after [`START_NS`], and has arrived by now.
pub const NOW_NS: u64 = START_NS + WINDOW_NS;
/// [`NOW_NS`] as reports print it.
pub const NOW: &str = "2026-01-01T00:01:00Z";
/// One minute.
pub const WINDOW_NS: u64 = 60_000_000_000;
/// The environments' names; traffic takes as many as it is told.
pub const ENVIRONMENTS: [&str; 8] =
    ["production", "canary", "staging", "eu-west-1", "us-east-1", "ap-south-1", "preview", "load-test"];

const SERVICES: [&str; 20] = [
    "frontend",
    "gateway",
    "cart",
    "checkout",
    "payment",
    "catalog",
    "search",
    "recommendation",
    "inventory",
    "shipping",
    "pricing",
    "accounts",
    "login",
    "email",
    "reviews",
    "media",
    "fraud",
    "ledger",
    "loyalty",
    "audit",
];
const NOUNS: [&str; 10] = [
    "orders",
    "items",
    "users",
    "products",
    "invoices",
    "vouchers",
    "addresses",
    "stocks",
    "parcels",
    "sessions",
];
/// Spread of durations: σ of their logarithm.
const SIGMA: f64 = 0.5;
const FAILED: f64 = 0.005;
const RESOURCES_PER_REQUEST: usize = 4;
const PODS: u32 = 3;

#[derive(Clone, Copy)]
enum Shape {
    Http,
    Database,
    RpcServer,
    RpcClient,
}

/// Ten operations of a service: half of what it does is HTTP.
const MIX: [Shape; 10] = [
    Shape::Http,
    Shape::Database,
    Shape::Http,
    Shape::RpcServer,
    Shape::Database,
    Shape::Http,
    Shape::Http,
    Shape::RpcClient,
    Shape::Database,
    Shape::Http,
];

/// One operation: one series in each environment.
struct Operation {
    shape: Shape,
    span_name: String,
    median_ns: f64,
    /// What all its spans say.
    attributes: Vec<KeyValue>,
}

/// Requests from a seed.
pub struct Traffic {
    random: SmallRng,
    environments: usize,
    /// By service; services without operations are left out.
    services: Vec<(&'static str, Vec<Operation>)>,
}

impl Traffic {
    /// Of this many operations, dealt to the services in turn, and of the first so many [`ENVIRONMENTS`].
    pub fn new(operations: usize, environments: usize) -> Traffic {
        let mut random = SmallRng::seed_from_u64(1);
        let mut services: Vec<(&str, Vec<Operation>)> = Vec::new();
        for at in 0..operations {
            let (round, turn) = (at / SERVICES.len(), at % SERVICES.len());
            if round == 0 {
                services.push((SERVICES[turn], Vec::new()));
            }
            let median_ns = 1e6 * 200f64.powf(random.random::<f64>());
            services[turn].1.push(operation(MIX[(round + turn) % MIX.len()], round, median_ns));
        }
        Traffic { random, environments, services }
    }

    /// Spans of operations as they come, from four resources: what a collector's batch looks like.
    pub fn batch(&mut self, spans: usize) -> ExportTraceServiceRequest {
        self.batch_of(RESOURCES_PER_REQUEST, spans)
    }

    /// The same from as many resources: an SDK has one, a collector's batch has many.
    pub fn batch_of(&mut self, resources: usize, spans: usize) -> ExportTraceServiceRequest {
        let mut resource_spans = Vec::new();
        for _ in 0..resources {
            let service = self.random.random_range(0..self.services.len());
            let environment = self.random.random_range(0..self.environments);
            let operations = self.services[service].1.len();
            let chosen: Vec<usize> =
                (0..spans / resources).map(|_| self.random.random_range(0..operations)).collect();
            resource_spans.push(self.resource_spans(service, environment, &chosen));
        }
        ExportTraceServiceRequest { resource_spans }
    }

    /// As many spans of every operation, one resource a service, all of one environment.
    pub fn even(&mut self, environment: usize, spans_per_operation: usize) -> ExportTraceServiceRequest {
        let mut resource_spans = Vec::new();
        for service in 0..self.services.len() {
            let operations = self.services[service].1.len();
            let chosen: Vec<usize> =
                (0..operations).flat_map(|at| std::iter::repeat_n(at, spans_per_operation)).collect();
            resource_spans.push(self.resource_spans(service, environment, &chosen));
        }
        ExportTraceServiceRequest { resource_spans }
    }

    /// A duration around a median, nanoseconds.
    pub fn duration_ns(&mut self, median_ns: f64) -> u64 {
        // Box and Muller's transform (1958).
        let (u, v): (f64, f64) = (1.0 - self.random.random::<f64>(), self.random.random());
        let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        (median_ns * (SIGMA * normal).exp()) as u64
    }

    /// A number from 0 to 1.
    pub fn share(&mut self) -> f64 {
        self.random.random()
    }

    fn resource_spans(&mut self, service: usize, environment: usize, operations: &[usize]) -> ResourceSpans {
        let resource = self.resource(service, environment);
        let spans = operations.iter().map(|operation| self.span(service, *operation)).collect();
        ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }],
            schema_url: "https://opentelemetry.io/schemas/1.37.0".to_owned(),
        }
    }

    fn resource(&mut self, service: usize, environment: usize) -> Resource {
        let (service, environment) = (self.services[service].0, ENVIRONMENTS[environment]);
        let pod = self.random.random_range(0..PODS);
        let attributes = vec![
            text("service.name", service),
            text("service.namespace", "shop"),
            text("service.version", "1.4.2"),
            text("service.instance.id", &format!("{service}-{environment}-{pod}")),
            text("deployment.environment.name", environment),
            text("k8s.pod.name", &format!("{service}-7d4b9c6f5-{pod:05}")),
            text("host.arch", "amd64"),
            text("telemetry.sdk.name", "opentelemetry"),
            text("telemetry.sdk.language", "java"),
            text("telemetry.sdk.version", "1.55.0"),
        ];
        Resource { attributes, ..Resource::default() }
    }

    fn span(&mut self, service: usize, operation: usize) -> Span {
        let median_ns = self.services[service].1[operation].median_ns;
        let duration_ns = self.duration_ns(median_ns);
        let random = &mut self.random;
        let operation = &self.services[service].1[operation];
        let end_ns = START_NS + random.random_range(0..WINDOW_NS);
        let failed = random.random_bool(FAILED);
        let mut attributes = operation.attributes.clone();
        attributes.extend(varying(operation.shape, failed, random));
        Span {
            trace_id: random.random::<[u8; 16]>().to_vec(),
            span_id: (random.random::<u64>() | 1).to_be_bytes().to_vec(),
            parent_span_id: (random.random::<u64>() | 1).to_be_bytes().to_vec(),
            flags: 0x101,
            name: operation.span_name.clone(),
            kind: match operation.shape {
                Shape::Http | Shape::RpcServer => 2,
                Shape::Database | Shape::RpcClient => 3,
            },
            start_time_unix_nano: end_ns - duration_ns,
            end_time_unix_nano: end_ns,
            attributes,
            status: failed.then(|| Status { code: 2, message: "upstream failed".to_owned() }),
            ..Span::default()
        }
    }
}

/// The `round`th operation of its service.
fn operation(shape: Shape, round: usize, median_ns: f64) -> Operation {
    let (a, b) = (NOUNS[round % NOUNS.len()], NOUNS[round / NOUNS.len() % NOUNS.len()]);
    // Pairs of nouns are as many as their square; further ones get a number.
    let b = match round / NOUNS.len().pow(2) {
        0 => b.to_owned(),
        generation => format!("{b}_v{generation}"),
    };
    let method = ["GET", "GET", "POST", "PUT", "DELETE"][round % 5];
    let (span_name, attributes) = match shape {
        Shape::Http => {
            let route = format!("/api/v1/{a}/{{id}}/{b}");
            let attributes = vec![
                text("http.request.method", method),
                text("http.route", &route),
                text("url.scheme", "https"),
                text("server.address", "shop.example.com"),
                int("server.port", 443),
                text("network.protocol.version", "2"),
                text(
                    "user_agent.original",
                    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
                ),
            ];
            (format!("{method} {route}"), attributes)
        }
        Shape::Database => {
            let attributes = vec![
                text("db.system.name", "postgresql"),
                text("db.namespace", "shop"),
                text("db.collection.name", &format!("{a}_{b}")),
                text("db.operation.name", "SELECT"),
                text(
                    "db.query.text",
                    &format!("SELECT id, state, total FROM {a}_{b} WHERE id = $1 AND state <> $2"),
                ),
                text("server.address", "postgres.shop.svc.cluster.local"),
                int("server.port", 5432),
            ];
            (format!("SELECT {a}_{b}"), attributes)
        }
        Shape::RpcServer | Shape::RpcClient => {
            let (service, method) = (format!("shop.{a}.v1.{a}Service"), format!("List_{b}"));
            let attributes = vec![
                text("rpc.system", "grpc"),
                text("rpc.service", &service),
                text("rpc.method", &method),
                text("server.address", "catalog.shop.svc.cluster.local"),
                int("server.port", 8080),
                text("network.transport", "tcp"),
            ];
            (format!("{service}/{method}"), attributes)
        }
    };
    Operation { shape, span_name, median_ns, attributes }
}

/// What differs from span to span.
fn varying(shape: Shape, failed: bool, random: &mut SmallRng) -> Vec<KeyValue> {
    let peer = format!("10.{}.{}.{}", random.random::<u8>(), random.random::<u8>(), random.random::<u8>());
    let mut attributes = vec![
        int("thread.id", random.random_range(1..400)),
        text("thread.name", &format!("http-nio-8080-exec-{}", random.random_range(1..200))),
        text("network.peer.address", &peer),
    ];
    match shape {
        Shape::Http => attributes.extend([
            text("url.path", &format!("/api/v1/{}/detail", random.random::<u32>())),
            int("http.response.status_code", if failed { 500 } else { 200 }),
            text("client.address", &peer),
        ]),
        Shape::Database => {}
        Shape::RpcServer | Shape::RpcClient => {
            attributes.push(int("rpc.grpc.status_code", if failed { 13 } else { 0 }));
        }
    }
    if failed {
        attributes.push(text("error.type", "500"));
    }
    attributes
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "io.opentelemetry.tomcat-10.0".to_owned(),
        version: "2.20.0-alpha".to_owned(),
        ..InstrumentationScope::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Spans in a request.
pub fn spans(request: &ExportTraceServiceRequest) -> impl Iterator<Item = &Span> {
    request.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans)
}

/// An engine with one-minute windows that judges nothing of itself.
pub fn engine(shards: usize) -> Engine {
    Engine::new(plan(), shards)
}

/// The plan of such an engine.
pub fn plan() -> Plan {
    Plan {
        environments: EnvironmentRules::default(),
        window_ns: WINDOW_NS,
        patience: Patience { lateness_ns: 0, idle_ns: WINDOW_NS },
        warmup_ns: 0,
        period_windows: 30,
        comparisons: Comparisons::Named(Vec::new()),
        policy: Policy::default(),
        limits: Limits::default(),
        observed_from_ns: START_NS,
        tier: isotel::engine::Tier::Judging,
    }
}

/// Records encoded requests; shards take turns.
///
/// # Panics
/// When a request is not accepted whole: a benchmark of refusals would measure something else.
pub fn observe(engine: &Engine, signal: Signal, requests: &[Vec<u8>]) {
    let ingest = engine.ingest();
    for request in requests {
        let refusals = ingest.observe(NOW_NS, None, signal, request);
        assert!(refusals.is_ok_and(|refusals| refusals.iter().next().is_none()));
    }
}

/// A live plan that compares the first two environments over six windows, without bounds on names.
pub fn judging(idle_ns: u64) -> Plan {
    let unlimited = 1_000_000;
    Plan {
        environments: EnvironmentRules::default(),
        window_ns: WINDOW_NS,
        patience: Patience { lateness_ns: 0, idle_ns },
        warmup_ns: 0,
        period_windows: 6,
        comparisons: Comparisons::Named(vec![Comparison {
            name: "release".to_owned(),
            baseline: ENVIRONMENTS[0].to_owned(),
            candidate: ENVIRONMENTS[1].to_owned(),
            services: Vec::new(),
            offset_ns: 0,
            traffic: None,
        }]),
        policy: Policy::default(),
        limits: Limits {
            series: unlimited,
            operations_per_service: unlimited,
            items: unlimited,
            ..Limits::default()
        },
        observed_from_ns: START_NS,
        tier: isotel::engine::Tier::Judging,
    }
}
