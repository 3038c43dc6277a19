//! The health page: 200 while the agent is at work, 503 before and after.
//!
//! That requests are shed is told and is not "not ready": who probes would take the agent away from its senders or restart it,
//! which would send its load to the others or lose its windows. Senders are told one by one to come again.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tonic::body::Body;

use super::admission::Level;

/// Where the agent is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Listeners are being bound.
    Starting,
    /// Requests are taken.
    Ready,
    /// Draining.
    Stopping,
}

/// The phase, shared with the page.
#[derive(Debug)]
pub struct Readiness(AtomicU8);

impl Default for Readiness {
    fn default() -> Self {
        Readiness(AtomicU8::new(Phase::Starting as u8))
    }
}

impl Readiness {
    /// The phase now.
    pub fn phase(&self) -> Phase {
        match self.0.load(Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Stopping,
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.0.store(phase as u8, Relaxed);
    }
}

/// Answers `GET` and `HEAD` on the configured path and on `/status`.
pub(crate) fn answer<B>(
    readiness: &Readiness,
    memory: Level,
    path: &str,
    request: &Request<B>,
) -> Response<Body> {
    if ![path, "/status"].contains(&request.uri().path()) {
        return bare(StatusCode::NOT_FOUND);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return not_allowed();
    }
    let (status, body) = match (readiness.phase(), memory) {
        (Phase::Starting, _) => (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"starting"}"#),
        (Phase::Ready, Level::Ok) => (StatusCode::OK, r#"{"status":"ready"}"#),
        (Phase::Ready, Level::Soft) => (StatusCode::OK, r#"{"status":"ready","memory":"soft limit"}"#),
        (Phase::Ready, Level::Hard) => (StatusCode::OK, r#"{"status":"ready","memory":"hard limit"}"#),
        (Phase::Stopping, _) => (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"stopping"}"#),
    };
    let mut response = Response::new(Body::new(Full::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A response of nothing but its status.
pub(crate) fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// 405 for pages that are only read.
pub(crate) fn not_allowed() -> Response<Body> {
    let mut response = bare(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(method: Method, path: &str, readiness: &Readiness) -> u16 {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        answer(readiness, Level::Ok, "/", &request).status().as_u16()
    }

    #[tokio::test]
    async fn an_agent_that_sheds_is_ready_and_says_which_limit_it_is_at() {
        let readiness = Readiness::default();
        readiness.enter(Phase::Ready);
        for (memory, expected) in [
            (Level::Ok, r#"{"status":"ready"}"#),
            (Level::Soft, r#"{"status":"ready","memory":"soft limit"}"#),
            (Level::Hard, r#"{"status":"ready","memory":"hard limit"}"#),
        ] {
            let answer = answer(&readiness, memory, "/", &Request::new(()));
            assert_eq!(answer.status(), StatusCode::OK);
            let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
            assert_eq!(body, expected);
        }
    }

    #[test]
    fn the_page_is_good_only_between_start_and_stop() {
        let readiness = Readiness::default();
        assert_eq!(get(Method::GET, "/", &readiness), 503);
        readiness.enter(Phase::Ready);
        assert_eq!(get(Method::GET, "/", &readiness), 200);
        assert_eq!(get(Method::HEAD, "/status?verbose", &readiness), 200);
        assert_eq!(get(Method::POST, "/", &readiness), 405);
        assert_eq!(get(Method::GET, "/other", &readiness), 404);
        readiness.enter(Phase::Stopping);
        assert_eq!(get(Method::GET, "/status", &readiness), 503);
    }
}
