//! How often is the judge wrong, and what can it see? Seeded simulation, printed as a table.
//!
//! Each line simulates a service that is observed minute by minute in two environments, asks the judge as the agent does
//! ([`isotel::judge::compare`], with a session where it is looked at after every minute), and counts its answers over the
//! runs. Beside it, on the same requests, stand two rules that are in use elsewhere (`rules.rs`), asked whenever the judge
//! is; operation by operation, and where only the mix differs about the service's total, for totals are what they are
//! usually given.
//!
//! What is promised: where no quantile differs by more than the tolerance, at most 5 % of the comparisons are ever called
//! divergent; where a primary quantile differs by the tolerance or more, at most 5 % are ever called at parity. Lines that
//! break a promise by more than simulation explains are named at the end, and the exit code is 1. So it is where the other
//! rules do not fail as they are known to: then it is the simulation that is wrong.
//!
//! `cargo bench --bench calibration -- [RUNS]`

#![allow(clippy::print_stdout, reason = "prints a table")]
#![allow(clippy::unwrap_used, reason = "a benchmark ends by panicking")]

mod known;
mod promises;
mod rows;
mod rules;
mod traffic;
mod world;

use promises::Promise;
use rows::{Group, groups};
use rules::{KS_5, RepeatedKs, kayenta_like};
use std::process::ExitCode;
use traffic::{Change, Durations, Minutes, Random, Row};
use world::{Answer, World};

fn main() -> ExitCode {
    let runs = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(120_usize).max(1);
    let mut promises = Vec::new();
    for (at, group) in groups().into_iter().enumerate() {
        println!("\n**{}**\n", group.title);
        println!(
            "| durations | pods | pod effect | load φ | n | minutes | looks | series | runs | parity/divergent/open | at \
             look | Kayenta-like | KS |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
        for (line, row) in group.rows.iter().enumerate() {
            let found = Found::of(row, runs.div_ceil(row.cost), (at * 1_000 + line) as u64);
            println!("{} {} |", head(row), found.shares(row.live));
            promises.extend(found.promises(&group, row));
        }
    }
    let (kept, known) = (promises::report(&promises), known::report(runs * 5));
    if kept && known { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What all runs of a row came to.
#[derive(Default)]
struct Found {
    answers: Vec<Answer>,
    kayenta_like: usize,
    ks: usize,
}

impl Found {
    fn of(row: &Row, runs: usize, line: u64) -> Found {
        let mut found = Found::default();
        for run in 0..runs as u64 {
            let mut random = Random::new((line << 32) + run);
            let mut world = World::new(row);
            let mut others = Others::default();
            let mut total = (Minutes::new(), Minutes::new());
            for operation in 0..row.operations() {
                let baseline = row.minutes(operation, false, &mut random);
                let candidate = row.minutes(operation, true, &mut random);
                world.add(operation, false, &baseline);
                world.add(operation, true, &candidate);
                if row.change == Change::Mix {
                    append(&mut total.0, baseline);
                    append(&mut total.1, candidate);
                } else {
                    others.ask(row.live, &baseline, &candidate);
                }
            }
            if row.change == Change::Mix {
                others.ask(row.live, &total.0, &total.1);
            }
            found.answers.push(world.ask(row.live));
            found.kayenta_like += usize::from(others.kayenta_like);
            found.ks += usize::from(others.ks);
        }
        found
    }

    fn count(&self, that: impl Fn(&Answer) -> bool) -> usize {
        self.answers.iter().filter(|answer| that(answer)).count()
    }

    fn parity(&self) -> usize {
        self.count(|answer| answer.parity.is_some())
    }

    fn divergent(&self) -> usize {
        self.count(|answer| answer.divergent.is_some())
    }

    /// The answers' shares, for looks that go on with the look in the middle at which something was first decided.
    fn shares(&self, live: bool) -> String {
        let percent = |n: usize| format!("{:.0}", 100.0 * n as f64 / self.answers.len() as f64);
        let open = self.count(|answer| answer.first().is_none());
        let mut at: Vec<usize> = self.answers.iter().filter_map(Answer::first).collect();
        at.sort_unstable();
        let median = at.get(at.len() / 2).filter(|_| live).map_or(String::new(), usize::to_string);
        let ours = [self.parity(), self.divergent(), open].map(percent).join("/");
        let (kayenta_like, ks) = (percent(self.kayenta_like), percent(self.ks));
        format!("{} | {ours} | {median} | {kayenta_like} | {ks}", self.answers.len())
    }

    fn promises(&self, group: &Group, row: &Row) -> Vec<Promise> {
        let promise = |what, wrong| Promise {
            what,
            line: format!("{} {}", group.title, head(row)),
            wrong,
            runs: self.answers.len(),
        };
        let divergent = group.alike.then(|| promise("divergent", self.divergent()));
        let parity = group.apart.then(|| promise("at parity", self.parity()));
        divergent.into_iter().chain(parity).collect()
    }
}

/// What the other rules ever said about one run.
#[derive(Default)]
struct Others {
    kayenta_like: bool,
    ks: bool,
}

impl Others {
    fn ask(&mut self, live: bool, baseline: &Minutes, candidate: &Minutes) {
        let mean = |minute: &Vec<traffic::Request>| {
            minute.iter().map(|request| request.seconds).sum::<f64>() / minute.len() as f64
        };
        let means = |minutes: &Minutes| minutes.iter().map(mean).collect::<Vec<_>>();
        let (base, cand) = (means(baseline), means(candidate));
        let mut ks = RepeatedKs::default();
        for seen in 1..=baseline.len() {
            let seconds = |minutes: &Minutes| minutes[seen - 1].iter().map(|r| r.seconds).collect();
            ks.add(seconds(baseline), seconds(candidate));
            if live || seen == baseline.len() {
                self.kayenta_like |= kayenta_like(&base[..seen], &cand[..seen]);
                self.ks |= ks.rejects(KS_5);
            }
        }
    }
}

fn append(total: &mut Minutes, minutes: Minutes) {
    total.resize(minutes.len(), Vec::new());
    total.iter_mut().zip(minutes).for_each(|(all, minute)| all.extend(minute));
}

fn head(row: &Row) -> String {
    let durations = match (row.change, row.durations) {
        (Change::Mix, _) => "four medians".to_owned(),
        (_, Durations::Lognormal(sigma)) => format!("σ {sigma}"),
        (_, Durations::Cached) => "cached".to_owned(),
    };
    let Row { pods, pod_effect, phi, n, windows, live, .. } = row;
    let phi = phi.map_or(String::new(), |phi| phi.to_string());
    let looks = if *live { *windows } else { 1 };
    let effect = pod_effect * 100.0;
    let series = row.operations();
    format!(
        "| {durations} | {} v {} | {effect:.0} % | {phi} | {n} | {windows} | {looks} | {series} |",
        pods.0, pods.1
    )
}
