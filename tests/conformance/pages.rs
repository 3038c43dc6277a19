//! The pages about isotel, what browsers may do with them and with OTLP/HTTP, and whom exporters say they are.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use isotel::{
    agent::Agent,
    config::{ClientTls, HttpOrGrpc as Transport, TelemetryOtlp},
};
use prost::Message;

use super::{
    authority::Authority,
    downstream::Downstream,
    harness::{
        Answer, CountingIntake, config, config_with, exporter, forwarding, http, metric, post, spans, start,
        until,
    },
    tls::{certified, connect, server},
};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

fn good() -> Vec<u8> {
    spans(&["GET /"]).encode_to_vec()
}

async fn get(to: std::net::SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    http(to, Method::GET, path, headers, Bytes::new()).await
}

#[tokio::test]
async fn a_site_that_points_its_name_here_reads_no_page_and_every_answer_says_what_a_browser_may_do() {
    let over = "service: {telemetry: {metrics: {hosts: ['*.svc.cluster.local']}}}\n";
    let running = start(config_with(over)).await;
    let addresses = running.agent.addresses();
    for (to, path, key) in [
        (addresses.metrics.unwrap(), "/metrics", "service.telemetry.metrics.hosts"),
        (addresses.health.unwrap(), "/", "extensions.health_check.hosts"),
    ] {
        for (host, status) in [(to.to_string().as_str(), 200), ("localhost:1", 200), ("evil.test", 421)] {
            let answer = get(to, path, &[("host", host)]).await;
            assert_eq!(answer.status, status, "{host}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            assert_eq!(answer.header("cache-control"), "no-store");
            assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
            let text = String::from_utf8_lossy(&answer.body);
            assert_eq!(text.contains(key), status == 421, "{text}");
        }
    }
    let named = [("host", "isotel.ns.svc.cluster.local:8888")];
    assert_eq!(get(addresses.metrics.unwrap(), "/metrics", &named).await.status, 200);
    assert_eq!(
        get(addresses.health.unwrap(), "/", &named).await.status,
        421,
        "that name is the other page's"
    );
}

#[tokio::test]
async fn a_page_may_ask_for_a_credential_and_be_served_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "a");
    let mut config = config_with(
        "extensions:
  bearertokenauth: {token: open-sesame}
  health_check: {auth: {authenticator: bearertokenauth}}
service: {telemetry: {metrics: {auth: {authenticator: bearertokenauth}}}}
",
    );
    config.metrics.tls = Some(server(&certified(&authority, folder.path(), "leaf")));
    let running = start(config).await;
    let addresses = running.agent.addresses();
    let health = addresses.health.unwrap();
    let answer = get(health, "/", &[]).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer realm=\"isotel\""));
    assert!(!String::from_utf8_lossy(&answer.body).contains("ready"));
    assert_eq!(get(health, "/", &[("authorization", "Bearer open-sesame")]).await.status, 200);
    let metrics = addresses.metrics.unwrap();
    for (token, status) in [("open-sesame", 200), ("hunter2", 401)] {
        let stream = connect(metrics, &authority.ca_file, rustls::ALL_VERSIONS).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("/metrics")
            .header("host", "127.0.0.1")
            .header("authorization", format!("Bearer {token}"));
        let answer = sender.send_request(request.body(Full::new(Bytes::new())).unwrap()).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{token}");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let shown = String::from_utf8_lossy(&body).contains("isotel_receiver_requests");
        assert_eq!(shown, status == 200, "{token}");
    }
}

const CORS: &str = "receivers: {otlp: {protocols: {http: {cors:
  {allowed_origins: ['https://*.shop.test', 'http://localhost:3000'], allowed_headers: [x-tenant], max_age: 7200}}}}}\n";

/// What a browser asks before it sends.
async fn ask(to: std::net::SocketAddr, origin: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,x-tenant"),
    ];
    http(to, Method::OPTIONS, "/v1/traces", &headers, Bytes::new()).await
}

#[tokio::test]
async fn a_browser_is_told_that_pages_of_the_allowed_origins_may_send() {
    let running = start(config_with(CORS)).await;
    for (origin, allowed) in [
        ("https://www.shop.test", true),
        ("http://localhost:3000", true),
        ("https://shop.test.evil.test", false),
        ("http://www.shop.test", false),
        ("null", false),
    ] {
        let asked = ask(running.http, origin).await;
        assert_eq!(asked.status, 204);
        let expected = if allowed { origin } else { "" };
        assert_eq!(asked.header("access-control-allow-origin"), expected, "{origin}");
        assert_eq!(asked.header("access-control-allow-headers").contains("x-tenant"), allowed, "{origin}");
        assert_eq!(asked.header("access-control-max-age"), if allowed { "7200" } else { "" });
        assert_eq!(asked.header("access-control-allow-methods"), if allowed { "POST" } else { "" });
        assert_eq!(asked.header("vary"), "origin");
        let headers = [("content-type", JSON), ("origin", origin)];
        let sent = http(running.http, Method::POST, "/v1/traces", &headers, Bytes::from("{}")).await;
        assert_eq!((sent.status, sent.header("access-control-allow-origin")), (200, expected), "{origin}");
    }
    let refused =
        http(running.http, Method::GET, "/v1/traces", &[("origin", "http://localhost:3000")], Bytes::new());
    let refused = refused.await;
    assert_eq!(
        (refused.status, refused.header("access-control-allow-origin")),
        (405, "http://localhost:3000")
    );
}

#[tokio::test]
async fn without_origins_no_browser_is_let_in_and_a_star_lets_all_in_without_their_users_credentials() {
    let running = start(config()).await;
    let asked = ask(running.http, "https://a.test").await;
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (405, ""));
    let over =
        "receivers: {otlp: {protocols: {http: {cors: {allowed_origins: ['*'], allowed_headers: ['*']}}}}}\n";
    let running = start(config_with(over)).await;
    let asked = ask(running.http, "https://a.test").await;
    assert_eq!(asked.header("access-control-allow-origin"), "*");
    assert_eq!(asked.header("access-control-allow-credentials"), "");
    assert_eq!(asked.header("access-control-allow-headers"), "content-type,x-tenant");
}

/// A configuration whose exporter shows what an extension has.
fn showing(id: &str, extension: &str, downstream: &Downstream) -> isotel::config::Config {
    config_with(&format!(
        "extensions: {{{id}: {extension}}}
exporters: {{otlp_http: {{endpoint: '{}', auth: {{authenticator: {id}}}}}}}
service: {{pipelines: {{traces: {{exporters: [otlp_http]}}}}}}
",
        downstream.http()
    ))
}

#[tokio::test]
async fn an_exporter_shows_the_credential_of_the_extension_that_it_names() {
    for (id, extension, expected) in [
        ("bearertokenauth", "{token: open-sesame}", "Bearer open-sesame"),
        ("bearertokenauth/x", "{scheme: Token, tokens: [first, second]}", "Token first"),
        ("basicauth", "{client_auth: {username: alice, password: 'a:b'}}", "Basic YWxpY2U6YTpi"),
    ] {
        let downstream = Downstream::start(Vec::new()).await;
        let running = start(showing(id, extension, &downstream)).await;
        assert_eq!(post(running.http, "/v1/traces", PROTOBUF, good()).await.status, 200);
        let arrived = downstream.await_requests(1).await.remove(0);
        assert_eq!(arrived.headers["authorization"], expected);
    }
}

#[tokio::test]
async fn a_token_file_is_read_again_when_it_changes_and_an_empty_one_leaves_the_last_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let downstream = Downstream::start(Vec::new()).await;
    let config = showing("bearertokenauth", &format!("{{filename: '{}'}}", file.display()), &downstream);
    let mut running = start(config.clone()).await;
    let mut sent = 0;
    let mut shown = async |running: &super::harness::Running| {
        assert_eq!(post(running.http, "/v1/traces", PROTOBUF, good()).await.status, 200);
        sent += 1;
        let arrived = downstream.await_requests(sent).await;
        arrived[sent - 1].headers["authorization"].to_str().unwrap().to_owned()
    };
    assert_eq!(shown(&running).await, "Bearer first");
    std::fs::write(&file, "second\n").unwrap();
    let deadline = tokio::time::Instant::now() + super::harness::PATIENCE;
    while shown(&running).await != "Bearer second" {
        assert!(tokio::time::Instant::now() < deadline, "it is looked at once a second");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    std::fs::write(&file, "third\n").unwrap();
    running.agent.reload(&config).await.unwrap();
    assert_eq!(shown(&running).await, "Bearer third", "a reload looks at once");
    std::fs::write(&file, "").unwrap();
    let error = running.agent.reload(&config).await.unwrap_err().to_string();
    assert!(
        error.contains("exporters.otlp_http: auth: ") && error.contains("holds no credential"),
        "{error}"
    );
    assert_eq!(shown(&running).await, "Bearer third");
    let intake = Arc::new(CountingIntake::default());
    let error = Agent::start(&config, intake, Default::default()).await.err().unwrap().to_string();
    assert!(error.contains(&file.display().to_string()), "{error}");
}

#[tokio::test]
async fn two_agents_know_each_other_by_a_token_and_a_wrong_one_is_refused_for_good() {
    let second = start(config_with(
        "extensions: {bearertokenauth: {token: open-sesame}}
receivers: {otlp: {protocols: {grpc: {auth: {authenticator: bearertokenauth}}, http: {auth: {authenticator: bearertokenauth}}}}}
",
    ))
    .await;
    let with = |transport, token: &str| {
        let address = if transport == Transport::Grpc { second.grpc } else { second.http };
        let mut exporter = exporter(transport, format!("http://{address}"));
        let token = isotel::config::Secret::new(token);
        exporter.auth = Some(isotel::config::ClientAuth::Bearer { scheme: "Bearer".to_owned(), token });
        exporter
    };
    let exporters = vec![
        ("grpc", with(Transport::Grpc, "open-sesame")),
        ("http", with(Transport::Http, "open-sesame")),
        ("wrong-grpc", with(Transport::Grpc, "sesame")),
        ("wrong-http", with(Transport::Http, "sesame")),
    ];
    let first = start(forwarding(config(), exporters)).await;
    assert_eq!(post(first.http, "/v1/traces", PROTOBUF, good()).await.status, 200);
    for (what, id) in [
        ("sent_requests", "grpc"),
        ("sent_requests", "http"),
        ("send_failed_requests", "wrong-grpc"),
        ("send_failed_requests", "wrong-http"),
    ] {
        let line = format!("isotel_exporter_{what}{{exporter=\"{id}\"}}");
        until(&line, || (metric(&first.agent, &line) == 1.0).then_some(())).await;
    }
    assert_eq!(second.intake.requests().len(), 2);
}

#[tokio::test]
async fn own_telemetry_is_pushed_over_tls_with_a_credential() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "a");
    let mut second = config_with(
        "extensions: {bearertokenauth: {token: open-sesame}}
receivers: {otlp: {protocols: {grpc: {auth: {authenticator: bearertokenauth}}}}}
",
    );
    second.listeners[0].tls = Some(server(&certified(&authority, folder.path(), "leaf")));
    let second = start(second).await;
    let mut first = config_with(&format!(
        "extensions: {{bearertokenauth: {{token: open-sesame}}}}
service: {{telemetry: {{metrics: {{otlp: {{endpoint: '{}', interval: 1h, auth: {{authenticator: bearertokenauth}},
  tls: {{ca_file: '{}'}}}}}}}}}}
",
        second.grpc, authority.ca_file
    ));
    let push = first.metrics_otlp.clone().unwrap();
    assert!(push.exporter.url.starts_with("https://") && push.interval == Duration::from_secs(3_600));
    let running = start(first.clone()).await;
    running.agent.drain(super::harness::PATIENCE, async {}).await;
    let pushed = second.intake.requests();
    assert_eq!(pushed.len(), 1);
    assert!(String::from_utf8_lossy(&pushed[0].1).contains("isotel_receiver_requests"));

    let tls = ClientTls { ca_file: Some("/no/such.pem".to_owned()), ..ClientTls::default() };
    let exporter = isotel::config::ExporterConfig { tls, ..push.exporter };
    first.metrics_otlp = Some(TelemetryOtlp { exporter, ..push });
    let intake = Arc::new(CountingIntake::default());
    let error = Agent::start(&first, intake, Default::default()).await.err().unwrap().to_string();
    for part in ["service.telemetry.metrics.otlp: ", "tls.ca_file", "/no/such.pem"] {
        assert!(error.contains(part), "{error}");
    }
}

/// What comes back on a connection from an address of this machine.
async fn answered_from(from: [u8; 4], to: std::net::SocketAddr) -> usize {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((std::net::IpAddr::from(from), 0).into()).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    // The agent may have closed it already.
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer.len()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_listener_with_allow_from_answers_nobody_else_and_counts_who_came() {
    let over = "receivers: {otlp: {protocols: {http: {allow_from: [127.0.0.1, 'fd00::/8']}}}}
extensions: {health_check: {allow_from: [127.0.0.0/31]}}
";
    let running = start(config_with(over)).await;
    let addresses = running.agent.addresses();
    let (otlp, health) = (addresses.first(Transport::Http).unwrap(), addresses.health.unwrap());
    let (metrics, elsewhere) = (addresses.metrics.unwrap(), [127, 0, 0, 2]);
    for to in [otlp, health] {
        assert!(answered_from([127, 0, 0, 1], to).await > 0);
        assert_eq!(answered_from(elsewhere, to).await, 0);
    }
    assert!(answered_from(elsewhere, metrics).await > 0, "the page without the key is for all");
    let page = String::from_utf8(get(metrics, "/metrics", &[]).await.body.to_vec()).unwrap();
    for (listener, n) in [("http", 1), ("health", 1), ("grpc", 0), ("metrics", 0)] {
        let line = format!("isotel_listener_connections_not_allowed{{listener=\"{listener}\"}} {n}\n");
        assert!(page.contains(&line), "{line} in {page}");
    }
}
