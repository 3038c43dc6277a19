//! Metrics of the same traffic: `http.server.request.duration` as SDKs export it, and counters and gauges.

use super::{NOW_NS, START_NS, Traffic, int, scope, text};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, number_data_point,
};
use rand::Rng;

/// The semantic conventions' bounds for HTTP durations, seconds.
const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Where SDKs end up for a spread of some four octaves: under 160 buckets.
const SCALE: i32 = 5;
/// Requests in one data point.
const COUNT: usize = 500;
const CUMULATIVE: i32 = 2;

impl Traffic {
    /// Explicit-bucket histograms, this many data points from four resources.
    pub fn explicit(&mut self, points: usize) -> ExportMetricsServiceRequest {
        self.histograms(points, |points| {
            let data_points = points.into_iter().map(explicit_point).collect();
            Data::Histogram(Histogram { data_points, aggregation_temporality: CUMULATIVE })
        })
    }

    /// Base-2 exponential histograms, this many data points from four resources.
    pub fn exponential(&mut self, points: usize) -> ExportMetricsServiceRequest {
        self.histograms(points, |points| {
            let data_points = points.into_iter().map(exponential_point).collect();
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points,
                aggregation_temporality: CUMULATIVE,
            })
        })
    }

    /// A counter's or a gauge's points, this many from four resources.
    pub fn numbers(&mut self, points: usize, counter: bool) -> ExportMetricsServiceRequest {
        let mut request = self.histograms(points, |points| {
            let data_points: Vec<_> = points.into_iter().map(number_point).collect();
            match counter {
                true => {
                    Data::Sum(Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic: true })
                }
                false => Data::Gauge(Gauge { data_points }),
            }
        });
        for metric in request.resource_metrics.iter_mut().flat_map(|sent| &mut sent.scope_metrics) {
            metric.metrics.iter_mut().for_each(|metric| "app.jobs".clone_into(&mut metric.name));
        }
        request
    }

    fn histograms(
        &mut self,
        points: usize,
        data: impl Fn(Vec<Point>) -> Data,
    ) -> ExportMetricsServiceRequest {
        let mut resource_metrics = Vec::new();
        for _ in 0..super::RESOURCES_PER_REQUEST {
            let service = self.random.random_range(0..self.services.len());
            let environment = self.random.random_range(0..self.environments);
            let points = (0..points / super::RESOURCES_PER_REQUEST).map(|at| self.point(at)).collect();
            let metric = Metric {
                name: "http.server.request.duration".to_owned(),
                description: "Duration of HTTP server requests.".to_owned(),
                unit: "s".to_owned(),
                data: Some(data(points)),
                ..Metric::default()
            };
            resource_metrics.push(ResourceMetrics {
                resource: Some(self.resource(service, environment)),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(scope()),
                    metrics: vec![metric],
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            });
        }
        ExportMetricsServiceRequest { resource_metrics }
    }

    fn point(&mut self, at: usize) -> Point {
        let median_ns = 1e6 * 200f64.powf(self.random.random::<f64>());
        let attributes = vec![
            text("http.request.method", "GET"),
            text("http.route", &format!("/api/v1/{}/{{id}}", super::NOUNS[at % super::NOUNS.len()])),
            int("http.response.status_code", 200 + at as i64 / super::NOUNS.len() as i64),
            text("url.scheme", "https"),
            text("network.protocol.version", "2"),
        ];
        let seconds = (0..COUNT).map(|_| self.duration_ns(median_ns) as f64 / 1e9).collect();
        Point { attributes, seconds }
    }
}

/// What one data point counts.
struct Point {
    attributes: Vec<KeyValue>,
    seconds: Vec<f64>,
}

impl Point {
    fn sum(&self) -> Option<f64> {
        Some(self.seconds.iter().sum())
    }

    fn min(&self) -> Option<f64> {
        self.seconds.iter().copied().reduce(f64::min)
    }

    fn max(&self) -> Option<f64> {
        self.seconds.iter().copied().reduce(f64::max)
    }
}

fn number_point(point: Point) -> NumberDataPoint {
    NumberDataPoint {
        start_time_unix_nano: START_NS,
        time_unix_nano: NOW_NS - 1,
        value: point.sum().map(number_data_point::Value::AsDouble),
        attributes: point.attributes,
        ..NumberDataPoint::default()
    }
}

fn explicit_point(point: Point) -> HistogramDataPoint {
    let mut bucket_counts = vec![0; BOUNDS.len() + 1];
    for seconds in &point.seconds {
        bucket_counts[BOUNDS.partition_point(|bound| bound < seconds)] += 1;
    }
    HistogramDataPoint {
        start_time_unix_nano: START_NS,
        time_unix_nano: NOW_NS - 1,
        count: COUNT as u64,
        sum: point.sum(),
        min: point.min(),
        max: point.max(),
        bucket_counts,
        explicit_bounds: BOUNDS.to_vec(),
        attributes: point.attributes,
        ..HistogramDataPoint::default()
    }
}

fn exponential_point(point: Point) -> ExponentialHistogramDataPoint {
    let index = |seconds: &f64| (seconds.log2() * f64::from(1 << SCALE)).ceil() as i32 - 1;
    let indices: Vec<i32> = point.seconds.iter().map(index).collect();
    let offset = indices.iter().copied().min().unwrap_or(0);
    let mut bucket_counts = Vec::new();
    for index in indices {
        let at = (index - offset) as usize;
        bucket_counts.resize(bucket_counts.len().max(at + 1), 0);
        bucket_counts[at] += 1;
    }
    ExponentialHistogramDataPoint {
        start_time_unix_nano: START_NS,
        time_unix_nano: NOW_NS - 1,
        count: COUNT as u64,
        sum: point.sum(),
        min: point.min(),
        max: point.max(),
        scale: SCALE,
        positive: Some(Buckets { offset, bucket_counts }),
        attributes: point.attributes,
        ..ExponentialHistogramDataPoint::default()
    }
}
