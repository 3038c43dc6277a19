//! Real SDKs at guarded listeners: with the right certificate and token they are let in and counted exactly; without, their
//! exporters say why and nothing is counted.

use crate::authority::{Authority, Files};
use crate::peer;
use crate::plan::{Plan, REQUESTS, all_sent};
use crate::process::Isotel;
use crate::rig::now_ns;
use serde_json::Value;
use std::process::Output;

/// A client with what its exporter is to trust and to show.
struct Sender<'a> {
    client: &'a str,
    protocol: &'a str,
    ca_file: &'a str,
    shows: Option<&'a Files>,
    token: &'a str,
}

impl Sender<'_> {
    fn send(&self, to: &Isotel, plan: &Plan) -> Output {
        // Seconds in Python, milliseconds elsewhere.
        let timeout = if self.client == "python" { "3" } else { "3000" };
        let mut command = peer::command(self.client);
        command
            .env("PEER_OTEL_EXPORTER_OTLP_CERTIFICATE", self.ca_file)
            .env("PEER_OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{}", self.token))
            .env("PEER_OTEL_EXPORTER_OTLP_TIMEOUT", timeout);
        if let Some(files) = self.shows {
            command
                .env("PEER_OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &files.cert_file)
                .env("PEER_OTEL_EXPORTER_OTLP_CLIENT_KEY", &files.key_file);
        }
        command
            .args(["--endpoint-grpc", &format!("https://{}", to.grpc)])
            .args(["--endpoint-http", &format!("https://{}", to.http)])
            .args(["--environment", "prod", "--service", "shop-api", "--instance", "prod-1"])
            .args(["--protocol", self.protocol, "--plan"])
            .arg(plan.path())
            .output()
            .unwrap()
    }
}

fn the_right_ones_are_let_in_and_the_wrong_ones_are_told(client: &str, protocol: &str) {
    if !peer::have(&[client]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new(folder.path(), "a"), Authority::new(folder.path(), "b"));
    let [server, shown] = ["server", "client"].map(|name| authority.certify(folder.path(), name));
    let foreign = stranger.certify(folder.path(), "foreign");
    let Files { cert_file, key_file } = &server;
    let ca_file = authority.ca_file.as_str();
    let isotel = Isotel::guarded(
        &format!(
            "auth: {{authenticator: bearertokenauth}},
             tls: {{cert_file: '{cert_file}', key_file: '{key_file}', client_ca_file: '{ca_file}'}}"
        ),
        "extensions: {bearertokenauth: {token: open-sesame}}
service:
  pipelines: {traces: {receivers: [otlp]}, metrics: {receivers: [otlp]}}
",
    );
    let plan = Plan::new(now_ns(), 1, 1.0);
    let right = Sender { client, protocol, ca_file, shows: Some(&shown), token: "open-sesame" };
    // What the authenticator refuses has a status that every library names; how TLS refuses, each says in its own words.
    let wrong = [
        ("a wrong token", Sender { token: "sesame", ..right }, "unauth"),
        ("no certificate", Sender { shows: None, ..right }, ""),
        ("a stranger's certificate", Sender { shows: Some(&foreign), ..right }, ""),
        ("another authority", Sender { ca_file: &stranger.ca_file, ..right }, ""),
    ];
    for (what, sender, said) in wrong {
        let sent = sender.send(&isotel, &plan);
        let stderr = String::from_utf8_lossy(&sent.stderr).into_owned();
        let tally: Value = serde_json::from_slice(&sent.stdout).unwrap_or_default();
        assert!(!sent.status.success() && tally["spans"] == 0, "{what}: {tally}\n{stderr}");
        assert!(!stderr.trim().is_empty() && stderr.to_lowercase().contains(said), "{what}: {stderr}");
        assert!(!stderr.contains("sesame"), "{what}: {stderr}");
    }
    assert_eq!(isotel.metric("isotel_receiver_accepted_spans"), 0.0);
    let sent = right.send(&isotel, &plan);
    let stderr = String::from_utf8_lossy(&sent.stderr).into_owned();
    assert_eq!(serde_json::from_slice::<Value>(&sent.stdout).unwrap_or_default(), all_sent(), "{stderr}");
    assert_eq!(isotel.metric("isotel_receiver_accepted_spans"), (2 * REQUESTS) as f64);
    isotel.stop();
}

#[test]
fn python_over_grpc_is_let_in_with_certificate_and_token_and_told_without() {
    the_right_ones_are_let_in_and_the_wrong_ones_are_told("python", "grpc");
}

#[test]
fn python_over_http_is_let_in_with_certificate_and_token_and_told_without() {
    the_right_ones_are_let_in_and_the_wrong_ones_are_told("python", "http/protobuf");
}

#[test]
fn node_over_http_is_let_in_with_certificate_and_token_and_told_without() {
    the_right_ones_are_let_in_and_the_wrong_ones_are_told("node", "http/json");
}

#[test]
fn go_over_http_is_let_in_with_certificate_and_token_and_told_without() {
    the_right_ones_are_let_in_and_the_wrong_ones_are_told("go", "http/protobuf");
}
