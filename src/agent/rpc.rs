//! The few messages that a client reads out of answers: `google.rpc.Status` with `RetryInfo`, and `partial_success`.

use std::time::Duration;

use prost::Message;

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<AnyMessage>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct AnyMessage {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// `Export{Trace,Metrics,Logs}ServiceResponse`, which are alike on the wire.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) partial_success: Option<PartialSuccess>,
}

/// `Export{Trace,Metrics,Logs}PartialSuccess`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub(crate) rejected: i64,
    #[prost(string, tag = "2")]
    pub(crate) error_message: String,
}

/// The pause that a `RetryInfo` among the status's details asks for. A `RetryInfo` without a delay asks for none, and is
/// still the server's word that a retry is welcome.
pub(crate) fn retry_delay(status: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(status).ok()?;
    let detail = status.details.iter().find(|detail| detail.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(detail.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
    let (seconds, nanos) = (u64::try_from(delay.seconds), u32::try_from(delay.nanos));
    Some(
        Duration::from_secs(seconds.unwrap_or(0))
            .saturating_add(Duration::from_nanos(nanos.unwrap_or(0).into())),
    )
}

/// The message of a `google.rpc.Status`; empty if it is none.
pub(crate) fn status_message(status: &[u8]) -> String {
    RpcStatus::decode(status).map(|status| status.message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(type_url: &str, delay: Option<ProtoDuration>) -> Vec<u8> {
        let value = RetryInfo { retry_delay: delay }.encode_to_vec();
        let details = vec![AnyMessage { type_url: type_url.to_owned(), value }];
        RpcStatus { code: 14, message: "later".to_owned(), details }.encode_to_vec()
    }

    #[test]
    fn a_retry_delay_is_found_among_the_details() {
        let url = "type.googleapis.com/google.rpc.RetryInfo";
        let delay = |seconds, nanos| Some(ProtoDuration { seconds, nanos });
        assert_eq!(retry_delay(&status(url, delay(3, 500_000_000))), Some(Duration::from_millis(3_500)));
        assert_eq!(retry_delay(&status(url, delay(-3, -1))), Some(Duration::ZERO));
        assert_eq!(retry_delay(&status(url, None)), Some(Duration::ZERO));
        assert_eq!(retry_delay(&status("type.googleapis.com/google.rpc.Help", None)), None);
        assert_eq!(retry_delay(&[]), None);
        assert_eq!(retry_delay(&[0xff]), None);
        assert_eq!(status_message(&status(url, None)), "later");
    }
}
