//! A week in words, of two weeks of looks.

use crate::fixtures::regression;
use isotel::judge::policy::Waiver;
use isotel::judge::{Aspect, Finding, Report, Verdict, verdict::Fact};
use isotel::report::history::entry::{Entry, rfc3339};
use isotel::report::history::{Histories, Period};
use isotel::report::html;
use isotel::report::review::{Review, to_json, to_markdown};

const HOUR: u64 = 3_600_000_000_000;
const DAY: u64 = 24 * HOUR;
/// 2026-07-01T00:00:00Z.
const T0: u64 = 1_782_864_000_000_000_000;
const NOW: u64 = T0 + 14 * DAY;

fn versioned(mut report: Report, version: &str) -> Report {
    for service in &mut report.services {
        service.facts = vec![Fact {
            key: "service.version".to_owned(),
            baseline: Some("1.0".to_owned()),
            candidate: Some(version.to_owned()),
            equal: false,
            rule: None,
            severity: None,
            group: None,
            broken: false,
            accepted: false,
        }];
    }
    report
}

/// The same services and operations without a difference.
fn steady() -> Report {
    let mut report = regression();
    (report.verdict, report.score) = (Verdict::Parity, 100.0);
    report.findings.clear();
    report.aspects.values_mut().for_each(|result| (result.verdict, result.score) = (Verdict::Parity, 100.0));
    report.services.iter_mut().for_each(|result| (result.verdict, result.score) = (Verdict::Parity, 100.0));
    report
}

/// Two weeks at parity; a release on the tenth day is divergent for six hours, and one on the last stays so.
fn weeks(name: &str) -> Histories {
    let mut histories = Histories::new(30 * DAY);
    for hour in 0..14 * 24 {
        let (report, version) = match hour {
            0..240 => (steady(), "1.0"),
            240..246 => (regression(), "1.1"),
            246..320 => (steady(), "1.1"),
            _ => (regression(), "1.2"),
        };
        let generated_at = rfc3339(T0 + hour * HOUR);
        let report = Report { generated_at, comparison: name.to_owned(), ..versioned(report, version) };
        histories.note(&Entry::of(&report).unwrap());
    }
    histories
}

fn week(name: &str) -> Period {
    weeks(name).of(name).unwrap().period(name, NOW - 7 * DAY, NOW)
}

fn waiver(reason: &str, expires_ns: u64) -> Waiver {
    Waiver {
        service: Some("search".to_owned()),
        operation: None,
        aspect: None,
        finding: None,
        item: None,
        comparison: None,
        reason: reason.to_owned(),
        owner: "team <search>".to_owned(),
        expires_ns,
    }
}

#[test]
fn a_week_is_told_with_what_came_what_stayed_and_who_should_know() {
    let waivers = [
        waiver("until the new index", NOW - DAY),
        waiver("soon", NOW + 3 * DAY),
        waiver("far", NOW + 60 * DAY),
    ];
    let review = Review::of(vec![week("release")], &waivers, NOW);
    insta::assert_snapshot!("review_markdown", to_markdown(&review));
    let json: serde_json::Value = serde_json::from_str(&to_json(&review)).unwrap();
    assert_eq!(json["schema"], "isotel.report/v1");
    assert_eq!(json["waivers"].as_array().unwrap().len(), 2, "what ends later than in two weeks is not told");
    let again: Period = serde_json::from_value(json["comparisons"][0].clone()).unwrap();
    assert_eq!(to_markdown(&Review::of(vec![again], &waivers, NOW)), to_markdown(&review));
}

#[test]
fn a_time_without_looks_says_so_and_names_from_telemetry_stay_text() {
    let nothing = weeks("release").of("release").unwrap().period("release", T0 - 9 * DAY, T0 - 2 * DAY);
    let review = Review::of(vec![nothing], &[], NOW);
    assert!(to_markdown(&review).contains("Nothing was judged in this period."));
    let hostile = "<img src=x onerror=alert(1)> | @all";
    let review = Review::of(vec![week(hostile)], &[], NOW);
    for text in [to_markdown(&review), html::of_review(&review)] {
        assert!(!text.contains("<img src=x"), "{text}");
    }
    let page = html::of_review(&review);
    assert!(page.contains("<svg") && page.contains("Content-Security-Policy"));
    assert!(!page.contains("href=\"/"), "a file has no pages beside it");
    assert_eq!(html::of_review(&review), page);
}

#[test]
fn what_data_and_tests_came_to_is_told_with_what_is_still_there() {
    let about = |aspect, title: &str, item: &str| Finding {
        id: format!("{item}-00000001"),
        aspect,
        title: title.to_owned(),
        service: Some("shop/etl".to_owned()),
        operation: None,
        item: Some(item.to_owned()),
        ..regression().findings[0].clone()
    };
    let gone = about(Aspect::Value, "another value", "rows.read");
    let stays = about(Aspect::Value, "another value", "rows.written");
    let runner = about(Aspect::Presence, "missing metric", "tests_failed_total");
    let other = about(Aspect::Presence, "missing metric", "contest.entries");
    let mut histories = Histories::new(30 * DAY);
    for hour in 0..6 {
        let mut report = Report { generated_at: rfc3339(T0 + hour * HOUR), ..steady() };
        report.findings = vec![stays.clone(), runner.clone(), other.clone()];
        report.findings.extend((hour < 3).then(|| gone.clone()));
        histories.note(&Entry::of(&report).unwrap());
    }
    let name = steady().comparison;
    let period = histories.of(&name).unwrap().period(&name, T0, T0 + DAY);
    let text = to_markdown(&Review::of(vec![period], &[], T0 + DAY));
    for said in [
        "2 findings about values, 1 still there: another value (shop/etl rows.written).",
        "1 finding about tests and pipelines, 1 still there: missing metric (shop/etl tests&#95;failed&#95;total).",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
}
