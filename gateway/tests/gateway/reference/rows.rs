//! Rows of the page against keys of the program.

use super::keys::{Key, Shape};
use super::page::{Page, Row};
use homing_gateway::config::GatewayConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use toml::{Table, Value};

/// What else a table needs so that a single key of it can be tried.
const BASES: [(&str, &str); 5] = [
    ("tls", "tls = { certificate = \"server.pem\", key = \"server.key\" }"),
    ("health", "health = { path = \"/\" }"),
    ("discovery", "discovery = { file = \"upstreams.toml\" }"),
    ("discovery.dns", "discovery = { dns = { service = \"_http._tcp.app.internal\" } }"),
    ("discovery.etcd", "discovery = { etcd = { endpoints = [\"http://127.0.0.1:2379\"] } }"),
];

/// Keys that only one side has.
pub fn differences(page: &Page, program: &[Key]) -> Vec<String> {
    let rows = rows(page);
    let sections: BTreeSet<&str> = page.sections.iter().map(String::as_str).collect();
    let is_key = |path: &&&str| program.iter().any(|key| key.path == **path);
    let on_page: BTreeSet<&str> = rows.keys().chain(&sections).copied().collect();
    let unknown = on_page.iter().filter(|path| !is_key(path));
    let missing = program.iter().filter(|Key { path, shape }| match shape {
        Shape::OneOf(_) | Shape::Value(_) => !rows.contains_key(path.as_str()),
        // A table has a section, and a row in the table around it.
        Shape::Table(_) | Shape::OpenTable | Shape::List if !path.contains('.') && sections.contains(&**path) => false,
        Shape::Table(_) | Shape::OpenTable => !rows.contains_key(&**path) || !sections.contains(&**path),
        Shape::List => !rows.contains_key(&**path),
    });
    let unknown = unknown.map(|path| format!("{path}: the program has no such key"));
    unknown.chain(missing.map(|key| format!("{}: is not on the page", key.path))).collect()
}

/// Rows with a wrong type or default, and keys that no example has.
pub fn wrong(page: &Page, program: &[Key]) -> Vec<String> {
    let rows = rows(page);
    let examples: Vec<Table> = page.examples.iter().filter_map(|example| example.parse().ok()).collect();
    let faults = program.iter().filter_map(|Key { path, shape }| {
        let row = rows.get(path.as_str())?;
        let is_shown = examples.iter().any(|example| at(example, path).is_some());
        let fault = fault_of_type(shape, row).or_else(|| fault_of_default(row));
        let fault = fault.or_else(|| (!is_shown).then(|| "is in no example".to_owned()));
        Some(format!("{path}: {}", fault?))
    });
    faults.collect()
}

fn rows(page: &Page) -> BTreeMap<&str, &Row> {
    page.rows.iter().filter(|row| row.policy.is_none()).map(|row| (row.path.as_str(), row)).collect()
}

fn fault_of_type(shape: &Shape, row: &Row) -> Option<String> {
    let described = match shape {
        Shape::OneOf(texts) => {
            let texts: Vec<String> = texts.iter().map(|text| format!("`\"{text}\"`")).collect();
            return (row.kind != texts.join(", ")).then(|| format!("is {} on the page, not {texts:?}", row.kind));
        }
        Shape::List => "list of",
        Shape::Table(_) | Shape::OpenTable => "table",
        Shape::Value(expected) => return fault_of_value(expected, &row.kind),
    };
    (!row.kind.starts_with(described)).then(|| format!("is {} on the page, not {described}", row.kind))
}

/// Whether the page describes a value as the program does in its errors.
fn fault_of_value(expected: &str, kind: &str) -> Option<String> {
    let range = expected.strip_prefix("an integer from ").map(|range| format!("integer, {range}"));
    let is_described = match (expected, range) {
        (_, Some(range)) => kind == range,
        (text, _) if text.starts_with("a duration") && text.contains("longer than zero") => kind == "duration",
        (text, _) if text.starts_with("a duration") && text.contains("0s") => kind == "duration or `\"0s\"`",
        (text, _) if text.starts_with("a duration") => kind == "duration from 1s",
        ("a boolean", _) => kind == "boolean",
        ("the name of a file", _) => kind == "file",
        ("a number from 0 to 1", _) => kind == "number, 0 to 1",
        (text, _) if text.starts_with("a number") => kind.starts_with("number"),
        (text, _) if text.starts_with("an IP address with a port") => kind == "address with port",
        (text, _) if text.starts_with("host:port") => kind == "`host:port`",
        _ => kind.starts_with("text"),
    };
    (!is_described).then(|| format!("is {kind} on the page, and the program expects {expected}"))
}

/// A default is right if the configuration with it equals the configuration without the key.
fn fault_of_default(row: &Row) -> Option<String> {
    let (parents, key) = row.path.rsplit_once('.').unwrap_or(("", &row.path));
    let base = base(parents);
    let mut without = base.clone();
    table_at(&mut without, parents).remove(key);
    let parsed = parse(&without);
    match (row.default.as_str(), parsed) {
        ("required", Err(error)) if error.contains(&format!("missing field `{key}`")) => None,
        ("required", parsed) => Some(format!("is not required: {parsed:?}")),
        ("none", Ok(config)) => {
            let debug = format!("{config:#?}");
            let value = debug_value(&debug, &row.path)?.lines().next().unwrap_or_default();
            (!value.starts_with("None")).then(|| format!("is {value} without it, and none on the page"))
        }
        // What the base has only so that others can be tried.
        ("none", Err(error)) if at(&base, &row.path).is_some() && !error.contains("missing field") => None,
        (default, Ok(config)) => {
            let literal = default.trim_matches('`');
            let Ok(value) = format!("value = {literal}").parse::<Table>() else {
                return Some(format!("{default} is no value"));
            };
            let mut with = base;
            table_at(&mut with, parents).insert(key.to_owned(), value["value"].clone());
            match parse(&with) {
                Ok(same) if same == config => None,
                Ok(_) => Some(format!("{default} is not the default")),
                Err(error) => Some(error),
            }
        }
        (_, Err(error)) => Some(error),
    }
}

fn base(parents: &str) -> Table {
    let text = BASES.iter().find(|(path, _)| *path == parents).map_or("", |(_, text)| text);
    let mut table: Table = text.parse().expect("TOML");
    let upstream: Table = super::UPSTREAM.parse().expect("TOML");
    table.extend(upstream);
    if parents == "affinity.accept" {
        let entry: Table = "affinity = { accept = [{ from = \"haproxy\", cookie = \"lb\" }] }".parse().expect("TOML");
        table.extend(entry);
    }
    table
}

fn parse(table: &Table) -> Result<GatewayConfig, String> {
    let text = toml::to_string(table).expect("TOML");
    GatewayConfig::parse(&text, Path::new("homing.toml")).map_err(|error| error.to_string())
}

/// The table of that path, made where it is absent; of a list the first item.
fn table_at<'a>(table: &'a mut Table, path: &str) -> &'a mut Table {
    path.split('.').filter(|name| !name.is_empty()).fold(table, |table, name| {
        match table.entry(name).or_insert_with(|| Table::new().into()) {
            Value::Array(items) => items[0].as_table_mut().expect("a table"),
            value => value.as_table_mut().expect("a table"),
        }
    })
}

fn at<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let value = table.get(name)?;
    let Some(rest) = rest else { return Some(value) };
    match value {
        Value::Array(items) => items.iter().find_map(|item| at(item.as_table()?, rest)),
        value => at(value.as_table()?, rest),
    }
}

/// What `Debug` prints for a key; `None` where the type has another field for it.
fn debug_value<'a>(debug: &'a str, path: &str) -> Option<&'a str> {
    path.split('.').try_fold(debug, |debug, name| Some(debug.split_once(&format!(" {name}: "))?.1))
}
