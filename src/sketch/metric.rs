//! Durations that arrive already binned, as OTLP histogram data points.
//!
//! Exponential histograms merge exactly at the lower of two scales. Explicit ones merge exactly where their bounds
//! are equal; different bounds are kept apart and met on the bounds that they share when they are judged.

use crate::stats::distribution::Distribution;
use crate::stats::explicit;
use crate::stats::exponential::ExponentialBuckets;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Upper bucket bounds in seconds, ordered as numbers so that sketches have one canonical form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bounds(pub Vec<f64>);

impl Bounds {
    /// Whether they rise, and are of so many counts.
    pub fn fit(&self, counts: &[u64]) -> bool {
        counts.len() == self.0.len() + 1
            && self.0.iter().all(|bound| bound.is_finite())
            && self.0.is_sorted_by(|one, next| one < next)
    }
}

impl Eq for Bounds {}

impl PartialOrd for Bounds {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bounds {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let lengths = self.0.len().cmp(&other.0.len());
        let pairs = self.0.iter().zip(&other.0).map(|(a, b)| a.total_cmp(b));
        pairs.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then).then(lengths)
    }
}

/// The time unit of a metric as UCUM writes it, and how its values become seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TimeUnit {
    /// `s`
    Seconds,
    /// `ms`
    Milliseconds,
    /// `us`
    Microseconds,
    /// `ns`
    Nanoseconds,
}

impl TimeUnit {
    /// From a metric's unit; `None` when it is not one of time.
    pub fn parse(unit: &str) -> Option<TimeUnit> {
        match unit {
            "s" => Some(TimeUnit::Seconds),
            "ms" => Some(TimeUnit::Milliseconds),
            "us" | "µs" => Some(TimeUnit::Microseconds),
            "ns" => Some(TimeUnit::Nanoseconds),
            _ => None,
        }
    }

    /// A value of this unit in seconds. Divides, because 5 / 1000 is the number nearest to 0.005 and 5 · 0.001 is not.
    pub fn seconds(self, value: f64) -> f64 {
        match self {
            TimeUnit::Seconds => value,
            TimeUnit::Milliseconds => value / 1e3,
            TimeUnit::Microseconds => value / 1e6,
            TimeUnit::Nanoseconds => value / 1e9,
        }
    }
}

/// Binned durations of one instance in one series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricSketch {
    /// Requests.
    pub n: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Sum of durations, nanoseconds, as the points state it.
    pub sum_ns: i128,
    explicit: BTreeMap<Bounds, Vec<u64>>,
    exponential: BTreeMap<TimeUnit, ExponentialBuckets>,
}

impl MetricSketch {
    /// Adds requests, failures and the sum of durations in nanoseconds. Senders can state any number; a total that
    /// does not fit stays at the greatest.
    pub fn add(&mut self, n: u64, errors: u64, sum_ns: i128) {
        self.n = self.n.saturating_add(n);
        self.errors = self.errors.saturating_add(errors);
        self.sum_ns = self.sum_ns.saturating_add(sum_ns);
    }

    /// Adds explicit buckets: `counts[i]` lie in `(bounds[i−1], bounds[i]]`, the last beyond all bounds.
    pub fn add_explicit(&mut self, bounds: &Bounds, counts: &[u64]) {
        let ours = self.explicit.entry(bounds.clone()).or_insert_with(|| vec![0; counts.len()]);
        ours.iter_mut().zip(counts).for_each(|(ours, count)| *ours = ours.saturating_add(*count));
    }

    /// Adds exponential buckets whose values are in `unit`.
    pub fn add_exponential(&mut self, unit: TimeUnit, buckets: &ExponentialBuckets) {
        match self.exponential.get_mut(&unit) {
            Some(ours) => ours.merge(buckets),
            None => {
                self.exponential.insert(unit, buckets.clone());
            }
        }
    }

    /// Adds what another sketch holds.
    pub fn merge(&mut self, other: &MetricSketch) {
        self.add(other.n, other.errors, other.sum_ns);
        other.explicit.iter().for_each(|(bounds, counts)| self.add_explicit(bounds, counts));
        other.exponential.iter().for_each(|(unit, buckets)| self.add_exponential(*unit, buckets));
    }

    /// Whether the buckets are what a receiver takes; bytes from outside may say anything.
    pub fn is_sound(&self) -> bool {
        self.explicit.iter().all(|(bounds, counts)| bounds.fit(counts))
            && self.exponential.values().all(ExponentialBuckets::is_sound)
    }

    /// The durations as a distribution in seconds. Where several sets of bounds are present they are brought to the
    /// bounds that all share; exponential buckets stand alone when there are any, being the finer.
    pub fn distribution(&self) -> Distribution {
        if !self.exponential.is_empty() {
            let parts =
                self.exponential.iter().map(|(unit, b)| b.to_distribution().scaled(unit.seconds(1.0)));
            return parts.reduce(|a, b| a.merge(&b)).unwrap_or_default();
        }
        let mut sets = self.explicit.iter();
        let Some((first, counts)) = sets.next() else { return Distribution::default() };
        let (mut bounds, mut total) = (first.0.clone(), counts.clone());
        for (other, counts) in sets {
            let shared = explicit::shared_bounds(&bounds, &other.0);
            total = explicit::rebin(&bounds, &total, &shared);
            let theirs = explicit::rebin(&other.0, counts, &shared);
            total.iter_mut().zip(theirs).for_each(|(ours, count)| *ours = ours.saturating_add(count));
            bounds = shared;
        }
        explicit::to_distribution(&bounds, &total, None, None)
    }
}
