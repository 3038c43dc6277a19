//! A snapshot of an environment, over the API.
//!
//! It holds the keys of the hashes beside them, with which who has it can try which value was hidden, so that it goes to nobody who
//! has shown no credential. One is made and sent at a time; whoever comes meanwhile waits, and is told to come again.

use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use tokio::time::timeout;
use tonic::body::Body;

use super::{
    health::not_allowed,
    results::{ANSWER_TIMEOUT, JSON, Question, Results, busy, page},
    rollout::{Desk, form},
};
use crate::{engine::snapshot::SnapshotError, report::json};

/// Bytes of a note.
const NOTE_BYTES_MOST: usize = 1_024;

/// Answers who asks for the snapshot of an environment.
pub(super) async fn answer<B>(
    results: &Results,
    desk: &Desk<'_>,
    environment: String,
    request: &Request<B>,
) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return not_allowed();
    }
    if !desk.guarded {
        let key = desk.key;
        let why = format!(
            "a snapshot holds the keys of hidden values, so that {key} needs an authenticator to give one out: set \
             {key}.auth.authenticator to a bearertokenauth or basicauth extension; or save it where the agent runs, with \
             `isotel snapshot save --storage`"
        );
        return refused(StatusCode::FORBIDDEN, &why);
    }
    let note = form(request.uri().query(), "note").unwrap_or_default();
    if note.len() > NOTE_BYTES_MOST {
        let why = format!("note has {} bytes; {NOTE_BYTES_MOST} are allowed", note.len());
        return refused(StatusCode::BAD_REQUEST, &why);
    }
    let place = timeout(ANSWER_TIMEOUT, Arc::clone(&results.snapshots).acquire_owned()).await;
    let Ok(Ok(place)) = place else { return busy(JSON) };
    match results.ask(|answer| Question::Snapshot { environment, note, answer }).await {
        Ok(Ok(bytes)) => {
            // The place is taken until the last byte is on its way.
            let body = Full::from(bytes).map_frame(move |frame| {
                let _ = &place;
                frame
            });
            let mut response = Response::new(Body::new(body));
            let kind = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Ok(Err(error)) => {
            let status = match error {
                SnapshotError::NoEvidence { .. } => StatusCode::NOT_FOUND,
                SnapshotError::TooLarge { .. } => StatusCode::INSUFFICIENT_STORAGE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            refused(status, &error.to_string())
        }
        Err(_) => busy(JSON),
    }
}

fn refused(status: StatusCode, why: &str) -> Response<Body> {
    page(status, JSON, json::pretty(&serde_json::json!({ "error": why })))
}
