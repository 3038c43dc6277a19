//! A window that nothing is added to any more, merged over all shards. Cold plane.

use super::cardinality::Looked;
use super::cells::{Cells, ShapePlaces};
use super::grid::Grid;
use super::open::{Cell, OpenWindow, Seen, Subject, ValueCell};
use super::parents::Found;
use super::statements::Statements;
use super::streams::StreamHistory;
use super::warmup::Instances;
use crate::model::{DependencyId, EnvironmentId, InstanceId, ItemId, Limit, Limits, LimitsHit, ValueId};
use crate::sketch::{InstanceCounts, LatencySketch, MetricSketch, ValueSketch};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The evidence of one series in one environment and window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SealedCell {
    /// Durations of spans.
    pub latency: LatencySketch,
    /// Spans that failed.
    pub errors: u64,
    /// Spans that failed, by adjusted counts.
    pub error_weight: u64,
    /// Spans kept by a sampler that says so.
    pub sampled: u64,
    /// Spans without a parent.
    pub roots: u64,
    /// Spans by instance, rising: a list, because a tree has room for eleven where three are usual.
    pub instances: Vec<(InstanceId, InstanceCounts)>,
    /// Binned durations from metrics, by instance.
    pub metrics: BTreeMap<InstanceId, MetricSketch>,
    /// When its spans were; absent when there are only metrics.
    pub seen: Option<Seen>,
    /// What instances did that were warming up: no evidence, and no part of the fields above but of `seen`.
    #[serde(with = "warming")]
    pub warming: Option<Box<SealedCell>>,
    /// Attribute keys that spans had together, and how many spans, of instances that were warming up too. In no order: it
    /// depends on the shards.
    pub shapes: Vec<(Arc<[ItemId]>, u64)>,
}

/// A cell of instances that were warming up, which has no other one in it: so that no bytes nest one in the other without end.
mod warming {
    use super::SealedCell;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    type Plain<A, B, C, D, E> = (A, (u64, u64, u64, u64), B, C, D, E);

    pub fn serialize<S: Serializer>(cell: &Option<Box<SealedCell>>, to: S) -> Result<S::Ok, S::Error> {
        let plain = cell.as_deref().map(|cell| {
            let SealedCell { latency, errors, error_weight, sampled, roots, .. } = cell;
            let SealedCell { instances, metrics, seen, warming: _, shapes, .. } = cell;
            (latency, (errors, error_weight, sampled, roots), instances, metrics, seen, shapes)
        });
        plain.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Box<SealedCell>>, D::Error> {
        let plain = Option::<Plain<_, _, _, _, _>>::deserialize(from)?;
        Ok(plain.map(
            |(latency, (errors, error_weight, sampled, roots), instances, metrics, seen, shapes)| {
                let warming = None;
                Box::new(SealedCell {
                    latency,
                    errors,
                    error_weight,
                    sampled,
                    roots,
                    instances,
                    metrics,
                    seen,
                    warming,
                    shapes,
                })
            },
        ))
    }
}

impl SealedCell {
    /// Whether it holds requests of instances that are warm.
    pub fn has_evidence(&self) -> bool {
        self.latency.n() > 0 || !self.metrics.is_empty()
    }

    /// Every instance that has to do with it.
    pub fn who(&self) -> impl Iterator<Item = InstanceId> + '_ {
        self.parts().flat_map(|cell| {
            let spans = cell.instances.iter().map(|(id, _)| *id);
            spans.chain(cell.metrics.keys().copied())
        })
    }

    /// What warm instances did, and what others did.
    pub fn parts(&self) -> impl Iterator<Item = &SealedCell> {
        std::iter::once(self).chain(self.warming.as_deref())
    }

    /// What an instance did, which may be nothing yet.
    pub fn instance(&mut self, id: InstanceId) -> &mut InstanceCounts {
        let at = match self.instances.binary_search_by_key(&id, |(known, _)| *known) {
            Ok(at) => at,
            Err(at) => {
                self.instances.insert(at, (id, InstanceCounts::default()));
                at
            }
        };
        &mut self.instances[at].1
    }

    /// Adds what another cell holds.
    pub fn merge(&mut self, other: SealedCell) {
        self.latency.merge(&other.latency);
        self.errors += other.errors;
        self.error_weight += other.error_weight;
        self.sampled += other.sampled;
        self.roots += other.roots;
        for (id, counts) in other.instances {
            self.instance(id).merge(&counts);
        }
        for (id, sketch) in other.metrics {
            self.metrics.entry(id).or_default().merge(&sketch);
        }
        if let Some(seen) = other.seen {
            self.seen.get_or_insert(Seen { count: 0, ..seen }).merge(seen);
        }
        if let Some(cell) = other.warming {
            self.warming.get_or_insert_default().merge(*cell);
        }
        self.shapes.extend(other.shapes);
    }

    /// Nothing is added to it any more, so that it keeps no room.
    fn of(mut cell: Cell) -> SealedCell {
        cell.latency.shrink();
        cell.instances.sort_unstable_by_key(|(id, _)| *id);
        cell.instances.iter_mut().for_each(|(_, counts)| counts.shrink());
        cell.instances.shrink_to_fit();
        SealedCell {
            latency: cell.latency,
            errors: cell.errors,
            error_weight: cell.error_weight,
            sampled: cell.sampled,
            roots: cell.roots,
            instances: cell.instances,
            metrics: BTreeMap::new(),
            seen: Some(cell.seen),
            warming: None,
            shapes: cell.shapes.into_iter().map(|shape| (shape.items, shape.count)).collect(),
        }
    }
}

/// The points of one metric in one environment and window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SealedValue {
    /// By instance.
    pub instances: BTreeMap<InstanceId, ValueSketch>,
    /// Hashes of texts, keyed by the engine.
    pub texts: BTreeSet<u64>,
    /// Whether there were more texts than are kept.
    pub overflown: bool,
}

/// One window over all shards and environments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SealedWindow {
    /// Its place in the grid.
    pub index: u64,
    /// First nanosecond.
    pub start_ns: u64,
    /// First nanosecond after it.
    pub end_ns: u64,
    /// Evidence by environment and series.
    pub cells: Cells,
    /// Ordinary metrics by environment.
    pub values: BTreeMap<(EnvironmentId, ValueId), SealedValue>,
    /// Calls by environment and whom they go to; they are in the cells of their operations too.
    pub dependencies: BTreeMap<(EnvironmentId, DependencyId), SealedCell>,
    /// Telemetry items by environment.
    pub presence: BTreeMap<(EnvironmentId, ItemId), Seen>,
    /// Values of attributes by environment, of those that are in `presence`.
    pub cardinalities: BTreeMap<(EnvironmentId, ItemId), Looked>,
    /// Least arrival time less event time by environment, nanoseconds.
    pub delays: BTreeMap<EnvironmentId, i64>,
    /// Spans whose parent was looked for; empty until the windows around this one are sealed.
    #[serde(skip)]
    pub children: Found,
    /// What was said of each service.
    pub facts: BTreeMap<Subject, Statements>,
}

impl SealedWindow {
    /// A window without anything in it.
    pub fn empty(index: u64, grid: Grid) -> SealedWindow {
        SealedWindow {
            index,
            start_ns: grid.start_ns(index),
            end_ns: grid.end_ns(index),
            cells: Cells::new(grid.start_ns(index)),
            values: BTreeMap::new(),
            dependencies: BTreeMap::new(),
            presence: BTreeMap::new(),
            cardinalities: BTreeMap::new(),
            delays: BTreeMap::new(),
            children: Found::new(),
            facts: BTreeMap::new(),
        }
    }

    /// Seals an open window that has been merged over all shards.
    pub fn seal(
        index: u64,
        (grid, limits): (Grid, &Limits),
        mut open: OpenWindow,
        history: &mut StreamHistory,
        instances: &Instances,
        observed_from_ns: u64,
        hits: &mut LimitsHit,
    ) -> SealedWindow {
        let mut window = SealedWindow::empty(index, grid);
        open.settle_senders();
        window.presence = open.presence.into_iter().collect();
        window.delays = open.delays.into_iter().collect();
        window.facts = open.facts.into_iter().collect();
        for statements in window.facts.values_mut() {
            if statements.seal(limits.facts_per_service) {
                hits.count(Limit::FactsPerService);
            }
        }
        let settle = |environment: EnvironmentId, cell: &mut Cell| {
            let warming = cell.settle(|origin| instances.is_warming(environment, origin, window.start_ns));
            warming.map(|cell| Box::new(SealedCell::of(cell)))
        };
        let sealed = open.dependencies.into_iter().map(|(key, mut cell)| {
            let warming = settle(key.0, &mut cell);
            (key, SealedCell { warming, ..SealedCell::of(cell) })
        });
        window.dependencies = sealed.collect();
        let mut keys: Vec<_> = open.cells.keys().copied().collect();
        keys.sort_unstable();
        let mut places = ShapePlaces::default();
        for (environment, series) in keys {
            let Some(mut cell) = open.cells.remove(&(environment, series)) else { continue };
            let warming = settle(environment, &mut cell);
            for shape in &cell.shapes {
                for item in shape.items.iter() {
                    let seen = Seen { count: shape.count, instances: shape.instances, ..cell.seen };
                    window.presence.entry((environment, *item)).and_modify(|s| s.merge(seen)).or_insert(seen);
                }
            }
            let sealed = SealedCell { warming, ..SealedCell::of(cell) };
            window.cells.push((environment, series), sealed, &mut places);
        }
        window.cells.shrink();
        for (key, mut looked) in open.cardinalities.into_attributes() {
            if window.presence.contains_key(&key) {
                looked.values.shrink();
                window.cardinalities.insert(key, looked);
            }
        }
        let sealed = |cell: ValueCell| SealedValue {
            instances: cell.instances.into_iter().collect(),
            texts: cell.texts.into_iter().collect(),
            overflown: cell.overflown,
        };
        window.values = open.values.into_iter().map(|(key, cell)| (key, sealed(cell))).collect();
        history.apply(&mut window, (open.streams, open.numbers), instances, observed_from_ns, hits);
        window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_comes_back_from_its_bytes_and_cells_that_were_warming_up_nest_once() {
        let cell = |roots, warming: Option<SealedCell>| SealedCell {
            roots,
            warming: warming.map(Box::new),
            shapes: vec![(Arc::from([ItemId(3)]), 2)],
            ..SealedCell::default()
        };
        let nested = cell(1, Some(cell(2, Some(cell(3, None)))));
        let bytes = postcard::to_stdvec(&nested).unwrap();
        let back: SealedCell = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(format!("{back:?}"), format!("{:?}", cell(1, Some(cell(2, None)))));
    }
}
