use super::*;
use crate::judge::maintenance::{Maintenance, When};
use crate::judge::slo::SloResult;
use crate::judge::verdict::{Aspect, Finding, Level};
use serde_json::{Value, json};

const SECOND: u64 = 1_000_000_000;

fn policy() -> AlertPolicy {
    AlertPolicy {
        open_after: 2,
        close_after: 3,
        resolve_timeout_ns: 300 * SECOND,
        max_open: 3,
        severities: Vec::new(),
        runbooks: "https://runbooks.example/".to_owned(),
        page: Some("http://isotel:4319/".to_owned()),
        tenant: None,
    }
}

fn finding(id: &str, level: &str) -> Finding {
    let finding = json!({
        "id": id, "level": level, "aspect": "latency", "service": "shop/cart", "operation": "GET /cart",
        "title": "slower", "message": "p95 is 20 % slower.", "action": "Look.", "evidence": {}, "waived_by": null,
    });
    serde_json::from_value(finding).unwrap()
}

fn report(findings: Vec<Finding>) -> Report {
    let text = include_str!("../../tests/snapshots/report__json_all_parity.snap");
    let json = text.splitn(3, "---").last().unwrap_or_default();
    Report { findings, verdict: Verdict::Divergent, ..crate::report::from_json(json).unwrap() }
}

/// Looks at these reports a minute apart, and how many alerts are open after each.
fn open_after(alerts: &mut Alerts, reports: &[Report]) -> Vec<usize> {
    let look = |(minute, report): (usize, &Report)| {
        alerts.look(&policy(), Quiet::NONE, report, minute as u64 * 60 * SECOND);
        alerts.open().count()
    };
    reports.iter().enumerate().map(look).collect()
}

#[test]
fn an_alert_opens_and_closes_after_so_many_looks_in_a_row() {
    let (with, without) = (report(vec![finding("latency-1", "critical")]), report(Vec::new()));
    let sequence = [&with, &without, &with, &with, &without, &without, &with, &without, &without, &without];
    let open = open_after(&mut Alerts::default(), &sequence.map(Clone::clone));
    assert_eq!(open, [0, 0, 0, 1, 1, 1, 1, 1, 1, 0]);
}

#[test]
fn a_look_without_data_closes_nothing_and_a_waiver_closes_at_once() {
    let critical = finding("latency-1", "critical");
    let with = report(vec![critical.clone()]);
    let silent = Report { verdict: Verdict::NoData, ..report(Vec::new()) };
    let waived = report(vec![Finding { waived_by: Some("known (me)".to_owned()), ..critical }]);
    let mut alerts = Alerts::default();
    let mut reports = vec![with.clone(), with];
    reports.extend(std::iter::repeat_n(silent, 10));
    reports.push(waived);
    let open = open_after(&mut alerts, &reports);
    assert_eq!(open.iter().filter(|open| **open == 1).count(), 11);
    assert_eq!((open.last(), alerts.counts.waived), (Some(&0), 1));
}

#[test]
fn what_is_waived_or_only_worth_knowing_never_alerts() {
    let waived = Finding { waived_by: Some("known (me)".to_owned()), ..finding("latency-1", "critical") };
    let reports = vec![report(vec![waived, finding("latency-2", "info")]); 5];
    let mut alerts = Alerts::default();
    assert_eq!(open_after(&mut alerts, &reports), [0; 5]);
    assert_eq!((alerts.counts.waived, alerts.is_due(&policy(), u64::MAX)), (5, false));
}

#[test]
fn level_and_aspect_say_how_urgent_a_finding_is_and_the_last_rule_wins() {
    let rule = |level, aspect, severity| SeverityRule { service: None, aspect, level, severity };
    let mut policy = policy();
    let of = |policy: &AlertPolicy, level: &str| policy.severity(&finding("latency-1", level));
    let usual = ["critical", "warning", "info"].map(|level| of(&policy, level));
    assert_eq!(usual, [Some(Severity::Page), Some(Severity::Ticket), None]);
    policy.severities = vec![
        rule(None, Some(Aspect::Latency), Some(Severity::Ticket)),
        rule(Some(Level::Warning), None, None),
        SeverityRule { service: Some("payment".to_owned()), ..rule(None, None, Some(Severity::Page)) },
    ];
    let ruled = ["critical", "warning", "info"].map(|level| of(&policy, level));
    assert_eq!(ruled, [Some(Severity::Ticket), None, Some(Severity::Ticket)]);
}

#[test]
fn an_alert_that_becomes_more_urgent_is_another_one_and_never_becomes_less() {
    let at = |level: &str| report(vec![finding("latency-1", level)]);
    let mut alerts = Alerts::default();
    let open = open_after(&mut alerts, &[at("warning"), at("warning"), at("critical"), at("warning")]);
    assert_eq!(open, [0, 1, 1, 1]);
    let told = alerts.tell(&policy(), 300 * SECOND);
    let severities: Vec<_> = told.iter().map(|alert| (alert.severity, alert.ended_ns.is_some())).collect();
    assert_eq!(severities, [(Severity::Page, false), (Severity::Ticket, true)]);
    assert_eq!(told[0].began_ns, told[1].began_ns);
}

#[test]
fn no_alert_opens_in_a_maintenance_and_open_ones_go_on() {
    let service = Some("cart".to_owned());
    let always = [Maintenance { comparison: None, service, when: When::Once(0, u64::MAX) }];
    let quiet = Quiet { maintenances: &always, end_ns: SECOND, ..Quiet::NONE };
    let with = report(vec![finding("latency-1", "critical")]);
    let mut alerts = Alerts::default();
    for _ in 0..5 {
        alerts.look(&policy(), quiet, &with, 0);
    }
    assert_eq!((alerts.open().count(), alerts.counts.in_maintenance), (0, 5));
    assert_eq!(open_after(&mut alerts, &[with.clone(), with.clone()]), [0, 1]);
    for _ in 0..5 {
        alerts.look(&policy(), quiet, &with, 0);
    }
    assert_eq!(alerts.open().count(), 1);
}

#[test]
fn so_many_alerts_are_open_at_the_most_and_the_rest_is_counted() {
    let findings = |n: usize| (0..n).map(|n| finding(&format!("latency-{n}"), "critical")).collect();
    let mut alerts = Alerts::default();
    assert_eq!(open_after(&mut alerts, &[report(findings(8)), report(findings(8))]), [0, 3]);
    assert_eq!((alerts.counts.opened, alerts.counts.no_room), (3, 5));
    assert_eq!(alerts.watched.len(), 8);
    let absent = vec![report(Vec::new()); 4];
    open_after(&mut alerts, &absent);
    assert_eq!(alerts.watched.len(), 0);
    // Those that ended are bounded too.
    for round in 0..5 {
        let other: Vec<_> = (0..3).map(|n| finding(&format!("latency-{round}-{n}"), "critical")).collect();
        open_after(&mut alerts, &[vec![report(other); 2], absent.clone()].concat());
    }
    assert_eq!(alerts.tell(&policy(), 0).len(), 3);
}

#[test]
fn open_alerts_are_told_again_before_they_expire_and_those_that_ended_for_a_while() {
    let policy = policy();
    let mut alerts = Alerts::default();
    assert!(!alerts.is_due(&policy, 0));
    let with = report(vec![finding("latency-1", "critical")]);
    (0..2).for_each(|_| alerts.look(&policy, Quiet::NONE, &with, 1_000 * SECOND));
    assert!(alerts.is_due(&policy, 1_000 * SECOND));
    assert!(alerts.tell(&policy, 1_000 * SECOND)[0].is_news);
    assert!(!alerts.is_due(&policy, 1_099 * SECOND) && alerts.is_due(&policy, 1_100 * SECOND));
    assert!(!alerts.tell(&policy, 1_100 * SECOND)[0].is_news);
    (0..3).for_each(|_| alerts.look(&policy, Quiet::NONE, &report(Vec::new()), 1_150 * SECOND));
    assert!(alerts.is_due(&policy, 1_150 * SECOND));
    let told = alerts.tell(&policy, 1_150 * SECOND);
    assert_eq!((told.len(), told[0].ended_ns), (1, Some(1_150 * SECOND)));
    assert_eq!(alerts.tell(&policy, 1_449 * SECOND).len(), 1);
    assert_eq!(alerts.tell(&policy, 1_450 * SECOND).len(), 0);
    assert!(!alerts.is_due(&policy, 9_999 * SECOND));
}

#[test]
fn alerts_of_comparisons_that_are_made_no_more_end() {
    let with = report(vec![finding("latency-1", "critical")]);
    let mut alerts = Alerts::default();
    open_after(&mut alerts, &[with.clone(), with.clone()]);
    alerts.keep_only(&[&with.comparison], 0);
    assert_eq!(alerts.open().count(), 1);
    alerts.keep_only(&["other"], 0);
    assert_eq!((alerts.open().count(), alerts.tell(&policy(), 0).len()), (0, 1));
}

#[test]
fn what_is_kept_as_bytes_goes_on_without_opening_anything_anew() {
    let with = report(vec![finding("latency-1", "critical")]);
    let mut alerts = Alerts::default();
    open_after(&mut alerts, &[with.clone(), with.clone()]);
    alerts.tell(&policy(), 0);
    let mut again: Alerts = postcard::from_bytes(&postcard::to_stdvec(&alerts).unwrap()).unwrap();
    assert_eq!(again, alerts);
    again.look(&policy(), Quiet::NONE, &with, SECOND);
    assert_eq!((again.counts.opened, again.is_due(&policy(), SECOND)), (1, false));
}

#[test]
fn a_budget_that_is_spent_too_fast_is_an_alert_with_its_numbers() {
    let slo: SloResult = serde_json::from_value(json!({
        "slo": "release", "target": 0.99, "period_s": 2_592_000.0, "good": 90, "bad": 10, "remaining": -9.0,
        "burn": [{"window_s": 300.0, "rate": 12.0}, {"window_s": 3600.0, "rate": null}], "burning": "page",
    }))
    .unwrap();
    let with = Report { slos: vec![slo], ..report(Vec::new()) };
    let mut alerts = Alerts::default();
    assert_eq!(open_after(&mut alerts, &[with.clone(), with]), [0, 1]);
    let alert = alerts.tell(&policy(), 0).remove(0);
    assert_eq!((&*alert.labels["alertname"], &*alert.labels["slo"]), ("ParityBudgetBurn", "release"));
    assert_eq!(
        alert.annotations["description"],
        "10 of 100 judged looks were divergent, and 1.0000 % may be. The budget is spent 12.0 times as fast as it may be \
         over 5 min; -900 % of it is left."
    );
    assert_eq!(alert.annotations["runbook_url"], "https://runbooks.example/budget.md");
}

#[test]
fn messages_have_the_forms_of_their_receivers() {
    let mut alerts = Alerts::default();
    let with = report(vec![finding("latency-1", "critical")]);
    open_after(&mut alerts, &[with.clone(), with.clone()]);
    let told = alerts.tell(&policy(), 60 * SECOND);
    let read = |bytes: Vec<u8>| serde_json::from_slice::<Value>(&bytes).unwrap();
    let posted = read(message::alertmanager(&told, &policy(), 60 * SECOND));
    let labels = json!({
        "alertname": "ParityFinding", "severity": "page", "comparison": with.comparison,
        "baseline": with.baseline.environment, "candidate": with.candidate.environment, "aspect": "latency",
        "service_name": "cart", "service_namespace": "shop", "operation": "GET /cart", "finding": "latency-1",
    });
    let annotations = json!({
        "summary": format!("shop/cart in {}: slower", with.comparison), "description": "p95 is 20 % slower.",
        "action": "Look.", "runbook_url": "https://runbooks.example/latency.md",
    });
    assert_eq!(
        posted,
        json!([{
            "labels": labels, "annotations": annotations, "startsAt": "1970-01-01T00:01:00.000Z",
            "endsAt": "1970-01-01T00:06:00.000Z", "generatorURL": "http://isotel:4319/findings/latency-1",
        }])
    );
    let mut of_tenant = Alerts::default();
    let policy_of_tenant = AlertPolicy { tenant: Some("shop".to_owned()), ..policy() };
    for at in 0..2 {
        of_tenant.look(&policy_of_tenant, Quiet::NONE, &with, (at + 1) * 30 * SECOND);
    }
    assert_eq!(of_tenant.open().map(|alert| &*alert.labels["tenant"]).collect::<Vec<_>>(), ["shop"]);
    let hooked = read(message::webhook(&told, &policy(), 60 * SECOND));
    assert_eq!(
        (&hooked["schema"], &hooked["sent_at"]),
        (&json!("isotel.alerts/v1"), &json!("1970-01-01T00:01:00.000Z"))
    );
    let hooked = &hooked["alerts"][0];
    assert_eq!(
        *hooked,
        json!({
            "fingerprint": hooked["fingerprint"], "status": "firing", "is_news": true, "severity": "page",
            "labels": labels, "annotations": annotations, "starts_at": "1970-01-01T00:01:00.000Z", "ends_at": null,
            "expires_at": "1970-01-01T00:06:00.000Z", "link": "http://isotel:4319/findings/latency-1",
        })
    );
}

#[test]
fn texts_are_cut_at_a_character() {
    let long = Finding {
        message: "é".repeat(5_000),
        operation: Some("ü".repeat(500)),
        ..finding("latency-1", "critical")
    };
    let mut alerts = Alerts::default();
    open_after(&mut alerts, &vec![report(vec![long]); 2]);
    let alert = alerts.open().next().unwrap();
    assert_eq!((alert.labels["operation"].len(), alert.annotations["description"].len()), (256, 2_048));
}

#[test]
fn whatever_comes_alerts_are_bounded_and_each_that_opened_is_open_or_has_ended() {
    let mut seed = 7_u64;
    let mut draw = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    let quiet_at = [Maintenance { comparison: None, service: None, when: When::Once(0, u64::MAX) }];
    let (policy, mut alerts) = (policy(), Alerts::default());
    for minute in 0..3_000_u64 {
        let mut findings = Vec::new();
        for id in 0..6 {
            let level = ["info", "warning", "critical"][draw(3) as usize];
            let waived_by = (draw(5) == 0).then(|| "known (me)".to_owned());
            if draw(2) == 0 {
                findings.push(Finding { waived_by, ..finding(&format!("latency-{id}"), level) });
            }
        }
        let verdict = if draw(8) == 0 { Verdict::NoData } else { Verdict::Divergent };
        let report = Report { verdict, ..report(findings) };
        let quiet = match draw(6) {
            0 => Quiet { maintenances: &quiet_at, end_ns: SECOND, ..Quiet::NONE },
            _ => Quiet::NONE,
        };
        alerts.look(&policy, quiet, &report, minute * 60 * SECOND);
        let waived: Vec<&str> =
            report.findings.iter().filter(|f| f.waived_by.is_some()).map(|f| &*f.id).collect();
        let warned = |f: &&Finding| f.level > Level::Info;
        let waived_and_told = report.findings.iter().filter(warned).filter(|f| waived.contains(&&*f.id));
        let open: Vec<&str> = alerts.open().map(|alert| &*alert.labels["finding"]).collect();
        assert!(waived_and_told.clone().all(|f| !open.contains(&&*f.id)), "minute {minute}");
        assert!(open.len() <= policy.max_open && alerts.watched.len() <= 6);
        assert_eq!(alerts.counts.opened - alerts.counts.resolved, open.len() as u64);
        if alerts.is_due(&policy, minute * 60 * SECOND) {
            let told = alerts.tell(&policy, minute * 60 * SECOND);
            let labels: BTreeSet<_> = told.iter().map(|alert| &alert.labels).collect();
            assert!(labels.len() <= 2 * policy.max_open && told.len() <= 2 * policy.max_open);
            let firing = told.iter().filter(|alert| alert.ended_ns.is_none()).count();
            assert_eq!(firing, alerts.open().count());
        }
    }
    assert!(alerts.counts.opened > 50 && alerts.counts.no_room > 0, "{:?}", alerts.counts);
}
