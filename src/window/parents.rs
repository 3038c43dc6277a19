//! Spans whose parent never came: a sample of traces (hot plane), and the search for parents in it (cold plane).
//!
//! A trace is in the sample if a fixed mix of its id lies under a threshold, so that every shard, window and process keeps the
//! same traces. A sample that is full halves its threshold and lets go of what lies above: what it holds in the end depends on
//! what came and not on its order. The mix is of all bytes, since samplers decide by the last ones.
//!
//! A span lies in the window in which it ends, and its parent may end in another one. So a window is searched when those within
//! a minute around it (one on either side at least) are sealed, at the least of their thresholds: of the traces under it all of
//! them hold every span.

use crate::model::{EnvironmentId, ServiceId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use xxhash_rust::xxh3::xxh3_64;

/// How far from a span its parent is looked for, nanoseconds; one window at least.
const REACH_NS: u64 = 60_000_000_000;

/// A span of a trace that is in the sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SampledSpan {
    /// The mix of its trace's id.
    pub trace: u64,
    /// Never zero.
    pub span_id: u64,
    /// Zero for a root.
    pub parent_span_id: u64,
    /// Who sent it.
    pub service: ServiceId,
}

/// How many windows of this width a search reaches back and ahead.
fn reach(window_ns: u64) -> u64 {
    REACH_NS.div_ceil(window_ns.max(1))
}

/// How many sealed windows of this width a search holds the samples of.
pub fn windows_held(window_ns: u64) -> u64 {
    2 * reach(window_ns) + 1
}

/// The mix of a trace's id that decides whether it is in the sample.
#[inline]
pub fn mix(trace_id: &[u8]) -> u64 {
    xxh3_64(trace_id)
}

/// Every span of some traces, of one environment in one window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceSample {
    /// Traces under it are in the sample.
    threshold: u64,
    spans: Vec<SampledSpan>,
}

impl Default for TraceSample {
    fn default() -> Self {
        TraceSample { threshold: u64::MAX, spans: Vec::new() }
    }
}

impl TraceSample {
    /// Takes in a span if its trace is in the sample, which holds `most` spans at the most.
    #[inline]
    pub fn add(&mut self, span: SampledSpan, most: usize) {
        if span.trace < self.threshold {
            self.spans.push(span);
            self.shrink(most);
        }
    }

    /// Adds what another shard has of the same window.
    pub fn merge(&mut self, other: TraceSample, most: usize) {
        self.threshold = self.threshold.min(other.threshold);
        self.spans.extend(other.spans);
        self.spans.retain(|span| span.trace < self.threshold);
        self.shrink(most);
    }

    /// As two samples of the same traces: of the services that are wanted, and of the others.
    pub(super) fn split(self, wanted: impl Fn(ServiceId) -> bool) -> [TraceSample; 2] {
        let (theirs, others) = self.spans.into_iter().partition(|span| wanted(span.service));
        [theirs, others].map(|spans| TraceSample { threshold: self.threshold, spans })
    }

    /// The same with other numbers for services; without the spans of those that have none.
    pub(super) fn with_services(self, mut new: impl FnMut(ServiceId) -> Option<ServiceId>) -> TraceSample {
        let TraceSample { threshold, spans } = self;
        let spans =
            spans.into_iter().filter_map(|SampledSpan { trace, span_id, parent_span_id, service }| {
                Some(SampledSpan { trace, span_id, parent_span_id, service: new(service)? })
            });
        TraceSample { threshold, spans: spans.collect() }
    }

    fn shrink(&mut self, most: usize) {
        // No mix lies under zero, where this ends at the latest.
        while self.spans.len() > most {
            self.threshold /= 2;
            self.spans.retain(|span| span.trace < self.threshold);
        }
    }
}

/// Spans of one service in one window whose parent was looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Children {
    /// Spans with a parent.
    pub n: u64,
    /// Of these, spans whose parent never came.
    pub broken: u64,
}

/// What is found in one window.
pub type Found = BTreeMap<(EnvironmentId, ServiceId), Children>;

/// Looks for parents as windows are sealed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ParentSearch {
    /// Windows on either side.
    reach: u64,
    /// The first window around which all was watched.
    from: u64,
    environments: BTreeMap<EnvironmentId, Traces>,
}

/// The sampled traces of one environment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Traces {
    /// Samples by window, each span once.
    samples: BTreeMap<u64, TraceSample>,
    /// How often each trace and span id is in the samples within reach.
    known: HashMap<(u64, u64), u32>,
    /// Windows before this one are known, or were.
    known_to: u64,
    /// Windows before this one have been searched.
    searched_to: u64,
}

impl ParentSearch {
    /// A search in windows of this width, of which those before `watched_from_ns` were not all seen; zero on recorded input,
    /// where nothing was before the first.
    pub fn new(window_ns: u64, watched_from_ns: u64) -> ParentSearch {
        let window_ns = window_ns.max(1);
        let reach = reach(window_ns);
        let from = if watched_from_ns == 0 { 0 } else { watched_from_ns.div_ceil(window_ns) + reach };
        ParentSearch { reach, from, environments: BTreeMap::new() }
    }

    /// Takes in what a window holds that has been sealed.
    pub fn add(&mut self, window: u64, samples: impl IntoIterator<Item = (EnvironmentId, TraceSample)>) {
        for (environment, mut sample) in samples {
            let traces = self.environments.entry(environment).or_default();
            // What comes so late cannot be told from what was lost.
            if window >= traces.known_to {
                sample.spans.sort_unstable();
                sample.spans.dedup();
                traces.samples.insert(window, sample);
            }
        }
    }

    /// Searches the windows around which all are sealed, `sealed` being the last one that is; what is found by window.
    pub fn search(&mut self, sealed: u64) -> BTreeMap<u64, Found> {
        let mut found: BTreeMap<u64, Found> = BTreeMap::new();
        for (environment, traces) in &mut self.environments {
            let ready = sealed.checked_sub(self.reach);
            let ready: Vec<u64> = ready.map_or_else(Vec::new, |last| {
                traces
                    .samples
                    .range(traces.searched_to..)
                    .map(|(at, _)| *at)
                    .take_while(|at| *at <= last)
                    .collect()
            });
            for window in ready {
                let first = window.saturating_sub(self.reach);
                let end = window.saturating_add(self.reach).saturating_add(1);
                traces.leave(first);
                traces.meet(end);
                if window >= self.from {
                    let of_window = found.entry(window).or_default();
                    for (service, children) in traces.children(window) {
                        of_window.insert((*environment, service), children);
                    }
                }
                traces.searched_to = window + 1;
            }
            // Whatever is sealed later begins after this.
            traces.leave((sealed.saturating_sub(self.reach) + 1).saturating_sub(self.reach));
        }
        self.environments.retain(|_, traces| !traces.samples.is_empty());
        found
    }
}

impl Traces {
    /// Forgets the windows before `first`, which are all known.
    fn leave(&mut self, first: u64) {
        let stay = self.samples.split_off(&first);
        for sample in std::mem::replace(&mut self.samples, stay).into_values() {
            for span in &sample.spans {
                let key = (span.trace, span.span_id);
                match self.known.get_mut(&key) {
                    Some(times) if *times > 1 => *times -= 1,
                    _ => drop(self.known.remove(&key)),
                }
            }
        }
    }

    /// Makes the windows before `end` known.
    fn meet(&mut self, end: u64) {
        for (_, sample) in self.samples.range(self.known_to..end.max(self.known_to)) {
            for span in &sample.spans {
                *self.known.entry((span.trace, span.span_id)).or_default() += 1;
            }
        }
        self.known_to = self.known_to.max(end);
    }

    /// The spans of a window with a parent, by service, and those whose parent is in none of the known windows.
    fn children(&self, window: u64) -> BTreeMap<ServiceId, Children> {
        let mut found: BTreeMap<ServiceId, Children> = BTreeMap::new();
        let Some(sample) = self.samples.get(&window) else { return found };
        let known = self.samples.range(..self.known_to);
        let threshold = known.map(|(_, sample)| sample.threshold).min().unwrap_or(0);
        let whole = sample.spans.iter().filter(|span| span.trace < threshold);
        for span in whole.filter(|span| span.parent_span_id != 0) {
            let children = found.entry(span.service).or_default();
            children.n += 1;
            children.broken += u64::from(!self.known.contains_key(&(span.trace, span.parent_span_id)));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const PROD: EnvironmentId = EnvironmentId(0);
    const CART: ServiceId = ServiceId(0);
    const MINUTE: u64 = REACH_NS;

    fn span(trace: u64, span_id: u64, parent_span_id: u64) -> SampledSpan {
        SampledSpan { trace, span_id, parent_span_id, service: CART }
    }

    fn sample(spans: &[SampledSpan], most: usize) -> TraceSample {
        let mut sample = TraceSample::default();
        spans.iter().for_each(|span| sample.add(*span, most));
        sample
    }

    /// What is found of one service in one environment when the windows up to each of `sealed` are, one after the other.
    fn search(windows: &[(u64, TraceSample)], sealed: &[u64]) -> BTreeMap<u64, (u64, u64)> {
        let mut search = ParentSearch::new(MINUTE, 0);
        let mut found = BTreeMap::new();
        let mut from = 0;
        for sealed in sealed {
            for (window, sample) in windows.iter().filter(|(at, _)| (from..=*sealed).contains(at)) {
                search.add(*window, [(PROD, sample.clone())]);
            }
            from = sealed.saturating_add(1);
            for (window, of_window) in search.search(*sealed) {
                let children = of_window.get(&(PROD, CART)).copied().unwrap_or_default();
                assert!(found.insert(window, (children.n, children.broken)).is_none(), "searched once");
            }
        }
        assert!(sealed.last() != Some(&u64::MAX) || search.environments.is_empty(), "{search:?}");
        found
    }

    #[test]
    fn a_parent_is_found_one_window_away_and_not_two() {
        let child = |window: u64, parent: u64| (window, sample(&[span(7, 100 + window, parent)], 9));
        let parent = |window: u64| (window, sample(&[span(7, 1, 0)], 9));
        for (distance, broken) in [(0, 0), (1, 0), (2, 1)] {
            let (early, late) = (10, 10 + distance);
            let pair = [span(7, 110, 1), span(7, 1, 0)];
            let (after, before) = match distance {
                0 => (vec![(10, sample(&pair, 9))], vec![(10, sample(&pair, 9))]),
                _ => (vec![child(early, 1), parent(late)], vec![parent(early), child(late, 1)]),
            };
            for (windows, at) in [(after, early), (before, late)] {
                assert_eq!(search(&windows, &[u64::MAX])[&at], (1, broken), "{distance} apart");
            }
        }
        // Another trace's span of that id is no parent.
        let strange = [(10, sample(&[span(7, 2, 1), span(8, 1, 0)], 9))];
        assert_eq!(search(&strange, &[u64::MAX])[&10], (1, 1));
    }

    #[test]
    fn a_window_is_searched_when_the_next_one_is_sealed_and_the_one_before_it_was_watched() {
        let windows: Vec<_> = (5..8).map(|at| (at, sample(&[span(7, at, 1)], 9))).collect();
        let at = |sealed: &[u64]| search(&windows, sealed).into_keys().collect::<Vec<_>>();
        assert_eq!(
            (at(&[5]), at(&[5, 6]), at(&[5, 6, 7]), at(&[7, 9])),
            (vec![], vec![5], vec![5, 6], vec![5, 6, 7])
        );
        let mut live = ParentSearch::new(MINUTE, 5 * MINUTE - 1);
        windows.iter().for_each(|(at, sample)| live.add(*at, [(PROD, sample.clone())]));
        assert_eq!(live.search(9).into_keys().collect::<Vec<_>>(), [6, 7]);
        assert!(live.environments.is_empty(), "nothing is kept of what no search needs");
    }

    #[test]
    fn short_windows_are_searched_as_far_as_a_minute_reaches() {
        let second = MINUTE / 60;
        for (distance, broken) in [(60, 0), (61, 1)] {
            let mut search = ParentSearch::new(second, 0);
            search.add(100, [(PROD, sample(&[span(7, 2, 1)], 9))]);
            search.add(100 + distance, [(PROD, sample(&[span(7, 1, 0)], 9))]);
            let found = search.search(u64::MAX);
            assert_eq!(found[&100][&(PROD, CART)], Children { n: 1, broken });
        }
    }

    #[test]
    fn a_span_that_came_twice_counts_once() {
        let twice =
            [span(7, 2, 1), span(7, 2, 1), span(7, 1, 0), span(7, 1, 0), span(7, 3, 9), span(7, 3, 9)];
        assert_eq!(search(&[(1, sample(&twice, 9))], &[u64::MAX])[&1], (2, 1));
    }

    #[test]
    fn a_trace_is_searched_only_where_all_windows_around_hold_it() {
        // The next window lets go of the upper half, and with it of the parent.
        let high = u64::MAX - 1;
        let child = sample(&[span(high, 2, 1), span(3, 2, 1)], 9);
        let full = sample(&[span(high, 1, 0), span(3, 1, 0)], 1);
        assert_eq!(search(&[(1, child), (2, full)], &[u64::MAX])[&1], (1, 0));
    }

    #[test]
    fn a_trace_that_fills_the_sample_alone_goes_out_and_hostile_ids_end_it() {
        let one = sample(&vec![span(5, 1, 0); 20], 9);
        assert_eq!((one.spans.len(), one.threshold > 0), (0, true));
        let lowest = sample(&vec![span(0, 1, 0); 20], 9);
        assert_eq!(lowest, TraceSample { threshold: 0, spans: Vec::new() });
    }

    fn any_span() -> impl Strategy<Value = SampledSpan> {
        let trace = prop_oneof![any::<u64>(), 0..64u64, Just(u64::MAX)];
        (trace, 1..6u64, 0..6u64).prop_map(|(trace, id, parent)| span(trace, id, parent))
    }

    fn sorted(mut sample: TraceSample) -> TraceSample {
        sample.spans.sort_unstable();
        sample
    }

    /// The same by its definition.
    fn naive(windows: &[(u64, TraceSample)]) -> BTreeMap<u64, (u64, u64)> {
        let of = |(at, sample): &(u64, TraceSample)| {
            let near: Vec<_> = windows.iter().filter(|(other, _)| at.abs_diff(*other) <= 1).collect();
            let threshold = near.iter().map(|(_, sample)| sample.threshold).min().unwrap();
            let mut spans = sorted(sample.clone()).spans;
            spans.dedup();
            spans.retain(|span| span.trace < threshold && span.parent_span_id != 0);
            let came = |child: &SampledSpan| {
                let is_parent =
                    |span: &SampledSpan| (span.trace, span.span_id) == (child.trace, child.parent_span_id);
                near.iter().flat_map(|(_, sample)| &sample.spans).any(is_parent)
            };
            let broken = spans.iter().filter(|span| !came(span)).count();
            (*at, (spans.len() as u64, broken as u64))
        };
        windows.iter().map(of).collect()
    }

    proptest! {
        #[test]
        fn a_sample_depends_on_what_came_and_on_neither_order_nor_shards(
            (spans, shuffled) in vec(any_span(), 0..60).prop_flat_map(|spans| (Just(spans.clone()), Just(spans).prop_shuffle())),
            most in 1..20usize,
            cut in 0..60usize,
        ) {
            let whole = sorted(sample(&spans, most));
            prop_assert!(whole.spans.len() <= most);
            let (one, two) = shuffled.split_at(cut.min(shuffled.len()));
            let mut merged = sample(one, most);
            merged.merge(sample(two, most), most);
            prop_assert_eq!(sorted(merged), whole);
        }

        #[test]
        fn what_is_found_does_not_depend_on_how_many_windows_are_sealed_at_a_time(
            spans in vec((0..10u64, any_span()), 0..120), most in 1..20usize, stops in vec(0..10u64, 0..5),
        ) {
            let mut windows: BTreeMap<u64, TraceSample> = BTreeMap::new();
            for (window, span) in spans {
                windows.entry(window).or_default().add(span, most);
            }
            let windows: Vec<_> = windows.into_iter().collect();
            let mut stops = stops;
            stops.sort_unstable();
            stops.dedup();
            stops.push(u64::MAX);
            prop_assert_eq!(search(&windows, &stops), naive(&windows));
        }
    }
}
