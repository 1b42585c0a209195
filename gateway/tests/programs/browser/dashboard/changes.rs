//! What is done by the page is explained first, and is done only when it is confirmed.

use crate::support::test;
use serde_json::{Value, json};

use super::{Dashboard, asks, card, closed, fill, press, shows, tells, watch};
use crate::browser::until;
use crate::browser::webdriver::Result;

impl Dashboard {
    async fn generation(&self) -> Result<Value> {
        Ok(self.admin.get("/api/v1/upstreams").await?["generation"].take())
    }

    async fn has(&self, name: &str) -> Result<bool> {
        Ok(self.admin.upstreams().await?.iter().any(|upstream| upstream["name"] == name))
    }
}

#[test]
async fn removing_is_explained_before_it_is_confirmed() {
    watch("dashboard-remove", |page, dashboard| async move {
        dashboard.visits(10, 1).await?;
        press(&page, "app-2", "remove").await?;
        tells(&page, "#plan-lines", "app-2: removed").await;
        let plan = json!({ "changes": [{ "remove": "app-2" }] });
        let plan = dashboard.admin.ask("POST", "/api/v1/plan", plan).await?;
        let broken = format!("about {} live sessions break", plan["broken_sessions"]);
        tells(&page, "#plan-lines", &broken).await;
        tells(&page, "#plan-lines", "4 of 4 upstreams accept").await;
        page.click("#cancel").await?;
        closed(&page).await;
        assert!(dashboard.has("app-2").await? && dashboard.generation().await? == 1, "nothing has changed");

        press(&page, "app-2", "remove").await?;
        tells(&page, "#plan-lines", "app-2: removed").await;
        shows(&page, "#confirm", "Remove it").await;
        page.click("#confirm").await?;
        closed(&page).await;
        let gone = async |_: &crate::browser::webdriver::Page| Ok(page.text(&card("app-2")).await.is_err());
        until(&page, "its card is gone", gone).await;
        assert!(!dashboard.has("app-2").await?);
        shows(&page, "#totals [data-figure=generation]", "2").await;
        tells(&page, "#log", "app-2: removed").await;
        let focused = page.run("return document.activeElement.id").await?;
        assert_eq!(focused, "all-title", "the focus is not lost with the card");
        Ok(())
    })
    .await;
}

#[test]
async fn weights_are_changed_and_instances_added_by_a_plan() {
    watch("dashboard-put", |page, dashboard| async move {
        press(&page, "app-1", "weight").await?;
        shows(&page, "#confirm", "Show what it would do").await;
        fill(&page, "weight", "7").await?;
        page.click("#confirm").await?;
        tells(&page, "#plan-lines", "app-1: changed").await;
        assert_eq!(dashboard.admin.upstream("app-1").await?["weight"], 1, "it is a plan still");
        fill(&page, "weight", "3").await?;
        shows(&page, "#confirm", "Show what it would do").await;
        page.click("#confirm").await?;
        shows(&page, "#confirm", "Change it").await;
        page.click("#confirm").await?;
        closed(&page).await;
        assert_eq!(dashboard.admin.upstream("app-1").await?["weight"], 3);
        shows(&page, &format!("{} [data-figure=weight]", card("app-1")), "3").await;

        page.click("#add").await?;
        fill(&page, "name", "app-9").await?;
        fill(&page, "address", "nowhere").await?;
        page.click("#confirm").await?;
        tells(&page, "#dialog-note", "use host:port").await;
        fill(&page, "address", "127.0.0.1:1").await?;
        page.click("#confirm").await?;
        tells(&page, "#plan-lines", "app-9: added").await;
        shows(&page, "#dialog-note", "").await;
        page.click("#confirm").await?;
        closed(&page).await;
        assert!(dashboard.has("app-9").await?);
        shows(&page, &format!("{} h3", card("app-9")), "app-9").await;
        Ok(())
    })
    .await;
}

#[test]
async fn what_has_changed_meanwhile_is_planned_again() {
    watch("dashboard-conflict", |page, dashboard| async move {
        press(&page, "app-2", "remove").await?;
        shows(&page, "#plan-base", "1").await;
        dashboard.admin.ask("DELETE", "/api/v1/upstreams/app-3", Value::Null).await?;
        page.click("#confirm").await?;
        tells(&page, "#dialog-note", "The cluster has changed meanwhile").await;
        shows(&page, "#plan-base", "2").await;
        tells(&page, "#plan-lines", "3 of 3 upstreams accept").await;
        assert!(dashboard.has("app-2").await? && asks(&page).await?, "nothing was done");
        page.click("#confirm").await?;
        closed(&page).await;
        assert!(!dashboard.has("app-2").await?);

        for name in ["app-4", "app-5"] {
            dashboard.admin.ask("DELETE", &format!("/api/v1/upstreams/{name}"), Value::Null).await?;
        }
        press(&page, "app-1", "remove").await?;
        let refused = dashboard.admin.ask("DELETE", "/api/v1/upstreams/app-1", Value::Null).await.unwrap_err();
        let refused: Value = serde_json::from_str(&refused.to_string())?;
        assert_eq!(refused["code"], "last_upstream");
        tells(&page, "#dialog-note", refused["detail"].as_str().unwrap()).await;
        Ok(())
    })
    .await;
}
