//! A live comparison with a snapshot: in the configuration, on the page, at SIGHUP.

use crate::agent::Agent;
use crate::remote::isotel;
use crate::served::until;
use serde_json::Value;

const COMPARISONS: &str = "
parity:
  comparisons:
    - {name: release/1, baseline: prod, candidate: canary}
    - {name: golden, baseline: {snapshot: golden.isotel}, candidate: canary}
";

/// What an agent has of an environment, as a file.
fn saved(agent: &Agent, environment: &str, note: &str, to: &str) {
    let storage = agent.storage();
    let args =
        ["snapshot", "save", "--storage", &storage, "--environment", environment, "--note", note, "-o", to];
    let (code, _, said) = isotel(&args);
    assert_eq!(code, 0, "{said}");
}

fn golden(agent: &Agent) -> Value {
    let answer = agent.get("/api/v1/comparisons/golden/verdict");
    if answer.status == 200 { answer.json() } else { Value::Null }
}

#[test]
fn a_comparison_with_a_snapshot_is_judged_live_named_on_its_page_and_pinned_anew_at_sighup() {
    let mut first = Agent::start();
    first.until_divergent();
    let file = first.file("saved.isotel");
    saved(&first, "prod", "release 1.0", &file);
    let bytes = std::fs::read(&file).unwrap();
    drop(first);

    let mut agent = Agent::with_files(&[("golden.isotel", &bytes)], COMPARISONS);
    agent.until_divergent();
    let report = golden(&agent);
    assert_eq!(report["verdict"], "divergent", "{report}");
    assert_eq!(report["baseline"]["environment"], "snapshot golden.isotel");
    let described = report["baseline"]["description"].as_str().unwrap().to_owned();
    assert!(described.starts_with("prod, release 1.0, saved 20"), "{described}");
    for (path, part) in [
        ("/c/golden", &*described),
        ("/c/golden", "canary differs from snapshot golden.isotel"),
        ("/c/golden/matrix", "queue.4999.depth"),
        ("/c/golden/s/shop%2Fweb/o/server/POST%20%2Fcheckout", "class=\"distributions\""),
        ("/", "canary against snapshot golden.isotel"),
        ("/c/golden/history", "divergent"),
        ("/api/v1/comparisons/golden/history", "\"baseline\": \"snapshot golden.isotel\""),
        ("/api/v1/comparisons/golden/matrix", "\"snapshot golden.isotel\""),
    ] {
        let answer = agent.get(path);
        assert!(answer.status == 200 && answer.body.contains(part), "{path}: {part}: {}", answer.status);
    }

    // What cannot be read leaves what was.
    let named = agent.file("golden.isotel");
    std::fs::write(&named, &bytes[..bytes.len() - 1]).unwrap();
    let said = agent.reloaded();
    assert!(said.contains("the old one goes on") && said.contains("the snapshot is damaged"), "{said}");
    agent.round();
    agent.round();
    assert_eq!(golden(&agent)["baseline"]["description"], described);

    // From now on what the canary does is what is wanted.
    let other = agent.file("other.isotel");
    saved(&agent, "canary", "release 2.0", &other);
    assert_eq!(isotel(&["snapshot", "pin", &other, &named]).0, 0);
    assert_eq!(agent.reloaded(), "configuration reloaded");
    let report = until("the golden snapshot is another", || {
        agent.round();
        let report = golden(&agent);
        report["baseline"]["description"].as_str()?.starts_with("canary, release 2.0").then_some(report)
    });
    assert_ne!(report["verdict"], "divergent", "{report}");
}

#[test]
fn a_snapshot_that_cannot_be_a_baseline_is_a_problem_of_the_line_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("isotel.yaml").to_str().unwrap().to_owned();
    let golden = folder.path().join("golden.isotel");
    std::fs::write(&config, COMPARISONS).unwrap();
    let refused = |said: &str| {
        for command in ["run", "validate"] {
            let (code, _, told) = isotel(&[command, "--config", &config]);
            assert_eq!(code, 2, "{command}: {told}");
            assert!(told.contains(said) && told.contains("isotel.yaml:5:"), "{command}: {said}\n{told}");
        }
    };
    refused("golden.isotel: No such file");
    std::fs::write(&golden, "isotelsn, but not at all").unwrap();
    refused("golden.isotel: the snapshot is damaged");

    let mut agent = Agent::start();
    agent.until_divergent();
    std::fs::remove_file(&golden).unwrap();
    saved(&agent, "prod", "", golden.to_str().unwrap());
    refused("windows are 10s long, and parity.window is 60s");
    let (code, _, told) = isotel(&["validate", "--config", &config, "--set", "parity.window=10s"]);
    assert_eq!(code, 0, "{told}");
    std::fs::write(&golden, vec![0; (1 << 20) + 1]).unwrap();
    let limit = format!("{COMPARISONS}  limits: {{snapshot_bytes: 1MiB}}\n");
    std::fs::write(&config, limit).unwrap();
    refused("more than 1048576 bytes");
}
