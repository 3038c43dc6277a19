//! How often is the judge wrong, and what can it see? Seeded simulation, printed as a table.
//!
//! Each row draws both sides' requests from a lognormal distribution (σ = 0.6), the instances' medians spread by the pod
//! effect, and the candidate slower by a factor; then asks the judge as a comparison would. Shares of parity, divergent
//! and inconclusive, in percent, over the runs. A factor of 1.15 lies exactly at the tolerance: there at most 5 % may be
//! called either way; at 1.00 at most 5 % divergent.
//!
//! `cargo bench --bench calibration -- [RUNS]`

#![allow(clippy::print_stdout, reason = "prints a table")]

use isotel::judge::Tolerances;
use isotel::judge::Verdict;
use isotel::judge::evidence::SideEvidence;
use isotel::judge::latency::examine;
use isotel::model::InstanceId;
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

fn main() {
    let runs = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(120_usize);
    println!("parity/divergent/inconclusive, % of {runs} runs; lognormal σ {SIGMA}, tolerance 15 %\n");
    println!("| pods B v C | n per pod | pod effect | load φ | series | 1.00 | 1.15 | 1.30 | 1.50 |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for row in ROWS {
        let shares: Vec<String> = FACTORS.into_iter().map(|factor| shares(&row, factor, runs)).collect();
        println!(
            "| {} v {} | {} | {} % | {} | {} | {} |",
            row.pods.0,
            row.pods.1,
            row.n,
            row.pod_effect * 100.0,
            row.phi,
            row.series,
            shares.join(" | ")
        );
    }
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
            let baseline = side(row, row.pods.0, 1.0, random);
            let candidate = side(row, row.pods.1, if at == 0 { factor } else { 1.0 }, random);
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
    cells.iter().for_each(|cell| side.add(0, cell));
    side
}

fn side(row: &Row, pods: usize, factor: f64, random: &mut SmallRng) -> Vec<SealedCell> {
    let medians: Vec<f64> =
        (0..pods).map(|_| 0.02 * factor * (row.pod_effect * normal(random)).exp()).collect();
    let mut load = normal(random);
    (0..WINDOWS)
        .map(|_| {
            let mut cell = SealedCell { latency: LatencySketch::default(), ..SealedCell::default() };
            let drift = if row.phi > 0.0 { (0.05 * load).exp() } else { 1.0 };
            load = row.phi * load + (1.0 - row.phi * row.phi).sqrt() * normal(random);
            for (pod, median) in medians.iter().enumerate() {
                let mut counts = InstanceCounts::default();
                for _ in 0..row.n / WINDOWS {
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
