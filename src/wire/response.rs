//! What a receiver answers: `Export*ServiceResponse` and `google.rpc.Status`, in protobuf and in JSON.

use super::{Refusals, Signal};
use prost::Message;

/// How a request was encoded, and therefore its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

impl Encoding {
    /// The content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        }
    }
}

/// `Export{Trace,Metrics,Logs}PartialSuccess`, which differ in names only.
#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// `Export{Trace,Metrics,Logs}ServiceResponse`.
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Duration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Duration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// The answer to a request that was taken in: `partial_success` is set only when items were refused.
pub fn success(signal: Signal, encoding: Encoding, refusals: &Refusals) -> Vec<u8> {
    let Some(error_message) = refusals.message() else {
        return match encoding {
            Encoding::Protobuf => Vec::new(),
            Encoding::Json => b"{}".to_vec(),
        };
    };
    let rejected = refusals.total() as i64;
    match encoding {
        Encoding::Protobuf => {
            ExportResponse { partial_success: Some(PartialSuccess { rejected, error_message }) }
                .encode_to_vec()
        }
        Encoding::Json => {
            let name = match signal {
                Signal::Traces => "rejectedSpans",
                Signal::Metrics => "rejectedDataPoints",
                Signal::Logs => "rejectedLogRecords",
            };
            let partial = serde_json::json!({ name: rejected.to_string(), "errorMessage": error_message });
            serde_json::json!({ "partialSuccess": partial }).to_string().into_bytes()
        }
    }
}

/// How many items a response says were refused, and why; `None` for full success.
pub fn partial_success(response: &[u8]) -> Option<(i64, String)> {
    let partial = ExportResponse::decode(response).ok()?.partial_success?;
    Some((partial.rejected, partial.error_message))
}

/// A `google.rpc.Status` body.
pub fn status(encoding: Encoding, code: i32, message: &str) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => {
            Status { code, message: message.to_owned(), details: Vec::new() }.encode_to_vec()
        }
        Encoding::Json => serde_json::json!({ "code": code, "message": message }).to_string().into_bytes(),
    }
}

/// The `grpc-status-details-bin` of an error that may be retried after a delay.
pub fn retry_details(code: i32, message: &str, delay: std::time::Duration) -> Vec<u8> {
    let retry_delay = Some(Duration { seconds: delay.as_secs() as i64, nanos: delay.subsec_nanos() as i32 });
    let value = RetryInfo { retry_delay }.encode_to_vec();
    let details = vec![Any { type_url: RETRY_INFO.to_owned(), value }];
    Status { code, message: message.to_owned(), details }.encode_to_vec()
}

/// The delay that an error's `grpc-status-details-bin` asks for; `None` when it does not allow a retry.
pub fn retry_delay(details: &[u8]) -> Option<std::time::Duration> {
    let status = Status::decode(details).ok()?;
    let info = status.details.iter().find(|any| any.type_url == RETRY_INFO)?;
    let delay = RetryInfo::decode(&*info.value).ok()?.retry_delay.unwrap_or_default();
    let (seconds, nanos) = (u64::try_from(delay.seconds).ok()?, u32::try_from(delay.nanos).ok()?);
    (nanos < 1_000_000_000).then(|| std::time::Duration::new(seconds, nanos))
}
