//! The pages, and how their configurations are assembled.

use std::cell::RefCell;
use std::fs;

/// A page of `docs/`: its code blocks by heading.
pub struct Guide {
    name: &'static str,
    blocks: Vec<Block>,
}

struct Block {
    heading: String,
    language: String,
    text: String,
    is_used: RefCell<bool>,
}

impl Guide {
    pub fn read(name: &'static str) -> Self {
        let path = format!("{}/docs/{name}", concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let page = fs::read_to_string(path).expect("read the guide");
        let (mut heading, mut blocks, mut open) = (String::new(), Vec::new(), None::<Block>);
        for line in page.lines() {
            match (&mut open, line.strip_prefix("```")) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => block.text.extend([line, "\n"]),
                (None, Some(language)) => {
                    let (heading, language) = (heading.clone(), language.to_owned());
                    open = Some(Block { heading, language, text: String::new(), is_used: RefCell::default() });
                }
                (None, None) if line.starts_with('#') => heading = line.trim_start_matches(['#', ' ']).to_owned(),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{name} ends in the middle of a block");
        Self { name, blocks }
    }

    /// The one block of that language under that heading.
    pub fn block(&self, heading: &str, language: &str) -> &str {
        let is_meant = |block: &&Block| block.heading == heading && block.language == language;
        let found: Vec<_> = self.blocks.iter().filter(is_meant).collect();
        let [block] = found[..] else {
            panic!("{} has {} blocks of {language} under {heading:?}", self.name, found.len())
        };
        *block.is_used.borrow_mut() = true;
        &block.text
    }

    /// Asserts that every block of the page was run.
    pub fn all_was_run(&self) {
        let left: Vec<_> = self.blocks.iter().filter(|block| !*block.is_used.borrow()).collect();
        let left: Vec<_> = left.iter().map(|block| (&block.heading, &block.language)).collect();
        assert!(left.is_empty(), "{}: nobody has run {left:?}", self.name);
    }
}

/// `config` with that paragraph (a table, a block of braces) instead of the one with the same first line.
pub fn with(config: &str, paragraph: &str) -> String {
    let first = paragraph.lines().next();
    let is_old = |old: &&str| old.lines().next() == first;
    let paragraphs = || config.split("\n\n");
    assert_eq!(paragraphs().filter(is_old).count(), 1, "{first:?} in {config}");
    paragraphs().map(|old| if is_old(&old) { paragraph } else { old }).collect::<Vec<_>>().join("\n\n")
}

/// `config` with each of those texts replaced, which it must have.
pub fn fitted(config: &str, replacements: &[(&str, &str)]) -> String {
    replacements.iter().fold(config.to_owned(), |config, (old, new)| {
        assert!(config.contains(old), "{old:?} is not in {config}");
        config.replace(old, new)
    })
}

/// `config` without the line that begins with those words.
pub fn without(config: &str, words: &str) -> String {
    let (lines, others): (Vec<_>, Vec<_>) = config.lines().partition(|line| line.trim_start().starts_with(words));
    assert_eq!(lines.len(), 1, "{words:?} in {config}");
    others.join("\n") + "\n"
}
