//! A real collector in front of isotel and another behind it, and the collector's load generator.

use crate::peer::{self, until};
use crate::plan::{Plan, REQUESTS};
use crate::process::{Collector, Isotel, attributes, log_records, metrics, spans};
use crate::rig::now_ns;
use serde_json::Value;
use std::collections::BTreeMap;

/// Environments that send one after the other are waited for.
const PARITY: &str = "parity: {window: 10s, lateness: 10m, idle_timeout: 10m, exporters: [EXPORTER]}";

/// Writes everything into one file, as the example says, but where and when.
fn behind() -> Collector {
    let example = include_str!("../../deploy/collector/record.yaml");
    let (_, rest) = example.split_once("\nexporters:").unwrap();
    Collector::run(&format!(
        "exporters:{}",
        rest.replace("telemetry.json", "'{file}'\n    flush_interval: 50ms")
    ))
}

#[test]
fn between_collectors_over_grpc_and_http_all_goes_through_and_results_are_accepted() {
    if !peer::have(&["python", "collector"]) {
        return;
    }
    let behind = behind();
    let isotel = isotel(&format!("otlp_http: {{endpoint: 'http://{}', compression: zstd}}", behind.http));
    let front = front(&format!("otlp_grpc: {{endpoint: '{}', tls: {{insecure: true}}}}", isotel.grpc));
    all_goes_through(front, isotel, behind, "otlp_http");
}

#[test]
fn between_collectors_over_http_and_grpc_all_goes_through_and_results_are_accepted() {
    if !peer::have(&["python", "collector"]) {
        return;
    }
    let behind = behind();
    let isotel = isotel(&format!("otlp_grpc: {{endpoint: '{}', tls: {{insecure: true}}}}", behind.grpc));
    let front = front(&format!("otlp_http: {{endpoint: 'http://{}', compression: zstd}}", isotel.http));
    all_goes_through(front, isotel, behind, "otlp_grpc");
}

/// An agent that forwards everything to one exporter and sends its results there too.
fn isotel(exporter: &str) -> Isotel {
    let id = exporter.split(':').next().unwrap();
    Isotel::run(&format!(
        "
exporters:
  {exporter}
service:
  pipelines:
    traces: {{receivers: [otlp], exporters: [{id}]}}
    metrics: {{receivers: [otlp], exporters: [{id}]}}
    logs: {{receivers: [otlp], exporters: [{id}]}}
{}
",
        PARITY.replace("EXPORTER", id)
    ))
}

/// A collector that batches and passes on.
fn front(exporter: &str) -> Collector {
    let id = exporter.split(':').next().unwrap();
    Collector::run(&format!(
        "
processors: {{batch: {{timeout: 50ms}}}}
exporters:
  {exporter}
service:
  pipelines:
    traces: {{receivers: [otlp], processors: [batch], exporters: [{id}]}}
    metrics: {{receivers: [otlp], processors: [batch], exporters: [{id}]}}
"
    ))
}

fn all_goes_through(front: Collector, isotel: Isotel, behind: Collector, exporter: &str) {
    let plans =
        BTreeMap::from([("prod", Plan::new(now_ns(), 1, 1.0)), ("canary", Plan::new(now_ns(), 2, 1.5))]);
    for (environment, plan) in &plans {
        peer::run(
            peer::command("python")
                .args(["--endpoint-grpc", &front.grpc.to_string(), "--protocol", "grpc"])
                .args(["--environment", environment, "--service", "shop-api", "--instance", environment])
                .arg("--plan")
                .arg(plan.path()),
        );
    }
    let all = (4 * REQUESTS) as f64;
    until("all spans are recorded", || {
        (isotel.metric("isotel_receiver_accepted_spans") >= all).then_some(())
    });
    for family in ["isotel_receiver_refused_spans", "isotel_receiver_refused_metric_points"] {
        assert_eq!(isotel.metric(family), 0.0, "{family}");
    }
    // The front collector flushes its last metrics when it ends.
    front.stop();
    isotel.stop();
    for signal in ["spans", "metric_points", "log_records"] {
        for outcome in ["refused", "failed"] {
            let family = format!("otelcol_receiver_{outcome}_{signal}");
            assert_eq!(behind.metric(&family), 0.0, "{family}");
        }
    }
    assert!(behind.metric("otelcol_receiver_accepted_log_records") > 0.0);
    let received = behind.stop();
    assert_eq!(spans(&received).count() as f64, all, "through {exporter}");
    for (environment, plan) in &plans {
        let here = spans(&received)
            .filter(|(resource, _)| attributes(resource)["deployment.environment.name"] == *environment);
        let time = |span: &Value, name: &str| span[name].as_str().unwrap().parse::<u128>().unwrap();
        let duration_ns: u128 =
            here.map(|(_, span)| time(span, "endTimeUnixNano") - time(span, "startTimeUnixNano")).sum();
        assert_eq!(duration_ns, plan.spans.values().map(|sum| sum.duration_ns).sum::<u128>());
    }
    let forwarded = metrics(&received).filter(|(_, metric)| metric["name"] == "http.server.request.duration");
    assert_eq!(forwarded.count(), 2);
    results_say_what_was_planted(&received);
}

fn results_say_what_was_planted(received: &[Value]) {
    let mut states = BTreeMap::new();
    for (resource, metric) in metrics(received).filter(|(_, metric)| metric["name"] == "parity.verdict") {
        assert_eq!(attributes(resource)["service.name"], "isotel");
        for point in metric["gauge"]["dataPoints"].as_array().unwrap() {
            let of = attributes(point);
            assert_eq!((of["parity.baseline"].as_str(), of["parity.candidate"].as_str()), ("prod", "canary"));
            if point["asDouble"].as_f64().or(point["asInt"].as_str().map(|one| one.parse().unwrap()))
                == Some(1.0)
            {
                let place = of.get("parity.operation").cloned().unwrap_or_default();
                let aspect = of.get("parity.aspect").cloned().unwrap_or_default();
                states.insert((place, aspect), of["parity.verdict.state"].clone());
            }
        }
    }
    let state = |place: &str, aspect: &str| states[&(place.to_owned(), aspect.to_owned())].as_str();
    assert_eq!(state("POST /checkout/{id}", ""), "divergent", "{states:#?}");
    assert_eq!(state("GET /cart", ""), "parity");
    assert_eq!((state("", ""), state("", "latency")), ("divergent", "divergent"));
    let names: Vec<_> =
        log_records(received).map(|(_, record)| record["eventName"].as_str().unwrap()).collect();
    assert!(names.contains(&"parity.verdict.changed"), "{names:?}");
    let slower = log_records(received).filter(|(_, record)| {
        record["eventName"] == "parity.finding"
            && attributes(record).get("parity.operation").is_some_and(|name| name == "POST /checkout/{id}")
    });
    assert_eq!(slower.count(), 1);
}

#[test]
fn all_that_telemetrygen_sends_is_accepted() {
    if !peer::have(&["telemetrygen"]) {
        return;
    }
    let isotel = Isotel::run(
        "service: {pipelines: {traces: {receivers: [otlp]}, metrics: {receivers: [otlp]}, logs: {receivers: [otlp]}}}",
    );
    let send = |args: &[&str], http: bool| {
        let to = if http { isotel.http } else { isotel.grpc };
        let mut command = peer::command("telemetrygen");
        command.args(args).args(["--rate", "0", "--workers", "1", "--otlp-insecure"]);
        command.args(["--otlp-attributes", "deployment.environment.name=\"prod\""]);
        command.args(["--otlp-endpoint", &to.to_string()]);
        peer::run(if http { command.arg("--otlp-http") } else { &mut command });
    };
    for http in [false, true] {
        send(&["traces", "--traces", "150", "--status-code", "Error"], http);
        for form in ["Gauge", "Sum", "Histogram", "ExponentialHistogram"] {
            send(&["metrics", "--metrics", "20", "--metric-type", form], http);
        }
        send(&["logs", "--logs", "100"], http);
    }
    // A parent and a child each.
    assert_eq!(isotel.metric("isotel_receiver_accepted_spans"), 600.0);
    assert_eq!(isotel.metric("isotel_receiver_accepted_metric_points"), 160.0);
    assert_eq!(isotel.metric("isotel_receiver_accepted_log_records"), 200.0);
    for family in ["spans", "metric_points", "log_records"] {
        assert_eq!(isotel.metric(&format!("isotel_receiver_refused_{family}")), 0.0, "{family}");
    }
    isotel.stop();
}
