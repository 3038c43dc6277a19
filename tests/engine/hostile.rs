//! Bad items are refused by name, and their neighbours counted.

use crate::build::{
    NOW, Request, SECOND, START, counted, engine, finish, metrics, observe, resource, span, text, traces,
};
use isotel::engine::Engine;
use isotel::model::Limits;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum, metric::Data,
    number_data_point::Value,
};
use opentelemetry_proto::tonic::trace::v1::Span;

const DAY: u64 = 86_400 * SECOND;

fn good() -> Span {
    span("/", START, 5_000_000, false)
}

fn of(span: Span) -> Request {
    traces(resource("prod", "shop", "pod"), vec![good(), span, good()])
}

/// Refusals by reason after one request, with the spans that were counted.
fn after(request: &Request) -> (Vec<(&'static str, u64)>, u64, Engine) {
    let mut engine = engine(Limits::default());
    observe(&engine, request).unwrap();
    let refused = engine.ingest().tally().refused.into_iter().filter(|(_, n)| *n > 0).collect();
    engine.finish(NOW, "");
    let spans = counted(&engine).values().map(|(n, _)| n).sum();
    (refused, spans, engine)
}

#[test]
fn a_bad_span_loses_only_itself_and_its_reason_is_counted() {
    type Break = fn(&mut Span);
    let table: [(&str, Break); 9] = [
        ("end_before_start", |span| span.start_time_unix_nano = span.end_time_unix_nano + 1),
        ("time_unset", |span| {
            (span.start_time_unix_nano, span.end_time_unix_nano) = (0, 0);
        }),
        ("time_in_future", |span| {
            span.start_time_unix_nano += 365 * DAY;
            span.end_time_unix_nano += 365 * DAY;
        }),
        ("trace_id_length", |span| span.trace_id = vec![1; 15]),
        ("trace_id_zero", |span| span.trace_id = vec![0; 16]),
        ("span_id_length", |span| span.span_id = vec![1; 9]),
        ("span_id_zero", |span| span.span_id = vec![0; 8]),
        ("parent_span_id_length", |span| span.parent_span_id = vec![1; 3]),
        ("nesting_too_deep", |span| span.attributes.push(nested(40))),
    ];
    for (reason, break_it) in table {
        let mut bad = good();
        break_it(&mut bad);
        let (refused, spans, _) = after(&of(bad));
        assert_eq!(refused, [(reason, 1)]);
        assert_eq!(spans, 2, "{reason}: the neighbours are kept");
    }
}

fn nested(depth: usize) -> opentelemetry_proto::tonic::common::v1::KeyValue {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, any_value::Value};
    let mut value = AnyValue { value: Some(Value::BoolValue(true)) };
    for _ in 0..depth {
        value = AnyValue { value: Some(Value::ArrayValue(ArrayValue { values: vec![value] })) };
    }
    let mut attribute = text("deep", "");
    attribute.value = Some(value);
    attribute
}

#[test]
fn a_span_of_1970_is_refused_and_disturbs_no_other() {
    let mut engine = engine(Limits::default());
    let refused = observe(&engine, &of(span("/", 5_000_000_000, 1_000, false))).unwrap();
    assert_eq!(refused.total(), 1);
    observe(&engine, &traces(resource("canary", "shop", "pod"), vec![good()])).unwrap();
    let report = finish(&mut engine);
    assert_eq!(report.input.rejected["time_unset"], 1);
    assert_eq!(counted(&engine).values().map(|(n, _)| n).sum::<u64>(), 3);
    assert_eq!(report.period.start.as_deref(), Some("2026-01-01T00:00:00Z"));
}

#[test]
fn empty_names_and_megabyte_attributes_are_taken_as_they_are_and_kept_short() {
    let mut nameless = good();
    nameless.name = String::new();
    nameless.attributes.clear();
    nameless.attributes.push(text(&"k".repeat(1 << 20), &"v".repeat(1 << 20)));
    let mut long = good();
    long.attributes = vec![text("http.request.method", "GET"), text("http.route", &"r".repeat(1 << 20))];
    let (refused, spans, engine) =
        after(&traces(resource("prod", &"s".repeat(1 << 20), "pod"), vec![nameless, long]));
    assert_eq!((refused, spans), (vec![], 2));
    let longest = counted_names(&engine).iter().map(String::len).max().unwrap();
    assert!(longest <= Limits::default().name_bytes, "{longest}");
}

fn counted_names(engine: &Engine) -> Vec<String> {
    let catalog = engine.catalog();
    let mut names = Vec::new();
    for window in engine.windows() {
        for (_, series) in window.cells.keys() {
            let key = catalog.series_key(*series);
            names.extend([key.operation.to_string(), key.service.name.to_string()]);
        }
        for (_, item) in window.presence.keys() {
            names.push(catalog.item_key(*item).name.to_string());
        }
    }
    names
}

#[test]
fn telemetry_without_an_environment_is_counted_and_named_in_a_finding() {
    let mut engine = engine(Limits::default());
    for environment in ["prod", "canary", ""] {
        observe(&engine, &traces(resource(environment, "shop", "pod"), vec![good(), good()])).unwrap();
    }
    let report = finish(&mut engine);
    let finding = report.findings.iter().find(|finding| finding.title == "no environment").unwrap();
    assert_eq!(finding.service.as_deref(), Some("shop"));
    assert_eq!(finding.evidence["items"], 2);
    assert_eq!(counted(&engine).values().map(|(n, _)| n).sum::<u64>(), 4);
}

#[test]
fn malformed_bytes_are_refused_whole_and_nothing_of_them_is_counted() {
    let (signal, bytes) = of(good());
    for cut in [1, bytes.len() / 2, bytes.len() - 1] {
        let mut engine = engine(Limits::default());
        let cut_off = (signal, bytes[..cut].to_vec());
        assert!(observe(&engine, &cut_off).is_err(), "{cut} of {} bytes", bytes.len());
        engine.finish(NOW, "");
        assert_eq!(counted(&engine).len(), 0, "{cut}");
    }
}

fn named(name: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), unit: "s".to_owned(), data: Some(data), ..Metric::default() }
}

fn gauge(value: f64) -> Data {
    let point = NumberDataPoint {
        time_unix_nano: START,
        value: Some(Value::AsDouble(value)),
        ..NumberDataPoint::default()
    };
    Data::Gauge(Gauge { data_points: vec![point] })
}

fn histogram(bounds: Vec<f64>, bucket_counts: Vec<u64>, count: u64, sum: f64) -> Data {
    let point = HistogramDataPoint {
        time_unix_nano: START,
        start_time_unix_nano: START - SECOND,
        count,
        sum: Some(sum),
        bucket_counts,
        explicit_bounds: bounds,
        ..HistogramDataPoint::default()
    };
    Data::Histogram(Histogram { data_points: vec![point], aggregation_temporality: 1 })
}

#[test]
fn a_bad_point_loses_only_itself_and_its_reason_is_counted() {
    let table = [
        ("not_finite", named("queue", gauge(f64::NAN))),
        ("not_finite", named("queue", gauge(f64::INFINITY))),
        ("empty_metric_name", named("", gauge(1.0))),
        ("bucket_count_mismatch", named("h", histogram(vec![1.0, 2.0], vec![1, 1], 2, 1.0))),
        ("bounds_not_ascending", named("h", histogram(vec![2.0, 1.0], vec![1, 1, 1], 3, 1.0))),
        ("count_mismatch", named("h", histogram(vec![1.0], vec![1, 1], 7, 1.0))),
    ];
    for (reason, bad) in table {
        let good = || named("good", gauge(1.0));
        let request = metrics(resource("prod", "shop", "pod"), vec![good(), bad, good()]);
        let (refused, _, engine) = after(&request);
        assert_eq!(refused, [(reason, 1)]);
        assert_eq!(engine.ingest().tally().metric_points, 2, "{reason}: the neighbours are kept");
    }
}

#[test]
fn a_metric_that_changes_its_type_midway_is_a_finding_of_shape_and_keeps_both_forms() {
    let mut engine = engine(Limits::default());
    let point = NumberDataPoint {
        time_unix_nano: START + 60 * SECOND,
        value: Some(Value::AsInt(3)),
        ..NumberDataPoint::default()
    };
    let sum = Data::Sum(Sum { data_points: vec![point], aggregation_temporality: 2, is_monotonic: true });
    for (environment, data) in [("prod", gauge(1.0)), ("canary", gauge(1.0)), ("canary", sum)] {
        let request = metrics(resource(environment, "shop", "pod"), vec![named("queue", data)]);
        assert_eq!(observe(&engine, &request).unwrap().total(), 0);
    }
    let report = finish(&mut engine);
    let shape = &report.services[0].coverage.shape;
    assert_eq!(shape.len(), 1, "{shape:?}");
    assert!(shape[0].contains("gauge") && shape[0].contains("sum"), "{shape:?}");
}
