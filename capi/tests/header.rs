//! `include/homing.h` is what cbindgen generates from `capi/src/`.
//!
//! `HOMING_BLESS=1 cargo test -p homing-capi header` generates the header again, after a change of `capi/src/`.

use crate::support::test;
use std::fs;

use crate::root;

/// The files in the order of the header: what others refer to comes first.
const FILES: [&str; 17] = [
    "constants",
    "registry",
    "version",
    "sink",
    "log",
    "keyring",
    "config",
    "config_options",
    "balancer",
    "request",
    "pick",
    "steps",
    "cookies",
    "health",
    "plan",
    "upstream_status",
    "events",
];

fn generated() -> String {
    let root = root();
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in FILES {
        builder = builder.with_src(root.join(format!("capi/src/{file}.rs")));
    }
    let mut header = Vec::new();
    builder.generate().expect("a header").write(&mut header);
    let header = String::from_utf8(header).expect("UTF-8");
    // Rust wants this heading; C programmers need its text alone.
    header.lines().filter(|line| line.trim() != "* # Safety").map(|line| with_macro(line) + "\n").collect()
}

/// Macros of negative numbers need parentheses, and C++98 does not define UINT32_MAX and UINT64_MAX.
fn with_macro(line: &str) -> String {
    let Some((define, value)) = line.rsplit_once(' ').filter(|(define, _)| define.starts_with("#define ")) else {
        return line.to_owned();
    };
    match value {
        "UINT32_MAX" => format!("{define} ((uint32_t)-1)"),
        "UINT64_MAX" => format!("{define} ((uint64_t)-1)"),
        _ if value.starts_with('-') => format!("{define} ({value})"),
        _ => line.to_owned(),
    }
}

#[test]
fn the_header_is_that_of_the_code() {
    let path = root().join("include/homing.h");
    let generated = generated();
    if std::env::var_os("HOMING_BLESS").is_some() {
        fs::write(&path, &generated).expect("write the header");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let first = generated.lines().zip(committed.lines()).position(|(new, old)| new != old);
    assert!(
        generated == committed,
        "include/homing.h differs from capi/src/ (first at line {:?}): \
         run HOMING_BLESS=1 cargo test -p homing-capi header",
        first.map(|line| line + 1)
    );
}

/// The control: an export of a file that is not in the list would be missing.
#[test]
fn every_export_is_in_the_header() {
    let header = generated();
    let folder = root().join("capi/src");
    let mut exports = 0;
    for file in fs::read_dir(folder).expect("capi/src") {
        let source = fs::read_to_string(file.expect("a file").path()).expect("a source file");
        for (index, _) in source.match_indices("extern \"C\" fn homing_") {
            let name: String = source[index + 14..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            assert!(header.contains(&format!(" {name}(")), "{name} is not in the header");
            exports += 1;
        }
    }
    assert!(exports > 40, "{exports} exports found");
}
