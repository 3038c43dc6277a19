//! `snapshot`, and `judge` against one.

use crate::input::Recording;
use crate::{Ended, end, isotel};
use isotel::agent::storage::Storage;
use isotel::config::{Source, load};
use isotel::wire::{Signal, json::transcode};
use serde_json::Value;
use std::path::Path;

/// A release whose checkout takes `factor` times as long as the first one's.
fn release(folder: &Path, number: u32, factor: f64) -> String {
    let name = format!("release-{number:02}");
    let recording = Recording { environment: &name, n: 600, factor, seed: 100 + u64::from(number) };
    recording.write(folder).to_str().unwrap().to_owned()
}

fn save(baseline: &str, to: &str, args: &[&str]) -> Ended {
    end(isotel(&["snapshot", "save", "--baseline", baseline, "-o", to]).args(args))
}

fn judged(baseline: &str, candidate: &str) -> (i32, Value) {
    let args = ["judge", "--quiet", "--baseline", baseline, "--candidate", candidate, "--format", "json"];
    let ended = end(&mut isotel(&args));
    (ended.code, serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}", ended.stderr)))
}

#[test]
fn twelve_releases_each_pass_against_the_one_before_and_the_pinned_snapshot_says_how_far_they_went() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let releases: Vec<String> =
        (0..=12).map(|number| release(folder.path(), number, 1.04_f64.powi(number as i32))).collect();
    let saved = save(&releases[0], &path("1.0.isotel"), &["--note", "release 1.0"]);
    assert_eq!((saved.code, saved.stdout.as_str()), (0, ""), "{}", saved.stderr);
    assert!(saved.stderr.contains("1,200 requests of baseline"), "{}", saved.stderr);
    let pinned = end(&mut isotel(&["snapshot", "pin", &path("1.0.isotel"), &path("golden.isotel")]));
    assert_eq!(pinned.code, 0, "{}", pinned.stderr);
    for pair in releases.windows(2) {
        let (code, report) = judged(&pair[0], &pair[1]);
        assert_eq!((code, report["verdict"].as_str()), (0, Some("parity")), "{pair:?}");
    }
    let against: Vec<i32> =
        releases[1..].iter().map(|release| judged(&path("golden.isotel"), release).0).collect();
    assert_eq!(against[..2], [0, 0], "8 % is within the tolerance of 15 %");
    assert_eq!(against[5..], [1; 7], "26 % and more is not, whatever the release before did");
    let (_, report) = judged(&path("golden.isotel"), &releases[12]);
    let slower =
        report["findings"].as_array().unwrap().iter().find(|one| one["aspect"] == "latency").unwrap();
    assert!(slower["message"].as_str().unwrap().contains("POST /checkout has p"), "{slower}");
}

#[test]
fn a_snapshot_is_judged_as_the_files_that_it_was_saved_from() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (release(folder.path(), 0, 1.0), release(folder.path(), 1, 1.3));
    let golden = folder.path().join("golden.isotel").to_str().unwrap().to_owned();
    assert_eq!(save(&one, &golden, &[]).code, 0);
    for candidate in [&one, &other] {
        let [of_files, of_snapshot] = [&one, &golden].map(|baseline| {
            let (code, mut report) = judged(baseline, candidate);
            // What this run took in differs, and nothing else.
            let fields = report.as_object_mut().unwrap();
            assert!(fields.remove("input").is_some() && fields.remove("generated_at").is_some());
            (code, report)
        });
        assert_eq!(of_files, of_snapshot);
    }
    // Of files that name their environments, the named one is in it and no other.
    let both = folder.path().join("both.json");
    let text = [&one, &other].map(|path| std::fs::read_to_string(path).unwrap()).concat();
    std::fs::write(&both, text).unwrap();
    let both = both.to_str().unwrap();
    let tagged = folder.path().join("tagged.isotel").to_str().unwrap().to_owned();
    let asked = end(&mut isotel(&["snapshot", "save", "--input", both, "-o", &tagged]));
    assert_eq!(asked.code, 2);
    assert!(
        asked.stderr.contains("which environment? there are: release-00, release-01"),
        "{}",
        asked.stderr
    );
    let args = ["snapshot", "save", "--input", both, "--environment", "release-00", "-o", &tagged];
    assert_eq!(end(&mut isotel(&args)).code, 0);
    assert_eq!(judged(&tagged, &one).0, 0);
    assert_eq!(judged(&tagged, &other).0, 1);
}

#[test]
fn a_comparison_with_a_snapshot_says_of_files_what_the_snapshot_as_their_baseline_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (one, other) = (release(folder.path(), 0, 1.0), release(folder.path(), 1, 1.3));
    assert_eq!(save(&one, &path("golden.isotel"), &["--note", "release 1.0"]).code, 0);
    let text = "parity: {comparisons: [{name: golden, baseline: {snapshot: golden.isotel}, candidate: release-01}]}\n";
    std::fs::write(path("isotel.yaml"), text).unwrap();
    let args = ["judge", "--quiet", "--input", &other, "--config", &path("isotel.yaml"), "--format", "json"];
    let ended = end(&mut isotel(&args));
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let configured: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(configured["baseline"]["environment"], "snapshot golden.isotel");
    assert!(
        configured["baseline"]["description"].as_str().unwrap().starts_with("baseline, release 1.0, saved")
    );
    let (_, of_files) = judged(&path("golden.isotel"), &other);
    for part in ["period", "verdict", "score", "aspects", "services"] {
        let named = configured[part].to_string().replace("snapshot golden.isotel", "baseline");
        assert_eq!(named.replace("release-01", "candidate"), of_files[part].to_string(), "{part}");
    }
    // Without the file only what needs it fails.
    std::fs::remove_file(path("golden.isotel")).unwrap();
    let ended = end(&mut isotel(&args));
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("golden.isotel: No such file") && ended.stderr.contains("isotel.yaml:1:"));
    let files = ["judge", "--baseline", &one, "--candidate", &other, "--config", &path("isotel.yaml")];
    assert_eq!(end(&mut isotel(&files)).code, 1);
}

#[test]
fn what_is_wrong_with_a_snapshot_is_told_and_none_is_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let one = release(folder.path(), 0, 1.0);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let golden = path("golden.isotel");
    assert_eq!(save(&one, &golden, &["--note", "1.0\u{1b}[2J"]).code, 0);
    let bytes = std::fs::read(&golden).unwrap();
    let again = save(&one, &golden, &[]);
    assert_eq!(again.code, 2);
    assert!(
        again.stderr.contains("is there already") && again.stderr.contains("--replace"),
        "{}",
        again.stderr
    );
    assert_eq!(std::fs::read(&golden).unwrap(), bytes);

    let mut command = isotel(&["snapshot", "list", folder.path().to_str().unwrap()]);
    let listed = end(command.env("COLUMNS", "200"));
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    assert!(
        listed.stdout.contains("golden.isotel") && listed.stdout.contains("baseline"),
        "{}",
        listed.stdout
    );
    assert!(
        !listed.stdout.contains('\u{1b}') && !listed.stdout.contains("release-00.json"),
        "{}",
        listed.stdout
    );
    let listed = end(&mut isotel(&["snapshot", "list", "--json", &golden]));
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(
        (&listed[0]["requests"], &listed[0]["versions"][0]["version"]),
        (&1_200.into(), &"1.4.2".into())
    );

    for (name, bad) in [
        ("cut.isotel", bytes[..bytes.len() - 1].to_vec()),
        ("flipped.isotel", {
            let mut bad = bytes.clone();
            bad[bytes.len() / 2] ^= 1;
            bad
        }),
        ("later.isotel", {
            let mut bad = bytes.clone();
            bad[8] += 1;
            bad
        }),
    ] {
        std::fs::write(path(name), bad).unwrap();
        let said = if name == "later.isotel" { "is of format" } else { "is damaged" };
        let ended = end(&mut isotel(&["judge", "--baseline", &path(name), "--candidate", &one]));
        assert_eq!(ended.code, 4, "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains(name) && ended.stderr.contains(said), "{}", ended.stderr);
        assert_eq!(end(&mut isotel(&["snapshot", "list", &path(name)])).code, 4);
        assert_eq!(end(&mut isotel(&["snapshot", "pin", &path(name), &golden])).code, 4);
        assert_eq!(std::fs::read(&golden).unwrap(), bytes, "what cannot be read replaces nothing");
    }
    for (args, said) in [
        (vec!["judge", "--baseline", &golden, &one, "--candidate", &one], "stands alone"),
        (vec!["judge", "--baseline", &one, "--candidate", &golden], "pass it as --baseline"),
        (
            vec!["judge", "--baseline", &golden, "--candidate", &one, "--set", "parity.window=7s"],
            "windows are 2s long, and parity.window is 7s",
        ),
        (vec!["snapshot", "save", "-o", &golden, "--replace"], "nothing to save"),
        (
            vec!["snapshot", "save", "-o", &golden, "--replace", "--input", &one, "--environment", "nobody"],
            "no sealed telemetry of the environment \"nobody\"; there is of: release-00",
        ),
    ] {
        let ended = end(&mut isotel(&args));
        assert_eq!(ended.code, 2, "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
}

#[test]
fn an_agents_storage_gives_a_snapshot_while_the_agent_runs() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("storage");
    let text = format!(
        "receivers: {{otlp: {{protocols: {{http: {{}}}}}}}}\nextensions: {{file_storage: {{directory: {}}}}}\n\
         parity: {{window: 2s, period: 1h, storage: file_storage}}\n",
        directory.display()
    );
    let source = Source { name: "isotel.yaml".to_owned(), text };
    let config = load(&[source], &[], &|_| None).unwrap().config;
    let now_ns = 1_767_225_600_000_000_000 + 600_000_000_000;
    let begin_ns = 1_767_225_600_000_000_000;
    let settings = config.storage.clone().unwrap();
    let (storage, mut engine) = Storage::open(&settings, config.plan(begin_ns), 2, begin_ns).unwrap();
    let ingest = engine.ingest();
    let (one, other) = (release(folder.path(), 0, 1.0), release(folder.path(), 1, 1.3));
    for line in [&one, &other].map(|path| std::fs::read_to_string(path).unwrap()).concat().lines() {
        let mut request = Vec::new();
        transcode(Signal::Traces, line.as_bytes(), &mut request).unwrap();
        let kept = storage.keep(now_ns, Signal::Traces, &request, || {
            ingest.observe(now_ns, None, Signal::Traces, &request)
        });
        kept.unwrap().unwrap();
    }
    engine.finish(now_ns, "");
    storage.checkpoint(&mut engine, now_ns).unwrap();
    // Its lock is held: reading needs none, and changes nothing.
    let golden = folder.path().join("golden.isotel").to_str().unwrap().to_owned();
    let directory = directory.to_str().unwrap();
    let args = ["snapshot", "save", "--storage", directory, "--environment", "release-00", "-o", &golden];
    let saved = end(&mut isotel(&args));
    assert_eq!(saved.code, 0, "{}", saved.stderr);
    assert_eq!(judged(&golden, &one).0, 0);
    assert_eq!(judged(&golden, &other).0, 1);
    let none = folder.path().to_str().unwrap();
    let ended = end(&mut isotel(&["snapshot", "save", "--storage", none, "--environment", "a", "-o", none]));
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    let nowhere = folder.path().join("new.isotel").to_str().unwrap().to_owned();
    let ended =
        end(&mut isotel(&["snapshot", "save", "--storage", none, "--environment", "a", "-o", &nowhere]));
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    assert!(ended.stderr.contains("no checkpoint of an agent"), "{}", ended.stderr);
}
