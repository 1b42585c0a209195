//! The gateway as a newcomer starts it: the example's program, without arguments.

use std::env::consts::EXE_SUFFIX;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::webdriver::Result;

/// A running gateway with its embedded demo; it ends when this is dropped.
pub struct Gateway {
    pub url: String,
    _process: Child,
}

impl Gateway {
    /// A gateway whose log is named after `test`.
    pub async fn start(test: &str) -> Result<Gateway> {
        let tests = std::env::current_exe()?;
        let profile = tests.parent().and_then(Path::parent).ok_or("the tests stand in no target folder")?;
        let program = profile.join("examples").join(format!("gateway{EXE_SUFFIX}"));
        if !program.is_file() {
            let advice = "cargo build --features gateway --example gateway";
            return Err(format!("{} is missing: run `{advice}`", program.display()).into());
        }
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{test}.log"));
        let mut process = Command::new(program)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().ok_or("no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            if let Some((_, url)) = line.split_once("open http://") {
                let url = format!("http://{}", url.trim());
                // Read on, so that the gateway never waits for somebody to.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(Gateway { url, _process: process });
            }
        }
        Err(format!("the gateway ended without saying what to open: see {}", log.display()).into())
    }
}

/// A visitor who comes without a browser, and keeps the cookies that it is given.
#[derive(Default)]
pub struct Visitor {
    cookies: Vec<(String, String)>,
}

impl Visitor {
    /// The instance that serves it; an error where it is not served.
    pub async fn instance(&mut self, url: &str) -> Result<String> {
        let address = url.strip_prefix("http://").ok_or("no http")?.trim_end_matches('/');
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut stream = TcpStream::connect(address).await?;
        let request = format!(
            "GET /api/whoami?visit=1 HTTP/1.1\r\nHost: {address}\r\nCookie: {}\r\nConnection: close\r\n\r\n",
            cookies.join("; ")
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no head")?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(answer.into());
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
        let facts: Value = serde_json::from_str(body)?;
        Ok(facts["instance"].as_str().ok_or("no instance")?.to_owned())
    }
}
