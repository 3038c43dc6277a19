//! Exponential histograms: buckets whose bounds grow by a factor of 2^(2^-scale), as OTLP defines them.
//!
//! Counts or samples in seconds flow in, an OTLP data point flows out. The mapping is that of the OpenTelemetry data
//! model: bucket i holds values in (base^i, base^(i+1)].

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, exponential_histogram_data_point::Buckets,
};

/// The finest scale that samples are given.
const SCALE_MOST: i32 = 20;
/// The coarsest: the least that OTLP's own SDK range names.
const SCALE_LEAST: i32 = -10;
/// Buckets that samples may take; the default of the OpenTelemetry SDKs.
const BUCKETS_MOST: usize = 160;

/// A distribution of durations in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExponentialHistogram {
    /// Resolution: the bounds grow by a factor of 2^(2^-scale).
    pub scale: i32,
    /// How many values were 0.
    pub zero_count: u64,
    /// The index of the first bucket in `counts`.
    pub offset: i32,
    /// How many values each bucket holds.
    pub counts: Vec<u64>,
    /// How many values there are: `zero_count` and all `counts`.
    pub count: u64,
    /// Sum of the values, seconds; left out of OTLP when not finite.
    pub sum_s: f64,
    /// Least value, seconds.
    pub min_s: Option<f64>,
    /// Greatest value, seconds.
    pub max_s: Option<f64>,
}

impl ExponentialHistogram {
    /// From samples in seconds, at the finest scale that fits them into 160 buckets. Negative values and values that
    /// are not finite are not durations and are left out.
    pub fn from_samples(samples_s: &[f64]) -> ExponentialHistogram {
        let samples: Vec<f64> =
            samples_s.iter().copied().filter(|value| value.is_finite() && *value >= 0.0).collect();
        let positive = samples.iter().copied().filter(|value| *value > 0.0);
        let (low, high) = positive.clone().fold((f64::INFINITY, 0.0_f64), |(l, h), x| (l.min(x), h.max(x)));
        let mut histogram = ExponentialHistogram {
            zero_count: samples.iter().filter(|value| **value == 0.0).count() as u64,
            count: samples.len() as u64,
            sum_s: samples.iter().sum(),
            min_s: samples.iter().copied().reduce(f64::min),
            max_s: samples.iter().copied().reduce(f64::max),
            ..ExponentialHistogram::default()
        };
        if high == 0.0 {
            return histogram;
        }
        // At the coarsest scale one bucket spans 2^1024, which is every finite double: the search ends.
        let span = |scale: i32| i64::from(index(high, scale)) - i64::from(index(low, scale)) + 1;
        let fits = |scale: &i32| span(*scale) <= BUCKETS_MOST as i64;
        histogram.scale = (SCALE_LEAST..=SCALE_MOST).rev().find(fits).unwrap_or(SCALE_LEAST);
        histogram.offset = index(low, histogram.scale);
        histogram.counts = vec![0; usize::try_from(span(histogram.scale)).unwrap_or(1)];
        for value in positive {
            let at = usize::try_from(index(value, histogram.scale) - histogram.offset).unwrap_or(0);
            if let Some(count) = histogram.counts.get_mut(at) {
                *count += 1;
            }
        }
        histogram
    }

    /// As an OTLP data point over `[start_ns, end_ns)`.
    pub fn to_point(
        &self,
        attributes: Vec<KeyValue>,
        start_ns: u64,
        end_ns: u64,
    ) -> ExponentialHistogramDataPoint {
        let finite = |value: f64| value.is_finite().then_some(value);
        ExponentialHistogramDataPoint {
            attributes,
            start_time_unix_nano: start_ns,
            time_unix_nano: end_ns,
            count: self.count,
            sum: finite(self.sum_s),
            scale: self.scale,
            zero_count: self.zero_count,
            positive: Some(Buckets { offset: self.offset, bucket_counts: self.counts.clone() }),
            negative: None,
            flags: 0,
            exemplars: Vec::new(),
            min: self.min_s.and_then(finite),
            max: self.max_s.and_then(finite),
            zero_threshold: 0.0,
        }
    }
}

/// The bucket of a positive finite value: ⌈log2(value)·2^scale⌉ − 1.
///
/// Exact powers of two are decided by their exponent, since a logarithm may err by one bit just where a bound lies.
/// Reference: OpenTelemetry metrics data model, "Exponential histogram: all scales".
fn index(value: f64, scale: i32) -> i32 {
    let exponent = value.log2();
    let exact = exponent.round();
    let is_power = value.is_normal() && value == exact.exp2();
    let scaled = if is_power { exact } else { exponent } * f64::from(scale).exp2();
    // The range of log2 is ±1074, times 2^20: within i32.
    scaled.ceil() as i32 - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_of_two_lies_at_the_upper_end_of_its_bucket() {
        assert_eq!(index(1.0, 0), -1);
        assert_eq!(index(2.0, 0), 0);
        assert_eq!(index(2.000_001, 0), 1);
        assert_eq!(index(4.0, 1), 3);
        assert_eq!(index(8.0, -1), 1);
        assert_eq!(index(0.25, 3), -17);
    }

    #[test]
    fn every_sample_lies_in_its_bucket_and_none_is_lost() {
        let samples: Vec<f64> = (1..2000).map(|n| 1e-6 * f64::from(n).powi(3)).collect();
        let histogram = ExponentialHistogram::from_samples(&samples);
        assert_eq!(histogram.counts.iter().sum::<u64>(), 1999);
        assert!(histogram.counts.len() <= BUCKETS_MOST && histogram.counts.len() > BUCKETS_MOST / 2 - 1);
        let base = (-f64::from(histogram.scale)).exp2().exp2();
        let low = base.powi(histogram.offset);
        let high = base.powi(histogram.offset + histogram.counts.len() as i32);
        assert!(low <= 1e-6 && high >= 1e-6 * 1999_f64.powi(3));
        assert_eq!((histogram.min_s, histogram.count), (Some(1e-6), 1999));
    }

    #[test]
    fn what_is_no_duration_is_left_out() {
        let histogram = ExponentialHistogram::from_samples(&[f64::NAN, -1.0, f64::INFINITY, 0.0, 1.0]);
        assert_eq!((histogram.count, histogram.zero_count, histogram.counts), (2, 1, vec![1]));
        assert_eq!(ExponentialHistogram::from_samples(&[]), ExponentialHistogram::default());
    }

    #[test]
    fn the_whole_range_of_doubles_fits() {
        let histogram = ExponentialHistogram::from_samples(&[f64::from_bits(1), f64::MAX]);
        assert_eq!(histogram.counts.iter().sum::<u64>(), 2);
        assert!(histogram.counts.len() <= BUCKETS_MOST);
    }
}
