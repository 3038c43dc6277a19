//! How often is the judge wrong, and what can it see? Seeded simulation, printed as a table.
//!
//! Each row draws both sides' requests from a lognormal distribution (σ = 0.6), the instances' medians spread by the pod
//! effect, and the candidate slower by a factor; then asks the judge as a comparison would. Shares of parity, divergent
//! and inconclusive, in percent, over the runs. A factor of 1.15 lies exactly at the tolerance: there at most 5 % may be
//! called either way; at 1.00 at most 5 % divergent.
//!
//! The second table looks after every one of 60 windows, as a live agent does: the share of runs that are ever called
//! divergent with the median window of the call, and the share ever called parity.
//!
//! `cargo bench --bench calibration -- [RUNS]`

#![allow(clippy::print_stdout, reason = "prints a table")]

use isotel::judge::Tolerances;
use isotel::judge::Verdict;
use isotel::judge::evidence::SideEvidence;
use isotel::judge::latency::examine;
use isotel::judge::session::{Parity, Session};
use isotel::model::{InstanceId, SeriesId};
use isotel::sketch::{InstanceCounts, LatencySketch};
use isotel::stats::multiplicity::benjamini_hochberg;
use isotel::window::SealedCell;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const WINDOWS: usize = 12;
const SIGMA: f64 = 0.6;

/// One row of the table.
#[derive(Clone, Copy)]
struct Row {
    pods: (usize, usize),
    /// Requests of each pod.
    n: usize,
    /// Standard deviation of the log of the pods' medians.
    pod_effect: f64,
    /// Autocorrelation of the windows' load, which moves the median by 5 %.
    phi: f64,
    /// Series in the comparison, all alike; it is divergent if one is.
    series: usize,
}

const ROWS: [Row; 16] = [
    Row { pods: (10, 10), n: 200, pod_effect: 0.0, phi: 0.0, series: 1 },
    Row { pods: (10, 10), n: 200, pod_effect: 0.05, phi: 0.0, series: 1 },
    Row { pods: (10, 10), n: 2000, pod_effect: 0.10, phi: 0.0, series: 1 },
    Row { pods: (5, 5), n: 200, pod_effect: 0.0, phi: 0.0, series: 1 },
    Row { pods: (5, 5), n: 2000, pod_effect: 0.05, phi: 0.0, series: 1 },
    Row { pods: (5, 5), n: 2000, pod_effect: 0.10, phi: 0.0, series: 1 },
    Row { pods: (3, 3), n: 2000, pod_effect: 0.0, phi: 0.0, series: 1 },
    Row { pods: (3, 3), n: 2000, pod_effect: 0.05, phi: 0.0, series: 1 },
    Row { pods: (3, 3), n: 2000, pod_effect: 0.10, phi: 0.0, series: 1 },
    Row { pods: (9, 1), n: 2000, pod_effect: 0.0, phi: 0.0, series: 1 },
    Row { pods: (9, 1), n: 200, pod_effect: 0.05, phi: 0.0, series: 1 },
    Row { pods: (9, 1), n: 2000, pod_effect: 0.10, phi: 0.0, series: 1 },
    Row { pods: (5, 5), n: 200, pod_effect: 0.02, phi: 0.5, series: 1 },
    Row { pods: (1, 1), n: 2000, pod_effect: 0.0, phi: 0.5, series: 1 },
    Row { pods: (5, 5), n: 200, pod_effect: 0.05, phi: 0.0, series: 40 },
    Row { pods: (5, 5), n: 200, pod_effect: 0.05, phi: 0.0, series: 200 },
];
const FACTORS: [f64; 4] = [1.00, 1.15, 1.30, 1.50];

/// Requests are of each pod and window here.
const POLLED: [Row; 6] = [
    Row { pods: (5, 5), n: 20, pod_effect: 0.0, phi: 0.0, series: 1 },
    Row { pods: (5, 5), n: 20, pod_effect: 0.05, phi: 0.0, series: 1 },
    Row { pods: (5, 5), n: 20, pod_effect: 0.10, phi: 0.0, series: 1 },
    Row { pods: (5, 5), n: 100, pod_effect: 0.0, phi: 0.0, series: 1 },
    Row { pods: (5, 5), n: 100, pod_effect: 0.05, phi: 0.0, series: 1 },
    Row { pods: (5, 5), n: 100, pod_effect: 0.10, phi: 0.5, series: 1 },
];
const POLLED_WINDOWS: u64 = 60;

fn main() {
    let runs = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(120_usize);
    println!("parity/divergent/inconclusive, % of {runs} runs; lognormal σ {SIGMA}, tolerance 15 %\n");
    println!("| pods B v C | n per pod | pod effect | load φ | series | 1.00 | 1.15 | 1.30 | 1.50 |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for row in ROWS {
        let shares: Vec<String> = FACTORS.into_iter().map(|factor| shares(&row, factor, runs)).collect();
        println!("{} {} | {} |", head(&row), row.series, shares.join(" | "));
    }
    let runs = runs.div_ceil(2);
    println!(
        "\never divergent at the median window, ever parity; % of {runs} runs of {POLLED_WINDOWS} looks\n"
    );
    println!("| pods B v C | n per pod and window | pod effect | load φ | 1.00 | 1.15 | 1.30 | 1.50 |");
    println!("|---|---|---|---|---|---|---|---|");
    for row in POLLED {
        // `side` spreads `n` over the windows.
        let spread = Row { n: row.n * POLLED_WINDOWS as usize, ..row };
        let shares: Vec<String> =
            FACTORS.into_iter().map(|factor| polled_shares(&spread, factor, runs)).collect();
        println!("{} {} |", head(&row), shares.join(" | "));
    }
}

fn head(row: &Row) -> String {
    let Row { pods, n, pod_effect, phi, .. } = row;
    format!("| {} v {} | {n} | {} % | {phi} |", pods.0, pods.1, pod_effect * 100.0)
}

/// Looks after every window; the median window of the first call of divergence, and whether parity was ever shown.
fn polled(row: &Row, factor: f64, seed: u64) -> (Option<u64>, bool) {
    let mut random = SmallRng::seed_from_u64(seed);
    let tolerances = Tolerances::default();
    let windows = POLLED_WINDOWS as usize;
    let baseline = side(row, row.pods.0, 1.0, windows, &mut random);
    let candidate = side(row, row.pods.1, factor, windows, &mut random);
    let mut session = Session::default();
    let (mut divergent, mut parity) = (None, false);
    let (mut seen_b, mut seen_c) = (SideEvidence::default(), SideEvidence::default());
    for window in 0..POLLED_WINDOWS {
        seen_b.add(window, 0, &baseline[window as usize]);
        seen_c.add(window, 0, &candidate[window as usize]);
        let look = session.look(window, |_| 1, POLLED_WINDOWS + 1);
        let state = session.series(SeriesId(0));
        state.advance(&seen_b, &seen_c, &tolerances, look);
        let mut evidence = examine(&seen_b, &seen_c, &tolerances);
        if let Some(share) = look.share {
            let stricter = Tolerances { alpha: tolerances.alpha * share, ..tolerances.clone() };
            let latency = examine(&seen_b, &seen_c, &stricter).shows_parity();
            state.look(share, evidence.p, None, Parity { latency, errors: false });
        }
        evidence.poll(state.latency(), state.parity().latency);
        let p = evidence.p;
        match evidence.conclude(p, tolerances.alpha).verdict {
            Verdict::Divergent => divergent = divergent.or(Some(window + 1)),
            Verdict::Parity => parity = true,
            _ => {}
        }
    }
    (divergent, parity)
}

fn polled_shares(row: &Row, factor: f64, runs: usize) -> String {
    let found: Vec<_> = (0..runs).map(|run| polled(row, factor, (run * 104_729) as u64)).collect();
    let mut at: Vec<u64> = found.iter().filter_map(|(window, _)| *window).collect();
    at.sort_unstable();
    let percent = |n: usize| 100.0 * n as f64 / runs as f64;
    let median = at.get(at.len() / 2).map_or(String::new(), |window| format!(" at {window}"));
    let parity = found.iter().filter(|(_, parity)| *parity).count();
    format!("{:.0}{median}, {:.0}", percent(at.len()), percent(parity))
}

fn shares(row: &Row, factor: f64, runs: usize) -> String {
    let runs = (runs / row.series.min(4)).max(1);
    let mut counts = [0_usize; 3];
    for run in 0..runs {
        let mut random = SmallRng::seed_from_u64((run * 7_919 + row.series) as u64);
        counts[match comparison(row, factor, &mut random) {
            Verdict::Parity => 0,
            Verdict::Divergent => 1,
            _ => 2,
        }] += 1;
    }
    counts.map(|n| format!("{:.0}", 100.0 * n as f64 / runs as f64)).join("/")
}

/// The comparison's verdict: divergent if a series is, parity if all are. With many series only one is slower.
fn comparison(row: &Row, factor: f64, random: &mut SmallRng) -> Verdict {
    let tolerances = Tolerances::default();
    let evidence: Vec<_> = (0..row.series)
        .map(|at| {
            let baseline = side(row, row.pods.0, 1.0, WINDOWS, random);
            let candidate = side(row, row.pods.1, if at == 0 { factor } else { 1.0 }, WINDOWS, random);
            examine(&gathered(&baseline), &gathered(&candidate), &tolerances)
        })
        .collect();
    let p: Vec<f64> = evidence.iter().map(|e| e.p.unwrap_or(1.0)).collect();
    let adjusted = benjamini_hochberg(&p);
    let verdicts = evidence
        .into_iter()
        .zip(adjusted)
        .map(|(evidence, p)| evidence.conclude(Some(p), tolerances.alpha).verdict);
    verdicts.max().unwrap_or(Verdict::NoData)
}

fn gathered(cells: &[SealedCell]) -> SideEvidence<'_> {
    let mut side = SideEvidence::default();
    cells.iter().zip(0..).for_each(|(cell, window)| side.add(window, 0, cell));
    side
}

fn side(row: &Row, pods: usize, factor: f64, windows: usize, random: &mut SmallRng) -> Vec<SealedCell> {
    let medians: Vec<f64> =
        (0..pods).map(|_| 0.02 * factor * (row.pod_effect * normal(random)).exp()).collect();
    let mut load = normal(random);
    (0..windows)
        .map(|_| {
            let mut cell = SealedCell { latency: LatencySketch::default(), ..SealedCell::default() };
            let drift = if row.phi > 0.0 { (0.05 * load).exp() } else { 1.0 };
            load = row.phi * load + (1.0 - row.phi * row.phi).sqrt() * normal(random);
            for (pod, median) in medians.iter().enumerate() {
                let mut counts = InstanceCounts::default();
                for _ in 0..row.n / windows {
                    let seconds = median * drift * (SIGMA * normal(random)).exp();
                    cell.latency.record((seconds * 1e9) as u64, 1);
                    counts.record((seconds * 1e9) as u64, false);
                }
                cell.instances.insert(InstanceId(1 + pod as u64), counts);
            }
            cell
        })
        .collect()
}

/// Box and Muller's transform (1958).
fn normal(random: &mut SmallRng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - random.random::<f64>(), random.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}
