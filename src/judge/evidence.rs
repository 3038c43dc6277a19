//! The evidence of one series on one side, gathered from the sealed windows.

use super::verdict::Source;
use crate::model::InstanceId;
use crate::sketch::instance::nearest_edge;
use crate::sketch::{InstanceCounts, LatencySketch, MetricSketch};
use crate::stats::Distribution;
use crate::stats::design_effect::{self, ClusterCount, DesignEffect};
use crate::window::SealedCell;
use std::borrow::Cow;
use std::cell::OnceCell;
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
#[derive(Clone, Debug)]
struct Windowed<'a> {
    window: u64,
    episode: u64,
    cell: Cow<'a, SealedCell>,
}

/// One series in one environment over a period: its cells, and how much is in them.
///
/// What takes long to add up, durations and instances, is added up when it is asked for. The durations of spans are kept
/// until `SideEvidence::forget`.
#[derive(Debug, Default)]
pub struct SideEvidence<'a> {
    cells: Vec<Windowed<'a>>,
    spans: OnceCell<LatencySketch>,
    n: u64,
    errors: u64,
    metric_n: u64,
    metric_errors: u64,
    warming_spans: u64,
    warming_metric_n: u64,
}

impl<'a> SideEvidence<'a> {
    /// Adds one window's cell; windows come in rising order. `episode` is the window's by [`episodes`].
    pub fn add(&mut self, window: u64, episode: u64, cell: Cow<'a, SealedCell>) {
        if let Some(warming) = &cell.warming {
            let metric_n = warming.metrics.values().map(|sketch| sketch.n);
            self.warming_spans += warming.latency.n();
            self.warming_metric_n = metric_n.fold(self.warming_metric_n, u64::saturating_add);
        }
        if !cell.has_evidence() {
            return;
        }
        self.forget();
        self.n += cell.latency.n();
        self.errors += cell.errors;
        for sketch in cell.metrics.values() {
            self.metric_n = self.metric_n.saturating_add(sketch.n);
            self.metric_errors = self.metric_errors.saturating_add(sketch.errors);
        }
        self.cells.push(Windowed { window, episode, cell });
    }

    /// The cells of the windows after one; of all without.
    pub fn since(&self, after: Option<u64>) -> impl Iterator<Item = (u64, &SealedCell)> + '_ {
        let fresh = self.cells.iter().filter(move |cell| Some(cell.window) > after);
        fresh.map(|cell| (cell.window, &*cell.cell))
    }

    /// The durations of all spans, added up.
    pub(super) fn all_spans(&self) -> &LatencySketch {
        if let [only] = self.cells.as_slice() {
            return &only.cell.latency;
        }
        self.spans.get_or_init(|| {
            let mut all = LatencySketch::default();
            self.sketches().for_each(|sketch| all.merge(sketch));
            all
        })
    }

    /// Makes room: what was added up is added up again when it is asked for again.
    pub(super) fn forget(&mut self) {
        self.spans.take();
    }

    /// Requests seen as spans.
    pub fn spans(&self) -> u64 {
        self.n
    }

    /// Requests seen in duration metrics.
    pub fn metric_requests(&self) -> u64 {
        self.metric_n
    }

    /// Requests, from a source.
    pub fn n(&self, source: Source) -> u64 {
        match source {
            Source::Spans => self.n,
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
            Source::Spans => LatencySketch::effective_n(self.sketches()),
            Source::Metrics => self.metric_n as f64,
        }
    }

    /// Durations in seconds, added up.
    pub fn distribution(&self, source: Source) -> Distribution {
        match source {
            Source::Spans => self.all_spans().distribution(),
            Source::Metrics => {
                let mut all = MetricSketch::default();
                self.metric_instances().values().for_each(|sketch| all.merge(sketch));
                all.distribution()
            }
        }
    }

    fn sketches(&self) -> impl Iterator<Item = &LatencySketch> + '_ {
        self.cells.iter().map(|windowed| &windowed.cell.latency)
    }

    fn span_instances(&self) -> BTreeMap<InstanceId, InstanceCounts> {
        let mut instances: BTreeMap<InstanceId, InstanceCounts> = BTreeMap::new();
        for (id, counts) in self.cells.iter().flat_map(|windowed| &windowed.cell.instances) {
            instances.entry(*id).or_default().merge(counts);
        }
        instances
    }

    fn metric_instances(&self) -> BTreeMap<InstanceId, MetricSketch> {
        let mut instances: BTreeMap<InstanceId, MetricSketch> = BTreeMap::new();
        for (id, sketch) in self.cells.iter().flat_map(|windowed| &windowed.cell.metrics) {
            instances.entry(*id).or_default().merge(sketch);
        }
        instances
    }

    /// Requests and failures by instance; those that name none are left out.
    fn counts(&self, source: Source) -> BTreeMap<InstanceId, (u64, u64)> {
        let mut instances: BTreeMap<InstanceId, (u64, u64)> = BTreeMap::new();
        let mut add = |id: InstanceId, n: u64, errors: u64| {
            let counts = instances.entry(id).or_default();
            *counts = (counts.0.saturating_add(n), counts.1.saturating_add(errors));
        };
        for Windowed { cell, .. } in &self.cells {
            match source {
                Source::Spans => cell.instances.iter().for_each(|(id, c)| add(*id, c.n, c.errors)),
                Source::Metrics => cell.metrics.iter().for_each(|(id, m)| add(*id, m.n, m.errors)),
            }
        }
        instances.remove(&InstanceId::UNNAMED);
        instances
    }

    /// Instances that are told apart.
    pub fn instances(&self, source: Source) -> u64 {
        self.counts(source).len() as u64
    }

    /// Requests, and those of them at or under each of some durations, in one window.
    pub(super) fn in_window(cell: &SealedCell, source: Source, thresholds_s: &[f64]) -> Vec<ClusterCount> {
        match source {
            Source::Spans => {
                let (n, weight) = (cell.latency.n() as f64, cell.latency.weight().max(1) as f64);
                let ns = |s: &f64| (s * 1e9).clamp(0.0, 2f64.powi(62)).round() as u64;
                let counts = cell.latency.at_or_under(&thresholds_s.iter().map(ns).collect::<Vec<_>>());
                // Scaled to requests, so that sampled spans do not count for more than they are.
                counts.into_iter().map(|count| cluster(n, count as f64 / weight * n)).collect()
            }
            Source::Metrics => {
                let parts: Vec<Binned> = cell.metrics.values().map(Binned::of).collect();
                let at = |s: &f64| parts.iter().map(|part| part.at_or_under(*s)).fold(cluster(0.0, 0.0), sum);
                thresholds_s.iter().map(at).collect()
            }
        }
    }

    /// The cells' counts by block of adjacent windows, and by episode.
    fn in_time(&self, counts: impl Iterator<Item = ClusterCount>) -> (Vec<ClusterCount>, Vec<ClusterCount>) {
        let width = self.cells.len().div_ceil(BLOCKS_MAX).max(1);
        let mut blocks = Vec::with_capacity(BLOCKS_MAX);
        let mut episodes: BTreeMap<u64, ClusterCount> = BTreeMap::new();
        for (at, (Windowed { episode, .. }, found)) in self.cells.iter().zip(counts).enumerate() {
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

    /// What clustering does to the share of requests at or under each of some durations.
    pub fn precisions(&self, source: Source, thresholds_s: &[f64]) -> Vec<Precision> {
        let n = self.effective_n(source);
        let instances = self.by_instance(source, thresholds_s);
        let windows: Vec<Vec<ClusterCount>> =
            self.cells.iter().map(|w| Self::in_window(&w.cell, source, thresholds_s)).collect();
        let at = |(threshold, instances)| {
            Precision::of(n, instances, self.in_time(windows.iter().map(|counts| counts[threshold])))
        };
        instances.into_iter().enumerate().map(at).collect()
    }

    /// Requests at or under each of some durations by instance; none when instances are not told apart.
    fn by_instance(&self, source: Source, thresholds_s: &[f64]) -> Vec<Vec<ClusterCount>> {
        match source {
            Source::Spans => {
                let mut instances = self.span_instances();
                instances.remove(&InstanceId::UNNAMED);
                let at = |s: &f64| {
                    let edge = nearest_edge(*s);
                    let count = |c: &InstanceCounts| cluster(c.n as f64, c.at_or_under(edge) as f64);
                    instances.values().map(count).collect()
                };
                thresholds_s.iter().map(at).collect()
            }
            Source::Metrics => {
                let mut instances = self.metric_instances();
                instances.remove(&InstanceId::UNNAMED);
                let instances: Vec<Binned> = instances.values().map(Binned::of).collect();
                let at = |s: &f64| instances.iter().map(|binned| binned.at_or_under(*s)).collect();
                thresholds_s.iter().map(at).collect()
            }
        }
    }

    /// What clustering does to the share of failed requests.
    pub fn error_precision(&self, source: Source) -> Precision {
        let of = |(n, errors): (u64, u64)| cluster(n as f64, errors as f64);
        let windows = self.cells.iter().map(|Windowed { cell, .. }| match source {
            Source::Spans => of((cell.latency.n(), cell.errors)),
            Source::Metrics => {
                cell.metrics.values().map(|s| of((s.n, s.errors))).fold(cluster(0.0, 0.0), sum)
            }
        });
        let instances = self.counts(source).into_values().map(of).collect();
        Precision::of(self.n(source) as f64, instances, self.in_time(windows))
    }
}

fn cluster(n: f64, at_or_under: f64) -> ClusterCount {
    ClusterCount { n, at_or_under }
}

fn sum(one: ClusterCount, other: ClusterCount) -> ClusterCount {
    cluster(one.n + other.n, one.at_or_under + other.at_or_under)
}

/// Requests whose durations arrived in buckets, ready to be counted at several thresholds.
struct Binned {
    n: f64,
    durations: Distribution,
}

impl Binned {
    fn of(sketch: &MetricSketch) -> Binned {
        Binned { n: sketch.n as f64, durations: sketch.distribution() }
    }

    fn at_or_under(&self, threshold_s: f64) -> ClusterCount {
        let (low, high) = self.durations.cdf_bounds(threshold_s);
        cluster(self.n, self.n * (low + high) / 2.0)
    }
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
