//! YAML blocks are what the program reads.

use super::markdown::{Block, blocks, documents};
use super::shell::Scratch;
use crate::input::Recording;
use crate::{Ended, end, isotel};
use std::path::{Path, PathBuf};

/// A configuration has at least one of these.
const SECTIONS: [&str; 6] = ["receivers", "processors", "exporters", "extensions", "service", "parity"];

/// The keys at the left margin.
fn keys(text: &str) -> Vec<&str> {
    let at_margin = |line: &&str| line.starts_with(|c: char| c.is_ascii_alphabetic());
    text.lines().filter(at_margin).filter_map(|line| line.split_once(':')).map(|(key, _)| key).collect()
}

/// What a block is for.
enum Use {
    Configuration,
    Catalog,
    Waivers,
}

fn used_as(block: &Block) -> Use {
    let keys = keys(&block.text);
    let has = |names: &[&str]| keys.iter().any(|key| names.contains(key));
    match () {
        () if has(&SECTIONS) => Use::Configuration,
        () if has(&["catalog", "groups"]) => Use::Catalog,
        () if has(&["waivers"]) => Use::Waivers,
        () => panic!(
            "{}: nothing here reads YAML with the keys {keys:?}; say `yaml not-run: why`",
            block.place()
        ),
    }
}

/// Asks the program about a block. A part of a configuration is laid over the default and the parts `before` it.
fn check(block: &Block, before: &mut Vec<PathBuf>, folder: &Path) -> Ended {
    let path = folder.join(format!("{}.yaml", block.line));
    std::fs::write(&path, &block.text).unwrap();
    let said = path.display().to_string();
    let mut command = match used_as(block) {
        Use::Configuration => {
            before.push(path);
            let mut command = isotel(&["validate", "--config", "config/isotel.yaml"]);
            for part in before.iter() {
                command.arg("--config").arg(part);
            }
            command
        }
        Use::Catalog => isotel(&["catalog", "check", &said]),
        Use::Waivers => isotel(&["validate", "--set", &format!("parity.waivers_file={said}")]),
    };
    let variables = |text: &str| -> Vec<String> {
        let name = |rest: &str| rest.split([':', '}']).next().map(str::to_owned);
        text.split("${env:").skip(1).filter_map(name).collect()
    };
    for part in before.iter() {
        for name in variables(&std::fs::read_to_string(part).unwrap()) {
            command.env(name, "what-the-environment-says-is-long-enough");
        }
    }
    end(command.current_dir(folder))
}

#[test]
fn every_yaml_block_is_valid() {
    let scratch = Scratch::new();
    // A snapshot of the default's windows, which some name. Its file is none of those that all folders share.
    let recording = Recording { environment: "golden", n: 60, factor: 1.0, seed: 1 }.write(scratch.folder());
    let mut save =
        isotel(&["snapshot", "save", "--set", "parity.window=1m", "-o", "golden.isotel", "--baseline"]);
    assert_eq!(end(save.arg(recording).current_dir(scratch.folder())).code, 0);
    for document in documents() {
        let mut before = Vec::new();
        for block in
            blocks(&document).iter().filter(|block| block.language == "yaml" && block.not_run.is_none())
        {
            let ended = check(block, &mut before, scratch.folder());
            assert_eq!(ended.code, 0, "{}: {}", block.place(), ended.stderr);
        }
    }
}
