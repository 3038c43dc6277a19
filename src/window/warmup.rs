//! When each instance began, and until when what it does is no evidence.
//!
//! An instance begins at its resource's `process.creation.time`; else at the earliest time that the first window in which
//! it was met speaks of. That first window is the same in whatever order requests arrive, so what is left out is too: it is
//! decided at the seal, where a window is left out for an instance if it begins before the instance's warm-up ends. Until
//! then a shard keeps apart what may have to be left out ([`super::open::Young`]).
//!
//! Who was there when the watching began is not new, and cannot be told from who began with it: an instance that is first
//! met within one warm-up of that moment counts as warm. On recorded input nobody watched, and every instance's first
//! minutes are left out alike.

use super::open::OpenWindow;
use super::streams::Target;
use crate::model::{EnvironmentId, InstanceId, Limit, LimitsHit, ServiceId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// One instance of a service in an environment, and when it says that it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// Of which service.
    pub service: ServiceId,
    /// Which instance.
    pub instance: InstanceId,
    /// `process.creation.time`, nanoseconds since the epoch; `None` when the resource does not state it.
    pub created_ns: Option<u64>,
}

type Key = (EnvironmentId, ServiceId, InstanceId);

/// The instances that have been met.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Instances {
    warmup_ns: u64,
    watched_from_ns: u64,
    /// When each instance began that does not state it, nanoseconds since the epoch.
    began_ns: HashMap<Key, u64>,
    limit: usize,
}

impl Instances {
    /// Nobody met. Leaves out `warmup_ns` nanoseconds, nothing when zero; watches since `watched_from_ns`, nanoseconds
    /// since the epoch, zero on recorded input; remembers `limit` instances.
    pub fn new(warmup_ns: u64, watched_from_ns: u64, limit: usize) -> Instances {
        Instances { warmup_ns, watched_from_ns, began_ns: HashMap::new(), limit }
    }

    /// Another warm-up since `now_ns`. Where there was none nobody was watched until now.
    pub fn change(&mut self, warmup_ns: u64, now_ns: u64) {
        if self.warmup_ns == 0 {
            self.watched_from_ns = now_ns;
        }
        if warmup_ns == 0 {
            self.began_ns.clear();
        }
        self.warmup_ns = warmup_ns;
    }

    /// Remembers `limit` instances from now on.
    pub fn bound(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The instance's first warm nanosecond since the epoch, zero when it was never new; `None` when it has not been met.
    pub fn warm_from_ns(&self, environment: EnvironmentId, origin: Origin) -> Option<u64> {
        if self.warmup_ns == 0 {
            return Some(0);
        }
        if let Some(created_ns) = origin.created_ns {
            return Some(created_ns.saturating_add(self.warmup_ns));
        }
        let began_ns = *self.began_ns.get(&(environment, origin.service, origin.instance))?;
        let new = began_ns >= self.watched_from_ns.saturating_add(self.warmup_ns);
        Some(if new || self.watched_from_ns == 0 { began_ns.saturating_add(self.warmup_ns) } else { 0 })
    }

    /// Whether a window that starts then is no evidence of an instance. One that could not be remembered counts as warm.
    pub fn is_warming(&self, environment: EnvironmentId, origin: Origin, window_start_ns: u64) -> bool {
        self.warm_from_ns(environment, origin).is_some_and(|warm_from_ns| window_start_ns < warm_from_ns)
    }

    /// Remembers the instances that a window, merged over all shards, is the first to hold. Windows come in rising order.
    /// Returns whether there were any.
    pub fn meet(&mut self, window: &OpenWindow, hits: &mut LimitsHit) -> bool {
        if self.warmup_ns == 0 {
            return false;
        }
        let spans = window.cells.iter().flat_map(|((environment, _), cell)| {
            cell.young.iter().map(|young| (*environment, young.origin, young.requests.seen.first_ns))
        });
        let durations =
            window.streams.values().filter(|point| matches!(point.target, Target::Requests { .. }));
        let points = durations.map(|point| (point.environment, point.origin, point.since_ns()));
        let mut found: BTreeMap<Key, u64> = BTreeMap::new();
        for (environment, origin, time_ns) in spans.chain(points) {
            let key = (environment, origin.service, origin.instance);
            if origin.created_ns.is_none() && !self.began_ns.contains_key(&key) {
                found.entry(key).and_modify(|first| *first = time_ns.min(*first)).or_insert(time_ns);
            }
        }
        let known = self.began_ns.len();
        for (key, began_ns) in found {
            if self.began_ns.len() < self.limit {
                self.began_ns.insert(key, began_ns);
            } else {
                hits.count(Limit::Instances);
            }
        }
        self.began_ns.len() > known
    }

    /// Whether no further instance can be remembered.
    pub fn is_full(&self) -> bool {
        self.began_ns.len() >= self.limit
    }

    /// Forgets the instances for which `alive` is false.
    pub fn retain(&mut self, alive: impl Fn(EnvironmentId, InstanceId) -> bool) {
        self.began_ns.retain(|(environment, _, instance), _| alive(*environment, *instance));
    }
}
