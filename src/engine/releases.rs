//! Sessions of releases: begun, judged after each seal, ended. Cold plane.
//!
//! Each has looks of its own at the windows since its start, so that what it decides holds however often somebody asks. Their
//! number is bounded: what has ended longest ago gives way to what begins, and nothing gives way while it runs.

use super::{Engine, Scope, Tier, lock};
use crate::judge::calibration::Calibration;
use crate::judge::release::{Begin, Decision, Override, State};
use crate::judge::verdict::CalibrationResult;
use crate::judge::{Comparison, Release, Session, Verdict};
use crate::model::{EnvironmentId, KnownNames, Limit, SeriesId, SpanKind};
use crate::window::cells::StoredCell;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How long a session is kept after its end, nanoseconds.
const KEPT_NS: u64 = 24 * 3_600_000_000_000;

/// Why a session did not begin, or is not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// Nothing is known yet that could be compared.
    #[error(
        "no two environments have been seen yet, so that there is no comparison; send telemetry of both, or name them"
    )]
    NothingSeen,
    /// Another agent judges.
    #[error(
        "this agent is a first tier (parity.tier) and judges nothing; ask the agent that it sends its windows to"
    )]
    FirstTier,
    /// No comparison of this name.
    #[error("there is no comparison {name:?}; there is {known}")]
    UnknownComparison {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// There are several comparisons, and none is named.
    #[error("which comparison? There is {known}; name one in `comparison`")]
    WhichComparison {
        /// Those that there are.
        known: String,
    },
    /// A text that selects something is empty.
    #[error("{key} is empty, which selects nothing; who asks has filled in a variable that has no value")]
    Empty {
        /// Which.
        key: &'static str,
    },
    /// A text is too long.
    #[error("{key} has {bytes} bytes; {most} are allowed")]
    TooLong {
        /// Which.
        key: &'static str,
        /// Bytes.
        bytes: usize,
        /// Bytes.
        most: usize,
    },
    /// One side with itself.
    #[error("baseline and candidate are both {name:?}: an environment is not compared with itself")]
    SameSides {
        /// The environment.
        name: String,
    },
    /// A point or span of time that cannot be.
    #[error("{key} must lie {allowed} (parity.period)")]
    Time {
        /// Which.
        key: &'static str,
        /// What is allowed.
        allowed: String,
    },
    /// As many as may be are running.
    #[error(
        "{most} sessions are running, which is parity.limits.sessions; cancel one, or wait until one has ended"
    )]
    Full {
        /// The bound.
        most: usize,
    },
    /// No such session.
    #[error("there is no session {id:?}; one is kept for a day after its end")]
    Unknown {
        /// The id.
        id: String,
    },
    /// An override must be one.
    #[error("an override's verdict is pass or fail")]
    Verdict,
}

/// What can be asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The comparisons.
    pub comparisons: Vec<Comparison>,
    /// How far back telemetry reaches, nanoseconds.
    pub period_ns: u64,
    /// How long after an event everything about it has been judged, if telemetry goes on, nanoseconds.
    pub settles_after_ns: u64,
}

/// What a baseline says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct BaselineHealth {
    /// Its environment.
    pub environment: String,
    /// Whether the newest sealed window has telemetry of it.
    pub present: bool,
    /// What comes of judging it against itself; `None` while its windows are too few.
    pub against_itself: Option<CalibrationResult>,
}

/// A session with what only its next look needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    release: Arc<Release>,
    looks: Session,
}

/// All of them, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Releases {
    entries: Vec<Entry>,
    begun: u64,
}

impl Engine {
    /// The sessions that there are, oldest first.
    pub fn releases(&self) -> impl Iterator<Item = &Arc<Release>> + '_ {
        self.releases.entries.iter().map(|entry| &entry.release)
    }

    /// Begins a session, or finds the one that has begun for the same release and comparison and was not cancelled. Says
    /// whether it is new. What has been sealed since its start is judged at once. `now_ns` and `generated_at` are as in
    /// [`Engine::advance`].
    ///
    /// # Errors
    /// [`ReleaseError`]; then nothing has changed.
    pub fn begin(
        &mut self,
        begin: &Begin,
        now_ns: u64,
        generated_at: &str,
    ) -> Result<(Arc<Release>, bool), ReleaseError> {
        if self.plan.tier == Tier::First {
            return Err(ReleaseError::FirstTier);
        }
        self.check(begin)?;
        let comparison = self.resolve(begin)?;
        let same = |entry: &Entry| {
            begin.release.is_some()
                && entry.release.release == begin.release
                && entry.release.comparison == comparison
                && entry.release.state != State::Cancelled
        };
        if let Some(at) = self.releases.entries.iter().rposition(same) {
            self.look_for_traffic(at);
            return Ok((self.releases.entries[at].release.clone(), false));
        }
        let (start_ns, timeout_ns) = self.times(begin, now_ns)?;
        self.make_room()?;
        self.releases.begun += 1;
        let grid = self.ingest.shared.grid;
        // Windows that began before it hold what was before the release.
        let first_window = grid.index(start_ns.saturating_add(grid.width_ns() - 1));
        let release = Arc::new(Release {
            id: format!("{:x}-{}", now_ns / 1_000_000_000, self.releases.begun),
            release: begin.release.clone(),
            comparison,
            selects: begin.baseline.is_some() || begin.candidate.is_some() || begin.services.is_some(),
            dry_run: begin.dry_run,
            began_ns: now_ns,
            first_window,
            start_ns: grid.start_ns(first_window),
            deadline_ns: now_ns.saturating_add(timeout_ns),
            state: State::Running,
            ended_ns: None,
            traffic: false,
            missing: None,
            overridden: None,
            report: None,
        });
        self.releases.entries.push(Entry { release, looks: Session::default() });
        let at = self.releases.entries.len() - 1;
        self.judge_release(at, now_ns, generated_at);
        Ok((self.releases.entries[at].release.clone(), true))
    }

    /// Ends a session that runs; one that has ended stays as it is.
    ///
    /// # Errors
    /// [`ReleaseError::Unknown`]
    pub fn cancel(&mut self, id: &str, now_ns: u64) -> Result<Arc<Release>, ReleaseError> {
        let release = self.release(id)?;
        if release.state == State::Running {
            end(release, State::Cancelled, now_ns);
        }
        Ok(Arc::new(release.clone()))
    }

    /// Keeps what a person decided beside what the judge says. It changes no limit and no statistic.
    ///
    /// # Errors
    /// [`ReleaseError`]
    pub fn override_release(&mut self, id: &str, by: Override) -> Result<Arc<Release>, ReleaseError> {
        let most = self.plan.limits.name_bytes;
        text("reason", &by.reason, 4 * most)?;
        text("name", &by.name, most)?;
        if !matches!(by.verdict, Decision::Pass | Decision::Fail) {
            return Err(ReleaseError::Verdict);
        }
        let release = self.release(id)?;
        release.overridden = Some(by);
        Ok(Arc::new(release.clone()))
    }

    /// How the baseline of a comparison is, before anything is compared with it. `now_ns` and `generated_at` are as in
    /// [`Engine::advance`].
    ///
    /// # Errors
    /// [`ReleaseError`]
    pub fn baseline_health(
        &self,
        begin: &Begin,
        now_ns: u64,
        generated_at: &str,
    ) -> Result<BaselineHealth, ReleaseError> {
        self.check(begin)?;
        let comparison = self.resolve(begin)?;
        let environment = self.names().find_environment(&comparison.baseline);
        let newest = self.ring.back();
        let present = self.snapshot_side(&comparison).is_some()
            || newest.zip(environment).is_some_and(|(window, env)| window.cells.has(env));
        let scope = Scope { first_window: 0, session_windows: 1 };
        let against_itself = self.in_context(&comparison, scope, (now_ns, generated_at), |context| {
            Calibration::of(&context).map(|calibration| calibration.result())
        });
        Ok(BaselineHealth { environment: comparison.baseline, present, against_itself })
    }

    /// Judges every session that runs. To be called after a seal.
    pub(super) fn judge_releases(&mut self, now_ns: u64, generated_at: &str) {
        (0..self.releases.entries.len()).for_each(|at| self.judge_release(at, now_ns, generated_at));
    }

    /// Judges a session that runs, by the windows since its start.
    fn judge_release(&mut self, at: usize, now_ns: u64, generated_at: &str) {
        self.look_for_traffic(at);
        let newest = self.ring.back().map(|window| window.index);
        let entry = &mut self.releases.entries[at];
        if entry.release.state != State::Running || newest < Some(entry.release.first_window) {
            return;
        }
        let timeout_ns = entry.release.deadline_ns.saturating_sub(entry.release.began_ns);
        let scope = Scope {
            first_window: entry.release.first_window,
            // Its looks are one session, however long it goes on.
            session_windows: (timeout_ns / self.plan.window_ns.max(1))
                .saturating_add(self.plan.period_windows as u64),
        };
        let mut looks = std::mem::take(&mut entry.looks);
        let release = entry.release.clone();
        let judgement = self.judge_in(&release.comparison, scope, (now_ns, generated_at), Some(&mut looks));
        let missing = release
            .selects
            .then(|| {
                missing(
                    &release.comparison,
                    &self.names_of(&release.comparison),
                    judgement.report.services.is_empty(),
                )
            })
            .flatten();
        drop(release);
        let entry = &mut self.releases.entries[at];
        entry.looks = looks;
        let release = Arc::make_mut(&mut entry.release);
        let is_decided = matches!(judgement.report.verdict, Verdict::Parity | Verdict::Divergent);
        if is_decided && missing.is_none() {
            end(release, State::Decided, now_ns);
        }
        release.missing = missing;
        release.report = Some(judgement.report);
    }

    /// What can be asked for.
    pub fn offer(&self) -> Offer {
        let (window_ns, lateness_ns) = (self.plan.window_ns, self.plan.patience.lateness_ns);
        Offer {
            comparisons: self.comparisons(),
            period_ns: self.period_ns(),
            settles_after_ns: window_ns.saturating_mul(2).saturating_add(lateness_ns),
        }
    }

    fn period_ns(&self) -> u64 {
        self.plan.window_ns.saturating_mul(self.plan.period_windows as u64)
    }

    /// Ends the sessions whose time is up and forgets those that ended long ago. Returns whether there were any.
    pub fn expire_releases(&mut self, now_ns: u64) -> bool {
        let mut any = false;
        for entry in &mut self.releases.entries {
            if entry.release.state == State::Running && now_ns >= entry.release.deadline_ns {
                end(Arc::make_mut(&mut entry.release), State::TimedOut, now_ns);
                any = true;
            }
        }
        let before = self.releases.entries.len();
        let is_old =
            |release: &Release| release.ended_ns.is_some_and(|at| now_ns > at.saturating_add(KEPT_NS));
        self.releases.entries.retain(|entry| !is_old(&entry.release));
        any || self.releases.entries.len() < before
    }

    fn release(&mut self, id: &str) -> Result<&mut Release, ReleaseError> {
        let found = self.releases.entries.iter_mut().find(|entry| entry.release.id == id);
        let unknown = || ReleaseError::Unknown { id: id.chars().take(64).collect() };
        found.map(|entry| Arc::make_mut(&mut entry.release)).ok_or_else(unknown)
    }

    /// Every text selects something, and no more than is kept of a name.
    fn check(&self, begin: &Begin) -> Result<(), ReleaseError> {
        let most = self.plan.limits.name_bytes;
        let said = [
            ("release", &begin.release),
            ("comparison", &begin.comparison),
            ("baseline", &begin.baseline),
            ("candidate", &begin.candidate),
        ];
        said.into_iter()
            .filter_map(|(key, said)| Some((key, said.as_ref()?)))
            .try_for_each(|(key, said)| text(key, said, most))?;
        let services = begin.services.as_deref().unwrap_or_default();
        services.iter().try_for_each(|service| text("services", service, most))?;
        match (begin.services.is_some(), services.len()) {
            (true, 0) => Err(ReleaseError::Empty { key: "services" }),
            (_, n) if n > most => Err(ReleaseError::TooLong { key: "services", bytes: n, most }),
            _ => Ok(()),
        }
    }

    /// Which comparison is meant, with what is asked for in the place of what is configured.
    fn resolve(&self, begin: &Begin) -> Result<Comparison, ReleaseError> {
        let known = self.comparisons();
        let names = || known.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
        let base = match (&begin.comparison, &begin.baseline, &begin.candidate, &known[..]) {
            (Some(name), ..) => match known.iter().find(|one| one.name == *name) {
                Some(found) => found.clone(),
                None if known.is_empty() => return Err(ReleaseError::NothingSeen),
                None => return Err(ReleaseError::UnknownComparison { name: name.clone(), known: names() }),
            },
            (None, Some(baseline), Some(candidate), _) => {
                Comparison { name: format!("{baseline}-vs-{candidate}"), ..Comparison::default() }
            }
            (None, .., [only]) => only.clone(),
            (None, .., []) => return Err(ReleaseError::NothingSeen),
            (None, ..) => return Err(ReleaseError::WhichComparison { known: names() }),
        };
        let comparison = Comparison {
            baseline: begin.baseline.clone().unwrap_or(base.baseline),
            candidate: begin.candidate.clone().unwrap_or(base.candidate),
            services: begin.services.clone().unwrap_or(base.services),
            ..base
        };
        match comparison.baseline == comparison.candidate && comparison.offset_ns == 0 {
            true => Err(ReleaseError::SameSides { name: comparison.baseline }),
            false => Ok(comparison),
        }
    }

    /// From when on telemetry counts, and how long to wait.
    fn times(&self, begin: &Begin, now_ns: u64) -> Result<(u64, u64), ReleaseError> {
        let period_ns = self.period_ns();
        let seconds = period_ns / 1_000_000_000;
        let start_ns = begin.start_ns.unwrap_or(now_ns);
        if start_ns > now_ns || start_ns < now_ns.saturating_sub(period_ns) {
            let allowed = format!("between now and {seconds} s ago");
            return Err(ReleaseError::Time { key: "start", allowed });
        }
        let timeout_ns = begin.timeout_ns.unwrap_or(period_ns);
        if timeout_ns == 0 || timeout_ns > period_ns {
            let allowed = format!("between 1 s and {seconds} s");
            return Err(ReleaseError::Time { key: "timeout", allowed });
        }
        Ok((start_ns, timeout_ns))
    }

    fn make_room(&mut self) -> Result<(), ReleaseError> {
        let most = self.plan.limits.sessions;
        while self.releases.entries.len() >= most {
            let ended = |entry: &Entry| entry.release.ended_ns.unwrap_or(u64::MAX);
            let oldest = self.releases.entries.iter().enumerate().min_by_key(|(_, entry)| ended(entry));
            let Some((at, _)) = oldest.filter(|(_, entry)| entry.release.ended_ns.is_some()) else {
                self.hits.count(Limit::Sessions);
                return Err(ReleaseError::Full { most });
            };
            self.releases.entries.remove(at);
        }
        Ok(())
    }

    /// Takes note of requests of the candidate, in windows that are still open too.
    fn look_for_traffic(&mut self, at: usize) {
        let release = &self.releases.entries[at].release;
        let names = self.names();
        let Some(candidate) = names.find_environment(&release.comparison.candidate) else { return };
        if release.traffic || release.state != State::Running {
            return;
        }
        let (comparison, first) = (&release.comparison, release.first_window);
        let is_its = |env: EnvironmentId, series: SeriesId| {
            let key = names.series_key(series);
            // What a process does by itself is no traffic.
            let comes_in = matches!(key.kind, SpanKind::Server | SpanKind::Consumer);
            env == candidate && comes_in && comparison.includes(&key.service)
        };
        let sealed = self.ring.iter().filter(|window| window.index >= first).any(|window| {
            let counts = |(id, cell): (SeriesId, StoredCell<'_>)| {
                let counts = cell.all_counts();
                is_its(candidate, id) && (counts.n > 0 || counts.metric_n > 0)
            };
            window.cells.of(candidate).any(counts)
        });
        let taken = || {
            let windows = self.taken.range(first..);
            windows.flat_map(|(_, window)| window.cells.keys()).any(|(env, series)| is_its(*env, *series))
        };
        let open = || self.ingest.shards.iter().any(|shard| lock(shard).has_requests(first, is_its));
        if sealed || taken() || open() {
            Arc::make_mut(&mut self.releases.entries[at].release).traffic = true;
        }
    }
}

/// Text that is there and not too long.
fn text(key: &'static str, said: &str, most: usize) -> Result<(), ReleaseError> {
    match said {
        said if said.trim().is_empty() => Err(ReleaseError::Empty { key }),
        said if said.len() > most => Err(ReleaseError::TooLong { key, bytes: said.len(), most }),
        _ => Ok(()),
    }
}

fn end(release: &mut Release, state: State, now_ns: u64) {
    release.state = state;
    release.ended_ns = Some(now_ns);
}

/// What a comparison names that does not exist, though telemetry has come since the session began.
fn missing(comparison: &Comparison, names: &KnownNames, no_service: bool) -> Option<String> {
    let unseen = [("baseline", &comparison.baseline), ("candidate", &comparison.candidate)]
        .into_iter()
        .find(|(_, name)| names.find_environment(name).is_none());
    match unseen {
        Some((side, name)) => Some(format!(
            "The {side} {name:?} matches no telemetry: no resource says that environment. Seen: {}.",
            names.environments_in_words()
        )),
        None if no_service && !comparison.services.is_empty() => Some(format!(
            "The services {} match none that has sent anything.",
            comparison.services.join(", ")
        )),
        None => None,
    }
}
