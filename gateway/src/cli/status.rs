//! `homing status`: a table of the upstreams of a running gateway, from its administration.

use super::output::{Error, print_line};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// For the whole response to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub struct Arguments {
    /// The [admin] address of the gateway.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    admin: SocketAddr,
    /// The file with its token, where it requires one.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print the JSON of the gateway, for programs.
    #[arg(long)]
    json: bool,
}

pub fn print(arguments: &Arguments) -> Result<(), Error> {
    let token = arguments.token_file.as_ref().map(|file| {
        std::fs::read_to_string(file).map_err(|error| format!("{}: can't be read: {error}", file.display()))
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = ask(arguments.admin, token.transpose()?);
    let body = runtime.block_on(async {
        let late = format!("{} has not responded within 10 s", arguments.admin);
        tokio::time::timeout(TIMEOUT, asked).await.map_err(|_| late)?
    })?;
    match arguments.json {
        true => print_line(&body),
        false => print_line(table(&serde_json::from_str(&body)?).trim_end()),
    }
}

async fn ask(admin: SocketAddr, token: Option<String>) -> Result<String, Error> {
    let hint = "is the gateway running, and does its configuration have [admin]?";
    let connected = tokio::net::TcpStream::connect(admin).await;
    let stream = connected.map_err(|error| format!("cannot connect to {admin}: {error}; {hint}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = http::Request::get("/api/v1/upstreams").header("host", admin.to_string());
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

fn refusal(admin: SocketAddr, status: http::StatusCode, body: &str) -> String {
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
