//! A list in a file.

use super::{error, members};
use crate::support::test;
use homing::UpstreamConfig;
use homing_gateway::discovery::{DiscoveryError, FileSource};
use std::fs;
use std::path::Path;

/// As a careful program replaces a file.
fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(&next, path).unwrap();
}

fn entry(name: &str, port: u16) -> String {
    format!("[[upstream]]\nname = \"{name}\"\naddress = \"127.0.0.1:{port}\"\n")
}

#[test]
async fn each_version_is_said_once_and_a_wrong_one_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("upstreams.toml");
    let mut source = FileSource::watch(&path);
    let absent = error(&mut source).await;
    assert!(
        matches!(&absent, DiscoveryError::Unreachable { from, .. } if *from == path.display().to_string()),
        "{absent}"
    );

    replace(&path, &entry("a", 1));
    assert_eq!(members(&mut source).await, [UpstreamConfig::new("a", "127.0.0.1:1")]);

    // The same in other words is no news: what comes next is the error.
    replace(&path, &format!("# the same\n{}", entry("a", 1)));
    replace(&path, &format!("{}weight = 0\n", entry("a", 1)));
    let refused = error(&mut source).await.to_string();
    assert!(refused.starts_with(&format!("{}:4:10: upstream[0].weight: ", path.display())), "{refused}");

    replace(&path, "");
    let empty = error(&mut source).await.to_string();
    assert!(empty.contains("add an [[upstream]]"), "{empty}");

    replace(&path, &(entry("a", 1) + &entry("b", 2)));
    let both = [UpstreamConfig::new("a", "127.0.0.1:1"), UpstreamConfig::new("b", "127.0.0.1:2")];
    assert_eq!(members(&mut source).await, both);

    fs::remove_file(&path).unwrap();
    assert!(matches!(error(&mut source).await, DiscoveryError::Unreachable { .. }));
    replace(&path, &entry("b", 2));
    assert_eq!(members(&mut source).await, both[1..]);
}

/// As Kubernetes does with a ConfigMap: the file is a link to a folder that is a link, and that is replaced.
#[cfg(unix)]
#[test]
async fn a_folder_of_links_is_followed() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, port) in [("1", 1), ("2", 2)] {
        fs::create_dir(at(version)).unwrap();
        fs::write(
            at(version).join("upstreams.json"),
            format!(r#"{{"upstream": [{{"name": "a", "address": "127.0.0.1:{port}"}}]}}"#),
        )
        .unwrap();
    }
    symlink("1", at("..data")).unwrap();
    symlink("..data/upstreams.json", at("upstreams.json")).unwrap();
    let mut source = FileSource::watch(at("upstreams.json"));
    assert_eq!(members(&mut source).await, [UpstreamConfig::new("a", "127.0.0.1:1")]);
    symlink("2", at("..next")).unwrap();
    fs::rename(at("..next"), at("..data")).unwrap();
    assert_eq!(members(&mut source).await, [UpstreamConfig::new("a", "127.0.0.1:2")]);
}
