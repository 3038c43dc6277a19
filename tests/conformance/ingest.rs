//! OTLP's rules for receivers, one row each.

use bytes::Bytes;
use http::Method;
use isotel::wire::Signal;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceResponse,
        metrics::v1::ExportMetricsServiceResponse,
        trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    },
    trace::v1::Span,
};
use prost::Message;
use serde_json::{Value, json};
use tonic::Code;

use super::harness::{
    Answer, LIMIT, Running, compressed, config, frame, grpc, grpc_frame, http, metric, post, spans, start,
};

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// `google.rpc.Status`, as far as these tests read it.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// The body of a refusal, read in the encoding that its content type names.
pub fn rpc_status(answer: &Answer) -> (i32, String) {
    match answer.header("content-type") {
        PROTOBUF => {
            let status = RpcStatus::decode(answer.body.clone()).unwrap();
            (status.code, status.message)
        }
        JSON => {
            let status: Value = serde_json::from_slice(&answer.body).unwrap();
            let code = i32::try_from(status["code"].as_i64().unwrap()).unwrap();
            (code, status["message"].as_str().unwrap().to_owned())
        }
        other => panic!("content type {other:?}"),
    }
}

/// Spans refused, and whether there was a message, by the answer's `partial_success`; `None` if it is unset.
fn partial_success(answer: &Answer) -> Option<(i64, bool)> {
    match answer.header("content-type") {
        PROTOBUF => {
            let response = ExportTraceServiceResponse::decode(answer.body.clone()).unwrap();
            response
                .partial_success
                .map(|partial| (partial.rejected_spans, !partial.error_message.is_empty()))
        }
        JSON => {
            let response: Value = serde_json::from_slice(&answer.body).unwrap();
            let partial = response.get("partialSuccess")?;
            let rejected = partial["rejectedSpans"].as_str().map_or(0, |count| count.parse().unwrap());
            Some((rejected, partial["errorMessage"].as_str().is_some_and(|message| !message.is_empty())))
        }
        other => panic!("content type {other:?}"),
    }
}

fn good() -> Vec<u8> {
    spans(&["GET /"]).encode_to_vec()
}

/// Three spans, the middle one with an identifier of five bytes.
fn one_bad_id() -> Vec<u8> {
    let mut request = spans(&["first", "second", "third"]);
    request.resource_spans[0].scope_spans[0].spans[1].span_id = vec![1; 5];
    request.encode_to_vec()
}

/// A span as JSON, changed by a patch whose `null`s are kept.
fn json_span(patch: &Value) -> Value {
    let mut span = json!({
        "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174", "name": "json", "kind": 2,
        "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": "1544712661000000000"
    });
    for (key, value) in patch.as_object().unwrap() {
        span[key] = value.clone();
    }
    span
}

fn json_request(span: &Value) -> Vec<u8> {
    json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string().into_bytes()
}

#[tokio::test]
async fn every_type_coding_and_transport_is_accepted() {
    let json = json_request(&json_span(&json!({})));
    let running = start(config()).await;
    let mut sent = 0;
    for encoding in [None, Some("gzip"), Some("zstd"), Some("identity")] {
        let name = encoding.filter(|name| *name != "identity");
        let answer = grpc(running.grpc, TRACES, name, &good()).await;
        assert_eq!(answer.status.code(), Code::Ok, "{encoding:?} {:?}", answer.status);
        assert_eq!(answer.message, Bytes::new(), "partial_success is unset on full success");
        sent += 1;
        for (content_type, response_type, body) in [
            (PROTOBUF, PROTOBUF, &good()),
            ("Application/X-Protobuf; charset=utf-8", PROTOBUF, &good()),
            (JSON, JSON, &json),
            ("application/JSON;charset=UTF-8", JSON, &json),
        ] {
            let mut headers = vec![("content-type", content_type)];
            headers.extend(encoding.map(|encoding| ("content-encoding", encoding)));
            let body = compressed(encoding.unwrap_or_default(), body);
            let answer = http(running.http, Method::POST, "/v1/traces", &headers, body.into()).await;
            assert_eq!(answer.status, 200, "{content_type} {encoding:?} {answer:?}");
            assert_eq!(answer.header("content-type"), response_type);
            assert_eq!(partial_success(&answer), None);
            sent += 1;
        }
    }
    assert_eq!(running.intake.spans().len(), sent);
}

#[tokio::test]
async fn every_signal_has_its_path_and_its_method() {
    let running = start(config()).await;
    for (signal, method, path) in [
        (Signal::Traces, TRACES, "/v1/traces"),
        (Signal::Metrics, METRICS, "/v1/metrics"),
        (Signal::Logs, LOGS, "/v1/logs"),
    ] {
        // Field 1 of every request is its list of resources; an empty one means the same to all.
        let request = [0x0A, 0x00];
        assert_eq!(grpc(running.grpc, method, None, &request).await.status.code(), Code::Ok);
        assert_eq!(post(running.http, path, PROTOBUF, request.to_vec()).await.status, 200);
        let seen: Vec<_> =
            running.intake.requests().iter().filter(|(of, _)| *of == signal).cloned().collect();
        assert_eq!(seen, vec![(signal, request.to_vec()); 2]);
    }
}

#[tokio::test]
async fn empty_requests_succeed() {
    let running = start(config()).await;
    for path in ["/v1/traces", "/v1/metrics", "/v1/logs"] {
        for (content_type, body) in
            [(PROTOBUF, ""), (JSON, "{}"), (JSON, ""), (JSON, r#"{"resourceSpans":null}"#)]
        {
            let answer = post(running.http, path, content_type, body).await;
            assert_eq!(answer.status, 200, "{path} {content_type} {body:?} {answer:?}");
            match content_type {
                JSON => assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), json!({})),
                _ => assert_eq!(answer.body, Bytes::new()),
            }
        }
    }
    for method in [TRACES, METRICS, LOGS] {
        for encoding in [None, Some("gzip"), Some("zstd")] {
            assert_eq!(grpc(running.grpc, method, encoding, &[]).await.status.code(), Code::Ok);
        }
    }
    assert!(ExportMetricsServiceResponse::decode(Bytes::new()).unwrap().partial_success.is_none());
    assert!(ExportLogsServiceResponse::decode(Bytes::new()).unwrap().partial_success.is_none());
}

#[tokio::test]
async fn one_bad_identifier_loses_only_itself() {
    let json = json!({"resourceSpans": [{"scopeSpans": [{"spans": [
        json_span(&json!({})), json_span(&json!({"spanId": "eee19b"})), json_span(&json!({})),
    ]}]}]});
    let running = start(config()).await;
    let call = grpc(running.grpc, TRACES, None, &one_bad_id()).await;
    assert_eq!(call.status.code(), Code::Ok);
    let partial = ExportTraceServiceResponse::decode(call.message).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert!(!partial.error_message.is_empty());
    for (content_type, body) in [(PROTOBUF, one_bad_id()), (JSON, json.to_string().into_bytes())] {
        let answer = post(running.http, "/v1/traces", content_type, body).await;
        assert_eq!(
            (answer.status, partial_success(&answer)),
            (200, Some((1, true))),
            "{content_type} {answer:?}"
        );
    }
    assert_eq!(metric(&running.agent, "isotel_receiver_refused_spans{transport=\"grpc\"}"), 1.0);
    assert_eq!(metric(&running.agent, "isotel_receiver_refused_spans{transport=\"http\"}"), 2.0);
}

#[tokio::test]
async fn json_is_read_as_the_specification_writes_it() {
    let attribute = |value: Value| json!({"attributes": [{"key": "k", "value": value}]});
    // (what, patch of the span, how to see it in what was recorded)
    type Look = fn(&Span) -> bool;
    let value = |span: &Span| span.attributes[0].value.clone().and_then(|value| value.value);
    let _ = value;
    let table: Vec<(&str, Value, Look)> = vec![
        ("upper-case hex", json!({}), |span| span.trace_id[0] == 0x5B && span.span_id[0] == 0xEE),
        ("lower-case hex", json!({"spanId": "eee19b7ec3c1b174"}), |span| span.span_id[7] == 0x74),
        ("mixed-case hex", json!({"spanId": "EeE19b7Ec3c1B174"}), |span| span.span_id[1] == 0xE1),
        ("64-bit integers as strings", json!({}), |span| {
            span.start_time_unix_nano == 1_544_712_660_000_000_000
        }),
        ("64-bit integers as numbers", json!({"startTimeUnixNano": 1_544_712_660_000_000_001_u64}), |span| {
            span.start_time_unix_nano == 1_544_712_660_000_000_001
        }),
        ("integer enums", json!({"kind": 3, "status": {"code": 2}}), |span| {
            span.kind == 3 && span.status.as_ref().is_some_and(|status| status.code == 2)
        }),
        ("null for unset", json!({"parentSpanId": null, "attributes": null, "status": null}), |span| {
            span.attributes.is_empty() && span.parent_span_id.is_empty()
        }),
        ("unknown fields", json!({"fromTheFuture": {"deep": [1, {"a": null}]}}), |span| span.name == "json"),
        ("intValue as a string", attribute(json!({"intValue": "-9223372036854775808"})), |span| {
            format!("{:?}", span.attributes).contains("-9223372036854775808")
        }),
        ("intValue as a number", attribute(json!({"intValue": 42})), |span| {
            format!("{:?}", span.attributes).contains("42")
        }),
        ("an empty value", attribute(json!({})), |span| span.attributes[0].key == "k"),
        ("a null value", attribute(json!(null)), |span| span.attributes[0].key == "k"),
        (
            "arrays of mixed values",
            attribute(json!({"arrayValue": {"values": [{"boolValue": true}, {}]}})),
            |span| format!("{:?}", span.attributes).contains("BoolValue(true)"),
        ),
        ("bytes in base64", attribute(json!({"bytesValue": "AQID"})), |span| {
            format!("{:?}", span.attributes).contains("[1, 2, 3]")
        }),
    ];
    for (what, patch, look) in table {
        let running = start(config()).await;
        let answer = post(running.http, "/v1/traces", JSON, json_request(&json_span(&patch))).await;
        assert_eq!((answer.status, partial_success(&answer)), (200, None), "{what}: {answer:?}");
        let spans = running.intake.spans();
        assert_eq!(spans.len(), 1, "{what}");
        assert!(look(&spans[0]), "{what}: {:?}", spans[0]);
    }
}

#[tokio::test]
async fn what_is_refused_is_refused_in_the_requests_own_encoding() {
    struct Row {
        name: &'static str,
        method: Method,
        path: &'static str,
        headers: Vec<(&'static str, &'static str)>,
        body: Vec<u8>,
        status: u16,
        code: i32,
        answered_in: &'static str,
    }
    let row = |name, headers: &[(&'static str, &'static str)], body: &[u8], status, code, answered_in| Row {
        name,
        method: Method::POST,
        path: "/v1/traces",
        headers: headers.to_vec(),
        body: body.to_vec(),
        status,
        code,
        answered_in,
    };
    let protobuf = ("content-type", PROTOBUF);
    let json = ("content-type", JSON);
    let truncated = &good()[..good().len() - 3];
    let gzip = ("content-encoding", "gzip");
    let zstd = ("content-encoding", "zstd");
    let large = vec![0; LIMIT + 1];
    let bomb = |encoding| compressed(encoding, &vec![0; LIMIT * 100]);
    let just_over = |encoding| compressed(encoding, &vec![0; LIMIT + 1]);
    let table = [
        row("truncated protobuf", &[protobuf], truncated, 400, 3, PROTOBUF),
        row("protobuf that is text", &[protobuf], b"<html>", 400, 3, PROTOBUF),
        row("JSON cut short", &[json], br#"{"resourceSpans": ["#, 400, 3, JSON),
        row("JSON of the wrong shape", &[json], br#"{"resourceSpans": 7}"#, 400, 3, JSON),
        row("JSON that is a list", &[json], b"[]", 400, 3, JSON),
        row(
            "JSON, with a charset",
            &[("content-type", "application/json; charset=utf-8")],
            b"{",
            400,
            3,
            JSON,
        ),
        row("gzip that is not", &[protobuf, gzip], &good(), 400, 3, PROTOBUF),
        row("gzip cut short", &[json, gzip], &compressed("gzip", b"{}")[..15], 400, 3, JSON),
        row("zstd that is not", &[json, zstd], &good(), 400, 3, JSON),
        row("too large", &[protobuf], &large, 413, 8, PROTOBUF),
        row("too large JSON", &[json], &large, 413, 8, JSON),
        row("too large after gunzip", &[protobuf, gzip], &just_over("gzip"), 413, 8, PROTOBUF),
        row("too large after zstd", &[protobuf, zstd], &just_over("zstd"), 413, 8, PROTOBUF),
        row("a gzip bomb", &[json, gzip], &bomb("gzip"), 413, 8, JSON),
        row("a zstd bomb", &[protobuf, zstd], &bomb("zstd"), 413, 8, PROTOBUF),
        row("an unknown type", &[("content-type", "text/plain")], &good(), 415, 3, JSON),
        row("a type like ours", &[("content-type", "application/jsonp")], b"{}", 415, 3, JSON),
        row("no type", &[], &good(), 415, 3, JSON),
        row("an unknown coding", &[protobuf, ("content-encoding", "br")], &good(), 415, 3, PROTOBUF),
        row("two codings", &[json, ("content-encoding", "gzip, zstd")], b"{}", 415, 3, JSON),
        Row { path: "/v1/trace", ..row("an unknown path", &[protobuf], &good(), 404, 5, PROTOBUF) },
        Row { path: "/", ..row("the root", &[json], b"{}", 404, 5, JSON) },
        Row { method: Method::GET, ..row("GET", &[json], b"", 405, 12, JSON) },
        Row { method: Method::PUT, ..row("PUT", &[protobuf], &good(), 405, 12, PROTOBUF) },
    ];
    let running = start(config()).await;
    for row in table {
        let answer = http(running.http, row.method, row.path, &row.headers, row.body.into()).await;
        assert_eq!(answer.status, row.status, "{}: {answer:?}", row.name);
        assert_eq!(answer.header("content-type"), row.answered_in, "{}", row.name);
        let (code, message) = rpc_status(&answer);
        assert_eq!(code, row.code, "{}: {message}", row.name);
        assert!(!message.is_empty(), "{}", row.name);
        assert_eq!(answer.header("allow") == "POST", row.status == 405, "{}", row.name);
        assert_eq!(answer.header("retry-after"), "", "{}: nothing of this is for trying again", row.name);
    }
    assert!(running.intake.requests().is_empty());
}

#[tokio::test]
async fn grpc_refuses_with_codes_that_no_sender_repeats() {
    let truncated = &good()[..good().len() - 3];
    let large = vec![0; LIMIT + 1];
    let bomb = |encoding| frame(true, &compressed(encoding, &vec![0; LIMIT * 100]));
    let table = [
        ("truncated", TRACES, None, frame(false, truncated), Code::InvalidArgument),
        ("text", TRACES, None, frame(false, b"<html>"), Code::InvalidArgument),
        ("too large", TRACES, None, frame(false, &large), Code::ResourceExhausted),
        ("too large, compressed", TRACES, Some("gzip"), frame(true, &large), Code::ResourceExhausted),
        ("a gzip bomb", TRACES, Some("gzip"), bomb("gzip"), Code::ResourceExhausted),
        ("a zstd bomb", TRACES, Some("zstd"), bomb("zstd"), Code::ResourceExhausted),
        ("gzip that is not", TRACES, Some("gzip"), frame(true, &good()), Code::InvalidArgument),
        ("an unknown coding", TRACES, Some("snappy"), frame(true, &good()), Code::Unimplemented),
        ("a frame cut short", TRACES, None, frame(false, &good()).slice(..9), Code::Internal),
        ("no frame at all", TRACES, None, Bytes::new(), Code::Internal),
        ("a coding that was not named", TRACES, None, frame(true, &good()), Code::Internal),
        (
            "an unknown method",
            "/opentelemetry.proto.collector.trace.v1.TraceService/Import",
            None,
            frame(false, &[]),
            Code::Unimplemented,
        ),
        ("an unknown service", "/grpc.health.v1.Health/Check", None, frame(false, &[]), Code::Unimplemented),
    ];
    let running = start(config()).await;
    for (name, path, encoding, frame, code) in table {
        let answer = grpc_frame(running.grpc, path, encoding, frame).await;
        assert_eq!(answer.status.code(), code, "{name}: {:?}", answer.status);
        assert!(!answer.status.message().is_empty(), "{name}");
        assert!(answer.status.details().is_empty(), "{name}: a RetryInfo would make it retryable");
    }
    assert!(running.intake.requests().is_empty());
    let oversize = "isotel_receiver_requests{transport=\"grpc\",signal=\"traces\",outcome=\"oversize\"}";
    assert_eq!(metric(&running.agent, oversize), 4.0);
}

#[tokio::test]
async fn a_request_of_exactly_the_limit_is_accepted() {
    let mut request = ExportTraceServiceRequest::default();
    // An unknown field fills the request: two bytes of key, three of length.
    let filler = LIMIT - 5;
    let mut bytes = request.encode_to_vec();
    bytes.extend_from_slice(&[0xE2, 0x76]);
    let length = [(filler & 0x7F) as u8 | 0x80, (filler >> 7 & 0x7F) as u8 | 0x80, (filler >> 14) as u8];
    bytes.extend_from_slice(&length);
    bytes.resize(LIMIT, 0);
    request.resource_spans.clear();
    let running = start(config()).await;
    for encoding in ["identity", "gzip", "zstd"] {
        let headers = [("content-type", PROTOBUF), ("content-encoding", encoding)];
        let body = compressed(encoding, &bytes).into();
        assert_eq!(
            http(running.http, Method::POST, "/v1/traces", &headers, body).await.status,
            200,
            "{encoding}"
        );
        let coding = Some(encoding).filter(|name| *name != "identity");
        assert_eq!(grpc(running.grpc, TRACES, coding, &bytes).await.status.code(), Code::Ok, "{encoding}");
    }
}

#[tokio::test]
async fn sixty_four_requests_at_the_same_time_are_all_recorded() {
    let running = start(config()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..64 {
        let Running { grpc: over_grpc, http: over_http, .. } = running;
        tasks.spawn(async move {
            if index % 2 == 0 {
                assert_eq!(grpc(over_grpc, TRACES, None, &good()).await.status.code(), Code::Ok);
            } else {
                assert_eq!(post(over_http, "/v1/traces", PROTOBUF, good()).await.status, 200);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert_eq!(running.intake.spans().len(), 64);
}

#[tokio::test]
async fn a_plain_http_request_on_the_grpc_port_is_told_so() {
    let running = start(config()).await;
    assert_eq!(post(running.grpc, "/v1/traces", PROTOBUF, good()).await.status, 415);
    let get =
        http(running.grpc, Method::GET, TRACES, &[("content-type", "application/grpc")], Bytes::new()).await;
    assert_eq!((get.status, get.header("allow")), (405, "POST"));
}
