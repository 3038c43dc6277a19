//! The other rules fail here as they are known to.

use crate::rules::{KS_1, KS_5, RepeatedKs, kayenta_like};
use crate::traffic::{Autoregressive, Random};

/// Metrics of a release.
const METRICS: usize = 20;
/// How far from the published share, in percentage points, beside three standard errors: published shares are themselves
/// from some hundreds of runs.
const SLACK: f64 = 5.0;

struct Failure {
    what: String,
    published: f64,
    found: f64,
    runs: usize,
}

impl Failure {
    fn of(what: String, published: f64, runs: usize, mut fails: impl FnMut(&mut Random) -> bool) -> Failure {
        let seed = what.bytes().fold(0_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let mut random = Random::new(seed);
        let failed = (0..runs).filter(|_| fails(&mut random)).count();
        Failure { what, published, found: 100.0 * failed as f64 / runs as f64, runs }
    }

    fn holds(&self) -> bool {
        let error = (self.published * (100.0 - self.published) / self.runs as f64).sqrt();
        (self.found - self.published).abs() <= 3.0 * error + SLACK
    }
}

/// Prints what is known and what is found here; says whether they agree.
pub fn report(runs: usize) -> bool {
    let mut failures = vec![
        Failure::of("Kayenta-like, one metric, 60 minutes, φ = 0.5".to_owned(), 6.6, runs * 4, kayenta_flags),
        Failure::of(format!("Kayenta-like, any of {METRICS} such metrics"), 74.0, runs, |random| {
            (0..METRICS).fold(false, |any, _| kayenta_flags(random) | any)
        }),
        Failure::of("KS at 5 %, 50 looks".to_owned(), 31.0, runs, |random| {
            ks_rejects(random, 50, 100, KS_5, 0.0)
        }),
    ];
    for (pod_effect, published) in [(0.02, 15.0), (0.05, 50.0), (0.10, 75.0)] {
        let what =
            format!("KS at 1 %, once, 5 v 5 pods of 2000 requests, pod effect {:.0} %", pod_effect * 100.0);
        let rejects = |random: &mut Random| ks_rejects(random, 1, 10_000, KS_1, pod_effect);
        failures.push(Failure::of(what, published, runs.div_ceil(2), rejects));
    }
    println!("\n**Where the other rules are known to fail though nothing differs**, % of the runs\n");
    println!("| rule | known | here |\n|---|---|---|");
    for Failure { what, published, found, .. } in &failures {
        println!("| {what} | {published} | {found:.1} |");
    }
    failures.iter().all(Failure::holds)
}

/// Sixty minutes a side of lognormal values with a standard deviation of 20 %, autocorrelated.
fn kayenta_flags(random: &mut Random) -> bool {
    let mut side = || {
        let mut load = Autoregressive::new(0.5, random);
        (0..60).map(|_| (0.2 * load.step(random)).exp()).collect::<Vec<f64>>()
    };
    kayenta_like(&side(), &side())
}

/// Looks, each at `n` more requests a side of five pods, lognormal with σ = 0.5.
fn ks_rejects(random: &mut Random, looks: usize, n: usize, critical: f64, pod_effect: f64) -> bool {
    let mut effects = || [(); 5].map(|()| pod_effect * random.normal());
    let pods = (effects(), effects());
    let mut ks = RepeatedKs::default();
    (0..looks).any(|_| {
        let mut side =
            |pods: &[f64; 5]| (0..n).map(|at| (pods[at % 5] + 0.5 * random.normal()).exp()).collect();
        ks.add(side(&pods.0), side(&pods.1));
        ks.rejects(critical)
    })
}
