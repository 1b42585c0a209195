//! What the page shows when its connection to the gateway is down.

use crate::support::test;
use std::net::TcpListener;

use serde_json::Value;

use super::{card, live, shows, tells};
use crate::browser::gateway::Gateway;
use crate::browser::{until, with_browser};

#[test]
async fn a_gateway_that_stops_is_missed_and_welcomed_back() {
    with_browser("dashboard-link", |page| async move {
        let folder = tempfile::tempdir()?;
        let admin = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let file = folder.path().join("gateway.toml");
        let config = format!(
            "listen = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"{admin}\"\n[[upstream]]\nname = \"app-1\"\naddress = \"127.0.0.1:1\"\n"
        );
        std::fs::write(&file, config)?;
        let gateway = Gateway::configured("dashboard-link", &file).await?;
        page.go(&gateway.monitor.url()).await?;
        live(&page).await;
        gateway.monitor.ask("POST", "/api/v1/upstreams/app-1/drain", Value::Null).await?;
        tells(&page, "#log", "drain").await;

        gateway.stop().await?;
        tells(&page, "#link-text", "Connection lost: these figures are old").await;
        until(&page, "their age grows", async |page| {
            let age = page.text("#link-age").await?;
            Ok(age.split_once(" s").is_some_and(|(seconds, _)| seconds.parse::<u64>().is_ok_and(|age| age >= 3)))
        })
        .await;
        shows(&page, "#stream", "interrupted").await;
        shows(&page, &format!("{} h3", card("app-1")), "app-1").await;

        let gateway = Gateway::configured("dashboard-link", &file).await?;
        live(&page).await;
        shows(&page, "#stream", "").await;
        // Ids of the process before mean nothing to this one: it begins anew, and loses nothing.
        gateway.monitor.ask("PUT", "/api/v1/upstreams/app-2", serde_json::json!({ "address": "127.0.0.1:2" })).await?;
        tells(&page, "#log", "app-2: added").await;
        shows(&page, &format!("{} h3", card("app-2")), "app-2").await;
        Ok(())
    })
    .await;
}
