//! The gateway's demo as a real browser sees it.

mod buttons;
mod dashboard;
mod gateway;
mod webdriver;

use crate::support::test;
use std::path::Path;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use crate::support::program::find;
use gateway::Gateway;
use webdriver::{Driver, Page, Result};

/// How long a change may take to show. Only a failing test waits this long.
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
async fn a_browser_stays_with_its_instance_and_survives_its_death() {
    browse("stays", visit).await;
}

/// Has a browser visit a new gateway's demo. Both are named after `test` where it fails.
async fn browse<F>(test: &'static str, visit: impl FnOnce(Page, String) -> F + 'static)
where
    F: Future<Output = Result<()>> + 'static,
{
    with_browser(test, move |page| async move {
        let gateway = Gateway::start(test).await?;
        visit(page, gateway.url.clone()).await
    })
    .await;
}

/// Opens a browser, and closes it whatever comes of its visit.
async fn with_browser<F>(test: &str, visit: impl FnOnce(Page) -> F)
where
    F: Future<Output = Result<()>> + 'static,
{
    let (Some(driver), Some(browser)) = (find("chromedriver"), find("chromium")) else {
        return;
    };
    let profile = tempfile::tempdir().unwrap();
    let driver = Driver::start(&driver).await.unwrap();
    let page = driver.open(&browser, profile.path()).await.unwrap();

    // A task of its own, so that the browser is closed whatever comes of it.
    let local = LocalSet::new();
    let visited = local.run_until(local.spawn_local(visit(page.clone()))).await;
    if !matches!(visited, Ok(Ok(()))) {
        picture(&page, &format!("{test}.png")).await.unwrap();
    }
    page.close().await.unwrap();
    visited.unwrap().unwrap();
}

async fn visit(page: Page, url: String) -> Result<()> {
    page.go(&url).await?;
    let first = page.text("#instance").await?;
    assert!(first.starts_with("app-"), "no instance is shown, but {first:?}");
    assert_eq!(page.text("#visits").await?, "1");
    socket_at(&page, &first).await;

    // Three times: chance alone would stay with one of five as often as once in 125.
    for visits in ["2", "3", "4"] {
        page.reload().await?;
        assert_eq!(page.text("#instance").await?, first, "the reload went elsewhere");
        assert_eq!(page.text("#visits").await?, visits);
        socket_at(&page, &first).await;
    }
    page.press("#message", "Are you there?\u{e007}").await?;
    log_has(&page, &format!("{first}: Are you there? visit 4")).await;

    page.click("#kill").await?;
    until(&page, "another instance serves", async |page| Ok(page.text("#instance").await? != first)).await;
    let second = page.text("#instance").await?;
    assert_eq!(page.text("#visits").await?, "1", "the dead instance's memory can't have been kept");
    socket_at(&page, &second).await;
    page.press("#message", "And you?\u{e007}").await?;
    log_has(&page, &format!("{second}: And you? visit 1")).await;

    let card = format!("[data-instance={first}]");
    alive(&page, &card, "false").await;
    picture(&page, "demo.png").await?;
    page.click(&format!("{card} .revive")).await?;
    alive(&page, &card, "true").await;
    assert_eq!(page.attribute(&card, "data-incarnation").await?.as_deref(), Some("2"));

    for visits in ["2", "3"] {
        page.reload().await?;
        assert_eq!(page.text("#instance").await?, second, "the session went back, where nobody knows it");
        assert_eq!(page.text("#visits").await?, visits);
        socket_at(&page, &second).await;
    }
    alive(&page, &card, "true").await;
    Ok(())
}

/// Keeps what the browser shows in `target`: as `demo.png` the switch to another instance, or where a test failed.
async fn picture(page: &Page, name: &str) -> Result<()> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("no target folder")?;
    Ok(std::fs::write(target.join(name), page.screenshot().await?)?)
}

async fn socket_at(page: &Page, instance: &str) {
    until(page, &format!("the socket is open to {instance}"), async |page| {
        let state = page.text("#socket-state").await?;
        Ok(state == "open" && page.text("#socket-instance").await? == instance)
    })
    .await;
}

async fn log_has(page: &Page, line: &str) {
    until(page, &format!("the log has {line:?}"), async |page| {
        Ok(page.text("#log").await?.lines().any(|logged| logged == line))
    })
    .await;
}

async fn alive(page: &Page, card: &str, state: &str) {
    until(page, &format!("{card} has data-alive={state}"), async |page| {
        Ok(page.attribute(card, "data-alive").await?.as_deref() == Some(state))
    })
    .await;
}

/// Asks until `condition` holds. An error is "not yet": pages replace their elements while one looks.
async fn until(page: &Page, what: &str, condition: impl AsyncFn(&Page) -> Result<bool>) {
    let mut last = None;
    let holds = timeout(DEADLINE, async {
        loop {
            match condition(page).await {
                Ok(true) => return,
                Ok(false) => last = None,
                Err(error) => last = Some(error),
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    let held = holds.await.is_ok();
    assert!(held, "waited in vain: {what} ({last:?})");
}
