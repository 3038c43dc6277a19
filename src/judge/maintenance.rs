//! Maintenance: times in which what is seen is meant to be so.
//!
//! A look whose evidence touches a maintenance opens no alert and counts in no error budget. Evidence reaches back by
//! `parity.period`, so this lasts by as much longer than the maintenance itself; and where the baseline is that of another
//! time, it holds when that time is looked back at too.

use super::policy::names_service;
use crate::model::environment::glob;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// When something is worked on.
#[derive(Clone, Debug, PartialEq)]
pub struct Maintenance {
    /// In which comparisons, `*` for any run of characters; `None` in all.
    pub comparison: Option<String>,
    /// Of which services; `None` of all, and of the comparison itself.
    pub service: Option<String>,
    /// When.
    pub when: When,
}

/// The times of a maintenance.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// Once, nanoseconds since the epoch; the end is not part of it.
    Once(u64, u64),
    /// On days of the week, by the clock of a time zone. It ends on the next day where it would end before it begins.
    Weekly {
        /// On which days it begins.
        days: Vec<Weekday>,
        /// When it begins.
        from: Time,
        /// When it ends.
        to: Time,
        /// Whose clock.
        zone: TimeZone,
    },
}

/// Nanoseconds of a week: evidence of more touches every weekly maintenance.
const WEEK_NS: u64 = 7 * 86_400_000_000_000;

/// The maintenances of a look, and what its evidence is of.
#[derive(Clone, Copy, Debug)]
pub struct Quiet<'a> {
    /// Those of all comparisons.
    pub maintenances: &'a [Maintenance],
    /// The end of the newest window that was judged, nanoseconds since the epoch.
    pub end_ns: u64,
    /// How far the evidence of either side reaches back, nanoseconds.
    pub period_ns: u64,
    /// How long before the candidate's the baseline's evidence is, nanoseconds.
    pub offset_ns: u64,
}

impl Quiet<'_> {
    /// Where nothing is ever worked on.
    pub const NONE: Quiet<'static> = Quiet { maintenances: &[], end_ns: 0, period_ns: 0, offset_ns: 0 };

    /// Whether evidence of the baseline or the candidate touches a maintenance of the service, or of the comparison itself.
    pub fn holds(&self, comparison: &str, service: Option<&str>) -> bool {
        let touches = |when: &When| {
            [0, self.offset_ns].into_iter().any(|before_ns| {
                let end_ns = self.end_ns.saturating_sub(before_ns);
                when.touches(end_ns.saturating_sub(self.period_ns), end_ns)
            })
        };
        self.maintenances.iter().any(|one| {
            let of_service = match (&one.service, service) {
                (None, _) => true,
                (Some(pattern), Some(service)) => names_service(pattern, service),
                (Some(_), None) => false,
            };
            let of_comparison = one.comparison.as_ref().is_none_or(|pattern| glob(pattern, comparison));
            of_comparison && of_service && touches(&one.when)
        })
    }
}

impl When {
    /// Whether any of it lies between two times, nanoseconds since the epoch; the later one is not part of what is asked.
    pub fn touches(&self, start_ns: u64, end_ns: u64) -> bool {
        match self {
            When::Once(from_ns, to_ns) => *from_ns < end_ns && start_ns < *to_ns,
            When::Weekly { days, .. } if end_ns.saturating_sub(start_ns) > WEEK_NS => !days.is_empty(),
            When::Weekly { days, from, to, zone } => {
                let time = |ns: u64| Timestamp::from_nanosecond(i128::from(ns));
                let (Ok(start), Ok(end)) = (time(start_ns), time(end_ns)) else { return false };
                let first = start.to_zoned(zone.clone()).date().saturating_sub(1.day());
                let last = end.to_zoned(zone.clone()).date();
                let mut begins = first.series(1.day()).take_while(|day| *day <= last);
                begins.any(|day| {
                    let next = if to <= from { day.saturating_add(1.day()) } else { day };
                    let begin = day.to_datetime(*from).to_zoned(zone.clone());
                    let finish = next.to_datetime(*to).to_zoned(zone.clone());
                    let (Ok(begin), Ok(finish)) = (begin, finish) else { return false };
                    days.contains(&day.weekday()) && begin.timestamp() < end && start < finish.timestamp()
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> u64 {
        text.parse::<Timestamp>().unwrap().as_nanosecond() as u64
    }

    fn weekly(days: &[Weekday], from: i8, to: i8, zone: &str) -> When {
        let hour = |hour| Time::constant(hour, 0, 0, 0);
        When::Weekly {
            days: days.to_vec(),
            from: hour(from),
            to: hour(to),
            zone: TimeZone::get(zone).unwrap(),
        }
    }

    #[test]
    fn a_weekly_maintenance_follows_the_clock_of_its_zone_through_the_year() {
        let night = weekly(&[Weekday::Sunday], 2, 4, "Europe/Berlin");
        let touches = |from: &str, to: &str| night.touches(at(from), at(to));
        // Sunday 2026-01-04, when Berlin is one hour ahead, and 2026-07-05, when it is two.
        assert!(touches("2026-01-04T01:00:00Z", "2026-01-04T01:01:00Z"));
        assert!(!touches("2026-01-04T00:00:00Z", "2026-01-04T01:00:00Z"));
        assert!(!touches("2026-01-04T03:00:00Z", "2026-01-04T03:30:00Z"));
        assert!(touches("2026-07-05T00:00:00Z", "2026-07-05T00:01:00Z"));
        assert!(!touches("2026-07-05T02:00:00Z", "2026-07-05T02:30:00Z"));
        assert!(!touches("2026-01-05T01:00:00Z", "2026-01-05T02:00:00Z"), "a Monday");
        // On the day on which two o'clock does not exist, it begins when three strikes.
        assert!(touches("2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"));
    }

    #[test]
    fn a_weekly_maintenance_may_last_past_midnight_and_is_in_every_longer_period() {
        let late = weekly(&[Weekday::Saturday], 23, 1, "UTC");
        assert!(late.touches(at("2026-01-04T00:30:00Z"), at("2026-01-04T00:31:00Z")), "Sunday morning");
        assert!(!late.touches(at("2026-01-03T00:30:00Z"), at("2026-01-03T00:31:00Z")), "Saturday morning");
        assert!(late.touches(at("2026-01-05T00:00:00Z"), at("2026-01-13T00:00:00Z")));
        assert!(!weekly(&[], 0, 23, "UTC").touches(0, u64::MAX));
    }

    #[test]
    fn evidence_of_either_side_counts_and_the_time_between_them_does_not() {
        let when = weekly(&[Weekday::Sunday], 2, 4, "UTC");
        let maintenances = [Maintenance { comparison: Some("rel*".to_owned()), service: None, when }];
        let holds = |comparison: &str, end: &str, offset_days: u64| {
            let (period_ns, offset_ns) = (1_800_000_000_000, offset_days * 86_400_000_000_000);
            Quiet { maintenances: &maintenances, end_ns: at(end), period_ns, offset_ns }
                .holds(comparison, None)
        };
        // 2026-01-04 is a Sunday.
        assert!(holds("release", "2026-01-04T04:29:00Z", 0) && !holds("release", "2026-01-04T04:30:00Z", 0));
        assert!(!holds("other", "2026-01-04T03:00:00Z", 0));
        assert!(holds("release", "2026-01-05T03:00:00Z", 1), "the baseline of yesterday was worked on");
        assert!(!holds("release", "2026-01-05T12:00:00Z", 7));
    }

    #[test]
    fn a_maintenance_of_one_time_ends_where_it_says() {
        let once = When::Once(100, 200);
        let touches =
            [(0, 100), (0, 101), (150, 160), (199, 300), (200, 300)].map(|(a, b)| once.touches(a, b));
        assert_eq!(touches, [false, true, true, true, false]);
        assert!(!weekly(&[Weekday::Monday], 0, 1, "UTC").touches(u64::MAX - 1, u64::MAX));
    }
}
