//! Who may send: what is let in, what is refused and how, and that what is refused is not read.

use std::{
    convert::Infallible,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use isotel::{
    agent::{Agent, Intake, Sources},
    config::Config,
};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::Code;

use super::{
    harness::{
        CountingIntake, LIMIT, PATIENCE, Running, config_with, frame, grpc_body, http, metric, spans, start,
    },
    ingest::rpc_status,
};

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Both listeners with this authenticator, which is written in flow style.
fn guarded_by(id: &str, extension: &str) -> Config {
    let auth = format!("{{auth: {{authenticator: {id}}}}}");
    config_with(&format!(
        "extensions: {{{id}: {extension}}}\nreceivers: {{otlp: {{protocols: {{grpc: {auth}, http: {auth}}}}}}}\n"
    ))
}

fn good() -> Vec<u8> {
    spans(&["GET /"]).encode_to_vec()
}

fn basic(pair: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(pair))
}

/// Sends the same over both transports; the HTTP status and the gRPC code.
async fn send(running: &Running, authorization: &[&str]) -> (u16, Code) {
    let credentials: Vec<_> = authorization.iter().map(|value| ("authorization", *value)).collect();
    let headers = [&[("content-type", PROTOBUF)], &credentials[..]].concat();
    let over_http = http(running.http, Method::POST, "/v1/traces", &headers, good().into()).await;
    let body = Full::new(frame(false, &good()));
    let over_grpc = grpc_body(running.grpc, TRACES, &credentials, body).await;
    (over_http.status, over_grpc.status.code())
}

const ACCEPTED: (u16, Code) = (200, Code::Ok);
const REFUSED: (u16, Code) = (401, Code::Unauthenticated);

#[tokio::test]
async fn only_the_token_after_the_scheme_lets_in_on_both_transports() {
    let running = start(guarded_by("bearertokenauth/senders", "{tokens: [other, open-sesame]}")).await;
    let table: &[(&[&str], (u16, Code))] = &[
        (&["Bearer open-sesame"], ACCEPTED),
        (&["bearer  open-sesame"], ACCEPTED),
        (&["Bearer other"], ACCEPTED),
        (&[], REFUSED),
        (&[""], REFUSED),
        (&["Bearer"], REFUSED),
        (&["Bearer "], REFUSED),
        (&["Bearer open-sesam"], REFUSED),
        (&["Bearer open-sesame2"], REFUSED),
        (&["Bearer OPEN-SESAME"], REFUSED),
        (&["open-sesame"], REFUSED),
        (&["Basic open-sesame"], REFUSED),
        (&["Basic b3Blbi1zZXNhbWU="], REFUSED),
        (&["Bearer open-sesame", "Bearer open-sesame"], REFUSED),
    ];
    for (authorization, expected) in table {
        assert_eq!(send(&running, authorization).await, *expected, "{authorization:?}");
    }
    let accepted = table.iter().filter(|(_, expected)| *expected == ACCEPTED).count();
    assert_eq!(running.intake.requests().len(), 2 * accepted);
    for transport in ["grpc", "http"] {
        let count = |outcome: &str| {
            let labels = format!("transport=\"{transport}\",signal=\"traces\",outcome=\"{outcome}\"");
            metric(&running.agent, &format!("isotel_receiver_requests{{{labels}}}"))
        };
        assert_eq!((count("success"), count("unauthenticated")), (3.0, 11.0), "{transport}");
        assert_eq!(count("refused"), 0.0, "{transport}");
    }
}

#[tokio::test]
async fn another_scheme_may_be_asked_for() {
    let running = start(guarded_by("bearertokenauth", "{scheme: Token, token: open-sesame}")).await;
    assert_eq!(send(&running, &["Token open-sesame"]).await, ACCEPTED);
    assert_eq!(send(&running, &["Bearer open-sesame"]).await, REFUSED);
}

#[tokio::test]
async fn a_refusal_names_what_is_asked_for_in_the_requests_encoding_and_its_body_does_not_matter() {
    let running = start(guarded_by("bearertokenauth", "{token: open-sesame}")).await;
    let rows: [(&str, &str, Vec<u8>, &str); 5] = [
        (PROTOBUF, "identity", good(), PROTOBUF),
        (JSON, "identity", b"{}".to_vec(), JSON),
        (PROTOBUF, "gzip", b"no gzip".to_vec(), PROTOBUF),
        (PROTOBUF, "identity", vec![0; LIMIT + 1], PROTOBUF),
        ("text/plain", "br", good(), JSON),
    ];
    for (content_type, coding, body, answered_in) in rows {
        let headers = [
            ("content-type", content_type),
            ("content-encoding", coding),
            ("authorization", "Bearer hunter2"),
        ];
        let answer = http(running.http, Method::POST, "/v1/traces", &headers, body.into()).await;
        assert_eq!((answer.status, answer.header("content-type")), (401, answered_in), "{answer:?}");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"isotel\"");
        let (code, message) = rpc_status(&answer);
        assert_eq!(code, 16);
        assert!(message.contains("credential") && !message.contains("hunter2"), "{message}");
    }
    assert!(running.intake.requests().is_empty());
}

/// A body that never comes.
struct Silent;

impl http_body::Body for Silent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_refusal_does_not_wait_for_a_body() {
    let running = start(guarded_by("bearertokenauth", "{token: open-sesame}")).await;
    let call = grpc_body(running.grpc, TRACES, &[("authorization", "Bearer no")], Silent).await;
    assert_eq!(call.status.code(), Code::Unauthenticated);
    let mut stream = TcpStream::connect(running.http).await.unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\n\
                content-type: application/x-protobuf\r\ncontent-length: 2\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4_096];
    let length = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 401"), "the sender is not asked to continue: {answer}");
}

#[tokio::test]
async fn users_are_let_in_by_plain_and_by_hashed_passwords() {
    let folder = tempfile::tempdir().unwrap();
    let file =
        write(folder.path(), "# who may\n\nbob:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\nalice:of the file\n");
    let inline = format!("{{htpasswd: {{inline: \"alice:with: colon\", file: '{file}'}}}}");
    let running = start(guarded_by("basicauth/senders", &inline)).await;
    for (pair, expected) in [
        ("alice:with: colon", ACCEPTED),
        ("bob:test", ACCEPTED),
        ("alice:of the file", REFUSED),
        ("alice:test", REFUSED),
        ("bob:with: colon", REFUSED),
        ("bob:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=", REFUSED),
        ("bob:", REFUSED),
        ("bob", REFUSED),
        (":test", REFUSED),
    ] {
        assert_eq!(send(&running, &[&basic(pair)]).await, expected, "{pair}");
    }
    assert_eq!(send(&running, &["Basic not base64"]).await, REFUSED);
    assert_eq!(send(&running, &["Bearer test"]).await, REFUSED);
    let headers = [("content-type", JSON)];
    let answer = http(running.http, Method::POST, "/v1/logs", &headers, Bytes::from("{}")).await;
    assert_eq!(answer.header("www-authenticate"), "Basic realm=\"isotel\", charset=\"UTF-8\"");
}

fn write(folder: &Path, text: &str) -> String {
    let path = folder.join("credentials");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// One more request on an open connection; its status.
async fn again(open: &mut SendRequest<Full<Bytes>>, token: &str) -> u16 {
    let request = Request::post("/v1/traces")
        .header("host", "test")
        .header("content-type", PROTOBUF)
        .header("authorization", format!("Bearer {token}"));
    open.ready().await.unwrap();
    let answer = open.send_request(request.body(Full::new(good().into())).unwrap());
    let answer = tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap();
    let status = answer.status().as_u16();
    answer.into_body().collect().await.unwrap();
    status
}

#[tokio::test]
async fn a_reload_reads_the_token_file_again_for_open_connections_too_and_keeps_the_old_if_it_is_bad() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "first\n");
    let config = guarded_by("bearertokenauth", &format!("{{filename: '{file}'}}"));
    let mut running = start(config.clone()).await;
    let stream = TcpStream::connect(running.http).await.unwrap();
    let (mut open, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(again(&mut open, "first").await, 200);

    write(folder.path(), "second\r\nthird\n");
    assert_eq!(again(&mut open, "first").await, 200, "nobody has asked for a reload");
    running.agent.reload(&config).await.unwrap();
    assert_eq!(again(&mut open, "first").await, 401);
    assert_eq!((again(&mut open, "second").await, again(&mut open, "third").await), (200, 200));

    for (text, said) in
        [("", "holds no credential"), ("good\nhunter2 spaced\n", "line 2: a token holds spaces")]
    {
        write(folder.path(), text);
        let error = running.agent.reload(&config).await.unwrap_err().to_string();
        for part in ["receivers.otlp.protocols.grpc.auth", &file, said] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(!error.contains("hunter2"), "{error}");
        assert_eq!((again(&mut open, "second").await, again(&mut open, "good").await), (200, 401));
    }
    std::fs::remove_file(&file).unwrap();
    let error = running.agent.reload(&config).await.unwrap_err().to_string();
    assert!(error.contains("cannot read"), "{error}");
    assert_eq!(again(&mut open, "third").await, 200);
}

#[tokio::test]
async fn an_agent_does_not_start_with_passwords_that_it_cannot_check() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "alice:fine\nbob:$2y$05$abcdefghijklmnopqrstuv\n");
    let config = guarded_by("basicauth", &format!("{{htpasswd: {{file: '{file}'}}}}"));
    let intake = std::sync::Arc::new(CountingIntake::default()) as std::sync::Arc<dyn Intake>;
    let error = Agent::start(&config, intake, Sources::default()).await.err().unwrap().to_string();
    assert!(error.contains("line 2: a password hashed by bcrypt cannot be checked"), "{error}");
    assert!(!error.contains("$2y"), "{error}");
}
