//! A part of a history between two times: what a page draws, the JSON holds, and a report tells.
//!
//! Schema `isotel.history/v1`. Scores are 0 to 100, times RFC 3339.

use super::entry::rfc3339;
use super::{Deploy, Episode, History, Point, Subject, TREND_SHARE};
use crate::judge::Verdict;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name and version of the JSON's layout.
pub const SCHEMA: &str = "isotel.history/v1";
/// Points that a period is drawn with at the most.
const DRAWN_MOST: u64 = 360;

/// What happened between two times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Period {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The comparison's name.
    pub comparison: String,
    /// The baseline environment.
    pub baseline: String,
    /// The candidate environment.
    pub candidate: String,
    /// Who owns the comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The first moment, inclusive.
    pub from: String,
    /// The last moment, exclusive.
    pub to: String,
    /// The earliest look that is still known, in or before the period.
    pub begins: Option<String>,
    /// All looks together; `None` without any.
    pub total: Option<Tally>,
    /// All looks of the time before, of the same length.
    pub before: Option<Tally>,
    /// Scores over time, each point of `point_s` seconds.
    pub points: Vec<DrawnPoint>,
    /// Seconds of a point.
    pub point_s: u64,
    /// Each aspect, in this period and in the time before.
    pub aspects: BTreeMap<String, Change>,
    /// Each service, in this period and in the time before.
    pub services: BTreeMap<String, Change>,
    /// Versions that came.
    pub deploys: Vec<Deploy>,
    /// Findings that were there, latest first.
    pub findings: Vec<Episode>,
    /// Things that were forgotten because there were too many.
    pub forgotten: u64,
}

/// Looks together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Looks by verdict.
    pub looks: BTreeMap<Verdict, u64>,
    /// Mean score of those with data.
    pub score: Option<f64>,
    /// The least.
    pub least: Option<f64>,
    /// The greatest.
    pub most: Option<f64>,
}

impl Tally {
    /// Of some points; `None` when nothing was looked at.
    fn of<'p>(points: impl Iterator<Item = &'p Point>) -> Option<Tally> {
        let mut all = Point::new(0);
        points.for_each(|point| all.merge(point));
        let counted =
            Verdict::ALL.into_iter().map(|verdict| (verdict, u64::from(all.looks[super::place(verdict)])));
        let looks: BTreeMap<Verdict, u64> = counted.filter(|(_, n)| *n > 0).collect();
        let with_data = |score: f32| (all.with_data() > 0).then(|| tenths(f64::from(score)));
        (!looks.is_empty()).then(|| Tally {
            looks,
            score: all.mean().map(tenths),
            least: with_data(all.least),
            most: with_data(all.most),
        })
    }

    /// All looks.
    pub fn n(&self) -> u64 {
        self.looks.values().sum()
    }

    /// The share of looks with this verdict.
    pub fn share(&self, verdict: Verdict) -> f64 {
        self.looks.get(&verdict).copied().unwrap_or(0) as f64 / self.n().max(1) as f64
    }

    /// The worst verdict.
    pub fn worst(&self) -> Verdict {
        self.looks.keys().copied().max().unwrap_or(Verdict::NoData)
    }
}

/// Something in a period and in the time before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// In the period.
    pub now: Option<Tally>,
    /// In the time before.
    pub before: Option<Tally>,
}

impl Change {
    /// How much the mean score rose; `None` where a time has no data.
    pub fn by(&self) -> Option<f64> {
        Some(self.now.as_ref()?.score? - self.before.as_ref()?.score?)
    }
}

/// A point of a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrawnPoint {
    /// First moment.
    pub at: String,
    /// The worst verdict.
    pub verdict: Verdict,
    /// Mean score; `None` without data.
    pub score: Option<f64>,
    /// The least.
    pub least: Option<f64>,
    /// The greatest.
    pub most: Option<f64>,
    /// Looks.
    pub looks: u64,
}

impl History {
    /// What happened from `from_ns` on and before `to_ns`.
    pub fn period(&self, comparison: &str, from_ns: u64, to_ns: u64) -> Period {
        let to_ns = to_ns.max(from_ns.saturating_add(1));
        let before_ns = from_ns.saturating_sub(to_ns - from_ns);
        // A point over the border belongs to the later time.
        let now = |length_ns: u64| {
            move |point: &&Point| point.start_ns + length_ns > from_ns && point.start_ns < to_ns
        };
        let earlier = |length_ns: u64| {
            move |point: &&Point| (before_ns..=from_ns).contains(&(point.start_ns + length_ns))
        };
        let trend_ns = self.length_ns * TREND_SHARE;
        let (points, point_ns) = self.drawn(from_ns, to_ns);
        let mut aspects = BTreeMap::new();
        let mut services = BTreeMap::new();
        for (subject, points) in &self.trends {
            let change = Change {
                now: Tally::of(points.iter().filter(now(trend_ns))),
                before: Tally::of(points.iter().filter(earlier(trend_ns))),
            };
            if change == Change::default() {
                continue;
            }
            match subject {
                Subject::Aspect(aspect) => aspects.insert(aspect.as_str().to_owned(), change),
                Subject::Service(service) => services.insert(service.to_string(), change),
            };
        }
        let mut findings: Vec<Episode> = self
            .episodes
            .iter()
            .filter(|episode| episode.from_ns < to_ns && (episode.to_ns >= from_ns || episode.open))
            .cloned()
            .collect();
        findings.reverse();
        findings.sort_by_key(|episode| std::cmp::Reverse((episode.finding.level, episode.to_ns)));
        let deploys =
            self.deploys.iter().filter(|deploy| (from_ns..to_ns).contains(&deploy.at_ns)).cloned().collect();
        Period {
            schema: SCHEMA.to_owned(),
            comparison: comparison.to_owned(),
            baseline: self.scene.baseline.clone(),
            candidate: self.scene.candidate.clone(),
            owner: self.scene.owner.clone(),
            from: rfc3339(from_ns),
            to: rfc3339(to_ns),
            begins: self.begins_ns().map(rfc3339),
            total: Tally::of(points.iter()),
            before: Tally::of(self.points.iter().filter(earlier(self.length_ns))),
            points: points.iter().map(DrawnPoint::of).collect(),
            point_s: point_ns / 1_000_000_000,
            aspects,
            services,
            deploys,
            findings,
            forgotten: self.forgotten,
        }
    }

    /// Points of a period, and how long each is: of single looks where those reach back so far.
    fn drawn(&self, from_ns: u64, to_ns: u64) -> (Vec<Point>, u64) {
        let wanted_ns = (to_ns - from_ns).div_ceil(DRAWN_MOST).max(1_000_000_000);
        let single = self.looks.front().is_some_and(|look| {
            look.at_ns <= from_ns
                || self.points.front().is_none_or(|point| point.start_ns + self.length_ns > look.at_ns)
        });
        let mut points: Vec<Point> = Vec::new();
        let mut add = |length_ns: u64, point: Point| {
            let start_ns = point.start_ns / length_ns * length_ns;
            match points.last_mut().filter(|last| last.start_ns == start_ns) {
                Some(last) => last.merge(&point),
                None => points.push(Point { start_ns, ..point }),
            }
        };
        let length_ns = match single {
            true => wanted_ns,
            false => wanted_ns.div_ceil(self.length_ns) * self.length_ns,
        };
        if single {
            for look in self.looks.iter().filter(|look| (from_ns..to_ns).contains(&look.at_ns)) {
                let mut point = Point::new(look.at_ns);
                point.note(look.verdict, look.score as super::Score);
                add(length_ns, point);
            }
        } else {
            let within = |point: &&Point| point.start_ns + self.length_ns > from_ns && point.start_ns < to_ns;
            self.points.iter().filter(within).cloned().for_each(|point| add(length_ns, point));
        }
        (points, length_ns)
    }
}

impl DrawnPoint {
    fn of(point: &Point) -> DrawnPoint {
        let with_data = point.with_data() > 0;
        let score = |score: f32| with_data.then(|| tenths(f64::from(score)));
        DrawnPoint {
            at: rfc3339(point.start_ns),
            verdict: point.worst(),
            score: point.mean().map(tenths),
            least: score(point.least),
            most: score(point.most),
            looks: point.looks.iter().map(|n| u64::from(*n)).sum(),
        }
    }
}

/// Scores over a period are told to a tenth.
fn tenths(score: f64) -> f64 {
    (score * 10.0).round() / 10.0
}
