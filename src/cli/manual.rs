//! `isotel completions` and `isotel man`: the command line, told to shells and to `man`.

use super::{Cli, Failure, complain, write_out};
use clap::CommandFactory;
use clap_complete::Shell;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct CompletionsArgs {
    /// For which shell
    shell: Shell,
}

#[derive(clap::Args)]
pub struct ManArgs {
    /// Where the pages go; it is made if it is not there
    folder: PathBuf,
}

pub fn completions(args: &CompletionsArgs) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "isotel", &mut script);
    write_out(None, &String::from_utf8_lossy(&script))?;
    Ok(0)
}

pub fn man(args: &ManArgs) -> Result<u8, Failure> {
    let folder = args.folder.display();
    std::fs::create_dir_all(&args.folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.folder))
        .map_err(|error| Failure::Io(format!("error: cannot write pages into {folder}: {error}")))?;
    complain(&format!("wrote the pages; read the first with: man -l {folder}/isotel.1"));
    Ok(0)
}
