//! What the demo's buttons do to instances, and what their visitors see of it.

use crate::support::test;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{DEADLINE, browse, log_has, picture, socket_at, until};
use crate::browser::gateway::Visitor;
use crate::browser::webdriver::{Page, Result};

const ALL: [&str; 5] = ["app-1", "app-2", "app-3", "app-4", "app-5"];

fn card(instance: &str) -> String {
    format!("[data-instance={instance}]")
}

/// Opens the demo, and returns the name of the instance that serves the page.
async fn open(page: &Page, url: &str) -> Result<String> {
    page.go(url).await?;
    let first = page.text("#instance").await?;
    socket_at(page, &first).await;
    state(page, &first, &["active"]).await;
    Ok(first)
}

/// Waits until the instance is shown in one of those states.
async fn state(page: &Page, instance: &str, states: &[&str]) {
    until(page, &format!("{instance} is {states:?}"), async |page| {
        let shown = page.attribute(&card(instance), "data-state").await?;
        Ok(shown.is_some_and(|shown| states.contains(&&*shown)))
    })
    .await;
}

/// Waits until a button of the instance's card is pressed, or not.
async fn pressed(page: &Page, instance: &str, button: &str, state: &str) {
    until(page, &format!("{button} of {instance} is pressed: {state}"), async |page| {
        let shown = page.attribute(&format!("{} .{button}", card(instance)), "aria-pressed").await?;
        Ok(shown.as_deref() == Some(state))
    })
    .await;
}

async fn press(page: &Page, instance: &str, button: &str) -> Result<()> {
    page.click(&format!("{} .{button}", card(instance))).await
}

/// Waits until another instance serves the page and its WebSocket, and returns that instance's name.
async fn moved_from(page: &Page, first: &str) -> Result<String> {
    until(page, "another instance serves", async |page| Ok(page.text("#instance").await? != first)).await;
    let second = page.text("#instance").await?;
    socket_at(page, &second).await;
    Ok(second)
}

/// The page is served by that instance, which counts on.
async fn stays(page: &Page, instance: &str) -> Result<()> {
    for _ in 0..2 {
        let visits: u64 = page.text("#visits").await?.parse()?;
        page.reload().await?;
        assert_eq!(page.text("#instance").await?, instance);
        assert_eq!(page.text("#visits").await?, (visits + 1).to_string());
    }
    socket_at(page, instance).await;
    Ok(())
}

/// Where ten new visitors are served: by chance on one of those with the fewest requests, so not where a socket is open.
async fn newcomers(url: &str) -> Result<Vec<String>> {
    let mut instances = Vec::new();
    for _ in 0..10 {
        instances.push(Visitor::default().instance(url).await?);
    }
    Ok(instances)
}

async fn newcomers_come_to(page: &Page, url: &str, instance: &str) {
    let come = async |_: &Page| Ok(newcomers(url).await?.iter().any(|name| name == instance));
    until(page, &format!("newcomers come to {instance}"), come).await;
}

#[test]
async fn visitors_of_an_instance_that_hangs_are_served_on_by_another() {
    browse("hang", |page, url| async move {
        let first = open(&page, &url).await?;
        press(&page, &first, "hang").await?;
        let second = moved_from(&page, &first).await?;
        pressed(&page, &first, "hang", "true").await;
        state(&page, &first, &["down"]).await;
        assert!(!newcomers(&url).await?.contains(&first));

        press(&page, &first, "hang").await?;
        pressed(&page, &first, "hang", "false").await;
        state(&page, &first, &["warming", "active"]).await;
        newcomers_come_to(&page, &url, &first).await;
        stays(&page, &second).await
    })
    .await;
}

#[test]
async fn a_full_instance_keeps_its_visitors_and_gets_no_more() {
    browse("full", |page, url| async move {
        let first = open(&page, &url).await?;
        press(&page, &first, "full").await?;
        state(&page, &first, &["full"]).await;
        stays(&page, &first).await?;
        press(&page, &first, "full").await?;
        state(&page, &first, &["active"]).await;

        let mut visitor = Visitor::default();
        let other = visitor.instance(&url).await?;
        newcomers_come_to(&page, &url, &other).await;
        press(&page, &other, "full").await?;
        state(&page, &other, &["full"]).await;
        assert!(!newcomers(&url).await?.contains(&other));
        assert_eq!(visitor.instance(&url).await?, other);
        press(&page, &other, "full").await?;
        newcomers_come_to(&page, &url, &other).await;
        stays(&page, &first).await
    })
    .await;
}

#[test]
async fn a_drained_instance_lets_its_visitors_go_and_takes_no_more() {
    browse("drain", |page, url| async move {
        let first = open(&page, &url).await?;
        press(&page, &first, "drain").await?;
        state(&page, &first, &["draining"]).await;
        stays(&page, &first).await?;

        let second = moved_from(&page, &first).await?;
        let log = page.text("#log").await?;
        assert!(log.contains("connection closed (1012)"), "the socket was not closed in order: {log}");
        assert!(!newcomers(&url).await?.contains(&first));
        press(&page, &first, "drain").await?;
        state(&page, &first, &["warming", "active"]).await;
        newcomers_come_to(&page, &url, &first).await;
        stays(&page, &second).await
    })
    .await;
}

#[test]
async fn all_are_restarted_while_visitors_are_served() {
    browse("roll", |page, url| async move {
        open(&page, &url).await?;
        let mut visitor = Visitor::default();
        let mut served_by = vec![visitor.instance(&url).await?];
        page.press("#roll", "\u{e007}").await?;
        until(&page, "it begins", async |page| Ok(page.text("#progress").await?.starts_with("0 of 5"))).await;
        let rolled = timeout(2 * DEADLINE, async {
            for name in ALL {
                while page.attribute(&card(name), "data-incarnation").await?.as_deref() != Some("2") {
                    let instance = visitor.instance(&url).await?;
                    served_by.extend(Some(instance).filter(|instance| served_by.last() != Some(instance)));
                    sleep(Duration::from_millis(50)).await;
                }
                if name == "app-2" {
                    picture(&page, "roll.png").await?;
                }
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        });
        rolled.await.map_err(|_| "the rolling restart does not end")??;
        assert!(served_by.len() > 1, "restarted without a move: {served_by:?}");
        until(&page, "it ends", async |page| Ok(page.text("#progress").await? == "All are restarted.")).await;
        for name in ALL {
            state(&page, name, &["warming", "active"]).await;
        }
        let last = page.text("#instance").await?;
        socket_at(&page, &last).await;
        page.press("#message", "Still there?\u{e007}").await?;
        let visits = page.text("#visits").await?;
        log_has(&page, &format!("{last}: Still there? visit {visits}")).await;
        stays(&page, &last).await
    })
    .await;
}
