//! The evidence of one series on one side, gathered from the sealed windows.

use super::verdict::Source;
use crate::model::InstanceId;
use crate::sketch::instance::nearest_edge;
use crate::sketch::{InstanceCounts, LatencySketch, MetricSketch};
use crate::stats::Distribution;
use crate::stats::design_effect::{self, ClusterCount, DesignEffect};
use crate::window::SealedCell;
use std::collections::BTreeMap;

/// Adjacent windows are taken together into at most this many clusters, so that load which drifts slower than a
/// window does not pass for independent evidence.
const BLOCKS_MAX: usize = 24;
/// Fewer blocks say nothing about drift.
const BLOCKS_MIN: usize = 5;

/// One series in one environment over a period.
#[derive(Debug, Default)]
pub struct SideEvidence<'a> {
    cells: Vec<(u64, &'a SealedCell)>,
    spans: LatencySketch,
    errors: u64,
    instances: BTreeMap<InstanceId, InstanceCounts>,
    metrics: BTreeMap<InstanceId, MetricSketch>,
    metric_n: u64,
    metric_errors: u64,
}

impl<'a> SideEvidence<'a> {
    /// Adds one window's cell; windows come in rising order.
    pub fn add(&mut self, window: u64, cell: &'a SealedCell) {
        self.cells.push((window, cell));
        self.spans.merge(&cell.latency);
        self.errors += cell.errors;
        for (id, counts) in &cell.instances {
            self.instances.entry(*id).or_default().merge(counts);
        }
        for (id, sketch) in &cell.metrics {
            self.metric_n += sketch.n;
            self.metric_errors += sketch.errors;
            self.metrics.entry(*id).or_default().merge(sketch);
        }
    }

    /// Requests seen as spans.
    pub fn spans(&self) -> u64 {
        self.spans.n()
    }

    /// Requests seen in duration metrics.
    pub fn metric_requests(&self) -> u64 {
        self.metric_n
    }

    /// Requests, from a source.
    pub fn n(&self, source: Source) -> u64 {
        match source {
            Source::Spans => self.spans.n(),
            Source::Metrics => self.metric_n,
        }
    }

    /// Failed requests, from a source.
    pub fn errors(&self, source: Source) -> u64 {
        match source {
            Source::Spans => self.errors,
            Source::Metrics => self.metric_errors,
        }
    }

    /// What the requests are worth before clustering: Kish's size for sampled spans.
    pub fn effective_n(&self, source: Source) -> f64 {
        match source {
            Source::Spans => self.spans.effective_n(),
            Source::Metrics => self.metric_n as f64,
        }
    }

    /// Durations in seconds.
    pub fn distribution(&self, source: Source) -> Distribution {
        match source {
            Source::Spans => self.spans.distribution(),
            Source::Metrics => self.metric_sketch().distribution(),
        }
    }

    fn metric_sketch(&self) -> MetricSketch {
        let mut all = MetricSketch::default();
        self.metrics.values().for_each(|sketch| all.merge(sketch));
        all
    }

    /// Instances that are told apart.
    pub fn instances(&self, source: Source) -> u64 {
        let named = |id: &&InstanceId| **id != InstanceId::UNNAMED;
        match source {
            Source::Spans => self.instances.keys().filter(named).count() as u64,
            Source::Metrics => self.metrics.keys().filter(named).count() as u64,
        }
    }

    /// Requests at or under a duration by instance; empty when instances are not told apart.
    fn by_instance(&self, source: Source, threshold_s: f64) -> Vec<ClusterCount> {
        match source {
            Source::Spans => {
                let edge = nearest_edge(threshold_s);
                let named = self.instances.iter().filter(|(id, _)| **id != InstanceId::UNNAMED);
                let count = |c: &InstanceCounts| cluster(c.n as f64, c.at_or_under(edge) as f64);
                named.map(|(_, counts)| count(counts)).collect()
            }
            Source::Metrics => {
                let named = self.metrics.iter().filter(|(id, _)| **id != InstanceId::UNNAMED);
                named.map(|(_, sketch)| metric_cluster(sketch, threshold_s)).collect()
            }
        }
    }

    /// Requests at or under a duration by block of adjacent windows.
    fn by_block(&self, source: Source, threshold_s: f64) -> Vec<ClusterCount> {
        let threshold_ns = (threshold_s * 1e9).clamp(0.0, 2f64.powi(62)).round() as u64;
        self.blocks(|cell| match source {
            Source::Spans => {
                let weight = cell.latency.weight().max(1) as f64;
                // Scaled to requests, so that sampled spans do not count for more than they are.
                let share = cell.latency.at_or_under(threshold_ns) as f64 / weight;
                cluster(cell.latency.n() as f64, share * cell.latency.n() as f64)
            }
            Source::Metrics => {
                let parts = cell.metrics.values().map(|sketch| metric_cluster(sketch, threshold_s));
                parts.fold(cluster(0.0, 0.0), sum)
            }
        })
    }

    fn blocks(&self, count: impl Fn(&SealedCell) -> ClusterCount) -> Vec<ClusterCount> {
        let (Some((first, _)), Some((last, _))) = (self.cells.first(), self.cells.last()) else {
            return Vec::new();
        };
        let width = (last - first + 1).div_ceil(BLOCKS_MAX as u64).max(1);
        let mut blocks: BTreeMap<u64, ClusterCount> = BTreeMap::new();
        for (window, cell) in &self.cells {
            let block = blocks.entry((window - first) / width).or_insert(cluster(0.0, 0.0));
            *block = sum(*block, count(cell));
        }
        blocks.into_values().collect()
    }

    /// What clustering does to the share of requests at or under a duration.
    pub fn precision_at(&self, source: Source, threshold_s: f64) -> Precision {
        Precision::of(
            self.effective_n(source),
            self.by_instance(source, threshold_s),
            self.by_block(source, threshold_s),
        )
    }

    /// What clustering does to the share of failed requests.
    pub fn error_precision(&self, source: Source) -> Precision {
        let instances = match source {
            Source::Spans => {
                let named = self.instances.iter().filter(|(id, _)| **id != InstanceId::UNNAMED);
                named.map(|(_, counts)| cluster(counts.n as f64, counts.errors as f64)).collect()
            }
            Source::Metrics => {
                let named = self.metrics.iter().filter(|(id, _)| **id != InstanceId::UNNAMED);
                named.map(|(_, sketch)| cluster(sketch.n as f64, sketch.errors as f64)).collect()
            }
        };
        let blocks = self.blocks(|cell| match source {
            Source::Spans => cluster(cell.latency.n() as f64, cell.errors as f64),
            Source::Metrics => cell
                .metrics
                .values()
                .map(|s| cluster(s.n as f64, s.errors as f64))
                .fold(cluster(0.0, 0.0), sum),
        });
        Precision::of(self.n(source) as f64, instances, blocks)
    }
}

fn cluster(n: f64, at_or_under: f64) -> ClusterCount {
    ClusterCount { n, at_or_under }
}

fn sum(one: ClusterCount, other: ClusterCount) -> ClusterCount {
    cluster(one.n + other.n, one.at_or_under + other.at_or_under)
}

fn metric_cluster(sketch: &MetricSketch, threshold_s: f64) -> ClusterCount {
    let (low, high) = sketch.distribution().cdf_bounds(threshold_s);
    cluster(sketch.n as f64, sketch.n as f64 * (low + high) / 2.0)
}

/// What requests are worth when they come in clusters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Precision {
    /// Requests that independent ones would have to be.
    pub n_eff: f64,
    /// Degrees of freedom for Student's t; `None` when independence is assumed.
    pub dof: Option<f64>,
    /// Requests over `n_eff`, at least one.
    pub deff: f64,
    /// Whether the variance between instances came from the other side.
    pub borrowed: bool,
    instances: usize,
    n: f64,
    by_instance: Option<DesignEffect>,
}

impl Precision {
    fn of(n: f64, instances: Vec<ClusterCount>, blocks: Vec<ClusterCount>) -> Precision {
        let by_instance = design_effect::estimate(&instances);
        let by_block = if blocks.len() >= BLOCKS_MIN { design_effect::estimate(&blocks) } else { None };
        let worst = [by_instance, by_block].into_iter().flatten().max_by(|a, b| a.deff.total_cmp(&b.deff));
        let deff = worst.map_or(1.0, |effect| effect.deff);
        Precision {
            n_eff: n / deff,
            dof: worst.map(|effect| effect.dof),
            deff,
            borrowed: false,
            instances: instances.iter().filter(|cluster| cluster.n > 0.0).count(),
            n,
            by_instance,
        }
    }

    /// With one or two instances their variance cannot be estimated: it is borrowed from a side that has more.
    pub fn borrowing(self, lender: &Precision) -> Precision {
        let (Some(effect), true) = (lender.by_instance, lender.instances >= 3) else { return self };
        if self.instances == 0 || self.instances >= 3 {
            return self;
        }
        let between = design_effect::between_variance(&effect, lender.n);
        let n_eff = design_effect::borrowed_n_eff(effect.f, self.n, self.instances as f64, between);
        let n_eff = n_eff.min(self.n / self.deff_by_block());
        Precision {
            n_eff,
            dof: Some(effect.dof),
            deff: (self.n / n_eff.max(f64::MIN_POSITIVE)).max(1.0),
            borrowed: true,
            ..self
        }
    }

    /// The design effect without the part that two instances pretend to know.
    fn deff_by_block(&self) -> f64 {
        match self.by_instance {
            Some(effect) if effect.deff >= self.deff => 1.0,
            _ => self.deff,
        }
    }
}

/// The narrower of two degrees of freedom.
pub fn least_dof(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
