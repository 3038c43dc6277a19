//! Arbitrary OTLP metrics, valid but for defects that are planted one to a metric and remembered.

use crate::generate::{Item, Planted, Scoped, Sent, attributes, double, finite, nested, sent, tally};
use isotel::wire::Refusal;
use isotel::wire::any_value::NESTING_MAX;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as NumberValue;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Metric requests.
pub fn metrics() -> impl Strategy<Value = Planted<ExportMetricsServiceRequest>> {
    let metric = (metric(), option::weighted(0.15, 0..4usize)).prop_map(|(metric, defect)| {
        let mut whole = metric;
        let refusal = defect.and_then(|defect| spoil_metric(&mut whole, defect));
        (Planned { whole }, refusal)
    });
    sent(metric).prop_map(|sent| Planted {
        request: metrics_of(&sent, true),
        kept: metrics_of(&sent, false),
        refused: tally(&sent, Planned::points),
    })
}

/// Metrics stay where they are; broken points are taken out of them.
fn metrics_of(sent: &[Sent<Planned>], with_broken: bool) -> ExportMetricsServiceRequest {
    let metrics = |items: &[Item<Planned>]| {
        items.iter().map(|(planned, broken)| planned.metric(with_broken || broken.is_none())).collect()
    };
    let scopes = |scopes: &[Scoped<Planned>]| {
        scopes
            .iter()
            .map(|(scope, url, items)| ScopeMetrics {
                scope: scope.clone(),
                schema_url: url.clone(),
                metrics: metrics(items),
            })
            .collect()
    };
    let resources = sent.iter().map(|(resource, url, inner)| ResourceMetrics {
        resource: resource.clone(),
        schema_url: url.clone(),
        scope_metrics: scopes(inner),
    });
    ExportMetricsServiceRequest { resource_metrics: resources.collect() }
}

/// A metric of which all points or none are broken.
#[derive(Clone, Debug)]
struct Planned {
    whole: Metric,
}

impl Planned {
    fn metric(&self, with_points: bool) -> Metric {
        let mut metric = self.whole.clone();
        if !with_points {
            match &mut metric.data {
                Some(Data::Gauge(gauge)) => gauge.data_points.clear(),
                Some(Data::Sum(sum)) => sum.data_points.clear(),
                Some(Data::Histogram(histogram)) => histogram.data_points.clear(),
                Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.clear(),
                Some(Data::Summary(summary)) => summary.data_points.clear(),
                None => {}
            }
        }
        metric
    }

    fn points(&self) -> u64 {
        let points = match &self.whole.data {
            Some(Data::Gauge(gauge)) => gauge.data_points.len(),
            Some(Data::Sum(sum)) => sum.data_points.len(),
            Some(Data::Histogram(histogram)) => histogram.data_points.len(),
            Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
            Some(Data::Summary(summary)) => summary.data_points.len(),
            None => 0,
        };
        points as u64
    }
}

fn metric() -> impl Strategy<Value = Metric> {
    let data = prop_oneof![
        vec(number_point(), 0..3).prop_map(|data_points| Data::Gauge(Gauge { data_points })),
        (vec(number_point(), 0..3), 0..4i32, any::<bool>()).prop_map(
            |(data_points, aggregation_temporality, is_monotonic)| Data::Sum(Sum {
                data_points,
                aggregation_temporality,
                is_monotonic
            })
        ),
        (vec(histogram_point(), 0..3), 0..3i32).prop_map(|(data_points, aggregation_temporality)| {
            Data::Histogram(Histogram { data_points, aggregation_temporality })
        }),
        (vec(exponential_point(), 0..3), 0..3i32).prop_map(|(data_points, aggregation_temporality)| {
            Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality })
        }),
        vec(summary_point(), 0..3).prop_map(|data_points| Data::Summary(Summary { data_points })),
    ];
    ("[a-z.]{1,8}", any::<String>(), "[a-z]{0,2}", attributes(), option::weighted(0.95, data)).prop_map(
        |(name, description, unit, metadata, data)| Metric { name, description, unit, metadata, data },
    )
}

fn exemplar() -> impl Strategy<Value = Exemplar> {
    let number = option::of(prop_oneof![
        any::<i64>().prop_map(exemplar::Value::AsInt),
        double().prop_map(exemplar::Value::AsDouble),
    ]);
    (attributes(), any::<u64>(), number).prop_map(|(filtered_attributes, time_unix_nano, value)| Exemplar {
        filtered_attributes,
        time_unix_nano,
        span_id: vec![1; 8],
        trace_id: vec![2; 16],
        value,
    })
}

/// Attributes, start, time, exemplars and flags: what all points have.
type Common = (Vec<KeyValue>, u64, u64, Vec<Exemplar>, u32);

fn common() -> impl Strategy<Value = Common> {
    (
        attributes(),
        any::<u64>(),
        1..u64::MAX,
        vec(exemplar(), 0..2),
        prop_oneof![4 => Just(0), 1 => any::<u32>()],
    )
}

fn number_point() -> impl Strategy<Value = NumberDataPoint> {
    let value = option::weighted(
        0.9,
        prop_oneof![any::<i64>().prop_map(NumberValue::AsInt), finite().prop_map(NumberValue::AsDouble)],
    );
    (common(), value).prop_map(|((attributes, start, time, exemplars, flags), value)| NumberDataPoint {
        attributes,
        start_time_unix_nano: start,
        time_unix_nano: time,
        exemplars,
        flags,
        value,
    })
}

/// Counts whose sum fits.
fn counts(len: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<u64>> {
    vec(prop_oneof![3 => 0..300u64, 1 => 0..=(u64::MAX >> 4)], len)
}

fn histogram_point() -> impl Strategy<Value = HistogramDataPoint> {
    let bounds = vec(finite(), 0..6).prop_map(|mut bounds| {
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        bounds
    });
    let buckets = bounds.prop_flat_map(|bounds| (counts(bounds.len() + 1), Just(bounds), any::<bool>()));
    let extremes = (option::of(finite()), option::of(finite()), option::of(finite()));
    (common(), buckets, extremes, 0..9u64).prop_map(
        |(
            (attributes, start, time, exemplars, flags),
            (counts, bounds, bare),
            (sum, min, max),
            bare_count,
        )| {
            let (bucket_counts, explicit_bounds) =
                if bare { (Vec::new(), Vec::new()) } else { (counts, bounds) };
            HistogramDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                count: if bare { bare_count } else { bucket_counts.iter().sum() },
                sum,
                bucket_counts,
                explicit_bounds,
                exemplars,
                flags,
                min,
                max,
            }
        },
    )
}

fn exponential_point() -> impl Strategy<Value = ExponentialHistogramDataPoint> {
    let buckets = || {
        option::of(
            (any::<i32>(), counts(0..5))
                .prop_map(|(offset, bucket_counts)| Buckets { offset, bucket_counts }),
        )
    };
    let extremes = (option::of(finite()), option::of(finite()), option::of(finite()), finite());
    (common(), -11..31i32, 0..99u64, buckets(), buckets(), extremes).prop_map(
        |((attributes, start, time, exemplars, flags), scale, zero_count, positive, negative, extremes)| {
            let all = positive.iter().chain(&negative).flat_map(|buckets| &buckets.bucket_counts);
            ExponentialHistogramDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                count: all.sum::<u64>() + zero_count,
                sum: extremes.0,
                scale,
                zero_count,
                positive,
                negative,
                flags,
                exemplars,
                min: extremes.1,
                max: extremes.2,
                zero_threshold: extremes.3,
            }
        },
    )
}

fn summary_point() -> impl Strategy<Value = SummaryDataPoint> {
    let quantiles = vec((finite(), finite()), 0..4).prop_map(|pairs| {
        pairs.into_iter().map(|(quantile, value)| ValueAtQuantile { quantile, value }).collect::<Vec<_>>()
    });
    (common(), any::<u64>(), finite(), quantiles).prop_map(
        |((attributes, start, time, _, flags), count, sum, quantile_values)| SummaryDataPoint {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano: time,
            count,
            sum,
            quantile_values,
            flags,
        },
    )
}

/// Breaks the same rule with every point, or none when the metric's kind cannot break it.
fn spoil_metric(metric: &mut Metric, defect: usize) -> Option<Refusal> {
    match defect {
        0 => {
            metric.name.clear();
            Some(Refusal::EmptyMetricName)
        }
        1 => each_point(metric, |point| {
            *point.time = 0;
            Refusal::TimeUnset
        }),
        2 => each_point(metric, |point| {
            point.attributes.push(nested(NESTING_MAX + 1));
            Refusal::NestingTooDeep
        }),
        _ => spoil_values(metric),
    }
}

struct PointMut<'a> {
    time: &'a mut u64,
    attributes: &'a mut Vec<KeyValue>,
}

fn each_point(metric: &mut Metric, mut spoil: impl FnMut(PointMut<'_>) -> Refusal) -> Option<Refusal> {
    macro_rules! spoil_all {
        ($data:expr) => {
            $data
                .data_points
                .iter_mut()
                .map(|p| spoil(PointMut { time: &mut p.time_unix_nano, attributes: &mut p.attributes }))
                .last()
        };
    }
    match metric.data.as_mut()? {
        Data::Gauge(data) => spoil_all!(data),
        Data::Sum(data) => spoil_all!(data),
        Data::Histogram(data) => spoil_all!(data),
        Data::ExponentialHistogram(data) => spoil_all!(data),
        Data::Summary(data) => spoil_all!(data),
    }
}

/// A defect of each kind's own.
fn spoil_values(metric: &mut Metric) -> Option<Refusal> {
    let which = metric.description.len() + metric.unit.len();
    match metric.data.as_mut()? {
        Data::Gauge(Gauge { data_points }) | Data::Sum(Sum { data_points, .. }) => {
            for point in data_points {
                point.flags = 0;
                point.value = Some(NumberValue::AsDouble([f64::NAN, f64::INFINITY][which % 2]));
            }
            Some(Refusal::NotFinite)
        }
        Data::Histogram(histogram) => spoil_histogram(&mut histogram.data_points, which),
        Data::ExponentialHistogram(histogram) => spoil_exponential(&mut histogram.data_points, which),
        Data::Summary(summary) => {
            for point in &mut summary.data_points {
                point.flags = 0;
                point.sum = f64::NEG_INFINITY;
            }
            Some(Refusal::NotFinite)
        }
    }
}

fn spoil_histogram(points: &mut [HistogramDataPoint], which: usize) -> Option<Refusal> {
    let refusals = [
        Refusal::BucketCountMismatch,
        Refusal::BoundsNotAscending,
        Refusal::BoundsNotAscending,
        Refusal::CountMismatch,
        Refusal::CountMismatch,
        Refusal::NotFinite,
    ];
    for point in points {
        point.flags = 0;
        (point.count, point.bucket_counts, point.explicit_bounds) = (6, vec![1, 2, 3], vec![0.1, 0.2]);
        match which % refusals.len() {
            0 => drop(point.explicit_bounds.pop()),
            1 => point.explicit_bounds = vec![0.2, 0.2],
            2 => point.explicit_bounds = vec![0.2, f64::INFINITY],
            3 => point.count = 7,
            4 => point.bucket_counts = vec![u64::MAX, 6, 1],
            _ => point.max = Some(f64::NAN),
        }
    }
    Some(refusals[which % refusals.len()])
}

fn spoil_exponential(points: &mut [ExponentialHistogramDataPoint], which: usize) -> Option<Refusal> {
    let refusals =
        [Refusal::ScaleOutOfRange, Refusal::CountMismatch, Refusal::NotFinite, Refusal::ScaleOutOfRange];
    for point in points {
        point.flags = 0;
        match which % refusals.len() {
            0 => point.scale = 31,
            1 => point.count = point.count.wrapping_add(1),
            2 => point.sum = Some(f64::INFINITY),
            _ => point.zero_threshold = f64::NAN,
        }
    }
    Some(refusals[which % refusals.len()])
}
