//! Every refusal with its exact place, key and the gist of its message.

use super::refusals::check_refusals;
use super::*;
use crate::discovery::dns::DnsQuery;
use homing::affinity::{LegacyFormat, Secret};
use homing::health::HealthSettings;
use homing::http::{CookieName, RequestKey, SameSite, Secure};
use homing::proxy::{ProbeProfile, ProbeSettings};
use homing::{OnFull, OnRestart};
use http::HeaderName;
use std::collections::BTreeMap;

const UPSTREAM: &str = "[[upstream]]\nname = \"app-1\"\naddress = \"127.0.0.1:9001\"\n";

fn parse(text: &str) -> Result<GatewayConfig, ConfigError> {
    GatewayConfig::parse(text, Path::new("etc/homing.toml"))
}

fn refusal(text: &str) -> Diagnostic {
    match parse(text) {
        Err(ConfigError::Invalid(diagnostic)) => diagnostic,
        other => panic!("{text:?} should be refused, but: {other:?}"),
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = parse(UPSTREAM).unwrap();
    let upstream = Upstream { name: "app-1".into(), address: "127.0.0.1:9001".into(), weight: 1, max_in_flight: 0 };
    let affinity = Affinity { keys: "etc/homing.keys".into(), ..Affinity::default() };
    assert_eq!(config, GatewayConfig { upstreams: vec![upstream], affinity, ..GatewayConfig::default() });

    assert_eq!(config.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert!(config.affinity.enabled);
    let cookie = config.affinity.cookie_spec().unwrap().set_cookie("TOKEN", false);
    assert_eq!(cookie, "homing=TOKEN; HttpOnly; SameSite=Lax; Path=/");
    assert_eq!(parse(&format!("[affinity]\n{UPSTREAM}")).unwrap(), config);
}

#[test]
fn the_example_is_the_defaults_with_five_upstreams() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("homing.toml");
    let mut config = GatewayConfig::load(&path).unwrap();
    let upstreams = std::mem::take(&mut config.upstreams);
    let names: Vec<_> = upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    assert_eq!(names, ["app-1", "app-2", "app-3", "app-4", "app-5"]);
    assert_eq!(config.trusted_proxies, TrustedProxies::parse(["127.0.0.1/32"]).unwrap());
    assert_eq!(config.affinity.keys, path.with_file_name("homing.keys"));

    config.trusted_proxies = TrustedProxies::default();
    config.affinity.keys = "homing.keys".into();
    assert_eq!(config, GatewayConfig::default());
}

#[test]
fn every_key_is_read() {
    let text = r#"
listen = ["0.0.0.0:80", "[::]:80"]
workers = 4
state = "homing.state"
trusted_proxies = ["10.0.0.0/8", "::1"]
[affinity]
enabled = false
cookie = "__Secure-pin"
max_age = "1day 2h"
idle = "90s"
live_window = "64s"
secure = "always"
same_site = "none"
domain = "example.com"
path = "/app"
partitioned = true
on_unavailable = "reject"
on_full = "move"
on_restart = "keep"
lost_header = "X-Lost"
accept = [{ from = "caddy", cookie = "lb", secret = "s" }, { from = "arr", cookie = "ARRAffinity" }]
keys = "/var/lib/homing/keys"
[policy]
name = "ip_hash"
key = "header:X-User"
prefix_v4 = 20
prefix_v6 = "64"
[health]
enabled = false
path = "/ready?deep=1"
profile = "wisej"
interval = "500ms"
timeout = "3s"
fall = 1000
rise = 1
silence = "0s"
incarnation_header = "X-Process"
incarnation_json = "/a~1b/0"
[outlier]
consecutive = 0
failure_rate = 2
window = "1m"
min_requests = 1000000
base = "1s"
max = "1s"
max_ejected = 1
[slow_start]
window = "0s"
min = 1.0
aggression = 2.5
[drain]
spread = "0s"
[failover]
rate = 0
hold = "5s"
[rebalance]
budget = 60
[queue]
size = 0
timeout = "1ms"
[retry]
ratio = 0
min_per_second = 0
[timeouts]
header = "1s"
connect = "500ms"
response = "3m"
idle = "1h"
shutdown = "5s"
upgrade = "6s"
[limits]
header_bytes = 1024
uri_bytes = 65536
[tls]
certificate = "tls/chain.pem"
key = "/etc/ssl/key.pem"
[admin]
listen = "[::]:7"
token_file = "admin.token"
[discovery]
file = "upstreams.toml"
[[upstream]]
name = "a"
address = "app.internal:9001"
weight = 65535
max_in_flight = 4294967295
"#;
    let expected = GatewayConfig {
        listen: vec!["0.0.0.0:80".parse().unwrap(), "[::]:80".parse().unwrap()],
        workers: 4,
        trusted_proxies: TrustedProxies::parse(["10.0.0.0/8", "::1"]).unwrap(),
        affinity: Affinity {
            enabled: false,
            cookie: CookieName::new("__Secure-pin").unwrap(),
            max_age: Duration::from_secs(26 * 60 * 60),
            idle: Some(Duration::from_secs(90)),
            live_window: Duration::from_secs(64),
            secure: Secure::Always,
            same_site: SameSite::None,
            domain: Some("example.com".into()),
            path: "/app".into(),
            partitioned: true,
            on_unavailable: OnUnavailable::Reject,
            on_full: OnFull::Move,
            on_restart: OnRestart::Keep,
            lost_header: Some(HeaderName::from_static("x-lost")),
            accept: vec![
                Accept {
                    format: LegacyFormat::Caddy { secret: Secret::new("s") },
                    cookie: CookieName::new("lb").unwrap(),
                },
                Accept { format: LegacyFormat::Arr, cookie: CookieName::new("ARRAffinity").unwrap() },
            ],
            keys: "/var/lib/homing/keys".into(),
        },
        policy: Policy {
            name: "ip_hash".into(),
            key: RequestKey::Header("x-user".into()),
            params: BTreeMap::from([("prefix_v4".into(), 20.into()), ("prefix_v6".into(), "64".into())]),
        },
        health: HealthConfig {
            enabled: false,
            path: Some("/ready?deep=1".into()),
            profile: ProbeProfile::Wisej,
            interval: Duration::from_millis(500),
            timeout: Duration::from_secs(3),
            fall: 1000,
            rise: 1,
            silence: Duration::ZERO,
            incarnation_header: Some(HeaderName::from_static("x-process")),
            incarnation_json: Some("/a~1b/0".into()),
        },
        outlier: Outlier::default()
            .consecutive(0)
            .failure_rate(2.0)
            .window(Duration::from_secs(60))
            .min_requests(1_000_000)
            .base(Duration::from_secs(1))
            .max(Duration::from_secs(1))
            .max_ejected(1.0),
        slow_start: SlowStart::default().window(Duration::ZERO).min(1.0).aggression(2.5),
        drain: Drain { spread: Duration::ZERO },
        failover: Failover::default().rate(0).return_timeout(Duration::from_secs(5)),
        rebalance: Rebalance { budget: 60 },
        queue: QueueSettings::default().size(0).timeout(Duration::from_millis(1)),
        retry: RetrySettings::default().ratio(0.0).min_per_second(0),
        timeouts: TimeoutsConfig {
            header: Duration::from_secs(1),
            connect: Duration::from_millis(500),
            response: Duration::from_secs(3 * 60),
            idle: Duration::from_secs(3600),
            shutdown: Duration::from_secs(5),
            upgrade: Duration::from_secs(6),
        },
        limits: LimitsConfig { header_bytes: 1024, uri_bytes: 65_536 },
        tls: Some(TlsConfig { certificate: "etc/tls/chain.pem".into(), key: "/etc/ssl/key.pem".into() }),
        admin: Some(AdminConfig { listen: "[::]:7".parse().unwrap(), token_file: Some("etc/admin.token".into()) }),
        state: Some("etc/homing.state".into()),
        discovery: Some(DiscoveryConfig::File("etc/upstreams.toml".into())),
        upstreams: vec![Upstream {
            name: "a".into(),
            address: "app.internal:9001".into(),
            weight: 65_535,
            max_in_flight: u32::MAX,
        }],
    };
    assert_eq!(parse(text).unwrap(), expected);
    let cookie = expected.affinity.cookie_spec().unwrap().set_cookie("T", false);
    assert_eq!(cookie, "__Secure-pin=T; HttpOnly; SameSite=None; Partitioned; Secure; Path=/app; Domain=example.com");
}

/// What a table leaves out is as if the table were not there.
#[test]
fn tables_may_be_empty_or_begun() {
    let defaults = parse(UPSTREAM).unwrap();
    let tables = ["health", "outlier", "slow_start", "drain", "failover", "rebalance", "queue", "retry"];
    let empty: String = tables.iter().map(|table| format!("[{table}]\n")).collect();
    assert_eq!(parse(&format!("{empty}{UPSTREAM}")).unwrap(), defaults);

    assert_eq!(parse(&format!("[admin]\n{UPSTREAM}")).unwrap().admin, Some(AdminConfig::default()));
    assert_eq!((defaults.admin, AdminConfig::default().listen), (None, "127.0.0.1:9090".parse().unwrap()));

    let begun = parse(&format!("[outlier]\nconsecutive = 7\n[queue]\nsize = 9\n{UPSTREAM}")).unwrap();
    assert_eq!(begun.outlier, Outlier::default().consecutive(7));
    assert_eq!(begun.queue, QueueSettings::default().size(9));
}

#[test]
fn upstreams_are_probed_and_judged_by_default() {
    let config = parse(UPSTREAM).unwrap();
    assert_eq!(config.health_settings(), HealthSettings::default());
    let header = HeaderName::from_static("homing-incarnation");
    assert_eq!(config.health.probes(), Some(ProbeSettings::default().incarnation_header(header)));
}

#[test]
fn probes_go_where_the_profile_has_them_unless_told_otherwise() {
    let target = |table: &str| {
        let config = parse(&format!("[health]\n{table}\n{UPSTREAM}")).unwrap();
        config.health.probes().map(|probes| probes.path)
    };
    assert_eq!(target(""), Some(None));
    assert_eq!(target("profile = \"wisej\""), Some(Some("/healthcheck.wx".into())));
    assert_eq!(target("profile = \"wisej\"\npath = \"/app/healthcheck.wx\""), Some(Some("/app/healthcheck.wx".into())));
    assert_eq!(target("enabled = false\npath = \"/x\""), None);
}

#[test]
fn what_is_not_toml_is_refused() {
    check_refusals(
        r##"
listen = ["127.0.0.1:8080"
=> 2:1: listen[1]: expected `,`
workers = 
=> 1:11: workers: expected literal string
workers = 1
workers = 2
=> 2:1: workers: duplicate key
workers
=> 1:8: top level: key with no value
"##,
        |text| refusal(&format!("{text}{UPSTREAM}")),
    );
}

#[test]
fn unknown_keys_are_refused() {
    check_refusals(
        r##"
worker = 1
=> 1:1: worker: expected one of `listen`, `workers`

[afinity]
=> 2:2: afinity: unknown field
[affinity]
  cooky = "x"
=> 2:3: affinity.cooky: unknown field `cooky`
[policy]
nom = "x"
=> 2:1: policy.nom: it has none, besides name and key
[policy]
name = "ip_hash"
prefix = 24
=> 3:1: policy.prefix: use one of prefix_v4, prefix_v6
[timeouts]
read = "1s"
=> 2:1: timeouts.read: expected one of `header`
[health]
url = "/"
=> 2:1: health.url: unknown field `url`, expected one of `enabled`, `path`
[outlier]
consecutive_5xx = 5
=> 2:1: outlier.consecutive_5xx: expected one of `consecutive`
[slow_start]
begin = 0.1
=> 2:1: slow_start.begin: expected one of `window`, `min`, `aggression`
[drain]
deadline = "1m"
=> 2:1: drain.deadline: unknown field
[failover]
pace = 1
=> 2:1: failover.pace: expected `rate` or `hold`
[rebalance]
rate = 1
=> 2:1: rebalance.rate: unknown field
[queue]
length = 1
=> 2:1: queue.length: expected `size` or `timeout`
[retry]
tries = 3
=> 2:1: retry.tries: expected `ratio` or `min_per_second`
[limits]
body = 1
=> 2:1: limits.body: unknown field
tls = { cert = "x" }
=> 1:9: tls.cert: expected `certificate` or `key`
"##,
        |text| refusal(&format!("{text}{UPSTREAM}")),
    );
}

#[test]
fn wrong_values_are_refused() {
    check_refusals(
        r##"
listen = "127.0.0.1:80"
=> 1:10: listen: expected a sequence
listen = []
=> 1:10: listen: at least one address
listen = [
 "127.0.0.1:80",
 "localhost:80"]
=> 3:2: listen[1]: such as "127.0.0.1:8080"
listen = [80]
=> 1:11: listen[0]: expected an IP address with a port
workers = -1
=> 1:11: workers: an integer from 0 to 1024
workers = 1025
=> 1:11: workers: an integer from 0 to 1024
workers = "four"
=> 1:11: workers: an integer from 0 to 1024
trusted_proxies = ["::1", "10.0.0.0/33"]
=> 1:27: trusted_proxies[1]: no address range
trusted_proxies = ["10.0.0.1/8"]
=> 1:20: trusted_proxies[0]: "10.0.0.0/8" for the network
[affinity]
enabled = "no"
=> 2:11: affinity.enabled: expected a boolean
[affinity]
cookie = "a b"
=> 2:10: affinity.cookie: can't contain ' '
[affinity]
cookie = ""
=> 2:10: affinity.cookie: is empty
[affinity]
max_age = 12
=> 2:11: affinity.max_age: such as "30m" or "12h"
[affinity]
max_age = "999ms"
=> 2:11: affinity.max_age: from 1 second to 400 days
[affinity]
max_age = "401days"
=> 2:11: affinity.max_age: from 1 second to 400 days
[affinity]
idle = "half an hour"
=> 2:8: affinity.idle: such as "30m"
[affinity]
secure = "yes"
=> 2:10: affinity.secure: `auto`, `always`, `never`
[affinity]
same_site = "no"
=> 2:13: affinity.same_site: `strict`, `lax`, `none`
[affinity]
domain = ".x"
=> 2:10: affinity.domain: without a leading dot
[affinity]
path = "app"
=> 2:8: affinity.path: starts with `/`
[affinity]
on_unavailable = ""
=> 2:18: affinity.on_unavailable: `repin` or `reject`
[affinity]
on_full = "queue"
=> 2:11: affinity.on_full: `wait` or `move`
[affinity]
on_restart = "repin"
=> 2:14: affinity.on_restart: `replace` or `keep`
[affinity]
lost_header = "homing lost"
=> 2:15: affinity.lost_header: the name of a header field such as "homing-lost"
[affinity]
lost_header = ""
=> 2:15: affinity.lost_header: the name of a header field
[affinity]
keys = ""
=> 2:8: affinity.keys: the name of a file
[health]
enabled = 1
=> 2:11: health.enabled: expected a boolean
[health]
path = "healthz"
=> 2:8: health.path: with a / in front
[health]
path = "/health z"
=> 2:8: health.path: without spaces
[health]
path = "/#top"
=> 2:8: health.path: without spaces or fragment
[health]
profile = "aspnet"
=> 2:11: health.profile: `standard` or `wisej`
[health]
interval = "0s"
=> 2:12: health.interval: longer than zero
[health]
timeout = 1
=> 2:11: health.timeout: such as "500ms"
[health]
fall = 0
=> 2:8: health.fall: from 1 to 1000
[health]
rise = 1001
=> 2:8: health.rise: from 1 to 1000
[health]
silence = "long"
=> 2:11: health.silence: such as "0s"
[health]
path = "/"
incarnation_header = "a:b"
=> 3:22: health.incarnation_header: the name of a header field
[health]
path = "/"
incarnation_json = "pid"
=> 3:20: health.incarnation_json: a JSON pointer such as "/pid"
[health]
path = "/"
incarnation_json = "/a~2"
=> 3:20: health.incarnation_json: a JSON pointer
[outlier]
consecutive = -1
=> 2:15: outlier.consecutive: from 0 to 1000000
[outlier]
failure_rate = "half"
=> 2:16: outlier.failure_rate: expected a number such as 0.5
[outlier]
failure_rate = 0.0
=> 2:16: outlier.failure_rate: must be above 0
[outlier]
failure_rate = nan
=> 2:16: outlier.failure_rate: must be above 0
[outlier]
window = "0s"
=> 2:10: outlier.window: longer than zero
[outlier]
min_requests = 1.5
=> 2:16: outlier.min_requests: from 0 to 1000000
[outlier]
base = "0s"
=> 2:8: outlier.base: longer than zero
[outlier]
max_ejected = 1.5
=> 2:15: outlier.max_ejected: must be from 0 to 1
[slow_start]
window = 10
=> 2:10: slow_start.window: such as "0s"
[slow_start]
min = 0
=> 2:7: slow_start.min: must be above 0 and up to 1
[slow_start]
aggression = inf
=> 2:14: slow_start.aggression: must be above 0
[drain]
spread = "401d"
=> 2:10: drain.spread: at most 400 days
[failover]
rate = 1000001
=> 2:8: failover.rate: from 0 to 1000000
[failover]
hold = "-1s"
=> 2:8: failover.hold: such as "0s"
[rebalance]
budget = true
=> 2:10: rebalance.budget: from 0 to 1000000
[queue]
size = -1
=> 2:8: queue.size: from 0 to 1000000
[queue]
timeout = "0s"
=> 2:11: queue.timeout: longer than zero
[retry]
ratio = 1.1
=> 2:9: retry.ratio: from 0 to 1
[retry]
ratio = nan
=> 2:9: retry.ratio: from 0 to 1
[retry]
min_per_second = "10"
=> 2:18: retry.min_per_second: from 0 to 1000000
[timeouts]
header = "0s"
=> 2:10: timeouts.header: longer than zero
[timeouts]
connect = "2"
=> 2:11: timeouts.connect: such as "500ms"
[timeouts]
response = true
=> 2:12: timeouts.response: such as "500ms"
[timeouts]
idle = "1000000years"
=> 2:8: timeouts.idle: at most 400 days
[timeouts]
shutdown = "-1s"
=> 2:12: timeouts.shutdown: longer than zero
[limits]
header_bytes = 1023
=> 2:16: limits.header_bytes: from 1024 to 65536
[limits]
uri_bytes = 65537
=> 2:13: limits.uri_bytes: from 1024 to 65536
[tls]
key = "key.pem"
=> 1:1: tls: missing field `certificate`
[tls]
certificate = ""
key = "k"
=> 2:15: tls.certificate: the name of a file
"##,
        |text| refusal(&format!("{text}{UPSTREAM}")),
    );
}

#[test]
fn contradictions_are_refused() {
    check_refusals(
        r##"
[affinity]
max_age = "1h"
idle = "2h"
=> 3:8: affinity.idle: which is longer than max_age
[affinity]
max_age = "400d"
idle = "1s"
=> 3:8: affinity.idle: raise it to 1024 s or lower max_age
[affinity]
cookie = "__Host-a"
=> 2:10: affinity.cookie: secure = always
[affinity]
cookie = "__Secure-a"
=> 2:10: affinity.cookie: secure = always
[affinity]
secure = "never"
same_site = "none"
=> 3:13: affinity.same_site: set secure
[affinity]
secure = "never"
partitioned = true
=> 3:15: affinity.partitioned: set secure
[outlier]
max = "1s"
=> 2:7: outlier.max: must be at least outlier.base
[outlier]
base = "1h"
=> 2:8: outlier.base: outlier.max must be at least
[health]
incarnation_header = "x-process"
=> 2:22: health.incarnation_header: set health.path, their target
[health]
incarnation_json = "/pid"
=> 2:20: health.incarnation_json: set health.path, their target
[admin]
listen = "0.0.0.0:9090"
=> 2:10: admin.listen: by admin.token_file
[admin]
listen = "[::]:9090"
=> 2:10: admin.listen: not a loopback address
[policy]
name = "fastest"
=> 2:8: policy.name: use one of round_robin, random
[policy]
name = "ip_hash"
prefix_v4 = 33
=> 3:13: policy.prefix_v4: use a prefix length, 1 to 32
[policy]
name = "ip_hash"
prefix_v4 = [24]
=> 3:13: policy.prefix_v4: use a prefix length, 1 to 32
[policy]
name = 5
=> 2:8: policy.name: expected a string
[policy]
key = "body"
=> 2:7: policy.key: use client_ip, uri, path
[policy]
key = "header:a b"
=> 2:7: policy.key: is no name of a header field
"##,
        |text| refusal(&format!("{text}{UPSTREAM}")),
    );
}

/// The first of the upstreams ends on line 3.
#[test]
fn wrong_upstreams_are_refused() {
    check_refusals(
        r##"
weight = 0
=> 4:10: upstream[0].weight: an integer from 1 to 65535
weight = 65536
=> 4:10: upstream[0].weight: an integer from 1 to 65535
weight = 1.5
=> 4:10: upstream[0].weight: an integer from 1 to 65535
max_in_flight = -1
=> 4:17: upstream[0].max_in_flight: from 0 to 4294967295
wieght = 2
=> 4:1: upstream[0].wieght: `weight`

[[upstream]]
name = "b"
=> 5:1: upstream[1]: missing field `address`
[[upstream]]
address = "b:1"
=> 4:1: upstream[1]: missing field `name`
[[upstream]]
name = "b"
address = "b"
=> 6:11: upstream[1].address: "app.internal:9001"
[[upstream]]
name = "a b"
address = "b:1"
=> 5:8: upstream[1].name: without spaces
[[upstream]]
name = ""
address = "b:1"
=> 5:8: upstream[1].name: 1 to 255
[[upstream]]
name = "b"
address = "b:1"
  [[upstream]]
  name = "app-1"
  address = "b:1"
=> 8:10: upstream[2].name: already the name of the upstream on line 2
"##,
        |text| refusal(&format!("{UPSTREAM}{text}")),
    );
}

#[test]
fn one_to_ten_thousand_upstreams() {
    let none = refusal("workers = 1\n");
    assert_eq!((none.line, none.column, none.key.as_str()), (1, 1, "upstream"));
    let empty = refusal("workers = 1\nupstream = []\n");
    assert_eq!((empty.line, empty.column, empty.key.as_str()), (2, 12, "upstream"));

    let many = |count: usize| -> String {
        (0..count).map(|i| format!("[[upstream]]\nname = \"app-{i}\"\naddress = \"app-{i}:80\"\n")).collect()
    };
    assert_eq!(parse(&many(MAX_UPSTREAMS)).unwrap().upstreams.len(), MAX_UPSTREAMS);
    let surplus = refusal(&many(MAX_UPSTREAMS + 1));
    assert_eq!((surplus.line, surplus.column), (3 * MAX_UPSTREAMS + 1, 1));
    assert_eq!(surplus.key, "upstream[10000]");
}

#[test]
fn errors_are_shown_in_one_line() {
    let refused = parse(&format!("{UPSTREAM}weight = 0\n")).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "etc/homing.toml:4:10: upstream[0].weight: invalid value: integer `0`, expected an integer from 1 to 65535"
    );
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent.toml");
    let unread = GatewayConfig::load(&absent).unwrap_err().to_string();
    assert!(unread.starts_with(&format!("{}: can't be read: ", absent.display())), "{unread}");
}

#[test]
fn upstreams_may_be_found_elsewhere() {
    let found = |text: &str| parse(text).unwrap().discovery.unwrap();
    assert_eq!(found("[discovery]\nfile = \"upstreams.toml\"\n"), DiscoveryConfig::File("etc/upstreams.toml".into()));
    assert_eq!(parse(&format!("discovery.file = \"u.json\"\n{UPSTREAM}")).unwrap().upstreams.len(), 1);

    let dns =
        found("[discovery]\ndns = { name = \"app.internal\", port = 80, servers = [\"[::1]:53\"], floor = \"2s\" }\n");
    let question = DnsQuery::Host { name: "app.internal".into(), port: 80 };
    let (floor, ceiling) = (Duration::from_secs(2), Duration::from_secs(5 * 60));
    let servers = vec!["[::1]:53".parse().unwrap()];
    assert_eq!(dns, DiscoveryConfig::Dns(DnsConfig { question, servers, floor, ceiling }));
    let service = found("[discovery.dns]\nservice = \"_http._tcp.app\"\n");
    let DiscoveryConfig::Dns(DnsConfig { question: DnsQuery::Service { name }, .. }) = service else {
        panic!("{service:?}")
    };
    assert_eq!(name, "_http._tcp.app");

    let etcd = EtcdConfig {
        endpoints: vec!["http://127.0.0.1:2379".into()],
        prefix: "/homing".into(),
        ca: None,
        certificate: None,
        key: None,
        user: None,
        password_file: None,
        keys: true,
        live: Duration::from_secs(2),
    };
    assert_eq!(found("discovery.etcd.endpoints = [\"http://127.0.0.1:2379\"]\n"), DiscoveryConfig::Etcd(etcd.clone()));
    let all = "[discovery.etcd]\nendpoints = [\"https://etcd-1\", \"https://[::1]:2379/\"]\nprefix = \"/shop\"\nca = \"ca.pem\"\n\
               certificate = \"c.pem\"\nkey = \"k.pem\"\nuser = \"homing\"\npassword_file = \"/run/p\"\nkeys = false\nlive = \"0s\"\n";
    let expected = EtcdConfig {
        endpoints: vec!["https://etcd-1".into(), "https://[::1]:2379/".into()],
        prefix: "/shop".into(),
        ca: Some("etc/ca.pem".into()),
        certificate: Some("etc/c.pem".into()),
        key: Some("etc/k.pem".into()),
        user: Some("homing".into()),
        password_file: Some("/run/p".into()),
        keys: false,
        live: Duration::ZERO,
    };
    assert_eq!(found(all), DiscoveryConfig::Etcd(expected));
}

#[test]
fn a_source_that_cannot_be_is_refused() {
    check_refusals(
        r##"
[discovery]
=> 1:1: discovery: wanted exactly 1 element
discovery = { file = "a", dns = { service = "b" } }
=> 1:13: discovery: wanted exactly 1 element
[discovery]
consul = "x"
=> 2:1: discovery.consul: unknown variant `consul`, expected one of `file`, `dns`, `etcd`
[discovery]
file = ""
=> 2:8: discovery.file: expected the name of a file
[discovery]
dns = { name = "a" }
=> 1:1: discovery: set name and port
[discovery]
dns = { service = "a", port = 80 }
=> 1:1: discovery: set name and port
[discovery]
dns = { service = "a", floor = "10m" }
=> 2:32: discovery.dns.floor: is longer than ceiling
[discovery]
dns = { service = "a", weight = 1 }
=> 2:24: discovery.dns.weight: unknown field `weight`
[discovery]
dns = { service = "a", servers = ["10.0.0.1"] }
=> 2:35: discovery.dns.servers[0]: invalid socket address
[discovery.etcd]
=> 1:1: discovery.etcd: missing field `endpoints`
[discovery.etcd]
endpoints = []
=> 2:13: discovery.etcd.endpoints: is empty
[discovery.etcd]
endpoints = ["http://a:2379", "a:2379"]
=> 2:31: discovery.etcd.endpoints[1]: an endpoint such as
[discovery.etcd]
endpoints = ["http://a:2379"]
prefix = "homing/"
=> 3:10: discovery.etcd.prefix: a prefix such as
[discovery.etcd]
endpoints = ["https://a:2379"]
=> 2:13: discovery.etcd.endpoints: set ca
[discovery.etcd]
endpoints = ["http://a:2379"]
certificate = "c.pem"
=> 3:15: discovery.etcd.certificate: has no key
[discovery.etcd]
endpoints = ["http://a:2379"]
user = "homing"
=> 3:8: discovery.etcd.user: has no password
"##,
        refusal,
    );
    check_refusals(
        r##"
state = "homing.state"
[discovery.etcd]
endpoints = ["http://a:2379"]
=> 1:9: state: a fleet keeps overrides in etcd
"##,
        refusal,
    );
}

#[test]
fn only_what_can_name_upstreams_later_may_begin_without() {
    let refused = parse("[policy]\nname = \"p2c\"\n").unwrap_err().to_string();
    assert!(refused.contains("upstream: there is none; add an [[upstream]]"), "{refused}");
    for settings in ["[admin]\n", "[discovery]\nfile = \"upstreams.toml\"\n"] {
        assert_eq!(parse(settings).unwrap().upstreams, []);
    }
}
