//! Compares the types of the library's functions, by its debugging information, with the frozen ones.
//!
//! abidw also describes Rust's own types, in thousands of lines that change with the compiler. Only the types that the
//! functions refer to are kept.

use crate::support::test;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use super::library::{attempt, have, prefix, run, scratch};
use crate::root;

/// The lines of an element that begins at one of `lines`, which abidw indents by their depth.
fn element<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let outer = depth(lines[0]);
    let ends = |line: &&str| depth(line) == outer && line.trim_start().starts_with("</");
    let len = match lines[0].ends_with("/>") {
        true => 1,
        false => 1 + lines.iter().position(ends).expect("an end"),
    };
    lines[..len].iter().map(|line| &line[outer..]).collect()
}

fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {name}='"))?;
    rest.split('\'').next()
}

/// The part of abidw's document that describes the functions of the header.
fn interface(document: &str) -> String {
    let lines: Vec<&str> = document.lines().collect();
    let is_ours = |name: &&str| name.starts_with("homing_") && *name != "homing_plant_panic";
    let mut types = BTreeMap::new();
    let mut functions = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some(id) = attribute(line, "id").filter(|_| attribute(line, "is-declaration-only").is_none()) {
            types.entry(id).or_insert_with(|| element(&lines[at..]));
        }
        if let Some(name) = attribute(line, "elf-symbol-id").filter(is_ours) {
            functions.insert(name, element(&lines[at..]));
        }
    }
    let named = |element: &[&'_ str]| {
        element.iter().filter_map(|line| attribute(line, "type-id").map(str::to_owned)).collect::<Vec<_>>()
    };
    let mut waiting: Vec<String> = functions.values().flat_map(|function| named(function)).collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if reached.insert(id.clone()) {
            waiting.extend(named(&types[id.as_str()]));
        }
    }
    let symbols = lines
        .iter()
        .filter(|line| line.contains("<elf-symbol ") && attribute(line, "name").is_some_and(|name| is_ours(&name)));
    let symbols: String = symbols.map(|line| format!("    {}\n", line.trim())).collect();
    let elements = reached.iter().map(|id| &types[id.as_str()]).chain(functions.values());
    let elements: String = elements.flatten().map(|line| format!("    {line}\n")).collect();
    format!(
        "<abi-corpus version='2.1' soname='libhoming.so.0'>\n  <elf-function-symbols>\n{symbols}  </elf-function-symbols>\n  \
         <abi-instr address-size='64' path='capi/src' language='LANG_C11'>\n{elements}  </abi-instr>\n</abi-corpus>\n"
    )
}

/// The differences for a program that was compiled with `old` and runs with `new`.
fn difference(old: &str, new: &str) -> Option<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let [old, new] = [("old", old), ("new", new)].map(|(name, text)| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("write what abidw said");
        path
    });
    let (same, output) = attempt(Command::new("abidiff").arg("--no-show-locs").arg(old).arg(new));
    (!same).then(|| format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn types_are_frozen() {
    // The frozen file is of this architecture.
    if cfg!(not(target_arch = "x86_64")) || !have(&["abidw", "abidiff"]) {
        return;
    }
    let mut abidw = Command::new("abidw");
    abidw.args([
        "--no-corpus-path",
        "--no-comp-dir-path",
        "--no-architecture",
        "--no-elf-needed",
        "--no-write-default-sizes",
    ]);
    abidw.args(["--no-show-locs", "--type-id-style", "hash"]).arg(prefix().join("lib/libhoming.so"));
    let now = interface(&run(&mut abidw));
    assert!(now.matches("<function-decl").count() > 40 && now.contains("name='homing_pick_result' size-in-bits='960'"));
    let path = root().join("capi/tests/c/homing.abi");
    if std::env::var_os("HOMING_BLESS").is_some() {
        fs::write(&path, &now).expect("write the frozen file");
    }
    fs::create_dir_all(scratch()).expect("a directory");
    fs::write(scratch().join("homing.abi"), &now).expect("write what there is now");
    let frozen = fs::read_to_string(&path).expect("capi/tests/c/homing.abi");
    if let Some(difference) = difference(&frozen, &now) {
        panic!("capi/tests/c/homing.abi is out of date: see capi/tests/c/mod.rs.\n{difference}");
    }

    // The controls: another type of a parameter, another order of a struct, and a function that is gone.
    let u64_of = attribute(frozen.lines().find(|line| line.contains("<type-decl name='u64'")).expect("u64"), "id")
        .expect("its id");
    let u32_of = attribute(frozen.lines().find(|line| line.contains("<type-decl name='u32'")).expect("u32"), "id")
        .expect("its id");
    let at = frozen.find("<function-decl name='homing_tick'").expect("a function");
    let (before, after) = frozen.split_at(at);
    let other_parameter = format!("{before}{}", after.replacen(u64_of, u32_of, 1));
    let at = frozen.find("<class-decl name='homing_event'").expect("a struct");
    let (before, after) = frozen.split_at(at);
    let other_order =
        format!("{before}{}", after.replacen("layout-offset-in-bits='64'", "layout-offset-in-bits='128'", 1));
    let gone: Vec<&str> = frozen.lines().filter(|line| !line.contains("<elf-symbol name='homing_tick'")).collect();
    for (changed, tells) in
        [(other_parameter, "homing_tick"), (other_order, "offset"), (gone.join("\n"), "homing_tick")]
    {
        let told = difference(&frozen, &changed).expect("a difference");
        assert!(told.contains(tells), "{told}");
    }
}
