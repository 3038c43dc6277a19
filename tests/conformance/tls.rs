//! TLS: who is let in with which certificate, from which version on, and certificates that are replaced while it runs.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use isotel::config::{ClientTls, Config, ExporterConfig, HttpOrGrpc as Transport, Identity, ServerTls};
use prost::Message;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::ring, version};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::authority::{Authority, Files, write};
use super::harness::{
    PATIENCE, Running, config, config_with, exporter, forwarding, metric, post, spans, start, until,
};

const PROTOBUF: &str = "application/x-protobuf";

/// Writes a new certificate and its key over those of this name.
pub fn certified(authority: &Authority, folder: &Path, name: &str) -> Identity {
    let Files { cert_file, key_file } = authority.certify(folder, name);
    Identity { cert_file, key_file }
}

pub fn server(identity: &Identity) -> ServerTls {
    ServerTls { identity: identity.clone(), client_ca_file: None, only_tls13: false, reload_interval: None }
}

fn listening(tls: &ServerTls) -> Config {
    let mut config = config();
    config.listeners.iter_mut().for_each(|listener| listener.tls = Some(tls.clone()));
    config
}

fn good() -> Vec<u8> {
    spans(&["secret"]).encode_to_vec()
}

/// A connection that trusts an authority.
pub async fn connect(
    to: SocketAddr,
    ca_file: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca_file).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(to).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await
}

/// The certificate that a listener shows now.
async fn shown(to: SocketAddr, ca_file: &str) -> CertificateDer<'static> {
    let stream = connect(to, ca_file, rustls::ALL_VERSIONS).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn written(identity: &Identity) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(&identity.cert_file).unwrap()
}

/// One request on an open connection; its status.
async fn again(open: &mut SendRequest<Full<Bytes>>) -> u16 {
    let request = Request::post("/v1/traces").header("host", "test").header("content-type", PROTOBUF);
    open.ready().await.unwrap();
    let answer = open.send_request(request.body(Full::new(good().into())).unwrap());
    let answer = tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap();
    let status = answer.status().as_u16();
    answer.into_body().collect().await.unwrap();
    status
}

#[tokio::test]
async fn a_reload_shows_the_new_certificate_keeps_open_connections_and_stays_with_the_old_if_it_is_no_pair() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "a");
    let identity = certified(&authority, folder.path(), "leaf");
    let config = listening(&server(&identity));
    let mut running = start(config.clone()).await;
    let stream = connect(running.http, &authority.ca_file, rustls::ALL_VERSIONS).await.unwrap();
    let (mut open, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(again(&mut open).await, 200);
    let first = shown(running.http, &authority.ca_file).await;
    assert_eq!(first, written(&identity));

    let second = written(&certified(&authority, folder.path(), "leaf"));
    assert_eq!(shown(running.http, &authority.ca_file).await, first, "nobody has asked for a reload");
    running.agent.reload(&config).await.unwrap();
    assert_eq!(shown(running.http, &authority.ca_file).await, second);
    assert_eq!(again(&mut open).await, 200, "the open connection goes on");

    let other = certified(&authority, folder.path(), "other");
    std::fs::copy(&other.key_file, &identity.key_file).unwrap();
    let error = running.agent.reload(&config).await.unwrap_err().to_string();
    for part in ["receivers.otlp.protocols.grpc", "no pair", &identity.cert_file, &identity.key_file] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(shown(running.http, &authority.ca_file).await, second);
    std::fs::remove_file(&identity.cert_file).unwrap();
    let error = running.agent.reload(&config).await.unwrap_err().to_string();
    assert!(error.contains("tls.cert_file") && error.contains(&identity.cert_file), "{error}");
    assert_eq!(shown(running.grpc, &authority.ca_file).await, second);
    assert_eq!(again(&mut open).await, 200);
}

#[tokio::test]
async fn with_an_interval_certificates_are_replaced_without_a_reload_and_bad_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "a");
    let identity = certified(&authority, folder.path(), "leaf");
    let tls = ServerTls { reload_interval: Some(Duration::from_nanos(1)), ..server(&identity) };
    let running = start(listening(&tls)).await;
    assert_eq!(shown(running.grpc, &authority.ca_file).await, written(&identity));
    let second = written(&certified(&authority, folder.path(), "leaf"));
    for to in [running.grpc, running.http] {
        assert_eq!(shown(to, &authority.ca_file).await, second);
    }
    write(folder.path(), "leaf.pem", "no certificate");
    assert_eq!(shown(running.grpc, &authority.ca_file).await, second);
    let third = written(&certified(&authority, folder.path(), "leaf"));
    assert_eq!(shown(running.grpc, &authority.ca_file).await, third);
}

#[tokio::test]
async fn the_oldest_version_is_as_configured_on_listeners_and_exporters() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "a");
    let identity = certified(&authority, folder.path(), "leaf");
    for only_tls13 in [false, true] {
        let running = start(listening(&ServerTls { only_tls13, ..server(&identity) })).await;
        let old = connect(running.grpc, &authority.ca_file, &[&version::TLS12]).await;
        assert_eq!(old.is_err(), only_tls13, "{old:?}");
        connect(running.grpc, &authority.ca_file, &[&version::TLS13]).await.unwrap();
    }
    let old = tls12_only(&identity).await;
    let to_old = |only_tls13| {
        let mut exporter = exporter(Transport::Http, format!("https://{old}"));
        let ca_file = Some(authority.ca_file.clone());
        exporter.tls = ClientTls { ca_file, only_tls13, ..ClientTls::default() };
        exporter.retry.enabled = false;
        exporter
    };
    let running = start(forwarding(config(), vec![("1.2", to_old(false)), ("1.3", to_old(true))])).await;
    assert_eq!(post(running.http, "/v1/traces", PROTOBUF, good()).await.status, 200);
    counted(&running, "sent_requests", "1.2").await;
    counted(&running, "send_failed_requests", "1.3").await;
}

/// A server that speaks TLS 1.2 only, and answers everything with success.
async fn tls12_only(identity: &Identity) -> SocketAddr {
    let key = rustls_pki_types::PrivateKeyDer::from_pem_file(&identity.key_file).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![written(identity)], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = hyper::service::service_fn(|_| async {
                    Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(Bytes::new())))
                });
                let builder = hyper::server::conn::http1::Builder::new();
                // The client closes.
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

async fn counted(running: &Running, what: &str, id: &str) {
    let line = format!("isotel_exporter_{what}{{exporter=\"{id}\"}}");
    until(&line, || (metric(&running.agent, &line) == 1.0).then_some(())).await;
}

#[tokio::test]
async fn two_agents_speak_mutual_tls_over_both_transports() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new(folder.path(), "a"), Authority::new(folder.path(), "b"));
    let identity = certified(&authority, folder.path(), "leaf");
    let foreign = certified(&stranger, folder.path(), "foreign");
    let tls = ServerTls { client_ca_file: Some(authority.ca_file.clone()), ..server(&identity) };
    let second = start(listening(&tls)).await;
    let known = |transport, over: ClientTls| {
        let address = if transport == Transport::Grpc { second.grpc } else { second.http };
        let mut exporter = exporter(transport, format!("https://{address}"));
        exporter.tls = ClientTls { identity: over.identity.or(Some(identity.clone())), ..over };
        exporter.retry.enabled = false;
        exporter
    };
    let trusting = || ClientTls { ca_file: Some(authority.ca_file.clone()), ..ClientTls::default() };
    let called = |name: &str| ClientTls { server_name: Some(name.to_owned()), ..trusting() };
    let blind = || ClientTls { insecure_skip_verify: true, ..ClientTls::default() };
    let mut anonymous = known(Transport::Http, trusting());
    anonymous.tls.identity = None;
    let (grpc, http) = (Transport::Grpc, Transport::Http);
    let exporters = vec![
        ("grpc", known(grpc, trusting())),
        ("http", known(http, trusting())),
        ("named", known(grpc, called("isotel.test"))),
        ("blind", known(grpc, blind())),
        ("misnamed", known(grpc, called("other.test"))),
        ("anonymous", anonymous),
        ("foreign", known(http, ClientTls { identity: Some(foreign), ..trusting() })),
        ("mistrusting", known(http, ClientTls { ca_file: Some(stranger.ca_file.clone()), ..trusting() })),
    ];
    let first = start(forwarding(config(), exporters)).await;
    assert_eq!(post(first.http, "/v1/traces", PROTOBUF, good()).await.status, 200);
    for id in ["misnamed", "anonymous", "foreign", "mistrusting"] {
        counted(&first, "send_failed_requests", id).await;
    }
    for id in ["grpc", "http", "named", "blind"] {
        counted(&first, "sent_requests", id).await;
    }
    assert_eq!(second.intake.requests().len(), 4, "nothing of a stranger is counted");
}

#[tokio::test]
async fn an_exporter_shows_its_new_certificate_at_a_reload_and_by_itself_with_an_interval() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new(folder.path(), "a"), Authority::new(folder.path(), "b"));
    let identity = certified(&authority, folder.path(), "server");
    let tls = ServerTls { client_ca_file: Some(authority.ca_file.clone()), ..server(&identity) };
    let second = start(listening(&tls)).await;
    for interval in [None, Some(Duration::from_nanos(1))] {
        let client = certified(&stranger, folder.path(), "client");
        let tls = ClientTls {
            ca_file: Some(authority.ca_file.clone()),
            identity: Some(client),
            reload_interval: interval,
            ..ClientTls::default()
        };
        let exporter =
            ExporterConfig { tls, ..exporter(Transport::Grpc, format!("https://{}", second.grpc)) };
        let config = forwarding(config(), vec![("next", exporter)]);
        let mut first = start(config.clone()).await;
        let before = second.intake.requests().len();
        assert_eq!(post(first.http, "/v1/traces", PROTOBUF, good()).await.status, 200);
        let retries = "isotel_exporter_retries{exporter=\"next\"}";
        until("a stranger is refused", || (metric(&first.agent, retries) >= 2.0).then_some(())).await;
        assert_eq!(second.intake.requests().len(), before);
        certified(&authority, folder.path(), "client");
        if interval.is_none() {
            first.agent.reload(&config).await.unwrap();
        }
        counted(&first, "sent_requests", "next").await;
        assert_eq!(second.intake.requests().len(), before + 1);
        write(folder.path(), "client.key", "no key");
        let error = first.agent.reload(&config).await.unwrap_err().to_string();
        assert!(error.contains("exporters.next") && error.contains("tls.key_file"), "{error}");
        assert_eq!(post(first.http, "/v1/traces", PROTOBUF, good()).await.status, 200);
        until("the old goes on", || (second.intake.requests().len() == before + 2).then_some(())).await;
    }
}

#[test]
fn grpc_is_over_tls_unless_it_says_not_and_settings_of_tls_are_never_passed_over() {
    let url = |exporter: &str| {
        let text =
            format!("exporters: {{{exporter}}}\nservice: {{pipelines: {{traces: {{receivers: [otlp]}}}}}}");
        config_with(&text).exporters.into_values().find(|e| e.url.contains("next")).unwrap().url
    };
    for (exporter, expected) in [
        ("otlp_grpc/x: {endpoint: 'next:1'}", "https://next:1"),
        ("otlp_grpc/x: {endpoint: 'next:1', tls: {insecure: true}}", "http://next:1"),
        ("otlp_grpc/x: {endpoint: 'http://next:1'}", "http://next:1"),
        ("otlp_grpc/x: {endpoint: 'https://next:1', tls: {insecure_skip_verify: true}}", "https://next:1"),
        ("otlp_http/x: {endpoint: 'next:1'}", "http://next:1"),
        ("otlp_http/x: {endpoint: 'next:1', tls: {ca_file: ca.pem}}", "https://next:1"),
    ] {
        assert_eq!(url(exporter), expected, "{exporter}");
    }
    for exporter in [
        "{endpoint: 'http://next:1', tls: {ca_file: ca.pem}}",
        "{endpoint: 'next:1', tls: {insecure: true, insecure_skip_verify: true}}",
        "{endpoint: 'next:1', tls: {insecure: true, cert_file: a, key_file: b}}",
    ] {
        let text = format!("exporters: {{otlp_grpc: {exporter}}}");
        let source = isotel::config::Source { name: "test.yaml".to_owned(), text };
        let problems = isotel::config::load(&[source], &[], &|_| None).unwrap_err().to_string();
        assert!(problems.contains("without TLS, although tls has settings"), "{exporter}: {problems}");
    }
}

#[tokio::test]
async fn connections_that_end_before_tls_is_agreed_on_are_counted_by_listener() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new(folder.path(), "a"), Authority::new(folder.path(), "b"));
    let identity = certified(&authority, folder.path(), "server");
    let running = start(listening(&server(&identity))).await;
    let failed = |listener: &str| {
        metric(&running.agent, &format!("isotel_listener_tls_handshakes_failed{{listener=\"{listener}\"}}"))
    };
    connect(running.grpc, &authority.ca_file, &[&version::TLS13]).await.unwrap();
    let refused = connect(running.grpc, &stranger.ca_file, &[&version::TLS13]).await;
    assert!(refused.is_err(), "the client does not trust the server, and says so");
    until("it is counted", || (failed("grpc") == 1.0).then_some(())).await;
    let mut plain = TcpStream::connect(running.http).await.unwrap();
    plain.write_all(b"POST /v1/traces HTTP/1.1\r\n\r\n").await.unwrap();
    until("it is counted", || (failed("http") == 1.0).then_some(())).await;
    assert_eq!([failed("grpc"), failed("health"), failed("metrics"), failed("page")], [1.0, 0.0, 0.0, 0.0]);
}
