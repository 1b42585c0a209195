//! Enough of the W3C WebDriver protocol to use one page: JSON over HTTP, to a chromedriver of our own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The key that an element's id stands under, by the standard.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A running chromedriver; it ends when this is dropped.
pub struct Driver {
    address: SocketAddr,
    _process: Child,
    // Kept open: the process would fail on its next line otherwise.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Driver {
    pub async fn start(program: &Path) -> Result<Driver> {
        let mut process = Command::new(program)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().ok_or("no standard output")?;
        let mut output = BufReader::new(stdout).lines();
        while let Some(line) = output.next_line().await? {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.trim_end_matches('.').parse()?));
                return Ok(Driver { address, _process: process, _output: output });
            }
        }
        Err("chromedriver ended without naming its port".into())
    }

    /// Opens a headless browser with `profile`, an empty folder, as its only memory.
    pub async fn open(&self, browser: &Path, profile: &Path) -> Result<Page> {
        let options = json!({
            "binary": browser,
            "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                // Nothing leaves this machine, whatever the browser would like to ask.
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                // A browser on a pipe ends with its driver, however that ends.
                "--remote-debugging-pipe",
                "--window-size=1200,1180",
                format!("--user-data-dir={}", profile.display()),
            ],
        });
        let wanted = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let wanted = json!({ "capabilities": { "alwaysMatch": wanted } });
        let opened = call(self.address, "POST", "/session", Some(wanted)).await?;
        let id = opened["sessionId"].as_str().ok_or("no session id")?;
        Ok(Page { driver: self.address, session: format!("/session/{id}") })
    }
}

/// The only page of an open browser.
#[derive(Clone)]
pub struct Page {
    driver: SocketAddr,
    session: String,
}

impl Page {
    pub async fn go(&self, url: &str) -> Result<()> {
        self.post("/url", json!({ "url": url })).await.map(drop)
    }

    pub async fn reload(&self) -> Result<()> {
        self.post("/refresh", json!({})).await.map(drop)
    }

    /// The text of the first element that `selector` finds, as a reader sees it.
    pub async fn text(&self, selector: &str) -> Result<String> {
        let element = self.find(selector).await?;
        let text = self.get(&format!("{element}/text")).await?;
        Ok(text.as_str().ok_or("not a text")?.to_owned())
    }

    pub async fn attribute(&self, selector: &str, name: &str) -> Result<Option<String>> {
        let element = self.find(selector).await?;
        let value = self.get(&format!("{element}/attribute/{name}")).await?;
        Ok(value.as_str().map(str::to_owned))
    }

    /// A press of the mouse where the element is: fails where something else covers it.
    pub async fn click(&self, selector: &str) -> Result<()> {
        let element = self.find(selector).await?;
        self.post(&format!("{element}/click"), json!({})).await.map(drop)
    }

    /// Key presses; `\u{e007}` is Enter.
    pub async fn press(&self, selector: &str, keys: &str) -> Result<()> {
        let element = self.find(selector).await?;
        self.post(&format!("{element}/value"), json!({ "text": keys })).await.map(drop)
    }

    /// Key presses, to whatever has the focus.
    pub async fn keys(&self, keys: &str) -> Result<()> {
        let press = |key: char| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }));
        let actions: Vec<Value> = keys.chars().flat_map(press).collect();
        let source = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.post("/actions", json!({ "actions": [source] })).await.map(drop)
    }

    /// What this body of a function returns in the page.
    pub async fn run(&self, script: &str) -> Result<Value> {
        self.post("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// A command of the DevTools protocol.
    pub async fn command(&self, command: &str, parameters: Value) -> Result<Value> {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// What the console has said since this was last asked.
    pub async fn console(&self) -> Result<Vec<String>> {
        let entries = self.post("/se/log", json!({ "type": "browser" })).await?;
        let entries = entries.as_array().ok_or("not a list")?.iter();
        Ok(entries.map(|entry| format!("{} {}", entry["level"], entry["message"])).collect())
    }

    /// What the window shows, as PNG.
    pub async fn screenshot(&self) -> Result<Vec<u8>> {
        let coded = self.get("/screenshot").await?;
        let coded = coded.as_str().ok_or("not a text")?;
        let mut image = vec![0; coded.len()];
        let length = STANDARD.decode_slice(coded, &mut image)?;
        image.truncate(length);
        Ok(image)
    }

    /// Ends the browser.
    pub async fn close(&self) -> Result<()> {
        call(self.driver, "DELETE", &self.session, None).await.map(drop)
    }

    async fn find(&self, selector: &str) -> Result<String> {
        let found = self.post("/element", json!({ "using": "css selector", "value": selector })).await?;
        let id = found[ELEMENT].as_str().ok_or("not an element")?;
        Ok(format!("/element/{id}"))
    }

    async fn get(&self, path: &str) -> Result<Value> {
        call(self.driver, "GET", &format!("{}{path}", self.session), None).await
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        call(self.driver, "POST", &format!("{}{path}", self.session), Some(body)).await
    }
}

/// One command, on a connection of its own.
async fn call(driver: SocketAddr, method: &str, path: &str, body: Option<Value>) -> Result<Value> {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {driver}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = BufReader::new(TcpStream::connect(driver).await?);
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;

    // The status repeats what the answer says, so only the length matters.
    let mut length = None;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = Some(value.trim().parse()?);
        }
        line.clear();
    }
    let mut answer = vec![0; length.ok_or("an answer without a length")?];
    stream.read_exact(&mut answer).await?;
    let mut answer: Value = serde_json::from_slice(&answer)?;
    let value = answer["value"].take();
    match value["error"].as_str() {
        Some(error) => Err(format!("{method} {path}: {error}: {}", value["message"]).into()),
        None => Ok(value),
    }
}
