//! A real etcd: what is there, what changes, what is wrong, and what happens while it is gone.

use super::{GUARD, members, next};
use crate::support::etcd::{self, Etcd};
use crate::support::test;
use homing::{Affinity, Balancer, KeyRing, Request, Timestamp, UpstreamConfig};
use homing_gateway::discovery::etcd::{
    EtcdClient, EtcdRegistration, EtcdSettings, EtcdSource, KeyPrefix, LiveSessionsPublisher,
};
use homing_gateway::discovery::{DiscoveryError, DiscoverySource, DiscoveryUpdate, KeysText};
use homing_gateway::roster::{DrainOverride, InstanceReport, Override, Overrides, Roster, RosterStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn client(etcd: &Etcd) -> EtcdClient {
    EtcdClient::new(&EtcdSettings { endpoints: vec![etcd.endpoint()], ..EtcdSettings::default() }).unwrap()
}

fn source(etcd: &Etcd) -> EtcdSource {
    EtcdSource::new(client(etcd), KeyPrefix::default(), "here".to_owned())
}

fn at(name: &str, port: u16) -> UpstreamConfig {
    UpstreamConfig::new(name, format!("127.0.0.1:{port}"))
}

fn put(etcd: &Etcd, name: &str, port: u16) -> i64 {
    etcd.put(&format!("/homing/upstreams/{name}"), &format!(r#"{{"address": "127.0.0.1:{port}"}}"#))
}

/// What is said next, which must be good.
async fn update(source: &mut EtcdSource) -> DiscoveryUpdate {
    next(source).await.expect("nothing is wrong")
}

async fn overrides(source: &mut EtcdSource) -> Overrides {
    loop {
        if let DiscoveryUpdate::Overrides(overrides) = update(source).await {
            return overrides;
        }
    }
}

/// A source that has reported `a`, and no override.
async fn begun(etcd: &Etcd) -> EtcdSource {
    let mut source = source(etcd);
    assert_eq!(members(&mut source).await, [at("a", 1)]);
    assert_eq!(update(&mut source).await, DiscoveryUpdate::Overrides(Overrides::new()));
    source
}

fn drained() -> Override {
    Override { drain: Some(DrainOverride { until: Some(NOW) }), ..Override::default() }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn what_is_there_is_said_first_and_then_what_changes() {
    if !etcd::is_here() {
        return;
    }
    let etcd = Etcd::start();
    put(&etcd, "b", 2);
    etcd.put("/homing/upstreams/a", r#"{"address": "127.0.0.1:1", "weight": 3, "max_in_flight": 9}"#);
    etcd.put("/homing/keys", "the keys");
    etcd.put("/homing/orders/a", &serde_json::to_string(&drained()).unwrap());
    etcd.put("/homing/reports/a", r#"{"sessions": 12}"#);
    etcd.put("/homingx/upstreams/c", "of another fleet");
    runtime().block_on(async {
        let mut source = source(&etcd);
        assert_eq!(update(&mut source).await, DiscoveryUpdate::Keys(KeysText("the keys".to_owned())));
        let first = vec![at("a", 1).weight(3).max_in_flight(9), at("b", 2)];
        assert_eq!(update(&mut source).await, DiscoveryUpdate::Members(first));
        assert_eq!(update(&mut source).await, DiscoveryUpdate::Overrides([("a".to_owned(), drained())].into()));
        let report = InstanceReport { sessions: Some(12), ..InstanceReport::default() };
        assert_eq!(update(&mut source).await, DiscoveryUpdate::Report { upstream: "a".to_owned(), report });

        put(&etcd, "c", 3);
        etcd.delete("/homing/upstreams/a");
        let with_c = vec![at("a", 1).weight(3).max_in_flight(9), at("b", 2), at("c", 3)];
        assert_eq!(members(&mut source).await, with_c);
        assert_eq!(members(&mut source).await, with_c[1..]);
        etcd.put("/homing/keys", "other keys");
        assert_eq!(update(&mut source).await, DiscoveryUpdate::Keys(KeysText("other keys".to_owned())));
        // Keys that are taken away are none to go by.
        etcd.delete("/homing/keys");
        etcd.delete("/homing/orders/a");
        assert_eq!(update(&mut source).await, DiscoveryUpdate::Overrides(Overrides::new()));
    });
}

#[test]
fn an_invalid_value_is_reported_by_its_key_and_the_last_valid_one_stays() {
    if !etcd::is_here() {
        return;
    }
    let etcd = Etcd::start();
    put(&etcd, "a", 1);
    runtime().block_on(async {
        let mut source = begun(&etcd).await;
        for (key, value, gist) in [
            ("upstreams/a", "{", "EOF"),
            ("upstreams/a", r#"{"address": "nowhere"}"#, "host:port"),
            ("upstreams/a", r#"{"address": "127.0.0.1:1", "weight": 0}"#, "from 1 to 65535"),
            ("upstreams/a", r#"{"adress": "127.0.0.1:1"}"#, "unknown field"),
            ("upstreams/two words", r#"{"address": "127.0.0.1:1"}"#, "visible ASCII"),
            ("orders/a", "7", "invalid type"),
            ("reports/a", r#"{"cpu": -1}"#, "not negative"),
            ("live/there/a", "nonsense", "sketch"),
        ] {
            etcd.put(&format!("/homing/{key}"), value);
            let refused = next(&mut source).await.expect_err(value);
            let DiscoveryError::Refused { place, message } = &refused else { panic!("{refused:?}") };
            assert_eq!(*place, format!("etcd key /homing/{key}"));
            assert!(message.contains(gist), "{message}");
        }
        put(&etcd, "b", 2);
        assert_eq!(members(&mut source).await, [at("a", 1), at("b", 2)]);
    });
}

#[test]
fn an_etcd_that_is_gone_takes_nothing_away_and_is_made_up_with() {
    if !etcd::is_here() {
        return;
    }
    let mut etcd = Etcd::start();
    put(&etcd, "a", 1);
    runtime().block_on(async {
        let mut source = begun(&etcd).await;
        etcd.kill();
        let gone = next(&mut source).await.unwrap_err();
        assert!(matches!(&gone, DiscoveryError::Unreachable { from, .. } if from.contains(&etcd.endpoint())), "{gone}");
        assert!(next(&mut source).await.is_err());
        etcd.revive();
        put(&etcd, "b", 2);
        assert_eq!(members(&mut source).await, [at("a", 1), at("b", 2)]);
        // Changes made before the watch resumes are reported, too: here while the source is not even polled.
        etcd.kill();
        etcd.revive();
        etcd.delete("/homing/upstreams/a");
        put(&etcd, "c", 3);
        let now = members(&mut source).await;
        assert_eq!(now, [at("b", 2), at("c", 3)], "all at once, as it was read anew");
    });
}

#[test]
fn a_watch_that_fell_behind_reads_anew() {
    if !etcd::is_here() {
        return;
    }
    let mut etcd = Etcd::start();
    put(&etcd, "a", 1);
    runtime().block_on(async {
        let mut source = source(&etcd);
        assert_eq!(members(&mut source).await, [at("a", 1)]);
        for port in 2..20 {
            let revision = put(&etcd, "a", port);
            etcd.compact(revision);
        }
        etcd.kill();
        etcd.revive();
        let mut last = members(&mut source).await;
        while last != [at("a", 19)] {
            last = members(&mut source).await;
        }
    });
}

#[test]
fn an_instance_is_there_as_long_as_it_says_so() {
    if !etcd::is_here() {
        return;
    }
    let etcd = Etcd::start();
    put(&etcd, "a", 1);
    runtime().block_on(async {
        let mut source = begun(&etcd).await;
        let config = at("b", 2).weight(7);
        let mut registration =
            EtcdRegistration::new(client(&etcd), &KeyPrefix::default(), &config, Duration::from_secs(1));
        let report = InstanceReport { sessions: Some(3), cpu: Some(0.25), ..InstanceReport::default() };
        registration.refresh(Some(report)).await.unwrap();
        assert_eq!(update(&mut source).await, DiscoveryUpdate::Members(vec![at("a", 1), config.clone()]));
        assert_eq!(update(&mut source).await, DiscoveryUpdate::Report { upstream: "b".to_owned(), report });
        registration.leave().await.unwrap();
        assert_eq!(update(&mut source).await, DiscoveryUpdate::Members(vec![at("a", 1)]));

        let mut registration =
            EtcdRegistration::new(client(&etcd), &KeyPrefix::default(), &config, Duration::from_secs(1));
        registration.refresh(None).await.unwrap();
        assert_eq!(update(&mut source).await, DiscoveryUpdate::Members(vec![at("a", 1), config.clone()]));
        // It falls silent; its lease runs out.
        assert_eq!(update(&mut source).await, DiscoveryUpdate::Members(vec![at("a", 1)]));
        // And it finds out and comes back.
        registration.refresh(None).await.unwrap();
        assert_eq!(update(&mut source).await, DiscoveryUpdate::Members(vec![at("a", 1), config]));
    });
}

#[test]
fn a_saved_override_is_in_etcd_and_an_older_value_does_not_undo_it() {
    if !etcd::is_here() {
        return;
    }
    let mut etcd = Etcd::start();
    put(&etcd, "a", 1);
    let runtime = runtime();
    let (mut here, mut there) = (source(&etcd), source(&etcd));
    runtime.block_on(async {
        members(&mut here).await;
        members(&mut there).await;
        assert_eq!((overrides(&mut here).await, overrides(&mut there).await), (Overrides::new(), Overrides::new()));
    });
    let store = here.override_store();
    let (a, b) = (drained(), Override { removed: true, ..Override::default() });
    store.save(&[("a", Some(&a)), ("b", Some(&b))], &Overrides::new()).unwrap();
    store.save(&[("b", None), ("c", Some(&b))], &Overrides::new()).unwrap();
    assert_eq!(serde_json::from_str::<Override>(&etcd.get("/homing/orders/a").unwrap()).unwrap(), a);
    assert_eq!(etcd.count("/homing/orders/"), 2);
    let last: Overrides = [("a".to_owned(), a.clone()), ("c".to_owned(), b.clone())].into();
    runtime.block_on(async {
        let between: Overrides = [("a".to_owned(), a.clone()), ("b".to_owned(), b.clone())].into();
        assert_eq!(overrides(&mut there).await, between, "who did not save hears of every step");
        assert_eq!(overrides(&mut there).await, last);
        assert_eq!(overrides(&mut here).await, last, "who did hears of nothing older");
    });
    // From within a runtime, as the administration does.
    runtime.block_on(async { store.save(&[("c", None)], &Overrides::new()).unwrap() });
    etcd.kill();
    let refused = store.save(&[("a", None)], &Overrides::new()).unwrap_err().to_string();
    assert!(refused.contains("etcd is unreachable"), "{refused}");
    etcd.revive();
    assert_eq!(etcd.count("/homing/orders/"), 1, "nothing of it was done");
}

#[test]
fn gateways_that_tell_each_other_count_the_same() {
    if !etcd::is_here() {
        return;
    }
    let etcd = Etcd::start();
    for (name, port) in [("a", 1), ("b", 2)] {
        put(&etcd, name, port);
    }
    let gateway = || {
        let affinity = Affinity::builder(KeyRing::builder("app", [7; 32]).sign_with(0, [0; 32]).build().unwrap());
        let balancer = Balancer::builder().upstreams([at("a", 1), at("b", 2)]).affinity(affinity.build().unwrap());
        Roster::new(Arc::new(balancer.build().unwrap()))
    };
    let live = |roster: &Roster| -> Vec<u32> {
        roster.balancer().cluster().members().iter().map(|member| member.upstream().live_sessions(NOW)).collect()
    };
    let (one, other) = (gateway(), gateway());
    for (roster, sessions) in [(&one, 300), (&other, 500)] {
        (0..sessions).for_each(|_| drop(roster.balancer().pick(&Request::new(NOW)).unwrap()));
    }
    let before: u32 = live(&one).iter().sum();
    runtime().block_on(async {
        let mut told = LiveSessionsPublisher::new(client(&etcd), KeyPrefix::default(), "there".to_owned());
        told.publish(other.balancer(), NOW).await.unwrap();
        assert_eq!(etcd.count("/homing/live/there/"), 2);
        let mut source = source(&etcd);
        let mut heard = 0;
        while heard < 2 {
            if let DiscoveryUpdate::Live { gateway, upstream, sketch } = update(&mut source).await {
                assert_eq!(gateway, "there");
                let cluster = one.balancer().cluster();
                assert!(cluster.find_name(&upstream).unwrap().upstream().absorb(&sketch, NOW));
                heard += 1;
            }
        }
        let mut own = EtcdSource::new(client(&etcd), KeyPrefix::default(), "there".to_owned());
        members(&mut own).await;
        assert_eq!(update(&mut own).await, DiscoveryUpdate::Overrides(Overrides::new()));
        let nothing = timeout(Duration::from_millis(300), own.next()).await;
        assert!(nothing.is_err(), "its own word is no news: {nothing:?}");
    });
    let all: u32 = live(&one).iter().sum();
    assert!(before.abs_diff(300) < 20 && all.abs_diff(800) < 40, "{before}, then {all}");
}

#[test]
fn a_source_with_credentials_logs_in_and_again_when_its_token_expires() {
    if !etcd::is_here() {
        return;
    }
    let etcd = Etcd::with(&["--auth-token-ttl", "1"]);
    put(&etcd, "a", 1);
    let user = serde_json::json!({"name": "root", "password": "secret"});
    etcd.call("/v3/auth/user/add", &user);
    etcd.call("/v3/auth/role/add", &serde_json::json!({"name": "root"}));
    etcd.call("/v3/auth/user/grant", &serde_json::json!({"user": "root", "role": "root"}));
    etcd.call("/v3/auth/enable", &serde_json::json!({}));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let client = |password: &str| {
        std::fs::write(&file, password).unwrap();
        let user = Some(("root".to_owned(), file.clone()));
        EtcdClient::new(&EtcdSettings { endpoints: vec![etcd.endpoint()], user, ..EtcdSettings::default() }).unwrap()
    };
    runtime().block_on(async {
        let client_of = client("secret\n");
        let mut source = EtcdSource::new(client_of.clone(), KeyPrefix::default(), "here".to_owned());
        assert_eq!(members(&mut source).await, [at("a", 1)]);
        // Longer than the lifetime of an unused token.
        sleep(Duration::from_secs(3)).await;
        let config = at("b", 2);
        let mut registration = EtcdRegistration::new(client_of, &KeyPrefix::default(), &config, Duration::from_secs(5));
        registration.refresh(None).await.unwrap();
        assert_eq!(members(&mut source).await, [at("a", 1), config]);

        let mut stranger = EtcdSource::new(client("wrong"), KeyPrefix::default(), "here".to_owned());
        let refused = timeout(GUARD, stranger.next()).await.unwrap().unwrap_err().to_string();
        assert!(refused.contains("authentication failed"), "{refused}");
    });
}

/// A certificate authority, and certificates that it signed.
struct Signed {
    folder: tempfile::TempDir,
}

impl Signed {
    fn new() -> Self {
        use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        write("ca.pem", ca.self_signed(&key).unwrap().pem());
        let issuer = Issuer::new(ca, key);
        for (name, host) in [("etcd", "127.0.0.1"), ("gateway", "gateway.internal")] {
            let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            let key = KeyPair::generate().unwrap();
            write(&format!("{name}.pem"), params.signed_by(&key, &issuer).unwrap().pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

#[test]
fn over_tls_both_sides_are_known() {
    if !etcd::is_here() {
        return;
    }
    let (signed, strangers) = (Signed::new(), Signed::new());
    let file = |name: &str| signed.path(name).to_str().unwrap().to_owned();
    let etcd = Etcd::with_tls(&file("etcd.pem"), &file("etcd.key"), &file("ca.pem"));
    put(&etcd, "a", 1);
    let settings = |ca: &Signed, ours: Option<&Signed>| EtcdSettings {
        endpoints: vec![etcd.tls_endpoint()],
        ca: Some(ca.path("ca.pem")),
        certificate: ours.map(|ours| ours.path("gateway.pem")),
        key: ours.map(|ours| ours.path("gateway.key")),
        ..EtcdSettings::default()
    };
    let source = |settings: &EtcdSettings| {
        EtcdSource::new(EtcdClient::new(settings).unwrap(), KeyPrefix::default(), "here".to_owned())
    };
    runtime().block_on(async {
        let mut good = source(&settings(&signed, Some(&signed)));
        assert_eq!(members(&mut good).await, [at("a", 1)]);
        put(&etcd, "b", 2);
        assert_eq!(members(&mut good).await, [at("a", 1), at("b", 2)]);
        for (ca, ours) in [(&strangers, Some(&signed)), (&signed, None), (&signed, Some(&strangers))] {
            let refused = next(&mut source(&settings(ca, ours))).await.unwrap_err();
            assert!(matches!(refused, DiscoveryError::Unreachable { .. }), "{refused}");
        }
    });
    let half = EtcdSettings { key: None, ..settings(&signed, Some(&signed)) };
    assert!(EtcdClient::new(&half).unwrap_err().to_string().contains("belong together"));
    let unsigned = EtcdSettings { ca: None, ..settings(&signed, None) };
    assert!(EtcdClient::new(&unsigned).unwrap_err().to_string().contains("needs ca"));
}
