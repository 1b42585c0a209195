//! The gateway as a newcomer starts it: the example's program, without arguments.

use std::env::consts::EXE_SUFFIX;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::webdriver::Result;

/// A running gateway with its embedded demo; it ends when this is dropped.
pub struct Gateway {
    pub url: String,
    _process: Child,
}

impl Gateway {
    pub async fn start() -> Result<Gateway> {
        let test = std::env::current_exe()?;
        let profile = test.parent().and_then(Path::parent).ok_or("the test stands in no target folder")?;
        let program = profile.join("examples").join(format!("gateway{EXE_SUFFIX}"));
        if !program.is_file() {
            let advice = "cargo build --features gateway --example gateway";
            return Err(format!("{} is missing: run `{advice}`", program.display()).into());
        }
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser-gateway.log");
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
