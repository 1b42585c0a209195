//! The gateway as a newcomer starts it: the example's program, without arguments.

use std::env::consts::EXE_SUFFIX;
use std::ffi::OsStr;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use futures_util::StreamExt;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::process::{Child, Command};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::browser::webdriver::Result;

/// A running gateway; it ends when this is dropped.
pub struct Gateway {
    /// Of what it serves.
    pub url: String,
    /// Of its administration.
    pub monitor: Admin,
    process: Child,
}

impl Gateway {
    /// A gateway with its embedded demo, whose log is named after `test`.
    pub async fn start(test: &str) -> Result<Gateway> {
        Self::run(test, &[]).await
    }

    /// A gateway that this file configures.
    pub async fn configured(test: &str, file: &Path) -> Result<Gateway> {
        Self::run(test, &[OsStr::new("run"), OsStr::new("--config"), file.as_os_str()]).await
    }

    async fn run(test: &str, arguments: &[&OsStr]) -> Result<Gateway> {
        let tests = std::env::current_exe()?;
        let profile = tests.parent().and_then(Path::parent).ok_or("the tests stand in no target folder")?;
        let program = profile.join(format!("homing{EXE_SUFFIX}"));
        if !program.is_file() {
            let advice = "cargo build -p homing-gateway";
            return Err(format!("{} is missing: run `{advice}`", program.display()).into());
        }
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{test}.log"));
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().ok_or("no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut monitor = None;
        while let Some(line) = lines.next_line().await? {
            let Some((what, address)) = line.split_once(" http://") else { continue };
            let address = address.trim_end_matches('/');
            match what {
                "monitor on" | "administration on" => monitor = Some(Admin { address: address.parse()? }),
                "open" | "listening on" => {
                    let url = format!("http://{address}/");
                    // Keeps reading, so that the gateway never waits for the reader.
                    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                    let monitor = monitor.ok_or("the gateway does not say where its administration is")?;
                    return Ok(Gateway { url, monitor, process });
                }
                _ => {}
            }
        }
        Err(format!("the gateway ended without saying what to open: see {}", log.display()).into())
    }

    /// Ends it, and waits until it has ended.
    pub async fn stop(mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }
}

/// A gateway's administration.
#[derive(Clone, Copy)]
pub struct Admin {
    pub address: SocketAddr,
}

impl Admin {
    pub fn url(self) -> String {
        format!("http://{}/", self.address)
    }

    /// What it answers; an error where it refuses.
    pub async fn ask(self, method: &str, path: &str, body: Value) -> Result<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let (head, body) = exchange(self.address, &request).await?;
        match head.starts_with("HTTP/1.1 2") {
            true => Ok(serde_json::from_str(&body)?),
            false => Err(body.into()),
        }
    }

    pub async fn get(self, path: &str) -> Result<Value> {
        self.ask("GET", path, Value::Null).await
    }

    /// The status of all upstreams, in the order of the gateway's list.
    pub async fn upstreams(self) -> Result<Vec<Value>> {
        let mut told = self.get("/api/v1/upstreams").await?;
        Ok(told["upstreams"].as_array_mut().map(std::mem::take).ok_or("no upstreams")?)
    }

    pub async fn upstream(self, name: &str) -> Result<Value> {
        self.get(&format!("/api/v1/upstreams/{name}")).await
    }
}

/// Head and body of the answer on a connection of its own.
async fn exchange(address: impl ToSocketAddrs, request: &str) -> Result<(String, String)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no head")?;
    Ok((head.to_owned(), body.to_owned()))
}

/// A client that is no browser, and keeps the cookies it receives.
#[derive(Default)]
pub struct Visitor {
    cookies: Vec<(String, String)>,
}

impl Visitor {
    /// The instance that serves it; an error where it is not served.
    pub async fn instance(&mut self, url: &str) -> Result<String> {
        self.ask("GET", url, "/api/whoami?visit=1").await
    }

    /// Presses a button of the demo.
    pub async fn order(&mut self, url: &str, action: &str, instance: &str) -> Result<String> {
        self.ask("POST", url, &format!("/api/{action}?instance={instance}")).await
    }

    /// Opens the live socket of its instance, which stays until that closes it.
    pub async fn chat(&self, url: &str) -> Result<()> {
        let mut request = format!("{}ws", url.replace("http://", "ws://")).into_client_request()?;
        request.headers_mut().insert("cookie", self.cookies().parse()?);
        let (mut socket, _) = connect_async(request).await?;
        tokio::spawn(async move { while let Some(Ok(_)) = socket.next().await {} });
        Ok(())
    }

    fn cookies(&self) -> String {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        cookies.join("; ")
    }

    async fn ask(&mut self, method: &str, url: &str, path: &str) -> Result<String> {
        let address = url.strip_prefix("http://").ok_or("no http")?.trim_end_matches('/');
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.cookies()
        );
        let (head, body) = exchange(address, &request).await?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(format!("{head}\n{body}").into());
        }
        for line in head.lines() {
            let Some((field, value)) = line.split_once(": ") else { continue };
            if let Some((name, value)) = value.split(';').next().and_then(|pair| pair.split_once('='))
                && field.eq_ignore_ascii_case("set-cookie")
            {
                self.cookies.retain(|(known, _)| known != name);
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        let facts: Value = serde_json::from_str(&body)?;
        Ok(facts["instance"].as_str().ok_or("no instance")?.to_owned())
    }
}
