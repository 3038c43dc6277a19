//! Requests of isotel's own API: JSON → [`Begin`], [`Override`].

use crate::config::value;
use crate::judge::release::{Begin, Override};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The largest body of a request, bytes.
pub const BODY_BYTES_MOST: usize = 64 << 10;

/// A request that says nothing that could be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRequest(pub String);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Body {
    release: Option<String>,
    comparison: Option<String>,
    baseline: Option<String>,
    candidate: Option<String>,
    service: Option<String>,
    services: Option<Vec<String>>,
    start: Option<String>,
    timeout: Option<String>,
    dry_run: bool,
}

/// What `POST /api/v1/sessions` says.
///
/// # Errors
/// [`BadRequest`] with what is wrong.
pub fn begin(body: &[u8]) -> Result<Begin, BadRequest> {
    let body: Body = if body.is_empty() { Body::default() } else { json(body)? };
    if body.service.is_some() && body.services.is_some() {
        return Err(BadRequest("`service` and `services` are the same; write one of them".to_owned()));
    }
    Ok(Begin {
        release: body.release,
        comparison: body.comparison,
        baseline: body.baseline,
        candidate: body.candidate,
        services: body.services.or(body.service.map(|service| vec![service])),
        start_ns: body.start.as_deref().map(|start| time_ns("start", start)).transpose()?,
        timeout_ns: body.timeout.as_deref().map(|timeout| duration_ns("timeout", timeout)).transpose()?,
        dry_run: body.dry_run,
    })
}

/// The same of a tool that asks again and again: it must say which release, for the answer of the last one is not this one's.
///
/// # Errors
/// [`BadRequest`]
pub fn begin_of_release(body: &[u8]) -> Result<Begin, BadRequest> {
    let begin = begin(body)?;
    match begin.release {
        Some(_) => Ok(begin),
        None => Err(BadRequest(
            "`release` is missing: what tells this release from the last one, e.g. its pod-template hash"
                .to_owned(),
        )),
    }
}

/// What `POST /api/v1/sessions/ID/override` says, at this time.
///
/// # Errors
/// [`BadRequest`]
pub fn override_(body: &[u8], at: &str) -> Result<Override, BadRequest> {
    let by: Override = json(body)?;
    Ok(Override { at: at.to_owned(), ..by })
}

/// JSON of a form, which is an object: serde takes a list for one whose fields are in their order.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, BadRequest> {
    serde_json::from_slice::<Map<String, Value>>(body)
        .and_then(|object| T::deserialize(Value::Object(object)))
        .map_err(|error| BadRequest(format!("the body is not what is expected: {error}")))
}

/// Nanoseconds since the epoch.
pub(super) fn time_ns(key: &str, text: &str) -> Result<u64, BadRequest> {
    let time = text.parse::<jiff::Timestamp>().ok().and_then(|time| u64::try_from(time.as_nanosecond()).ok());
    time.ok_or_else(|| BadRequest(format!("{key}: {text:?} is no time; write e.g. 2026-11-21T10:00:00Z")))
}

/// Nanoseconds.
pub(super) fn duration_ns(key: &str, text: &str) -> Result<u64, BadRequest> {
    value::duration_ns(text)
        .ok_or_else(|| BadRequest(format!("{key}: {text:?} is no duration; write e.g. 30m")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_body_says_is_asked_for_and_what_it_misspells_is_told() {
        let found = begin(
            br#"{"release": "7f9", "service": "shop/*", "timeout": "20m", "start": "2026-11-21T10:00:00Z"}"#,
        );
        let found = found.unwrap();
        assert_eq!((found.release.as_deref(), found.timeout_ns), (Some("7f9"), Some(1_200_000_000_000)));
        assert_eq!(
            (found.services.unwrap(), found.start_ns.unwrap() % 1_000_000_000),
            (vec!["shop/*".to_owned()], 0)
        );
        assert_eq!(begin(b"").unwrap(), Begin::default());
        for (body, said) in [
            (r#"{"comparision": "a"}"#, "comparison"),
            (r#"{"timeout": "soon"}"#, "30m"),
            (r#"{"start": "yesterday"}"#, "2026-11-21"),
            (r#"{"service": "a", "services": ["b"]}"#, "one of them"),
            ("[]", "expected"),
            ("{", "EOF"),
        ] {
            let told = begin(body.as_bytes()).unwrap_err().to_string();
            assert!(told.contains(said), "{body}: {told}");
        }
        assert!(begin_of_release(b"{}").unwrap_err().to_string().contains("release"));
        assert!(override_(br#"{"verdict": "pass"}"#, "").unwrap_err().to_string().contains("reason"));
    }
}
