//! Start, health, own metrics, overload, TLS, reload, end.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Method;
use isotel::{
    agent::{Agent, Intake, Sources, StartError},
    config::{Config, HttpOrGrpc as Transport, Identity, ServerTls, TelemetryOtlp},
};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::Code;

use super::{
    downstream::Downstream,
    harness::{
        CountingIntake, PATIENCE, config, exporter, forwarding, grpc, http, metric, post, spans, start, until,
    },
};

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const PROTOBUF: &str = "application/x-protobuf";

async fn refused(config: Config) -> StartError {
    let intake = Arc::new(CountingIntake::default()) as Arc<dyn Intake>;
    Agent::start(&config, intake, Sources::default()).await.err().expect("the agent must not start")
}

#[tokio::test]
async fn an_address_in_use_is_reported_with_its_key_and_cause() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let mut config = config();
    config.listeners[1].endpoint = ("127.0.0.1".to_owned(), address.port());
    let text = refused(config).await.to_string();
    for part in ["receivers.otlp.protocols.http", &address.to_string(), "in use"] {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
}

#[tokio::test]
async fn a_pipeline_to_nowhere_and_a_bad_certificate_are_reported() {
    let mut to_nowhere = config();
    to_nowhere.forward.traces = vec!["otlp/none".to_owned()];
    assert!(matches!(refused(to_nowhere).await, StartError::UnknownExporter { id } if id == "otlp/none"));
    let mut without_file = config();
    without_file.listeners[0].tls = Some(ServerTls {
        identity: Identity { cert_file: "/no/such.pem".to_owned(), key_file: "/no/such.key".to_owned() },
        client_ca_file: None,
        only_tls13: false,
        reload_interval: None,
    });
    let text = refused(without_file).await.to_string();
    for part in ["receivers.otlp.protocols.grpc", "tls.cert_file", "/no/such.pem"] {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
}

#[tokio::test]
async fn the_pages_tell_of_health_and_of_requests() {
    let running = start(config()).await;
    let addresses = running.agent.addresses();
    let health = http(addresses.health.unwrap(), Method::GET, "/status", &[], Bytes::new()).await;
    assert_eq!((health.status, &health.body[..]), (200, &br#"{"status":"ready"}"#[..]));
    assert_eq!(health.header("content-type"), "application/json");
    post(running.http, "/v1/traces", PROTOBUF, spans(&["a"]).encode_to_vec()).await;
    let page = http(addresses.metrics.unwrap(), Method::GET, "/metrics", &[], Bytes::new()).await;
    assert_eq!(page.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = std::str::from_utf8(&page.body).unwrap();
    let line = "isotel_receiver_requests{transport=\"http\",signal=\"traces\",outcome=\"success\"} 1\n";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("isotel_process_uptime "), "{text}");
}

/// Opens a request that has everything but its last byte, so that it stays in flight.
async fn half_a_request(to: std::net::SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: t\r\ncontent-type: application/x-protobuf\r\ncontent-length: 2\r\n\r\n\x0A";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn finish(mut stream: TcpStream) -> String {
    stream.write_all(&[0]).await.unwrap();
    let mut answer = vec![0; 4_096];
    let length = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[tokio::test]
async fn overload_asks_the_sender_to_come_again() {
    let running = start(Config { concurrent_requests: 1, ..config() }).await;
    let held = half_a_request(running.http).await;
    let body = spans(&["a"]).encode_to_vec();
    // The first request is in flight some time after its head was written.
    let refused = tokio::time::timeout(PATIENCE, async {
        loop {
            let answer = post(running.http, "/v1/traces", PROTOBUF, body.clone()).await;
            if answer.status != 200 {
                return answer;
            }
        }
    });
    let refused = refused.await.unwrap();
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    let call = grpc(running.grpc, TRACES, None, &body).await;
    assert_eq!(call.status.code(), Code::Unavailable);
    let details = String::from_utf8_lossy(call.status.details()).into_owned();
    assert!(details.contains("type.googleapis.com/google.rpc.RetryInfo"), "{details:?}");
    assert!(finish(held).await.starts_with("HTTP/1.1 200"));
    assert_eq!(post(running.http, "/v1/traces", PROTOBUF, body).await.status, 200);
}

#[tokio::test]
async fn the_end_finishes_what_is_in_flight_then_seals_then_lets_go() {
    let running = start(config()).await;
    let (address, health) = (running.http, running.agent.addresses().health.unwrap());
    let held = half_a_request(address).await;
    let open = "isotel_receiver_connections{transport=\"http\"}";
    until("an open connection", || (metric(&running.agent, open) > 0.0).then_some(())).await;
    let intake = Arc::clone(&running.intake);
    let (seal, sealed) = tokio::sync::oneshot::channel();
    let draining = tokio::spawn(running.agent.drain(PATIENCE, async move {
        let seen = intake.requests().len();
        let page = http(health, Method::GET, "/", &[], Bytes::new()).await;
        seal.send((seen, page.status)).unwrap();
    }));
    tokio::time::timeout(PATIENCE, async { while TcpStream::connect(address).await.is_ok() {} })
        .await
        .unwrap();
    assert!(finish(held).await.starts_with("HTTP/1.1 200"));
    assert_eq!(
        sealed.await.unwrap(),
        (1, 503),
        "the request is recorded and readiness is off before the seal"
    );
    draining.await.unwrap();
    assert!(TcpStream::connect(health).await.is_err());
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_up_the_end() {
    let running = start(config()).await;
    let _held = half_a_request(running.http).await;
    let open = "isotel_receiver_connections{transport=\"http\"}";
    until("an open connection", || (metric(&running.agent, open) > 0.0).then_some(())).await;
    let drained = tokio::time::timeout(PATIENCE, running.agent.drain(Duration::from_millis(200), async {}));
    drained.await.unwrap();
}

#[tokio::test]
async fn a_reload_keeps_sockets_and_counters_and_a_bad_one_changes_nothing() {
    let downstream = Downstream::start(Vec::new()).await;
    let mut running = start(config()).await;
    let body = spans(&["a"]).encode_to_vec();
    post(running.http, "/v1/traces", PROTOBUF, body.clone()).await;

    let mut next = forwarding(config(), vec![("otlp", exporter(Transport::Http, downstream.http()))]);
    next.listeners[1].request_bytes = 4;
    running.agent.reload(&next).await.unwrap();
    let addresses = running.agent.addresses();
    assert_eq!(addresses.first(Transport::Http), Some(running.http));
    assert_eq!(addresses.first(Transport::Grpc), Some(running.grpc));
    assert_eq!(post(running.http, "/v1/traces", PROTOBUF, body.clone()).await.status, 413);
    assert_eq!(grpc(running.grpc, TRACES, None, &body).await.status.code(), Code::Ok);
    downstream.await_requests(1).await;

    let bad = forwarding(config(), vec![("otlp", exporter(Transport::Http, "ftp://nowhere".to_owned()))]);
    let text = running.agent.reload(&bad).await.unwrap_err().to_string();
    assert!(text.contains("exporters.otlp") && text.contains("ftp://nowhere"), "{text}");
    assert_eq!(grpc(running.grpc, TRACES, None, &body).await.status.code(), Code::Ok);
    downstream.await_requests(2).await;
    let line = "isotel_exporter_sent_requests{exporter=\"otlp\"}";
    until(line, || (metric(&running.agent, line) == 2.0).then_some(())).await;

    let mut grpc_only = config();
    grpc_only.listeners.pop();
    running.agent.reload(&grpc_only).await.unwrap();
    let http_gone = async { while TcpStream::connect(running.http).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, http_gone).await.unwrap();
    assert_eq!(running.intake.requests().len(), 3);
}

#[tokio::test]
async fn own_telemetry_is_pushed_in_the_same_names() {
    let downstream = Downstream::start(Vec::new()).await;
    let exporter = exporter(Transport::Grpc, downstream.http());
    let push = TelemetryOtlp { exporter, interval: Duration::from_secs(3_600) };
    let running = start(Config { metrics_otlp: Some(push), ..config() }).await;
    post(running.http, "/v1/traces", PROTOBUF, spans(&["a"]).encode_to_vec()).await;
    running.agent.drain(PATIENCE, async {}).await;
    let pushed = downstream.await_requests(1).await.remove(0);
    assert_eq!(pushed.path, "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");
    let text = String::from_utf8_lossy(&pushed.body).into_owned();
    for name in ["isotel_receiver_requests", "isotel_process_uptime", "service.name", "outcome"] {
        assert!(text.contains(name), "{name}");
    }
}
