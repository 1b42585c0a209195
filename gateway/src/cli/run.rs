//! `homing --config FILE`: runs a gateway, or checks its configuration.

use super::output::{Error, print_line};
use homing_gateway::config::GatewayConfig;
use homing_gateway::{Gateway, Inherited};
use std::path::Path;

pub fn check(path: &Path) -> Result<(), Error> {
    homing_gateway::check(&GatewayConfig::load(path)?)?;
    print_line(&format!("{}: valid", path.display()))
}

pub fn run(path: &Path, inherited: Inherited) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let gateway = Gateway::start(path, inherited).await?;
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
