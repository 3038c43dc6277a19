//! Every alert says where to read on.

use isotel::alert::cause::{BUDGET_RUNBOOK, runbook};
use isotel::judge::Aspect;
use std::path::Path;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks").join(format!("{name}.md"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_kind_of_alert_has_a_runbook_that_says_what_it_means_what_to_check_and_how_to_waive_it() {
    for name in Aspect::ALL.into_iter().map(runbook).chain([BUDGET_RUNBOOK]) {
        let text = page(name);
        for part in ["## What it means", "## First three checks", "## To waive it"] {
            assert!(text.contains(part), "{name}.md lacks {part:?}");
        }
        let checks = text.lines().filter(|line| ["1. ", "2. ", "3. "].iter().any(|n| line.starts_with(n)));
        assert_eq!(checks.count(), 3, "{name}.md");
    }
}

#[test]
fn the_rules_of_prometheus_link_to_runbooks_that_exist() {
    let rules =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules.yaml"));
    let rules = rules.unwrap();
    let alerts = rules.matches("- alert: ").count();
    let names: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: docs/runbooks/")).collect();
    assert!(alerts > 0 && names.len() == alerts, "{alerts} alerts, runbooks of {names:?}");
    names.into_iter().for_each(|name| drop(page(name.strip_suffix(".md").unwrap())));
}
