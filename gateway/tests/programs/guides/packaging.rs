//! `packaging/`, as far as it can be checked without being installed.

use crate::support::test;
use std::fs;
use std::process::{Command, Output};

use crate::support::gateway::run;
use crate::support::program::find;

fn read(file: &str) -> String {
    fs::read_to_string(format!("{}/packaging/{file}", concat!(env!("CARGO_MANIFEST_DIR"), "/.."))).expect("read it")
}

/// systemd's report about a unit with that text.
fn analyze(words: &[&str], unit: &str) -> Option<Output> {
    let program = find("systemd-analyze")?;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("homing.service");
    fs::write(&file, unit).expect("write the unit");
    Some(Command::new(program).args(words).arg(file).output().expect("run systemd-analyze"))
}

/// The unit, as if the gateway were installed.
fn unit() -> String {
    let unit = read("systemd/homing.service");
    assert!(unit.contains("ExecStart=/usr/local/bin/homing run --config /etc/homing/homing.toml\n"));
    unit.replace("/usr/local/bin/homing", "/bin/true")
}

#[test]
fn systemd_takes_the_unit_without_a_word() {
    let Some(said) = analyze(&["verify"], &unit()) else { return };
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
    let misspelt = unit().replace("ProtectHome=", "ProtectHomes=");
    let said = analyze(&["verify"], &misspelt).expect("it is there");
    assert!(String::from_utf8_lossy(&said.stderr).contains("ProtectHomes"), "{said:?}");
}

#[test]
fn the_service_is_exposed_to_little() {
    // Tenths: 2.0 of 10.
    let security = ["security", "--offline=true", "--threshold=20"];
    let Some(said) = analyze(&security, &unit()) else { return };
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
    let open: String =
        unit().lines().filter(|line| !line.starts_with("SystemCall")).map(|line| format!("{line}\n")).collect();
    assert!(!analyze(&security, &open).expect("it is there").status.success());
}

#[test]
fn the_image_is_built_by_the_book() {
    let Some(hadolint) = find("hadolint") else { return };
    let said = Command::new(hadolint)
        .arg(format!("{}/packaging/Dockerfile", concat!(env!("CARGO_MANIFEST_DIR"), "/..")))
        .output();
    let said = said.expect("run hadolint");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
}

/// groff's warnings about a page of the manual.
fn warnings(page: &str) -> Option<String> {
    let program = find("groff")?;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("page.1");
    fs::write(&file, page).expect("write the page");
    let output = Command::new(program).args(["-man", "-ww", "-z", "-Tutf8"]).arg(file).output().expect("run groff");
    Some(String::from_utf8(output.stderr).expect("text"))
}

#[test]
fn the_manual_is_set_without_a_warning() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    assert!(run(folder.path(), &["man", "."]).status.success());
    for page in fs::read_dir(folder.path()).expect("list") {
        let page = fs::read_to_string(page.expect("a file").path()).expect("read it");
        let Some(said) = warnings(&page) else { return };
        assert_eq!(said, "", "{page}");
        let broken = page.replacen(".SH", ".SHH", 1);
        assert!(warnings(&broken).expect("it is there").contains("SHH"), "{page}");
    }
}
