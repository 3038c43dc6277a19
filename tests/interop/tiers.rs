//! Two agents that hand their windows over, a real collector between, and one that judges: as processes.

use crate::peer::{self, until};
use crate::process::{Collector, Isotel};
use crate::rig::now_ns;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

const KEY: &str = "redaction: {key: 'the same text in both tiers'}";
const SPANS: u64 = 200;

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// Requests of `GET /cart` in an environment that ended so many nanoseconds ago.
fn spans(environment: &str, ago_ns: u64, n: u64, duration_ns: u64) -> Vec<u8> {
    let end = now_ns() - ago_ns;
    let span = |at: u64| Span {
        trace_id: vec![7; 16],
        span_id: (end + at).to_be_bytes().to_vec(),
        name: "GET /cart".to_owned(),
        kind: 2,
        start_time_unix_nano: end - duration_ns,
        end_time_unix_nano: end,
        attributes: vec![text("http.request.method", "GET"), text("http.route", "/cart")],
        ..Span::default()
    };
    let resource = Resource {
        attributes: vec![text("deployment.environment.name", environment), text("service.name", "shop")],
        ..Resource::default()
    };
    let scope_spans = vec![ScopeSpans { spans: (0..n).map(span).collect(), ..ScopeSpans::default() }];
    let sent = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![sent] }.encode_to_vec()
}

fn post(to: SocketAddr, body: &[u8]) {
    let mut stream = TcpStream::connect(to).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST /v1/traces HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {length}\r\n\r\n"
    )
    .unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// What every tier of a test says: windows of a second.
fn parity(rest: &str) -> String {
    format!("parity: {{window: 1s, period: 10m, limits: {{open_windows: 1000}}, {KEY}, {rest}}}")
}

const RECEIVES: &str = "traces: {receivers: [otlp]}, logs: {receivers: [otlp]}";

/// An agent that judges what it is sent, and waits long enough for machines with much to do.
fn second(idle: &str) -> Isotel {
    let comparison = "comparisons: [{name: release, baseline: prod, candidate: canary}]";
    let parity = parity(&format!("lateness: 10s, idle_timeout: {idle}, {comparison}"));
    Isotel::run(&format!("service: {{pipelines: {{{RECEIVES}}}}}\n{parity}"))
}

/// An agent that hands its windows over, with a queue and a storage in a folder where one is given.
fn first(to: SocketAddr, folder: Option<&Path>) -> Isotel {
    let (extensions, queue, storage) = match folder {
        None => (String::new(), "", ""),
        Some(folder) => (
            format!(
                "extensions: {{file_storage/evidence: {{directory: '{0}/evidence'}}, file_storage/queue: {{directory: \
                 '{0}/queue'}}}}\n",
                folder.display()
            ),
            ", sending_queue: {storage: file_storage/queue}, retry_on_failure: {initial_interval: 100ms, max_interval: 200ms}",
            "storage: file_storage/evidence,",
        ),
    };
    let exporter = format!("exporters: {{otlp_http/second: {{endpoint: 'http://{to}'{queue}}}}}");
    let parity = parity(&format!(
        "lateness: 1s, idle_timeout: 2s, {storage} tier: first, exporters: [otlp_http/second]"
    ));
    Isotel::run(&format!("{extensions}{exporter}\nservice: {{pipelines: {{{RECEIVES}}}}}\n{parity}"))
}

fn judged(second: &Isotel, spans: u64) {
    until("all spans are in merged parts", || {
        (second.metric("isotel_receiver_accepted_spans") >= spans as f64).then_some(())
    });
    assert_eq!(second.metric("isotel_receiver_accepted_spans"), spans as f64);
    assert_eq!(second.metric("isotel_engine_parts{outcome=\"late\"}"), 0.0);
    assert_eq!(second.metric("isotel_engine_late_items"), 0.0);
}

#[test]
fn windows_of_two_first_tiers_come_through_a_collector_and_are_judged_together() {
    if !peer::have(&["collector"]) {
        return;
    }
    let second = second("12s");
    let hop = Collector::run(&format!(
        "
processors: {{batch: {{timeout: 50ms}}}}
exporters: {{otlp_grpc: {{endpoint: '{}', tls: {{insecure: true}}}}}}
service:
  pipelines:
    logs: {{receivers: [otlp], processors: [batch], exporters: [otlp_grpc]}}
",
        second.grpc
    ));
    let tiers = [first(hop.http, None), first(hop.http, None)];
    for (at, tier) in tiers.iter().enumerate() {
        post(tier.http, &spans("prod", 0, SPANS, 10_000_000 + at as u64));
        post(tier.http, &spans("canary", 0, SPANS, 90_000_000 + at as u64));
    }
    judged(&second, 4 * SPANS);
    until("a verdict", || (second.metric("parity_verdict") > 0.0).then_some(()));
    judged(&second, 4 * SPANS);
    for tier in tiers {
        assert_eq!(tier.metric("parity_verdict"), 0.0, "a first tier judges nothing");
        assert!(tier.metric("isotel_engine_parts") > 0.0);
        tier.stop();
    }
    hop.stop();
    second.stop();
}

#[test]
fn a_first_tier_that_is_killed_again_and_again_loses_nothing_and_nothing_counts_twice() {
    let (second, folder) = (second("1h"), tempfile::tempdir().unwrap());
    let mut sent = 0;
    for round in 0..8u64 {
        let tier = first(second.http, Some(folder.path()));
        for _ in 0..4 {
            post(tier.http, &spans(["prod", "canary"][round as usize % 2], 0, 25, 10_000_000));
            sent += 25;
        }
        // At moments that differ: while the window is open, as it closes, and after.
        if round % 4 == 3 {
            until("a window is handed over", || (tier.metric("isotel_engine_parts") > 0.0).then_some(()));
        }
        // SIGKILL.
        drop(tier);
    }
    let tier = first(second.http, Some(folder.path()));
    judged(&second, sent);
    tier.stop();
    judged(&second, sent);
    second.stop();
}
