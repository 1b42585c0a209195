//! Everything is done without a mouse.

use super::{asks, card, closed, press, shows, state, tells, watch};
use crate::browser::until;
use crate::browser::webdriver::{Page, Result};
use crate::support::test;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const SHIFT_TAB: &str = "\u{e008}\u{e004}";

/// Presses Tab until the focus is on the element that the expression selects, and checks that the focus is visible.
async fn tab_to(page: &Page, holds: &str) -> Result<()> {
    for _ in 0..100 {
        page.keys(TAB).await?;
        let seen = page.run("const style = getComputedStyle(document.activeElement); return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2").await?;
        let at = page.run("return document.activeElement.outerHTML.slice(0, 80)").await?;
        assert_eq!(seen, true, "the focus does not show on {at}");
        if page.run(&format!("const at = document.activeElement; return {holds}")).await? == true {
            return Ok(());
        }
    }
    Err(format!("no Tab leads to where {holds}").into())
}

#[test]
async fn an_instance_is_drained_and_resumed_by_keyboard_alone() {
    watch("dashboard-keyboard", |page, dashboard| async move {
        dashboard.visits(10, 1).await?;
        tab_to(&page, "at.id === 'add'").await?;
        tab_to(&page, "at.matches('[data-instance=app-3] .drain')").await?;
        page.keys(ENTER).await?;
        until(&page, "the dialog is open", asks).await;
        tells(&page, "#dialog-lead", "It takes no new sessions").await;
        page.keys(ESCAPE).await?;
        closed(&page).await;
        assert_eq!(dashboard.admin.upstream("app-3").await?["state"], "active", "Escape changes nothing");
        assert_eq!(page.run("return document.activeElement.matches('[data-instance=app-3] .drain')").await?, true);

        page.keys(ENTER).await?;
        until(&page, "the dialog is open", asks).await;
        assert_eq!(page.run("return document.activeElement.id").await?, "field-deadline");
        page.keys("soon").await?;
        page.keys(ENTER).await?;
        tells(&page, "#dialog-note", "is no duration").await;
        assert_eq!(dashboard.admin.upstream("app-3").await?["state"], "active");
        page.run("document.activeElement.select()").await?;
        page.keys("10m").await?;
        tab_to(&page, "at.id === 'cancel'").await?;
        tab_to(&page, "at.id === 'confirm'").await?;
        page.keys(ENTER).await?;
        closed(&page).await;
        state(&page, "app-3", &["draining"]).await;
        assert_eq!(dashboard.admin.upstream("app-3").await?["state"], "draining");
        tells(&page, "#log", "drain within 600 s").await;

        shows(&page, &format!("{} .drain", card("app-3")), "Resume…").await;
        assert_eq!(page.run("return document.activeElement.textContent").await?, "Resume…", "the focus stays");
        page.keys(ENTER).await?;
        until(&page, "the dialog is open", asks).await;
        tab_to(&page, "at.id === 'confirm'").await?;
        page.keys(ENTER).await?;
        closed(&page).await;
        state(&page, "app-3", &["warming", "active"]).await;
        Ok(())
    })
    .await;
}

#[test]
async fn every_control_has_a_name_and_the_dialog_keeps_the_focus() {
    watch("dashboard-names", |page, _dashboard| async move {
        let nameless = "return [...document.querySelectorAll('button, input, [role=img], [role=log], dialog')]
            .filter(control => !control.closest('template') && control.checkVisibility())
            .filter(control => !(control.ariaLabel || control.textContent.trim() || control.labels?.length || control.getAttribute('aria-labelledby')))
            .map(control => control.outerHTML)";
        until(&page, "the plot has a name", async |page| {
            Ok(page.attribute("#chart", "aria-label").await?.is_some_and(|label| label.contains("app-1")))
        })
        .await;
        assert_eq!(page.run(nameless).await?, serde_json::json!([]));
        press(&page, "app-1", "weight").await?;
        assert_eq!(page.run(nameless).await?, serde_json::json!([]));
        for _ in 0..8 {
            page.keys(TAB).await?;
            let inside = "const at = document.activeElement; return at === document.body || document.getElementById('dialog').contains(at)";
            assert_eq!(page.run(inside).await?, true, "the focus is behind the dialog");
        }
        page.keys(SHIFT_TAB).await?;
        Ok(())
    })
    .await;
}
