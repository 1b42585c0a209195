//! `homing man`, for packages: writes the manual pages of all commands into a folder.

use super::output::Error;
use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Write the manual pages, `homing.1` and one for each command.
#[derive(clap::Args)]
pub struct Arguments {
    /// An existing folder, such as /usr/local/share/man/man1.
    #[arg(value_hint = clap::ValueHint::DirPath)]
    folder: PathBuf,
}

pub fn write(arguments: &Arguments) -> Result<(), Error> {
    let mut program = super::Arguments::command().disable_help_subcommand(true);
    // Gives the commands their full names and the global options.
    program.build();
    let commands: Vec<_> = program.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    for command in std::iter::once(program).chain(commands) {
        page(command, &arguments.folder)?;
    }
    Ok(())
}

fn page(command: clap::Command, folder: &Path) -> Result<(), Error> {
    let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let has_commands = command.get_subcommands().any(|command| !command.is_hide_set());
    let page = Man::new(command).source(concat!("homing ", env!("CARGO_PKG_VERSION"))).manual("Homing");
    let path = folder.join(page.get_filename());
    let mut file = File::create(&path).map_err(|error| format!("{}: can't be written: {error}", path.display()))?;
    page.render_title(&mut file)?;
    page.render_name_section(&mut file)?;
    page.render_synopsis_section(&mut file)?;
    page.render_description_section(&mut file)?;
    page.render_options_section(&mut file)?;
    if has_commands {
        page.render_subcommands_section(&mut file)?;
    }
    Ok(sections(&notes).to_writer(&mut file)?)
}

/// The sections of an `after_help`: their titles stand at the left margin, and their lines as they are.
fn sections(notes: &str) -> Roff {
    let mut roff = Roff::new();
    for section in notes.split("\n\n") {
        let Some((title, lines)) = section.split_once(":\n") else { continue };
        roff.control("SH", [title.to_uppercase().as_str()]);
        roff.control("nf", []);
        for line in lines.lines() {
            roff.text([roman(line.trim_start())]);
        }
        roff.control("fi", []);
    }
    roff
}
