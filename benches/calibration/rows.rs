//! The lines of the table. Not every combination; every level of every factor.

use crate::traffic::Change::{Mix, Nothing, Slower, SlowestHundredth, SlowestTenth, Wider};
use crate::traffic::Durations::{Cached, Lognormal};
use crate::traffic::Row;

/// Five pods a side that are alike, twelve minutes, looked at once.
const ROW: Row = Row {
    change: Nothing,
    durations: Lognormal(0.3),
    pods: (5, 5),
    pod_effect: 0.0,
    phi: None,
    n: 200,
    windows: 12,
    live: false,
    series: 1,
    cost: 1,
};
/// The same for an hour, with load that drifts.
const DRIFT: Row = Row { phi: Some(0.5), windows: 60, ..ROW };
/// Looked at after every minute: twelve times, or sixty times.
const LIVE: Row = Row { live: true, ..ROW };
const LONG: Row = Row { live: true, windows: 60, ..ROW };

const NULL: &[Row] = &[
    Row { pods: (1, 1), n: 30, ..ROW },
    Row { pods: (1, 1), n: 1_000, durations: Lognormal(0.8), ..ROW },
    Row { pods: (1, 1), pod_effect: 0.02, ..ROW },
    Row { pods: (3, 3), pod_effect: 0.02, n: 1_000, ..ROW },
    Row { pods: (3, 3), pod_effect: 0.10, n: 1_000, ..ROW },
    Row { durations: Lognormal(0.8), pod_effect: 0.02, ..ROW },
    Row { pod_effect: 0.05, n: 1_000, ..ROW },
    Row { durations: Cached, pod_effect: 0.02, ..ROW },
    Row { durations: Cached, pods: (10, 10), pod_effect: 0.05, n: 1_000, ..ROW },
    Row { pods: (10, 10), pod_effect: 0.05, n: 30, ..ROW },
    Row { durations: Lognormal(0.8), pods: (10, 10), pod_effect: 0.10, n: 10_000, cost: 2, ..ROW },
    Row { pods: (9, 1), pod_effect: 0.05, n: 30, ..ROW },
    Row { pods: (9, 1), pod_effect: 0.10, ..ROW },
    Row { pods: (1, 1), ..DRIFT },
    Row { pod_effect: 0.02, n: 1_000, ..DRIFT },
    Row { pods: (1, 1), n: 10_000, windows: 12, ..DRIFT },
    Row { pod_effect: 0.05, series: 40, cost: 2, ..ROW },
    Row { pods: (3, 3), pod_effect: 0.02, windows: 12, series: 40, cost: 2, ..DRIFT },
    Row { pod_effect: 0.05, n: 30, series: 200, cost: 2, ..ROW },
    LIVE,
    Row { durations: Cached, pods: (3, 3), pod_effect: 0.05, n: 1_000, ..LIVE },
    Row { durations: Lognormal(0.8), pod_effect: 0.05, n: 30, series: 40, cost: 4, ..LIVE },
    Row { pods: (1, 1), n: 30, ..LONG },
    Row { pod_effect: 0.02, ..LONG },
    Row { durations: Cached, pod_effect: 0.02, ..LONG },
    Row { durations: Lognormal(0.8), pods: (10, 10), pod_effect: 0.10, ..LONG },
    Row { pods: (9, 1), pod_effect: 0.05, ..LONG },
    Row { pod_effect: 0.05, n: 1_000, phi: Some(0.5), ..LONG },
    Row { pods: (3, 3), pod_effect: 0.05, n: 10_000, cost: 4, ..LONG },
    Row { pod_effect: 0.02, n: 30, series: 40, cost: 8, ..LONG },
];

const ONE_POD: &[Row] =
    &[Row { pods: (1, 1), pod_effect: 0.05, ..ROW }, Row { pods: (1, 1), pod_effect: 0.10, ..ROW }];

const FIVE: &[Row] = &[
    Row { pod_effect: 0.02, n: 1_000, ..ROW },
    Row { durations: Lognormal(0.8), pods: (10, 10), n: 1_000, ..ROW },
    Row { pods: (9, 1), ..ROW },
    Row { n: 1_000, pod_effect: 0.02, ..DRIFT },
    Row { pod_effect: 0.02, ..LONG },
];

const TOLERANCE: &[Row] = &[
    Row { pods: (1, 1), n: 30, ..ROW },
    ROW,
    Row { durations: Lognormal(0.8), n: 1_000, ..ROW },
    Row { pod_effect: 0.05, n: 1_000, ..ROW },
    Row { pods: (3, 3), pod_effect: 0.05, n: 1_000, ..ROW },
    Row { durations: Lognormal(0.8), pods: (10, 10), pod_effect: 0.10, n: 1_000, ..ROW },
    Row { durations: Cached, pod_effect: 0.02, n: 1_000, ..ROW },
    Row { pods: (9, 1), pod_effect: 0.05, ..ROW },
    Row { pods: (9, 1), pod_effect: 0.10, ..ROW },
    Row { pods: (1, 1), n: 1_000, ..DRIFT },
    Row { pod_effect: 0.02, n: 1_000, windows: 12, ..DRIFT },
    Row { pod_effect: 0.02, series: 40, cost: 2, ..ROW },
    Row { pod_effect: 0.02, ..LIVE },
    Row { pod_effect: 0.05, ..LONG },
    Row { pod_effect: 0.10, n: 30, ..LONG },
    Row { pods: (9, 1), pod_effect: 0.05, ..LONG },
    Row { pod_effect: 0.02, n: 1_000, phi: Some(0.5), ..LIVE },
    Row { pod_effect: 0.02, n: 1_000, phi: Some(0.5), ..LONG },
];

const THIRTY: &[Row] = &[
    Row { pods: (1, 1), n: 30, ..ROW },
    ROW,
    Row { durations: Lognormal(0.8), n: 1_000, ..ROW },
    Row { pod_effect: 0.05, n: 1_000, ..ROW },
    Row { pods: (3, 3), pod_effect: 0.05, n: 1_000, ..ROW },
    Row { durations: Lognormal(0.8), pods: (10, 10), pod_effect: 0.10, n: 1_000, ..ROW },
    Row { durations: Cached, pod_effect: 0.02, n: 1_000, ..ROW },
    Row { pods: (9, 1), pod_effect: 0.05, ..ROW },
    Row { pods: (9, 1), pod_effect: 0.10, ..ROW },
    Row { pods: (1, 1), n: 1_000, ..DRIFT },
    Row { pod_effect: 0.02, series: 40, cost: 2, ..ROW },
    Row { pod_effect: 0.02, n: 30, series: 200, cost: 2, ..ROW },
    Row { pod_effect: 0.02, ..LIVE },
    Row { pod_effect: 0.05, n: 30, ..LONG },
    Row { pod_effect: 0.05, ..LONG },
    Row { pod_effect: 0.10, ..LONG },
    Row { pods: (9, 1), pod_effect: 0.05, ..LONG },
    Row { pod_effect: 0.02, n: 1_000, phi: Some(0.5), ..LONG },
];

const SHAPE: &[Row] = &[
    Row { n: 1_000, ..ROW },
    Row { pod_effect: 0.05, n: 1_000, ..ROW },
    Row { n: 10_000, ..ROW },
    Row { n: 1_000, ..LIVE },
];

const SHARES: &[Row] =
    &[ROW, Row { n: 1_000, pod_effect: 0.02, ..ROW }, Row { n: 1_000, pod_effect: 0.02, ..LIVE }];

/// Lines that belong together.
pub struct Group {
    pub title: &'static str,
    pub rows: Vec<Row>,
    /// Whether a divergence is a false one.
    pub alike: bool,
    /// Whether parity is a false one.
    pub apart: bool,
}

/// The table.
pub fn groups() -> Vec<Group> {
    let group = |title, change, rows: &[Row], (alike, apart)| {
        let rows = rows.iter().map(|row| Row { change, ..*row }).collect();
        Group { title, rows, alike, apart }
    };
    vec![
        group("Nothing differs", Nothing, NULL, (true, false)),
        group(
            "Nothing differs but one pod from another, which with one a side no rule can tell from a release",
            Nothing,
            ONE_POD,
            (false, false),
        ),
        group(
            "Only the mix differs: four operations from 40/30/20/10 % to 10/20/30/40 %",
            Mix,
            SHARES,
            (true, false),
        ),
        group("Slower by 5 %, within the tolerance", Slower(1.05), FIVE, (true, false)),
        group("Slower by 15 %, which is the tolerance", Slower(1.15), TOLERANCE, (true, true)),
        group("Slower by 30 %", Slower(1.30), THIRTY, (false, true)),
        group(
            "The slowest tenth slower by 30 %: p95 and p99, not p50",
            SlowestTenth(1.3),
            SHAPE,
            (false, true),
        ),
        group(
            "The slowest hundredth slower by 50 %: above p99",
            SlowestHundredth(1.5),
            SHAPE,
            (false, false),
        ),
        group("The same median, σ 0.45 for 0.3: p95 is 28 % longer", Wider(1.5), SHAPE, (false, true)),
    ]
}
