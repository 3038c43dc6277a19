//! When a window is complete: each environment's own event-time clock.
//!
//! An environment's watermark is the latest event time seen in it. A window is complete when every environment
//! that is not idle has passed its end by the allowed lateness. An environment that has sent nothing for the idle
//! time holds back nobody; when all are idle, the agent's clock decides.

use serde::{Deserialize, Serialize};

/// One environment's progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The latest event time seen, nanoseconds since the epoch.
    pub watermark_ns: u64,
    /// When something last arrived, nanoseconds since the epoch by the agent's clock.
    pub arrived_ns: u64,
}

impl Progress {
    /// The later of two shards' views of the same environment.
    pub fn merge(self, other: Progress) -> Progress {
        Progress {
            watermark_ns: self.watermark_ns.max(other.watermark_ns),
            arrived_ns: self.arrived_ns.max(other.arrived_ns),
        }
    }
}

/// How long to wait for late data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How far the watermark must be past a window's end, nanoseconds.
    pub lateness_ns: u64,
    /// After how long without arrivals an environment is idle, nanoseconds.
    pub idle_ns: u64,
}

/// The event time up to which windows are complete at `now_ns`; `None` when no environment has been seen.
pub fn complete_through(now_ns: u64, patience: Patience, environments: &[Progress]) -> Option<u64> {
    let latest = environments.iter().map(|env| env.watermark_ns).max()?;
    let active = environments.iter().filter(|env| env.arrived_ns.saturating_add(patience.idle_ns) > now_ns);
    let slowest = active.map(|env| env.watermark_ns).min();
    match slowest {
        Some(watermark) => Some(watermark.saturating_sub(patience.lateness_ns)),
        // All are idle: nothing more is expected of what has arrived, so the latest window closes too.
        None => Some(latest.saturating_add(1).max(now_ns.saturating_sub(patience.lateness_ns))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { lateness_ns: 10, idle_ns: 100 };

    fn progress(watermark_ns: u64, arrived_ns: u64) -> Progress {
        Progress { watermark_ns, arrived_ns }
    }

    #[test]
    fn the_slowest_active_environment_decides() {
        assert_eq!(complete_through(1_000, PATIENCE, &[progress(900, 999), progress(950, 990)]), Some(890));
    }

    #[test]
    fn an_idle_environment_holds_back_nobody() {
        assert_eq!(complete_through(1_000, PATIENCE, &[progress(100, 900), progress(950, 990)]), Some(940));
    }

    #[test]
    fn when_all_are_idle_everything_that_arrived_is_complete() {
        assert_eq!(complete_through(1_000, PATIENCE, &[progress(995, 900)]), Some(996));
        assert_eq!(complete_through(9_000, PATIENCE, &[progress(995, 900)]), Some(8_990));
        assert_eq!(complete_through(1_000, PATIENCE, &[]), None);
    }
}
