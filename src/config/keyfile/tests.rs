//! Tests of refusals, creation, and that secrets are never printed.

use std::fs;
use std::sync::Barrier;

use super::create::{HEAD, create};
use super::*;
use crate::config::document::refusals::check_refusals;
use crate::{Affinity, Balancer, Decision, PinLoss, Request, Timestamp, UpstreamConfig};

const A: &str = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";
const B: &str = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=";

fn parsed(text: &str) -> Result<KeyFile, ConfigError> {
    KeyFile::parse(text, Path::new("homing.keys"))
}

#[test]
fn a_key_file_is_plain_data() {
    let text = format!(
        "identity = \"{A}\"\n[[key]]\nid = 15\nsecret = \"{B}\"\nuse = \"verify\"\n\
         [[key]]\nid = 0\nsecret = \"{A}\"\nuse = \"sign\"\n"
    );
    let file = parsed(&text).unwrap();
    assert_eq!(file.identity, [b'A'; 32]);
    let keys: Vec<_> = file.keys.iter().map(|key| (key.id, key.secret[0], key.secret.len(), key.sign)).collect();
    assert_eq!(keys, [(15, b'B', 32, false), (0, b'A', 32, true)]);
    assert_eq!(file.warning(), None);
}

/// Every program that loads a key file derives the same keys: another pool name would invalidate all tokens.
#[test]
fn the_ring_is_of_the_pool_gateway() {
    let decision = |pool: &str| {
        let balancer = |keys| {
            let affinity = Affinity::builder(keys).build().unwrap();
            Balancer::builder().upstream(UpstreamConfig::new("a", "a:1")).affinity(affinity).build().unwrap()
        };
        let file = format!(
            "identity = \"{A}\"\n[[key]]\nid = 1\nsecret = \"{A}\"\nuse = \"sign\"\n\
             [[key]]\nid = 2\nsecret = \"{B}\"\nuse = \"verify\"\n"
        );
        let ring = parsed(&file).unwrap().ring().unwrap();
        assert_eq!(ring.signer(), 1);
        let elsewhere = KeyRing::builder(pool, [b'A'; 32]).sign_with(2, [b'B'; 32]).build().unwrap();
        let now = Timestamp::from_secs(1_700_000_000);
        let token = balancer(elsewhere).pick(&Request::new(now)).unwrap().token.unwrap();
        balancer(ring).pick(&Request::new(now).tokens(&[token.as_bytes()])).unwrap().decision
    };
    assert_eq!(decision("gateway"), Decision::Pinned);
    assert_eq!(decision("other"), Decision::PinLost(PinLoss::BadTag));
}

#[test]
fn every_refusal_has_its_place_and_no_secret() {
    let table = r#"
[[key]]
=> 1:1: identity: the base64 of 32 bytes
identity = "QUFB"
=> 1:12: identity: the base64 of 32 bytes
identity = ["@A"]
=> 1:12: identity: the base64 of 32 bytes
identity = @A
=> 1:55: identity: expected newline
identity = "@A"
@B
=> 2:45: top level: expected
"@B" = 1
=> 1:1: top level: known are identity, key
identity = "@A"
secret = "@B"
=> 2:1: secret: known are identity, key
identity = "@A"
=> 1:1: key: one or more [[key]]
identity = "@A"
key = "@B"
=> 2:7: key: one or more [[key]]
identity = "@A"
key = ["@B"]
=> 2:8: key[0]: a table
identity = "@A"
[[key]]
uses = "@B"
=> 3:1: key[0]: known are id, secret, use
identity = "@A"
[[key]]
id = 16
=> 3:6: key[0].id: 0 to 15
identity = "@A"
[[key]]
id = -1
=> 3:6: key[0].id: 0 to 15
identity = "@A"
[[key]]
id = "@B"
=> 3:6: key[0].id: 0 to 15
identity = "@A"
[[key]]
id = 0
=> 2:1: key[0].secret: 32 bytes or more
identity = "@A"
[[key]]
id = 0
secret = "QUFB"
=> 4:10: key[0].secret: 32 bytes or more
identity = "@A"
[[key]]
id = 0
secret = "@B@B"
=> 4:10: key[0].secret: openssl rand
identity = "@A"
[[key]]
id = 0
secret = "@B"
use = "@B"
=> 5:7: key[0].use: "sign" or "verify"
identity = "@A"
[[key]]
id = 0
secret = "@B"
use = "verify"
=> 2:1: key: no key signs
identity = "@A"
key = [{ id = 0, secret = "@A", use = "sign" }, { id = 0, secret = "@B", use = "verify" }]
=> 2:98: key[1].id: an earlier key
identity = "@A"
[[key]]
id = 0
secret = "@A"
use = "sign"
[[key]]
id = 1
secret = "@B"
use = "sign"
=> 9:7: key[1].use: on one key alone
"#;
    check_refusals(&table.replace("@A", A).replace("@B", B), |text| match parsed(text) {
        Err(ConfigError::Invalid(error)) => {
            for secret in ["QUFB", "QkJC"] {
                assert!(!format!("{error} {error:?}").contains(secret), "{error}");
            }
            error
        }
        other => panic!("{text:?} should be refused, but: {other:?}"),
    });
}

#[test]
fn a_new_file_is_loaded_again_and_rotates_as_its_head_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("homing.keys");
    let created = KeyFile::load_or_create(&path).unwrap();
    assert_eq!(created.identity.len(), SECRET_LEN);
    assert_eq!(created.keys.len(), 1);
    assert!(created.keys[0].sign);
    assert_eq!(created.keys[0].secret.len(), SECRET_LEN);
    assert_ne!(created.keys[0].secret, created.identity);
    let loaded = KeyFile::load_or_create(&path).unwrap();
    assert_eq!(loaded.identity, created.identity);
    assert_eq!(loaded.keys[0].secret, created.keys[0].secret);

    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(HEAD));
    let both = format!("{text}[[key]]\nid = 1\nsecret = \"{B}\"\nuse = \"verify\"\n");
    assert_eq!(parsed(&both).unwrap().keys.iter().map(|key| key.sign).collect::<Vec<_>>(), [true, false]);

    let other = KeyFile::load_or_create(&folder.path().join("other.keys")).unwrap();
    assert_ne!(other.identity, created.identity);
    assert_ne!(other.keys[0].secret, created.keys[0].secret);
}

#[test]
fn gateways_that_start_at_once_agree_on_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("homing.keys");
    let barrier = Barrier::new(8);
    let identities: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    KeyFile::load_or_create(&path).unwrap().identity
                })
            })
            .collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert!(identities.iter().all(|identity| *identity == identities[0]));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "drafts are left over");
}

#[test]
fn a_file_that_is_there_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("homing.keys");
    fs::write(&path, "not a key file").unwrap();
    create(&path).unwrap();
    assert!(matches!(KeyFile::load_or_create(&path), Err(KeyFileError::Load(ConfigError::Invalid(_)))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "not a key file");
}

#[test]
fn where_it_cannot_be_created_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent").join("homing.keys");
    let error = KeyFile::load_or_create(&path).unwrap_err();
    assert!(matches!(&error, KeyFileError::Create { file, .. } if *file == path), "{error}");
    let shown = error.to_string();
    assert!(shown.starts_with(&format!("{}: can't be created: ", path.display())), "{shown}");
}

#[cfg(unix)]
#[test]
fn a_new_file_is_private_and_an_open_one_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("homing.keys");
    assert_eq!(KeyFile::load_or_create(&path).unwrap().warning(), None);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let open = KeyFile::load_or_create(&path).unwrap();
    let warning = open.warning().unwrap();
    assert!(warning.contains("mode 644") && warning.contains("chmod 600"), "{warning}");
}

#[test]
fn debug_shows_no_secret() {
    let text = format!("identity = \"{A}\"\n[[key]]\nid = 3\nsecret = \"{B}\"\nuse = \"sign\"\n");
    let shown = format!("{:?}", parsed(&text).unwrap());
    assert_eq!(shown, "KeyFile { keys: [Key { id: 3, sign: true, .. }], warning: None, .. }");
}
