//! An agent on free ports, an intake that counts, and clients that show every byte.

use std::{
    future::Future,
    io::Write,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes};
use flate2::{Compression as Level, write::GzEncoder};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use isotel::{
    agent::{Agent, Intake, NotRecorded, RunningAgent, Sources},
    config::{self, Config, ExporterConfig, HttpOrGrpc, Source},
    wire::{
        LogBatch, Malformed, MetricBatch, Refusals, Signal, TraceBatch, decode_logs, decode_metrics,
        decode_traces,
    },
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use tokio::net::TcpStream;

/// The limit of requests in these tests, in bytes.
pub const LIMIT: usize = 64 << 10;
/// No wait in these tests is longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Decodes with the real decoders, and keeps what it was given.
#[derive(Default)]
pub struct CountingIntake {
    seen: Mutex<Vec<(Signal, Vec<u8>)>>,
}

impl Intake for CountingIntake {
    fn record(&self, now_ns: u64, signal: Signal, request: &[u8]) -> Result<Refusals, NotRecorded> {
        assert!(now_ns > 1_600_000_000_000_000_000, "the arrival time is the wall clock's");
        let refusals = decode(signal, request)?;
        self.seen.lock().unwrap().push((signal, request.to_vec()));
        Ok(refusals)
    }
}

fn decode(signal: Signal, request: &[u8]) -> Result<Refusals, Malformed> {
    match signal {
        Signal::Traces => {
            let mut batch = TraceBatch::default();
            decode_traces(request, &mut batch).map(|()| batch.refusals)
        }
        Signal::Metrics => {
            let mut batch = MetricBatch::default();
            decode_metrics(request, &mut batch).map(|()| batch.refusals)
        }
        Signal::Logs => {
            let mut batch = LogBatch::default();
            decode_logs(request, &mut batch).map(|()| batch.refusals)
        }
    }
}

impl CountingIntake {
    /// Requests recorded so far.
    pub fn requests(&self) -> Vec<(Signal, Vec<u8>)> {
        self.seen.lock().unwrap().clone()
    }

    /// Spans recorded so far, by a decoder that is not ours.
    pub fn spans(&self) -> Vec<Span> {
        use prost::Message;
        let requests = self.requests();
        let traces = requests.iter().filter(|(signal, _)| *signal == Signal::Traces);
        traces
            .flat_map(|(_, request)| {
                ExportTraceServiceRequest::decode(request.as_slice()).unwrap().resource_spans
            })
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans)
            .collect()
    }
}

/// A running agent and where to reach it.
pub struct Running {
    pub agent: RunningAgent,
    pub intake: Arc<CountingIntake>,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
}

/// Every listener on a free port.
const CONFIG: &str = "
receivers:
  otlp:
    protocols:
      grpc: {endpoint: '127.0.0.1:0', max_recv_msg_size: 64KiB}
      http: {endpoint: '127.0.0.1:0', max_request_body_size: 64KiB}
exporters:
  otlp_http:
    endpoint: http://127.0.0.1:1
    headers: {x-tenant: blue}
    compression: none
    timeout: 10s
    retry_on_failure: {initial_interval: 5ms, max_interval: 20ms}
    sending_queue: {num_consumers: 2, queue_size: 100}
extensions:
  health_check: {endpoint: '127.0.0.1:0'}
service:
  extensions: [health_check]
  pipelines: {traces: {receivers: [otlp]}}
  telemetry: {metrics: {address: '127.0.0.1:0'}}
";

/// A configuration without forwarding.
pub fn config() -> Config {
    config_with("")
}

/// The same with another file over it.
pub fn config_with(over: &str) -> Config {
    let source = |text: &str| Source { name: "test.yaml".to_owned(), text: text.to_owned() };
    config::load(&[source(CONFIG), source(over)], &[], &|_| None).unwrap().config
}

/// An exporter that retries fast.
pub fn exporter(transport: HttpOrGrpc, url: String) -> ExporterConfig {
    ExporterConfig { transport, url, ..config().exporters["otlp_http"].clone() }
}

/// The same configuration with traces forwarded to these exporters.
pub fn forwarding(config: Config, exporters: Vec<(&str, ExporterConfig)>) -> Config {
    let mut config = config;
    config.forward.traces = exporters.iter().map(|(id, _)| (*id).to_owned()).collect();
    config.exporters = exporters.into_iter().map(|(id, exporter)| (id.to_owned(), exporter)).collect();
    config
}

/// Starts an agent.
pub async fn start(config: Config) -> Running {
    let intake = Arc::new(CountingIntake::default());
    let door = Arc::clone(&intake) as Arc<dyn Intake>;
    let agent = Agent::start(&config, door, Sources::default()).await.unwrap();
    let addresses = agent.addresses();
    Running {
        grpc: addresses.first(HttpOrGrpc::Grpc).unwrap(),
        http: addresses.first(HttpOrGrpc::Http).unwrap(),
        agent,
        intake,
    }
}

/// An answer over HTTP.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub trailers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// One request on a connection of its own, over HTTP/1.1.
pub async fn http(
    to: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Answer {
    let stream = TcpStream::connect(to).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path);
    // A page goes by its address; a test that wants another name says so.
    if headers.iter().all(|(name, _)| *name != "host") {
        request = request.header("host", to.to_string());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(sender.send_request(request.body(Full::new(body)).unwrap())).await
}

/// `POST` of a body with a content type.
pub async fn post(to: SocketAddr, path: &str, content_type: &str, body: impl Into<Bytes>) -> Answer {
    http(to, Method::POST, path, &[("content-type", content_type)], body.into()).await
}

/// An answer over gRPC.
#[derive(Debug, Clone)]
pub struct GrpcAnswer {
    pub status: tonic::Status,
    pub message: Bytes,
}

/// One unary call whose frame is given byte by byte.
pub async fn grpc_frame(to: SocketAddr, path: &str, encoding: Option<&str>, frame: Bytes) -> GrpcAnswer {
    let headers: Vec<_> = encoding.map(|encoding| ("grpc-encoding", encoding)).into_iter().collect();
    grpc_body(to, path, &headers, Full::new(frame)).await
}

/// One unary call with these metadata and any body.
pub async fn grpc_body<B>(to: SocketAddr, path: &str, headers: &[(&str, &str)], body: B) -> GrpcAnswer
where
    B: http_body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + Unpin + 'static,
{
    let stream = TcpStream::connect(to).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::post(format!("http://{to}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = answer(sender.send_request(request.body(body).unwrap())).await;
    assert_eq!(answer.status, 200);
    let status = tonic::Status::from_header_map(&answer.trailers)
        .or_else(|| tonic::Status::from_header_map(&answer.headers))
        .expect("an answer has a grpc-status");
    GrpcAnswer { status, message: answer.body.slice(answer.body.len().min(5)..) }
}

/// One unary call of a message, compressed where an encoding is named.
pub async fn grpc(to: SocketAddr, path: &str, encoding: Option<&str>, message: &[u8]) -> GrpcAnswer {
    let message = encoding.map_or_else(|| message.to_vec(), |encoding| compressed(encoding, message));
    grpc_frame(to, path, encoding, frame(encoding.is_some(), &message)).await
}

/// A gRPC frame.
pub fn frame(compressed: bool, message: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(5 + message.len());
    frame.put_u8(u8::from(compressed));
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    frame.into()
}

async fn answer<F>(response: F) -> Answer
where
    F: Future<Output = hyper::Result<http::Response<hyper::body::Incoming>>>,
{
    let response = tokio::time::timeout(PATIENCE, response).await.unwrap().unwrap();
    let (head, body) = response.into_parts();
    let collected = tokio::time::timeout(PATIENCE, body.collect()).await.unwrap().unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let mut body = collected.aggregate();
    let body = body.copy_to_bytes(body.remaining());
    Answer { status: head.status.as_u16(), headers: head.headers, trailers, body }
}

/// gzip or zstd by the name that HTTP and gRPC give them.
pub fn compressed(encoding: &str, plain: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Level::new(6));
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd::bulk::compress(plain, 3).unwrap(),
        _ => plain.to_vec(),
    }
}

/// A request of good spans with these names.
pub fn spans(names: &[&str]) -> ExportTraceServiceRequest {
    let span = |name: &&str| Span {
        trace_id: vec![0xA1; 16],
        span_id: vec![0xB2; 8],
        name: (*name).to_owned(),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_250_000_000,
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: names.iter().map(span).collect(), ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
    }
}

/// Looks again and again, for as long as [`PATIENCE`], until there is something.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("{what} within {PATIENCE:?}"))
}

/// The value of a line of the Prometheus page.
pub fn metric(running: &RunningAgent, line: &str) -> f64 {
    let page: String = running.telemetry().page().collect();
    let value = page.lines().find_map(|other| other.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no line {line} in\n{page}"))
}
