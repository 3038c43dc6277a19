//! OTLP/HTTP: `POST /v1/traces|metrics|logs`, protobuf and JSON.
//!
//! A request is refused at the first thing that is wrong with it, from the cheapest check to the dearest (who sends it is the
//! first), always with a `google.rpc.Status` body in the request's own encoding (JSON where the type is not known, since a
//! person may read it).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tonic::body::Body;

use super::{
    admission::Shed,
    auth::{self, Guard},
    body::{self, BodyError, Coding, Pieces},
    compress::InflateError,
    intake::NotRecorded,
    receive::{OVERLOAD_PAUSE, Receiver},
    telemetry::RequestOutcome,
    tenants::{Entrance, Refused},
};
use crate::config::HttpOrGrpc as Transport;
use crate::wire::{
    Signal, json,
    response::{self, Encoding},
};

/// How long the rest of a refused HTTP/1.1 request is read and thrown away, before the connection closes.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// A refusal, before it is rendered.
struct Refusal {
    status: StatusCode,
    /// The `google.rpc.Code` that belongs to it.
    code: i32,
    message: String,
    extra: Option<(header::HeaderName, HeaderValue)>,
    outcome: RequestOutcome,
}

impl Refusal {
    fn new(status: StatusCode, code: i32, message: impl Into<String>) -> Self {
        Refusal { status, code, message: message.into(), extra: None, outcome: RequestOutcome::Refused }
    }

    fn with(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.extra = Some((name, value));
        self
    }

    fn counted_as(mut self, outcome: RequestOutcome) -> Self {
        self.outcome = outcome;
        self
    }
}

mod code {
    //! `google.rpc.Code`.
    pub(super) const INVALID_ARGUMENT: i32 = 3;
    pub(super) const DEADLINE_EXCEEDED: i32 = 4;
    pub(super) const NOT_FOUND: i32 = 5;
    pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(super) const UNIMPLEMENTED: i32 = 12;
    pub(super) const UNAVAILABLE: i32 = 14;
    pub(super) const UNAUTHENTICATED: i32 = 16;
}

/// Answers one request on an HTTP listener.
pub(crate) async fn answer(entrance: &Entrance, mut request: Request<Incoming>) -> Response<Body> {
    let limit = entrance.limit;
    let encoding = encoding_of(request.headers());
    let Some(signal) = signal_of(request.uri().path()) else {
        let message = format!("no such path: {}", request.uri().path());
        let refusal = Refusal::new(StatusCode::NOT_FOUND, code::NOT_FOUND, message);
        return refuse(limit, &mut request, encoding, refusal).await;
    };
    let receiver = match entrance.admit(Transport::Http, signal, request.headers()) {
        Ok(receiver) => receiver,
        Err(Refused::Stranger(guard)) => {
            return refuse(limit, &mut request, encoding, unauthenticated(guard)).await;
        }
        Err(Refused::NoTenant(why)) => return refuse(limit, &mut request, encoding, malformed(&why)).await,
    };
    match export(receiver, limit, signal, encoding, &mut request).await {
        Ok(response) => response,
        Err(Failure::Counted(refusal)) => refuse(limit, &mut request, encoding, refusal).await,
        Err(Failure::New(refusal)) => {
            receiver.turned_away(Transport::Http, signal, refusal.outcome);
            refuse(limit, &mut request, encoding, refusal).await
        }
        Err(Failure::Shed(why)) => {
            receiver.shed(Transport::Http, signal, why);
            refuse(limit, &mut request, encoding, overloaded(why)).await
        }
    }
}

enum Failure {
    New(Refusal),
    /// The receiver has counted the request already.
    Counted(Refusal),
    /// The sender is to come again.
    Shed(Shed),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::New(refusal)
    }
}

async fn export(
    receiver: &Receiver,
    limit: usize,
    signal: Signal,
    encoding: Option<Encoding>,
    request: &mut Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    if request.method() != Method::POST {
        let message = format!("{} is not allowed here, only POST", request.method());
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, code::UNIMPLEMENTED, message)
            .with(header::ALLOW, HeaderValue::from_static("POST"))
            .into());
    }
    let encoding = encoding.ok_or_else(unsupported_type)?;
    let coding = coding_of(request.headers())?;
    let (limit, declared) = (receiver.request_max(limit), request.body().expected());
    if declared > limit as u64 {
        return Err(unreadable(InflateError::TooLarge { limit }.into()));
    }
    let mut place = receiver.admit(signal, declared).map_err(Failure::Shed)?;
    let turn = place.turn();
    let bytes = body::in_time(turn, body::read(request.body_mut(), coding, limit, &mut place));
    let bytes = bytes.await.map_err(unreadable)?;
    let bytes = match encoding {
        Encoding::Protobuf => bytes,
        Encoding::Json if bytes.is_empty() => bytes,
        Encoding::Json => {
            // As protobuf it is not larger.
            place.hold(bytes.len()).map_err(Failure::Shed)?;
            let mut request = Vec::new();
            json::transcode(signal, &bytes, &mut request).map_err(|cause| malformed(&cause))?;
            request.into()
        }
    };
    let refusals = receiver.take(Transport::Http, signal, bytes).map_err(|cause| match cause {
        NotRecorded::Malformed(cause) => Failure::Counted(malformed(&cause)),
        NotRecorded::Unkept(_) => Failure::Shed(Shed::Storage),
    })?;
    receiver.may_acknowledge(signal).await.map_err(Failure::Shed)?;
    let body = response::success(signal, encoding, &refusals);
    Ok(reply(StatusCode::OK, encoding, body.into()))
}

fn signal_of(path: &str) -> Option<Signal> {
    match path {
        "/v1/traces" => Some(Signal::Traces),
        "/v1/metrics" => Some(Signal::Metrics),
        "/v1/logs" => Some(Signal::Logs),
        _ => None,
    }
}

/// The encoding that the content type names, whatever its case and parameters.
fn encoding_of(headers: &HeaderMap) -> Option<Encoding> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    [Encoding::Protobuf, Encoding::Json]
        .into_iter()
        .find(|encoding| essence.eq_ignore_ascii_case(encoding.content_type()))
}

fn coding_of(headers: &HeaderMap) -> Result<Coding, Refusal> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let (Some(value), None) = (codings.next(), codings.next()) else {
        return if headers.contains_key(header::CONTENT_ENCODING) {
            Err(unsupported_coding("more than one"))
        } else {
            Ok(Coding::Identity)
        };
    };
    let name = value.to_str().unwrap_or_default().trim().to_ascii_lowercase();
    match name.as_str() {
        "" | "identity" | "none" => Ok(Coding::Identity),
        "gzip" | "x-gzip" => Ok(Coding::Gzip),
        "zstd" => Ok(Coding::Zstd),
        other => Err(unsupported_coding(other)),
    }
}

fn unauthenticated(guard: &Guard) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, code::UNAUTHENTICATED, auth::REFUSED)
        .with(header::WWW_AUTHENTICATE, guard.challenge())
}

fn unsupported_type() -> Refusal {
    let message = "the content type must be application/x-protobuf or application/json";
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code::INVALID_ARGUMENT, message)
}

/// RFC 9110 asks for the codings that would have been accepted.
fn unsupported_coding(name: &str) -> Refusal {
    let message = format!("content coding {name} is not supported; gzip, zstd and identity are");
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code::INVALID_ARGUMENT, message)
        .with(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd, identity"))
}

fn overloaded(why: Shed) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, code::UNAVAILABLE, why.to_string())
        .with(header::RETRY_AFTER, HeaderValue::from(OVERLOAD_PAUSE.as_secs()))
}

fn malformed(cause: &dyn std::error::Error) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, code::INVALID_ARGUMENT, cause.to_string())
}

fn unreadable(cause: BodyError) -> Failure {
    let message = cause.to_string();
    let (status, code, outcome) = match cause {
        BodyError::Shed(why) => return Failure::Shed(why),
        BodyError::Inflate(InflateError::TooLarge { .. }) => {
            (StatusCode::PAYLOAD_TOO_LARGE, code::RESOURCE_EXHAUSTED, RequestOutcome::Oversize)
        }
        BodyError::Inflate(_) | BodyError::Frame(_) => {
            (StatusCode::BAD_REQUEST, code::INVALID_ARGUMENT, RequestOutcome::Refused)
        }
        BodyError::Broken(_) => (StatusCode::BAD_REQUEST, code::INVALID_ARGUMENT, RequestOutcome::Broken),
        BodyError::TooSlow => (StatusCode::REQUEST_TIMEOUT, code::DEADLINE_EXCEEDED, RequestOutcome::Broken),
    };
    Refusal::new(status, code, message).counted_as(outcome).into()
}

/// `limit` is how many bytes the body of an honest request has at the most.
async fn refuse(
    limit: usize,
    request: &mut Request<Incoming>,
    encoding: Option<Encoding>,
    refusal: Refusal,
) -> Response<Body> {
    // Over HTTP/1.1 an unread body makes the server close the connection, which can destroy the answer on its way. A
    // sender that waits for `100 Continue` has not sent it yet.
    if request.version() < Version::HTTP_2 && !request.headers().contains_key(header::EXPECT) {
        let _ = tokio::time::timeout(DISCARD_TIMEOUT, body::discard(request.body_mut(), limit)).await;
    }
    let encoding = encoding.unwrap_or(Encoding::Json);
    let body = response::status(encoding, refusal.code, &refusal.message);
    let mut response = reply(refusal.status, encoding, body.into());
    if let Some((name, value)) = refusal.extra {
        response.headers_mut().insert(name, value);
    }
    response
}

fn reply(status: StatusCode, encoding: Encoding, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
    response
}
