//! OTLP/gRPC: unary `Export` of the three services, on raw bytes.
//!
//! The message is handed to the intake as it came ([`super::unary`]), so that nothing is decoded twice and the forwarded
//! bytes are the received ones. Codes are OTLP's: an oversize message is RESOURCE_EXHAUSTED without `RetryInfo` (never
//! retried), malformed bytes are INVALID_ARGUMENT, overload is UNAVAILABLE with `RetryInfo`. A call without a credential that
//! the listener knows is UNAUTHENTICATED before its message is read, and one of no known tenant INVALID_ARGUMENT.

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tonic::{Code, Status, body::Body};

use super::{
    admission::Shed,
    auth,
    body::{self, BodyError},
    compress::InflateError,
    intake::NotRecorded,
    receive::{OVERLOAD_PAUSE, Receiver},
    telemetry::RequestOutcome,
    tenants::{Entrance, Refused},
    unary,
};
use crate::config::HttpOrGrpc as Transport;
use crate::wire::{
    Signal,
    response::{self, Encoding},
};

/// Answers one request on a gRPC listener.
pub(crate) async fn answer(entrance: &Entrance, request: Request<Incoming>) -> Response<Body> {
    if let Some(refusal) = not_grpc(&request) {
        return refusal;
    }
    let Some(signal) = signal_of(request.uri().path()) else {
        let method = request.uri().path().to_owned();
        return Status::unimplemented(format!("unknown method {method}")).into_http();
    };
    let receiver = match entrance.admit(Transport::Grpc, signal, request.headers()) {
        Ok(receiver) => receiver,
        Err(Refused::Stranger(_)) => return Status::unauthenticated(auth::REFUSED).into_http(),
        Err(Refused::NoTenant(why)) => return Status::invalid_argument(why.to_string()).into_http(),
    };
    match export(receiver, entrance.limit, signal, request).await {
        Ok(response) => response,
        Err(Failure::Counted(status)) => status.into_http(),
        Err(Failure::New(status, outcome)) => {
            receiver.turned_away(Transport::Grpc, signal, outcome);
            status.into_http()
        }
        Err(Failure::Shed(why)) => {
            receiver.shed(Transport::Grpc, signal, why);
            overloaded(why).into_http()
        }
    }
}

enum Failure {
    New(Status, RequestOutcome),
    /// The receiver has counted the call already.
    Counted(Status),
    /// The sender is to come again.
    Shed(Shed),
}

async fn export(
    receiver: &Receiver,
    limit: usize,
    signal: Signal,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let coding = unary::coding_of(request.headers())
        .map_err(|status| Failure::New(status, RequestOutcome::Refused))?;
    let mut place = receiver.admit(signal, 0).map_err(Failure::Shed)?;
    let limit = receiver.request_max(limit);
    let turn = place.turn();
    let message = body::in_time(turn, unary::read(request.body_mut(), coding, limit, &mut place));
    let message = message.await.map_err(unreadable)?;
    let refusals = receiver.take(Transport::Grpc, signal, message).map_err(|cause| match cause {
        NotRecorded::Malformed(cause) => Failure::Counted(Status::invalid_argument(cause.to_string())),
        NotRecorded::Unkept(_) => Failure::Shed(Shed::Storage),
    })?;
    receiver.may_acknowledge(signal).await.map_err(Failure::Shed)?;
    Ok(unary::success(&response::success(signal, Encoding::Protobuf, &refusals)))
}

fn unreadable(cause: BodyError) -> Failure {
    let message = cause.to_string();
    let (status, outcome) = match cause {
        BodyError::Shed(why) => return Failure::Shed(why),
        BodyError::Inflate(InflateError::TooLarge { .. }) => {
            (Status::resource_exhausted(message), RequestOutcome::Oversize)
        }
        BodyError::Inflate(_) => (Status::invalid_argument(message), RequestOutcome::Refused),
        BodyError::Frame(_) => (Status::internal(message), RequestOutcome::Refused),
        BodyError::Broken(_) => (Status::cancelled(message), RequestOutcome::Broken),
        BodyError::TooSlow => (Status::deadline_exceeded(message), RequestOutcome::Broken),
    };
    Failure::New(status, outcome)
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

fn overloaded(why: Shed) -> Status {
    let message = why.to_string();
    let details = response::retry_details(Code::Unavailable as i32, &message, OVERLOAD_PAUSE);
    Status::with_details(Code::Unavailable, message, details.into())
}
