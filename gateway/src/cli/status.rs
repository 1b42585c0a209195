//! `homing status`: a table of the upstreams of a running gateway, from its administration.

use super::output::{Error, print_line};
use http::uri::Authority;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::fmt::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// For the whole response to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);

const AFTER_HELP: &str = "\
Examples:
  homing status
  homing status --admin http://10.0.0.5:9090 --token-file /etc/homing/admin.token
  homing status --json | jq '.upstreams[] | select(.state == \"down\").name'";

/// Print the state of the upstreams of a running gateway.
///
/// It asks the administration of the gateway, which is on if its configuration has [admin].
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// The address of the administration, `listen` of [admin].
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090", value_hint = clap::ValueHint::Url)]
    admin: AdminUrl,
    /// The file with its token, where it requires one: `token_file` of [admin].
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    token_file: Option<PathBuf>,
    /// Print the JSON of the gateway, for programs.
    #[arg(long)]
    json: bool,
}

/// `http://HOST:PORT`, also without the scheme: the administration has no TLS and no path of its own.
#[derive(Clone)]
struct AdminUrl {
    authority: Authority,
    port: u16,
}

impl AdminUrl {
    /// The host, an IPv6 address without its brackets.
    fn host(&self) -> &str {
        let host = self.authority.host();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

impl FromStr for AdminUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("https:") {
            return Err("the administration has no TLS: give its http:// address");
        }
        let text = text.strip_prefix("http://").unwrap_or(text);
        let authority = Authority::from_str(text.strip_suffix('/').unwrap_or(text)).ok();
        authority
            .filter(|authority| !authority.as_str().contains('@'))
            .and_then(|authority| Some(Self { port: authority.port_u16()?, authority }))
            .ok_or("give an address with a port, such as http://127.0.0.1:9090")
    }
}

pub fn print(arguments: &Arguments) -> Result<(), Error> {
    let token = arguments.token_file.as_ref().map(|file| {
        std::fs::read_to_string(file).map_err(|error| format!("{}: can't be read: {error}", file.display()))
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = ask(&arguments.admin, token.transpose()?);
    let body = runtime.block_on(async {
        let late = format!("{} has not responded within 10 s", arguments.admin);
        tokio::time::timeout(TIMEOUT, asked).await.map_err(|_| late)?
    })?;
    match arguments.json {
        true => print_line(&body),
        false => print_line(table(&serde_json::from_str(&body)?).trim_end()),
    }
}

async fn ask(admin: &AdminUrl, token: Option<String>) -> Result<String, Error> {
    let hint = "is the gateway running, and does its configuration have [admin]?";
    let connected = tokio::net::TcpStream::connect((admin.host(), admin.port)).await;
    let stream = connected.map_err(|error| format!("cannot connect to {admin}: {error}; {hint}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = http::Request::get("/api/v1/upstreams").header("host", admin.authority.as_str());
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {}", token.trim()));
    }
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    let body = String::from_utf8(body.to_vec())?;
    match status.is_success() {
        true => Ok(body),
        false => Err(refusal(admin, status, &body).into()),
    }
}

fn refusal(admin: &AdminUrl, status: http::StatusCode, body: &str) -> String {
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    format!("{admin} responds {status}: {}", problem["detail"].as_str().unwrap_or("no detail"))
}

/// Left-aligned texts, right-aligned figures. Reports of instances have columns where any instance reports.
fn table(status: &Value) -> String {
    const TEXTS: [&str; 4] = ["UPSTREAM", "ADDRESS", "STATE", "CAUSE"];
    let upstreams: Vec<&Value> = status["upstreams"].as_array().into_iter().flatten().collect();
    let reports = upstreams.iter().any(|upstream| upstream["report"].is_object());
    let mut head = vec!["UPSTREAM", "ADDRESS", "STATE", "WEIGHT", "IN FLIGHT", "SESSIONS", "REQUESTS", "P99 MS"];
    if reports {
        head.extend(["OWN SESSIONS", "MEMORY MIB", "THREADS", "CPU"]);
    }
    head.push("CAUSE");
    let mut rows = vec![head.iter().map(|title| (*title).to_owned()).collect()];
    rows.extend(upstreams.into_iter().map(|upstream| row(upstream, reports)));
    let widths: Vec<usize> =
        (0..head.len()).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut table = String::new();
    for row in rows {
        for ((cell, width), title) in row.iter().zip(&widths).zip(&head) {
            let _ = match TEXTS.contains(title) {
                _ if *title == "CAUSE" => write!(table, "{cell}"),
                true => write!(table, "{cell:<width$}  "),
                false => write!(table, "{cell:>width$}  "),
            };
        }
        table.push('\n');
    }
    let _ = writeln!(table, "generation {}", status["generation"]);
    if status["panic"] == true {
        table.push_str("panic: more upstreams look bad than outlier.max_ejected allows, so none is taken for bad\n");
    }
    table
}

fn row(upstream: &Value, reports: bool) -> Vec<String> {
    let text = |key: &str| upstream[key].as_str().unwrap_or("-").to_owned();
    let figure = |key: &str| upstream[key].to_string();
    let measured = |value: &Value, unit: f64, digits: usize| {
        value.as_f64().map_or("-".to_owned(), |value| format!("{:.digits$}", value / unit))
    };
    let mut row = vec![
        text("name"),
        text("address"),
        text("state"),
        figure("weight"),
        figure("in_flight"),
        figure("live_sessions"),
        figure("requests"),
        measured(&upstream["traffic"]["response_seconds"]["p99"], 1e-3, 1),
    ];
    if reports {
        let report = &upstream["report"];
        row.push(measured(&report["sessions"], 1.0, 0));
        row.push(measured(&report["memory_bytes"], f64::from(1 << 20), 0));
        row.push(measured(&report["threads"], 1.0, 0));
        row.push(measured(&report["cpu"], 1.0, 2));
    }
    row.push(match upstream["since"].as_str() {
        Some(since) => format!("{} ({since})", text("cause")),
        None => text("cause"),
    });
    row
}
