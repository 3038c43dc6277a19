//! Pictures in SVG: two distributions over each other, and ratios with their intervals against the tolerance.
//!
//! Curves and numbers flow in, SVG flows out. The colours are the style's. Every number that a picture shows also
//! stands as text beside it.

use crate::judge::curves::Curves;
use crate::judge::verdict::{Figure, QuantileResult};
use crate::report::curve::{Cdf, LogAxis, tick_label, widest_gap};
use crate::report::format;
use crate::report::history::Look;
use maud::{Markup, html};
use std::fmt::Write as _;

/// Places of a distribution that are drawn.
const POINTS: usize = 160;

/// The room of a picture in its own units, which are pixels where it is not made smaller.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Room {
    pub(super) fn x(self, part: f64) -> f64 {
        self.left + part.clamp(0.0, 1.0) * (self.width - self.left - self.right)
    }

    pub(super) fn y(self, share: f64) -> f64 {
        self.top + (1.0 - share.clamp(0.0, 1.0)) * (self.height - self.top - self.bottom)
    }
}

const WIDE: Room = Room { width: 760.0, height: 320.0, left: 52.0, right: 12.0, top: 12.0, bottom: 34.0 };
const NARROW: Room = Room { width: 360.0, height: 280.0, left: 46.0, right: 8.0, top: 10.0, bottom: 32.0 };

/// The two sides' names.
#[derive(Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) baseline: &'a str,
    pub(super) candidate: &'a str,
}

/// Two distributions over each other; `None` when a side has no points. `id` sets it apart from others on the page.
pub(super) fn distributions(id: &str, curves: &Curves, sides: Sides<'_>) -> Option<Markup> {
    let (baseline, candidate) = (Cdf::of(&curves.baseline)?, Cdf::of(&curves.candidate)?);
    let (gap, at) = widest_gap(&baseline, &candidate);
    let d = curves.d.filter(|d| d.is_finite()).unwrap_or(gap);
    let words = format!(
        "{} reaches half of its requests within {}, {} within {}. The curves are furthest apart at {}, by {d:.3}.",
        sides.baseline,
        format::duration(baseline.reaches(0.5)),
        sides.candidate,
        format::duration(candidate.reaches(0.5)),
        format::duration(at)
    );
    let pair = Pair { baseline, candidate, tolerance: curves.tolerance(), d, at };
    Some(html! {
        figure.distributions {
            (pair.svg(WIDE, &format!("{id}-wide"), "wide", &words))
            (pair.svg(NARROW, &format!("{id}-narrow"), "narrow", &words))
            figcaption {
                span.key { span.line.baseline {} (super::name(sides.baseline)) }
                span.key { span.line.candidate {} (super::name(sides.candidate)) }
                @if let Some(tolerance) = pair.tolerance {
                    span.key {
                        span.line.band {} "within " (format::tolerance(tolerance)) " of " (super::name(sides.baseline))
                    }
                }
                span.key { span.line.gap {} "widest gap, D = " (format!("{d:.3}")) " at " (format::duration(at)) }
            }
        }
    })
}

struct Pair {
    baseline: Cdf,
    candidate: Cdf,
    tolerance: Option<f64>,
    d: f64,
    at: f64,
}

impl Pair {
    fn svg(&self, room: Room, id: &str, class: &str, words: &str) -> Markup {
        let axis = LogAxis::over(&self.baseline, &self.candidate);
        let at = room.x(axis.part(self.at));
        let ends = [&self.baseline, &self.candidate].map(|curve| room.y(curve.share(self.at)));
        html! {
            svg class=(class) viewBox=(format!("0 0 {} {}", room.width, room.height)) role="img"
                aria-labelledby={ (id) "-t " (id) "-d" } {
                title id={ (id) "-t" } { "Share of requests that take at most so long" }
                desc id={ (id) "-d" } { (words) }
                (grid(room, axis))
                @if let Some(tolerance) = self.tolerance.filter(|t| t.is_finite() && *t > 0.0) {
                    path.band d=(self.band(room, axis, tolerance)) {}
                }
                line.gap x1=(px(at)) x2=(px(at)) y1=(px(ends[0])) y2=(px(ends[1])) {}
                path.baseline d=(line(room, axis, &self.baseline)) {}
                path.candidate d=(line(room, axis, &self.candidate)) {}
                (self.gap_label(room, at, (ends[0] + ends[1]) / 2.0))
            }
        }
    }

    /// `D = 0.338` beside the gap, on the side where there is room.
    fn gap_label(&self, room: Room, x: f64, y: f64) -> Markup {
        let to_the_left = x > room.width * 0.7;
        let (dx, anchor) = if to_the_left { (-7.0, "end") } else { (7.0, "start") };
        html! {
            text.gap x=(px(x + dx)) y=(px(y + 4.0)) text-anchor=(anchor) { "D = " (format!("{:.3}", self.d)) }
        }
    }

    /// What the baseline scaled by up to the tolerance, either way, would cover.
    fn band(&self, room: Room, axis: LogAxis, tolerance: f64) -> String {
        let edge = |factor: f64| {
            parts().map(move |part| (room.x(part), room.y(self.baseline.share(axis.value(part) * factor))))
        };
        let upper = edge(1.0 + tolerance);
        let lower: Vec<(f64, f64)> = edge(1.0 / (1.0 + tolerance)).collect();
        path(upper.chain(lower.into_iter().rev())) + "Z"
    }
}

fn parts() -> impl Iterator<Item = f64> {
    (0..=POINTS).map(|at| at as f64 / POINTS as f64)
}

fn line(room: Room, axis: LogAxis, curve: &Cdf) -> String {
    path(parts().map(|part| (room.x(part), room.y(curve.share(axis.value(part))))))
}

pub(super) fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut text = String::new();
    for (x, y) in points {
        let sign = if text.is_empty() { 'M' } else { 'L' };
        let _ = write!(text, "{sign}{x:.1} {y:.1}");
    }
    text
}

pub(super) fn px(value: f64) -> String {
    format!("{value:.1}")
}

/// Quarters across, round durations down.
fn grid(room: Room, axis: LogAxis) -> Markup {
    let floor = room.y(0.0);
    let mut free_from = 0.0;
    let ticks: Vec<(f64, Option<String>)> = axis
        .ticks()
        .into_iter()
        .map(|seconds| {
            let (x, label) = (room.x(axis.part(seconds)), tick_label(seconds));
            // About what a digit takes, so that labels never touch.
            let half = label.chars().count() as f64 * 3.7;
            let fits = x - half > free_from && x + half < room.width;
            free_from = if fits { x + half + 6.0 } else { free_from };
            (x, fits.then_some(label))
        })
        .collect();
    html! {
        g.grid {
            @for quarter in 0..=4 {
                @let y = room.y(f64::from(quarter) / 4.0);
                line x1=(px(room.left)) x2=(px(room.width - room.right)) y1=(px(y)) y2=(px(y)) {}
                text x=(px(room.left - 8.0)) y=(px(y + 4.0)) text-anchor="end" { (quarter * 25) " %" }
            }
            @for (x, label) in &ticks {
                line x1=(px(*x)) x2=(px(*x)) y1=(px(room.top)) y2=(px(floor)) {}
                @if let Some(label) = label {
                    text x=(px(*x)) y=(px(floor + 20.0)) text-anchor="middle" { (label) }
                }
            }
        }
    }
}

/// The axis of ratios: half to double, or as far as the estimates reach.
#[derive(Clone, Copy)]
pub(super) struct Ratios(LogAxis);

impl Ratios {
    /// The axis of a list of quantiles.
    pub(super) fn over(quantiles: &[QuantileResult]) -> Ratios {
        let ends =
            quantiles.iter().flat_map(|q| [q.ratio, q.ratio_low, q.ratio_high]).filter_map(Figure::get);
        let reach = ends.filter(|r| *r > 0.0).map(|r| r.max(1.0 / r)).fold(1.0, f64::max);
        let reach = (reach * 1.08).clamp(1.5, 20.0);
        Ratios(LogAxis { low: 1.0 / reach, high: reach })
    }

    /// The same axis for all operations of a table, so that they can be compared at a glance.
    pub(super) const TABLE: Ratios = Ratios(LogAxis { low: 0.5, high: 2.0 });

    /// A ratio with its interval on this axis, `width` units wide; unbounded ends run to the edge with an arrow.
    pub(super) fn picture(self, quantile: &QuantileResult, tolerance: Option<f64>, width: f64) -> Markup {
        let room = Room { width, height: 18.0, left: 6.0, right: 6.0, top: 0.0, bottom: 0.0 };
        let place = |ratio: f64| room.x(self.0.part(ratio));
        let end = |bound: Option<f64>| bound.filter(|r| *r > 0.0);
        let (low, high) = (end(quantile.ratio_low.get()), end(quantile.ratio_high.get()));
        let x = |bound: Option<f64>, edge: f64| bound.map_or(edge, place);
        let (from, to) = (x(low, room.left), x(high, width - room.right));
        let beyond = |bound: Option<f64>, part: fn(f64) -> bool| bound.is_none_or(|r| part(self.0.part(r)));
        html! {
            svg.ratio viewBox=(format!("0 0 {width} 18")) width=(width) height="18" aria-hidden="true" {
                @if let Some(tolerance) = tolerance.filter(|t| t.is_finite() && *t > 0.0) {
                    @let (from, to) = (place(1.0 / (1.0 + tolerance)), place(1.0 + tolerance));
                    rect.band x=(px(from)) y="1" width=(px(to - from)) height="16" {}
                }
                line.one x1=(px(place(1.0))) x2=(px(place(1.0))) y1="0" y2="18" {}
                @if let Some(ratio) = end(quantile.ratio.get()) {
                    line.candidate x1=(px(from)) x2=(px(to)) y1="9" y2="9" {}
                    @if beyond(low, |part| part < 0.0) { path.arrow d=(format!("M{0:.1} 5L1 9L{0:.1} 13Z", room.left)) {} }
                    @if beyond(high, |part| part > 1.0) {
                        path.arrow d=(format!("M{0:.1} 5L{1:.1} 9L{0:.1} 13Z", width - room.right, width - 1.0)) {}
                    }
                    circle.candidate cx=(px(place(ratio))) cy="9" r="3.5" {}
                }
            }
        }
    }

    /// What the ends and the middle of the axis mean: `-33 %`, `same`, `+50 %`.
    pub(super) fn scale(self) -> String {
        format!("{} … same … {}", format::change(self.0.low), format::change(self.0.high))
    }
}

/// The score over looks, from 0 at the bottom to 100 at the top; each look's verdict is the colour of its part.
pub(super) fn sparkline(looks: &[&Look]) -> Markup {
    let room = Room { width: 600.0, height: 48.0, left: 4.0, right: 4.0, top: 4.0, bottom: 4.0 };
    let last = looks.len().saturating_sub(1).max(1) as f64;
    let place = |(at, look): (usize, &&Look)| {
        let score = if look.score.is_finite() { look.score / 100.0 } else { 0.0 };
        (room.x(at as f64 / last), room.y(score))
    };
    let points: Vec<(f64, f64)> = looks.iter().enumerate().map(place).collect();
    html! {
        svg.sparkline viewBox="0 0 600 48" preserveAspectRatio="none" aria-hidden="true" {
            line.track x1="0" x2="600" y1=(px(room.y(1.0))) y2=(px(room.y(1.0))) {}
            line.track x1="0" x2="600" y1=(px(room.y(0.0))) y2=(px(room.y(0.0))) {}
            @for (pair, look) in points.windows(2).zip(looks.iter().skip(1)) {
                line class=(super::class(look.verdict)) x1=(px(pair[0].0)) y1=(px(pair[0].1)) x2=(px(pair[1].0)) y2=(px(pair[1].1)) {}
            }
        }
    }
}
