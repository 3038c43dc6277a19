//! OTLP/gRPC: unary `Export` of the three services, on raw bytes.
//!
//! The message is handed to the intake as it came ([`super::unary`]), so that nothing is decoded twice and the forwarded
//! bytes are the received ones. Codes are OTLP's: an oversize message is
//! RESOURCE_EXHAUSTED without `RetryInfo` (never retried), malformed bytes are INVALID_ARGUMENT, overload is UNAVAILABLE
//! with `RetryInfo`. A call without a credential that the listener knows is UNAUTHENTICATED before its message is read.

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tonic::{Code, Status, body::Body};

use super::{
    auth::{self, Guard},
    receive::{OVERLOAD_PAUSE, READ_TIMEOUT, Receiver},
    telemetry::RequestOutcome,
    unary,
};
use crate::config::HttpOrGrpc as Transport;
use crate::wire::{
    Signal,
    response::{self, Encoding},
};

/// Answers one request on a gRPC listener.
pub(crate) async fn answer(
    receiver: &Receiver,
    guard: Option<&Guard>,
    limit: usize,
    mut request: Request<Incoming>,
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
    let coding = unary::coding_of(request.headers());
    let message = match coding {
        Ok(coding) => {
            let reading = tokio::time::timeout(READ_TIMEOUT, unary::read(request.body_mut(), coding, limit));
            reading.await.unwrap_or_else(|_| {
                let slow = format!("the request did not arrive within {READ_TIMEOUT:?}");
                Err(Status::deadline_exceeded(slow))
            })
        }
        Err(unknown) => Err(unknown),
    };
    let message = match message {
        Ok(message) => message,
        Err(status) => {
            let outcome = match status.code() {
                Code::ResourceExhausted => RequestOutcome::Oversize,
                Code::Cancelled | Code::DeadlineExceeded => RequestOutcome::Broken,
                _ => RequestOutcome::Refused,
            };
            receiver.turned_away(Transport::Grpc, signal, outcome);
            return status.into_http();
        }
    };
    match receiver.take(Transport::Grpc, signal, message) {
        Ok(refusals) => unary::success(&response::success(signal, Encoding::Protobuf, &refusals)),
        Err(malformed) => Status::invalid_argument(malformed.to_string()).into_http(),
    }
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
