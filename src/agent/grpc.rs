//! OTLP/gRPC: unary `Export` of the three services, on raw bytes.
//!
//! tonic does framing and decompression within the limit; the message itself is handed to the intake as it came, so that
//! nothing is decoded twice and the forwarded bytes are the received ones. Codes are OTLP's: an oversize message is
//! RESOURCE_EXHAUSTED without `RetryInfo` (never retried), malformed bytes are INVALID_ARGUMENT, overload is UNAVAILABLE
//! with `RetryInfo`. A call without a credential that the listener knows is UNAUTHENTICATED before its message is read.

use std::future::{Ready, ready};

use bytes::{Buf, BufMut, Bytes};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tonic::{
    Code, Status,
    body::Body,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{Grpc, UnaryService},
};

use super::{
    auth::{self, Guard},
    receive::{OVERLOAD_PAUSE, READ_TIMEOUT, Receiver},
    telemetry::RequestOutcome,
};
use crate::config::HttpOrGrpc as Transport;
use crate::wire::{
    Signal,
    response::{self, Encoding},
};

const GRPC_STATUS: &str = "grpc-status";

/// Answers one request on a gRPC listener.
pub(crate) async fn answer(
    receiver: &Receiver,
    guard: Option<&Guard>,
    limit: usize,
    request: Request<Incoming>,
) -> Response<Body> {
    if let Some(refusal) = not_grpc(&request) {
        return refusal;
    }
    let Some(signal) = signal_of(request.uri().path()) else {
        let method = request.uri().path().to_owned();
        return Status::unimplemented(format!("unknown method {method}")).into_http();
    };
    if guard.is_some_and(|guard| !guard.admits(request.headers())) {
        receiver.turned_away(Transport::Grpc, signal, RequestOutcome::Unauthenticated);
        return Status::unauthenticated(auth::REFUSED).into_http();
    }
    let _place = match receiver.admit(signal) {
        Ok(place) => place,
        Err(message) => {
            receiver.turned_away(Transport::Grpc, signal, RequestOutcome::Overload);
            return overloaded(message).into_http();
        }
    };
    let mut grpc = Grpc::new(RawCodec)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(limit);
    let mut taken = false;
    let call = grpc.unary(Export { receiver, signal, taken: &mut taken }, request);
    let Ok(response) = tokio::time::timeout(READ_TIMEOUT, call).await else {
        receiver.turned_away(Transport::Grpc, signal, RequestOutcome::Broken);
        return Status::deadline_exceeded(format!("the request did not arrive within {READ_TIMEOUT:?}"))
            .into_http();
    };
    if taken {
        return response;
    }
    let (response, outcome) = settle(response);
    receiver.turned_away(Transport::Grpc, signal, outcome);
    response
}

/// What is refused by HTTP's means, because the sender does not speak gRPC.
fn not_grpc(request: &Request<Incoming>) -> Option<Response<Body>> {
    let grpc = request.headers().get(header::CONTENT_TYPE).is_some_and(|value| {
        value.as_bytes().get(..16).is_some_and(|start| start.eq_ignore_ascii_case(b"application/grpc"))
    });
    let mut response = Response::new(Body::empty());
    if request.method() != Method::POST {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        Some(response)
    } else if !grpc {
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Some(response)
    } else {
        None
    }
}

/// The signal that a method path exports.
fn signal_of(path: &str) -> Option<Signal> {
    match path {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Some(Signal::Traces),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Some(Signal::Metrics),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Some(Signal::Logs),
        _ => None,
    }
}

/// The method path that exports a signal.
pub(crate) fn path_of(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    }
}

fn overloaded(message: &str) -> Status {
    let details = response::retry_details(Code::Unavailable as i32, message, OVERLOAD_PAUSE);
    Status::with_details(Code::Unavailable, message, details.into())
}

/// Turns the codes that tonic chose for what it could not read into OTLP's.
fn settle(mut response: Response<Body>) -> (Response<Body>, RequestOutcome) {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return (response, RequestOutcome::Broken);
    };
    let (code, outcome) = match status.code() {
        // Too long as declared, or as decompressed.
        Code::OutOfRange | Code::ResourceExhausted => (Code::ResourceExhausted, RequestOutcome::Oversize),
        Code::Internal if status.message().starts_with("Error decompressing") => {
            (Code::InvalidArgument, RequestOutcome::Refused)
        }
        Code::Cancelled | Code::Unknown | Code::Unavailable => (status.code(), RequestOutcome::Broken),
        other => (other, RequestOutcome::Refused),
    };
    response.headers_mut().insert(GRPC_STATUS, HeaderValue::from(code as i32));
    (response, outcome)
}

/// One call: the bytes are all there.
struct Export<'a> {
    receiver: &'a Receiver,
    signal: Signal,
    taken: &'a mut bool,
}

impl UnaryService<Bytes> for Export<'_> {
    type Response = Bytes;
    type Future = Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        *self.taken = true;
        ready(match self.receiver.take(Transport::Grpc, self.signal, request.into_inner()) {
            Ok(refusals) => {
                let body = response::success(self.signal, Encoding::Protobuf, &refusals);
                Ok(tonic::Response::new(body.into()))
            }
            Err(malformed) => Err(Status::invalid_argument(malformed.to_string())),
        })
    }
}

/// Passes messages through as bytes.
#[derive(Debug, Clone, Copy, Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = RawCodec;
    type Decoder = RawCodec;

    fn encoder(&mut self) -> RawCodec {
        RawCodec
    }

    fn decoder(&mut self) -> RawCodec {
        RawCodec
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    /// Splits the message off tonic's buffer, without a copy.
    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
