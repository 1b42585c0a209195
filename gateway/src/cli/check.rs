//! `homing check`: everything that a start or a reload of the configuration checks, without a gateway.

use super::output::{Error, print_line};
use homing_gateway::config::GatewayConfig;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Exit status:
  0   the configuration is valid, which is printed as \"FILE: valid\"
  1   it is not; the first error is printed to stderr as FILE:LINE:COLUMN: KEY: MESSAGE
  2   wrong arguments

Examples:
  homing check --config homing.toml && systemctl reload homing";

/// Check a configuration, and the keys, certificates and state that it names.
///
/// It opens no socket, writes nothing and asks no discovery source.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// The configuration, TOML.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    config: PathBuf,
}

/// Errors begin with their place, so that editors find it.
pub fn check(arguments: &Arguments) -> ExitCode {
    match checked(&arguments.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn checked(path: &Path) -> Result<(), Error> {
    homing_gateway::check(&GatewayConfig::load(path)?)?;
    print_line(&format!("{}: valid", path.display()))
}
