//! Simulated requests as sealed windows, and the judge asked about them.

use crate::traffic::{Minutes, Request, Row};
use isotel::judge::{Aspect, Comparison, Context, Policy, Report, Session, Verdict, compare};
use isotel::model::{EnvironmentId, InstanceId, Limits, Names, SeriesId, SpanKind};
use isotel::window::shard::Tally;
use isotel::window::{Grid, SealedCell, SealedWindow};
use std::sync::Arc;

const MINUTE_NS: u64 = 60_000_000_000;

/// A service in two environments.
pub struct World {
    names: Names,
    environments: [EnvironmentId; 2],
    series: Vec<SeriesId>,
    windows: Vec<SealedWindow>,
    comparison: Comparison,
    policy: Policy,
    tally: Tally,
}

/// What the judge said of one run: the look, counted from 1, at which it first said so.
#[derive(Clone, Copy, Default)]
pub struct Answer {
    pub parity: Option<usize>,
    pub divergent: Option<usize>,
}

impl Answer {
    pub fn first(&self) -> Option<usize> {
        self.parity.into_iter().chain(self.divergent).min()
    }
}

impl World {
    pub fn new(row: &Row) -> World {
        let mut names = Names::new(Limits::default());
        let environments = ["baseline", "candidate"].map(|name| names.environment(name).unwrap());
        let service = names.service("", "shop").unwrap();
        let series = (0..row.operations())
            .map(|at| names.series(service, &format!("GET /{at}"), SpanKind::Server))
            .collect();
        let grid = Grid::new(MINUTE_NS);
        let windows = (0..row.windows as u64).map(|index| SealedWindow::empty(index, grid)).collect();
        let comparison = Comparison {
            name: "release".to_owned(),
            baseline: "baseline".to_owned(),
            candidate: "candidate".to_owned(),
            services: Vec::new(),
            offset_ns: 0,
            traffic: None,
        };
        let (policy, tally) = (Policy::default(), Tally::default());
        World { names, environments, series, windows, comparison, policy, tally }
    }

    /// Adds what an operation did in an environment.
    pub fn add(&mut self, operation: usize, candidate: bool, minutes: &Minutes) {
        let key = (self.environments[usize::from(candidate)], self.series[operation]);
        for (window, requests) in self.windows.iter_mut().zip(minutes) {
            window.cells.insert(key, cell(requests));
        }
    }

    /// Asks once about all windows, or after each of them until a divergence is found.
    pub fn ask(&self, live: bool) -> Answer {
        let mut answer = Answer::default();
        if !live {
            answer.take(&self.judge(self.windows.len(), None), 1);
            return answer;
        }
        let mut session = Session::default();
        for look in 1..=self.windows.len() {
            answer.take(&self.judge(look, Some(&mut session)), look);
            if answer.divergent.is_some() {
                break;
            }
        }
        answer
    }

    fn judge(&self, windows: usize, session: Option<&mut Session>) -> Arc<Report> {
        let context = Context {
            comparison: &self.comparison,
            policy: &self.policy,
            names: &self.names,
            baseline: self.windows[..windows].iter().collect(),
            candidate: self.windows[..windows].iter().collect(),
            tally: &self.tally,
            now_ns: windows as u64 * MINUTE_NS,
            generated_at: String::new(),
            live: session.is_some(),
            snapshot: None,
            shift_windows: 0,
            session_windows: self.windows.len() as u64 + 1,
            calibration: None,
        };
        compare(&context, session).report
    }
}

impl Answer {
    /// Divergence is that of the whole comparison, errors included; parity is that of all durations, since a tolerance of
    /// one percentage point of errors needs some hundreds of requests whatever the durations are like.
    fn take(&mut self, report: &Report, look: usize) {
        let durations = report.aspects.get(&Aspect::Latency).map(|aspect| aspect.verdict);
        if report.verdict == Verdict::Divergent {
            self.divergent = self.divergent.or(Some(look));
        } else if durations == Some(Verdict::Parity) {
            self.parity = self.parity.or(Some(look));
        }
    }
}

fn cell(requests: &[Request]) -> SealedCell {
    let mut cell = SealedCell::default();
    for request in requests {
        let duration_ns = (request.seconds * 1e9) as u64;
        cell.latency.record(duration_ns, 1);
        cell.errors += u64::from(request.failed);
        cell.error_weight += u64::from(request.failed);
        let pod = InstanceId(1 + request.pod as u64);
        cell.instance(pod).record(duration_ns, request.failed);
    }
    cell
}
