//! With a token configured the page is served without it, asks for it, and shows nothing until it is given.

use super::{card, listen_for_violations, live, press, shows, tells, violations};
use crate::browser::gateway::Gateway;
use crate::browser::{until, with_browser};
use crate::support::test;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[test]
async fn the_page_asks_for_the_token() {
    with_browser("dashboard-token", |page| async move {
        let folder = tempfile::tempdir()?;
        let (file, token) = (folder.path().join("gateway.toml"), folder.path().join("admin.token"));
        std::fs::write(&token, TOKEN)?;
        let config = format!(
            "listen = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = {token:?}\n\
             [[upstream]]\nname = \"app-1\"\naddress = \"127.0.0.1:1\"\n"
        );
        std::fs::write(&file, config)?;
        let gateway = Gateway::configured("dashboard-token", &file).await?;
        assert!(gateway.monitor.get("/api/v1/upstreams").await.unwrap_err().to_string().contains("Bearer"));

        listen_for_violations(&page).await?;
        page.go(&gateway.monitor.url()).await?;
        let asked =
            "return document.activeElement.id === 'token' && !document.getElementById('main').checkVisibility()";
        until(&page, "the token is asked for", async |page| Ok(page.run(asked).await? == true)).await;
        page.keys("not the token\u{e007}").await?;
        tells(&page, "#login-error", "not the token").await;
        page.keys(&format!("{TOKEN}\u{e007}")).await?;
        live(&page).await;
        shows(&page, &format!("{} h3", card("app-1")), "app-1").await;
        assert_eq!(page.run("return document.getElementById('login').checkVisibility()").await?, false);

        page.reload().await?;
        live(&page).await;
        let kept = page
            .run("return [Object.entries(sessionStorage), Object.keys(localStorage), document.cookie, location.href]")
            .await?;
        assert_eq!(kept, serde_json::json!([[["token", TOKEN]], [], "", gateway.monitor.url()]));
        press(&page, "app-1", "drain").await?;
        page.click("#confirm").await?;
        tells(&page, "#log", "drain").await;
        assert_eq!(violations(&page).await?, serde_json::json!([]));

        page.run("sessionStorage.clear()").await?;
        until(&page, "the token is asked for again", async |page| Ok(page.run(asked).await? == true)).await;
        Ok(())
    })
    .await;
}
