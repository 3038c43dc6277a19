//! Blocks of commands run, away from the network and from the machine's other programs.

use super::markdown::{Block, blocks, documents, root};
use crate::{end, isotel};
use std::{
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};
use tempfile::TempDir;

/// No block takes longer.
const PATIENCE_S: &str = "600";
/// What blocks may use of the machine.
const TOOLS: [&str; 13] =
    ["bash", "cat", "cp", "env", "grep", "head", "ls", "mkdir", "rm", "sed", "sleep", "tail", "timeout"];
/// What blocks may use that the script `commands` stands for.
const STOOD_FOR: [&str; 5] = ["isotel", "cargo", "otelcol", "kubectl", "docker"];
/// Scripts of ours that take too long to run here; that they are there is checked.
const SCRIPTS: [&str; 4] = [".ci/run", "tests/run", "tests/peers/setup", "tests/fuzz/guided/run"];

/// A folder with the files that the documents speak of.
pub struct Scratch(TempDir);

impl Scratch {
    /// With everything in it.
    pub fn new() -> Scratch {
        let scratch = Scratch(tempfile::tempdir().unwrap());
        let folder = scratch.folder();
        for tree in ["config", "deploy", "docs"] {
            copy(&root().join(tree), &folder.join(tree));
        }
        for script in SCRIPTS {
            let path = root().join(script);
            assert!(path.metadata().unwrap().permissions().mode() & 0o111 != 0, "{script} can be run");
            executable(&folder.join(script), "#!/bin/sh\n");
        }
        for entry in std::fs::read_dir(telemetry()).unwrap() {
            let path = entry.unwrap().path();
            copy(&path, &folder.join(path.file_name().unwrap()));
        }
        let commands = root().join("tests/cli/docs/commands");
        for name in STOOD_FOR {
            std::fs::create_dir_all(folder.join(".bin")).unwrap();
            symlink(&commands, folder.join(".bin").join(name)).unwrap();
        }
        for tool in TOOLS {
            let found =
                ["/usr/bin", "/bin"].iter().map(|at| Path::new(at).join(tool)).find(|path| path.exists());
            symlink(
                found.unwrap_or_else(|| panic!("{tool} is on this machine")),
                folder.join(".bin").join(tool),
            )
            .unwrap();
        }
        scratch
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// Runs a script to its end.
    fn run(&self, script: &str) -> Output {
        let path = self.folder().join(".block.sh");
        std::fs::write(&path, script).unwrap();
        // A command that waits for ever is a failure of its block, and not of the whole suite.
        Command::new("timeout")
            .args([PATIENCE_S, "/bin/bash", "-euo", "pipefail"])
            .arg(&path)
            .current_dir(self.folder())
            .env_clear()
            .env("PATH", self.folder().join(".bin"))
            .env("HOME", self.folder())
            .env("COLUMNS", "80")
            .env("ISOTEL", env!("CARGO_BIN_EXE_isotel"))
            .env("CHECKOUT", root())
            .env("REAL_PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("REAL_HOME", std::env::var_os("HOME").unwrap_or_default())
            .env("CI", std::env::var_os("CI").unwrap_or_default())
            .output()
            .unwrap()
    }
}

/// What both environments of the demo sent, by the names that the documents give it, and what is made of it.
fn telemetry() -> &'static Path {
    static TELEMETRY: OnceLock<PathBuf> = OnceLock::new();
    TELEMETRY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("docs-telemetry");
        // Of the last run; there is none before the first.
        let _ = std::fs::remove_dir_all(&folder);
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let ended = end(&mut isotel(&["demo", "--once", "--record", &path("")]));
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let read = |name: &str| std::fs::read(path(name)).unwrap();
        let (production, canary) = (read("production.proto"), read("canary.proto"));
        // Files are read by their content, whatever their names are.
        for (name, bytes) in [
            ("prod.json", &production),
            ("staging.json", &canary),
            ("canary.json", &canary),
            ("both.proto", &[&production[..], &canary].concat()),
        ] {
            std::fs::write(path(name), bytes).unwrap();
        }
        let catalog =
            end(&mut isotel(&["catalog", "infer", &path("prod.json"), "-o", &path("catalog.yaml")]));
        assert_eq!(catalog.code, 0, "{}", catalog.stderr);
        let conventions = blocks(Path::new("docs/catalog.md"));
        let conventions = conventions.iter().find(|block| block.text.starts_with("groups:")).unwrap();
        std::fs::create_dir_all(path("semantic-conventions/model")).unwrap();
        std::fs::write(path("semantic-conventions/model/acme.yaml"), &conventions.text).unwrap();
        folder
    })
}

/// A file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            copy(&path, &to.join(path.file_name().unwrap()));
        }
    } else if std::fs::hard_link(from, to).is_err() {
        std::fs::copy(from, to).unwrap();
    }
}

fn executable(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// Lines without what another moment changes.
fn lines(text: &str) -> Vec<String> {
    let mask = |line: &str| {
        let mut masked = String::new();
        for c in line.trim_end().chars() {
            match c {
                '0'..='9' if masked.ends_with('0') => {}
                '0'..='9' => masked.push('0'),
                c => masked.push(c),
            }
        }
        masked
    };
    // A period over midnight has a day more, and its line breaks elsewhere.
    let begun = |line: String| match line.split_once("0-0-0 0:0:0") {
        Some((before, _)) => format!("{before}0-0-0 0:0:0"),
        None => line,
    };
    text.lines().map(mask).map(begun).filter(|line| !line.is_empty() && line != "…").collect()
}

/// Runs the commands of a transcript, and holds what they print against it.
fn replay(block: &Block, scratch: &Scratch) {
    let transcript = format!("\n{}", block.text);
    for part in transcript.split("\n$ ").skip(1) {
        let (command, expected) = part.split_once('\n').unwrap_or((part, ""));
        let output = said(&scratch.run(&format!("{command} 2>&1")));
        let printed = lines(&output);
        let mut rest = printed.iter();
        for line in lines(expected) {
            assert!(
                rest.any(|printed| *printed == line),
                "{}: `{command}` does not print, in its place:\n{line}\nbut:\n{output}",
                block.place()
            );
        }
    }
}

#[test]
fn every_block_of_commands_runs() {
    for document in documents() {
        let mut scratch = None;
        // What one block writes, the next may read.
        for block in blocks(&document).iter().filter(|block| block.not_run.is_none()) {
            match &*block.language {
                "sh" => {
                    let output = scratch.get_or_insert_with(Scratch::new).run(&block.text);
                    assert!(
                        output.status.success(),
                        "{}: {}\n{}",
                        block.place(),
                        output.status,
                        said(&output)
                    );
                }
                "console" => replay(block, scratch.get_or_insert_with(Scratch::new)),
                _ => {}
            }
        }
    }
}

#[test]
fn a_block_with_a_command_that_fails_or_that_nobody_knows_fails() {
    let scratch = Scratch::new();
    for (script, succeeds) in [
        ("isotel validate --config config/canary.yaml  # good", true),
        ("isotel validate --config config/absent.yaml\ntrue", false),
        ("isotel judge --baseline prod.json --candidate canary.json", true),
        ("isotel judge --baseline prod.json --candidate absent.json", false),
        ("isotel run --config config/isotel.yaml", true),
        ("isotel run --set parity.widnow=3s", false),
        ("cargo bench --bench seal -- --quick", true),
        ("cargo bench --bench no-such", false),
        ("cargo run --release -- config limits", true),
        ("cargo publish", false),
        ("kubectl apply -k deploy/no-such", false),
        ("wget https://isotel.example", false),
    ] {
        let output = scratch.run(script);
        assert_eq!(output.status.success(), succeeds, "{script}: {}", said(&output));
    }
}
