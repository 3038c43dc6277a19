//! A cumulative distribution that can be drawn, and the logarithmic axis of time under two of them.
//!
//! Points (seconds, share at or under them) flow in; shares at any time, the widest gap, and places on an axis flow
//! out. What is drawn in characters ([`crate::report::plot`]) and in SVG ([`crate::report::html`]) rests on the same.

use crate::report::format;

/// The shares at which a picture begins and ends: tails would squeeze everything else.
const TAILS: (f64, f64) = (0.005, 0.995);

/// A cumulative distribution that can be asked at any time.
pub(super) struct Cdf {
    points: Vec<(f64, f64)>,
}

impl Cdf {
    /// Sorted and made monotone; `None` without a usable point.
    pub(super) fn of(points: &[(f64, f64)]) -> Option<Cdf> {
        let mut points: Vec<(f64, f64)> = points
            .iter()
            .filter(|(s, share)| s.is_finite() && *s > 0.0 && share.is_finite())
            .map(|(s, share)| (*s, share.clamp(0.0, 1.0)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mut least = 0.0_f64;
        for (_, share) in &mut points {
            least = least.max(*share);
            *share = least;
        }
        if points.is_empty() { None } else { Some(Cdf { points }) }
    }

    /// Share at or under `seconds`, interpolated in the logarithm between points.
    pub(super) fn share(&self, seconds: f64) -> f64 {
        let after = self.points.partition_point(|(s, _)| *s <= seconds);
        let before = after.checked_sub(1).and_then(|at| self.points.get(at));
        match (before, self.points.get(after)) {
            (None, _) => 0.0,
            (Some((_, share)), None) => *share,
            (Some((s0, f0)), Some((s1, f1))) => {
                let part = (seconds / s0).ln() / (s1 / s0).ln();
                f0 + (f1 - f0) * part.clamp(0.0, 1.0)
            }
        }
    }

    /// The first point that reaches a share, or the last point.
    pub(super) fn reaches(&self, share: f64) -> f64 {
        let found = self.points.iter().find(|(_, f)| *f >= share).or(self.points.last());
        found.map_or(1.0, |(s, _)| *s)
    }
}

/// Where the two curves are furthest apart: how far, and at how many seconds.
pub(super) fn widest_gap(baseline: &Cdf, candidate: &Cdf) -> (f64, f64) {
    let mut widest = (0.0, baseline.reaches(0.5));
    for (seconds, _) in baseline.points.iter().chain(&candidate.points) {
        let gap = (baseline.share(*seconds) - candidate.share(*seconds)).abs();
        if gap > widest.0 {
            widest = (gap, *seconds);
        }
    }
    widest
}

/// A logarithmic axis between two positive values.
#[derive(Clone, Copy)]
pub(super) struct LogAxis {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl LogAxis {
    /// Over all of both distributions but the outermost tails.
    pub(super) fn over(baseline: &Cdf, candidate: &Cdf) -> LogAxis {
        let low = baseline.reaches(TAILS.0).min(candidate.reaches(TAILS.0)) / 1.05;
        let high = baseline.reaches(TAILS.1).max(candidate.reaches(TAILS.1)) * 1.05;
        // Everything at one place still gets an axis around it.
        let (low, high) = if high / low < 1.2 { (low / 1.5, high * 1.5) } else { (low, high) };
        LogAxis { low, high }
    }

    /// The value at a part of the axis, 0 at its beginning and 1 at its end.
    pub(super) fn value(self, part: f64) -> f64 {
        self.low * (self.high / self.low).powf(part)
    }

    /// The part of the axis at which a value stands; beyond [0, 1] for values beyond the axis.
    pub(super) fn part(self, value: f64) -> f64 {
        (value / self.low).ln() / (self.high / self.low).ln()
    }

    /// 1, 2 and 5 of every decade in sight.
    pub(super) fn ticks(self) -> Vec<f64> {
        let decades = (self.low.log10().floor() as i32)..=(self.high.log10().ceil() as i32);
        decades
            .flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade)))
            .filter(|value| (self.low..=self.high).contains(value))
            .collect()
    }
}

/// A round duration without digits after the point: `20 ms`.
pub(super) fn tick_label(seconds: f64) -> String {
    let text = format::duration(seconds);
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_gap_is_found_where_it_is() {
        let baseline = Cdf::of(&[(0.1, 0.5), (0.2, 1.0)]);
        let candidate = Cdf::of(&[(0.1, 0.5), (0.2, 0.6), (0.4, 1.0)]);
        let (Some(baseline), Some(candidate)) = (baseline, candidate) else {
            unreachable!("both have points")
        };
        assert_eq!(widest_gap(&baseline, &candidate), (0.4, 0.2));
    }
}
