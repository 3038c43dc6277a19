//! Verdict changes and findings → OTLP log records, in requests of a bounded size.
//!
//! Events flow in, `ExportLogsServiceRequest`s flow out. An event's name says what it is (`parity.verdict.changed`,
//! `parity.finding`), its body is the sentence for people, its attributes are the same as those of the metrics.

use crate::export::gauges::{self, Attributes};
use crate::export::otlp::{FRAME, Sender, key_value, key_values, resource, scope};
use crate::judge::{Finding, Level, Verdict};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use prost::Message;
use serde_json::Value;

/// The longest text of evidence or sentence that is emitted, in bytes.
const TEXT_BYTES_MOST: usize = 8 * 1024;

/// Something judged is in another state than before.
#[derive(Clone, Debug, PartialEq)]
pub struct VerdictChange {
    /// `parity.comparison`.
    pub comparison: String,
    /// `parity.baseline`.
    pub baseline: String,
    /// `parity.candidate`.
    pub candidate: String,
    /// The service as reports name it; `None` for the comparison as a whole.
    pub service: Option<String>,
    /// The operation; `None` for the service as a whole.
    pub operation: Option<String>,
    /// The operation's span kind.
    pub kind: Option<String>,
    /// The state before; `None` when it is judged for the first time.
    pub from: Option<Verdict>,
    /// The state now.
    pub to: Verdict,
    /// 0 to 100.
    pub score: f64,
    /// The sentence for people.
    pub sentence: String,
    /// End of the window that changed it, nanoseconds since 1970.
    pub time_ns: u64,
}

/// A finding that was not there before.
#[derive(Clone, Copy, Debug)]
pub struct FindingEvent<'a> {
    /// `parity.comparison`.
    pub comparison: &'a str,
    /// `parity.baseline`.
    pub baseline: &'a str,
    /// `parity.candidate`.
    pub candidate: &'a str,
    /// The finding.
    pub finding: &'a Finding,
    /// End of the window that showed it, nanoseconds since 1970.
    pub time_ns: u64,
}

/// All events as OTLP log records, changes first, in requests of at most `bytes_most` encoded bytes each; none when
/// there is nothing to say. `observed_ns` is when isotel noticed, nanoseconds since 1970.
///
/// A record that alone is larger than that travels alone.
pub fn logs_requests(
    changes: &[VerdictChange],
    findings: &[FindingEvent<'_>],
    sender: &Sender,
    observed_ns: u64,
    bytes_most: usize,
) -> Vec<ExportLogsServiceRequest> {
    let records = changes.iter().map(change_record).chain(findings.iter().map(finding_record));
    let bytes_empty = resource(sender).encoded_len() + scope(sender).encoded_len() + 4 * FRAME;
    let mut requests = Vec::new();
    let mut batch = Vec::new();
    let mut bytes = bytes_empty;
    for mut record in records {
        record.observed_time_unix_nano = observed_ns;
        sender.mark(&mut record.attributes);
        let more = record.encoded_len() + FRAME;
        if bytes + more > bytes_most && !batch.is_empty() {
            requests.push(request(sender, std::mem::take(&mut batch)));
            bytes = bytes_empty;
        }
        bytes += more;
        batch.push(record);
    }
    if !batch.is_empty() {
        requests.push(request(sender, batch));
    }
    requests
}

fn request(sender: &Sender, log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let scope_logs = ScopeLogs { scope: Some(scope(sender)), log_records, schema_url: String::new() };
    let resource_logs = ResourceLogs {
        resource: Some(resource(sender)),
        scope_logs: vec![scope_logs],
        schema_url: String::new(),
    };
    ExportLogsServiceRequest { resource_logs: vec![resource_logs] }
}

fn change_record(change: &VerdictChange) -> LogRecord {
    let mut attributes =
        gauges::comparison_attributes(&change.comparison, &change.baseline, &change.candidate);
    push_place(&mut attributes, change.service.as_deref(), change.operation.as_deref());
    if let Some(kind) = &change.kind {
        gauges::push(&mut attributes, "span.kind", kind);
    }
    gauges::push(&mut attributes, "parity.verdict.state", change.to.as_str());
    if let Some(from) = change.from {
        gauges::push(&mut attributes, "parity.verdict.previous", from.as_str());
    }
    let mut attributes = key_values(&attributes);
    // As with the gauges: without data there is no score.
    if change.score.is_finite() && change.to != Verdict::NoData {
        let score = (change.score / 100.0).clamp(0.0, 1.0);
        attributes.push(key_value("parity.score", any_value::Value::DoubleValue(score)));
    }
    let severity = match change.to {
        Verdict::Parity => SeverityNumber::Info,
        Verdict::Inconclusive | Verdict::NoData => SeverityNumber::Warn,
        Verdict::Divergent => SeverityNumber::Error,
    };
    record("parity.verdict.changed", severity, &change.sentence, attributes, change.time_ns)
}

fn finding_record(event: &FindingEvent<'_>) -> LogRecord {
    let finding = event.finding;
    let mut attributes = gauges::comparison_attributes(event.comparison, event.baseline, event.candidate);
    gauges::push(&mut attributes, "parity.aspect", finding.aspect.as_str());
    push_place(&mut attributes, finding.service.as_deref(), finding.operation.as_deref());
    gauges::push(&mut attributes, "parity.finding.id", &finding.id);
    gauges::push(&mut attributes, "parity.finding.level", finding.level.as_str());
    gauges::push(&mut attributes, "parity.finding.title", &finding.title);
    gauges::push(&mut attributes, "parity.finding.action", &finding.action);
    if let Some(waiver) = &finding.waived_by {
        gauges::push(&mut attributes, "parity.finding.waived_by", waiver);
    }
    if let Some(owner) = &finding.owner {
        gauges::push(&mut attributes, "parity.finding.owner", owner);
    }
    let mut attributes = key_values(&attributes);
    for (name, value) in &finding.evidence {
        if let Some(value) = evidence_value(value) {
            attributes.push(key_value(format!("parity.evidence.{name}"), value));
        }
    }
    // A waived finding is told, and alarms nobody.
    let severity = match finding.level {
        _ if finding.waived_by.is_some() => SeverityNumber::Info,
        Level::Info => SeverityNumber::Info,
        Level::Warning => SeverityNumber::Warn,
        Level::Critical => SeverityNumber::Error,
    };
    record("parity.finding", severity, &finding.message, attributes, event.time_ns)
}

fn push_place<'r>(attributes: &mut Attributes<'r>, service: Option<&'r str>, operation: Option<&'r str>) {
    if let Some(service) = service {
        gauges::push_service(attributes, service);
    }
    if let Some(operation) = operation {
        gauges::push(attributes, "parity.operation", operation);
    }
}

/// A JSON value as an attribute's: scalars as they are, lists and objects as JSON text, `null` not at all.
fn evidence_value(value: &Value) -> Option<any_value::Value> {
    match value {
        Value::Null => None,
        Value::Bool(flag) => Some(any_value::Value::BoolValue(*flag)),
        Value::String(text) => Some(any_value::Value::StringValue(bounded(text))),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(n), _) => Some(any_value::Value::IntValue(n)),
            (None, Some(x)) => Some(any_value::Value::DoubleValue(x)),
            (None, None) => None,
        },
        Value::Array(_) | Value::Object(_) => {
            Some(any_value::Value::StringValue(bounded(&value.to_string())))
        }
    }
}

fn record(
    event_name: &str,
    severity: SeverityNumber,
    sentence: &str,
    attributes: Vec<KeyValue>,
    time_ns: u64,
) -> LogRecord {
    let severity_text = match severity {
        SeverityNumber::Error => "ERROR",
        SeverityNumber::Warn => "WARN",
        _ => "INFO",
    };
    LogRecord {
        time_unix_nano: time_ns,
        severity_number: severity as i32,
        severity_text: severity_text.to_owned(),
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(bounded(sentence))) }),
        attributes,
        event_name: event_name.to_owned(),
        ..LogRecord::default()
    }
}

/// At most [`TEXT_BYTES_MOST`] bytes of a text, whole characters.
fn bounded(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
