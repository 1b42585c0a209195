//! `homing completions`: what completes these commands and options in a shell.

use super::output::Error;
use clap::CommandFactory;
use clap_complete::Shell;
use std::io::Write;

const AFTER_HELP: &str = "\
Examples:
  homing completions bash >~/.local/share/bash-completion/completions/homing
  homing completions zsh >/usr/local/share/zsh/site-functions/_homing
  homing completions fish >~/.config/fish/completions/homing.fish";

/// Print the completions of these commands and options for a shell.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    shell: Shell,
}

pub fn print(arguments: &Arguments) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), "homing", &mut script);
    Ok(std::io::stdout().lock().write_all(&script)?)
}
