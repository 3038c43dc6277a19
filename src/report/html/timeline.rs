//! A score over time in SVG, with the range of each point and a mark for each deployment.
//!
//! Points flow in, SVG flows out. A verdict is told by the line's colour and by its dashes; every number and every mark also
//! stands in a table.

use super::chart::{Room, path, px};
use super::class;
use crate::judge::Verdict;
use crate::report::history::Period;
use crate::report::history::entry::{rfc3339, time_ns};
use crate::report::history::period::DrawnPoint;
use maud::{Markup, html};

const WIDE: Room = Room { width: 960.0, height: 260.0, left: 40.0, right: 12.0, top: 26.0, bottom: 30.0 };
const NARROW: Room = Room { width: 360.0, height: 220.0, left: 34.0, right: 8.0, top: 26.0, bottom: 30.0 };
const MINUTE_NS: u64 = 60_000_000_000;
const DAY_NS: u64 = 1_440 * MINUTE_NS;
/// Minutes between two marks of the axis.
const STEPS: [u64; 16] =
    [1, 2, 5, 10, 15, 30, 60, 120, 240, 360, 720, 1_440, 2_880, 7 * 1_440, 28 * 1_440, 112 * 1_440];
/// Deployments with a mark.
const MARKS_MOST: usize = 60;

/// Points that are further apart than so many of their lengths have a gap between them.
const GAP: u64 = 4;

/// Where a point is drawn from left to right, and whether it goes on from the one before.
type Place<'a> = (f64, &'a DrawnPoint, bool);

struct Drawn<'a> {
    from_ns: u64,
    to_ns: u64,
    gap_ns: u64,
    points: Vec<(u64, &'a DrawnPoint)>,
    deploys: Vec<(u64, usize)>,
}

/// The score of a period over time; `words` say the same, `id` sets it apart. Deployments have the numbers of their rows in the table.
pub(super) fn picture(period: &Period, id: &str, words: &str) -> Markup {
    let (Some(from_ns), Some(to_ns)) = (time_ns(&period.from), time_ns(&period.to)) else { return html! {} };
    let points: Vec<_> =
        period.points.iter().filter_map(|point| Some((time_ns(&point.at)?, point))).collect();
    // The distance that looks usually have, where it is longer than a point.
    let mut distances: Vec<u64> = points.windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].0)).collect();
    distances.sort_unstable();
    let usual = distances.get(distances.len() / 2).copied().unwrap_or(0);
    let mut deploys: Vec<(u64, usize)> = Vec::new();
    for (at, deploy) in period.deploys.iter().enumerate().take(MARKS_MOST) {
        match (time_ns(&deploy.at), deploys.last()) {
            (Some(time), last) if last.is_none_or(|(known, _)| *known != time) => {
                deploys.push((time, at + 1))
            }
            _ => {}
        }
    }
    let drawn =
        Drawn { from_ns, to_ns, gap_ns: usual.max(period.point_s * 1_000_000_000) * GAP, points, deploys };
    html! {
        (drawn.svg(WIDE, &format!("{id}-wide"), "wide", words, 8))
        (drawn.svg(NARROW, &format!("{id}-narrow"), "narrow", words, 3))
    }
}

impl Drawn<'_> {
    fn x(&self, room: Room, at_ns: u64) -> f64 {
        let part = at_ns.saturating_sub(self.from_ns) as f64 / (self.to_ns - self.from_ns).max(1) as f64;
        room.x(part)
    }

    /// Where marks stand, with their numbers as far as these do not touch.
    fn marks(&self, room: Room) -> Vec<(f64, Option<usize>)> {
        let mut free_from = 0.0;
        let mark = |(time, number): &(u64, usize)| {
            let x = self.x(room, *time);
            let fits = x >= free_from;
            free_from = if fits { x + 18.0 } else { free_from };
            (x, fits.then_some(*number))
        };
        self.deploys.iter().map(mark).collect()
    }

    fn svg(&self, room: Room, id: &str, kind: &str, words: &str, ticks: u64) -> Markup {
        let y = |score: f64| room.y(score / 100.0);
        let shown: Vec<Place<'_>> = self
            .points
            .iter()
            .enumerate()
            .filter(|(_, (_, point))| point.score.is_some())
            .map(|(at, (time, point))| {
                let before = at.checked_sub(1).and_then(|before| self.points.get(before));
                let joined = before.is_some_and(|(known, before)| {
                    before.score.is_some() && time.saturating_sub(*known) <= self.gap_ns
                });
                (self.x(room, *time), *point, joined)
            })
            .collect();
        let score = |point: &DrawnPoint| y(point.score.unwrap_or(0.0));
        let runs = shown.chunk_by(|_, next| next.2);
        html! {
            svg class=(kind) viewBox=(format!("0 0 {} {}", room.width, room.height)) role="img"
                aria-labelledby={ (id) "-t " (id) "-d" } {
                title id={ (id) "-t" } { "Score over time" }
                desc id={ (id) "-d" } { (words) }
                (self.grid(room, ticks))
                @for run in runs {
                    @if run.len() > 1 {
                        @let upper = run.iter().map(|(x, point, _)| (*x, y(point.most.unwrap_or(0.0))));
                        @let lower = run.iter().rev().map(|(x, point, _)| (*x, y(point.least.unwrap_or(0.0))));
                        path.band d={ (path(upper.chain(lower))) "Z" } {}
                    }
                    @if let [(x, point, _)] = run {
                        circle class=(class(point.verdict)) cx=(px(*x)) cy=(px(score(point))) r="3" {}
                    }
                    @for part in parts(run) {
                        path class={ "over " (class(part.0)) } d=(path(part.1.iter().map(|(x, point, _)| (*x, score(point))))) {}
                    }
                }
                @for (x, number) in self.marks(room) {
                    line.deploy x1=(px(x)) x2=(px(x)) y1=(px(room.top - 6.0)) y2=(px(room.y(0.0))) {}
                    @if let Some(number) = number {
                        text.deploy x=(px(x)) y=(px(room.top - 10.0)) text-anchor="middle" { (number) }
                    }
                }
            }
        }
    }

    fn grid(&self, room: Room, most: u64) -> Markup {
        let span = self.to_ns - self.from_ns;
        let step_ns = STEPS
            .into_iter()
            .map(|minutes| minutes * MINUTE_NS)
            .find(|step| span / step <= most)
            .unwrap_or_else(|| span.div_ceil(most.max(1)).max(1));
        let first = self.from_ns.div_ceil(step_ns) * step_ns;
        let times: Vec<u64> =
            (0..=most).map(|n| first + n * step_ns).take_while(|time| *time < self.to_ns).collect();
        html! {
            g.grid {
                @for score in [0, 25, 50, 75, 100] {
                    @let y = room.y(f64::from(score) / 100.0);
                    line x1=(px(room.left)) x2=(px(room.width - room.right)) y1=(px(y)) y2=(px(y)) {}
                    text x=(px(room.left - 8.0)) y=(px(y + 4.0)) text-anchor="end" { (score) }
                }
                @for time in times {
                    @let x = self.x(room, time);
                    line x1=(px(x)) x2=(px(x)) y1=(px(room.top)) y2=(px(room.y(0.0))) {}
                    @if x > room.left + 18.0 && x < room.width - 24.0 {
                        text x=(px(x)) y=(px(room.y(0.0) + 20.0)) text-anchor="middle" { (label(time)) }
                    }
                }
            }
        }
    }
}

/// `08:30`, and at midnight `11-21`, both UTC.
fn label(time_ns: u64) -> String {
    let text = rfc3339(time_ns);
    let part = if time_ns.is_multiple_of(DAY_NS) { text.get(5..10) } else { text.get(11..16) };
    part.unwrap_or_default().to_owned()
}

/// A run cut where the verdict changes; each part begins where the one before ends.
fn parts<'a, 'r>(run: &'r [Place<'a>]) -> Vec<(Verdict, &'r [Place<'a>])> {
    let mut parts = Vec::new();
    let mut from = 0;
    for at in 1..run.len() {
        let last = at + 1 == run.len();
        if last || run[at].1.verdict != run[at + 1].1.verdict {
            parts.push((run[at].1.verdict, &run[from..=at]));
            from = at;
        }
    }
    parts
}
