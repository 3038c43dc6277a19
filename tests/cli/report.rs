//! `report`, over an agent's storage and over what its API says.

use crate::{Ended, end, isotel};
use isotel::agent::storage::history::Archive;
use isotel::config::HistoryConfig;
use isotel::judge::Report;
use isotel::report::history::entry::rfc3339;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const HOUR_NS: u64 = 3_600_000_000_000;
/// 2026-07-01T00:00:00Z.
const T0_NS: u64 = 1_782_864_000_000_000_000;

/// Ten days of looks at `nightly`, the last two of them divergent; what writes it has it open.
fn archive(directory: &Path) -> Archive {
    let [parity, regression] = [
        include_str!("../snapshots/report__json_all_parity.snap"),
        include_str!("../snapshots/report__json_regression.snap"),
    ]
    .map(|text| isotel::report::from_json(text.splitn(3, "---").last().unwrap()).unwrap());
    let config = HistoryConfig { retention: Duration::from_secs(400 * 86_400), max_bytes: 1 << 28 };
    let mut archive = Archive::open(Some(directory), &config, T0_NS).unwrap();
    for hour in 0..240 {
        let report = if hour < 192 { parity.clone() } else { regression.clone() };
        let generated_at = rfc3339(T0_NS + hour * HOUR_NS);
        archive.note(&Report { generated_at, comparison: "nightly".to_owned(), ..report });
    }
    archive
}

fn report(args: &[&str]) -> Ended {
    end(isotel(&["report"]).args(args))
}

#[test]
fn a_period_of_an_agents_history_is_told_while_the_agent_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let _at_work = archive(folder.path());
    let directory = folder.path().to_str().unwrap();
    let config = folder.path().join("isotel.yaml");
    let waivers =
        "parity: {waivers: [{service: search, reason: until then, owner: ops, expires: 2026-01-01}]}\n";
    std::fs::write(&config, waivers).unwrap();
    let args = ["--storage", directory, "--from", "2026-07-06", "--to", "2026-07-11"];
    let ended = report(&[&args[..], &["--config", config.to_str().unwrap()]].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for said in [
        "# Parity report, 2026-07-06 00:00:00 to 2026-07-11 00:00:00 UTC",
        "nightly: 120 looks, 40.0 % of them divergent (0 % the time before)",
        "## Still there",
        "| until then | expired 2026-01-01 00:00:00 UTC | ops |",
    ] {
        assert!(ended.stdout.contains(said), "{said}: {}", ended.stdout);
    }
    let ended = report(&[&args[..], &["--format", "json"]].concat());
    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        (&json["schema"], &json["from"]),
        (&"isotel.report/v1".into(), &"2026-07-06T00:00:00Z".into())
    );
    // What the API says of the same period gives the same report.
    let period = folder.path().join("nightly.json");
    std::fs::write(&period, json["comparisons"][0].to_string()).unwrap();
    let [of_storage, of_api] =
        [&args[..], &["--history", period.to_str().unwrap()]].map(|args| report(args).stdout);
    assert_eq!(of_storage, of_api);
    let page = report(&[&args[..], &["--format", "html"]].concat()).stdout;
    assert!(page.contains("<svg") && page.contains("nightly"));
    // A time in which nothing ran.
    let ended = report(&["--storage", directory, "--from", "2025-01-01", "--to", "2025-01-08"]);
    assert_eq!(ended.code, 0);
    assert!(ended.stdout.contains("Nothing was judged in this period."), "{}", ended.stdout);
}

#[test]
fn what_is_asked_for_wrongly_is_told_with_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    drop(archive(folder.path()));
    let directory = folder.path().to_str().unwrap();
    let other = folder.path().join("other.json");
    std::fs::write(&other, "{}").unwrap();
    let empty = tempfile::tempdir().unwrap();
    for (args, code, said) in [
        (vec![], 2, "nothing to report"),
        (vec!["--storage", directory, "--from", "soon"], 2, "--from \"soon\" is no time"),
        (vec!["--storage", directory, "--from", "2026-07-02", "--to", "2026-07-01"], 2, "not earlier"),
        (vec!["--storage", directory, "--since", "0"], 2, "is no duration"),
        (vec!["--storage", directory, "--comparison", "other"], 2, "there are: nightly"),
        (vec!["--storage", empty.path().to_str().unwrap()], 4, "of an agent with parity.storage"),
        (vec!["--history", other.to_str().unwrap()], 4, "is no isotel.history/v1"),
    ] {
        let ended = report(&args);
        assert_eq!(ended.code, code, "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(said) && ended.stdout.is_empty(), "{args:?}: {}", ended.stderr);
    }
}
