//! What machines see of a verdict: encoded, decoded again by prost, and held against what design and report say.

use crate::fixtures::{regression, reports, without_data};
use isotel::engine::Endpoint;
use isotel::export::{
    self, FindingEvent, Judged, Results, Sender, Timing, VerdictChange, logs_requests, prometheus,
};
use isotel::judge::slo::{BurnResult, SloResult};
use isotel::judge::{Aspect, Report, Verdict};
use isotel::model::{SeriesKey, ServiceKey, SpanKind};
use isotel::sketch::LatencySketch;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, metric, number_data_point};
use prost::Message;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Room for all that these tests send.
const REQUEST_BYTES_MOST: usize = 1 << 20;
const END_NS: u64 = 1_782_901_800_000_000_000;

fn sender() -> Sender {
    Sender { version: "0.1.0".into(), instance_id: "agent-1".into(), tenant: None }
}

#[test]
fn results_of_a_tenant_say_so_in_every_point_and_record() {
    let report = regression();
    let sender = Sender { tenant: Some("shop".into()), ..sender() };
    let results = Results {
        judged: vec![Judged { report: &report, end_ns: END_NS }],
        endpoints: &|_| {},
        timings: vec![timing()],
    };
    let mut bytes = Vec::new();
    export::metrics_requests(&results, &sender, REQUEST_BYTES_MOST, &mut |request| {
        bytes.push(format!("{request:?}"))
    });
    let count = |text: &str, part: &str| text.matches(part).count();
    let of = |bytes: &[String]| {
        let all = bytes.concat();
        (count(&all, "key: \"parity.comparison\""), count(&all, "key: \"parity.tenant\""))
    };
    let (points, told) = of(&bytes);
    assert!(points > 20 && told == points, "{told} of {points}");
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| FindingEvent {
            comparison: "a",
            baseline: "b",
            candidate: "c",
            finding,
            time_ns: END_NS,
        })
        .collect();
    let logs = logs_requests(&[], &findings, &sender, END_NS, REQUEST_BYTES_MOST);
    let logs: Vec<String> = logs.iter().map(|request| format!("{request:?}")).collect();
    assert_eq!(of(&logs), (findings.len(), findings.len()));
}

/// Six calls of one operation, one of which failed and took no time.
fn series(operation: &str) -> SeriesKey {
    let service = ServiceKey { namespace: "shop".into(), name: "checkout".into() };
    SeriesKey { service, operation: operation.into(), kind: SpanKind::Server }
}

fn calls() -> LatencySketch {
    let mut latency = LatencySketch::default();
    for ms in [0, 180, 180, 230, 260, 400] {
        latency.record(ms * 1_000_000, 1);
    }
    latency
}

fn timing() -> Timing {
    Timing {
        comparison: "release-1.15".into(),
        baseline: "prod".into(),
        candidate: "canary".into(),
        start_ns: END_NS - 60_000_000_000,
        end_ns: END_NS,
        durations_s: vec![0.002, 0.003],
        delays_s: vec![31.0],
    }
}

/// The requests that tell of a report, a timing, and one window of some operations.
fn requests(report: &Report, operations: &[SeriesKey], most: usize) -> Vec<ExportMetricsServiceRequest> {
    let latency = calls();
    let endpoints = |tell: &mut dyn FnMut(&Endpoint<'_>)| {
        for series in operations {
            tell(&Endpoint {
                environment: "prod",
                series,
                start_ns: END_NS - 60_000_000_000,
                end_ns: END_NS,
                calls_ok: 5,
                calls_error: 1,
                latency: Cow::Borrowed(&latency),
            });
        }
    };
    let results = Results {
        judged: vec![Judged { report, end_ns: END_NS }],
        endpoints: &endpoints,
        timings: vec![timing()],
    };
    let mut requests = Vec::new();
    export::metrics_requests(&results, &sender(), most, &mut |request| requests.push(request));
    requests
}

/// What a receiver has of a report and one operation.
fn metrics_of(report: &Report) -> Vec<Metric> {
    received(&requests(report, &[series("POST /checkout")], REQUEST_BYTES_MOST))
}

/// Encoded and decoded: what a receiver has.
fn received(requests: &[ExportMetricsServiceRequest]) -> Vec<Metric> {
    let mut metrics = Vec::new();
    for request in requests {
        let bytes = request.encode_to_vec();
        let decoded =
            ExportMetricsServiceRequest::decode(bytes.as_slice()).expect("prost reads what it wrote");
        for resource in decoded.resource_metrics {
            let attributes = resource.resource.expect("a resource").attributes;
            assert_eq!(attribute(&attributes, "service.name"), Some("isotel"));
            assert_eq!(attribute(&attributes, "service.version"), Some("0.1.0"));
            assert_eq!(attribute(&attributes, "service.instance.id"), Some("agent-1"));
            for scope in resource.scope_metrics {
                assert_eq!(scope.scope.expect("a scope").name, "isotel");
                metrics.extend(scope.metrics);
            }
        }
    }
    metrics
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|one| one.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn gauge<'a>(metrics: &'a [Metric], name: &str) -> Vec<&'a NumberDataPoint> {
    let of = |metric: &'a Metric| match &metric.data {
        Some(metric::Data::Gauge(gauge)) => gauge.data_points.iter().collect::<Vec<_>>(),
        other => panic!("{name} is a gauge and not {other:?}"),
    };
    metrics.iter().filter(|metric| metric.name == name).flat_map(of).collect()
}

fn number(point: &NumberDataPoint) -> f64 {
    match point.value {
        Some(number_data_point::Value::AsDouble(x)) => x,
        Some(number_data_point::Value::AsInt(n)) => n as f64,
        None => panic!("a point without a value"),
    }
}

/// `key=value` of every attribute, in order.
fn identity(attributes: &[KeyValue]) -> String {
    let pairs = attributes
        .iter()
        .map(|one| format!("{}={}", one.key, attribute(attributes, &one.key).unwrap_or("?")));
    pairs.collect::<Vec<_>>().join(" ")
}

#[test]
fn every_metric_of_the_contract_is_emitted_with_its_unit() {
    let report = regression();
    let metrics = metrics_of(&report);
    let units: BTreeMap<&str, &str> =
        metrics.iter().map(|metric| (metric.name.as_str(), metric.unit.as_str())).collect();
    let expected = [
        ("parity.comparison.duration", "s"),
        ("parity.coverage.missing", "{signal}"),
        ("parity.coverage.ratio", "1"),
        ("parity.detection.delay", "s"),
        ("parity.endpoint.calls", "{call}"),
        ("parity.endpoint.duration", "s"),
        ("parity.errors.rate.delta", "1"),
        ("parity.facts.mismatches", "{fact}"),
        ("parity.findings", "{finding}"),
        ("parity.latency.ks.p_value", "1"),
        ("parity.latency.ks.statistic", "1"),
        ("parity.latency.quantile.ratio", "1"),
        ("parity.score", "1"),
        ("parity.verdict", "1"),
    ];
    assert_eq!(units.into_iter().collect::<Vec<_>>(), expected);
    assert!(metrics.iter().all(|metric| !metric.description.is_empty()));
}

#[test]
fn gauges_are_finite_dated_by_the_window_and_belong_to_the_comparison() {
    for (name, report) in reports() {
        let metrics = metrics_of(&report);
        let mut seen = BTreeSet::new();
        for metric in &metrics {
            let Some(metric::Data::Gauge(gauge)) = &metric.data else { continue };
            for point in &gauge.data_points {
                assert_eq!(point.time_unix_nano, END_NS);
                assert!(number(point).is_finite());
                let attributes = &point.attributes;
                assert_eq!(attribute(attributes, "parity.comparison"), Some(report.comparison.as_str()));
                assert_eq!(attribute(attributes, "parity.baseline"), Some("prod"));
                assert!(attribute(attributes, "parity.candidate").is_some());
                let id = format!("{} {}", metric.name, identity(attributes));
                assert!(seen.insert(id.clone()), "{name}: twice: {id}");
            }
        }
    }
}

#[test]
fn exactly_one_state_of_a_verdict_holds() {
    let report = regression();
    let metrics = metrics_of(&report);
    let mut states: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for point in gauge(&metrics, "parity.verdict") {
        let rest: Vec<KeyValue> =
            point.attributes.iter().filter(|one| one.key != "parity.verdict.state").cloned().collect();
        states.entry(identity(&rest)).or_default().push(number(point));
    }
    // The comparison, its four aspects, two services, five operations.
    assert_eq!(states.len(), 12);
    assert!(
        states.values().all(|values| values.len() == 4 && values.iter().sum::<f64>() == 1.0),
        "{states:?}"
    );
}

#[test]
fn metrics_that_decide_have_a_state_and_a_score_and_others_have_none() {
    let report = crate::fixtures::metrics();
    let metrics = metrics_of(&report);
    let of_metric = |name: &str| -> Vec<String> {
        let points = gauge(&metrics, name).into_iter();
        let own = points.filter(|point| attribute(&point.attributes, "parity.metric").is_some());
        own.map(|point| {
            let said = |key: &str| attribute(&point.attributes, key).unwrap_or("-").to_owned();
            assert_eq!((said("parity.aspect").as_str(), said("service.name").as_str()), ("value", "etl"));
            let (metric, statistic) = (said("parity.metric"), said("parity.statistic"));
            format!("{metric} {statistic} {} {}", said("parity.verdict.state"), number(point))
        })
        .collect()
    };
    assert_eq!(
        of_metric("parity.score"),
        ["queue.depth{queue=orders} mean - 0", "report.checksum equal - 0", "rows.written rate - 0.5"]
    );
    let states = of_metric("parity.verdict");
    assert_eq!(states.len(), 12);
    assert!(states.contains(&"rows.written rate inconclusive 1".to_owned()), "{states:?}");
}

#[test]
fn a_score_is_a_share_and_without_data_there_is_none() {
    let report = without_data();
    let metrics = metrics_of(&report);
    // Only the one operation with data on both sides has a score.
    let scores: Vec<f64> = gauge(&metrics, "parity.score").into_iter().map(number).collect();
    assert_eq!(scores, [0.5]);
    let report = regression();
    let metrics = metrics_of(&report);
    let scores = gauge(&metrics, "parity.score");
    assert!((number(scores[0]) - 0.432).abs() < 1e-12);
    assert!(scores.iter().all(|point| (0.0..=1.0).contains(&number(point))));
}

#[test]
fn an_unbounded_end_of_an_interval_has_no_point() {
    let report = regression();
    let metrics = metrics_of(&report);
    let bounds_of = |operation: &str, quantile: &str| -> Vec<String> {
        gauge(&metrics, "parity.latency.quantile.ratio")
            .into_iter()
            .filter(|point| attribute(&point.attributes, "parity.operation") == Some(operation))
            .filter(|point| attribute(&point.attributes, "quantile") == Some(quantile))
            .map(|point| {
                format!("{}={}", attribute(&point.attributes, "bound").unwrap_or("?"), number(point))
            })
            .collect()
    };
    assert_eq!(bounds_of("GET /orders/{id}", "0.95"), ["estimate=1.3"]);
    let low = format!("low={}", 1.018 - 0.013);
    assert_eq!(bounds_of("POST /checkout", "0.5"), ["estimate=1.018", low.as_str(), "high=1.031"]);
}

#[test]
fn a_service_is_split_into_namespace_and_name() {
    let report = regression();
    let metrics = metrics_of(&report);
    let missing = gauge(&metrics, "parity.coverage.missing");
    assert_eq!(
        missing.iter().map(|point| identity(&point.attributes)).next().as_deref(),
        Some(
            "parity.comparison=release-1.15 parity.baseline=prod parity.candidate=canary service.name=checkout \
             service.namespace=shop parity.aspect=presence"
        )
    );
    assert_eq!(missing.into_iter().map(number).collect::<Vec<_>>(), [2.0, 0.0]);
}

#[test]
fn error_budgets_are_gauges_by_objective_service_and_window() {
    let burn = |window_s, rate| BurnResult { window_s, rate };
    let budget = SloResult {
        slo: "release".into(),
        service: Some("shop/cart".into()),
        aspect: Some(Aspect::Latency),
        target: 0.99,
        period_s: 2_592_000.0,
        good: 95,
        bad: 5,
        remaining: Some(-4.0),
        burn: vec![burn(300.0, Some(20.0)), burn(3_600.0, None), burn(90.0, Some(1.0))],
        burning: None,
    };
    let report = Report { slos: vec![budget], ..regression() };
    let text = prometheus::render(vec![&report], None).collect::<String>();
    let of_budget: Vec<&str> = text.lines().filter(|line| line.starts_with("parity_slo")).collect();
    let labels = "comparison=\"release-1.15\",baseline=\"prod\",candidate=\"canary\",slo=\"release\",\
                  service_name=\"cart\",service_namespace=\"shop\",aspect=\"latency\"";
    assert_eq!(
        of_budget,
        [
            format!("parity_slo_target{{{labels}}} 0.99"),
            format!("parity_slo_looks{{{labels},look=\"good\"}} 95"),
            format!("parity_slo_looks{{{labels},look=\"bad\"}} 5"),
            format!("parity_slo_budget_remaining{{{labels}}} -4"),
            format!("parity_slo_burn_rate{{{labels},window=\"5m\"}} 20"),
            format!("parity_slo_burn_rate{{{labels},window=\"90s\"}} 1"),
        ]
    );
    assert_eq!(gauge(&metrics_of(&report), "parity.slo.burn_rate").len(), 2);
}

#[test]
fn endpoint_windows_are_delta_histograms_and_delta_sums() {
    let report = regression();
    let metrics = metrics_of(&report);
    let find =
        |name: &str| metrics.iter().find(|metric| metric.name == name).and_then(|metric| metric.data.clone());
    let Some(metric::Data::ExponentialHistogram(duration)) = find("parity.endpoint.duration") else {
        panic!("an exponential histogram");
    };
    assert_eq!(duration.aggregation_temporality, 1);
    let point = &duration.data_points[0];
    let positive = point.positive.as_ref().expect("buckets");
    assert_eq!((point.scale, point.zero_count, point.count, point.sum), (6, 1, 6, Some(1.25)));
    let buckets = positive.bucket_counts.iter().enumerate().filter(|(_, count)| **count > 0);
    let buckets: Vec<_> = buckets.map(|(at, count)| (positive.offset + at as i32, *count)).collect();
    // ⌈64 · log₂ of 0.18, 0.23, 0.26 and 0.4 s⌉ − 1.
    assert_eq!(buckets, [(-159, 2), (-136, 1), (-125, 1), (-85, 1)]);
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (END_NS - 60_000_000_000, END_NS));
    assert_eq!(
        identity(&point.attributes),
        "deployment.environment.name=prod service.name=checkout service.namespace=shop \
         parity.operation=POST /checkout span.kind=server"
    );
    let Some(metric::Data::Sum(calls)) = find("parity.endpoint.calls") else { panic!("a sum") };
    assert!(calls.is_monotonic && calls.aggregation_temporality == 1);
    let by_status: Vec<_> = calls
        .data_points
        .iter()
        .map(|point| (attribute(&point.attributes, "status.code").unwrap_or("?"), number(point)))
        .collect();
    assert_eq!(by_status, [("OK", 5.0), ("ERROR", 1.0)]);
    let Some(metric::Data::ExponentialHistogram(delay)) = find("parity.detection.delay") else {
        panic!("an exponential histogram");
    };
    assert_eq!((delay.data_points[0].count, delay.data_points[0].max), (1, Some(31.0)));
}

#[test]
fn requests_keep_to_their_size_and_lose_no_point() {
    let report = regression();
    let operations: Vec<SeriesKey> = (0..500).map(|n| series(&format!("GET /{n}"))).collect();
    let whole = requests(&report, &operations, usize::MAX);
    assert_eq!(whole.len(), 1);
    let points = |requests: &[ExportMetricsServiceRequest]| -> Vec<String> {
        let text = |metric: Metric| match metric.data {
            Some(metric::Data::Gauge(gauge)) => {
                gauge.data_points.iter().map(|p| format!("{} {p:?}", metric.name)).collect::<Vec<_>>()
            }
            Some(metric::Data::Sum(sum)) => {
                sum.data_points.iter().map(|p| format!("{} {p:?}", metric.name)).collect()
            }
            Some(metric::Data::ExponentialHistogram(histogram)) => {
                histogram.data_points.iter().map(|p| format!("{} {p:?}", metric.name)).collect()
            }
            other => panic!("isotel does not emit {other:?}"),
        };
        received(requests).into_iter().flat_map(text).collect()
    };
    for most in [1_000, 4_096, 65_536] {
        let requests = requests(&report, &operations, most);
        assert!(requests.iter().all(|request| request.encoded_len() <= most), "{most}");
        assert_eq!(points(&requests), points(&whole), "{most}");
        // Full requests: no more of them than twice what the bytes ask for.
        assert!(requests.len() <= 2 * whole[0].encoded_len() / (most / 2) + 1, "{most}: {}", requests.len());
    }
    // A limit below any point: each travels alone.
    let alone = requests(&report, &operations, 1);
    assert_eq!(points(&alone), points(&whole));
    assert!(alone.iter().all(|request| points(std::slice::from_ref(request)).len() == 1));
    let nothing = Results { judged: Vec::new(), endpoints: &|_| {}, timings: Vec::new() };
    export::metrics_requests(&nothing, &sender(), 1_000, &mut |request| panic!("{request:?}"));
}

#[test]
fn verdict_changes_and_findings_are_log_events() {
    let report = regression();
    let change = VerdictChange {
        comparison: "release-1.15".into(),
        baseline: "prod".into(),
        candidate: "canary".into(),
        service: Some("shop/checkout".into()),
        operation: Some("POST /checkout".into()),
        kind: Some("server".into()),
        from: Some(Verdict::Parity),
        to: Verdict::Divergent,
        score: 0.0,
        sentence: "POST /checkout is now divergent: p95 rose by 25 %.".into(),
        time_ns: END_NS,
    };
    let findings: Vec<FindingEvent<'_>> = report
        .findings
        .iter()
        .map(|finding| FindingEvent {
            comparison: "release-1.15",
            baseline: "prod",
            candidate: "canary",
            finding,
            time_ns: END_NS,
        })
        .collect();
    let requests = logs_requests(&[change], &findings, &sender(), END_NS + 7, REQUEST_BYTES_MOST);
    assert_eq!(requests.len(), 1);
    let bytes = requests[0].encode_to_vec();
    let decoded = ExportLogsServiceRequest::decode(bytes.as_slice()).expect("prost reads what it wrote");
    let records = &decoded.resource_logs[0].scope_logs[0].log_records;
    let heads: Vec<_> =
        records.iter().map(|record| (record.event_name.as_str(), record.severity_text.as_str())).collect();
    assert_eq!(
        heads,
        [
            ("parity.verdict.changed", "ERROR"),
            ("parity.finding", "ERROR"),
            ("parity.finding", "ERROR"),
            ("parity.finding", "WARN"),
            ("parity.finding", "INFO"),
        ]
    );
    assert!(records.iter().all(|record| record.time_unix_nano == END_NS));
    assert!(records.iter().all(|record| record.observed_time_unix_nano == END_NS + 7));
    assert_eq!(attribute(&records[0].attributes, "parity.verdict.previous"), Some("parity"));
    assert_eq!(attribute(&records[1].attributes, "parity.finding.id"), Some("latency-5f1c09a2"));
    assert_eq!(attribute(&records[2].attributes, "parity.evidence.codes"), Some("{\"500\":119,\"503\":8}"));
    let ratio = records[1].attributes.iter().find(|one| one.key == "parity.evidence.ratio");
    let value = ratio.and_then(|one| one.value.clone()).and_then(|value| value.value);
    assert_eq!(value, Some(any_value::Value::DoubleValue(1.25)));
    let small = logs_requests(&[], &findings, &sender(), END_NS, 1_200);
    assert!(small.len() > 1 && small.iter().all(|request| request.encoded_len() <= 1_200));
    assert!(logs_requests(&[], &[], &sender(), END_NS, 1_000).is_empty());
}

#[test]
fn prometheus_text_has_one_head_per_metric_no_sample_twice_and_no_nan() {
    let mut report = regression();
    report.score = f64::NAN;
    report.comparison = "quote \" backslash \\ line\nend".into();
    let text = prometheus::render(vec![&report, &report, &without_data()], None).collect::<String>();
    let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    assert_eq!(heads.len(), heads.iter().collect::<BTreeSet<_>>().len());
    let mut samples = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
        assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        assert!(samples.insert(series), "twice: {series}");
    }
    assert!(text.contains(r#"comparison="quote \" backslash \\ line\nend""#));
}
