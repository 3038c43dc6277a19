//! The Prometheus page of isotel's own counters and of results.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body::Frame;
use tonic::body::Body;

use super::{
    health::{bare, not_allowed},
    prometheus,
    telemetry::PagePieces,
};

/// Answers `GET` and `HEAD` on `/metrics`.
pub(crate) fn answer(method: &Method, path: &str, page: impl FnOnce() -> PagePieces) -> Response<Body> {
    if path != "/metrics" {
        return bare(StatusCode::NOT_FOUND);
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        return not_allowed();
    }
    let mut response = Response::new(Body::new(Pieces(page())));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(prometheus::CONTENT_TYPE));
    response
}

/// Each piece is made when the one before it has been taken, so that a page of many megabytes is never whole.
struct Pieces(PagePieces);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(piece.into()))))
    }
}
