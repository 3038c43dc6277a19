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
/// window does not pass for independent evidence. Ten to thirty tell the variance well (Schmeiser 1982).
pub(super) const BLOCKS_MAX: usize = 12;
/// Fewer blocks say nothing about drift.
pub(super) const BLOCKS_MIN: usize = 5;
/// How many times as many requests see drift that much better.
const SEES_DRIFT: f64 = 2.0;
/// Fewer clusters cannot tell their variance; it is borrowed from a side that has as many.
pub(super) const LENDING_MIN: usize = 3;
/// Windows without telemetry that part two episodes.
const EPISODE_GAP: u64 = 12;

/// The stretches in which an environment was observed: for each active window, rising, the number of its episode.
///
/// Recordings that lie hours apart differ by more than chance; the requests of one are a cluster.
pub fn episodes(active: impl Iterator<Item = u64>) -> BTreeMap<u64, u64> {
    let mut episode = 0;
    let mut last: Option<u64> = None;
    let numbered = active.map(|window| {
        episode += u64::from(last.is_some_and(|last| window - last > EPISODE_GAP));
        last = Some(window);
        (window, episode)
    });
    numbered.collect()
}

/// A cell with its place in time.
#[derive(Clone, Copy, Debug)]
struct Windowed<'a> {
    window: u64,
    episode: u64,
    cell: &'a SealedCell,
}

/// One series in one environment over a period.
#[derive(Debug, Default)]
pub struct SideEvidence<'a> {
    cells: Vec<Windowed<'a>>,
    spans: LatencySketch,
    errors: u64,
    instances: BTreeMap<InstanceId, InstanceCounts>,
    metrics: BTreeMap<InstanceId, MetricSketch>,
    metric_n: u64,
    metric_errors: u64,
    warming_spans: u64,
    warming_metric_n: u64,
}

impl<'a> SideEvidence<'a> {
    /// Adds one window's cell; windows come in rising order. `episode` is the window's by [`episodes`].
    pub fn add(&mut self, window: u64, episode: u64, cell: &'a SealedCell) {
        if let Some(warming) = &cell.warming {
            let metric_n = warming.metrics.values().map(|sketch| sketch.n);
            self.warming_spans += warming.latency.n();
            self.warming_metric_n = metric_n.fold(self.warming_metric_n, u64::saturating_add);
        }
        if !cell.has_evidence() {
            return;
        }
        self.cells.push(Windowed { window, episode, cell });
        self.spans.merge(&cell.latency);
        self.errors += cell.errors;
        for (id, counts) in &cell.instances {
            self.instances.entry(*id).or_default().merge(counts);
        }
        for (id, sketch) in &cell.metrics {
            self.metric_n = self.metric_n.saturating_add(sketch.n);
            self.metric_errors = self.metric_errors.saturating_add(sketch.errors);
            self.metrics.entry(*id).or_default().merge(sketch);
        }
    }

    /// The cells of the windows after one; of all without.
    pub fn since(&self, after: Option<u64>) -> impl Iterator<Item = (u64, &'a SealedCell)> + '_ {
        let fresh = self.cells.iter().filter(move |cell| Some(cell.window) > after);
        fresh.map(|cell| (cell.window, cell.cell))
    }

    /// Adds the durations of spans to a sketch.
    pub(super) fn add_to(&self, all: &mut LatencySketch) {
        all.merge(&self.spans);
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

    /// Requests that are left out because their instance was warming up: from a source, or from that which has more.
    pub fn warming(&self, source: Option<Source>) -> u64 {
        match source {
            Some(Source::Spans) => self.warming_spans,
            Some(Source::Metrics) => self.warming_metric_n,
            None => self.warming_spans.max(self.warming_metric_n),
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

    /// Requests, and those of them at or under a duration, in one window.
    pub(super) fn in_window(cell: &SealedCell, source: Source, threshold_s: f64) -> ClusterCount {
        match source {
            Source::Spans => {
                let threshold_ns = (threshold_s * 1e9).clamp(0.0, 2f64.powi(62)).round() as u64;
                let weight = cell.latency.weight().max(1) as f64;
                // Scaled to requests, so that sampled spans do not count for more than they are.
                let share = cell.latency.at_or_under(threshold_ns) as f64 / weight;
                cluster(cell.latency.n() as f64, share * cell.latency.n() as f64)
            }
            Source::Metrics => {
                let parts = cell.metrics.values().map(|sketch| metric_cluster(sketch, threshold_s));
                parts.fold(cluster(0.0, 0.0), sum)
            }
        }
    }

    /// Counts by block of adjacent windows, and by episode.
    fn in_time(&self, count: impl Fn(&SealedCell) -> ClusterCount) -> (Vec<ClusterCount>, Vec<ClusterCount>) {
        let width = self.cells.len().div_ceil(BLOCKS_MAX).max(1);
        let mut blocks = Vec::with_capacity(BLOCKS_MAX);
        let mut episodes: BTreeMap<u64, ClusterCount> = BTreeMap::new();
        for (at, Windowed { episode, cell, .. }) in self.cells.iter().enumerate() {
            let found = count(cell);
            if at % width == 0 {
                blocks.push(cluster(0.0, 0.0));
            }
            if let Some(block) = blocks.last_mut() {
                *block = sum(*block, found);
            }
            let episode = episodes.entry(*episode).or_insert(cluster(0.0, 0.0));
            *episode = sum(*episode, found);
        }
        (blocks, episodes.into_values().collect())
    }

    /// What clustering does to the share of requests at or under a duration.
    pub fn precision_at(&self, source: Source, threshold_s: f64) -> Precision {
        Precision::of(
            self.effective_n(source),
            self.by_instance(source, threshold_s),
            self.in_time(|cell| Self::in_window(cell, source, threshold_s)),
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
        let in_time = self.in_time(|cell| match source {
            Source::Spans => cluster(cell.latency.n() as f64, cell.errors as f64),
            Source::Metrics => cell
                .metrics
                .values()
                .map(|s| cluster(s.n as f64, s.errors as f64))
                .fold(cluster(0.0, 0.0), sum),
        });
        Precision::of(self.n(source) as f64, instances, in_time)
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
    /// Which variance came from the other side.
    pub borrowed: Borrowed,
    n: f64,
    instances: Clustering,
    episodes: Clustering,
    blocks: Option<DesignEffect>,
}

/// Which variance between clusters a side does not know by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Borrowed {
    /// Between instances.
    pub instances: bool,
    /// Between episodes.
    pub episodes: bool,
}

/// One way to cut requests into clusters.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Clustering {
    k: usize,
    effect: Option<DesignEffect>,
}

impl Clustering {
    fn of(clusters: &[ClusterCount]) -> Clustering {
        let k = clusters.iter().filter(|cluster| cluster.n > 0.0).count();
        Clustering { k, effect: design_effect::estimate(clusters) }
    }

    /// The same if there are enough to tell.
    fn if_enough(self) -> Option<DesignEffect> {
        self.effect.filter(|_| self.k >= LENDING_MIN)
    }

    /// What the lender knows and this side does not.
    fn lacks(self, lender: Clustering) -> Option<DesignEffect> {
        lender.effect.filter(|_| lender.k >= LENDING_MIN && (1..LENDING_MIN).contains(&self.k))
    }
}

impl Precision {
    fn of(
        n: f64,
        instances: Vec<ClusterCount>,
        (blocks, episodes): (Vec<ClusterCount>, Vec<ClusterCount>),
    ) -> Precision {
        let (instances, episodes) = (Clustering::of(&instances), Clustering::of(&episodes));
        let blocks = if blocks.len() >= BLOCKS_MIN { design_effect::estimate(&blocks) } else { None };
        // Two instances say something about a service; two recordings that happen to lie apart hardly do.
        let known = [instances.effect, blocks, episodes.if_enough()];
        Precision { n, instances, episodes, blocks, ..worth(n, known.into_iter().flatten()) }
    }

    /// With one or two instances or episodes the variance between them cannot be estimated: it is borrowed from a side
    /// that has more. A side with far fewer requests hardly sees how load drifts: it takes that from the other as well.
    pub fn borrowing(self, lender: &Precision) -> Precision {
        let between = [
            (self.instances, self.instances.lacks(lender.instances)),
            (self.episodes, self.episodes.lacks(lender.episodes)),
        ];
        let borrowed = Borrowed { instances: between[0].1.is_some(), episodes: between[1].1.is_some() };
        let drift = self.blocks.and_then(|own| {
            let theirs = lender.blocks.filter(|_| lender.n >= SEES_DRIFT * self.n)?;
            Some((own.dof + 1.0, theirs))
        });
        if borrowed == Borrowed::default() && drift.is_none() {
            return self;
        }
        let between = between.into_iter().filter_map(|(own, effect)| Some((own.k as f64, effect?)));
        let lent = between.chain(drift).map(|(k, effect)| {
            let variance = design_effect::between_variance(&effect, lender.n);
            let n_eff = design_effect::borrowed_n_eff(effect.f, self.n, k, variance);
            DesignEffect { n_eff, deff: self.n / n_eff.max(f64::MIN_POSITIVE), ..effect }
        });
        let own_instances = self.instances.effect.filter(|_| !borrowed.instances);
        let own_episodes = self.episodes.if_enough().filter(|_| !borrowed.episodes);
        let all = lent.chain(own_instances).chain(own_episodes).chain(self.blocks);
        let Precision { n_eff, dof, deff, .. } = worth(self.n, all);
        Precision { n_eff, dof, deff, borrowed, ..self }
    }
}

/// The largest of some design effects is what counts.
fn worth(n: f64, effects: impl Iterator<Item = DesignEffect>) -> Precision {
    // Of equal ones, that with the fewest clusters.
    let worst = effects.max_by(|a, b| a.deff.total_cmp(&b.deff).then(b.dof.total_cmp(&a.dof)));
    let deff = worst.map_or(1.0, |effect| effect.deff.max(1.0));
    let none = Clustering { k: 0, effect: None };
    Precision {
        n_eff: n / deff,
        dof: worst.map(|effect| effect.dof),
        deff,
        borrowed: Borrowed::default(),
        n,
        instances: none,
        episodes: none,
        blocks: None,
    }
}

/// The degrees of freedom of a comparison of both sides. The variance of a share, and of a quantile where both sides
/// have about one shape, goes with 1/n_eff.
pub fn joint_dof(baseline: &Precision, candidate: &Precision) -> Option<f64> {
    let side = |side: &Precision| (1.0 / side.n_eff.max(f64::MIN_POSITIVE), side.dof);
    design_effect::satterthwaite([side(baseline), side(candidate)])
}
