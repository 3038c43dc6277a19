//! An honest sender: OTLP over both transports, that comes again when it is told to.

use crate::served::PATIENCE;
use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;

pub const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
pub const HTTP_PATH: &str = "/v1/traces";
/// How long a sender waits that was told to come again; a real one waits for longer.
const AGAIN: Duration = Duration::from_millis(50);

/// What an answer comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Everything was taken.
    Taken,
    /// Come again: 503 with `Retry-After`, or `UNAVAILABLE` with `RetryInfo`.
    Later,
    /// Another status.
    Other(String),
    /// No answer: the connection ended first.
    Broken(String),
}

/// A request of so many spans of `bytes` bytes each, of an environment, ended just now.
pub fn spans(environment: &str, count: usize, bytes: usize) -> Vec<u8> {
    let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let text = |key: &str, value: String| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value)) }),
        ..KeyValue::default()
    };
    let span = |at: usize| Span {
        trace_id: vec![0xA1; 16],
        span_id: (at as u64 + 1).to_be_bytes().to_vec(),
        name: format!("GET /{}", ["cart", "orders", "users"][at % 3]),
        kind: 2,
        start_time_unix_nano: now_ns - 20_000_000,
        end_time_unix_nano: now_ns - 10_000_000 + at as u64,
        attributes: vec![text("payload", "x".repeat(bytes))],
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: (0..count).map(span).collect(), ..ScopeSpans::default() }];
    let attributes = vec![
        text("service.name", "shop".to_owned()),
        text("deployment.environment.name", environment.to_owned()),
    ];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// A gRPC frame.
pub fn frame(compressed: bool, message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(u8::from(compressed));
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    frame.freeze()
}

/// gzip or zstd by the name that HTTP and gRPC give them.
pub fn compressed(coding: &str, plain: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        _ => zstd::bulk::compress(plain, 3).unwrap(),
    }
}

/// A connection that sends one request after the other.
pub enum Sender {
    Grpc(http2::SendRequest<Full<Bytes>>, SocketAddr),
    Http(http1::SendRequest<Full<Bytes>>),
}

impl Sender {
    pub async fn grpc(to: SocketAddr) -> Result<Sender, String> {
        let stream = TcpStream::connect(to).await.map_err(said)?;
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(said)?;
        tokio::spawn(connection);
        Ok(Sender::Grpc(sender, to))
    }

    pub async fn http(to: SocketAddr) -> Result<Sender, String> {
        let stream = TcpStream::connect(to).await.map_err(said)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(said)?;
        tokio::spawn(connection);
        Ok(Sender::Http(sender))
    }

    /// Sends a request in this coding, and says what came back. For gRPC the body is a frame.
    pub async fn send(&mut self, coding: Option<&str>, body: Bytes) -> Answer {
        let answered = tokio::time::timeout(PATIENCE, self.exchange(coding, body)).await;
        answered.expect("an answer in time").unwrap_or_else(Answer::Broken)
    }

    async fn exchange(&mut self, coding: Option<&str>, body: Bytes) -> Result<Answer, String> {
        match self {
            Sender::Grpc(sender, to) => {
                let mut request = Request::post(format!("http://{to}{GRPC_PATH}"))
                    .header("content-type", "application/grpc")
                    .header("te", "trailers");
                if let Some(coding) = coding {
                    request = request.header("grpc-encoding", coding);
                }
                sender.ready().await.map_err(said)?;
                let response =
                    sender.send_request(request.body(Full::new(body)).unwrap()).await.map_err(said)?;
                let (head, body) = response.into_parts();
                let body = body.collect().await.map_err(said)?;
                let of = |headers: &HeaderMap| tonic::Status::from_header_map(headers);
                let status = body.trailers().and_then(of).or_else(|| of(&head.headers)).ok_or("no status")?;
                Ok(match status.code() {
                    tonic::Code::Ok => Answer::Taken,
                    tonic::Code::Unavailable if !status.details().is_empty() => Answer::Later,
                    code => Answer::Other(format!("{code:?}")),
                })
            }
            Sender::Http(sender) => {
                let mut request = Request::post(HTTP_PATH)
                    .header("host", "test")
                    .header("content-type", "application/x-protobuf");
                if let Some(coding) = coding {
                    request = request.header("content-encoding", coding);
                }
                sender.ready().await.map_err(said)?;
                let response =
                    sender.send_request(request.body(Full::new(body)).unwrap()).await.map_err(said)?;
                let (head, body) = response.into_parts();
                body.collect().await.map_err(said)?;
                Ok(match head.status.as_u16() {
                    200 => Answer::Taken,
                    503 if head.headers.contains_key("retry-after") => Answer::Later,
                    status => Answer::Other(status.to_string()),
                })
            }
        }
    }
}

fn said(cause: impl std::fmt::Display) -> String {
    cause.to_string()
}

/// Sends one span over both transports, on connections of their own, again and again until it is taken. Returns how many
/// spans were acknowledged.
pub async fn honest(grpc: SocketAddr, http: SocketAddr) -> u64 {
    let plain = spans("prod", 1, 10);
    let deadline = Instant::now() + PATIENCE;
    for over_grpc in [true, false] {
        loop {
            let sender = if over_grpc { Sender::grpc(grpc).await } else { Sender::http(http).await };
            let body = if over_grpc { frame(false, &plain) } else { plain.clone().into() };
            // A connection that a flood outran is tried again, as SDKs do.
            let answer = match sender {
                Ok(mut sender) => sender.send(None, body).await,
                Err(cause) => Answer::Broken(cause),
            };
            if answer == Answer::Taken {
                break;
            }
            assert!(Instant::now() < deadline, "an honest request was not taken: {answer:?}");
            tokio::time::sleep(AGAIN).await;
        }
    }
    2
}
