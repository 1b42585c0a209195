//! The dashboard of the running gateway, as its operator sees it.

mod changes;
mod figures;
mod keyboard;
mod link;
mod looks;
mod token;

use serde_json::{Value, json};

use crate::browser::gateway::{Admin, Gateway, Visitor};
use crate::browser::webdriver::{Page, Result};
use crate::browser::{until, with_browser};

/// Has a browser open the dashboard of a new gateway with its demo.
async fn watch<F>(test: &'static str, visit: impl FnOnce(Page, Dashboard) -> F + 'static)
where
    F: Future<Output = Result<()>> + 'static,
{
    with_browser(test, move |page| async move {
        let gateway = Gateway::start(test).await?;
        listen_for_violations(&page).await?;
        page.go(&gateway.monitor.url()).await?;
        live(&page).await;
        visit(page, Dashboard { url: gateway.url.clone(), admin: gateway.monitor }).await
    })
    .await;
}

struct Dashboard {
    /// Of what the gateway serves.
    url: String,
    admin: Admin,
}

impl Dashboard {
    /// A number of visitors, each making a number of requests.
    async fn visits(&self, visitors: usize, times: usize) -> Result<()> {
        for _ in 0..visitors {
            let mut visitor = Visitor::default();
            for _ in 0..times {
                visitor.instance(&self.url).await?;
            }
        }
        Ok(())
    }
}

/// Has every page from here on note what its policy has kept from happening.
async fn listen_for_violations(page: &Page) -> Result<()> {
    let source = "window.violations = []; \
                  addEventListener('securitypolicyviolation', event => violations.push(`${event.violatedDirective} ${event.blockedURI}`))";
    page.command("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source })).await.map(drop)
}

async fn violations(page: &Page) -> Result<Value> {
    page.run("return window.violations").await
}

/// Waits until the page shows what the gateway says now.
async fn live(page: &Page) {
    shows(page, "#link-text", "Live").await;
    until(page, "there are instances", async |page| Ok(page.attribute(".card", "data-state").await?.is_some())).await;
}

async fn shows(page: &Page, selector: &str, text: &str) {
    let what = format!("{selector} shows {text:?}");
    until(page, &what, async |page| Ok(page.text(selector).await? == text)).await;
}

/// Waits until what is shown has such a part.
async fn tells(page: &Page, selector: &str, part: &str) {
    let what = format!("{selector} tells of {part:?}");
    until(page, &what, async |page| Ok(page.text(selector).await?.contains(part))).await;
}

fn card(name: &str) -> String {
    format!("[data-instance={name:?}]")
}

/// Waits until the card says so, in words too.
async fn state(page: &Page, name: &str, states: &[&str]) {
    until(page, &format!("{name} is {states:?}"), async |page| {
        let shown = page.attribute(&card(name), "data-state").await?.unwrap_or_default();
        Ok(states.contains(&&*shown) && page.text(&format!("{} .state", card(name))).await? == shown)
    })
    .await;
}

/// Whether the dialog is open.
async fn asks(page: &Page) -> Result<bool> {
    Ok(page.attribute("#dialog", "open").await?.is_some())
}

async fn closed(page: &Page) {
    until(page, "the dialog is closed", async |page| Ok(!asks(page).await?)).await;
}

/// Presses a button of an instance's card, and waits for the dialog.
async fn press(page: &Page, name: &str, button: &str) -> Result<()> {
    page.click(&format!("{} .{button}", card(name))).await?;
    until(page, "the dialog is open", asks).await;
    Ok(())
}

/// Replaces the text of a field of the dialog.
async fn fill(page: &Page, field: &str, text: &str) -> Result<()> {
    page.run(&format!("document.getElementById('field-{field}').select()")).await?;
    page.press(&format!("#field-{field}"), text).await
}
