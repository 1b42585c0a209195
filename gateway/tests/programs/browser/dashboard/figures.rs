//! What the cards, the plot, the reasons and the log show.

use crate::support::test;
use serde_json::{Value, json};

use super::{Dashboard, card, live, shows, state, tells, violations, watch};
use crate::browser::gateway::Visitor;
use crate::browser::until;
use crate::browser::webdriver::{Page, Result};

/// What the card of `upstream` has to show, by the part that shows it.
fn expected(upstream: &Value) -> Vec<(&'static str, String)> {
    let figure = |value: &Value| value.as_f64().map_or("–".to_owned(), |figure| figure.to_string());
    let latency = |quantile: &str| {
        let milliseconds = upstream["traffic"]["response_seconds"][quantile].as_f64().map(|seconds| seconds * 1e3);
        milliseconds.map_or("–".to_owned(), |milliseconds| match milliseconds {
            ..9.95 => format!("{milliseconds:.1} ms"),
            _ => format!("{milliseconds:.0} ms"),
        })
    };
    vec![
        ("h3", upstream["name"].as_str().unwrap().to_owned()),
        (".state", upstream["state"].as_str().unwrap().to_owned()),
        (".address span", upstream["address"].as_str().unwrap().to_owned()),
        (".sessions b", figure(&upstream["live_sessions"])),
        ("[data-figure=flight]", figure(&upstream["in_flight"])),
        ("[data-figure=tunnels]", figure(&upstream["traffic"]["tunnels"])),
        ("[data-figure=weight]", figure(&upstream["weight"])),
        ("[data-figure=p50]", latency("p50")),
        ("[data-figure=p99]", latency("p99")),
        (".origin", upstream["origin"].as_str().unwrap().to_owned()),
        ("[data-figure=own]", figure(&upstream["report"]["sessions"])),
        ("[data-figure=threads]", figure(&upstream["report"]["threads"])),
    ]
}

/// Waits until every card shows what the interface tells.
async fn cards_are_right(page: &Page, dashboard: &Dashboard) -> Result<()> {
    let admin = dashboard.admin;
    until(page, "the cards show what is told", async |page| {
        for upstream in admin.upstreams().await? {
            let card = card(upstream["name"].as_str().ok_or("no name")?);
            for (part, text) in expected(&upstream) {
                let shown = page.text(&format!("{card} {part}")).await?;
                if shown != text {
                    return Err(format!("{card} {part} shows {shown:?} and not {text:?}").into());
                }
            }
        }
        Ok(true)
    })
    .await;
    Ok(())
}

#[test]
async fn cards_show_what_the_interface_tells() {
    watch("dashboard-figures", |page, dashboard| async move {
        dashboard.visits(12, 3).await?;
        let reported = |upstreams: &[Value], key: &str| {
            upstreams.iter().filter_map(|upstream| upstream["report"][key].as_f64()).sum::<f64>()
        };
        until(&page, "instances say of themselves what is counted of them", async |_| {
            Ok(reported(&dashboard.admin.upstreams().await?, "sessions") == 12.0)
        })
        .await;
        cards_are_right(&page, &dashboard).await?;
        let upstreams = dashboard.admin.upstreams().await?;
        let total = |key: &str| upstreams.iter().map(|upstream| upstream[key].as_u64().unwrap()).sum::<u64>();
        assert_eq!((total("requests"), total("live_sessions")), (36, 12), "there was traffic to show");
        assert_eq!(reported(&upstreams, "threads"), 5.0);
        assert!(reported(&upstreams, "memory_bytes") > 12.0 * 32.0 && reported(&upstreams, "cpu") > 0.0);
        tells(&page, &format!("{} [data-figure=memory]", card("app-1")), "B").await;
        tells(&page, &format!("{} .reported", card("app-1")), "Its own report, ").await;
        shows(&page, "#totals [data-figure=sessions]", "12").await;
        shows(&page, "#totals [data-figure=accepting]", "5 of 5").await;
        shows(&page, "#reasons [data-reason=pinned] td", "24").await;
        shows(&page, "#reasons [data-reason=new] td", "12").await;
        tells(&page, "#reasons [data-reason=new]", "first visit").await;

        let busiest = upstreams.iter().max_by_key(|upstream| upstream["requests"].as_u64()).unwrap();
        let busiest = busiest["name"].as_str().unwrap();
        page.click(&format!("{} summary", card(busiest))).await?;
        let pinned = dashboard.admin.upstream(busiest).await?["decisions"]["pinned"].to_string();
        tells(&page, &format!("{} .why", card(busiest)), &format!("pinned\n{pinned}")).await;

        // Rates are differences: they show while requests come, and end with them.
        let requests = "#totals [data-figure=requests]";
        until(&page, "requests a second are shown", async |page| {
            dashboard.visits(3, 2).await?;
            Ok(page.text(requests).await?.parse::<f64>().is_ok_and(|rate| rate > 0.0))
        })
        .await;
        shows(&page, requests, "0").await;
        cards_are_right(&page, &dashboard).await
    })
    .await;
}

#[test]
async fn the_plot_begins_with_what_the_gateway_has_kept() {
    watch("dashboard-plot", |page, dashboard| async move {
        dashboard.visits(10, 1).await?;
        let admin = dashboard.admin;
        until(&page, "three samples are kept", async |_| {
            let history = admin.get("/api/v1/history").await?;
            let samples = history["samples"].as_array().ok_or("no samples")?;
            let last = samples.last().ok_or("no sample")?["live_sessions"].as_object().ok_or("no sessions")?;
            let sessions: u64 = last.values().filter_map(Value::as_u64).sum();
            Ok(history["interval_seconds"] == 5 && samples.len() >= 3 && sessions == 10)
        })
        .await;
        page.reload().await?;
        live(&page).await;
        until(&page, "a line for each instance has three points", async |page| {
            let lines = page.run("return [...document.querySelectorAll('#chart .line')].map(line => line.getAttribute('d'))").await?;
            let lines = lines.as_array().ok_or("no lines")?;
            Ok(lines.len() == 5 && lines.iter().all(|line| line.as_str().is_some_and(|line| line.matches('L').count() >= 2)))
        })
        .await;
        let highest = page.run("return Math.max(...[...document.querySelectorAll('#chart text')].map(text => Number(text.textContent)).filter(Number.isFinite))").await?;
        let most = dashboard.admin.upstreams().await?.iter().filter_map(|upstream| upstream["live_sessions"].as_u64()).max();
        assert!(highest.as_u64() >= most, "the axis ends at {highest}, below {most:?}");
        for upstream in dashboard.admin.upstreams().await? {
            let (name, sessions) = (upstream["name"].as_str().unwrap(), &upstream["live_sessions"]);
            tells(&page, "#legend", &format!("{name}\n{sessions}")).await;
        }
        // The past is read by keyboard, too.
        page.run("document.getElementById('chart').focus()").await?;
        page.keys("\u{e012}\u{e012}").await?;
        tells(&page, "#legend .when", "at ").await;
        Ok(())
    })
    .await;
}

#[test]
async fn a_killed_instance_turns_to_down_and_the_log_says_so() {
    watch("dashboard-killed", |page, dashboard| async move {
        page.run("window.stays = true").await?;
        let mut visitor = Visitor::default();
        let home = visitor.instance(&dashboard.url).await?;
        Visitor::default().order(&dashboard.url, "kill", &home).await?;
        state(&page, &home, &["down"]).await;
        tells(&page, "#log", "→").await;
        tells(&page, "#log", &format!("{home} active → down")).await;
        shows(&page, "#totals [data-figure=accepting]", "4 of 5").await;

        assert_ne!(visitor.instance(&dashboard.url).await?, home);
        shows(&page, "#reasons [data-reason=not_serving] td", "1").await;
        Visitor::default().order(&dashboard.url, "revive", &home).await?;
        state(&page, &home, &["warming", "active"]).await;
        tells(&page, "#log", "down → warming").await;
        assert_eq!(page.run("return window.stays").await?, json!(true), "the page was not loaded again");
        let times = page.run("return [...document.querySelectorAll('#log time')].map(time => time.dateTime)").await?;
        let times: Vec<&str> = times.as_array().unwrap().iter().map(|time| time.as_str().unwrap()).collect();
        assert!(times.is_sorted_by(|newer, older| newer >= older), "newest first: {times:?}");
        Ok(())
    })
    .await;
}

#[test]
async fn names_are_text_and_nothing_comes_from_elsewhere() {
    const NAME: &str = "<img/src=x/onerror=window.hit=1><script>window.hit=1</script>";
    watch("dashboard-safe", |page, dashboard| async move {
        let change = json!({ "put": { "name": NAME, "address": "127.0.0.1:1" } });
        let body = json!({ "generation": 1, "changes": [change] });
        dashboard.admin.ask("POST", "/api/v1/apply", body).await?;
        let shown = format!("{} h3", card(NAME));
        shows(&page, &shown, NAME).await;
        tells(&page, "#log", &format!("{NAME}: added")).await;
        tells(&page, "#legend", NAME).await;
        let button = format!("{} .remove", card(NAME));
        page.click(&button).await?;
        tells(&page, "#plan-lines", NAME).await;
        assert_eq!(page.run("return document.querySelectorAll('img, li script').length").await?, 0);
        assert_eq!(page.run("return window.hit ?? null").await?, Value::Null);
        assert_eq!(violations(&page).await?, json!([]), "nothing had to be kept from happening");
        let elsewhere = "return performance.getEntriesByType('resource').map(entry => entry.name).filter(name => !name.startsWith(location.origin + '/api/v1/'))";
        assert_eq!(page.run(elsewhere).await?, json!([]));
        assert_eq!(page.console().await?, Vec::<String>::new());

        // The control: what would be injected is kept from running, and we would know.
        let inject = "const script = document.createElement('script'); script.textContent = 'window.hit = 1'; document.body.append(script)";
        page.run(inject).await?;
        page.run("const link = document.createElement('a'); link.setAttribute('onclick', 'window.hit = 1'); document.body.append(link); link.click()").await?;
        page.run("document.body.append(Object.assign(document.createElement('img'), { src: 'http://127.0.0.1:9/x' }))").await?;
        until(&page, "violations are noted", async |page| Ok(violations(page).await?.as_array().is_some_and(|all| all.len() >= 3))).await;
        assert_eq!(page.run("return window.hit ?? null").await?, Value::Null);
        assert!(!page.console().await?.is_empty());
        Ok(())
    })
    .await;
}
