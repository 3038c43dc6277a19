//! Numbers as people read them: durations, changes, shares, counts. Every rounding in the reports is named here.
//!
//! Values flow in with their unit in the name, text flows out. A value that is not finite is shown as `?`: the
//! verdict JSON never holds one, and a renderer must not fail on it.

use crate::judge::Verdict;

/// The thin shape of a value that is missing.
pub const MISSING: &str = "–";

/// The sign that stands for a verdict where colour may be absent.
pub fn symbol(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Parity => "✓",
        Verdict::Divergent => "✗",
        Verdict::Inconclusive => "?",
        Verdict::NoData => "–",
    }
}

/// The verdict's word in a sentence: like [`Verdict::as_str`], with a space for the underscore.
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NoData => "no data",
        other => other.as_str(),
    }
}

/// Sign and word together, `✗ divergent`.
pub fn verdict(value: Verdict) -> String {
    format!("{} {}", symbol(value), word(value))
}

/// A duration in seconds with three significant digits and the unit that suits it: `12.3 ms`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".to_owned();
    }
    let (factor, unit) = time_unit(seconds);
    format!("{} {unit}", three_digits(seconds / factor))
}

/// A baseline's and a candidate's duration in seconds, `210 → 263 ms`; one unit when they share it.
pub fn durations(baseline_s: Option<f64>, candidate_s: Option<f64>) -> String {
    match (baseline_s, candidate_s) {
        (Some(b), Some(c)) if b.is_finite() && c.is_finite() => {
            let (factor, unit) = time_unit(b);
            if time_unit(c).1 == unit {
                format!("{} → {} {unit}", three_digits(b / factor), three_digits(c / factor))
            } else {
                format!("{} → {}", duration(b), duration(c))
            }
        }
        (None, None) => MISSING.to_owned(),
        (b, c) => format!(
            "{} → {}",
            b.map_or_else(|| MISSING.to_owned(), duration),
            c.map_or_else(|| MISSING.to_owned(), duration)
        ),
    }
}

/// Seconds per unit and the unit's name. The bounds sit where three digits would round up into the next unit.
fn time_unit(seconds: f64) -> (f64, &'static str) {
    let magnitude = seconds.abs();
    if magnitude == 0.0 {
        (1.0, "s")
    } else if magnitude < 0.9995e-6 {
        (1e-9, "ns")
    } else if magnitude < 0.9995e-3 {
        (1e-6, "µs")
    } else if magnitude < 0.9995 {
        (1e-3, "ms")
    } else if magnitude < 119.95 {
        (1.0, "s")
    } else if magnitude < 7199.5 {
        (60.0, "min")
    } else {
        (3600.0, "h")
    }
}

/// Three significant digits for values from 1 to 999, none after the point from 100 on.
fn three_digits(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || magnitude >= 99.95 {
        format!("{value:.0}")
    } else if magnitude >= 9.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// A ratio as a signed change: 1.23 is `+23 %`, 1.023 is `+2.3 %`, from tenfold on `×12`.
pub fn change(ratio: f64) -> String {
    if !ratio.is_finite() {
        return "?".to_owned();
    }
    if ratio >= 10.0 {
        format!("×{}", three_digits(ratio))
    } else {
        format!("{} %", signed_percent(ratio - 1.0))
    }
}

/// A ratio's interval as signed changes in percent, `[+18, +29]`; an end without a bound is open.
pub fn change_interval(low: Option<f64>, high: Option<f64>) -> String {
    interval(low.map(|r| r - 1.0), high.map(|r| r - 1.0), signed_percent)
}

/// A change with its interval, `+23 % [+18, +29]`; [`MISSING`] without an estimate.
pub fn change_with_interval(ratio: Option<f64>, low: Option<f64>, high: Option<f64>) -> String {
    match ratio {
        None => MISSING.to_owned(),
        Some(ratio) => format!("{} {}", change(ratio), change_interval(low, high)),
    }
}

/// The same in whole percent, for narrow columns: `+23 % [+18, +29]`. The interval's ends are rounded outwards, so
/// that it never looks narrower than it is.
pub fn whole_change_with_interval(ratio: f64, low: Option<f64>, high: Option<f64>) -> String {
    let whole = |ratio: f64| (ratio - 1.0) * 100.0;
    // A hair is taken off before rounding: 1.2 - 1.0 is a little more than 0.2.
    let low = low.map(|ratio| (whole(ratio) + 1e-9).floor());
    let high = high.map(|ratio| (whole(ratio) - 1e-9).ceil());
    let estimate =
        if (0.0..10.0).contains(&ratio) { format!("{} %", signed(whole(ratio), 0)) } else { change(ratio) };
    format!("{estimate} {}", interval(low, high, |percent| signed(percent, 0)))
}

/// A difference of two shares in percentage points with its interval, `+1.40 pp [+0.90, +1.90]`.
pub fn points_with_interval(delta: Option<f64>, low: Option<f64>, high: Option<f64>) -> String {
    match delta {
        None => MISSING.to_owned(),
        Some(delta) => format!("{} pp {}", signed_points(delta), points_interval(low, high)),
    }
}

/// The interval of a difference of two shares in percentage points, `[+0.90, +1.90]`.
pub fn points_interval(low: Option<f64>, high: Option<f64>) -> String {
    interval(low, high, signed_points)
}

/// The same with one digit after the point, rounded outwards, for narrow columns: `[-0.1, +0.2]`.
pub fn rough_points_interval(low: Option<f64>, high: Option<f64>) -> String {
    let low = low.map(|delta| (delta * 1000.0 + 1e-9).floor() / 10.0);
    let high = high.map(|delta| (delta * 1000.0 - 1e-9).ceil() / 10.0);
    interval(low, high, |points| signed(points, 1))
}

fn interval(low: Option<f64>, high: Option<f64>, show: fn(f64) -> String) -> String {
    let bounded = |end: Option<f64>| end.filter(|value| value.is_finite());
    match (bounded(low), bounded(high)) {
        (Some(low), Some(high)) => format!("[{}, {}]", show(low), show(high)),
        (Some(low), None) => format!("[{}, ∞)", show(low)),
        (None, Some(high)) => format!("(-∞, {}]", show(high)),
        (None, None) => "(-∞, ∞)".to_owned(),
    }
}

/// A fraction as signed percent without its sign of unit: one digit after the point under ten percent.
fn signed_percent(fraction: f64) -> String {
    signed(fraction * 100.0, if fraction.abs() * 100.0 < 9.95 { 1 } else { 0 })
}

/// A fraction as signed percentage points: two digits after the point under ten, one from there on.
fn signed_points(fraction: f64) -> String {
    signed(fraction * 100.0, if fraction.abs() * 100.0 < 9.995 { 2 } else { 1 })
}

/// A number with its sign, and plain `0` where rounding leaves nothing; `?` where it has left all bounds.
fn signed(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return "?".to_owned();
    }
    let text = format!("{value:+.digits$}");
    if text.bytes().any(|byte| matches!(byte, b'1'..=b'9')) { text } else { "0".to_owned() }
}

/// A share in [0, 1] as percent: `96.2 %`, `0.12 %`, `0 %`, `100 %`.
pub fn share(fraction: f64) -> String {
    if fraction.is_finite() { format!("{} %", percent(fraction)) } else { "?".to_owned() }
}

/// A tolerance as people set it: 0.15 is `±15 %`.
pub fn tolerance(fraction: f64) -> String {
    if !fraction.is_finite() {
        return "?".to_owned();
    }
    let text = format!("{:.2}", fraction * 100.0);
    format!("±{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A baseline's and a candidate's share, `0.10 → 3.20 %`.
pub fn shares(baseline: Option<f64>, candidate: Option<f64>) -> String {
    let show = |rate: Option<f64>| rate.map_or_else(|| MISSING.to_owned(), percent);
    match (baseline, candidate) {
        (None, None) => MISSING.to_owned(),
        (b, c) => format!("{} → {} %", show(b), show(c)),
    }
}

fn percent(fraction: f64) -> String {
    let value = fraction * 100.0;
    if !value.is_finite() {
        "?".to_owned()
    } else if value == 0.0 || value == 100.0 {
        format!("{value:.0}")
    } else if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        // Just under the whole must not read as the whole.
        "99.9".to_owned()
    }
}

/// A count with a comma between thousands: `12,034`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count in at most five characters, for narrow columns: `9,999`, `12.0k`, `1.23M`.
pub fn short(n: u64) -> String {
    if n < 10_000 {
        return count(n);
    }
    let units = [(1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T"), (1e15, "P"), (1e18, "E")];
    let value = n as f64;
    let (factor, unit) = units.into_iter().find(|(factor, _)| value < factor * 999.5).unwrap_or((1e18, "E"));
    format!("{}{unit}", three_digits(value / factor))
}

/// A count with its noun, `1 span`, `2 spans`.
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// A time span for people: `4 minutes`, `3.5 hours`.
pub fn minutes(minutes: f64) -> String {
    match minutes {
        m if m < 1.0 => "under a minute".to_owned(),
        m if m < 1.5 => "a minute".to_owned(),
        m if m < 90.0 => format!("{m:.0} minutes"),
        m if m < 36.0 * 60.0 => format!("{:.1} hours", m / 60.0),
        m => format!("{:.0} days", m / 60.0 / 24.0),
    }
}

/// A score from 0 to 100 without digits after the point; only the full score reads as 100.
pub fn score(value: f64) -> String {
    if !value.is_finite() {
        return "?".to_owned();
    }
    if value < 100.0 { format!("{:.0}", value.min(99.0)) } else { "100".to_owned() }
}

/// A p-value: three digits after the point, `< 0.001` under that.
pub fn p_value(p: f64) -> String {
    if !p.is_finite() {
        "?".to_owned()
    } else if p < 0.001 {
        "< 0.001".to_owned()
    } else {
        format!("{p:.3}")
    }
}

/// A quantile's order as people name it: 0.95 is `p95`, 0.999 is `p99.9`.
pub fn quantile(q: f64) -> String {
    let text = format!("{:.3}", q * 100.0);
    format!("p{}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The period between two RFC 3339 times in UTC: the date once when it is one, no fractions of a second.
pub fn period(start: Option<&str>, end: Option<&str>) -> String {
    match (start, end) {
        (Some(start), Some(end)) => {
            let (start, end) = (instant(start), instant(end));
            let same_day = start.get(..11).is_some() && start.get(..11) == end.get(..11);
            let end_short = if same_day { end.get(11..).unwrap_or(&end) } else { &end };
            let both_utc = end.ends_with(" UTC");
            let start = if both_utc { start.strip_suffix(" UTC").unwrap_or(&start) } else { &start };
            format!("{start} to {end_short}")
        }
        (None, None) => "no data in time".to_owned(),
        (start, end) => format!(
            "{} to {}",
            start.map_or_else(|| MISSING.to_owned(), instant),
            end.map_or_else(|| MISSING.to_owned(), instant)
        ),
    }
}

/// `2026-07-01T10:00:00.25Z` as `2026-07-01 10:00:00 UTC`; anything else as it is.
pub fn instant(rfc3339: &str) -> String {
    let Some(body) = rfc3339.strip_suffix('Z') else { return rfc3339.to_owned() };
    let Some((date, time)) = body.split_once('T') else { return rfc3339.to_owned() };
    let whole_seconds = time.split('.').next().unwrap_or(time);
    format!("{date} {whole_seconds} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_the_unit_that_suits_them() {
        let shown: Vec<String> =
            [0.0, 3.2e-8, 4.56e-5, 0.0123, 0.21, 0.99999, 1.5, 90.0, 300.0, 86400.0].map(duration).into();
        let expected = [
            "0 s", "32.0 ns", "45.6 µs", "12.3 ms", "210 ms", "1.00 s", "1.50 s", "90.0 s", "5.00 min",
            "24.0 h",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn two_durations_share_a_unit_when_they_can() {
        assert_eq!(durations(Some(0.21), Some(0.263)), "210 → 263 ms");
        assert_eq!(durations(Some(0.98), Some(1.2)), "980 ms → 1.20 s");
        assert_eq!(durations(None, Some(0.1)), "– → 100 ms");
        assert_eq!(durations(None, None), "–");
    }

    #[test]
    fn ratios_read_as_signed_changes() {
        assert_eq!(change(1.23), "+23 %");
        assert_eq!(change(0.977), "-2.3 %");
        assert_eq!(change(1.0), "0 %");
        assert_eq!(change(12.0), "×12.0");
        assert_eq!(change_with_interval(Some(1.23), Some(1.18), Some(1.29)), "+23 % [+18, +29]");
        assert_eq!(change_with_interval(Some(1.23), Some(1.18), None), "+23 % [+18, ∞)");
        assert_eq!(change_with_interval(None, None, None), "–");
    }

    #[test]
    fn rough_intervals_are_rounded_outwards() {
        assert_eq!(whole_change_with_interval(1.2, Some(1.2), Some(1.2)), "+20 % [+20, +20]");
        assert_eq!(whole_change_with_interval(1.004, Some(0.993), Some(1.015)), "0 % [-1, +2]");
        assert_eq!(rough_points_interval(Some(-0.0009), Some(0.0011)), "[-0.1, +0.2]");
        assert_eq!(rough_points_interval(Some(0.02), Some(0.02)), "[+2.0, +2.0]");
    }

    #[test]
    fn a_share_just_under_the_whole_is_not_the_whole() {
        assert_eq!(share(0.99999), "99.9 %");
        assert_eq!(share(1.0), "100 %");
        assert_eq!(shares(Some(0.001), Some(0.032)), "0.10 → 3.20 %");
        assert_eq!([0.15, 0.125, 0.0].map(tolerance), ["±15 %", "±12.5 %", "±0 %"]);
        assert_eq!(score(99.7), "99");
        assert_eq!(score(100.0), "100");
    }

    #[test]
    fn nothing_fails_on_numbers_that_are_not_finite() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let shown = [duration(value), change(value), share(value), score(value), p_value(value)];
            assert!(shown.iter().all(|text| !text.contains("NaN") && !text.contains("inf")), "{shown:?}");
        }
    }

    #[test]
    fn a_period_names_its_day_once() {
        let same = period(Some("2026-07-01T10:00:00Z"), Some("2026-07-01T10:30:00.5Z"));
        assert_eq!(same, "2026-07-01 10:00:00 to 10:30:00 UTC");
        assert_eq!(period(None, None), "no data in time");
        assert_eq!(period(Some("é"), Some("not a time at all")), "é to not a time at all");
    }

    #[test]
    fn counts_have_commas_and_quantiles_their_names() {
        assert_eq!([0, 999, 1000, 1234567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([9_999, 12_034, 999_900, u64::MAX].map(short), ["9,999", "12.0k", "1.00M", "18.4E"]);
        assert_eq!([0.5, 0.95, 0.999].map(quantile), ["p50", "p95", "p99.9"]);
    }
}
