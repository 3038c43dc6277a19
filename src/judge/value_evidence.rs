//! What a metric says on one side: numbers by window, gathered from the sealed windows, and their mean with its variance.

use super::compare::Context;
use super::evidence::{BLOCKS_MAX, LENDING_MIN, episodes};
use super::policy::Statistic;
use crate::model::{EnvironmentId, InstanceId, Instrument, ServiceKey, SpanKind, ValueId};
use crate::sketch::ValueSketch;
use crate::stats::ratio_of_sums::{Cluster, ClusterMean, estimate, in_time};
use crate::window::{SealedValue, SealedWindow};
use std::collections::BTreeMap;

/// One metric on both sides.
pub(super) type Sides<'a> = (ValueSide<'a>, ValueSide<'a>);

/// One metric on one side, windows rising.
#[derive(Debug, Default)]
pub(super) struct ValueSide<'a> {
    windows: Vec<Windowed<'a>>,
}

#[derive(Debug)]
struct Windowed<'a> {
    index: u64,
    episode: u64,
    seconds: f64,
    value: &'a SealedValue,
}

/// Incoming requests of a service by window.
pub(super) type Requests = BTreeMap<u64, f64>;

/// A statistic on one side.
#[derive(Clone, Debug)]
pub(super) struct Estimate {
    /// Over all windows.
    pub mean: f64,
    /// The mean's variance; zero when there is a single window.
    pub variance: f64,
    /// Its degrees of freedom.
    pub dof: f64,
    /// The statistic in each block of windows.
    pub blocks: Vec<f64>,
    /// How many instances are told apart.
    instances: usize,
    /// The variance between instances, where there are two or more.
    between: Option<ClusterMean>,
}

/// The metrics of one environment, and when it was observed.
pub(super) fn gather<'a>(
    context: &Context<'a>,
    environments: (EnvironmentId, EnvironmentId),
) -> BTreeMap<ValueId, Sides<'a>> {
    let mut found: BTreeMap<ValueId, Sides<'a>> = BTreeMap::new();
    for (at, environment, windows) in
        [(0, environments.0, &context.baseline), (1, environments.1, &context.candidate)]
    {
        let cells = |window: &&'a SealedWindow| {
            window.values.range((environment, ValueId(0))..=(environment, ValueId(u32::MAX)))
        };
        let active = windows.iter().filter(|window| cells(window).next().is_some());
        let episodes = episodes(active.map(|window| window.index));
        for window in windows {
            let episode = episodes.get(&window.index).copied().unwrap_or(0);
            let seconds = (window.end_ns - window.start_ns) as f64 / 1e9;
            for ((_, id), value) in cells(window) {
                let sides = found.entry(*id).or_default();
                let side = if at == 0 { &mut sides.0 } else { &mut sides.1 };
                side.windows.push(Windowed { index: window.index, episode, seconds, value });
            }
        }
    }
    found
}

/// Incoming requests by service and window: server and consumer spans by adjusted counts, else duration metrics.
pub(super) fn requests(
    context: &Context<'_>,
    environment: EnvironmentId,
    windows: &[&SealedWindow],
) -> BTreeMap<ServiceKey, Requests> {
    let mut found: BTreeMap<ServiceKey, Requests> = BTreeMap::new();
    for window in windows {
        for (series, cell) in window.cells.of(environment) {
            let key = context.names.series_key(series);
            if !matches!(key.kind, SpanKind::Server | SpanKind::Consumer) {
                continue;
            }
            // What an instance did while it warmed up is in the metric too.
            let n: f64 = cell.counts().into_iter().map(|counts| counts.requests() as f64).sum();
            *found.entry(key.service.clone()).or_default().entry(window.index).or_default() += n;
        }
    }
    found
}

impl ValueSide<'_> {
    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// All texts, and whether some were not kept.
    pub fn texts(&self) -> (std::collections::BTreeSet<u64>, bool) {
        let texts = self.windows.iter().flat_map(|window| window.value.texts.iter().copied()).collect();
        (texts, self.windows.iter().any(|window| window.value.overflown))
    }

    /// A statistic with its variance; `None` when the metric has none such.
    pub fn estimate(
        &self,
        instrument: Instrument,
        statistic: Statistic,
        per_request: Option<&Requests>,
    ) -> Option<Estimate> {
        let clusters = self.clusters(instrument, statistic, per_request);
        let m: f64 = clusters.iter().map(|(_, cluster)| cluster.m).sum();
        if m <= 0.0 {
            return None;
        }
        let width = clusters.len().div_ceil(BLOCKS_MAX).max(1);
        let blocks: Vec<Cluster> =
            clusters.chunks(width).map(|c| c.iter().map(|(_, one)| *one).fold(NONE, sum)).collect();
        let mut by_episode: BTreeMap<u64, Cluster> = BTreeMap::new();
        for (episode, cluster) in &clusters {
            let known = by_episode.entry(*episode).or_insert(NONE);
            *known = sum(*known, *cluster);
        }
        let by_episode: Vec<Cluster> = by_episode.into_values().collect();
        let instances = match (statistic, per_request) {
            (Statistic::Mean, None) => self.by_instance(),
            _ => Vec::new(),
        };
        let between = estimate(&instances);
        let episodes = if by_episode.len() >= LENDING_MIN { estimate(&by_episode) } else { None };
        let worst = [in_time(&blocks), episodes, between]
            .into_iter()
            .flatten()
            .max_by(|a, b| a.variance.total_cmp(&b.variance).then(b.dof.total_cmp(&a.dof)));
        let mean = blocks.iter().map(|block| block.y).sum::<f64>() / m;
        let stated = |block: &Cluster| (block.m > 0.0).then(|| block.y / block.m);
        Some(Estimate {
            mean,
            variance: worst.map_or(0.0, |worst| worst.variance),
            dof: worst.map_or(1.0, |worst| worst.dof),
            blocks: blocks.iter().filter_map(stated).collect(),
            instances: instances.len(),
            between,
        })
    }

    /// What was measured in each window, and over how much, with the window's episode.
    fn clusters(
        &self,
        instrument: Instrument,
        statistic: Statistic,
        per_request: Option<&Requests>,
    ) -> Vec<(u64, Cluster)> {
        let mut clusters: BTreeMap<u64, (u64, Cluster)> = BTreeMap::new();
        let mut before: Option<(u64, u64)> = None;
        for window in &self.windows {
            let mut all = ValueSketch::default();
            window.value.instances.values().for_each(|sketch| all.merge(sketch));
            let cluster = match statistic {
                Statistic::Rate => growth(instrument, &all).map(|y| {
                    let gap = before.filter(|(_, episode)| *episode == window.episode);
                    let m = match gap {
                        Some((index, _)) => (window.index - index) as f64 * window.seconds,
                        // What points say that they cover counts where nothing came before.
                        None => window.seconds.max(covered(window.value)),
                    };
                    before = Some((window.index, window.episode));
                    Cluster { y, m }
                }),
                Statistic::Mean => {
                    (all.count > 0).then(|| Cluster { y: all.sum_nano as f64 / 1e9, m: all.count as f64 })
                }
                Statistic::Last => last(window.value),
                Statistic::Max => all.levels.max().map(|y| Cluster { y, m: 1.0 }),
                Statistic::P50 => all.quantile(0.5).map(|y| Cluster { y, m: 1.0 }),
                Statistic::P95 => all.quantile(0.95).map(|y| Cluster { y, m: 1.0 }),
            };
            if let Some(cluster) = cluster {
                clusters.insert(window.index, (window.episode, cluster));
            }
        }
        if let Some(requests) = per_request {
            normalise(&mut clusters, statistic, requests);
        }
        clusters.into_values().collect()
    }

    /// Sum and count of each instance.
    fn by_instance(&self) -> Vec<Cluster> {
        let mut found: BTreeMap<InstanceId, Cluster> = BTreeMap::new();
        for (id, sketch) in self.windows.iter().flat_map(|window| &window.value.instances) {
            if *id != InstanceId::UNNAMED && sketch.count > 0 {
                let known = found.entry(*id).or_insert(NONE);
                *known = sum(*known, Cluster { y: sketch.sum_nano as f64 / 1e9, m: sketch.count as f64 });
            }
        }
        found.into_values().collect()
    }
}

const NONE: Cluster = Cluster { y: 0.0, m: 0.0 };

fn sum(one: Cluster, other: Cluster) -> Cluster {
    Cluster { y: one.y + other.y, m: one.m + other.m }
}

/// What a metric grew by in a window; `None` when no point says so.
fn growth(instrument: Instrument, all: &ValueSketch) -> Option<f64> {
    match instrument {
        Instrument::Counter | Instrument::Change => Some(all.sum_nano as f64 / 1e9),
        Instrument::Histogram => Some(all.count as f64),
        // A summary whose first point only marks where counting begins has quantiles and no count.
        Instrument::Summary => (all.count > 0 || all.span_ns.is_some()).then_some(all.count as f64),
        Instrument::Level | Instrument::Size | Instrument::Text => None,
    }
}

/// The longest time that an instance's points speak of, seconds.
fn covered(value: &SealedValue) -> f64 {
    let spans = value.instances.values().filter_map(|sketch| sketch.span_ns);
    spans.map(|(start, end)| (end - start) as f64 / 1e9).fold(0.0, f64::max)
}

/// The mean of the instances' last levels.
fn last(value: &SealedValue) -> Option<Cluster> {
    let levels: Vec<f64> = value.instances.values().filter_map(|sketch| Some(sketch.last?.1)).collect();
    (!levels.is_empty()).then(|| Cluster { y: levels.iter().sum::<f64>() / levels.len() as f64, m: 1.0 })
}

/// Divides by requests instead of seconds or points. A rate is measured against all requests, also of windows in which
/// nothing was counted; anything else only where it was measured.
fn normalise(clusters: &mut BTreeMap<u64, (u64, Cluster)>, statistic: Statistic, requests: &Requests) {
    for (index, (_, cluster)) in clusters.iter_mut() {
        let n = requests.get(index).copied().unwrap_or(0.0);
        let y = if statistic == Statistic::Rate { cluster.y } else { cluster.y / cluster.m };
        *cluster = Cluster { y, m: n };
    }
    if statistic == Statistic::Rate {
        for (index, n) in requests {
            let episode = clusters.range(..index).next_back().map_or(0, |(_, (episode, _))| *episode);
            clusters.entry(*index).or_insert((episode, Cluster { y: 0.0, m: *n }));
        }
    }
}

impl Estimate {
    /// A statistic whose variance is known.
    #[cfg(test)]
    pub fn known(mean: f64, variance: f64, blocks: &[f64]) -> Estimate {
        let dof = blocks.len() as f64 - 1.0;
        Estimate { mean, variance, dof, blocks: blocks.to_vec(), instances: 0, between: None }
    }

    /// With one or two instances the variance between them cannot be estimated: that of a side which has more is taken,
    /// relative to the mean.
    pub fn borrowing(mut self, lender: &Estimate) -> Estimate {
        let Some(lent) = lender.between.filter(|_| lender.instances >= LENDING_MIN) else { return self };
        if !(1..LENDING_MIN).contains(&self.instances) || lender.mean == 0.0 {
            return self;
        }
        let single = lent.variance * lender.instances as f64 * (self.mean / lender.mean).powi(2);
        let variance = single / self.instances as f64;
        if variance > self.variance {
            (self.variance, self.dof) = (variance, lent.dof);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(instance: u64, levels: &[f64], grown: Option<(u64, u64, i128)>) -> (InstanceId, ValueSketch) {
        let mut sketch = ValueSketch::default();
        levels.iter().for_each(|level| sketch.record_level(1, *level, crate::sketch::value::nano(*level)));
        if let Some((start, end, sum)) = grown {
            sketch.record_growth((start, end), 0, sum * 1_000_000_000);
        }
        (InstanceId(instance), sketch)
    }

    fn side(windows: &[(u64, u64, SealedValue)]) -> ValueSide<'_> {
        let windows = windows.iter().map(|(index, episode, value)| Windowed {
            index: *index,
            episode: *episode,
            seconds: 60.0,
            value,
        });
        ValueSide { windows: windows.collect() }
    }

    fn value(instances: Vec<(InstanceId, ValueSketch)>) -> SealedValue {
        SealedValue { instances: instances.into_iter().collect(), ..SealedValue::default() }
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn windows_without_points_count_in_a_rate_and_gaps_between_recordings_do_not() {
        let grown = |from: u64, to: u64, sum: i128| {
            value(vec![sketch(0, &[], Some((from * SECOND, to * SECOND, sum)))])
        };
        // Sixty in the first minute, nothing in the second, sixty in the third; hours later sixty in one minute.
        let windows =
            [(0, 0, grown(1, 60, 60)), (2, 0, grown(121, 180, 60)), (500, 1, grown(30_000, 30_060, 60))];
        let rate = side(&windows).estimate(Instrument::Counter, Statistic::Rate, None).unwrap();
        assert_eq!(rate.blocks, [1.0, 0.5, 1.0]);
        assert_eq!(rate.mean, 180.0 / 240.0);
        // A point that speaks of five minutes is not squeezed into one.
        let long = [(0, 0, grown(1, 301, 600))];
        assert_eq!(side(&long).estimate(Instrument::Counter, Statistic::Rate, None).unwrap().mean, 2.0);
    }

    #[test]
    fn a_rate_per_request_counts_requests_of_windows_in_which_nothing_was_counted() {
        let windows = [(3, 0, value(vec![sketch(0, &[], Some((SECOND, 60 * SECOND, 30)))]))];
        let requests = Requests::from([(3, 10.0), (4, 20.0)]);
        let found = side(&windows).estimate(Instrument::Counter, Statistic::Rate, Some(&requests)).unwrap();
        assert_eq!((found.mean, found.blocks), (1.0, vec![3.0, 0.0]));
        assert!(
            side(&windows).estimate(Instrument::Counter, Statistic::Rate, Some(&Requests::new())).is_none()
        );
    }

    #[test]
    fn instances_that_differ_are_worth_less_than_windows_that_do_not() {
        let both =
            || value(vec![sketch(1, &[10.0], None), sketch(2, &[20.0], None), sketch(3, &[15.0], None)]);
        let windows: Vec<_> = (0..8).map(|index| (index, 0, both())).collect();
        let found = side(&windows).estimate(Instrument::Level, Statistic::Mean, None).unwrap();
        assert_eq!((found.mean, found.dof), (15.0, 2.0));
        assert!((found.variance - 25.0 / 3.0).abs() < 1e-9, "{}", found.variance);
        // A candidate with a single instance knows nothing of that variance, and borrows it.
        let alone: Vec<_> = (0..8).map(|index| (index, 0, value(vec![sketch(9, &[30.0], None)]))).collect();
        let single = side(&alone).estimate(Instrument::Level, Statistic::Mean, None).unwrap();
        assert_eq!(single.variance, 0.0);
        let borrowed = single.borrowing(&found);
        assert!((borrowed.variance - 100.0).abs() < 1e-9 && borrowed.dof == 2.0, "{borrowed:?}");
    }

    #[test]
    fn what_an_instrument_does_not_have_is_no_estimate() {
        let windows = [(0, 0, value(vec![sketch(0, &[1.0], None)]))];
        let of = |instrument, statistic| side(&windows).estimate(instrument, statistic, None).is_some();
        assert!(of(Instrument::Level, Statistic::Last) && of(Instrument::Level, Statistic::Max));
        assert!(!of(Instrument::Level, Statistic::Rate));
    }
}
