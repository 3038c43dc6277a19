//! Two distributions in characters: cumulative shares over a logarithmic axis of time.
//!
//! Two lists of (seconds, cumulative share) flow in, lines of text flow out. The baseline is drawn thin and the
//! candidate thick, the tolerance around the baseline is shaded, and the widest vertical gap, which is where the
//! Kolmogorov-Smirnov statistic is taken, is marked. A picture to look at: no number of a verdict is computed here.

use crate::report::curve::{Cdf, LogAxis, tick_label, widest_gap};
use crate::report::format;
use crate::report::text::{clean, clip, columns};

/// Columns that the labels of the vertical axis take.
const MARGIN: usize = 7;
/// The least picture that shows anything.
const COLUMNS_LEAST: usize = 20;
/// Rows between the shares 0 and 1; divisible by four, so that the quarters have rows of their own.
const ROWS: usize = 12;

/// One side of a [`Plot`].
#[derive(Clone, Copy, Debug)]
pub struct PlotSide<'a> {
    /// The environment's name.
    pub name: &'a str,
    /// (seconds, share of requests at or under them in [0, 1]), rising. Points that are not finite or not positive
    /// are passed over.
    pub points: &'a [(f64, f64)],
}

/// Two distributions to be drawn over each other.
#[derive(Clone, Copy, Debug)]
pub struct Plot<'a> {
    /// What is shown, e.g. the operation's name.
    pub title: &'a str,
    /// Drawn thin.
    pub baseline: PlotSide<'a>,
    /// Drawn thick.
    pub candidate: PlotSide<'a>,
    /// The accepted change of a duration, a fraction: 0.15 is ±15 %. Shaded around the baseline.
    pub tolerance: Option<f64>,
    /// The Kolmogorov-Smirnov statistic to name at the widest gap; without it the gap as drawn is named.
    pub d: Option<f64>,
}

impl Plot<'_> {
    /// The picture in at most `width` columns, with legend; ends with a newline. Empty when a side has no points.
    pub fn render(&self, width: usize) -> String {
        let (baseline, candidate) = (Cdf::of(self.baseline.points), Cdf::of(self.candidate.points));
        let (Some(baseline), Some(candidate)) = (baseline, candidate) else { return String::new() };
        let width = width.max(COLUMNS_LEAST + MARGIN);
        let axis = Axis { time: LogAxis::over(&baseline, &candidate), columns: width - MARGIN };
        let mut canvas = Canvas::new(axis.columns);
        if let Some(tolerance) = self.tolerance.filter(|t| t.is_finite() && *t > 0.0) {
            canvas.band(&axis, &baseline, tolerance);
        }
        let (gap, gap_at) = widest_gap(&baseline, &candidate);
        canvas.gap(&axis, &baseline, &candidate, gap_at);
        canvas.curve(&axis, &baseline, THIN);
        canvas.curve(&axis, &candidate, THICK);
        let mut lines =
            vec![clip(&format!("{}: share of requests that take at most so long", clean(self.title)), width)];
        lines.extend(canvas.lines());
        lines.extend(axis.lines(gap_at));
        lines.extend(self.legend(width, gap, gap_at));
        lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    fn legend(&self, width: usize, gap: f64, gap_at: f64) -> Vec<String> {
        let mut parts =
            vec![format!("── {}", clean(self.baseline.name)), format!("━━ {}", clean(self.candidate.name))];
        if let Some(tolerance) = self.tolerance.filter(|t| t.is_finite() && *t > 0.0) {
            let words = format::tolerance(tolerance);
            parts.push(format!("░░ within {words} of {}", clean(self.baseline.name)));
        }
        let d = self.d.filter(|d| d.is_finite()).unwrap_or(gap);
        parts.push(format!("┊ widest gap: D = {d:.3} at {}", format::duration(gap_at)));
        let indent = " ".repeat(MARGIN);
        // Joined part by part, so that a line never ends inside of one that fits.
        let mut lines: Vec<String> = Vec::new();
        for part in parts {
            match lines.last_mut() {
                Some(line) if columns(line) + 3 + columns(&part) <= width => {
                    line.push_str("   ");
                    line.push_str(&part);
                }
                _ => lines.push(clip(&format!("{indent}{part}"), width)),
            }
        }
        lines
    }
}

/// The logarithmic axis of time in columns.
struct Axis {
    time: LogAxis,
    columns: usize,
}

impl Axis {
    fn seconds(&self, column: usize) -> f64 {
        self.time.value(column as f64 / (self.columns - 1) as f64)
    }

    fn column(&self, seconds: f64) -> Option<usize> {
        let column = (self.time.part(seconds) * (self.columns - 1) as f64).round();
        (0.0..self.columns as f64).contains(&column).then_some(column as usize)
    }

    /// The axis with its ticks, and the durations under them.
    fn lines(&self, gap_at: f64) -> [String; 2] {
        let mut rule = vec!['─'; self.columns];
        let mut labels = vec![' '; MARGIN + self.columns];
        let mut free_from = 0;
        for seconds in self.time.ticks() {
            let label = tick_label(seconds);
            let Some(column) = self.column(seconds) else { continue };
            let start = (MARGIN + column).saturating_sub(columns(&label) / 2);
            if start < free_from || start + columns(&label) > labels.len() {
                continue;
            }
            if let Some(mark) = rule.get_mut(column) {
                *mark = '┬';
            }
            for (at, c) in label.chars().enumerate() {
                if let Some(place) = labels.get_mut(start + at) {
                    *place = c;
                }
            }
            free_from = start + columns(&label) + 2;
        }
        if let Some(mark) = self.column(gap_at).and_then(|column| rule.get_mut(column)) {
            *mark = '┊';
        }
        [format!("{:>w$}└{}", "", rule.iter().collect::<String>(), w = MARGIN - 1), labels.iter().collect()]
    }
}

/// The characters of a line that rises from left to right.
struct Pen {
    flat: char,
    leaves: char,
    rises: char,
    arrives: char,
}

const THIN: Pen = Pen { flat: '─', leaves: '╯', rises: '│', arrives: '╭' };
const THICK: Pen = Pen { flat: '━', leaves: '┛', rises: '┃', arrives: '┏' };

/// Rows of characters; row 0 is the share 1.
struct Canvas {
    rows: Vec<Vec<char>>,
}

impl Canvas {
    fn new(columns: usize) -> Canvas {
        Canvas { rows: vec![vec![' '; columns]; ROWS + 1] }
    }

    fn put(&mut self, row: usize, column: usize, c: char) {
        if let Some(place) = self.rows.get_mut(row).and_then(|row| row.get_mut(column)) {
            *place = c;
        }
    }

    /// Shades what the baseline scaled by up to the tolerance, either way, would cover.
    fn band(&mut self, axis: &Axis, baseline: &Cdf, tolerance: f64) {
        for column in 0..axis.columns {
            let seconds = axis.seconds(column);
            let top = row_of(baseline.share(seconds * (1.0 + tolerance)));
            let bottom = row_of(baseline.share(seconds / (1.0 + tolerance)));
            for row in top..=bottom {
                self.put(row, column, '░');
            }
        }
    }

    fn gap(&mut self, axis: &Axis, baseline: &Cdf, candidate: &Cdf, at: f64) {
        let Some(column) = axis.column(at) else { return };
        let (b, c) = (row_of(baseline.share(at)), row_of(candidate.share(at)));
        for row in b.min(c)..=b.max(c) {
            self.put(row, column, '┊');
        }
    }

    fn curve(&mut self, axis: &Axis, curve: &Cdf, pen: Pen) {
        let mut last = row_of(curve.share(axis.seconds(0)));
        for column in 0..axis.columns {
            let row = row_of(curve.share(axis.seconds(column)));
            if row == last {
                self.put(row, column, pen.flat);
            } else {
                self.put(last, column, pen.leaves);
                for between in row + 1..last {
                    self.put(between, column, pen.rises);
                }
                self.put(row, column, pen.arrives);
            }
            last = row;
        }
    }

    fn lines(&self) -> Vec<String> {
        let line = |(row, cells): (usize, &Vec<char>)| {
            let label = match (ROWS - row) * 100 {
                whole if whole % (ROWS * 25) == 0 => format!("{} %", whole / ROWS),
                _ => String::new(),
            };
            let tick = if label.is_empty() { '│' } else { '┤' };
            format!("{label:>w$}{tick}{}", cells.iter().collect::<String>(), w = MARGIN - 1)
        };
        self.rows.iter().enumerate().map(line).collect()
    }
}

/// The row of a share; row 0 is the share 1.
fn row_of(share: f64) -> usize {
    ((1.0 - share.clamp(0.0, 1.0)) * ROWS as f64).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side<'a>(name: &'a str, points: &'a [(f64, f64)]) -> PlotSide<'a> {
        PlotSide { name, points }
    }

    #[test]
    fn nothing_is_drawn_without_points_on_both_sides() {
        let some = [(0.1, 0.5), (0.2, 1.0)];
        for (b, c) in [(&some[..], &[][..]), (&[], &some), (&[(f64::NAN, 0.5), (0.0, 1.0)], &some)] {
            let plot =
                Plot { title: "", baseline: side("b", b), candidate: side("c", c), tolerance: None, d: None };
            assert_eq!(plot.render(80), "");
        }
    }

    #[test]
    fn a_single_point_and_wild_numbers_are_drawn_in_the_width() {
        let one = [(0.1, 1.0)];
        let wild = [(1e-300, 0.2), (1e300, 7.0), (5.0, -1.0), (f64::INFINITY, 1.0)];
        for points in [&one[..], &wild[..]] {
            for width in [0, 27, 80, 200] {
                let plot = Plot {
                    title: "GET /\u{1b}[31m",
                    baseline: side("b", &one),
                    candidate: side("c", points),
                    tolerance: Some(0.15),
                    d: Some(f64::NAN),
                };
                let text = plot.render(width);
                assert!(text.lines().all(|line| columns(line) <= width.max(27)), "{text}");
                assert!(!text.contains('\u{1b}') && !text.contains("NaN"));
            }
        }
    }
}
