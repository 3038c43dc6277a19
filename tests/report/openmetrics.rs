//! OpenMetrics text, read back by a parser of that format and by one that splits lines at spaces, as GitLab's does.

use crate::fixtures::{all_parity, reports};
use isotel::judge::Verdict;
use isotel::report::openmetrics;
use std::collections::BTreeMap;

/// Samples by name and labels. Metadata come once before a family's samples, families are not mixed, no sample is there
/// twice, and the end is marked (OpenMetrics 1.0, "Text format").
#[track_caller]
fn parsed(text: &str) -> BTreeMap<String, f64> {
    let body = text.strip_suffix("# EOF\n").expect("the end is marked");
    assert!(!body.contains("# EOF"));
    let (mut samples, mut families) = (BTreeMap::new(), Vec::new());
    for line in body.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(kind, "gauge");
            assert!(!families.contains(&name), "{name} is there once");
            families.push(name);
            continue;
        }
        if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(help.starts_with(families.last().unwrap()), "{line}");
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let [series, value] = words[..] else { panic!("a name and a value: {line:?}") };
        let name = series.split('{').next().unwrap();
        assert_eq!(Some(&name), families.last(), "{line}");
        if let Some(labels) = series.strip_prefix(name).filter(|labels| !labels.is_empty()) {
            labels_are_well_formed(labels);
        }
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("a number: {line}"));
        assert!(value.is_finite() && samples.insert(series.to_owned(), value).is_none(), "{line}");
    }
    samples
}

#[track_caller]
fn labels_are_well_formed(labels: &str) {
    let inner = labels.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).expect("braces");
    let mut rest = inner;
    while !rest.is_empty() {
        let (key, after) = rest.split_once("=\"").expect("a key and a quoted value");
        assert!(key.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{key}");
        let mut escaped = false;
        let end = after.char_indices().find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        let (end, _) = end.expect("a closing quote");
        rest = after[end + 1..].strip_prefix(',').unwrap_or(&after[end + 1..]);
    }
}

#[test]
fn every_report_is_a_page_of_gauges_that_both_parsers_read() {
    for (name, report) in reports() {
        let samples = parsed(&openmetrics::of_report(&report));
        let holds =
            format!("parity_verdict{{comparison=\"{}\",state=\"{}\"}}", report.comparison, report.verdict);
        assert_eq!(samples[&holds], 1.0, "{name}");
        let score = format!("parity_score{{comparison=\"{}\"}}", report.comparison);
        match report.verdict {
            Verdict::NoData => assert!(!samples.contains_key(&score), "{name}: no score without data"),
            _ => assert!((samples[&score] - report.score / 100.0).abs() < 1e-4, "{name}"),
        }
        assert!(samples.len() < 60, "{name}: {} lines", samples.len());
        parsed(&openmetrics::of_coverage(&report));
    }
}

#[test]
fn names_from_telemetry_break_no_line_and_services_are_bounded() {
    let mut report = all_parity();
    report.comparison = "a \"b\"\\\n# EOF\n} 1".to_owned();
    let service = report.services[0].clone();
    report.services = (0..1_000)
        .map(|n| {
            let mut one = service.clone();
            // Beyond the longest name, all are cut to the same.
            one.service = format!("{}{n}", if n % 2 == 0 { "x".repeat(300) } else { "s ".to_owned() });
            one
        })
        .collect();
    let samples = parsed(&openmetrics::of_report(&report));
    assert!(
        samples.keys().any(|series| series.contains(r#"comparison="a_\"b\"\\_#_EOF_}_1""#)),
        "{samples:?}"
    );
    assert!(samples.len() < 800, "{}", samples.len());
}
