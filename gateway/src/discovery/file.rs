//! Upstreams in a file of their own.

use super::{DiscoveryError, DiscoverySource, DiscoveryUpdate, NextUpdate};
use crate::file_watch::FileWatch;
use homing::cluster::UpstreamConfig;
use homing::config::check;
use homing::config::document::{Document, TOP_LEVEL, read_text, unreadable};
use homing::config::{ConfigError, Diagnostic, Upstream};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::timeout;

/// A file is checked so often even without an event: network file systems send none.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// A file with `[[upstream]]` entries as in the gateway's configuration, in TOML; or the same as JSON where its name
/// ends with `.json`: `{"upstream": [{"name": "app-1", "address": "10.0.0.1:8080"}]}`.
///
/// It is read again when it changes. Replace it by renaming another file to it, so that it is never read half written;
/// a replaced symbolic link, as of a ConfigMap mounted by Kubernetes, is noticed too. A file with a fault is refused as
/// a whole, with line, column and key.
#[derive(Debug)]
pub struct FileSource {
    path: PathBuf,
    files: FileWatch,
    is_first: bool,
    text: Option<String>,
    reported: Option<Vec<UpstreamConfig>>,
}

impl FileSource {
    /// Watches the file `path`, which need not exist yet.
    #[must_use]
    pub fn watch(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { files: FileWatch::new(vec![path.clone()]), path, is_first: true, text: None, reported: None }
    }

    /// The upstreams in it, where they have changed.
    fn check(&mut self) -> Result<Option<DiscoveryUpdate>, ConfigError> {
        let file = std::fs::File::open(&self.path).map_err(|source| unreadable(&self.path, source))?;
        let text = read_text(&self.path, file)?;
        if self.text.as_ref() == Some(&text) {
            return Ok(None);
        }
        let upstreams = parse(&self.path, self.text.insert(text))?;
        let has_changed = self.reported.as_ref() != Some(&upstreams);
        Ok(has_changed.then(|| DiscoveryUpdate::Members(self.reported.insert(upstreams).clone())))
    }
}

impl DiscoverySource for FileSource {
    fn next(&mut self) -> NextUpdate<'_> {
        Box::pin(async move {
            loop {
                if !self.is_first {
                    // On a timeout the file is checked without an event.
                    let _ = timeout(CHECK_INTERVAL, self.files.changed()).await;
                }
                self.is_first = false;
                if let Some(update) = self.check().map_err(DiscoveryError::from)? {
                    return Ok(update);
                }
            }
        })
    }
}

impl From<ConfigError> for DiscoveryError {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Read { file, source } => {
                Self::Unreachable { from: file.display().to_string(), message: format!("can't be read: {source}") }
            }
            ConfigError::Invalid(Diagnostic { file, line, column, key, message }) => {
                let place = format!("{}:{line}:{column}", file.display());
                Self::Refused { place, message: format!("{key}: {message}") }
            }
            error => Self::Refused { place: String::new(), message: error.to_string() },
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpstreamList {
    #[serde(default)]
    upstream: Vec<Upstream>,
}

fn parse(path: &Path, text: &str) -> Result<Vec<UpstreamConfig>, Diagnostic> {
    let upstreams = match path.extension().is_some_and(|extension| extension == "json") {
        true => parse_json(path, text)?,
        false => {
            let document = Document::new(path, text);
            let UpstreamList { upstream } = document.parse()?;
            check::upstreams(&upstream, &document)?;
            upstream
        }
    };
    Ok(upstreams.iter().map(Upstream::to_core).collect())
}

fn parse_json(path: &Path, text: &str) -> Result<Vec<Upstream>, Diagnostic> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct UpstreamList {
        #[serde(deserialize_with = "distinct")]
        upstream: Vec<Upstream>,
    }
    let list: Result<UpstreamList, _> = serde_json::from_str(text);
    list.map(|list| list.upstream).map_err(|error| Diagnostic {
        file: path.to_owned(),
        line: error.line(),
        column: error.column(),
        key: TOP_LEVEL.to_owned(),
        message: error.to_string(),
    })
}

/// At least one, each with its own name; checked one by one, so that an error has its line and column.
fn distinct<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Upstream>, D::Error> {
    struct Distinct;

    impl<'de> Visitor<'de> for Distinct {
        type Value = Vec<Upstream>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of at least one upstream with a name and an address")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Upstream>, A::Error> {
            let (mut names, mut upstreams) = (HashSet::new(), Vec::new());
            while let Some(upstream) = list.next_element::<Upstream>()? {
                if !names.insert(upstream.name.clone()) {
                    let message =
                        format!("{:?} is already the name of an earlier upstream; give each its own", upstream.name);
                    return Err(A::Error::custom(message));
                }
                upstreams.push(upstream);
            }
            if upstreams.is_empty() { Err(A::Error::invalid_length(0, &self)) } else { Ok(upstreams) }
        }
    }

    deserializer.deserialize_seq(Distinct)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str, text: &str) -> String {
        parse(Path::new(name), text).unwrap_err().to_string()
    }

    #[test]
    fn toml_and_json_say_the_same() {
        let toml = "[[upstream]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\nweight = 3\n[[upstream]]\nname = \"b\"\naddress = \"[::1]:2\"\nmax_in_flight = 9\n";
        let json = r#"{"upstream": [{"name": "a", "address": "127.0.0.1:1", "weight": 3},
                                    {"name": "b", "address": "[::1]:2", "max_in_flight": 9}]}"#;
        let expected = vec![
            UpstreamConfig::new("a", "127.0.0.1:1").weight(3),
            UpstreamConfig::new("b", "[::1]:2").max_in_flight(9),
        ];
        assert_eq!(parse(Path::new("u.toml"), toml).unwrap(), expected);
        assert_eq!(parse(Path::new("u.json"), json).unwrap(), expected);
    }

    #[test]
    fn faults_have_a_line() {
        let a = "[[upstream]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n";
        for (text, expected) in [
            ("", "u:1:1: upstream: there is none"),
            (&*format!("{a}{a}"), "u:5:8: upstream[1].name: \"a\" is already the name of the upstream on line 2"),
            (&*format!("{a}weight = 0\n"), "u:4:10: upstream[0].weight: "),
            (&*format!("{a}wieght = 1\n"), "u:4:1: upstream[0].wieght: "),
            ("upstream = 1", "u:1:12: upstream: "),
        ] {
            let refused = refusal("u", text);
            assert!(refused.starts_with(expected), "{refused}");
        }
        let a = "{\"name\": \"a\", \"address\": \"h:1\"}";
        for (text, expected) in [
            ("", "u.json:1:0: "),
            ("{\"upstream\": []}", "u.json:1:15: "),
            (&*format!("{{\"upstream\": [\n{a},\n{a}]}}"), "u.json:3:"),
            ("{\"upstream\": [\n{\"name\": \"a\", \"address\": \"nowhere\"}]}", "u.json:2:"),
            ("{\"upstream\": [\n{\"name\": \"a\", \"address\": \"h:1\",\n \"weight\": 0}]}", "u.json:3:"),
        ] {
            let refused = refusal("u.json", text);
            assert!(refused.starts_with(expected), "{refused}");
        }
    }
}
