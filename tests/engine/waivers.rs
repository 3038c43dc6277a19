//! Waivers and owners: what is accepted is told and counts nowhere; whoever owns it is named.

use crate::build::*;
use isotel::engine::{Engine, Plan};
use isotel::export::prometheus;
use isotel::judge::facts::policy::{FactPolicy, KeyRule};
use isotel::judge::policy::{Override, Policy, Waiver};
use isotel::judge::verdict::{FactRule, Level, Side};
use isotel::judge::{Aspect, Finding, Report, Verdict};
use isotel::wire::Signal;

/// A day after [`NOW`], nanoseconds since the epoch.
const TOMORROW: u64 = NOW + 1_440 * MINUTE;

fn waiver(expires_ns: u64) -> Waiver {
    Waiver { reason: "known".to_owned(), owner: "team-shop".to_owned(), expires_ns, ..Waiver::default() }
}

fn item(item: &str) -> Waiver {
    Waiver { item: Some(item.to_owned()), ..waiver(TOMORROW) }
}

fn aspect(aspect: &str) -> Waiver {
    Waiver { aspect: Some(aspect.to_owned()), ..waiver(TOMORROW) }
}

/// The canary's cart is slower, fails, lacks an attribute, has a gauge of another form and another tier.
fn judged(policy: Policy) -> Report {
    let rule = KeyRule {
        key: "tier".to_owned(),
        service: None,
        rule: FactRule::MustEqual,
        severity: Level::Critical,
        required: false,
    };
    let policy = Policy { facts: FactPolicy { rules: vec![rule] }, ..policy };
    let mut engine = Engine::new(Plan { policy, ..plan() }, 1);
    let ingest = engine.ingest();
    for (sender, factor) in [(PROD, 1), (CANARY, 3)] {
        let mut resource = sender.resource();
        resource.attributes.push(text("service.version", "1"));
        resource.attributes.push(text("tier", &format!("{factor}")));
        let spans = (0..400).map(|at| {
            let mut span = span(T0 + at * MS * 100, (20 + at % 7) * MS * factor);
            span.attributes.extend((factor == 1).then(|| text("tenant", "a")));
            if factor == 3 && at % 2 == 0 { failed(span) } else { span }
        });
        observe(&ingest, Signal::Traces, &traces_of(resource, spans.collect()));
        let mut depth = gauge("depth", T0, 1.0);
        depth.unit = format!("{{u{factor}}}");
        observe(&ingest, Signal::Metrics, &metrics(sender, vec![depth]));
    }
    finish(&mut engine)
}

fn waived_by(waivers: Vec<Waiver>) -> Report {
    judged(Policy { waivers, ..Policy::default() })
}

#[track_caller]
fn find<'r>(report: &'r Report, title: &str) -> &'r Finding {
    let found = report.findings.iter().find(|finding| finding.title == title);
    found.unwrap_or_else(|| panic!("no {title:?} in {:#?}", report.findings))
}

#[test]
fn a_waived_finding_is_told_and_counts_in_no_aspect_service_score_or_metric() {
    let plain = waived_by(Vec::new());
    let judged = [Aspect::Latency, Aspect::Errors, Aspect::Presence, Aspect::Shape, Aspect::Facts];
    for aspect in judged {
        assert_eq!(plain.aspects[&aspect].verdict, Verdict::Divergent, "{aspect}");
    }
    assert_eq!((plain.verdict, plain.services[0].verdict), (Verdict::Divergent, Verdict::Divergent));
    let all = waived_by(judged.map(|of| aspect(of.as_str())).to_vec());
    for aspect in judged {
        assert_eq!(all.aspects[&aspect].verdict, Verdict::Parity, "{aspect}");
    }
    assert_eq!((all.verdict, all.score), (Verdict::Parity, 100.0), "{}", all.summary);
    assert_eq!((all.services[0].verdict, all.services[0].score), (Verdict::Parity, 100.0));
    assert_eq!(all.services[0].operations[0].verdict, Verdict::Parity);
    assert_eq!(
        all.services[0].operations[0].latency.verdict,
        Verdict::Divergent,
        "what was measured stays as it is"
    );
    assert_eq!(all.findings.len(), plain.findings.len());
    assert!(all.findings.iter().all(|finding| finding.waived_by.as_deref() == Some("known (team-shop)")));
    let page: String = prometheus::render(vec![&all], None).collect();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let counts = ["parity_findings", "parity_facts_mismatches", "parity_coverage_missing"];
        if counts.iter().any(|name| line.starts_with(name)) {
            assert!(line.ends_with(" 0"), "{line}");
        }
        assert!(!(line.contains("state=\"divergent\"") && line.ends_with(" 1")), "{line}");
    }
}

#[test]
fn one_aspect_waived_leaves_the_others() {
    for (waived, others) in [
        (Aspect::Latency, [Aspect::Errors, Aspect::Facts]),
        (Aspect::Errors, [Aspect::Latency, Aspect::Facts]),
        (Aspect::Facts, [Aspect::Latency, Aspect::Errors]),
    ] {
        let report = waived_by(vec![aspect(waived.as_str())]);
        assert_eq!(report.aspects[&waived].verdict, Verdict::Parity, "{waived}");
        for other in others {
            assert_eq!(report.aspects[&other].verdict, Verdict::Divergent, "{other} without {waived}");
        }
        assert_eq!(report.verdict, Verdict::Divergent);
    }
}

#[test]
fn one_missing_item_waived_counts_as_present() {
    let report = waived_by(vec![item("span attribute tenant")]);
    let coverage = &report.services[0].coverage;
    assert_eq!((coverage.missing.len(), coverage.accepted, coverage.counted()), (1, 1, 1.0));
    assert!(coverage.ratio < 1.0);
    assert_eq!(report.aspects[&Aspect::Presence].verdict, Verdict::Parity);
}

#[test]
fn an_expired_waiver_accepts_nothing_and_is_told_with_its_owner() {
    let report = waived_by(vec![Waiver { expires_ns: NOW, ..aspect("latency") }]);
    assert_eq!(report.aspects[&Aspect::Latency].verdict, Verdict::Divergent);
    let told = find(&report, "waiver expired");
    assert_eq!(told.level, Level::Warning);
    assert!(told.message.contains("team-shop for aspect latency expired on 2023-11-14"), "{told:?}");
    assert!(told.message.contains("1 finding(s) match it"), "{told:?}");
}

#[test]
fn waivers_that_match_nothing_are_one_finding_and_those_of_other_comparisons_are_none() {
    let elsewhere = Waiver { comparison: Some("other".to_owned()), ..aspect("latency") };
    let report = waived_by(vec![item("metric nowhere"), aspect("value"), elsewhere, aspect("errors")]);
    let told = find(&report, "waivers that match nothing");
    assert_eq!((told.level, &told.evidence["total"]), (Level::Info, &2.into()));
    assert!(told.message.contains("item metric nowhere; aspect value"), "{}", told.message);
    assert!(find(&report, "slower").waived_by.is_none());
}

#[test]
fn a_difference_of_all_services_can_be_waived_in_one_of_them() {
    let side = |sender: Sender<'_>, runtime: &str| {
        let mut resource = sender.resource();
        let facts = [text("service.version", "1"), text("process.runtime.version", runtime)];
        resource.attributes.extend(facts);
        traces_of(resource, vec![span(T0, MS)])
    };
    let broken = |waivers| {
        let policy = Policy { waivers, ..Policy::default() };
        let mut engine = Engine::new(Plan { policy, ..plan() }, 1);
        let ingest = engine.ingest();
        for service in ["cart", "pay", "ship"] {
            observe(&ingest, Signal::Traces, &side(Sender { service, ..PROD }, "17"));
            observe(&ingest, Signal::Traces, &side(Sender { service, ..CANARY }, "21"));
        }
        let report = finish(&mut engine);
        let facts = report.facts.expect("facts");
        (report.findings.len(), facts.broken, facts.accepted)
    };
    let of_pay = Waiver { service: Some("pay".to_owned()), ..item("process.runtime.version") };
    assert_eq!(broken(Vec::new()), (1, 3, 0));
    assert_eq!(broken(vec![of_pay]), (2, 2, 1), "one of two services, and one that is waived");
    assert_eq!(broken(vec![item("process.runtime.*")]), (3, 0, 3));
}

#[test]
fn a_finding_names_the_owner_of_the_service_else_of_the_environment_else_of_the_comparison() {
    let owner = |policy: Policy| find(&judged(policy), "slower").owner.clone();
    let mut policy = Policy::default();
    assert_eq!(owner(policy.clone()), None);
    policy.comparison_owners.insert("prod-vs-canary".to_owned(), "release-team".to_owned());
    assert_eq!(owner(policy.clone()).as_deref(), Some("release-team"));
    let side = Side {
        owner: Some("platform".to_owned()),
        runbook: Some("https://runbooks/canary".to_owned()),
        ..Side::default()
    };
    policy.environments.insert("canary".to_owned(), side);
    assert_eq!(owner(policy.clone()).as_deref(), Some("platform"));
    policy.overrides.push(Override {
        service: "cart".to_owned(),
        owner: Some("cart-team".to_owned()),
        ..Override::default()
    });
    assert_eq!(owner(policy.clone()).as_deref(), Some("cart-team"));
    let report = judged(policy);
    assert_eq!(report.owner.as_deref(), Some("release-team"));
    assert_eq!(report.candidate.runbook.as_deref(), Some("https://runbooks/canary"));
    let (markdown, explained) = (
        isotel::report::to_markdown(&report),
        isotel::report::explain(&report, Some(&find(&report, "slower").id)).expect("a finding"),
    );
    for text in [&markdown, &explained] {
        assert!(text.contains("cart-team") && text.contains("runbooks/canary"), "{text}");
    }
}

#[test]
fn a_finding_has_the_same_id_whatever_its_numbers() {
    let ids = |waivers| {
        let mut ids: Vec<String> = waived_by(waivers).findings.iter().map(|f| f.id.clone()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(Vec::new()), ids(vec![aspect("*")]));
}
