//! The commands of the first section of examples/dotnet/README.md.

use super::build;
use super::runtime::{Runtime, finish, runtimes};
use crate::support::test;
use std::process::Command;

const README: &str = include_str!("../../../examples/dotnet/README.md");

/// The first block of `language` after `heading`.
fn block(heading: &str, language: &str) -> &'static str {
    let rest = README.split_once(heading).expect(heading).1;
    let rest = rest.split_once(&format!("```{language}\n")).expect(language).1;
    rest.split_once("```").unwrap().0
}

#[test]
fn the_first_program_does_what_is_said() {
    for compiled in runtimes().filter(|compiled| compiled.runtime == Runtime::Mono) {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path();
        std::fs::copy(build::library_directory().join("libhoming.so"), here.join("libhoming.so")).unwrap();
        std::fs::copy(compiled.directory.join("Homing.dll"), here.join("Homing.dll")).unwrap();
        std::fs::write(here.join("Hello.cs"), block("`Hello.cs`:", "csharp")).unwrap();
        let command = block("`Hello.cs`:", "sh");
        assert_eq!(command, "mcs -r:Homing.dll Hello.cs && mono Hello.exe\n");
        let written = finish(Command::new("bash").args(["-c", command]).current_dir(here), "").unwrap();
        // The upstream and the token are random.
        let shape = |text: &str| {
            let words = text.split_whitespace().map(|word| match word.split_once('=') {
                Some(("homing", token)) => format!("homing={}", token.len()),
                _ => word.replace("app-2", "app-1"),
            });
            words.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shape(&written), shape(block("`Hello.cs`:", "text")));
    }
}
