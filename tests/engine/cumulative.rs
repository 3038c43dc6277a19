//! Cumulative histograms count what happened since the point before, whatever the sender does.

use crate::build::{NOW, SECOND, START, engine, metrics, observe, resource, span};
use isotel::model::Limits;
use opentelemetry_proto::tonic::metrics::v1::{Histogram, HistogramDataPoint, Metric, metric::Data};

/// A cumulative point: seconds after the start, when its stream began, and its bucket counts.
type Point = (u64, u64, [u64; 3]);

/// Requests counted in all windows after some points, and their buckets.
fn counted(points: &[Point]) -> (u64, Vec<f64>) {
    let mut engine = engine(Limits::default());
    for (at_s, began_s, bucket_counts) in points {
        let point = HistogramDataPoint {
            attributes: span("/", START, 1, false).attributes,
            start_time_unix_nano: START + began_s * SECOND,
            time_unix_nano: START + at_s * SECOND,
            count: bucket_counts.iter().sum(),
            sum: Some(bucket_counts.iter().sum::<u64>() as f64 * 0.01),
            bucket_counts: bucket_counts.to_vec(),
            explicit_bounds: vec![0.01, 0.1],
            ..HistogramDataPoint::default()
        };
        let data = Data::Histogram(Histogram { data_points: vec![point], aggregation_temporality: 2 });
        let metric = Metric {
            name: "http.server.request.duration".to_owned(),
            unit: "s".to_owned(),
            data: Some(data),
            ..Metric::default()
        };
        observe(&engine, &metrics(resource("prod", "shop", "pod"), vec![metric])).unwrap();
    }
    engine.finish(NOW, "");
    let mut all = isotel::sketch::MetricSketch::default();
    for cell in engine.windows().flat_map(|window| window.cells.values()) {
        cell.metrics.values().for_each(|sketch| all.merge(sketch));
    }
    (all.n, all.distribution().bins().iter().map(|bin| bin.count).collect())
}

#[test]
fn growth_is_counted_once_even_when_a_point_is_sent_twice() {
    let points = [(1, 0, [1, 1, 0]), (21, 0, [2, 3, 0]), (21, 0, [2, 3, 0]), (31, 0, [2, 3, 4])];
    assert_eq!(counted(&points), (9, vec![2.0, 3.0, 4.0]));
}

#[test]
fn a_restart_begins_anew_from_its_start_time() {
    assert_eq!(counted(&[(1, 0, [5, 5, 0]), (21, 15, [1, 0, 2])]), (13, vec![6.0, 5.0, 2.0]));
}

#[test]
fn a_fall_without_a_new_start_time_is_a_restart_too() {
    assert_eq!(counted(&[(1, 0, [5, 5, 0]), (21, 0, [1, 0, 2])]), (13, vec![6.0, 5.0, 2.0]));
}

#[test]
fn what_a_stream_counted_before_it_was_observed_is_left_out() {
    // Other telemetry shows when observation began; the stream is older.
    let before = [(11, 0, [5, 5, 0]), (21, 0, [6, 5, 2])];
    assert_eq!(counted(&before), (3, vec![1.0, 2.0]));
}
