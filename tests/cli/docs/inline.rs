//! Commands inside of sentences: `isotel config limits` is a command that there is.

use super::markdown::{documents, prose};
use crate::{end, isotel};
use std::collections::BTreeMap;

/// What the code spans of a line say, of those that are commands of ours.
fn commands(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|code| code.starts_with("isotel "))
}

/// Help texts, each asked for once.
#[derive(Default)]
struct Help(BTreeMap<Vec<String>, String>);

impl Help {
    fn of(&mut self, command: &[&str]) -> &str {
        let key = command.iter().map(|word| (*word).to_owned()).collect();
        self.0.entry(key).or_insert_with(|| end(isotel(command).arg("--help")).stdout)
    }

    /// Whether the help of a command lists a word as a command, an option or a value.
    fn lists(&mut self, command: &[&str], word: &str) -> bool {
        let known = |line: &str| {
            let line = line.trim_start().trim_start_matches("- ");
            line.split([' ', ',', ':', '=', '|', '[', ']', '<']).any(|listed| listed == word)
        };
        self.of(command).lines().any(known)
    }
}

#[test]
fn every_command_inside_of_a_sentence_exists_with_its_options() {
    let mut help = Help::default();
    let (mut seen, mut unknown) = (0, Vec::new());
    for document in documents() {
        for (at, line) in prose(&document) {
            for said in commands(&line) {
                seen += 1;
                let words: Vec<&str> = said.split_whitespace().skip(1).collect();
                // What the command is for is between its options: only its name and theirs are looked up.
                let names: Vec<&str> = words
                    .iter()
                    .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()))
                    .copied()
                    .take(2)
                    .collect();
                let nested = matches!(names.first(), Some(&"catalog" | &"snapshot"));
                let command = if nested { &names[..] } else { &names[..names.len().min(1)] };
                let mut wrong: Vec<&str> = Vec::new();
                wrong.extend(
                    names
                        .iter()
                        .enumerate()
                        .filter(|(n, name)| !help.lists(&names[..*n], name))
                        .map(|(_, name)| *name),
                );
                let options = words.iter().filter(|word| word.starts_with("--") && word.len() > 2);
                let options = options.map(|option| option.split('=').next().unwrap());
                wrong.extend(options.filter(|option| !help.lists(command, option)));
                if !wrong.is_empty() {
                    unknown.push(format!("{}:{at}: {wrong:?} of `{said}`", document.display()));
                }
            }
        }
    }
    assert!(seen > 10 && unknown.is_empty(), "{seen} commands, of which do not exist: {unknown:#?}");
}
