//! Alerts → what their receivers read. A message has everything that is open and what ended not long ago, so that one that
//! was lost changes nothing.

use super::{Alert, AlertPolicy};
use serde::Serialize;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// The name and version of the webhook's layout.
pub const SCHEMA: &str = "isotel.alerts/v1";

/// An alert of Alertmanager's API, version 2.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted<'a> {
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<&'a str>,
}

/// What a webhook is posted.
#[derive(Serialize)]
struct Hook {
    schema: &'static str,
    sent_at: String,
    alerts: Vec<serde_json::Value>,
}

#[derive(Serialize)]
struct Hooked<'a> {
    fingerprint: String,
    status: &'static str,
    is_news: bool,
    severity: &'static str,
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
    starts_at: String,
    ends_at: Option<String>,
    expires_at: Option<String>,
    link: Option<&'a str>,
}

/// The body of `POST /api/v2/alerts`. An alert that is open ends when nothing more has been heard of it for
/// `resolve_timeout`.
pub fn alertmanager(alerts: &[Alert], policy: &AlertPolicy, now_ns: u64) -> Vec<u8> {
    let post = |alert: &'_ Alert| -> serde_json::Value {
        serde_json::json!(Posted {
            labels: &alert.labels,
            annotations: &alert.annotations,
            starts_at: time(alert.began_ns),
            ends_at: time(alert.ended_ns.unwrap_or(now_ns.saturating_add(policy.resolve_timeout_ns))),
            generator_url: alert.link.as_deref(),
        })
    };
    serde_json::Value::from_iter(alerts.iter().map(post)).to_string().into_bytes()
}

/// The body that a webhook is posted, `docs/alerts.md` has its fields.
pub fn webhook(alerts: &[Alert], policy: &AlertPolicy, now_ns: u64) -> Vec<u8> {
    let hook = |alert: &'_ Alert| -> serde_json::Value {
        let Alert { severity, labels, annotations, link, began_ns, ended_ns, is_news } = alert;
        let expires_ns = now_ns.saturating_add(policy.resolve_timeout_ns);
        serde_json::json!(Hooked {
            fingerprint: fingerprint(labels),
            status: if ended_ns.is_some() { "resolved" } else { "firing" },
            is_news: *is_news,
            severity: severity.as_str(),
            labels,
            annotations,
            starts_at: time(*began_ns),
            ends_at: ended_ns.map(time),
            expires_at: ended_ns.is_none().then(|| time(expires_ns)),
            link: link.as_deref(),
        })
    };
    let alerts = alerts.iter().map(hook).collect();
    serde_json::json!(Hook { schema: SCHEMA, sent_at: time(now_ns), alerts }).to_string().into_bytes()
}

/// What is the same as long as an alert is.
fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    let text: Vec<String> = labels.iter().map(|(name, value)| format!("{name}\u{1f}{value}")).collect();
    format!("{:016x}", xxh3_64(text.join("\u{1e}").as_bytes()))
}

fn time(ns: u64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
