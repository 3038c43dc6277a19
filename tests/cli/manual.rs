//! `completions` and `man`, as a real bash and a real groff take them.
#![allow(clippy::print_stderr, reason = "says what is missing")]

use crate::{end, isotel};
use std::path::Path;
use std::process::Command;

/// What bash would offer after these words.
fn offered(words: &[&str]) -> Vec<String> {
    let script = end(&mut isotel(&["completions", "bash"])).stdout;
    let last = words.len() - 1;
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let ask = format!(
        "{script}\nCOMP_WORDS=({}); COMP_CWORD={last}\n_isotel isotel '{}' '{}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words[last],
        words[last - 1],
    );
    let output = Command::new("bash").args(["--norc", "-c", &ask]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    for (words, expected) in [
        (&["isotel", "ju"][..], &["judge"][..]),
        (&["isotel", "judge", "--fo"], &["--format"]),
        (&["isotel", "judge", "--format", "ma"], &["markdown"]),
        (&["isotel", "config", "l"], &["limits"]),
        (&["isotel", "catalog", "i"], &["infer"]),
    ] {
        assert_eq!(offered(words), expected, "{words:?}");
    }
}

/// What another shell says when it is asked beside our script, `_isotel`; `None`, told on standard error, where it is not there.
///
/// # Panics
/// With `CI=true`, when it is not there.
fn asked(shell: &str, flags: &[&str], script_of: &str, ask: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let script = end(&mut isotel(&["completions", script_of])).stdout;
    std::fs::write(folder.path().join("_isotel"), script).unwrap();
    match Command::new(shell).args(flags).arg(ask).current_dir(folder.path()).output() {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => {
            let missing = format!("missing peer: {shell}: {error}; run tests/peers/setup shells");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
            eprintln!("skipped, and nothing shown: {missing}");
            None
        }
    }
}

#[test]
fn fish_completes_commands_and_values() {
    let ask = "source _isotel; complete -C 'isotel ju'; complete -C 'isotel judge --format ma'";
    let Some(said) = asked("fish", &["--no-config", "-c"], "fish", ask) else { return };
    let offered: Vec<&str> = said.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(offered, ["judge", "markdown"]);
}

#[test]
fn zsh_completes_commands_and_values() {
    // Completion needs a terminal, which zpty is. The last line is not what it prints, so that it is waited for.
    let ask = r#"
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1=; fpath=($PWD \$fpath); autoload -U compinit; compinit -u -D; bindkey '^I' complete-word; echo rea''dy"
zpty -r z said '*ready*'
zpty -n -w z $'isotel ju\t\C-u'
zpty -n -w z $'isotel judge --format ma\t\C-u'
zpty -w z "echo do''ne"
zpty -r z said '*done*'
print -r -- "$said""#;
    let Some(said) = asked("zsh", &["-f", "-c"], "zsh", ask) else { return };
    assert!(said.contains("isotel judge") && said.contains("--format markdown"), "{said}");
}

#[test]
fn there_are_completions_for_each_shell_and_another_one_names_them() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = end(&mut isotel(&["completions", shell])).stdout;
        assert!(script.contains("isotel") && script.contains("fail-on"), "{shell}");
    }
    let ended = end(&mut isotel(&["completions", "csh"]));
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("zsh"), "{}", ended.stderr);
}

/// What groff warns of in a page; `None`, told on standard error, where there is no groff.
fn warnings(page: &Path) -> Option<String> {
    match Command::new("groff").args(["-man", "-ww", "-z", "-Tutf8", "-Kutf8"]).arg(page).output() {
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => {
            eprintln!("groff: {error}: pages are not read by it");
            None
        }
    }
}

#[test]
fn every_command_has_a_page_that_groff_reads_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("man1");
    assert_eq!(end(isotel(&["man"]).arg(&folder)).code, 0);
    for name in ["isotel", "isotel-run", "isotel-judge", "isotel-catalog-infer", "isotel-init"] {
        let page = folder.join(format!("{name}.1"));
        assert!(std::fs::read_to_string(&page).unwrap().contains(".SH SYNOPSIS"), "{name}");
        assert_eq!(warnings(&page).unwrap_or_default(), "", "{name}");
    }
    let first = std::fs::read_to_string(folder.join("isotel.1")).unwrap();
    assert!(first.contains("Exit codes"), "{first}");
}
