//! Freezes what compiled programs rely on: functions and numbers.

use crate::support::test;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::library::{PLANTED, Standard, have, header, prefix, run, scratch};
use crate::root;

/// Fails where a frozen file differs from the present state, or writes it, with `HOMING_BLESS`.
pub fn compare(file: &str, now: &str) {
    let path = root().join("capi/tests/c").join(file);
    if std::env::var_os("HOMING_BLESS").is_some() {
        fs::write(&path, now).expect("write the frozen file");
    }
    let frozen = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        frozen == now,
        "capi/tests/c/{file} is out of date: see capi/tests/c/mod.rs.\n{}",
        difference(&frozen, now)
    );
}

fn difference(frozen: &str, now: &str) -> String {
    let [old, new] = [frozen, now].map(|text| text.lines().collect::<BTreeSet<_>>());
    let gone = old.difference(&new).map(|line| format!("- {line}\n"));
    gone.chain(new.difference(&old).map(|line| format!("+ {line}\n"))).collect()
}

/// The functions that the header declares.
fn declared(defines: &[&str]) -> BTreeSet<String> {
    let source = run(Command::new("gcc").args(["-E", "-P"]).args(defines).arg(header()));
    let name =
        |at: usize| source[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let starts =
        source.match_indices("homing_").filter(|(at, _)| !source[..*at].ends_with(|c: char| c.is_alphanumeric()));
    starts
        .map(|(at, _)| (at, name(at)))
        .filter(|(at, name)| source[at + name.len()..].starts_with('('))
        .map(|(_, name)| name)
        .collect()
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn functions_are_frozen() {
    if have(&["gcc"]) {
        let functions: Vec<String> = declared(&[]).into_iter().collect();
        assert!(functions.len() > 40, "{functions:?}");
        compare("symbols.txt", &(functions.join("\n") + "\n"));
    }
}

#[test]
fn the_library_exports_what_the_header_declares() {
    if have(&["gcc", "nm"]) {
        let exports = run(Command::new("nm")
            .args(["-D", "--defined-only", "--format=posix"])
            .arg(prefix().join("lib/libhoming.so")));
        let exported: BTreeSet<String> =
            exports.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
        assert_eq!(exported, declared(&[PLANTED]));
        // The control: another build of the header declares something else.
        assert_ne!(exported, declared(&[]));
    }
}

#[test]
fn every_function_is_misused() {
    if have(&["gcc"]) {
        let matrix = super::programs::Build::plain(Standard("c99")).program("matrix");
        assert_eq!(lines(&run(Command::new(matrix).arg("names"))), declared(&[]));
    }
}

/// Every macro that is a number, by the preprocessor and the compiler.
#[test]
fn numbers_are_frozen() {
    if have(&["gcc"]) {
        let macros = run(Command::new("gcc").args(["-E", "-dM"]).arg(header()));
        let macros = macros.lines().filter_map(|line| line.strip_prefix("#define ")?.split_once(' '));
        // The include guard has no value.
        let names = macros.filter(|(name, value)| name.starts_with("HOMING_") && !value.is_empty());
        let names: BTreeSet<&str> = names.map(|(name, _)| name).collect();
        assert!(names.len() > 60, "{names:?}");
        let prints: String =
            names.iter().map(|name| format!("    printf(\"{name} %lld\\n\", (long long)({name}));\n")).collect();
        let source =
            format!("#include \"homing.h\"\n#include <stdio.h>\nint main(void)\n{{\n{prints}    return 0;\n}}\n");
        fs::create_dir_all(scratch()).expect("a directory");
        let (path, program) = (scratch().join("numbers.c"), scratch().join("numbers"));
        fs::write(&path, source).expect("write a program");
        run(Standard("c11").compile().arg("-I").arg(root().join("include")).arg(&path).arg("-o").arg(&program));
        compare("constants.txt", &run(&mut Command::new(program)));
    }
}

#[test]
fn a_difference_is_told() {
    assert_eq!(difference("A 1\nB 2\n", "A 1\nB 3\n"), "- B 2\n+ B 3\n");
}
