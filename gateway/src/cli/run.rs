//! `homing run`: a gateway by its configuration file.

use super::output::{Error, print_line};
use homing_gateway::{Gateway, Inherited};
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Signals:
  TERM, INT   stop accepting, let requests and tunnels finish for up to [timeouts] shutdown, exit
  HUP         read the configuration again, as a change of its file does; a faulty one changes nothing
  USR2        upgrade in place: start the program anew with the same arguments, and hand all sockets over to it

Examples:
  homing run --config /etc/homing/homing.toml
  homing run --config homing.toml --log info,homing::access=off";

/// Run a gateway.
///
/// It prints the addresses on which it accepts, and logs to stderr. It uses the sockets that systemd passes.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// Its configuration, TOML. Files that it names are relative to its folder.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    config: PathBuf,
}

pub fn run(arguments: &Arguments, inherited: Inherited) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let gateway = Gateway::start(&arguments.config, inherited).await?;
        if let Some(address) = gateway.admin_address() {
            print_line(&format!("administration on http://{address}"))?;
        }
        let scheme = if gateway.has_tls() { "https" } else { "http" };
        for address in gateway.addresses() {
            print_line(&format!("listening on {scheme}://{address}"))?;
        }
        gateway.run().await;
        Ok(())
    })
}
