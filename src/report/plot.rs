//! Two cumulative distributions over each other, in characters.

use crate::judge::compare::Curves;
use crate::judge::findings::duration;

/// Rows of the plot.
const HEIGHT: usize = 11;

/// Draws two cumulative distributions on a logarithmic axis of durations: `·` the baseline, `#` the candidate, `*`
/// both. Empty when there is nothing to draw. `width` in characters, at least 40.
pub fn cdf(curves: &Curves, width: usize) -> String {
    let positive =
        |points: &[(f64, f64)]| points.iter().copied().filter(|(s, _)| *s > 0.0).collect::<Vec<_>>();
    let (baseline, candidate) = (positive(&curves.baseline), positive(&curves.candidate));
    let (Some(low), Some(high)) = (edge(&baseline, &candidate, true), edge(&baseline, &candidate, false))
    else {
        return String::new();
    };
    let columns = width.max(40) - 8;
    let (from, to) = (low.ln(), if high > low { high.ln() } else { low.ln() + 1.0 });
    let mut grid = vec![vec![' '; columns]; HEIGHT];
    for (points, mark) in [(&baseline, '·'), (&candidate, '#')] {
        for column in 0..columns {
            let t = (from + (to - from) * (column as f64 + 0.5) / columns as f64).exp();
            let row = ((1.0 - share_at(points, t)) * (HEIGHT - 1) as f64).round() as usize;
            let cell = &mut grid[row.min(HEIGHT - 1)][column];
            *cell = if *cell == ' ' { mark } else { '*' };
        }
    }
    let mut text =
        format!("{}: share of requests that took at most …  (· baseline, # candidate)\n", curves.title);
    for (row, line) in grid.into_iter().enumerate() {
        let share = 100 - 100 * row / (HEIGHT - 1);
        let label = if row % 5 == 0 { format!("{share:>4} %") } else { "      ".to_owned() };
        text.push_str(&format!("{label} │{}\n", line.into_iter().collect::<String>().trim_end()));
    }
    let (left, middle, right) = (duration(low), duration(((from + to) / 2.0).exp()), duration(to.exp()));
    let gap = (columns.saturating_sub(left.len() + middle.len() + right.len())) / 2;
    text.push_str(&format!("       └{}\n", "─".repeat(columns)));
    text.push_str(&format!("        {left}{}{middle}{}{right}\n", " ".repeat(gap), " ".repeat(gap)));
    text
}

/// Where the drawing begins or ends: the 0.5 % and 99.5 % points of the wider side.
fn edge(baseline: &[(f64, f64)], candidate: &[(f64, f64)], low: bool) -> Option<f64> {
    let of = |points: &[(f64, f64)]| {
        let share = if low { 0.005 } else { 0.995 };
        points.iter().find(|(_, s)| *s >= share).or(points.last()).map(|(t, _)| *t)
    };
    let sides = [of(baseline), of(candidate)].into_iter().flatten();
    sides.reduce(|a, b| if low { a.min(b) } else { a.max(b) })
}

fn share_at(points: &[(f64, f64)], t: f64) -> f64 {
    points.partition_point(|(seconds, _)| *seconds <= t).checked_sub(1).map_or(0.0, |at| points[at].1)
}
