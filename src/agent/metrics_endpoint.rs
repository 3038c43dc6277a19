//! The Prometheus page of isotel's own counters.

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tonic::body::Body;

use super::{
    health::{bare, not_allowed},
    prometheus,
    telemetry::Telemetry,
};

/// Answers `GET` and `HEAD` on `/metrics`.
pub(crate) fn answer<B>(telemetry: &Telemetry, request: &Request<B>) -> Response<Body> {
    if request.uri().path() != "/metrics" {
        return bare(StatusCode::NOT_FOUND);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return not_allowed();
    }
    let page = telemetry.page();
    let mut response = Response::new(Body::new(Full::from(page)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(prometheus::CONTENT_TYPE));
    response
}
