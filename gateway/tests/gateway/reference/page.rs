//! `docs/CONFIGURATION.md` as rows and examples.

/// One row of a table of keys.
#[derive(Clone, Debug)]
pub struct Row {
    /// As in `affinity.accept.from`.
    pub path: String,
    /// The policy that has it as a parameter.
    pub policy: Option<String>,
    pub kind: String,
    pub default: String,
}

#[derive(Default, Debug)]
pub struct Page {
    /// The tables that have a section, as in `affinity.accept`.
    pub sections: Vec<String>,
    pub rows: Vec<Row>,
    /// The blocks of TOML.
    pub examples: Vec<String>,
}

impl Page {
    pub fn read(text: &str) -> Self {
        let mut page = Self::default();
        // What keys of a table begin with; `None` in a section that is about no table.
        let mut prefix = None;
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(title) = line.strip_prefix("##") {
                prefix = page.section(title.trim_start_matches('#').trim());
            } else if line == "```toml" {
                let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
                page.examples.push(block.join("\n") + "\n");
            } else if let Some(prefix) = &prefix {
                page.rows.extend(row(line, prefix));
            }
        }
        page
    }

    fn section(&mut self, title: &str) -> Option<String> {
        if title == "Top level" {
            return Some(String::new());
        }
        let table = title.strip_prefix("`[")?.strip_suffix("]`")?.trim_matches(['[', ']']);
        self.sections.push(table.to_owned());
        Some(format!("{table}."))
    }
}

fn row(line: &str, prefix: &str) -> Option<Row> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split(" | ").map(str::trim).collect();
    let name = |cell: &str| Some(cell.strip_prefix('`')?.strip_suffix('`')?.to_owned());
    let (policy, key, kind, default) = match cells[..] {
        [key, kind, default, _] => (None, name(key)?, kind, default),
        [policy, key, kind, default, _] => (Some(name(policy)?), name(key)?, kind, default),
        _ => return None,
    };
    Some(Row { path: format!("{prefix}{key}"), policy, kind: kind.to_owned(), default: default.to_owned() })
}

#[test]
fn rows_and_examples_are_read() {
    let page = Page::read(
        "# Page\n## Top level\n| key | type | default | meaning |\n|---|---|---|---|\n| `a` | text | none | x |\n\
         ### `[[b.c]]`\n| `d` | integer | `1` | x |\n| `p` | `e` | text | `2` | x |\n```toml\nd = 1\n```\n\
         ### Else\n| `f` | text | none | x |\n",
    );
    let rows: Vec<_> = page.rows.iter().map(|row| (row.path.as_str(), row.policy.as_deref())).collect();
    assert_eq!(rows, [("a", None), ("b.c.d", None), ("b.c.e", Some("p"))]);
    assert_eq!((page.sections, page.examples), (vec!["b.c".to_owned()], vec!["d = 1\n".to_owned()]));
}
