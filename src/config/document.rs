//! A TOML file whose errors carry a position: file, line, column and key.
//!
//! Parsers report the byte range of an error, validation reports its key. A `Document` converts each into the other by
//! parsing the text again, on errors only.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

/// An error in a file, with its position.
///
/// Shown as `FILE:LINE:COLUMN: KEY: message`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {key}: {message}", file.display())]
pub struct Diagnostic {
    /// The path of the file, as given.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The key, for example `upstream[2].weight`; `top level` for an error outside all keys and tables.
    pub key: String,
    /// The error, and how to correct it.
    pub message: String,
}

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It could not be read.
    #[error("{}: can't be read: {source}", file.display())]
    Read {
        /// The path of the file, as given.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its content is invalid.
    #[error(transparent)]
    Invalid(#[from] Diagnostic),
}

/// [`Diagnostic::key`] of an error outside all keys and tables.
pub const TOP_LEVEL: &str = "top level";

/// The text of a file and its name.
#[derive(Clone, Copy)]
pub struct Document<'a> {
    file: &'a Path,
    text: &'a str,
}

impl<'a> Document<'a> {
    /// The `text` that was read from `file`.
    #[must_use]
    pub fn new(file: &'a Path, text: &'a str) -> Self {
        Self { file, text }
    }

    /// Deserializes the text.
    ///
    /// # Errors
    /// The first error of syntax or of a value.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Diagnostic> {
        toml::from_str(self.text).map_err(|error| {
            let span = error.span().unwrap_or_default();
            self.diagnostic(span.start, self.key_of(&span), error.message().to_owned())
        })
    }

    /// An error at the value of `key`; at the nearest enclosing table if the file does not have that key.
    pub fn at(&self, key: &str, message: impl ToString) -> Diagnostic {
        let start = self.find(key).map_or(0, |node| node.value.start);
        self.diagnostic(start, key.to_owned(), message.to_string())
    }

    /// An error at `key` itself, rather than at its value.
    pub fn at_key(&self, key: &str, message: impl ToString) -> Diagnostic {
        let start = self.find(key).map_or(0, |node| node.key.start);
        self.diagnostic(start, key.to_owned(), message.to_string())
    }

    /// Whether the file has `key`.
    pub fn has(&self, key: &str) -> bool {
        self.nodes().iter().any(|node| node.path == key)
    }

    /// The line of the value of `key`.
    pub fn line_of(&self, key: &str) -> usize {
        self.at(key, "").line
    }

    fn diagnostic(&self, offset: usize, key: String, message: String) -> Diagnostic {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let is_char_start = |b: &&u8| **b & 0b1100_0000 != 0b1000_0000;
        Diagnostic {
            file: self.file.to_owned(),
            line: before.iter().filter(|&&b| b == b'\n').count() + 1,
            column: before[line_start..].iter().filter(is_char_start).count() + 1,
            key,
            message,
        }
    }

    /// The node of `key`, or the nearest enclosing node that the file has.
    fn find(&self, key: &str) -> Option<Node> {
        let mut nodes = self.nodes();
        let mut wanted = key;
        loop {
            if let Some(index) = nodes.iter().position(|node| node.path == wanted) {
                return Some(nodes.swap_remove(index));
            }
            wanted = &wanted[..wanted.rfind(['.', '['])?];
        }
    }

    /// The key of an error at `span`.
    ///
    /// That is the last key or value that begins before the error, on the same line or enclosing it. A line that cannot
    /// be parsed belongs to its table; an error about a duplicate key is reported at that key.
    fn key_of(&self, span: &Range<usize>) -> String {
        let nodes = self.nodes();
        let reaches = |node: &Range<usize>| {
            node.start <= span.start
                && (span.start <= node.end
                    || self.text.get(node.start..span.start).is_some_and(|between| !between.contains('\n')))
        };
        let nearest = nodes
            .iter()
            .flat_map(|node| [(&node.key, node), (&node.value, node)])
            .filter(|(range, _)| reaches(range))
            .max_by_key(|(range, _)| range.start);
        if let Some((_, node)) = nearest {
            return node.path.clone();
        }
        let table = nodes.iter().filter(|node| node.is_table && node.value.start <= span.start);
        let table = table.max_by_key(|node| node.value.start).map(|node| node.path.as_str());
        let spelled = self.text.get(span.clone()).unwrap_or_default();
        let repeated = join(table.unwrap_or_default(), spelled);
        if nodes.iter().any(|node| node.path == repeated) {
            return repeated;
        }
        table.unwrap_or(TOP_LEVEL).to_owned()
    }

    /// Every key and value that the recovering parser finds, tables before their content.
    fn nodes(&self) -> Vec<Node> {
        let mut nodes = Vec::new();
        let (table, _errors) = DeTable::parse_recoverable(self.text);
        collect_table("", table.get_ref(), &mut nodes);
        nodes
    }
}

/// Reads `file` completely; it must be UTF-8.
pub fn read_text(file: &Path, mut from: File) -> Result<String, ConfigError> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).map_err(|source| unreadable(file, source))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        let message = "is not UTF-8; save the file as UTF-8".to_owned();
        Document::new(file, &text).diagnostic(valid, TOP_LEVEL.to_owned(), message).into()
    })
}

/// The error for a `file` that cannot be read.
#[must_use]
pub fn unreadable(file: &Path, source: io::Error) -> ConfigError {
    ConfigError::Read { file: file.to_owned(), source }
}

/// The positions of a key and its value in the text. An element of an array has no key: its value stands for it.
struct Node {
    path: String,
    key: Range<usize>,
    value: Range<usize>,
    is_table: bool,
}

fn collect_table(path: &str, table: &DeTable<'_>, nodes: &mut Vec<Node>) {
    // The recovering parser inserts an empty key where one is missing.
    for (key, value) in table.iter().filter(|(key, _)| !key.get_ref().is_empty()) {
        collect(join(path, key.get_ref()), key.span(), value.span(), value.get_ref(), nodes);
    }
}

fn collect(path: String, key: Range<usize>, value: Range<usize>, content: &DeValue<'_>, nodes: &mut Vec<Node>) {
    let is_table = matches!(content, DeValue::Table(_));
    nodes.push(Node { path: path.clone(), key, value, is_table });
    match content {
        DeValue::Table(table) => collect_table(&path, table, nodes),
        DeValue::Array(array) => {
            for (index, element) in array.iter().enumerate() {
                let path = format!("{path}[{index}]");
                collect(path, element.span(), element.span(), element.get_ref(), nodes);
            }
        }
        _ => {}
    }
}

/// The path of `key` in the table `path`, which is empty at the top level.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
#[path = "../../tests/vectors/refusals.rs"]
pub(crate) mod refusals;

#[cfg(test)]
mod tests {
    use super::refusals::check_refusals;
    use super::*;

    #[test]
    #[should_panic = "lacks \"gist\""]
    fn a_refusal_with_another_message_is_seen() {
        let file = Path::new("f");
        check_refusals("\nx = 1\n=> 1:5: x: gist\n", |text| Document::new(file, text).at("x", "message"));
    }

    fn syntax_error(text: &str) -> String {
        let error = Document::new(Path::new("f"), text).parse::<toml::Table>().unwrap_err();
        format!("{}:{}: {}", error.line, error.column, error.key)
    }

    #[test]
    fn syntax_errors_name_the_key_they_are_in() {
        for (text, place) in [
            ("x = 1h\n", "1:5: x"),
            ("ä = 'ö' ü", "1:9: ä"),
            ("[t]\nweight = \nx = 1\n", "2:10: t.weight"),
            ("x = \"abc\ny = 1", "1:9: x"),
            ("list = [\"a\"\n[t]\n", "2:1: list[1]"),
            ("x = 1\n!!!\n", "2:4: top level"),
            ("[t]\nx = 1\n!!!\n", "3:4: t"),
            ("[[u]]\n[[u]]\nx = 1\n\nx = 2\n", "5:1: u[1].x"),
            ("[t]\n[u]\n[t]\n", "3:2: t"),
            ("= 1", "1:1: top level"),
            ("[t]\n= 1", "2:1: t"),
        ] {
            assert_eq!(syntax_error(text), place, "{text:?}");
        }
    }

    #[test]
    fn checks_find_their_key_or_what_is_around_it() {
        let text = "a = 1\nb.c = 2\n\n[[u]]\nx = 'é'\n[[u]]\n  x = [1, 'é', 3]\r\n";
        let document = Document::new(Path::new("f"), text);
        for (key, place) in [
            ("a", (1, 5)),
            ("b.c", (2, 7)),
            ("u[0].x", (5, 5)),
            ("u[1].x[2]", (7, 16)),
            ("u[1].missing", (6, 1)),
            ("u[7].x", (4, 1)),
            ("missing.x", (1, 1)),
        ] {
            let error = document.at(key, "");
            assert_eq!((error.line, error.column), place, "{key}");
            assert_eq!(error.key, key);
        }
        assert_eq!(document.at_key("u[1].x", "").column, 3);
    }

    #[test]
    fn bytes_that_are_not_utf8_have_a_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, b"x = 1\ny = '\xff'\n").unwrap();
        let error = read_text(&path, File::open(&path).unwrap()).unwrap_err();
        let expected = format!("{}:2:6: top level: is not UTF-8; save the file as UTF-8", path.display());
        assert_eq!(error.to_string(), expected);
    }
}
