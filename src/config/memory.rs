//! How much memory the process may use: `extensions.memory_limiter`, with a collector's keys.

use super::build::View;
use super::problem::Problems;
use super::schema;
use super::tree::Node;
use std::time::Duration;

/// How much memory the process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// The hard limit.
    pub limit: Amount,
    /// How far below it the soft limit lies, and how much requests in flight may hold; a fifth of it without.
    pub spike: Option<Amount>,
    /// How often memory is looked at.
    pub check_interval: Duration,
}

/// An amount of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many MiB.
    Mib(u64),
    /// So many hundredths of what the container or the machine has.
    Percent(u64),
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Amount::Mib(mib) => write!(f, "{mib} MiB"),
            Amount::Percent(percent) => write!(f, "{percent} % of the container's or machine's memory"),
        }
    }
}

/// The memory limiter of the file, else its defaults.
pub(super) fn memory(root: &View<'_>, problems: &mut Problems) -> MemoryLimit {
    let extensions = root.child("extensions").map_or(&[][..], Node::entries);
    let mut limiters = extensions.iter().filter(|(id, _, _)| id.split('/').next() == Some("memory_limiter"));
    let limiter = limiters.next();
    if let Some((id, place, _)) = limiters.next() {
        let hint = "the process has one memory; keep one of them".to_owned();
        problems.push(place.problem(format!("extensions.{id}: a second memory limiter"), Some(hint)));
    }
    let view = View::of(limiter.map(|(_, _, node)| node), &schema::MEMORY_LIMITER);
    let amount = |name: &str, of: fn(u64) -> Amount| view.said(name)?.parse().ok().map(of);
    let percent = Amount::Percent(view.count("limit_percentage") as u64);
    let (limit, spike, other) = match amount("limit_mib", Amount::Mib) {
        Some(limit) => (limit, amount("spike_limit_mib", Amount::Mib), "spike_limit_percentage"),
        None => (percent, amount("spike_limit_percentage", Amount::Percent), "spike_limit_mib"),
    };
    if let Some((id, _, node)) = limiter {
        let mut wrong = |name: &str, what: &str, hint: &str| {
            let place = node.get(name).map_or(&node.place, |node| &node.place);
            problems.push(place.problem(format!("extensions.{id}.{name}: {what}"), Some(hint.to_owned())));
        };
        if view.says(other) {
            let hint =
                "limit_mib goes with spike_limit_mib, and limit_percentage with spike_limit_percentage";
            wrong(other, "does not go with this limit", hint);
        }
        match (limit, spike) {
            (Amount::Mib(limit), Some(Amount::Mib(spike))) if spike >= limit => {
                wrong(
                    "spike_limit_mib",
                    "leaves nothing below the soft limit",
                    "make it less than limit_mib",
                );
            }
            (Amount::Percent(limit), Some(Amount::Percent(spike))) if spike >= limit => {
                let hint = "make it less than limit_percentage";
                wrong("spike_limit_percentage", "leaves nothing below the soft limit", hint);
            }
            _ => {}
        }
    }
    MemoryLimit { limit, spike, check_interval: view.duration("check_interval") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Source, load};

    fn read(extension: &str) -> Result<Config, String> {
        let text = format!("extensions:\n  {extension}\n");
        let loaded = load(&[Source { name: "test.yaml".to_owned(), text }], &[], &|_| None);
        loaded.map(|loaded| loaded.config).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_limit_holds_without_a_file_and_is_read_in_the_collectors_words() {
        let ms = Duration::from_millis;
        for (extension, limit, spike, check_interval) in [
            ("", Amount::Percent(80), None, ms(100)),
            ("memory_limiter:", Amount::Percent(80), None, ms(100)),
            (
                "memory_limiter: {check_interval: 1s, limit_mib: 4000, spike_limit_mib: 800}",
                Amount::Mib(4_000),
                Some(Amount::Mib(800)),
                ms(1_000),
            ),
            (
                "memory_limiter/x: {limit_percentage: 75, spike_limit_percentage: 20}",
                Amount::Percent(75),
                Some(Amount::Percent(20)),
                ms(100),
            ),
            ("memory_limiter: {limit_mib: 1, limit_percentage: 75}", Amount::Mib(1), None, ms(100)),
        ] {
            let expected = MemoryLimit { limit, spike, check_interval };
            assert_eq!(read(extension).unwrap().memory, expected, "{extension}");
        }
    }

    #[test]
    fn limits_that_exclude_each_other_are_refused_by_name() {
        for (extension, expected) in [
            ("memory_limiter: {limit_mib: 100, spike_limit_mib: 100}", "spike_limit_mib: leaves nothing"),
            (
                "memory_limiter: {spike_limit_percentage: 80}",
                "spike_limit_percentage: leaves nothing below the soft limit",
            ),
            (
                "memory_limiter: {limit_mib: 100, spike_limit_percentage: 10}",
                "spike_limit_percentage: does not go with this limit",
            ),
            ("memory_limiter: {spike_limit_mib: 10}", "spike_limit_mib: does not go with this limit"),
            ("memory_limiter: {limit_percentage: 101}", "a whole number between 1 and 100"),
            (
                "{memory_limiter: , memory_limiter/2: }",
                "extensions.memory_limiter/2: a second memory limiter",
            ),
        ] {
            let problems = read(extension).unwrap_err();
            assert!(
                problems.contains(expected) && problems.contains("test.yaml:2"),
                "{extension}: {problems}"
            );
        }
    }
}
