//! Every bound is reached, counted, and costs nobody else anything.

use crate::build::{
    NOW, SECOND, START, counted, engine, finish, metrics, observe, resource, span, text, traces,
};
use isotel::engine::Engine;
use isotel::model::{Limit, Limits};
use opentelemetry_proto::tonic::metrics::v1::{Histogram, HistogramDataPoint, Metric, metric::Data};
use std::collections::BTreeMap;

fn hits(engine: &mut Engine) -> BTreeMap<String, u64> {
    let hits = finish(engine).limits_hit.into_iter();
    let split = |hit: String| hit.split_once(": ").map(|(limit, n)| (limit.to_owned(), n.parse().unwrap()));
    hits.map(|hit| split(hit).unwrap()).collect()
}

fn one(environment: &str, service: &str, pod: &str, route: &str) -> crate::build::Request {
    traces(resource(environment, service, pod), vec![span(route, START, 1_000, false)])
}

#[test]
fn environments_beyond_the_limit_are_counted_and_those_within_it_go_on() {
    let mut engine = engine(Limits { environments: 2, ..Limits::default() });
    for environment in ["prod", "canary", "attack-1", "attack-2", "prod"] {
        observe(&engine, &one(environment, "shop", "pod", "/")).unwrap();
    }
    assert_eq!(hits(&mut engine)[Limit::Environments.as_str()], 2);
    assert_eq!(counted(&engine)[&("prod".to_owned(), "GET /".to_owned())].0, 2);
}

#[test]
fn operations_beyond_the_limit_go_to_an_overflow_that_keeps_service_and_environment() {
    let mut engine = engine(Limits { operations_per_service: 3, ..Limits::default() });
    for n in 0..100 {
        observe(&engine, &one("prod", "shop", "pod", &format!("/attack/{}", letters(n)))).unwrap();
        observe(&engine, &one("prod", "honest", "pod", "/")).unwrap();
    }
    let hits = hits(&mut engine);
    assert!(hits[Limit::OperationsPerService.as_str()] > 0, "{hits:?}");
    let counts = counted(&engine);
    assert_eq!(counts[&("prod".to_owned(), "GET /".to_owned())].0, 100);
    assert_eq!(counts[&("prod".to_owned(), "{overflow}".to_owned())].0, 97);
    let catalog = engine.catalog();
    let series = engine.windows().flat_map(|window| window.cells.keys());
    let services: Vec<_> = series
        .map(|(_, series)| catalog.series_key(*series))
        .filter(|key| &*key.operation == "{overflow}")
        .map(|key| key.service.name.to_string())
        .collect();
    assert_eq!(services, ["shop"]);
}

/// A name that is no identifier, so that it is not templated.
fn letters(n: u32) -> String {
    let letter = |n: u32| char::from_u32(u32::from('a') + n % 26).unwrap();
    [letter(n / 26), letter(n), 'x'].iter().collect()
}

#[test]
fn services_and_series_beyond_the_limit_are_counted() {
    let mut few_services = engine(Limits { services: 2, ..Limits::default() });
    let mut few_series = engine(Limits { series: 3, ..Limits::default() });
    for n in 0..10 {
        observe(&few_services, &one("prod", &format!("s-{}", letters(n)), "pod", "/")).unwrap();
        observe(&few_series, &one("prod", "shop", "pod", &format!("/{}", letters(n)))).unwrap();
    }
    assert_eq!(hits(&mut few_services)[Limit::Services.as_str()], 8);
    assert!(hits(&mut few_series)[Limit::Series.as_str()] > 0);
    assert_eq!(counted(&few_series).values().map(|(n, _)| n).sum::<u64>(), 10, "nothing is lost");
}

#[test]
fn instances_beyond_the_limit_are_counted_as_one() {
    let mut engine = engine(Limits { instances_per_series: 4, ..Limits::default() });
    for n in 0..20 {
        observe(&engine, &one("prod", "shop", &format!("pod-{n}"), "/")).unwrap();
    }
    assert_eq!(hits(&mut engine)[Limit::InstancesPerSeries.as_str()], 16);
    let window = engine.windows().next().unwrap();
    let instances = &window.cells.values().next().unwrap().instances;
    assert_eq!(instances.values().map(|counts| counts.n).sum::<u64>(), 20);
    assert!(instances.len() <= 5, "{}", instances.len());
}

#[test]
fn items_and_shapes_beyond_the_limit_are_counted() {
    let mut few_items = engine(Limits { items: 5, ..Limits::default() });
    let mut few_shapes = engine(Limits { shapes_per_series: 2, ..Limits::default() });
    for n in 0..20 {
        let mut span = span("/", START, 1_000, false);
        span.attributes.push(text(&format!("key-{}", letters(n)), ""));
        let request = traces(resource("prod", "shop", "pod"), vec![span]);
        observe(&few_items, &request).unwrap();
        observe(&few_shapes, &request).unwrap();
    }
    assert!(hits(&mut few_items)[Limit::Items.as_str()] > 0);
    assert!(hits(&mut few_shapes)[Limit::ShapesPerSeries.as_str()] > 0);
    for engine in [&few_items, &few_shapes] {
        assert_eq!(counted(engine)[&("prod".to_owned(), "GET /".to_owned())].0, 20);
    }
}

#[test]
fn open_windows_beyond_the_limit_are_counted_and_memory_stays() {
    let mut engine = engine(Limits { open_windows: 4, ..Limits::default() });
    for n in 0..50 {
        let span = span("/", START + n * 10 * SECOND, 1_000, false);
        let (signal, bytes) = traces(resource("prod", "shop", "pod"), vec![span]);
        engine.ingest().observe(NOW, None, signal, &bytes).unwrap();
    }
    assert!(hits(&mut engine)[Limit::OpenWindows.as_str()] > 0);
    // Twice the limit, until the engine has sealed the older half; what found no place is late.
    assert_eq!(engine.windows().count(), 8);
    assert_eq!(engine.ingest().tally().late.values().sum::<u64>(), 42);
}

#[test]
fn metric_streams_beyond_the_limit_are_counted() {
    let mut engine = engine(Limits { metric_streams: 3, ..Limits::default() });
    for n in 0..20 {
        let point = HistogramDataPoint {
            attributes: vec![text("http.request.method", "GET"), text("http.route", &letters(n))],
            time_unix_nano: START,
            count: 2,
            bucket_counts: vec![1, 1],
            explicit_bounds: vec![0.1],
            ..HistogramDataPoint::default()
        };
        let data = Histogram { data_points: vec![point], aggregation_temporality: 2 };
        let metric = Metric {
            name: "http.server.request.duration".to_owned(),
            unit: "s".to_owned(),
            data: Some(Data::Histogram(data)),
            ..Metric::default()
        };
        observe(&engine, &metrics(resource("prod", "shop", "pod"), vec![metric])).unwrap();
    }
    assert_eq!(hits(&mut engine)[Limit::MetricStreams.as_str()], 17);
}
