//! Compiles the programs in this directory in several ways, and runs them.

use crate::support::test;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::library::{PLANTED, Standard, attempt, have, header, prefix, run, scratch};
use crate::root;

/// A way to compile.
pub struct Build {
    name: String,
    standard: Standard,
    flags: &'static [&'static str],
    link: Vec<String>,
}

impl Build {
    pub fn plain(standard: Standard) -> Self {
        let lib = prefix().join("lib").into_os_string().into_string().expect("a path in UTF-8");
        let link = vec![format!("-L{lib}"), format!("-Wl,-rpath,{lib}"), "-lhoming".to_owned()];
        Self { name: standard.0.to_owned(), standard, flags: &[], link }
    }

    fn sanitized(standard: Standard) -> Self {
        let flags = &["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
        Self { name: format!("{}-sanitized", standard.0), flags, ..Self::plain(standard) }
    }

    /// With the static library and the libraries that it needs, by pkg-config.
    fn linked_statically(standard: Standard) -> Self {
        let mut pkg_config = Command::new("pkg-config");
        pkg_config.args(["--static", "--libs", "homing"]).env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig"));
        let libs = run(&mut pkg_config);
        let link = libs.split_whitespace().map(|lib| if lib == "-lhoming" { "-l:libhoming.a" } else { lib }.to_owned());
        Self { name: format!("{}-static", standard.0), link: link.collect(), ..Self::plain(standard) }
    }

    /// Compiles one of the programs.
    pub fn program(&self, name: &str) -> PathBuf {
        let directory = scratch().join(&self.name);
        fs::create_dir_all(&directory).expect("a directory");
        let sources = match name {
            "matrix" => &["matrix.c", "attempt.c", "functions.c", "world.c"][..],
            "behaviour" => &["behaviour.c", "world.c"],
            "threads" => &["threads.c", "world.c"],
            "fork" => &["fork.c", "world.c"],
            _ => panic!("{name} is not one of them"),
        };
        // Tests run concurrently, and may compile the same program.
        let made = tempfile::Builder::new().tempfile_in(&directory).expect("a file").into_temp_path();
        let mut compile = self.standard.compile();
        compile.args(["-g", "-pthread", "-D_POSIX_C_SOURCE=200809L", PLANTED]).args(self.flags);
        compile
            .arg("-I")
            .arg(prefix().join("include"))
            .args(sources.iter().map(|source| root().join("capi/tests/c").join(source)));
        run(compile.args(["-x", "none", "-o"]).arg(&made).args(&self.link));
        let path = directory.join(name);
        made.persist(&path).expect("keep the program");
        path
    }

    /// Compiles and runs all programs, under another program if one is given. `rounds` is for those with a configurable
    /// duration.
    fn run_all(&self, under: &[&str], rounds: u32) {
        let key_file = tempfile::tempdir().expect("a directory");
        let key_file = key_file.path().join("keys").into_os_string().into_string().expect("a path in UTF-8");
        let rounds = rounds.to_string();
        let runs: [(&str, &[&str]); 5] = [
            ("matrix", &["misuse", &key_file]),
            ("matrix", &["panic", &key_file]),
            ("behaviour", &[&key_file]),
            ("threads", &[&rounds]),
            ("fork", &[&rounds]),
        ];
        for (name, arguments) in runs {
            let program = self.program(name);
            let mut command = match under {
                [] => Command::new(&program),
                [outer, options @ ..] => {
                    let mut command = Command::new(outer);
                    command.args(options).arg(&program);
                    command
                }
            };
            // A backtrace is slow, and slower under valgrind.
            let text = run(command.args(arguments).env("RUST_BACKTRACE", "0"));
            print!("{}: {name}: {}", self.name, if text.is_empty() { "\n" } else { &text });
        }
    }
}

const VALGRIND: [&str; 6] = [
    "valgrind",
    "--quiet",
    "--leak-check=full",
    // Not memory that is still reachable: the tables of handles and leases, and thread-local data, live until the
    // process ends.
    "--show-leak-kinds=definite,indirect,possible",
    "--errors-for-leak-kinds=definite,indirect,possible",
    "--error-exitcode=99",
];

#[test]
fn the_header_stands_by_itself() {
    for standard in ["c99", "c11", "c++98", "c++17"].map(Standard) {
        if have(&[standard.compiler()]) {
            let source = root().join("capi/tests/c/header.c");
            run(standard.compile().arg("-fsyntax-only").arg("-I").arg(root().join("include")).arg(source));
        }
    }
    assert!(header().is_file());
}

#[test]
fn as_c99() {
    if have(&["gcc"]) {
        Build::plain(Standard("c99")).run_all(&[], 10_000);
    }
}

#[test]
fn as_c11_with_sanitizers() {
    if have(&["gcc"]) {
        Build::sanitized(Standard("c11")).run_all(&[], 2_000);
    }
}

#[test]
fn as_cxx17() {
    if have(&["g++"]) {
        Build::plain(Standard("c++17")).run_all(&[], 1_000);
    }
}

#[test]
fn under_valgrind() {
    if have(&["gcc", "valgrind"]) {
        Build::plain(Standard("c11")).run_all(&VALGRIND, 300);
    }
}

#[test]
fn linked_statically() {
    if have(&["gcc", "pkg-config"]) {
        let key_file = tempfile::tempdir().expect("a directory");
        let program = Build::linked_statically(Standard("c11")).program("behaviour");
        run(Command::new(&program).arg(key_file.path().join("keys")));
        let needed = run(Command::new("readelf").arg("-d").arg(&program));
        assert!(needed.contains("NEEDED") && !needed.contains("libhoming"), "{needed}");
    }
}

/// With make and pkg-config, as its head comment says.
#[test]
fn the_example_runs() {
    if have(&["gcc", "make", "pkg-config"]) {
        let directory = tempfile::tempdir().expect("a directory");
        for file in ["Makefile", "sticky.c"] {
            fs::copy(root().join("examples/c").join(file), directory.path().join(file)).expect("copy the example");
        }
        let mut make = Command::new("make");
        make.args(["--silent", "CFLAGS=-Wall -Wextra -Werror -pedantic", "run"]).current_dir(directory.path());
        let said = run(make.env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig")));
        for line in ["because it is new", "because it is pinned", "Set-Cookie: shop=", "requested by an operator"] {
            assert!(said.contains(line), "no \"{line}\" in {said}");
        }
    }
}

/// The controls: sanitizers and valgrind detect a leak and an overflow.
#[test]
fn faults_are_found() {
    let leak = "#include <stdlib.h>\nint main(void) { void *volatile a = malloc(9); a = NULL; return a != NULL; }\n";
    let overflow =
        "#include <stdlib.h>\nint main(void) { volatile char *a = malloc(9); a[9] = 1; free((void *)a); return 0; }\n";
    for (name, source) in [("leak", leak), ("overflow", overflow)] {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, program) = (directory.path().join("fault.c"), directory.path().join("fault"));
        fs::write(&path, source).expect("write a program");
        if have(&["gcc", "valgrind"]) {
            run(Standard("c11").compile().arg(&path).arg("-o").arg(&program));
            let (succeeded, _) = attempt(Command::new(VALGRIND[0]).args(&VALGRIND[1..]).arg(&program));
            assert!(!succeeded, "valgrind overlooks a {name}");
            run(Standard("c11")
                .compile()
                .args(Build::sanitized(Standard("c11")).flags)
                .arg(&path)
                .arg("-o")
                .arg(&program));
            assert!(!attempt(&mut Command::new(&program)).0, "the sanitizers overlook a {name}");
        }
    }
}
