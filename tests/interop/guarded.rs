//! Real SDKs at guarded listeners: with the right certificate and token they are let in and counted exactly; without, their
//! exporters say why and nothing is counted. With tenants each is counted, judged and shown where it belongs, and nowhere else.

use crate::authority::{Authority, Files};
use crate::peer::{self, until};
use crate::plan::{Plan, REQUESTS, all_sent};
use crate::process::Isotel;
use crate::rig::now_ns;
use serde_json::Value;
use std::process::Output;

/// A client with what its exporter is to trust and to show.
#[derive(Clone, Copy)]
struct Sender<'a> {
    client: &'a str,
    protocol: &'a str,
    ca_file: &'a str,
    shows: Option<&'a Files>,
    token: &'a str,
    /// Headers beside that of the token, as `,name=value`.
    tenant: &'a str,
    environment: &'a str,
}

impl Sender<'_> {
    fn send(&self, to: &Isotel, plan: &Plan) -> Output {
        // Seconds in Python, milliseconds elsewhere.
        let timeout = if self.client == "python" { "3" } else { "3000" };
        let mut command = peer::command(self.client);
        command
            .env("PEER_OTEL_EXPORTER_OTLP_CERTIFICATE", self.ca_file)
            .env(
                "PEER_OTEL_EXPORTER_OTLP_HEADERS",
                format!("authorization=Bearer%20{}{}", self.token, self.tenant),
            )
            .env("PEER_OTEL_EXPORTER_OTLP_TIMEOUT", timeout);
        if let Some(files) = self.shows {
            command
                .env("PEER_OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &files.cert_file)
                .env("PEER_OTEL_EXPORTER_OTLP_CLIENT_KEY", &files.key_file);
        }
        command
            .args(["--endpoint-grpc", &format!("https://{}", to.grpc)])
            .args(["--endpoint-http", &format!("https://{}", to.http)])
            .args(["--environment", self.environment, "--service", "shop-api", "--instance", "1"])
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
    let (tenant, environment) = ("", "prod");
    let right =
        Sender { client, protocol, ca_file, shows: Some(&shown), token: "open-sesame", tenant, environment };
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

const SHOP: &str = ",x-scope-orgid=shop";
const BANK: &str = ",x-scope-orgid=bank";

fn each_is_counted_and_judged_as_the_tenant_that_it_may_be(protocol: &str) {
    if !peer::have(&["python"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "a");
    let Files { cert_file, key_file } = authority.certify(folder.path(), "server");
    let isotel = Isotel::guarded(
        &format!("tls: {{cert_file: '{cert_file}', key_file: '{key_file}'}}"),
        "extensions: {bearertokenauth/shop: {token: for-shop}, bearertokenauth/bank: {token: for-bank}}
service:
  pipelines: {traces: {receivers: [otlp]}, metrics: {receivers: [otlp]}}
parity:
  window: 10s
  idle_timeout: 1s
  comparisons: [{name: release, baseline: prod, candidate: canary}]
  tenants:
    known:
      shop: {auth: {authenticator: bearertokenauth/shop}}
      bank: {auth: {authenticator: bearertokenauth/bank}}
",
    );
    let plan = Plan::new(now_ns(), 1, 1.0);
    let right = Sender {
        client: "python",
        protocol,
        ca_file: &authority.ca_file,
        shows: None,
        token: "for-shop",
        tenant: SHOP,
        environment: "prod",
    };
    let wrong = [
        ("nobody's", Sender { tenant: "", ..right }, "invalid_argument", "400"),
        (
            "an unknown tenant's",
            Sender { tenant: ",x-scope-orgid=invented", ..right },
            "invalid_argument",
            "400",
        ),
        ("another's", Sender { tenant: BANK, ..right }, "unauth", "unauth"),
        ("with another's token", Sender { token: "for-bank", ..right }, "unauth", "unauth"),
    ];
    for (what, sender, over_grpc, over_http) in wrong {
        let sent = sender.send(&isotel, &plan);
        let stderr = String::from_utf8_lossy(&sent.stderr).to_lowercase();
        assert!(!sent.status.success(), "{what}: {stderr}");
        let said = if protocol == "grpc" { over_grpc } else { over_http };
        assert!(stderr.contains(said) || stderr.contains("bad request"), "{what}: {stderr}");
    }
    assert_eq!(isotel.metric("isotel_receiver_accepted_spans"), 0.0);
    let bank = Sender { token: "for-bank", tenant: BANK, ..right };
    for sender in [right, Sender { environment: "canary", ..right }, bank] {
        let sent = sender.send(&isotel, &plan);
        let stderr = String::from_utf8_lossy(&sent.stderr).into_owned();
        assert_eq!(serde_json::from_slice::<Value>(&sent.stdout).unwrap_or_default(), all_sent(), "{stderr}");
    }
    for (tenant, spans) in [("shop", 4 * REQUESTS), ("bank", 2 * REQUESTS)] {
        let line = format!("isotel_receiver_accepted_spans{{tenant=\"{tenant}\"}} {spans}\n");
        let own = isotel.page("/metrics", "accept: text/plain");
        assert!(own.contains(&line) && !own.contains("shop-api"), "{line}: {own}");
    }
    let shop = || isotel.page("/tenants/shop/metrics", "authorization: Bearer for-shop");
    let judged = |page: String| page.contains("parity_score{") && page.contains("shop-api");
    until("the shop's canary is judged", || judged(shop()).then_some(()));
    // The bank has an environment, and nothing of the shop's to compare it with.
    let bank = isotel.page("/tenants/bank/metrics", "authorization: Bearer for-bank");
    assert!(bank.starts_with("HTTP/1.0 200") && !bank.contains("state=\"parity\"} 1"), "{bank}");
    assert!(!bank.contains("tenant=\"shop\"") && !bank.contains("n_candidate"), "{bank}");
    let refused = isotel.page("/tenants/shop/metrics", "authorization: Bearer for-bank");
    assert!(refused.starts_with("HTTP/1.0 401") && !refused.contains("parity_"), "{refused}");
    isotel.stop();
}

#[test]
fn python_over_grpc_is_counted_and_judged_as_the_tenant_that_it_may_be() {
    each_is_counted_and_judged_as_the_tenant_that_it_may_be("grpc");
}

#[test]
fn python_over_http_is_counted_and_judged_as_the_tenant_that_it_may_be() {
    each_is_counted_and_judged_as_the_tenant_that_it_may_be("http/protobuf");
}
