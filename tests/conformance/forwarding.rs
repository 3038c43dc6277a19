//! What comes out downstream, and what happens when downstream says no.

use std::time::Duration;

use bytes::Bytes;
use isotel::{
    config::{Compression, ExporterConfig, HttpOrGrpc as Transport},
    wire::Signal,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use tonic::{Code, Status};

use super::{
    downstream::{Downstream, Reply},
    harness::{Running, config, exporter, forwarding, frame, grpc, metric, post, spans, start, until},
};

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const PROTOBUF: &str = "application/x-protobuf";

async fn forwarding_to(exporters: Vec<(&str, ExporterConfig)>) -> Running {
    start(forwarding(config(), exporters)).await
}

fn endpoint(downstream: &Downstream, transport: Transport) -> ExporterConfig {
    exporter(transport, downstream.http())
}

async fn sent(running: &Running, name: &str, count: f64) {
    let line = format!("isotel_exporter_{name}{{exporter=\"otlp\"}}");
    until(&line, || (metric(&running.agent, &line) >= count).then_some(())).await;
    assert_eq!(metric(&running.agent, &line), count, "{line}");
}

/// Two requests that protobuf can write in more ways than one, with fields no schema knows.
fn unusual_request() -> Vec<u8> {
    let mut request = spans(&["GET /"]).encode_to_vec();
    // Field 1900, varint 7: unknown to everybody, and a re-encoding would lose it.
    request.extend_from_slice(&[0xE0, 0x76, 0x07]);
    request
}

#[tokio::test]
async fn bytes_arrive_downstream_as_they_were_sent_whatever_the_transports() {
    for to in [Transport::Grpc, Transport::Http] {
        let downstream = Downstream::start(Vec::new()).await;
        let running = forwarding_to(vec![("otlp", endpoint(&downstream, to))]).await;
        let request = unusual_request();
        assert_eq!(grpc(running.grpc, TRACES, Some("zstd"), &request).await.status.code(), Code::Ok);
        assert_eq!(post(running.http, "/v1/traces", PROTOBUF, request.clone()).await.status, 200);
        for arrived in downstream.await_requests(2).await {
            let (path, body) = match to {
                Transport::Grpc => (TRACES, frame(false, &request)),
                Transport::Http => ("/v1/traces", Bytes::from(request.clone())),
            };
            assert_eq!((arrived.path.as_str(), arrived.body), (path, body));
            assert_eq!(arrived.headers["x-tenant"], "blue");
        }
        sent(&running, "sent_requests", 2.0).await;
    }
}

#[tokio::test]
async fn compression_is_the_exporters_own_and_named_in_the_request() {
    let table = [
        (Transport::Grpc, Compression::Gzip, "grpc-encoding", "gzip"),
        (Transport::Grpc, Compression::Zstd, "grpc-encoding", "zstd"),
        (Transport::Http, Compression::Gzip, "content-encoding", "gzip"),
        (Transport::Http, Compression::Zstd, "content-encoding", "zstd"),
    ];
    for (transport, compression, header, name) in table {
        let last = start(config()).await;
        let downstream = Downstream::start(Vec::new()).await;
        let address = if transport == Transport::Grpc { last.grpc } else { last.http };
        let compressing = |url| ExporterConfig { compression, ..exporter(transport, url) };
        let (first, second) = (compressing(downstream.http()), compressing(format!("http://{address}")));
        let running = forwarding_to(vec![("otlp", first), ("last", second)]).await;
        let request = unusual_request();
        post(running.http, "/v1/traces", PROTOBUF, request.clone()).await;
        assert_eq!(downstream.await_requests(1).await[0].headers[header], name);
        let recorded = until("a record at the last hop", || last.intake.requests().pop()).await;
        assert_eq!(recorded, (Signal::Traces, request), "{transport:?} {compression:?}");
    }
}

#[tokio::test]
async fn what_may_pass_is_sent_again_and_what_is_final_is_not() {
    let unavailable = || Reply::Grpc(Status::unavailable("later"));
    let http = |status| Reply::Http(status, Vec::new(), Bytes::new());
    // (transport, what downstream says first, is it sent again)
    let table = [
        (Transport::Grpc, unavailable(), true),
        (Transport::Grpc, Reply::Grpc(Status::aborted("")), true),
        (Transport::Grpc, Reply::Grpc(Status::out_of_range("")), true),
        (Transport::Grpc, Reply::Drop, true),
        (Transport::Grpc, http(503), true),
        (Transport::Grpc, Reply::Grpc(Status::invalid_argument("bad")), false),
        (Transport::Grpc, Reply::Grpc(Status::resource_exhausted("too large")), false),
        (Transport::Grpc, Reply::Grpc(Status::unauthenticated("who")), false),
        (Transport::Http, http(429), true),
        (Transport::Http, http(502), true),
        (Transport::Http, http(503), true),
        (Transport::Http, http(504), true),
        (Transport::Http, Reply::Drop, true),
        (Transport::Http, http(400), false),
        (Transport::Http, http(404), false),
        (Transport::Http, http(413), false),
        (Transport::Http, http(500), false),
    ];
    for (row, (transport, first, again)) in table.into_iter().enumerate() {
        let downstream = Downstream::start(vec![first]).await;
        let running = forwarding_to(vec![("otlp", endpoint(&downstream, transport))]).await;
        post(running.http, "/v1/traces", PROTOBUF, unusual_request()).await;
        if again {
            let arrived = downstream.await_requests(2).await;
            assert_eq!(arrived[0].body, arrived[1].body, "row {row}");
            sent(&running, "sent_requests", 1.0).await;
            sent(&running, "retries", 1.0).await;
        } else {
            sent(&running, "send_failed_requests", 1.0).await;
            assert_eq!(downstream.arrived().len(), 1, "row {row}");
        }
    }
}

/// `google.rpc.Status` with a `RetryInfo` of so many seconds, byte by byte.
fn retry_info(seconds: u8) -> Bytes {
    let url = b"type.googleapis.com/google.rpc.RetryInfo";
    let mut any = vec![0x0A, url.len() as u8];
    any.extend_from_slice(url);
    any.extend_from_slice(&[0x12, 4, 0x0A, 2, 0x08, seconds]);
    let mut status = vec![0x08, 8, 0x1A, any.len() as u8];
    status.extend_from_slice(&any);
    status.into()
}

#[tokio::test]
async fn the_pause_that_downstream_asks_for_is_kept() {
    let exhausted = Status::with_details(Code::ResourceExhausted, "slow down", retry_info(1));
    let after = |value: String| Reply::Http(503, vec![("retry-after", value)], Bytes::new());
    let table = [
        (Transport::Grpc, Reply::Grpc(exhausted)),
        (Transport::Http, after("1".to_owned())),
        (Transport::Http, Reply::Http(429, vec![("retry-after", "1".to_owned())], Bytes::new())),
    ];
    for (transport, first) in table {
        let downstream = Downstream::start(vec![first]).await;
        let running = forwarding_to(vec![("otlp", endpoint(&downstream, transport))]).await;
        post(running.http, "/v1/traces", PROTOBUF, unusual_request()).await;
        let arrived = downstream.await_requests(2).await;
        assert!(arrived[1].at - arrived[0].at >= Duration::from_secs(1), "{transport:?}");
    }
}

#[tokio::test]
async fn partial_success_is_counted_and_never_sent_again() {
    let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "bad ids".to_owned() };
    let message = Bytes::from(ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec());
    let table = [
        (Transport::Grpc, Reply::GrpcOk(message.clone())),
        (Transport::Http, Reply::Http(200, Vec::new(), message)),
    ];
    for (transport, reply) in table {
        let downstream = Downstream::start(vec![reply]).await;
        let running = forwarding_to(vec![("otlp", endpoint(&downstream, transport))]).await;
        post(running.http, "/v1/traces", PROTOBUF, unusual_request()).await;
        sent(&running, "rejected_items", 3.0).await;
        sent(&running, "sent_requests", 1.0).await;
        assert_eq!(downstream.arrived().len(), 1);
    }
}

#[tokio::test]
async fn while_a_next_hop_is_full_senders_are_told_to_wait_and_nothing_is_taken() {
    let downstream = Downstream::start(vec![Reply::Hang]).await;
    let mut small = endpoint(&downstream, Transport::Http);
    (small.queue.requests, small.queue.consumers) = (2, 1);
    let running = forwarding_to(vec![("otlp", small)]).await;
    post(running.http, "/v1/traces", PROTOBUF, unusual_request()).await;
    downstream.await_requests(1).await;
    for expected in [200, 200, 503, 503] {
        assert_eq!(post(running.http, "/v1/traces", PROTOBUF, unusual_request()).await.status, expected);
    }
    sent(&running, "queue_size", 2.0).await;
    sent(&running, "enqueue_failed_requests", 0.0).await;
    assert_eq!(running.intake.requests().len(), 3, "what was not acknowledged was not recorded");
}

#[tokio::test]
async fn a_drain_gives_every_waiting_request_one_last_try() {
    let say_no = || Reply::Http(503, vec![("retry-after", "600".to_owned())], Bytes::new());
    let downstream = Downstream::start(vec![say_no()]).await;
    let mut patient = endpoint(&downstream, Transport::Http);
    (patient.queue.consumers, patient.retry.max_elapsed_time) = (1, None);
    let running = forwarding_to(vec![("otlp", patient)]).await;
    for _ in 0..3 {
        post(running.http, "/v1/traces", PROTOBUF, unusual_request()).await;
    }
    downstream.await_requests(1).await;
    let telemetry = std::sync::Arc::clone(running.agent.telemetry());
    running.agent.drain(super::harness::PATIENCE, async {}).await;
    assert_eq!(downstream.arrived().len(), 4, "the one that waited ten minutes, and the two behind it");
    let page: String = telemetry.page().collect();
    assert!(page.contains("isotel_exporter_sent_requests{exporter=\"otlp\"} 3"), "{page}");
}

#[tokio::test]
async fn a_dead_downstream_does_not_hold_up_the_end() {
    let downstream = Downstream::start(vec![Reply::Hang, Reply::Hang]).await;
    let running = forwarding_to(vec![("otlp", endpoint(&downstream, Transport::Grpc))]).await;
    post(running.http, "/v1/traces", PROTOBUF, unusual_request()).await;
    downstream.await_requests(1).await;
    let began = std::time::Instant::now();
    running.agent.drain(Duration::from_millis(200), async {}).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn results_go_out_by_their_own_routes() {
    let downstream = Downstream::start(Vec::new()).await;
    let mut config = config();
    config.exporters = [("otlp".to_owned(), endpoint(&downstream, Transport::Http))].into();
    config.results = vec!["otlp".to_owned()];
    let running = start(config).await;
    post(running.http, "/v1/traces", PROTOBUF, unusual_request()).await;
    let routes = running.agent.exporters_for_results().remove(0);
    assert_eq!(routes.offer(Signal::Metrics, Bytes::from_static(b"\x0a\x00")), 1);
    let arrived = downstream.await_requests(1).await;
    assert_eq!(arrived.len(), 1, "what was received goes elsewhere");
    assert_eq!((arrived[0].path.as_str(), &arrived[0].body[..]), ("/v1/metrics", &b"\x0a\x00"[..]));
}
