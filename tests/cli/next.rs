//! What cannot be done is told with the command that probably comes next.

use crate::input::{Recording, pair};
use crate::{Ended, end, isotel};
use std::path::Path;

/// A command in a folder.
fn within(folder: &Path, line: &str) -> Ended {
    let args: Vec<&str> = line.split(' ').skip(1).collect();
    end(isotel(&args).current_dir(folder))
}

/// `prod.json`, `canary.json`, `both.json`, `verdict.json` and `isotel.yaml` in a folder.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    pair(folder.path(), 1.5);
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    let both = [("prod", 1), ("canary", 2)]
        .map(|(environment, seed)| Recording { environment, n: 600, factor: 1.0, seed }.lines());
    write("both.json", both.concat());
    write("isotel.yaml", "parity: {window: 5s}\n".to_owned());
    let judged = within(folder.path(), "isotel judge --input both.json --format json -o verdict.json");
    assert_eq!(judged.code, 0, "{}", judged.stderr);
    folder
}

#[test]
fn an_error_names_the_next_command_and_that_command_works() {
    let folder = folder();
    for (line, code, next, then) in [
        // What no option names.
        (
            "isotel judge prod.json canary.json",
            2,
            "isotel judge --baseline prod.json --candidate canary.json",
            1,
        ),
        ("isotel judge both.json --quiet", 2, "isotel judge --input both.json --quiet", 0),
        (
            "isotel coverage prod.json canary.json",
            2,
            "isotel coverage --baseline prod.json --candidate canary.json",
            0,
        ),
        ("isotel validate isotel.yaml", 2, "isotel validate --config isotel.yaml", 0),
        ("isotel init both.json -o -", 2, "isotel init --input both.json -o -", 0),
        // A name that is misspelt, and a folder.
        ("isotel judge --input bth.json", 4, "isotel judge --input both.json", 0),
        ("isotel validate --config isotl.yaml", 2, "isotel validate --config isotel.yaml", 0),
        ("isotel explain verdct.json", 4, "isotel explain verdict.json", 0),
        (
            "isotel judge --comparison prod-vs-canry --input both.json",
            2,
            "isotel judge --input both.json --comparison prod-vs-canary",
            0,
        ),
        (
            "isotel snapshot save --input both.json -o prod.snap",
            2,
            "isotel snapshot save --input both.json -o prod.snap --environment prod",
            0,
        ),
        (
            "isotel snapshot save --baseline prod.json -o prod.snap",
            2,
            "isotel snapshot save --baseline prod.json -o prod.snap --replace",
            0,
        ),
        // One thing taken for another.
        (
            "isotel judge --input prod.json prod.json",
            2,
            "isotel judge --baseline prod.json --candidate prod.json",
            0,
        ),
        ("isotel judge --baseline verdict.json --candidate prod.json", 4, "isotel explain verdict.json", 0),
        (
            "isotel judge --baseline prod.json --candidate prod.snap",
            2,
            "isotel judge --baseline prod.snap --candidate prod.json",
            0,
        ),
        ("isotel explain both.json", 4, "isotel judge --input both.json --format json -o verdict.json", 0),
        ("isotel explain verdict.json latency-00000000", 2, "isotel explain verdict.json", 0),
        ("isotel report --history verdict.json", 4, "isotel explain verdict.json", 0),
        (
            "isotel coverage --catalog prod.json --input prod.json",
            2,
            "isotel catalog infer prod.json -o catalog.yaml",
            0,
        ),
        ("isotel init --input both.json", 2, "isotel validate --config isotel.yaml", 0),
    ] {
        let ended = within(folder.path(), line);
        assert_eq!(ended.code, code, "{line}: {}", ended.stderr);
        let named = ended.stderr.lines().find_map(|line| line.strip_prefix("  next: "));
        assert_eq!(named, Some(next), "{line}: {}", ended.stderr);
        let after = within(folder.path(), next);
        assert_eq!(after.code, then, "{next}: {}", after.stderr);
    }
}

#[test]
fn where_something_is_missing_the_next_command_has_a_place_for_it() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("shop")).unwrap();
    for (line, next) in [
        ("isotel judge", "isotel demo --once --record shop"),
        ("isotel judge --candidate canary.json", "isotel judge --candidate canary.json --baseline FILE"),
        ("isotel judge --input shop", "isotel judge --input shop/*"),
        ("isotel judge --input prod.json", "isotel init --input prod.json"),
        ("isotel explain latency-22936d18", "isotel explain verdict.json latency-22936d18"),
        (
            "isotel explain isotel.yaml",
            "isotel judge --baseline FILE --candidate FILE --format json -o verdict.json",
        ),
        ("isotel snapshot save -o x.snap", "isotel snapshot save -o x.snap --baseline FILE"),
        ("isotel report", "isotel report --agent http://localhost:4319"),
        ("isotel report http://localhost:1", "isotel report --agent http://localhost:1"),
        ("isotel report shop", "isotel report --storage shop"),
    ] {
        let ended = within(folder.path(), line);
        assert!([2, 4].contains(&ended.code), "{line}: {}", ended.stderr);
        assert_eq!(
            ended.stderr.lines().last(),
            Some(&*format!("  next: {next}")),
            "{line}: {}",
            ended.stderr
        );
    }
}

#[test]
fn what_was_set_is_not_repeated_and_words_are_quoted() {
    let folder = folder();
    std::fs::copy(folder.path().join("both.json"), folder.path().join("it's both.json")).unwrap();
    let typed =
        ["judge", "--input", "it's both.json", "--set", "parity.window=5s", "--set=parity.lateness=7s"];
    let ended = end(isotel(&typed).args(["--comparison", "x"]).current_dir(folder.path()));
    let next = "isotel judge --input 'it'\\''s both.json' --set 'parity.window=…' '--set=parity.lateness=…' \
                --comparison prod-vs-canary";
    assert!(ended.stderr.contains(next), "{}", ended.stderr);
    let ended =
        within(folder.path(), "isotel report --agent http://alice:hunter2@localhost:1 --config isotl.yaml");
    assert!(
        ended.stderr.contains("next: isotel report --agent URL --config isotel.yaml"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_configuration_that_lies_there_and_is_not_named_is_told() {
    let folder = folder();
    let ended = within(folder.path(), "isotel validate");
    assert_eq!(
        ended.stderr,
        "warning: isotel.yaml is here and not read, since no --config names it\n  next: isotel validate --config \
         isotel.yaml\nthe defaults are valid\n"
    );
    assert_eq!(
        within(folder.path(), "isotel validate --config isotel.yaml").stderr,
        "the configuration is valid\n"
    );
}

#[test]
fn evidence_that_cannot_be_any_is_told() {
    let folder = folder();
    std::fs::write(folder.path().join("empty.json"), "").unwrap();
    for (line, said) in [
        (
            "isotel judge --baseline prod.json --candidate prod.json",
            "warning: prod.json is on both sides, and like itself",
        ),
        ("isotel judge --baseline empty.json --candidate prod.json", "warning: empty.json has no telemetry"),
    ] {
        let ended = within(folder.path(), line);
        assert!(ended.stderr.starts_with(said), "{line}: {}", ended.stderr);
        assert!(!within(folder.path(), &format!("{line} --quiet")).stderr.contains("warning"));
    }
    // A clock that is years ahead.
    let ahead = std::fs::read_to_string(folder.path().join("both.json")).unwrap().replace("\"1767", "\"4102");
    std::fs::write(folder.path().join("ahead.json"), ahead).unwrap();
    let ended = within(folder.path(), "isotel judge --input ahead.json");
    let said = "2400 item(s) were refused or set aside, most of them because: time is further ahead";
    assert!(ended.stdout.replace('\n', " ").contains(said), "{}", ended.stdout);
}
