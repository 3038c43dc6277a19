//! Realistic requests from a seed: 12 services, 200 endpoints, two environments, 10 to 15 attributes a span.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// 2026-01-01T00:00:00Z, nanoseconds.
pub const START_NS: u64 = 1_767_225_600_000_000_000;

/// `requests` encoded requests of `spans` spans each, of four resources a request.
pub fn traces(seed: u64, requests: usize, spans: usize) -> Vec<Vec<u8>> {
    let mut random = SmallRng::seed_from_u64(seed);
    let request = |_| {
        let resource_spans = (0..4).map(|_| resource_spans(&mut random, spans / 4)).collect();
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    };
    (0..requests).map(request).collect()
}

fn resource_spans(random: &mut SmallRng, spans: usize) -> ResourceSpans {
    let service = random.random_range(0..12);
    let environment = if random.random() { "production" } else { "canary" };
    let attributes = vec![
        text("service.name", &format!("service-{}", letter(service))),
        text("service.namespace", "shop"),
        text("service.version", "1.4.2"),
        text("service.instance.id", &format!("{environment}-{service}-{}", random.random_range(0..4))),
        text("deployment.environment.name", environment),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.language", "java"),
        text("telemetry.sdk.version", "1.67.0"),
        text("host.arch", "amd64"),
    ];
    let scope = InstrumentationScope { name: "io.opentelemetry.tomcat".to_owned(), ..Default::default() };
    let spans = (0..spans).map(|_| span(random, service)).collect();
    ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

fn span(random: &mut SmallRng, service: u32) -> Span {
    let endpoint = random.random_range(0..17);
    let route = format!("/api/{}/{}/{{id}}", letter(service), letter(endpoint));
    let path = format!("/api/{}/{}/{}", letter(service), letter(endpoint), random.random::<u32>());
    let failed = random.random_bool(0.01);
    let end_ns = START_NS + random.random_range(0..50_000_000_000);
    let mut attributes = vec![
        text("http.request.method", "GET"),
        text("http.route", &route),
        text("url.path", &path),
        text("url.scheme", "https"),
        text("server.address", "shop.example.com"),
        int("server.port", 443),
        text("network.protocol.version", "1.1"),
        text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"),
        text("client.address", "10.0.0.7"),
        int("http.response.status_code", if failed { 500 } else { 200 }),
    ];
    for extra in 0..random.random_range(0..6) {
        attributes.push(int(["thread.id", "a", "b", "c", "d", "e"][extra], random.random_range(0..99)));
    }
    Span {
        trace_id: random.random::<[u8; 16]>().to_vec(),
        span_id: random.random::<[u8; 8]>().to_vec(),
        parent_span_id: random.random::<[u8; 8]>().to_vec(),
        name: format!("GET {route}"),
        kind: 2,
        start_time_unix_nano: end_ns - random.random_range(1_000_000..200_000_000),
        end_time_unix_nano: end_ns,
        attributes,
        status: failed.then(|| Status { code: 2, message: "internal".to_owned() }),
        ..Span::default()
    }
}

fn letter(n: u32) -> char {
    char::from_u32(u32::from('a') + n).unwrap_or('z')
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
