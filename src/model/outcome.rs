//! Whether a request failed, by the semantic conventions.

use super::SpanKind;

/// `STATUS_CODE_OK` on the wire: the application says that the request succeeded, whatever its codes.
const STATUS_OK: u8 = 1;
/// `STATUS_CODE_ERROR` on the wire.
const STATUS_ERROR: u8 = 2;

/// gRPC codes that are the server's failure: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE,
/// DATA_LOSS (OpenTelemetry semantic conventions, "gRPC Status").
const GRPC_SERVER_ERRORS: [i64; 6] = [2, 4, 12, 13, 14, 15];

/// Whether a request failed: the span's status where it is set, else the HTTP code (5xx for servers, 4xx and 5xx for
/// clients), else the gRPC code.
pub fn failed(kind: SpanKind, status: u8, http_code: Option<i64>, grpc_code: Option<i64>) -> bool {
    match status {
        STATUS_OK => false,
        STATUS_ERROR => true,
        _ => code_failed(kind, http_code, grpc_code).unwrap_or(false),
    }
}

/// The same from codes alone; `None` when there is no code.
pub fn code_failed(kind: SpanKind, http_code: Option<i64>, grpc_code: Option<i64>) -> Option<bool> {
    let client = kind == SpanKind::Client;
    if let Some(code) = http_code {
        return Some(if client { code >= 400 } else { code >= 500 });
    }
    grpc_code.map(|code| if client { code != 0 } else { GRPC_SERVER_ERRORS.contains(&code) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_decides_then_the_http_code_then_the_grpc_code() {
        use SpanKind::*;
        for (kind, status, http, grpc, expected) in [
            (Server, 2, Some(200), None, true),
            (Server, 1, Some(500), None, false),
            (Server, 0, Some(500), None, true),
            (Server, 0, Some(404), None, false),
            (Client, 0, Some(404), None, true),
            (Client, 0, Some(302), None, false),
            (Server, 0, None, Some(5), false),
            (Server, 0, None, Some(14), true),
            (Client, 0, None, Some(5), true),
            (Client, 0, None, Some(0), false),
            (Internal, 0, None, None, false),
        ] {
            assert_eq!(failed(kind, status, http, grpc), expected, "{kind:?} {status} {http:?} {grpc:?}");
        }
    }
}
