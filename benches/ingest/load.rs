//! The client: one thread that sends requests, in a closed loop or at a fixed rate, and times the answers.
//!
//! An answer counts when it says that all of the request was taken. At a fixed rate a request is timed from when it was
//! due, unless the timer itself woke late: a client that waits for a slow server does not hide what it waited.

use crate::payloads::{Batch, Coding, Supply, Wire};
use crate::targets::Target;
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const HTTP_PATH: &str = "/v1/traces";
/// Compression and length, before a gRPC message.
const FRAME_HEAD: usize = 5;
const FAILURES_KEPT: usize = 3;

/// How to send.
#[derive(Clone, Copy)]
pub struct Load {
    pub wire: Wire,
    pub coding: Coding,
    /// Spans a second; as fast as answers come without it.
    pub rate: Option<f64>,
    pub warm_up: Duration,
    /// How long what is sent counts; without end of its own when the supply ends.
    pub measure: Duration,
}

/// What came of it. Everything but `acknowledged` and `failures` is of the measured time alone.
pub struct Measured {
    pub spans: u64,
    pub seconds: f64,
    /// Of the target.
    pub cpu_s: f64,
    pub latency_ns: Histogram<u64>,
    /// Spans of the whole run, warm-up included.
    pub acknowledged: u64,
    pub failures: Vec<String>,
}

impl Measured {
    /// User and system time of the target for a million spans, seconds.
    pub fn cpu_s_per_million(&self) -> f64 {
        self.cpu_s / self.spans as f64 * 1e6
    }

    pub fn ack_ms(&self, quantile: f64) -> f64 {
        self.latency_ns.value_at_quantile(quantile) as f64 / 1e6
    }
}

struct Run {
    load: Load,
    supply: Arc<dyn Supply>,
    measuring: AtomicBool,
    over: AtomicBool,
    acknowledged: AtomicU64,
    latency_ns: Mutex<Histogram<u64>>,
    failures: Mutex<Vec<String>>,
}

impl Run {
    fn took(&self, spans: u64, took: Duration) {
        self.acknowledged.fetch_add(spans, Relaxed);
        if self.measuring.load(Relaxed) {
            self.latency_ns.lock().unwrap().saturating_record(took.as_nanos() as u64);
        }
    }

    fn failed(&self, why: String) {
        let mut failures = self.failures.lock().unwrap();
        if failures.len() < FAILURES_KEPT {
            failures.push(why);
        }
    }
}

/// Four connections of two streams by gRPC, eight connections by HTTP.
const GRPC_CONNECTIONS: usize = 4;
const GRPC_STREAMS: usize = 2;
const HTTP_CONNECTIONS: usize = 8;

/// Loads a target until the time is over or the supply ends.
pub fn run(load: Load, target: &Target, supply: Arc<dyn Supply>) -> Measured {
    let run = Arc::new(Run {
        load,
        supply,
        measuring: AtomicBool::new(false),
        over: AtomicBool::new(false),
        acknowledged: AtomicU64::new(0),
        latency_ns: Mutex::new(Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap()),
        failures: Mutex::default(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (before, began, after, ended) = runtime.block_on(async {
        let mut senders = Vec::new();
        match load.wire {
            Wire::Grpc => {
                for _ in 0..GRPC_CONNECTIONS {
                    let sender = grpc(target.grpc).await;
                    senders.extend((0..GRPC_STREAMS).map(|_| sender.clone()));
                }
            }
            Wire::Http => {
                for _ in 0..HTTP_CONNECTIONS {
                    senders.push(http(target.http).await);
                }
            }
        }
        let of = senders.len();
        let start = Instant::now();
        let mut workers = tokio::task::JoinSet::new();
        for (at, sender) in senders.into_iter().enumerate() {
            workers.spawn(work(run.clone(), sender, start, (at, of)));
        }
        let counts = || (run.acknowledged.load(Relaxed), target.process.cpu_s());
        // A supply that ends early ends the phases early too.
        let _ = tokio::time::timeout(load.warm_up, all(&mut workers)).await;
        run.measuring.store(true, Relaxed);
        let (before, began) = (counts(), Instant::now());
        let _ = tokio::time::timeout(load.measure, all(&mut workers)).await;
        run.measuring.store(false, Relaxed);
        let (after, ended) = (counts(), Instant::now());
        run.over.store(true, Relaxed);
        all(&mut workers).await;
        (before, began, after, ended)
    });
    let run = Arc::into_inner(run).expect("all workers have ended");
    Measured {
        spans: after.0 - before.0,
        seconds: (ended - began).as_secs_f64(),
        cpu_s: after.1 - before.1,
        latency_ns: run.latency_ns.into_inner().unwrap(),
        acknowledged: run.acknowledged.into_inner(),
        failures: run.failures.into_inner().unwrap(),
    }
}

/// Until every worker has ended.
async fn all(workers: &mut tokio::task::JoinSet<()>) {
    while workers.join_next().await.is_some() {}
}

/// Sends one request after the other; the `at`th of `of` workers.
async fn work(run: Arc<Run>, mut sender: Sender, start: Instant, (at, of): (usize, usize)) {
    let mut turn = at;
    while !run.over.load(Relaxed) {
        let Some(batch) = run.supply.next() else { return };
        let mut from = Instant::now();
        if let Some(rate) = run.load.rate {
            let due = start + Duration::from_secs_f64(turn as f64 * batch.spans as f64 / rate);
            turn += of;
            if due > from {
                tokio::time::sleep_until(due.into()).await;
                from = Instant::now();
            } else {
                from = due;
            }
        }
        let spans = batch.spans;
        match sender.send(batch, run.load.coding).await {
            Ok(()) => run.took(spans, from.elapsed()),
            Err(why) => return run.failed(why),
        }
    }
}

/// One connection, or a stream of it.
enum Sender {
    Grpc(http2::SendRequest<Full<Bytes>>, SocketAddr),
    Http(http1::SendRequest<Full<Bytes>>, SocketAddr),
}

impl Clone for Sender {
    fn clone(&self) -> Sender {
        match self {
            Sender::Grpc(sender, address) => Sender::Grpc(sender.clone(), *address),
            Sender::Http(..) => unreachable!("a connection of HTTP/1.1 has one request at a time"),
        }
    }
}

async fn grpc(address: SocketAddr) -> Sender {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .max_send_buf_size(8 << 20)
        .handshake(TokioIo::new(stream(address).await))
        .await
        .unwrap();
    tokio::spawn(connection);
    Sender::Grpc(sender, address)
}

async fn http(address: SocketAddr) -> Sender {
    let (sender, connection) = http1::handshake(TokioIo::new(stream(address).await)).await.unwrap();
    tokio::spawn(connection);
    Sender::Http(sender, address)
}

async fn stream(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

impl Sender {
    async fn send(&mut self, batch: Batch, coding: Coding) -> Result<(), String> {
        let response = match self {
            Sender::Grpc(sender, address) => {
                let mut request = Request::post(format!("http://{address}{GRPC_PATH}"))
                    .header(header::CONTENT_TYPE, "application/grpc")
                    .header(header::TE, "trailers");
                if coding != Coding::Identity {
                    request = request.header("grpc-encoding", coding.name());
                }
                sender.send_request(request.body(Full::new(batch.body)).unwrap()).await
            }
            Sender::Http(sender, address) => {
                let mut request = Request::post(HTTP_PATH)
                    .header(header::HOST, address.to_string())
                    .header(header::CONTENT_TYPE, "application/x-protobuf");
                if coding != Coding::Identity {
                    request = request.header(header::CONTENT_ENCODING, coding.name());
                }
                sender.ready().await.map_err(|cause| cause.to_string())?;
                sender.send_request(request.body(Full::new(batch.body)).unwrap()).await
            }
        };
        let response = response.map_err(|cause| cause.to_string())?;
        match self {
            Sender::Grpc(..) => settle_grpc(response, coding).await,
            Sender::Http(..) => settle_http(response).await,
        }
    }
}

async fn settle_grpc(response: Response<Incoming>, coding: Coding) -> Result<(), String> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|cause| cause.to_string())?;
    let status = |headers: &HeaderMap| headers.get("grpc-status").cloned();
    let found = body.trailers().and_then(status).or_else(|| status(&head.headers));
    if found.as_ref().is_none_or(|status| status != "0") {
        return Err(format!("grpc-status {found:?}, {:?}", head.headers.get("grpc-message")));
    }
    let said = body.to_bytes();
    let message = said.get(FRAME_HEAD..).unwrap_or_default();
    match said.first() {
        // Some answer in the coding of the request.
        Some(1) => whole(&coding.decode(message)),
        _ => whole(message),
    }
}

async fn settle_http(response: Response<Incoming>) -> Result<(), String> {
    let (head, body) = response.into_parts();
    let said = body.collect().await.map_err(|cause| cause.to_string())?.to_bytes();
    if head.status != 200 {
        return Err(format!("{}: {said:?}", head.status));
    }
    whole(&said)
}

/// Whether an answer says that nothing was refused.
fn whole(answer: &[u8]) -> Result<(), String> {
    let answer = ExportTraceServiceResponse::decode(answer).map_err(|cause| cause.to_string())?;
    match answer.partial_success {
        Some(partial) if partial.rejected_spans > 0 => Err(format!("{partial:?}")),
        _ => Ok(()),
    }
}
