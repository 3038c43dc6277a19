//! Real SDKs with their real exporters, each from two environments: what they send arrives exactly, and the verdict is
//! the one that was planted.

use crate::peer;
use crate::plan::{Plan, REQUESTS, all_sent};
use crate::rig::{Rig, now_ns};
use isotel::config::HttpOrGrpc;
use isotel::judge::verdict::{OperationResult, Source};
use isotel::judge::{Report, Verdict};
use std::collections::BTreeMap;

/// How a client sends.
struct Way<'a> {
    client: &'a str,
    protocol: &'a str,
    compression: &'a str,
    temporality: &'a str,
    histogram: &'a str,
}

#[test]
fn what_python_sends_over_grpc_arrives_exactly_and_is_judged_as_planted() {
    shown(&Way {
        client: "python",
        protocol: "grpc",
        compression: "none",
        temporality: "cumulative",
        histogram: "explicit",
    });
}

#[test]
fn what_python_sends_over_http_arrives_exactly_and_is_judged_as_planted() {
    shown(&Way {
        client: "python",
        protocol: "http/protobuf",
        compression: "gzip",
        temporality: "delta",
        histogram: "exponential",
    });
}

#[test]
fn what_node_sends_over_grpc_arrives_exactly_and_is_judged_as_planted() {
    shown(&Way {
        client: "node",
        protocol: "grpc",
        compression: "gzip",
        temporality: "cumulative",
        histogram: "exponential",
    });
}

#[test]
fn what_node_sends_over_http_arrives_exactly_and_is_judged_as_planted() {
    shown(&Way {
        client: "node",
        protocol: "http/protobuf",
        compression: "none",
        temporality: "delta",
        histogram: "explicit",
    });
}

#[test]
fn what_node_sends_as_json_arrives_exactly_and_is_judged_as_planted() {
    shown(&Way {
        client: "node",
        protocol: "http/json",
        compression: "gzip",
        temporality: "delta",
        histogram: "exponential",
    });
}

#[test]
fn what_java_sends_over_grpc_arrives_exactly_and_is_judged_as_planted() {
    shown(&Way {
        client: "java",
        protocol: "grpc",
        compression: "gzip",
        temporality: "delta",
        histogram: "explicit",
    });
}

#[test]
fn what_java_sends_over_http_arrives_exactly_and_is_judged_as_planted() {
    shown(&Way {
        client: "java",
        protocol: "http/protobuf",
        compression: "none",
        temporality: "cumulative",
        histogram: "exponential",
    });
}

#[test]
fn what_go_sends_over_grpc_arrives_exactly_and_is_judged_as_planted() {
    shown(&Way {
        client: "go",
        protocol: "grpc",
        compression: "none",
        temporality: "delta",
        histogram: "exponential",
    });
}

#[test]
fn what_go_sends_over_http_arrives_exactly_and_is_judged_as_planted() {
    shown(&Way {
        client: "go",
        protocol: "http/protobuf",
        compression: "gzip",
        temporality: "cumulative",
        histogram: "explicit",
    });
}

fn shown(way: &Way<'_>) {
    if !peer::have(&[way.client]) {
        return;
    }
    let mut rig = Rig::start();
    let plans =
        BTreeMap::from([("prod", Plan::new(now_ns(), 1, 1.0)), ("canary", Plan::new(now_ns(), 2, 1.5))]);
    for (environment, plan) in &plans {
        send(way, &rig, environment, plan);
    }
    let report = rig.finish();

    let planned: BTreeMap<_, _> = plans
        .iter()
        .flat_map(|(environment, plan)| plan.spans.iter().map(move |(op, sum)| (key(environment, op), *sum)))
        .collect();
    assert_eq!(rig.spans(), planned, "spans");

    let records = rig.records();
    assert_eq!(records.len(), 4, "{records:?}");
    for (environment, plan) in &plans {
        for (operation, planned) in &plan.records {
            let arrived = records[&key(environment, operation)];
            assert_eq!((arrived.n, arrived.errors), (planned.n, planned.errors), "{environment} {operation}");
            // A histogram's sum is a sum of doubles.
            assert!(arrived.duration_ns.abs_diff(planned.duration_ns) < 10, "{arrived:?} {planned:?}");
        }
    }
    judged_as_planted(&report);
}

fn key(environment: &str, operation: &str) -> (String, String) {
    (environment.to_owned(), operation.to_owned())
}

fn send(way: &Way<'_>, rig: &Rig, environment: &str, plan: &Plan) {
    let http = format!("http://{}", rig.address(HttpOrGrpc::Http));
    let sent = peer::run(
        peer::command(way.client)
            .args(["--endpoint-grpc", &rig.address(HttpOrGrpc::Grpc).to_string()])
            .args(["--endpoint-http", &http])
            .args(["--environment", environment, "--service", "shop-api", "--instance"])
            .arg(format!("{environment}-1"))
            .args(["--protocol", way.protocol, "--compression", way.compression])
            .args(["--temporality", way.temporality, "--histogram", way.histogram])
            .arg("--plan")
            .arg(plan.path()),
    );
    let said: serde_json::Value = serde_json::from_slice(&sent.stdout).unwrap();
    assert_eq!(said, all_sent());
}

fn judged_as_planted(report: &Report) {
    assert_eq!((report.baseline.environment.as_str(), report.verdict), ("prod", Verdict::Divergent));
    let operations: BTreeMap<&str, &OperationResult> = report
        .services
        .iter()
        .flat_map(|service| &service.operations)
        .map(|operation| (&*operation.operation, operation))
        .collect();
    let expected = [
        ("POST /checkout/{id}", Source::Spans, Verdict::Divergent),
        ("GET /cart", Source::Spans, Verdict::Parity),
        ("GET /search", Source::Metrics, Verdict::Divergent),
        ("GET /ping", Source::Metrics, Verdict::Parity),
    ];
    assert_eq!(operations.len(), expected.len(), "{:?}", operations.keys());
    for (operation, source, verdict) in expected {
        let latency = &operations[operation].latency;
        assert_eq!((latency.source, latency.verdict), (source, verdict), "{operation}: {latency:?}");
        assert_eq!((latency.n_baseline, latency.n_candidate), (REQUESTS, REQUESTS));
    }
    let errors = &operations["POST /checkout/{id}"].errors;
    assert_eq!((errors.baseline.errors, errors.candidate.errors), (REQUESTS / 20, REQUESTS / 20));
    let mut slower: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| finding.title == "slower")
        .map(|finding| finding.operation.as_deref().unwrap())
        .collect();
    slower.sort_unstable();
    assert_eq!(slower, ["GET /search", "POST /checkout/{id}"]);
    assert_eq!(report.input.rejected.values().sum::<u64>(), 0, "{:?}", report.input.rejected);
}
