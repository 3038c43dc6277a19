//! What senders get wrong: each is refused or told by name, and its good neighbours in the same request are kept.

use crate::build::*;
use isotel::engine::{Engine, Plan};
use isotel::judge::Report;
use isotel::judge::verdict::{Aspect, Finding};
use isotel::model::{EnvironmentRules, Limits};
use isotel::wire::Signal;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality::{Cumulative, Delta};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as NumberValue;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric, NumberDataPoint, Sum};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::BTreeMap;

const YEAR: u64 = 365 * 24 * 60 * MINUTE;

/// Judges good spans of both environments with bad ones among the canary's.
fn with_bad_spans(bad: Vec<Span>) -> (BTreeMap<&'static str, u64>, Report, Engine) {
    let mut engine = Engine::new(plan(), 2);
    let ingest = engine.ingest();
    let good = || [span(T0 + 1, MS), failed(span(T0 + 2, 2 * MS)), span(T0 + MINUTE, 3 * MS)];
    assert!(observe(&ingest, Signal::Traces, &traces(PROD, good().to_vec())).is_empty());
    let [first, rest @ ..] = good();
    let mixed = [vec![first], bad, rest.to_vec()].concat();
    let refused = observe(&ingest, Signal::Traces, &traces(CANARY, mixed));
    let report = finish(&mut engine);
    (refused, report, engine)
}

/// The three good spans of each environment are there, with the one that failed.
#[track_caller]
fn good_neighbours_are_kept(report: &Report) {
    let operation =
        report.services[0].operations.iter().find(|op| *op.operation == *"GET /cart").expect("judged");
    let errors = |counts: &isotel::judge::verdict::ErrorCounts| (counts.n, counts.errors);
    assert_eq!((operation.latency.n_baseline, operation.latency.n_candidate), (3, 3));
    assert_eq!((errors(&operation.errors.baseline), errors(&operation.errors.candidate)), ((3, 1), (3, 1)));
}

#[track_caller]
fn refused_alone(bad: Vec<Span>, reason: &str) {
    let n = bad.len() as u64;
    let (refused, report, engine) = with_bad_spans(bad);
    assert_eq!(refused, BTreeMap::from([(reason, n)]));
    assert_eq!(report.input.rejected, BTreeMap::from([(reason.to_owned(), n)]));
    assert_eq!(report.input.spans, 6, "accepted");
    assert_eq!(report.period.windows, 2, "no window of what was refused");
    assert_eq!(spans_by_operation(&engine).values().sum::<u64>(), 6);
    good_neighbours_are_kept(&report);
}

#[test]
fn spans_of_a_clock_that_was_never_set_are_refused() {
    let of = |start: u64, end: u64| Span { start_time_unix_nano: start, ..span(end, 0) };
    refused_alone(
        vec![of(0, 0), of(1, 2), of(3 * MINUTE, 4 * MINUTE), of(9 * YEAR, 9 * YEAR + MS)],
        "time_unset",
    );
}

#[test]
fn a_span_whose_start_was_never_set_is_refused_instead_of_taking_decades() {
    refused_alone(
        vec![Span { start_time_unix_nano: 0, ..span(T0, 0) }, span(T0 + 5, T0 - MINUTE)],
        "time_unset",
    );
}

#[test]
fn spans_of_next_year_are_refused_and_those_within_the_skew_are_not() {
    let skew = Limits::default().future_skew_ns;
    refused_alone(vec![span(NOW + YEAR, MS), span(NOW + skew + 1, MS), span(u64::MAX, MS)], "time_in_future");
    let (refused, report, engine) = with_bad_spans(vec![span(NOW + skew, MS)]);
    assert!(refused.is_empty() && report.input.rejected.is_empty());
    assert_eq!(spans_by_operation(&engine)[&("canary".to_owned(), "GET /cart".to_owned())], 4);
}

#[test]
fn a_span_that_ends_before_it_starts_is_refused() {
    let span = Span { start_time_unix_nano: T0 + 2, ..span(T0 + 1, 0) };
    refused_alone(vec![span.clone(), span], "end_before_start");
}

#[test]
fn spans_with_bad_ids_are_refused_by_what_is_bad() {
    let with = |trace_id: Vec<u8>, span_id: Vec<u8>, parent_span_id: Vec<u8>| {
        vec![Span { trace_id, span_id, parent_span_id, ..span(T0 + 1, MS) }]
    };
    refused_alone(with(vec![1; 15], vec![1; 8], vec![]), "trace_id_length");
    refused_alone(with(vec![], vec![1; 8], vec![]), "trace_id_length");
    refused_alone(with(vec![0; 16], vec![1; 8], vec![]), "trace_id_zero");
    refused_alone(with(vec![1; 16], vec![1; 16], vec![]), "span_id_length");
    refused_alone(with(vec![1; 16], vec![0; 8], vec![]), "span_id_zero");
    refused_alone(with(vec![1; 16], vec![1; 8], vec![1; 4]), "parent_span_id_length");
}

#[test]
fn a_request_that_is_cut_off_leaves_nothing_behind() {
    let mut engine = Engine::new(plan(), 1);
    let ingest = engine.ingest();
    let whole = traces(PROD, vec![span(T0, MS), span(T0, MS)]);
    for end in [1, whole.len() / 2, whole.len() - 1] {
        let error = ingest.observe(NOW, None, Signal::Traces, &whole[..end]).expect_err("cut off");
        assert!(error.to_string().starts_with("malformed OTLP request: "), "{error}");
    }
    assert_eq!(ingest.tally(), Engine::new(plan(), 1).ingest().tally());
    assert!(observe(&ingest, Signal::Traces, &whole).is_empty());
    engine.finish(NOW, GENERATED_AT);
    assert_eq!(spans_by_operation(&engine).into_values().collect::<Vec<_>>(), [2]);
}

#[test]
fn metric_values_that_are_no_numbers_are_refused_and_counted() {
    let mut engine = Engine::new(plan(), 1);
    let ingest = engine.ingest();
    let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let mut list: Vec<Metric> = bad.iter().map(|value| gauge("queue.depth", T0, *value)).collect();
    list.push(gauge("queue.depth", T0, 1.5));
    let mut sum = durations(T0, T0 + 1, [2, 3]);
    sum.sum = Some(f64::NAN);
    list.push(histogram(Delta, vec![sum, durations(T0, T0 + 2, [4, 5])]));
    for sender in [PROD, CANARY] {
        assert_eq!(
            observe(&ingest, Signal::Metrics, &metrics(sender, list.clone())),
            [("not_finite", 4)].into()
        );
    }
    let report = finish(&mut engine);
    assert_eq!((report.input.metric_points, report.input.rejected["not_finite"]), (4, 8));
    assert_eq!(report.services[0].operations[0].latency.n_candidate, 9);
    assert_eq!(report.services[0].coverage.missing, Vec::<String>::new());
}

#[test]
fn a_histogram_that_contradicts_itself_is_refused_alone() {
    let good = || durations(T0, T0 + 1, [2, 3]);
    let bad = [
        ("bucket_count_mismatch", HistogramDataPoint { explicit_bounds: vec![0.1, 0.2], ..good() }),
        (
            "bounds_not_ascending",
            HistogramDataPoint { explicit_bounds: vec![0.2, 0.1], bucket_counts: vec![2, 3, 0], ..good() },
        ),
        ("count_mismatch", HistogramDataPoint { count: 6, ..good() }),
    ];
    for (reason, point) in bad {
        let mut engine = Engine::new(plan(), 1);
        let list = vec![histogram(Delta, vec![good(), point, good()])];
        assert_eq!(observe(&engine.ingest(), Signal::Metrics, &metrics(PROD, list)), [(reason, 1)].into());
        engine.finish(NOW, GENERATED_AT);
        assert_eq!(metric_requests(&engine), BTreeMap::from([(0, 10)]), "{reason}");
    }
}

#[test]
fn a_span_with_values_nested_without_end_is_refused() {
    let mut value = AnyValue::default();
    for _ in 0..40 {
        value = AnyValue { value: Some(Value::ArrayValue(ArrayValue { values: vec![value] })) };
    }
    let mut deep = span(T0 + 1, MS);
    deep.attributes.extend(value.value.map(|value| attribute("deep", value)));
    refused_alone(vec![deep], "nesting_too_deep");
}

#[test]
fn metric_points_without_a_true_time_are_refused_and_logs_are_dated_by_arrival() {
    let mut engine = Engine::new(plan(), 1);
    let ingest = engine.ingest();
    let list =
        vec![gauge("a", 0, 1.0), gauge("a", MINUTE, 1.0), gauge("a", NOW + YEAR, 1.0), gauge("a", T0, 1.0)];
    let refused = observe(&ingest, Signal::Metrics, &metrics(PROD, list));
    assert_eq!(refused, [("time_unset", 2), ("time_in_future", 1)].into());
    let record = |time: u64, observed: u64| LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: observed,
        severity_number: 9,
        ..LogRecord::default()
    };
    let records =
        vec![record(0, 0), record(0, T0), record(T0, 0), record(5, T0), record(5, 0), record(NOW + YEAR, T0)];
    let refused = observe(&ingest, Signal::Logs, &logs(PROD, records));
    assert_eq!(refused, [("time_unset", 2), ("time_in_future", 1)].into());
    let report = finish(&mut engine);
    assert_eq!((report.input.metric_points, report.input.log_records), (1, 3));
    assert_eq!(report.period.windows, 2, "that of the telemetry and that of its arrival");
}

#[test]
fn a_metric_without_a_name_is_refused_and_other_empty_names_have_a_word() {
    let mut engine = Engine::new(plan(), 1);
    let ingest = engine.ingest();
    let nameless = Sender { service: "", ..PROD };
    let list = vec![gauge("", T0, 1.0), gauge("a", T0, 1.0)];
    assert_eq!(
        observe(&ingest, Signal::Metrics, &metrics(nameless, list)),
        [("empty_metric_name", 1)].into()
    );
    let bare = Span { name: String::new(), attributes: Vec::new(), ..span(T0, MS) };
    let odd = Span { attributes: vec![text("", "x"), text("http.route", "")], ..bare.clone() };
    assert!(observe(&ingest, Signal::Traces, &traces(nameless, vec![bare, odd])).is_empty());
    engine.finish(NOW, GENERATED_AT);
    let keys: Vec<_> =
        cells(&engine).into_iter().map(|(key, cell)| (key.2, key.3, cell.latency.n())).collect();
    assert_eq!(keys, [("unknown_service".to_owned(), "unknown".to_owned(), 2)]);
}

#[test]
fn megabyte_names_and_values_are_cut_and_cost_no_span() {
    let huge = "é".repeat(1 << 19);
    let attributes = vec![
        text("http.request.method", "GET"),
        text("http.route", &huge),
        text(&huge, "short"),
        text("long", &huge),
        attribute("bytes", Value::BytesValue(vec![7; 1 << 20])),
    ];
    let big = Span { name: huge.clone(), attributes, ..span(T0 + 3, MS) };
    let (refused, report, engine) = with_bad_spans(vec![big.clone(), big]);
    assert!(refused.is_empty());
    good_neighbours_are_kept(&report);
    let limit = Limits::default().name_bytes;
    let names: Vec<String> =
        spans_by_operation(&engine).into_keys().map(|(_, operation)| operation).collect();
    assert!(
        names.iter().any(|name| name.starts_with("GET é")) && names.iter().all(|name| name.len() <= limit)
    );
    let longest = engine.windows().flat_map(|window| &window.presence).map(|((_, item), seen)| {
        let len = engine.names().item_key(*item).name.len();
        (len, seen.count)
    });
    assert_eq!(longest.max(), Some((limit, 2)), "the long key is kept, cut, with its count");
    assert_eq!(hits(&report, "name_bytes"), 2, "an operation and a key");
}

#[test]
fn a_megabyte_environment_is_one_environment_however_often_it_comes() {
    let mut engine = Engine::new(plan(), 1);
    let ingest = engine.ingest();
    let huge = "e".repeat(1 << 20);
    for instance in ["a", "b", "c"] {
        let sender = Sender { environment: &huge, instance, ..PROD };
        assert!(observe(&ingest, Signal::Traces, &traces(sender, vec![span(T0, MS)])).is_empty());
    }
    for sender in [PROD, CANARY] {
        observe(&ingest, Signal::Traces, &traces(sender, vec![span(T0, MS)]));
    }
    let report = finish(&mut engine);
    assert_eq!(engine.names().environments().len(), 3);
    assert_eq!(spans_by_operation(&engine).into_values().collect::<Vec<_>>(), [1, 3, 1]);
    assert_eq!(hits(&report, "name_bytes"), 1);
}

/// A counter where the others have a gauge.
fn counter(name: &str, time_ns: u64) -> Metric {
    let value = Some(NumberValue::AsInt(3));
    let point = NumberDataPoint { time_unix_nano: time_ns, value, ..NumberDataPoint::default() };
    let sum = Sum { data_points: vec![point], aggregation_temporality: 2, is_monotonic: true };
    Metric { data: Some(Data::Sum(sum)), ..gauge(name, time_ns, 0.0) }
}

#[test]
fn a_metric_that_changes_its_type_midway_is_one_metric_with_a_finding_of_its_form() {
    let mut engine = Engine::new(plan(), 2);
    let ingest = engine.ingest();
    for window in 0..10 {
        let time = T0 + window * MINUTE;
        let changed = if window < 5 { gauge("queue", time, 1.0) } else { counter("queue", time) };
        for (sender, metric) in [(PROD, gauge("queue", time, 1.0)), (CANARY, changed)] {
            let steady = gauge("steady", time, 1.0);
            assert!(observe(&ingest, Signal::Metrics, &metrics(sender, vec![metric, steady])).is_empty());
        }
    }
    let report = finish(&mut engine);
    assert_eq!(report.input.metric_points, 40);
    let coverage = &report.services[0].coverage;
    // Both metrics, the resource and its two attributes, and the scope.
    assert_eq!((coverage.expected, coverage.present), (6, 6));
    let told = [
        "metric queue: instrument gauge in the baseline, gauge and sum in the candidate",
        "metric queue: value type double in the baseline, double and int in the candidate",
    ];
    assert_eq!(coverage.shape, told);
    assert!(report.findings.iter().any(|finding| finding.aspect == Aspect::Shape));
}

#[test]
fn a_histogram_that_changes_its_bounds_and_temporality_midway_loses_no_request() {
    let mut engine = Engine::new(plan(), 2);
    let ingest = engine.ingest();
    let mut other_bounds = durations(T0, T0 + MINUTE + 2, [3, 4]);
    other_bounds.explicit_bounds = vec![0.2];
    let list = vec![
        histogram(Delta, vec![durations(T0, T0 + 1, [1, 2]), durations(T0, T0 + MINUTE + 1, [1, 2])]),
        histogram(Delta, vec![other_bounds]),
        histogram(Cumulative, vec![durations(T0 + 2 * MINUTE, T0 + 2 * MINUTE + 5, [5, 0])]),
    ];
    assert!(observe(&ingest, Signal::Metrics, &metrics(PROD, list)).is_empty());
    engine.finish(NOW, GENERATED_AT);
    assert_eq!(metric_requests(&engine), BTreeMap::from([(0, 3), (1, 10), (2, 5)]));
}

#[test]
fn counts_and_sums_without_measure_break_nothing() {
    for temporality in [Delta, Cumulative] {
        let mut engine = Engine::new(plan(), 2);
        let ingest = engine.ingest();
        for (at, instance) in ["a", "b", "c", "d"].into_iter().enumerate() {
            for window in 0..3 {
                let time = T0 + window * MINUTE + at as u64;
                let mut one = durations(T0, time, [u64::MAX - 1, 1]);
                one.sum = Some([f64::MAX, f64::MIN][at % 2]);
                let mut other = durations(T0, time + 1, [1, u64::MAX - 1]);
                other.sum = Some(f64::MAX);
                let mut failing = durations(T0, time, [u64::MAX, 0]);
                failing.attributes.push(attribute("http.response.status_code", Value::IntValue(500)));
                for environment in ["prod", "canary"] {
                    let sender = Sender { environment, instance, ..PROD };
                    let list =
                        vec![histogram(temporality, vec![one.clone(), other.clone(), failing.clone()])];
                    assert!(observe(&ingest, Signal::Metrics, &metrics(sender, list)).is_empty());
                }
            }
            for sender in [PROD, CANARY] {
                observe(
                    &ingest,
                    Signal::Traces,
                    &traces(sender, vec![span_of("/good", T0), span_of("/good", T0)]),
                );
            }
        }
        let report = finish(&mut engine);
        let operations = &report.services[0].operations;
        let good = operations.iter().find(|op| *op.operation == *"GET /good").expect("judged");
        assert_eq!((good.latency.n_baseline, good.latency.n_candidate), (8, 8));
        let huge = operations.iter().find(|op| *op.operation == *"GET /cart").expect("judged");
        assert_eq!((huge.latency.n_baseline, huge.latency.n_candidate), (u64::MAX, u64::MAX));
    }
}

#[test]
fn adjusted_counts_beyond_measure_break_nothing() {
    let rare = Span { trace_state: "ot=th:ffffffffffffff".to_owned(), ..failed(span(T0 + 3, MS)) };
    let (refused, report, engine) = with_bad_spans(vec![rare; 3]);
    assert!(refused.is_empty());
    for cell in cells(&engine).values() {
        assert!(
            cell.error_weight <= cell.latency.weight(),
            "{} of {}",
            cell.error_weight,
            cell.latency.weight()
        );
    }
    assert_eq!(report.services[0].operations[0].latency.n_candidate, 6);
}

fn titled<'r>(report: &'r Report, title: &str) -> &'r Finding {
    report
        .findings
        .iter()
        .find(|finding| finding.title == title)
        .unwrap_or_else(|| panic!("{:#?}", report.findings))
}

#[test]
fn telemetry_of_no_environment_is_counted_and_told_by_service() {
    let mut engine = Engine::new(plan(), 2);
    let ingest = engine.ingest();
    let lost = Sender { environment: "", ..PROD };
    observe(&ingest, Signal::Traces, &traces(lost, vec![span(T0, MS), span(T0, MS)]));
    observe(&ingest, Signal::Metrics, &metrics(lost, vec![gauge("a", T0, 1.0)]));
    observe(&ingest, Signal::Logs, &logs(lost, vec![LogRecord::default()]));
    for sender in [PROD, CANARY] {
        observe(&ingest, Signal::Traces, &traces(sender, vec![span(T0, MS)]));
    }
    let report = finish(&mut engine);
    let finding = titled(&report, "no environment");
    assert_eq!((finding.service.as_deref(), &finding.evidence["items"]), (Some("cart"), &4.into()));
    assert_eq!(report.input.rejected, BTreeMap::from([("no_environment".to_owned(), 4)]));
    assert_eq!((report.input.spans, report.input.metric_points, report.input.log_records), (4, 1, 1));
    assert_eq!(spans_by_operation(&engine).into_values().collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn an_environment_that_never_came_is_told_with_those_that_did() {
    let mut engine = Engine::new(plan(), 1);
    for environment in ["prod", "canary-eu", "canary-us"] {
        let sender = Sender { environment, ..PROD };
        observe(&engine.ingest(), Signal::Traces, &traces(sender, vec![span(T0, MS)]));
    }
    let report = finish(&mut engine);
    let told = "Nothing has arrived from the environment canary; seen: canary-eu, canary-us, prod.";
    assert_eq!(titled(&report, "environment not seen").message, told);
}

#[test]
fn an_empty_environment_is_none_on_resources_and_data_points_alike() {
    let environments = EnvironmentRules { default: Some("rest".to_owned()), ..EnvironmentRules::default() };
    for (rules, expected) in [(EnvironmentRules::default(), vec![]), (environments, vec!["rest"])] {
        let mut engine = Engine::new(Plan { environments: rules, ..plan() }, 1);
        let ingest = engine.ingest();
        let mut resource = Sender { environment: "", ..PROD }.resource();
        resource.attributes.push(text("deployment.environment.name", ""));
        observe(&ingest, Signal::Traces, &traces_of(resource, vec![span(T0, MS)]));
        let mut point = durations(T0, T0 + 1, [1, 1]);
        point.attributes.push(text("deployment.environment.name", ""));
        let list = vec![histogram(Delta, vec![point])];
        observe(&ingest, Signal::Metrics, &metrics(Sender { environment: "", ..PROD }, list));
        engine.finish(NOW, GENERATED_AT);
        let seen: Vec<String> = engine.names().environments().iter().map(|name| name.to_string()).collect();
        assert_eq!(seen, expected);
    }
}

#[test]
fn span_metrics_may_name_environment_and_service_on_their_points() {
    let mut engine = Engine::new(plan(), 1);
    let mut point = durations(T0, T0 + 1, [2, 1]);
    point.attributes.extend([text("deployment.environment.name", "canary"), text("service.name", "pay")]);
    let sender = Sender { environment: "", service: "collector", instance: "" };
    observe(&engine.ingest(), Signal::Metrics, &metrics(sender, vec![histogram(Delta, vec![point])]));
    engine.finish(NOW, GENERATED_AT);
    let keys: Vec<_> = cells(&engine).into_keys().map(|key| (key.1, key.2, key.3)).collect();
    assert_eq!(keys, [("canary".to_owned(), "pay".to_owned(), "GET /cart".to_owned())]);
}
