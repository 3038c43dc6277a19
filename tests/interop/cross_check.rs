//! The same spans to the collector's span-metrics connector and to isotel: both count the same, series by series.

use crate::peer::{self, until};
use crate::plan::{Plan, REQUESTS};
use crate::process::{Collector, Isotel, attributes, metrics, requests};
use crate::rig::now_ns;
use serde_json::Value;
use std::collections::BTreeMap;

/// Environment, operation, kind, and whether the calls failed.
type Series = (String, String, String, bool);

#[test]
fn calls_and_durations_equal_those_of_the_span_metrics_connector() {
    if !peer::have(&["go", "collector"]) {
        return;
    }
    let behind = Collector::run(
        "
exporters: {file: {path: '{file}', flush_interval: 50ms}}
service:
  pipelines:
    metrics: {receivers: [otlp], exporters: [file]}
    logs: {receivers: [otlp], exporters: [file]}
",
    );
    let isotel = Isotel::run(&format!(
        "
exporters: {{otlp_grpc: {{endpoint: '{}', tls: {{insecure: true}}}}}}
service: {{pipelines: {{traces: {{receivers: [otlp]}}}}}}
parity: {{window: 10s, lateness: 10m, idle_timeout: 10m, exporters: [otlp_grpc]}}
",
        behind.grpc
    ));
    let front = Collector::run(&format!(
        "
connectors:
  span_metrics:
    metrics_flush_interval: 200ms
    dimensions: [{{name: deployment.environment.name}}]
    histogram: {{unit: s}}
exporters:
  file: {{path: '{{file}}', flush_interval: 50ms}}
  otlp_grpc: {{endpoint: '{}', tls: {{insecure: true}}}}
service:
  pipelines:
    traces: {{receivers: [otlp], exporters: [span_metrics, otlp_grpc]}}
    metrics: {{receivers: [span_metrics, otlp], exporters: [file]}}
",
        isotel.grpc
    ));
    for (environment, seed, factor) in [("prod", 1, 1.0), ("canary", 2, 1.5)] {
        let plan = Plan::new(now_ns(), seed, factor);
        peer::run(
            peer::command("go")
                .args(["--endpoint-grpc", &front.grpc.to_string(), "--protocol", "grpc"])
                .args(["--environment", environment, "--service", "shop-api", "--instance", environment])
                .arg("--plan")
                .arg(plan.path()),
        );
    }
    let theirs = |name: &str| counts(&requests(&front.received), name, connector_series);
    let all = 4 * REQUESTS;
    let complete = |counts: BTreeMap<Series, u64>| (counts.values().sum::<u64>() == all).then_some(counts);
    let calls = until("the connector has counted all", || complete(theirs("traces.span.metrics.calls")));
    let durations = until("the connector has timed all", || complete(theirs("traces.span.metrics.duration")));
    until("isotel has all spans", || {
        (isotel.metric("isotel_receiver_accepted_spans") >= all as f64).then_some(())
    });
    front.stop();
    isotel.stop();
    let received = behind.stop();
    assert_eq!(counts(&received, "parity.endpoint.calls", our_series), calls);
    let mut by_series = BTreeMap::<_, u64>::new();
    for ((environment, operation, kind, _), n) in durations {
        *by_series.entry((environment, operation, kind, false)).or_default() += n;
    }
    assert_eq!(counts(&received, "parity.endpoint.duration", our_series), by_series);
}

/// Counts by series: of a delta metric all points together, of a cumulative one the greatest.
fn counts(
    requests: &[Value],
    name: &str,
    series: fn(&BTreeMap<String, String>) -> Series,
) -> BTreeMap<Series, u64> {
    let mut counts = BTreeMap::<Series, u64>::new();
    for (_, metric) in metrics(requests).filter(|(_, metric)| metric["name"] == name) {
        let data =
            ["sum", "histogram", "exponentialHistogram"].iter().find_map(|form| metric.get(*form)).unwrap();
        let delta = data["aggregationTemporality"] == 1;
        for point in data["dataPoints"].as_array().unwrap() {
            let n = point.get("count").or_else(|| point.get("asInt")).unwrap();
            let n: u64 = n.as_str().unwrap().parse().unwrap();
            let count = counts.entry(series(&attributes(point))).or_default();
            *count = if delta { *count + n } else { n.max(*count) };
        }
    }
    counts.retain(|_, n| *n > 0);
    counts
}

fn connector_series(of: &BTreeMap<String, String>) -> Series {
    let kind = of["span.kind"].trim_start_matches("SPAN_KIND_").to_lowercase();
    let environment = of["deployment.environment.name"].clone();
    (environment, of["span.name"].clone(), kind, of["status.code"] == "STATUS_CODE_ERROR")
}

fn our_series(of: &BTreeMap<String, String>) -> Series {
    let failed = of.get("status.code").is_some_and(|code| code == "ERROR");
    (
        of["deployment.environment.name"].clone(),
        of["parity.operation"].clone(),
        of["span.kind"].clone(),
        failed,
    )
}
