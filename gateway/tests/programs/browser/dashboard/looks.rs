//! Dark and light, on a phone, with one instance and with two hundred; and the pictures of the documentation.

use crate::support::test;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Dashboard, asks, card, press, shows, state, tells, watch};
use crate::browser::gateway::Visitor;
use crate::browser::webdriver::{Page, Result};
use crate::browser::{picture, until};

/// The texts that are seen and have less contrast than 4.5 to 1 (WCAG 2.1, 1.4.3), each with its contrast.
const FAINT: &str = "
    const parse = text => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return { r, g, b, a }; };
    const part = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const light = ({ r, g, b }) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    const behind = element => {
        for (let at = element; at; at = at.parentElement) {
            const ground = parse(getComputedStyle(at).backgroundColor);
            if (ground.a === 1) return ground;
        }
        throw new Error('no ground');
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const faint = []; let seen = 0;
    for (let text; text = texts.nextNode();) {
        const element = text.parentElement;
        if (!text.data.trim() || element.closest('template, script') || !element.checkVisibility()) continue;
        seen += 1;
        const style = getComputedStyle(element);
        const [a, b] = [light(parse(element.closest('svg') ? style.fill : style.color)), light(behind(element))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) faint.push(`${text.data.trim()}: ${contrast.toFixed(2)}`);
    }
    return seen > 50 ? faint : ['too few texts are seen'];";

/// How far the page could be moved sideways.
const SIDEWAYS: &str = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";

async fn scheme(page: &Page, scheme: &str) -> Result<()> {
    let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
    page.command("Emulation.setEmulatedMedia", json!({ "features": features })).await.map(drop)
}

async fn window(page: &Page, width: u32, height: u32) -> Result<()> {
    let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
    page.command("Emulation.setDeviceMetricsOverride", size).await.map(drop)
}

/// One instance in each state: killed, drained and full ones beside serving ones.
async fn variety(page: &Page, dashboard: &Dashboard) -> Result<()> {
    dashboard.admin.ask("POST", "/api/v1/upstreams/app-4/drain", json!({ "deadline": "10m" })).await?;
    let mut visitor = Visitor::default();
    visitor.order(&dashboard.url, "kill", "app-5").await?;
    visitor.order(&dashboard.url, "fill", "app-2").await?;
    for (name, shown) in [("app-4", "draining"), ("app-5", "down"), ("app-2", "full")] {
        state(page, name, &[shown]).await;
    }
    Ok(())
}

#[test]
async fn every_text_is_read_in_dark_and_in_light() {
    watch("dashboard-contrast", |page, dashboard| async move {
        dashboard.visits(6, 2).await?;
        variety(&page, &dashboard).await?;
        for (name, ground) in [("light", "rgb(244, 245, 247)"), ("dark", "rgb(15, 18, 23)")] {
            scheme(&page, name).await?;
            assert_eq!(page.run("return getComputedStyle(document.body).backgroundColor").await?, ground);
            assert_eq!(page.run(FAINT).await?, json!([]), "{name}");
            press(&page, "app-1", "weight").await?;
            page.click("#confirm").await?;
            tells(&page, "#plan-lines", "capacity").await;
            assert_eq!(page.run(FAINT).await?, json!([]), "{name}, the dialog");
            page.click("#cancel").await?;
        }
        // The control: a faint text is found.
        page.run("document.querySelector('h1').style.color = '#444'").await?;
        assert_eq!(page.run(FAINT).await?.as_array().unwrap().len(), 1);
        Ok(())
    })
    .await;
}

#[test]
async fn a_phone_never_scrolls_sideways() {
    watch("dashboard-phone", |page, dashboard| async move {
        let long = "a-rather-long-name-that-somebody-has-thought-out-for-an-instance-in-a-far-away-region".repeat(2);
        let put = json!({ "address": format!("{}example:8080", "subdomain.".repeat(12)) });
        dashboard.admin.ask("PUT", &format!("/api/v1/upstreams/{long}"), put).await?;
        variety(&page, &dashboard).await?;
        window(&page, 360, 740).await?;
        shows(&page, &format!("{} h3", card(&long)), &long).await;
        tells(&page, "#log", &long).await;
        assert_eq!(page.run("return innerWidth").await?, 360);
        assert_eq!(page.run(SIDEWAYS).await?, 0);
        for button in ["drain", "weight", "remove"] {
            page.run(&format!("document.querySelector('[data-instance=app-1] .{button}').click()")).await?;
            until(&page, "the dialog is open", asks).await;
            assert_eq!(page.run(SIDEWAYS).await?, 0, "{button}");
            let inside = "const box = document.getElementById('dialog').getBoundingClientRect(); return box.left >= 0 && box.right <= innerWidth && box.bottom <= innerHeight";
            assert_eq!(page.run(inside).await?, true, "{button}");
            page.click("#cancel").await?;
        }
        // The control: what is too wide is found.
        page.run("document.querySelector('h1').style.minWidth = '500px'").await?;
        assert_ne!(page.run(SIDEWAYS).await?, 0);
        Ok(())
    })
    .await;
}

#[test]
async fn one_instance_and_two_hundred_are_shown() {
    watch("dashboard-many", |page, dashboard| async move {
        let cards = "return document.querySelectorAll('.card').length";
        let all = dashboard.admin.get("/api/v1/upstreams").await?;
        let put = |number| json!({ "put": { "name": format!("web-{number}"), "address": format!("127.0.0.1:{number}") } });
        let changes: Vec<Value> = (1..=195).map(put).collect();
        let body = json!({ "generation": all["generation"], "changes": changes });
        dashboard.admin.ask("POST", "/api/v1/apply", body).await?;
        until(&page, "two hundred cards are shown", async |page| Ok(page.run(cards).await? == 200)).await;
        assert_eq!(page.run(SIDEWAYS).await?, 0);
        let shown = "return [...document.querySelectorAll('.card')].filter(card => card.checkVisibility()).map(card => card.dataset.instance)";
        page.press("#filter", "web-19").await?;
        let found = page.run(shown).await?;
        let found: Vec<&str> = found.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(found, ["web-19", "web-190", "web-191", "web-192", "web-193", "web-194", "web-195"]);
        page.press("#filter", "x").await?;
        shows(&page, "#shown", "0 of 200 shown").await;
        // Escape empties a field for searching.
        page.press("#filter", "\u{e00c}").await?;
        until(&page, "all are shown again", async |page| Ok(page.run(cards).await? == 200)).await;

        let all = dashboard.admin.get("/api/v1/upstreams").await?;
        let gone = all["upstreams"].as_array().unwrap().iter().map(|upstream| json!({ "remove": upstream["name"] }));
        let body = json!({ "generation": all["generation"], "changes": gone.skip(1).collect::<Vec<_>>() });
        dashboard.admin.ask("POST", "/api/v1/apply", body).await?;
        until(&page, "one card is shown", async |page| Ok(page.run(cards).await? == 1)).await;
        Ok(())
    })
    .await;
}

/// Has visitors come, stay and chat for two minutes, while an instance is drained and another is killed.
async fn traffic(dashboard: &Dashboard) -> Result<()> {
    const SAMPLES: usize = 24;
    let Dashboard { url, admin } = dashboard;
    let changes = [("app-1", 3), ("app-3", 2), ("app-5", 2)].map(async |(name, weight)| {
        let spec = json!({ "address": admin.upstream(name).await?["address"], "weight": weight });
        admin.ask("PUT", &format!("/api/v1/upstreams/{name}"), spec).await
    });
    for change in changes {
        change.await?;
    }
    let mut visitors: Vec<Visitor> = Vec::new();
    let mut last = 0;
    for round in 0_usize.. {
        let samples = admin.get("/api/v1/history").await?["samples"].as_array().map_or(0, Vec::len);
        if samples >= SAMPLES {
            break;
        }
        if samples != last {
            last = samples;
            for number in 0..4 + round % 7 {
                let mut visitor = Visitor::default();
                visitor.instance(url).await?;
                if number % 3 == 0 {
                    visitor.chat(url).await?;
                }
                visitors.push(visitor);
            }
            match samples {
                12 => drop(admin.ask("POST", "/api/v1/upstreams/app-4/drain", json!({ "deadline": "10m" })).await?),
                17 => drop(visitors[0].order(url, "kill", "app-2").await?),
                20 => drop(visitors[0].order(url, "fill", "app-5").await?),
                _ => {}
            }
        }
        // At a pace: the picture is of people. Known visitors come back; those of the killed one are placed anew.
        let known = visitors.len();
        for step in 0..5.min(known) {
            drop(visitors[(round * 7 + step * 11) % known].instance(url).await);
        }
        sleep(Duration::from_millis(40)).await;
    }
    Ok(())
}

/// Writes `dashboard-light.png`, `dashboard-dark.png` and `dashboard-phone.png` into `target`.
#[test]
#[ignore = "makes the pictures in docs from two minutes of traffic"]
async fn the_pictures_of_the_documentation() {
    watch("dashboard-pictures", |page, dashboard| async move {
        traffic(&dashboard).await?;
        page.command("Emulation.setScrollbarsHidden", json!({ "hidden": true })).await?;
        let pictures = [("light", "light", 1440, 960), ("dark", "dark", 1440, 960), ("phone", "dark", 360, 780)];
        for (name, colours, width, height) in pictures {
            scheme(&page, colours).await?;
            window(&page, width, height).await?;
            let fits = format!("return document.getElementById('chart').viewBox.baseVal.width <= {width}");
            until(&page, "the plot is drawn anew", async |page| Ok(page.run(&fits).await? == true)).await;
            picture(&page, &format!("dashboard-{name}.png")).await?;
        }
        Ok(())
    })
    .await;
}
