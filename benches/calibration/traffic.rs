//! Simulated services: requests of pods, minute by minute, from a seed.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::f64::consts::TAU;

/// Standard deviation of the log of a minute's load, which moves every duration of that minute.
const LOAD: f64 = 0.05;
/// The share of requests that fail, on both sides.
const FAILED: f64 = 0.005;
/// The standard normal's 90th and 99th percentile.
const Z_90: f64 = 1.281_55;
const Z_99: f64 = 2.326_35;
/// The operations' shares of the requests when only the mix differs.
pub const SHARES: [[f64; 4]; 2] = [[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]];
/// And their median durations, seconds.
const MEDIANS: [f64; 4] = [0.005, 0.02, 0.05, 0.2];

/// How durations are distributed.
#[derive(Clone, Copy, PartialEq)]
pub enum Durations {
    /// Lognormal with this σ around 20 ms.
    Lognormal(f64),
    /// Nine requests in ten take 5 ms and the tenth 80 ms, each with σ = 0.2.
    Cached,
}

/// What is true of the candidate.
#[derive(Clone, Copy, PartialEq)]
pub enum Change {
    /// It is like the baseline.
    Nothing,
    /// All its requests take so many times as long.
    Slower(f64),
    /// Its slowest tenth takes so many times as long: p95 and p99 move, p50 does not.
    SlowestTenth(f64),
    /// Its slowest hundredth takes so many times as long.
    SlowestHundredth(f64),
    /// The same median, σ of the log so many times as large.
    Wider(f64),
    /// Four operations whose shares of the requests move, and none of which is slower.
    Mix,
}

/// One line of the table: a service, how it is observed, and what is true of the candidate.
#[derive(Clone, Copy)]
pub struct Row {
    pub change: Change,
    pub durations: Durations,
    /// Pods of the baseline and of the candidate. A pod has as many requests on either side.
    pub pods: (usize, usize),
    /// Standard deviation of the log of the pods' medians.
    pub pod_effect: f64,
    /// Autocorrelation of the load from minute to minute, each side for itself; without, load is constant.
    pub phi: Option<f64>,
    /// The candidate's requests in a minute, of each operation.
    pub n: usize,
    /// Minutes.
    pub windows: usize,
    /// Whether it is looked at after every minute, and not once at the end.
    pub live: bool,
    /// Operations, all alike; where the candidate differs, the first does.
    pub series: usize,
    /// A row that takes long has so many times fewer runs.
    pub cost: usize,
}

/// One request.
#[derive(Clone, Copy)]
pub struct Request {
    pub pod: usize,
    pub seconds: f64,
    pub failed: bool,
}

/// The requests of one operation on one side, by minute.
pub type Minutes = Vec<Vec<Request>>;

/// Seeded random numbers.
pub struct Random {
    uniform: SmallRng,
    spare: Option<f64>,
}

impl Random {
    pub fn new(seed: u64) -> Random {
        Random { uniform: SmallRng::seed_from_u64(seed), spare: None }
    }

    /// Box and Muller's transform (1958), which makes two at a time.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let (u, v): (f64, f64) = (1.0 - self.uniform.random::<f64>(), self.uniform.random());
        let radius = (-2.0 * u.ln()).sqrt();
        let (sine, cosine) = (TAU * v).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }

    fn happens(&mut self, probability: f64) -> bool {
        self.uniform.random::<f64>() < probability
    }
}

/// A stationary autoregressive process of order one with variance 1.
pub struct Autoregressive {
    phi: f64,
    now: f64,
}

impl Autoregressive {
    pub fn new(phi: f64, random: &mut Random) -> Autoregressive {
        Autoregressive { phi, now: random.normal() }
    }

    pub fn step(&mut self, random: &mut Random) -> f64 {
        let now = self.now;
        self.now = self.phi * now + (1.0 - self.phi * self.phi).sqrt() * random.normal();
        now
    }
}

impl Row {
    /// Operations of the service.
    pub fn operations(&self) -> usize {
        if self.change == Change::Mix { MEDIANS.len() } else { self.series }
    }

    /// One operation's requests on one side.
    pub fn minutes(&self, operation: usize, candidate: bool, random: &mut Random) -> Minutes {
        let pods = if candidate { self.pods.1 } else { self.pods.0 };
        let n = self.requests(operation, candidate);
        let effects: Vec<f64> = (0..pods).map(|_| (self.pod_effect * random.normal()).exp()).collect();
        let changed = candidate && operation == 0;
        let mut load = self.phi.map(|phi| Autoregressive::new(phi, random));
        let minute = |_| {
            let load = load.as_mut().map_or(1.0, |load| (LOAD * load.step(random)).exp());
            let request = |at: usize| {
                let pod = at % pods;
                let seconds = load * effects[pod] * self.seconds(operation, changed, random);
                Request { pod, seconds, failed: random.happens(FAILED) }
            };
            (0..n).map(request).collect()
        };
        (0..self.windows).map(minute).collect()
    }

    fn requests(&self, operation: usize, candidate: bool) -> usize {
        match (self.change, candidate) {
            (Change::Mix, _) => (SHARES[usize::from(candidate)][operation] * self.n as f64) as usize,
            (_, true) => self.n,
            (_, false) => self.n * self.pods.0 / self.pods.1,
        }
    }

    fn seconds(&self, operation: usize, changed: bool, random: &mut Random) -> f64 {
        let (median, sigma) = match (self.change, self.durations) {
            (Change::Mix, _) => (MEDIANS[operation], 0.3),
            (_, Durations::Lognormal(sigma)) => (0.02, sigma),
            (_, Durations::Cached) => (if random.happens(0.9) { 0.005 } else { 0.08 }, 0.2),
        };
        let z = random.normal();
        let (factor, spread) = match self.change {
            Change::Slower(factor) if changed => (factor, 1.0),
            Change::SlowestTenth(factor) if changed && z > Z_90 => (factor, 1.0),
            Change::SlowestHundredth(factor) if changed && z > Z_99 => (factor, 1.0),
            Change::Wider(spread) if changed => (1.0, spread),
            _ => (1.0, 1.0),
        };
        median * factor * (sigma * spread * z).exp()
    }
}
