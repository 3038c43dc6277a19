//! Which command comes next, after one that did not do what it should.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::io::ErrorKind::{IsADirectory, NotFound};
use std::path::Path;

/// Edits by which a file's name is taken for a misspelt one.
const EDITS: usize = 3;

/// A line of a message that names the next command.
pub fn next(command: &str) -> String {
    format!("\n  next: {command}")
}

/// A word for a shell.
pub fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=*".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// Paths for a shell, one beside the other.
pub fn paths<P: AsRef<Path>>(paths: &[P]) -> String {
    let word = |path: &P| shell(&path.as_ref().display().to_string());
    paths.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The command line as it was typed, to be typed again with a difference.
pub struct Typed(Vec<String>);

impl Typed {
    /// Of this process. What was set is not repeated: it may be a secret.
    pub fn now() -> Typed {
        let mut words: Vec<String> =
            std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        for at in 0..words.len() {
            let follows = at > 0 && words[at - 1] == "--set";
            let set = if follows { Some(&*words[at]) } else { words[at].strip_prefix("--set=") };
            if let Some((key, _)) = set.and_then(|set| set.split_once('=')) {
                words[at] = if follows { format!("{key}=…") } else { format!("--set={key}=…") };
            }
            // So may what stands before the host of an address be.
            if words[at].contains("://") && words[at].contains('@') {
                words[at] = "URL".to_owned();
            }
        }
        Typed(words)
    }

    /// Without an option and its value.
    pub fn without(mut self, option: &str) -> Typed {
        let with_value = format!("{option}=");
        self.0.retain(|word| !word.starts_with(&with_value));
        if let Some(at) = self.0.iter().position(|word| word == option) {
            let values = self.0[at + 1..].iter().take_while(|word| !word.starts_with('-')).count();
            self.0.drain(at..=at + values);
        }
        self
    }

    /// With more words at the end.
    pub fn and(mut self, words: &[&str]) -> Typed {
        self.0.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// With an option and its value instead of what it was given.
    pub fn with(self, option: &str, value: &str) -> Typed {
        self.without(option).and(&[option, value])
    }

    /// With another word in the place of one.
    fn replaced(mut self, word: &str, by: &str) -> Typed {
        for old in self.0.iter_mut().filter(|old| *old == word) {
            by.clone_into(old);
        }
        self
    }

    /// As a line of a message.
    pub fn line(&self) -> String {
        next(&format!("isotel {}", paths(&self.0)))
    }
}

/// What to add to the message that a file cannot be read: the file or the files that were probably meant.
pub fn instead_of(path: &Path, error: &std::io::Error) -> String {
    let word = path.display().to_string();
    let meant = match error.kind() {
        IsADirectory => format!("{}/*", word.trim_end_matches('/')),
        NotFound => match beside(path) {
            Some(name) => path.with_file_name(name).display().to_string(),
            None => return String::new(),
        },
        _ => return String::new(),
    };
    Typed::now().replaced(&word, &meant).line()
}

/// The name of a file beside one that is not there.
fn beside(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_string_lossy().into_owned();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let files = std::fs::read_dir(folder).ok()?.flatten().filter(|entry| entry.path().is_file());
    let mut names: Vec<String> =
        files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    crate::model::nearest::nearest(&wanted, names.iter().map(String::as_str), EDITS).map(str::to_owned)
}

/// Whether a path is rather the id of a finding, such as `latency-22936d18`.
pub fn is_finding(path: &Path) -> bool {
    let id = path.to_string_lossy();
    let hash = id.rsplit_once('-').map_or("", |(_, hash)| hash);
    hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The command that was probably meant by one with files that no option names.
pub fn of_misuse(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(unexpected)) = error.get(ContextKind::InvalidArg) else { return None };
    let typed = Typed::now();
    let (command, rest) = typed.0.split_first()?;
    let files = rest.iter().take_while(|word| !word.starts_with('-')).count();
    let (files, rest) = rest.split_at(files);
    if error.kind() != ErrorKind::UnknownArgument || files.first() != Some(unexpected) {
        return None;
    }
    let mut meant = vec![command.clone()];
    match (&**command, files) {
        ("run" | "validate", [file]) => meant.extend(["--config".to_owned(), file.clone()]),
        ("judge" | "coverage", [baseline, candidate]) => {
            meant.extend(["--baseline", baseline, "--candidate", candidate].map(str::to_owned));
        }
        ("judge" | "coverage" | "init", files) => {
            meant.push("--input".to_owned());
            meant.extend_from_slice(files);
        }
        ("report", [place]) => {
            let option = match Path::new(place).is_dir() {
                true => "--storage",
                false if place.contains("://") => "--agent",
                false => "--history",
            };
            meant.extend([option.to_owned(), place.clone()]);
        }
        _ => return None,
    }
    meant.extend_from_slice(rest);
    Some(Typed(meant).line())
}
