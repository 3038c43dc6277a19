//! A part of a window → the OTLP request that carries it to the second tier.
//!
//! An ordinary log record, so that whatever carries OTLP carries it: event name `isotel.window`, the part as its body, and in its
//! attributes who made it and its number, by which a hop can keep what belongs together. Only the body is read again.

use super::otlp::{Sender, key_value, resource, scope};
use crate::engine::tier::Waiting;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use prost::Message;

/// The event name of a part.
pub const EVENT: &str = "isotel.window";

/// The bytes of a request of logs that has one part.
pub fn part_request(part: &Waiting, sender: &Sender, observed_ns: u64) -> Vec<u8> {
    let mut attributes = vec![
        key_value("isotel.source", Value::StringValue(format!("{:032x}", part.source))),
        key_value("isotel.sequence", Value::IntValue(i64::try_from(part.sequence).unwrap_or(i64::MAX))),
    ];
    sender.mark(&mut attributes);
    let record = LogRecord {
        // The last nanosecond that it may speak of.
        time_unix_nano: part.end_ns.saturating_sub(1).max(part.start_ns),
        observed_time_unix_nano: observed_ns,
        severity_number: SeverityNumber::Info as i32,
        severity_text: "INFO".to_owned(),
        body: Some(AnyValue { value: Some(Value::BytesValue(part.bytes.clone())) }),
        attributes,
        event_name: EVENT.to_owned(),
        ..LogRecord::default()
    };
    let scope_logs =
        ScopeLogs { scope: Some(scope(sender)), log_records: vec![record], ..ScopeLogs::default() };
    let resource_logs = ResourceLogs {
        resource: Some(resource(sender)),
        scope_logs: vec![scope_logs],
        ..ResourceLogs::default()
    };
    ExportLogsServiceRequest { resource_logs: vec![resource_logs] }.encode_to_vec()
}
