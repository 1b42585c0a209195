//! The direct dependencies of the core and of its features, so that none is added unnoticed.

use std::process::Command;

fn direct_dependencies(features: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "homing",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--depth",
            "1",
            "--format",
            "{lib}",
        ])
        .arg("--no-default-features")
        .args(features)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut names: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().skip(1).map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn the_core_has_nine_dependencies() {
    let core = ["arc_swap", "base64", "ctutils", "hkdf", "parking_lot", "rand", "sha2", "thiserror", "twox_hash"];
    assert_eq!(direct_dependencies(&[]), core);
}

#[test]
fn http_adds_three() {
    let http = [
        "arc_swap",
        "base64",
        "cookie",
        "ctutils",
        "hkdf",
        "ipnet",
        "md5",
        "parking_lot",
        "rand",
        "sha2",
        "thiserror",
        "twox_hash",
    ];
    assert_eq!(direct_dependencies(&["--features", "http"]), http);
}

#[test]
fn a_service_adds_five_to_http() {
    let with = direct_dependencies(&["--features", "hyper"]);
    let http = direct_dependencies(&["--features", "http"]);
    let added: Vec<&String> = with.iter().filter(|name| !http.contains(name)).collect();
    assert_eq!(added, ["http", "http_body", "hyper", "pin_project_lite", "tower_service"]);
}

#[test]
fn configuration_adds_four() {
    let config = [
        "arc_swap",
        "base64",
        "cookie",
        "ctutils",
        "hkdf",
        "http",
        "humantime",
        "ipnet",
        "md5",
        "parking_lot",
        "rand",
        "serde",
        "sha2",
        "thiserror",
        "toml",
        "twox_hash",
    ];
    assert_eq!(direct_dependencies(&["--features", "config"]), config);
}
