use super::*;
use crate::judge::maintenance::{Maintenance, When};

const LOOK_NS: u64 = MINUTE_NS;

fn report(verdict: Verdict) -> Report {
    let text = include_str!("../../../tests/snapshots/report__json_all_parity.snap");
    let json = text.splitn(3, "---").last().unwrap_or_default();
    Report { verdict, ..crate::report::from_json(json).unwrap() }
}

fn slo(target: f64, service: Option<&str>) -> Slo {
    Slo {
        name: "release".to_owned(),
        comparison: None,
        service: service.map(str::to_owned),
        aspect: None,
        target,
        period_ns: 30 * 86_400_000_000_000,
        burn: BURN_RULES.to_vec(),
    }
}

/// The budget after these looks, a minute apart.
fn after(slo: &Slo, looks: &[Verdict]) -> SloResult {
    let mut budgets = Budgets::default();
    let mut last = None;
    for (minute, verdict) in looks.iter().enumerate() {
        let at_ns = (minute as u64 + 1) * LOOK_NS;
        let look = LookTime { at_ns, every_ns: LOOK_NS };
        let (results, cut) = budgets.look(std::slice::from_ref(slo), Quiet::NONE, &report(*verdict), look);
        assert_eq!((results.len(), cut), (1, 0));
        last = results.into_iter().next();
    }
    last.unwrap()
}

fn looks(runs: &[(Verdict, usize)]) -> Vec<Verdict> {
    runs.iter().flat_map(|(verdict, n)| std::iter::repeat_n(*verdict, *n)).collect()
}

use Verdict::{Divergent, Inconclusive, NoData, Parity};

#[test]
fn a_budget_is_spent_by_divergent_looks_and_by_no_others() {
    let budget = after(&slo(0.9, None), &looks(&[(Parity, 95), (Divergent, 5)]));
    assert_eq!((budget.good, budget.bad), (95, 5));
    assert!((budget.remaining.unwrap() - 0.5).abs() < 1e-9, "{budget:?}");
    let quiet =
        after(&slo(0.9, None), &looks(&[(Parity, 95), (Inconclusive, 500), (NoData, 9), (Divergent, 5)]));
    assert_eq!((quiet.good, quiet.bad, quiet.remaining), (budget.good, budget.bad, budget.remaining));
    let overspent = after(&slo(0.9, None), &looks(&[(Parity, 80), (Divergent, 20)]));
    assert!((overspent.remaining.unwrap() + 1.0).abs() < 1e-9);
}

#[test]
fn nothing_is_said_of_a_budget_that_one_bad_look_would_spend() {
    assert_eq!(after(&slo(0.9, None), &looks(&[(Parity, 9)])).remaining, None);
    assert_eq!(after(&slo(0.9, None), &looks(&[(Parity, 10)])).remaining, Some(1.0));
}

#[test]
fn a_burn_rate_is_the_share_of_bad_looks_over_what_is_allowed() {
    let budget = after(&slo(0.9, None), &looks(&[(Parity, 60), (Divergent, 30)]));
    let rate =
        |window_s: f64| budget.burn.iter().find(|burn| burn.window_s == window_s).unwrap().rate.unwrap();
    assert!((rate(300.0) - 10.0).abs() < 1e-9 && (rate(3_600.0) - 5.0).abs() < 0.2, "{budget:?}");
    let windows: Vec<f64> = budget.burn.iter().map(|burn| burn.window_s).collect();
    assert_eq!(windows, [300.0, 1_800.0, 3_600.0, 21_600.0]);
}

#[test]
fn spending_is_a_ticket_and_beyond_three_times_a_page_and_over_when_the_short_window_is_good() {
    // 2 of 10 are 2 times what is allowed, 5 of 10 are 5 times.
    let mixed = |bad: usize, n: usize| looks(&[(Divergent, bad), (Parity, 10 - bad)]).repeat(n);
    let steady = slo(0.9, None);
    assert_eq!(after(&steady, &mixed(1, 12)).burning, None);
    let ends_badly = |mut looks: Vec<Verdict>, bad: usize| {
        looks.extend(std::iter::repeat_n(Divergent, bad));
        looks
    };
    assert_eq!(after(&steady, &ends_badly(mixed(2, 36), 2)).burning, Some(Severity::Ticket));
    assert_eq!(after(&steady, &ends_badly(mixed(5, 12), 5)).burning, Some(Severity::Page));
    let over = [mixed(5, 12), looks(&[(Parity, 31)])].concat();
    assert_eq!(after(&steady, &over).burning, None);
}

#[test]
fn two_looks_of_a_window_say_nothing_and_three_do() {
    assert!(after(&slo(0.9, None), &looks(&[(Divergent, 2)])).burn.iter().all(|burn| burn.rate.is_none()));
    assert_eq!(after(&slo(0.9, None), &looks(&[(Divergent, 3)])).burning, Some(Severity::Page));
}

#[test]
fn looks_leave_the_windows_and_the_slots_stay_bounded() {
    let forgotten = after(&slo(0.9, None), &looks(&[(Divergent, 10), (Parity, 400)]));
    assert!(forgotten.burn.iter().all(|burn| burn.rate == Some(0.0)), "{forgotten:?}");
    let mut kept = Looks::default();
    for at_ns in 0..100_000 {
        kept.add(LookTime { at_ns, every_ns: 1 }, 6_000, Some(at_ns % 2 == 0));
    }
    assert_eq!((kept.0.len() as u64, kept.sum()), (SLOTS, (3_000, 3_000)));
}

#[test]
fn a_look_counts_once_and_survives_as_bytes() {
    let slo = slo(0.9, None);
    let look = |budgets: &mut Budgets, minute: u64| {
        let look = LookTime { at_ns: minute * LOOK_NS, every_ns: LOOK_NS };
        budgets.look(std::slice::from_ref(&slo), Quiet::NONE, &report(Divergent), look).0.remove(0).bad
    };
    let mut budgets = Budgets::default();
    assert_eq!([look(&mut budgets, 1), look(&mut budgets, 1), look(&mut budgets, 2)], [1, 1, 2]);
    let bytes = postcard::to_stdvec(&budgets).unwrap();
    let mut again: Budgets = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(again, budgets);
    assert_eq!([look(&mut again, 2), look(&mut again, 3)], [2, 3]);
}

#[test]
fn each_service_has_a_budget_of_its_own_and_there_are_so_many_at_the_most() {
    let mut many = report(Parity);
    let one = many.services[0].clone();
    let named = |n: usize| ServiceResult { service: format!("shop/{n}"), ..one.clone() };
    many.services = (0..BUDGETS_MOST + 5).map(named).collect();
    let look = LookTime { at_ns: LOOK_NS, every_ns: LOOK_NS };
    let (results, cut) = Budgets::default().look(&[slo(0.9, Some("shop/*"))], Quiet::NONE, &many, look);
    assert_eq!((results.len(), cut), (BUDGETS_MOST, 5));
    assert_eq!(results[0].service.as_deref(), Some("shop/0"));
}

#[test]
fn looks_on_evidence_of_a_maintenance_and_waived_divergences_are_not_bad() {
    let always = Maintenance { comparison: None, service: None, when: When::Once(0, u64::MAX) };
    let quiet = Quiet { maintenances: &[always], end_ns: LOOK_NS, ..Quiet::NONE };
    let look = LookTime { at_ns: LOOK_NS, every_ns: LOOK_NS };
    let (results, _) = Budgets::default().look(&[slo(0.9, None)], quiet, &report(Divergent), look);
    assert_eq!((results[0].good, results[0].bad), (0, 0));

    let mut waived = report(Divergent);
    let service = waived.services[0].service.clone();
    let operation = &mut waived.services[0].operations[0];
    operation.latency.verdict = Divergent;
    let id = id_of(Aspect::Latency, Some(&service), Some(&operation.operation), &operation.kind);
    let of_latency = Slo { aspect: Some(Aspect::Latency), ..slo(0.9, Some(&service)) };
    let bad = |report: &Report| {
        let (results, _) =
            Budgets::default().look(std::slice::from_ref(&of_latency), Quiet::NONE, report, look);
        results[0].bad
    };
    assert_eq!(bad(&waived), 1);
    let text = r#"{"id": "", "level": "critical", "aspect": "latency", "service": null, "operation": null,
        "title": "", "message": "", "action": "", "evidence": {}, "waived_by": "known (me)"}"#;
    let finding: Finding = serde_json::from_str(text).unwrap();
    waived.findings = vec![Finding { id, ..finding }];
    assert_eq!(bad(&waived), 0);
}
