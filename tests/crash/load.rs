//! Requests whose counts are known, over HTTP and gRPC, in an event time that goes on with each of them.
//!
//! Event time is no clock: it goes on by a step with every request, and waits for requests under way. So nothing is ever
//! late, however long a thread sleeps, and what is sealed when depends on the agent.

use crate::agent::{Addresses, PATIENCE};
use crate::oracle::{Count, Counts, Oracle, add};
use bytes::{BufMut, Bytes, BytesMut};
use http::Request as HttpRequest;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status},
};
use prost::Message;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

const MS: u64 = 1_000_000;
/// How far event time goes on with a request.
const STEP_NS: u64 = 8 * MS;
/// How far a span may end before the event time of its request.
const JITTER_NS: u64 = 500 * MS;
/// How far event time may be ahead of a request under way; together with the jitter less than the lateness.
const LAG_NS: u64 = 300 * MS;
/// Requests under way at a time, half of them over gRPC.
pub const CLIENTS: usize = 4;

/// A request and what it counts.
#[derive(Clone, Debug)]
pub struct Request {
    id: u64,
    pub counts: Counts,
    pub body: Bytes,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Acknowledged,
    /// The sender was told to come again.
    Refused,
    /// None.
    Unanswered,
}

/// All that is ever sent to one directory.
#[derive(Debug)]
pub struct World {
    random: SmallRng,
    now_ns: u64,
    next: u64,
    under_way: BTreeMap<u64, u64>,
    pub oracle: Oracle,
    /// Requests by how they ended: acknowledged, refused, unanswered.
    pub ended: [u64; 3],
}

impl World {
    /// One that begins at this event time.
    pub fn new(seed: u64, start_ns: u64) -> World {
        World {
            random: SmallRng::seed_from_u64(seed),
            now_ns: start_ns,
            next: 0,
            under_way: BTreeMap::new(),
            oracle: Oracle::default(),
            ended: [0; 3],
        }
    }

    /// The next request, unless one under way is too far behind.
    pub fn request(&mut self) -> Option<Request> {
        if self.under_way.values().min().is_some_and(|oldest| self.now_ns - oldest > LAG_NS) {
            return None;
        }
        self.now_ns += STEP_NS;
        self.next += 1;
        self.under_way.insert(self.next, self.now_ns);
        let (mut counts, mut resource_spans) = (Counts::new(), Vec::new());
        // Each environment is in each request, so that no watermark stays behind.
        for environment in ["prod", "canary"] {
            let service = ["cart", "pay"][self.random.random_range(0..2)];
            let instance = ["a", "b", "c"][self.random.random_range(0..3)];
            let spans =
                (0..self.random.random_range(1..8)).map(|_| self.span(environment, service, &mut counts));
            let scope_spans = vec![ScopeSpans { spans: spans.collect(), ..ScopeSpans::default() }];
            let attributes = vec![
                text("deployment.environment.name", environment),
                text("service.name", service),
                text("service.instance.id", instance),
            ];
            let resource = Some(Resource { attributes, ..Resource::default() });
            resource_spans.push(ResourceSpans { resource, scope_spans, ..ResourceSpans::default() });
        }
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec().into();
        Some(Request { id: self.next, counts, body })
    }

    fn span(&mut self, environment: &str, service: &str, counts: &mut Counts) -> Span {
        let end_ns = self.now_ns - self.random.random_range(0..JITTER_NS);
        let duration_ns = self.random.random_range(1..400 * MS);
        let operation = format!("GET /{}", ["a", "b", "c", "d", "e"][self.random.random_range(0..5)]);
        let failed = self.random.random_bool(0.1);
        let key = (environment.to_owned(), service.to_owned(), operation.clone(), end_ns / 1_000_000_000);
        let count = Count { n: 1, errors: u64::from(failed), sum_ns: duration_ns.into() };
        add(counts, &Counts::from([(key, count)]));
        let route = operation.strip_prefix("GET ").unwrap().to_owned();
        Span {
            trace_id: self.random.random::<[u8; 16]>().to_vec(),
            span_id: self.random.random::<[u8; 8]>().to_vec(),
            name: operation,
            kind: 2,
            start_time_unix_nano: end_ns - duration_ns,
            end_time_unix_nano: end_ns,
            attributes: vec![text("http.request.method", "GET"), text("http.route", &route)],
            status: failed.then(|| Status { code: 2, ..Status::default() }),
            ..Span::default()
        }
    }

    /// Counts a request by how it ended.
    pub fn end(&mut self, request: Request, answer: Answer) {
        self.under_way.remove(&request.id);
        self.ended[answer as usize] += 1;
        match answer {
            Answer::Acknowledged => self.oracle.acknowledged(&request.counts),
            Answer::Refused => {}
            Answer::Unanswered => self.oracle.unanswered.push(request.counts),
        }
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// Clients that send as fast as they are answered, until [`Load::end`].
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: tokio::task::JoinSet<()>,
}

impl Load {
    pub fn start(world: &Arc<Mutex<World>>, to: Addresses) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..CLIENTS {
            let (world, stop) = (Arc::clone(world), Arc::clone(&stop));
            clients.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let Some(mut client) = Client::connect(to, client % 2 == 1).await else { return };
                    while !stop.load(Ordering::Relaxed) {
                        let request = world.lock().unwrap().request();
                        let Some(request) = request else {
                            tokio::time::sleep(Duration::from_micros(200)).await;
                            continue;
                        };
                        let answer = client.send(&request.body).await;
                        world.lock().unwrap().end(request, answer);
                        if answer == Answer::Unanswered {
                            break;
                        }
                        if answer == Answer::Refused {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                    }
                }
            });
        }
        Load { stop, clients }
    }

    /// Waits until there is what is looked for.
    pub async fn until(what: &str, mut look: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !look() {
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits for the requests under way, answered or not.
    pub async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = tokio::time::timeout(PATIENCE, self.clients.join_next()).await.unwrap() {
            ended.unwrap();
        }
    }
}

/// One connection.
enum Client {
    Http(hyper::client::conn::http1::SendRequest<Full<Bytes>>, SocketAddr),
    Grpc(hyper::client::conn::http2::SendRequest<Full<Bytes>>, SocketAddr),
}

impl Client {
    async fn connect(to: Addresses, grpc: bool) -> Option<Client> {
        let address = if grpc { to.grpc } else { to.http };
        let stream = TokioIo::new(TcpStream::connect(address).await.ok()?);
        if grpc {
            let (sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.ok()?;
            tokio::spawn(connection);
            return Some(Client::Grpc(sender, address));
        }
        let (sender, connection) = hyper::client::conn::http1::handshake(stream).await.ok()?;
        tokio::spawn(connection);
        Some(Client::Http(sender, address))
    }

    async fn send(&mut self, body: &Bytes) -> Answer {
        let answer = tokio::time::timeout(PATIENCE, self.exchange(body)).await.expect("an answer or an end");
        answer.unwrap_or(Answer::Unanswered)
    }

    async fn exchange(&mut self, body: &Bytes) -> Option<Answer> {
        match self {
            Client::Http(sender, address) => {
                sender.ready().await.ok()?;
                let request = HttpRequest::post("/v1/traces")
                    .header("host", address.to_string())
                    .header("content-type", "application/x-protobuf")
                    .body(Full::new(body.clone()));
                let response = sender.send_request(request.unwrap()).await.ok()?;
                let (status, retry) = (response.status(), response.headers().contains_key("retry-after"));
                response.into_body().collect().await.ok()?;
                match (status.as_u16(), retry) {
                    (200, _) => Some(Answer::Acknowledged),
                    (503, true) => Some(Answer::Refused),
                    other => panic!("{other:?}"),
                }
            }
            Client::Grpc(sender, address) => {
                sender.ready().await.ok()?;
                let mut frame = BytesMut::new();
                frame.put_u8(0);
                frame.put_u32(body.len() as u32);
                frame.put_slice(body);
                let path = "opentelemetry.proto.collector.trace.v1.TraceService/Export";
                let request = HttpRequest::post(format!("http://{address}/{path}"))
                    .header("content-type", "application/grpc")
                    .header("te", "trailers")
                    .body(Full::new(frame.freeze()));
                let response = sender.send_request(request.unwrap()).await.ok()?;
                let head = tonic::Status::from_header_map(response.headers());
                let body = response.into_body().collect().await.ok()?;
                let status = head.or_else(|| tonic::Status::from_header_map(body.trailers()?))?;
                match status.code() {
                    tonic::Code::Ok => Some(Answer::Acknowledged),
                    tonic::Code::Unavailable if !status.details().is_empty() => Some(Answer::Refused),
                    _ => panic!("{status:?}"),
                }
            }
        }
    }
}
