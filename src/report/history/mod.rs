//! What comparisons came to, look after look, in a bounded memory: scores over time, findings that came and went, deployments.
//!
//! Entries flow in, oldest first ([`History::note`]), those of a disk at a start and then one a look. What flows out is a
//! [`Period`] of it. The latest looks are kept one by one; what is older is kept in *points* of equal length, so many that
//! they reach over the whole retention.

pub mod entry;
pub mod period;

use self::entry::{Entry, FindingScene, Scene, Score, ServiceScene, rfc3339};
use crate::judge::{Aspect, Level, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub use period::Period;

/// Looks that are kept one by one: six hours at two a minute.
pub const LOOKS_MOST: usize = 720;
/// Points of a comparison: the retention over the length of a point is at most this.
pub const POINTS_MOST: usize = 4_320;
/// Points of a service or aspect: one for six of the comparison's.
const TREND_SHARE: u64 = 6;
/// Findings that came, whether they went or not.
pub const EPISODES_MOST: usize = 2_000;
/// Deployments.
pub const DEPLOYS_MOST: usize = 1_000;
/// Services and aspects with a trend of their own.
pub const TRENDS_MOST: usize = entry::SERVICES_MOST + 20;
/// Versions that are remembered of a service on one side.
const VERSIONS_MOST: usize = 16;
/// Comparisons with a history.
pub const COMPARISONS_MOST: usize = 256;

/// Lengths of a point, seconds: each divides a day.
const LENGTHS_S: [u64; 9] = [60, 300, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400];

/// One look at a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Look {
    /// When it was judged, RFC 3339.
    pub at: String,
    /// The same, nanoseconds since the epoch.
    #[serde(skip)]
    pub at_ns: u64,
    /// What it came to.
    pub verdict: Verdict,
    /// 0 to 100.
    pub score: f64,
}

/// All looks of some time together.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// First nanosecond.
    pub start_ns: u64,
    /// Looks by verdict, in the order of [`Verdict::ALL`].
    pub looks: [u32; 4],
    /// The sum of the scores of looks with data.
    pub sum: f64,
    /// The least score.
    pub least: Score,
    /// The greatest score.
    pub most: Score,
}

impl Point {
    fn new(start_ns: u64) -> Point {
        Point { start_ns, looks: [0; 4], sum: 0.0, least: Score::MAX, most: 0.0 }
    }

    fn note(&mut self, verdict: Verdict, score: Score) {
        self.looks[place(verdict)] = self.looks[place(verdict)].saturating_add(1);
        if verdict != Verdict::NoData {
            self.sum += f64::from(score);
            self.least = self.least.min(score);
            self.most = self.most.max(score);
        }
    }

    fn merge(&mut self, other: &Point) {
        self.looks.iter_mut().zip(other.looks).for_each(|(own, n)| *own = own.saturating_add(n));
        self.sum += other.sum;
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
    }

    /// Looks that had data.
    pub fn with_data(&self) -> u64 {
        Verdict::ALL
            .into_iter()
            .filter(|verdict| *verdict != Verdict::NoData)
            .map(|verdict| u64::from(self.looks[place(verdict)]))
            .sum()
    }

    /// The mean score; `None` without data.
    pub fn mean(&self) -> Option<f64> {
        let n = self.with_data();
        (n > 0).then(|| self.sum / n as f64)
    }

    /// The worst verdict among the looks.
    pub fn worst(&self) -> Verdict {
        let seen = Verdict::ALL.into_iter().filter(|verdict| self.looks[place(*verdict)] > 0);
        seen.max().unwrap_or(Verdict::NoData)
    }
}

fn place(verdict: Verdict) -> usize {
    Verdict::ALL.iter().position(|known| *known == verdict).unwrap_or(0)
}

/// What has a score of its own over time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// One dimension of parity.
    Aspect(Aspect),
    /// A service by its name.
    Service(Arc<str>),
}

/// A time in which a finding was there. What goes for less than a point's length and comes again has not gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    /// The finding as it was last.
    #[serde(flatten)]
    pub finding: FindingScene,
    /// The first look that had it, RFC 3339.
    pub from: String,
    /// The last look that had it.
    pub to: String,
    /// Whether the latest look has it.
    pub open: bool,
    /// Looks that had it.
    pub looks: u64,
    /// The first look, nanoseconds since the epoch.
    #[serde(skip)]
    pub from_ns: u64,
    /// The last look.
    #[serde(skip)]
    pub to_ns: u64,
}

/// Which side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SideName {
    /// The reference.
    Baseline,
    /// What is judged.
    Candidate,
}

/// A version that was seen for the first time since another one, or one that came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    /// The first look that saw it, RFC 3339.
    pub at: String,
    /// The same, nanoseconds since the epoch.
    #[serde(skip)]
    pub at_ns: u64,
    /// The service.
    pub service: String,
    /// Where.
    pub side: SideName,
    /// What was there before, joined by `, `.
    pub from: String,
    /// What is there now.
    pub to: String,
    /// Whether that is a version from before, and the newer one is gone.
    pub back: bool,
}

/// What is known of one comparison.
#[derive(Clone, Debug)]
pub struct History {
    retention_ns: u64,
    length_ns: u64,
    scene: Arc<Scene>,
    scene_hash: Option<u64>,
    looks: VecDeque<Look>,
    since: Option<String>,
    points: VecDeque<Point>,
    trends: BTreeMap<Subject, VecDeque<Point>>,
    episodes: VecDeque<Episode>,
    deploys: VecDeque<Deploy>,
    /// What runs, and last the version that came last.
    running: BTreeMap<(String, SideName), Vec<String>>,
    forgotten: u64,
}

impl History {
    /// Nothing yet; what is older than the retention will be forgotten.
    pub fn new(retention_ns: u64) -> History {
        let seconds = (retention_ns / 1_000_000_000).div_ceil(POINTS_MOST as u64);
        let length_s = LENGTHS_S.into_iter().find(|length| *length >= seconds).unwrap_or(86_400);
        History {
            retention_ns,
            length_ns: length_s * 1_000_000_000,
            scene: Arc::default(),
            scene_hash: None,
            looks: VecDeque::new(),
            since: None,
            points: VecDeque::new(),
            trends: BTreeMap::new(),
            episodes: VecDeque::new(),
            deploys: VecDeque::new(),
            running: BTreeMap::new(),
            forgotten: 0,
        }
    }

    /// One more look, later than those before; one that is not is left out.
    pub fn note(&mut self, entry: &Entry) {
        if self.looks.back().is_some_and(|last| last.at_ns > entry.at_ns) {
            return;
        }
        let at = rfc3339(entry.at_ns);
        let known = match &entry.described {
            Some(scene) => {
                self.scene = Arc::new(scene.clone());
                self.scene_hash = Some(entry.scene);
                true
            }
            None => self.scene_hash == Some(entry.scene),
        };
        let score = finite(entry.score);
        self.look(entry, &at, score);
        if known {
            let scene = Arc::clone(&self.scene);
            for (service, (verdict, score)) in scene.services.iter().zip(&entry.services) {
                let subject = Subject::Service(Arc::from(service.service.as_str()));
                self.trend(subject, entry.at_ns, *verdict, finite(*score));
                self.versions(service, &at, entry.at_ns);
            }
            self.findings(&scene.findings, &at, entry.at_ns);
        }
        for (aspect, verdict, score) in &entry.aspects {
            self.trend(Subject::Aspect(*aspect), entry.at_ns, *verdict, finite(*score));
        }
        self.expire(entry.at_ns);
    }

    fn look(&mut self, entry: &Entry, at: &str, score: Score) {
        if self.looks.back().is_none_or(|last| last.verdict != entry.verdict) {
            self.since = Some(at.to_owned());
        }
        if self.looks.len() == LOOKS_MOST {
            self.looks.pop_front();
        }
        let (at_ns, verdict) = (entry.at_ns, entry.verdict);
        self.looks.push_back(Look { at: at.to_owned(), at_ns, verdict, score: f64::from(score) });
        note(&mut self.points, at_ns, self.length_ns, verdict, score);
    }

    fn trend(&mut self, subject: Subject, at_ns: u64, verdict: Verdict, score: Score) {
        if !self.trends.contains_key(&subject) && self.trends.len() >= TRENDS_MOST {
            self.forgotten += 1;
            return;
        }
        let points = self.trends.entry(subject).or_default();
        note(points, at_ns, self.length_ns * TREND_SHARE, verdict, score);
    }

    fn versions(&mut self, scene: &ServiceScene, at: &str, at_ns: u64) {
        for (side, seen) in [(SideName::Baseline, &scene.baseline), (SideName::Candidate, &scene.candidate)] {
            let seen = &seen[..seen.len().min(VERSIONS_MOST)];
            if seen.is_empty() {
                continue;
            }
            let key = (scene.service.clone(), side);
            let Some(running) = self.running.get_mut(&key) else {
                if self.running.len() < 2 * entry::SERVICES_MOST {
                    self.running.insert(key, seen.to_vec());
                }
                continue;
            };
            let before = running.join(", ");
            let new: Vec<String> = seen.iter().filter(|v| !running.contains(v)).cloned().collect();
            let newest = running.last().cloned();
            running.retain(|version| seen.contains(version));
            let back = new.is_empty() && newest.is_some_and(|newest| !seen.contains(&newest));
            running.extend(new.iter().cloned());
            if back || !new.is_empty() {
                let to = if back { running.join(", ") } else { new.join(", ") };
                let (service, at) = (scene.service.clone(), at.to_owned());
                push(
                    &mut self.deploys,
                    DEPLOYS_MOST,
                    Deploy { at, at_ns, service, side, from: before, to, back },
                    &mut self.forgotten,
                );
            }
        }
    }

    fn findings(&mut self, seen: &[FindingScene], at: &str, at_ns: u64) {
        let mut left: BTreeMap<&str, &FindingScene> =
            seen.iter().map(|finding| (finding.id.as_str(), finding)).collect();
        for episode in &mut self.episodes {
            let again = at_ns.saturating_sub(episode.to_ns) <= self.length_ns || episode.open;
            match left.get(episode.finding.id.as_str()).filter(|_| again) {
                Some(finding) => {
                    episode.finding = (*finding).clone();
                    (episode.to, episode.to_ns, episode.open) = (at.to_owned(), at_ns, true);
                    episode.looks += 1;
                    left.remove(episode.finding.id.as_str());
                }
                None => episode.open = false,
            }
        }
        for finding in left.into_values() {
            let (from, to, from_ns, to_ns) = (at.to_owned(), at.to_owned(), at_ns, at_ns);
            let finding = finding.clone();
            let episode = Episode { finding, from, to, open: true, looks: 1, from_ns, to_ns };
            push(&mut self.episodes, EPISODES_MOST, episode, &mut self.forgotten);
        }
    }

    /// Forgets what is older than the retention.
    pub fn expire(&mut self, now_ns: u64) {
        let oldest_ns = now_ns.saturating_sub(self.retention_ns);
        let length_ns = self.length_ns;
        while self.looks.front().is_some_and(|look| look.at_ns < oldest_ns) {
            self.looks.pop_front();
        }
        while self.points.front().is_some_and(|point| point.start_ns + length_ns <= oldest_ns) {
            self.points.pop_front();
        }
        for points in self.trends.values_mut() {
            while points.front().is_some_and(|point| point.start_ns + length_ns * TREND_SHARE <= oldest_ns) {
                points.pop_front();
            }
        }
        self.trends.retain(|_, points| !points.is_empty());
        self.episodes.retain(|episode| episode.to_ns >= oldest_ns);
        self.deploys.retain(|deploy| deploy.at_ns >= oldest_ns);
    }

    /// The latest looks, oldest first.
    pub fn looks(&self) -> impl ExactSizeIterator<Item = &Look> + DoubleEndedIterator {
        self.looks.iter()
    }

    /// Since when the verdict is what it is, RFC 3339; `None` before the first look.
    pub fn since(&self) -> Option<&str> {
        self.since.as_deref()
    }

    /// Whether there is nothing left.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// When the first look was that is still known, nanoseconds since the epoch.
    pub fn begins_ns(&self) -> Option<u64> {
        let first_look = self.looks.front().map(|look| look.at_ns);
        // A point begins before its first look does.
        match (self.points.front(), first_look) {
            (Some(point), Some(look)) if point.start_ns + self.length_ns > look => Some(look),
            (Some(point), _) => Some(point.start_ns),
            (None, look) => look,
        }
    }

    /// Nanoseconds of a point.
    pub fn point_ns(&self) -> u64 {
        self.length_ns
    }
}

/// Scores are numbers, whatever a disk says.
fn finite(score: Score) -> Score {
    if score.is_finite() { score.clamp(0.0, 100.0) } else { 0.0 }
}

fn note(points: &mut VecDeque<Point>, at_ns: u64, length_ns: u64, verdict: Verdict, score: Score) {
    let start_ns = at_ns / length_ns * length_ns;
    if points.back().is_none_or(|last| last.start_ns < start_ns) {
        points.push_back(Point::new(start_ns));
    }
    if let Some(last) = points.back_mut() {
        last.note(verdict, score);
    }
}

/// Pushes, and forgets the oldest one beyond the bound.
fn push<T>(list: &mut VecDeque<T>, most: usize, item: T, forgotten: &mut u64) {
    if list.len() >= most {
        list.pop_front();
        *forgotten += 1;
    }
    list.push_back(item);
}

/// The histories of all comparisons.
#[derive(Clone, Debug)]
pub struct Histories {
    retention_ns: u64,
    by_name: BTreeMap<String, History>,
    /// Looks that were not noted, because there were too many comparisons.
    pub left_out: u64,
}

impl Histories {
    /// Nothing yet.
    pub fn new(retention_ns: u64) -> Histories {
        Histories { retention_ns, by_name: BTreeMap::new(), left_out: 0 }
    }

    /// One more look.
    pub fn note(&mut self, entry: &Entry) {
        if !self.by_name.contains_key(&entry.comparison) && self.by_name.len() >= COMPARISONS_MOST {
            self.left_out += 1;
            return;
        }
        let new = || History::new(self.retention_ns);
        self.by_name.entry(entry.comparison.clone()).or_insert_with(new).note(entry);
    }

    /// Forgets what is older than the retention.
    pub fn expire(&mut self, now_ns: u64) {
        self.by_name.values_mut().for_each(|history| history.expire(now_ns));
        self.by_name.retain(|_, history| !history.is_empty());
    }

    /// One comparison's.
    pub fn of(&self, comparison: &str) -> Option<&History> {
        self.by_name.get(comparison)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &History)> {
        self.by_name.iter().map(|(name, history)| (name.as_str(), history))
    }
}

/// Findings that somebody has to look at.
pub fn matters(finding: &FindingScene) -> bool {
    finding.waived_by.is_none() && finding.level > Level::Info
}

#[cfg(test)]
mod tests;
