//! `init`: from what arrives, or from files, to a configuration that runs.

use crate::input::{Recording, pair};
use crate::run::http;
use crate::{end, isotel};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

/// The last part of what was said, as a command of ours.
fn next(said: &str) -> Vec<String> {
    let next =
        said.lines().find_map(|line| line.strip_prefix("Next: isotel ")).expect("it says what is next");
    next.split(' ').map(str::to_owned).collect()
}

#[test]
fn of_files_it_writes_a_configuration_that_the_command_it_names_next_judges_them_by() {
    let folder = tempfile::tempdir().unwrap();
    let (prod, canary) = pair(folder.path(), 1.5);
    let output = folder.path().join("proposed.yaml");
    let init = || end(isotel(&["init", "--input", &prod, &canary, "-o"]).arg(&output));
    let ended = init();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("Seen: 2400 span(s)"), "{}", ended.stderr);
    assert!(ended.stderr.contains("compare \"prod\" (baseline) with \"canary\""), "{}", ended.stderr);
    let args = next(&ended.stderr);
    let judged = end(&mut isotel(&args.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!(judged.code, 1, "{args:?}: {}", judged.stderr);
    assert!(judged.stdout.contains("prod → canary"), "{}", judged.stdout);

    let again = init();
    assert_eq!(again.code, 2, "what is there is not written over");
    assert!(again.stderr.contains("proposed.yaml is already there"), "{}", again.stderr);
    let shown = end(&mut isotel(&["init", "--input", &prod, &canary, "-o", "-"]));
    assert_eq!(shown.stdout, std::fs::read_to_string(&output).unwrap());
}

#[test]
fn it_listens_until_it_is_told_to_end_and_writes_what_the_agent_runs_with() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("isotel.yaml");
    let mut init = Command::new(env!("CARGO_BIN_EXE_isotel"))
        .args(["init", "--listen", "1h", "--grpc", "localhost:0", "--http", "localhost:0", "-o"])
        .arg(&output)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(init.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let address = line.split("OTLP/HTTP on ").nth(1).unwrap().split(". ").next().unwrap();
    let address: SocketAddr = address.parse().unwrap();
    for environment in ["blue", "green"] {
        let recording = Recording { environment, n: 3, factor: 1.0, seed: 1 }.lines();
        for request in recording.lines() {
            assert_eq!(http(address, "POST /v1/traces", request).unwrap().0, 200);
        }
    }
    assert!(Command::new("kill").arg(init.id().to_string()).status().unwrap().success());
    assert_eq!(init.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("Seen: 12 span(s)"), "{rest}");
    assert!(rest.contains("compare \"blue\" (baseline) with \"green\""), "{rest}");
    let [run, option, file] = &next(&rest)[..] else { panic!("{rest}") };
    assert_eq!((&**run, &**option, Path::new(file)), ("run", "--config", &*output));
    assert_eq!(end(&mut isotel(&["validate", option, file])).code, 0);
}

#[test]
fn where_there_is_nothing_to_propose_of_it_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none.json");
    std::fs::write(&none, "").unwrap();
    let none = none.to_str().unwrap();
    let output = folder.path().join("isotel.yaml");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (args, code, said) in [
        (vec!["--input", none], 4, "no spans, data points or log records"),
        (
            vec!["--listen", "1ms", "--grpc", "localhost:0", "--http", "localhost:0"],
            4,
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ),
        (vec!["--listen", "soon"], 2, "not a duration such as 30s"),
        (vec!["--grpc", &taken, "--http", "localhost:0"], 2, "choose others with --grpc and --http"),
    ] {
        let ended = end(isotel(&["init", "-o"]).arg(&output).args(&args));
        assert_eq!(ended.code, code, "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{args:?}: {}", ended.stderr);
        assert!(!output.exists(), "{args:?}");
    }
}

#[test]
fn of_one_environment_it_writes_what_to_do_about_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let alone = Recording { environment: "prod", n: 3, factor: 1.0, seed: 1 }.write(folder.path());
    let ended = end(isotel(&["init", "-o", "-", "--input"]).arg(alone));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("Nothing tells two environments"), "{}", ended.stderr);
    assert!(ended.stdout.contains("All of it is of the environment prod"), "{}", ended.stdout);
    assert!(ended.stdout.contains("comparisons: auto"), "{}", ended.stdout);
}
