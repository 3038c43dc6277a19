//! `demo`.

use crate::{end, isotel};

#[test]
fn the_demo_finds_what_is_planted_and_the_same_seed_finds_the_same() {
    let run = |seed: &str| end(isotel(&["demo", "--once", "--seed", seed]).env("COLUMNS", "80"));
    let findings = |table: &str| -> Vec<String> {
        let lines = table.lines().skip_while(|line| !line.starts_with("── Findings"));
        lines.take_while(|line| !line.starts_with("── Operations")).map(str::to_owned).collect()
    };
    let first = run("5");
    assert_eq!(first.code, 0, "{}", first.stderr);
    for planted in ["POST /checkout has p", "POST /charge fails", "metric cart.items"] {
        let found = findings(&first.stdout).join(" ").replace("  ", " ");
        assert!(found.contains(planted), "{planted}:\n{}", first.stdout);
    }
    let critical = |table: &str| {
        findings(table).iter().filter(|line| line.starts_with("✗")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(critical(&first.stdout).len(), 3, "nothing else is found");
    assert_eq!(critical(&run("5").stdout), critical(&first.stdout));
}
