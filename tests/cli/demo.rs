//! `demo`.

use crate::run::http;
use crate::{end, isotel};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

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

#[test]
fn what_the_demo_records_has_the_same_findings_when_it_is_judged_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("shop");
    let ended = end(isotel(&["demo", "--once", "--record"]).arg(&folder));
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (baseline, candidate) = (path("production.proto"), path("canary.proto"));
    let next = format!("isotel judge --baseline {baseline} --candidate {candidate}");
    assert!(ended.stderr.contains(&next), "{}", ended.stderr);
    let judged = end(&mut isotel(&["judge", "--baseline", &baseline, "--candidate", &candidate]));
    assert_eq!(judged.code, 1, "{}", judged.stderr);
    for id in ["errors-abf23518", "latency-22936d18", "presence-a860e931"] {
        assert!(ended.stdout.contains(id) && judged.stdout.contains(id), "{id}:\n{}", judged.stdout);
    }
}

#[test]
fn the_demo_says_at_its_start_where_its_page_is_and_serves_it_until_it_is_told_to_end() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_isotel"));
    let mut demo = demo.arg("demo").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stderr.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    let page = first.split("http://").nth(1).unwrap().trim_end_matches(['/', '.']);
    let page: SocketAddr = page.parse().unwrap();
    assert_eq!(http(page, "GET /", "").unwrap().0, 200);
    lines.find(|line| line.contains("still there")).expect("it goes on");
    let (_, shown) = http(page, "GET /", "").unwrap();
    assert!(shown.contains("divergent") && shown.contains("canary"), "{shown}");
    assert!(Command::new("kill").arg(demo.id().to_string()).status().unwrap().success());
    assert_eq!(demo.wait().unwrap().code(), Some(0));
}
