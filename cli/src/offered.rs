//! `teegate completions` and `teegate man`: what the command says of itself, for shells and for `man`. Made from the same tree of
//! options that reads the command line, so that neither can fall behind.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use crate::output::{self, plain};
use crate::{exit, help};

/// Write a script that completes commands and options, for your shell.
#[derive(Args)]
#[command(after_help = help::COMPLETIONS)]
pub(crate) struct CompletionsArgs {
    /// The shell that reads it
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

/// Write the manual pages, one a command.
#[derive(Args)]
#[command(after_help = help::MAN)]
pub(crate) struct ManArgs {
    /// The folder to write `teegate.1` and its like into; it is made if it does not exist
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
}

/// Writes the script of `command` to standard output.
pub(crate) fn completions(args: &CompletionsArgs, mut command: clap::Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "teegate", &mut script);
    output::finish(&String::from_utf8_lossy(&script), exit::ACCEPTED)
}

/// Writes the pages of `command` into the folder.
pub(crate) fn man(args: &ManArgs, command: clap::Command) -> ExitCode {
    match write(&args.into, command) {
        Ok(()) => output::finish(&format!("Read them with `man -l {}/teegate.1`\n", shown(&args.into)), exit::ACCEPTED),
        Err(cause) => output::fail(&format!("`{}`: cannot be written into: {cause}", shown(&args.into))),
    }
}

fn write(folder: &Path, command: clap::Command) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command, folder)
}

fn shown(path: &Path) -> String {
    plain(&path.display().to_string())
}
