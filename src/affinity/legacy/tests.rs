use super::*;
use crate::cluster::{Cluster, UpstreamConfig};
use crate::{Affinity, KeyRing};

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

fn value(format: &LegacyFormat, name: &str, address: &str) -> String {
    format.value(name, address).unwrap()
}

#[test]
#[cfg(feature = "http")]
fn what_nginx_hashes_is_the_address() {
    assert_eq!(value(&LegacyFormat::NginxMd5, "any", "127.0.0.1:8001"), "c69a4fd523c3ca0ca67cda2f009f1ea6");
    // Of this text nginx would make the shortest one.
    let shortest = value(&LegacyFormat::NginxMd5, "any", "[2001:db8::1]:80");
    assert_eq!(value(&LegacyFormat::NginxMd5, "any", "[2001:0DB8:0::0001]:80"), shortest);
    assert_eq!(LegacyFormat::NginxMd5.value("any", "app.internal:80"), None);
}

#[test]
fn formats_have_the_values_of_their_documentation() {
    let dynamic = LegacyFormat::HaProxyDynamic { key: secret("mysecret") };
    assert_eq!(value(&dynamic, "any", "10.0.0.1:8080"), "4b8b73aeb1282de2");
    assert_eq!(dynamic.value("any", "localhost:8080"), None);
    assert_eq!(value(&LegacyFormat::YarpHash, "destination1", "any"), "3053977fe20783c2");
    assert_eq!(value(&LegacyFormat::YarpHash, "Destination1", "any"), "3053977fe20783c2");
    assert_ne!(value(&LegacyFormat::YarpHash, "destination2", "any"), "3053977fe20783c2");
    // printf destination1 | iconv -t UTF-16LE | sha256sum
    let arr = "8BCB8A94848003715AE483D7A28753DAC9F5A57CB4414C8A158F6E11D2E63386";
    assert_eq!(value(&LegacyFormat::Arr, "Destination1", "any"), arr);
    // printf http://127.0.0.1:8001 | sha256sum
    assert_eq!(value(&LegacyFormat::Traefik, "any", "127.0.0.1:8001"), "d412c05c8726a922");
    // printf 127.0.0.1:8001 | openssl dgst -sha256 -hmac "$secret"
    for (text, tag) in [
        ("secret", "c85de7861bfe972f021d8e76ee2136ee7c5185104ea088545bde678cddef29dd"),
        (&"long ".repeat(20), "9f5b64c0f9bccf2da7180e773b37a5c03fee4f85e75e4554ae583cc9f2e33ca7"),
    ] {
        assert_eq!(value(&LegacyFormat::Caddy { secret: secret(text) }, "any", "127.0.0.1:8001"), tag);
    }
}

/// What the programs themselves have set: see `tests/vectors/legacy_cookies.py`.
#[test]
fn formats_have_the_values_of_the_running_programs() {
    let recorded = include_str!("../../../tests/vectors/legacy_cookies.json");
    let recorded: Vec<serde_json::Value> = serde_json::from_str(recorded).unwrap();
    let mut kinds = Vec::new();
    for program in &recorded {
        let secret = secret(program["secret"].as_str().unwrap_or_default());
        let kind = program["from"].as_str().unwrap();
        let format = match kind {
            "nginx-route" => LegacyFormat::NginxRoute,
            "haproxy" => LegacyFormat::HaProxy,
            "haproxy-dynamic" => LegacyFormat::HaProxyDynamic { key: secret },
            "traefik" => LegacyFormat::Traefik,
            "caddy" => LegacyFormat::Caddy { secret },
            other => panic!("{other}"),
        };
        let text = |upstream: &serde_json::Value, key: &str| upstream[key].as_str().unwrap().to_owned();
        let upstreams = program["upstreams"].as_array().unwrap();
        let configs: Vec<_> =
            upstreams.iter().map(|it| UpstreamConfig::new(text(it, "name"), text(it, "address"))).collect();
        for upstream in upstreams {
            let found = find(&format, &configs, text(upstream, "value").as_bytes());
            assert_eq!(found, Some(text(upstream, "name")), "{program}");
        }
        kinds.push(kind);
    }
    assert_eq!(kinds, ["nginx-route", "haproxy", "haproxy", "haproxy-dynamic", "traefik", "caddy"]);
}

fn cluster(configs: &[UpstreamConfig]) -> Cluster {
    let keys = KeyRing::builder("pool", [1; 32]).sign_with(0, [2; 32]).build().unwrap();
    Cluster::build(configs, |name| keys.upstream_id(name), Some(7), None).unwrap()
}

/// The name of the upstream that a value means.
fn find(format: &LegacyFormat, configs: &[UpstreamConfig], value: &[u8]) -> Option<String> {
    let cluster = cluster(configs);
    let table = LegacyCookieTable::new(&[AcceptedCookie::new(format.clone(), "any")], &cluster).unwrap();
    let (place, member) = table.find(&cluster, &[LegacyCookie { accept: 0, value }])?;
    assert_eq!(place, 0);
    Some(member.upstream().name().to_owned())
}

fn named(names: &[&str]) -> Vec<UpstreamConfig> {
    names.iter().map(|name| UpstreamConfig::new(*name, "10.0.0.1:80")).collect()
}

#[test]
fn a_route_stands_alone_or_behind_a_dot() {
    let configs = named(&["a", "b", "x.a", "c.d.e"]);
    for (value, meant) in [
        ("a", Some("a")),
        ("2B6F.b", Some("b")),
        ("2B.6F.b", Some("b")),
        ("2B6F.c.d.e", Some("c.d.e")),
        ("x.a", Some("x.a")),
        // The longer one.
        ("2B6F.x.a", Some("x.a")),
        (".a", Some("a")),
        ("", None),
        (".", None),
        ("a.", None),
        ("2B6Fa", None),
        ("A", None),
        ("2B6F.z", None),
    ] {
        assert_eq!(find(&LegacyFormat::NginxRoute, &configs, value.as_bytes()).as_deref(), meant, "{value}");
    }
}

#[test]
fn what_haproxy_adds_to_a_name_is_not_looked_at() {
    let configs = named(&["a", "b|c", "b~c"]);
    for (value, meant) in [
        ("a", Some("a")),
        ("a|awQ5e|awQ5e", Some("a")),
        ("a~2B6F", Some("a")),
        ("a~2B|6F", Some("a")),
        ("b|c", Some("b|c")),
        ("b~c", Some("b~c")),
        ("b", None),
        ("|a", None),
        ("~a", None),
        ("", None),
        ("x.a", None),
    ] {
        assert_eq!(find(&LegacyFormat::HaProxy, &configs, value.as_bytes()).as_deref(), meant, "{value}");
    }
    let dynamic = LegacyFormat::HaProxyDynamic { key: secret("mysecret") };
    let configs = [UpstreamConfig::new("a", "10.0.0.1:8080")];
    assert_eq!(find(&dynamic, &configs, b"4b8b73aeb1282de2|awQ5e").as_deref(), Some("a"));
    assert_eq!(find(&dynamic, &configs, b"4b8b73aeb1282de3"), None);
}

#[test]
fn a_value_that_several_have_means_none() {
    let twins = [("a", "10.0.0.1:80"), ("b", "10.0.0.1:80"), ("c", "10.0.0.2:80")];
    let configs = twins.map(|(name, address)| UpstreamConfig::new(name, address));
    for (config, meant) in configs.iter().zip([None, None, Some("c")]) {
        let value = LegacyFormat::Traefik.value(&config.name, &config.address).unwrap();
        assert_eq!(find(&LegacyFormat::Traefik, &configs, value.as_bytes()).as_deref(), meant);
    }
    // Names that differ in case alone are one to YARP.
    let configs = named(&["App", "app"]);
    assert_eq!(find(&LegacyFormat::Arr, &configs, value(&LegacyFormat::Arr, "app", "any").as_bytes()), None);
}

#[test]
fn only_so_many_values_are_looked_at_and_only_of_what_is_accepted() {
    let cluster = cluster(&named(&["a"]));
    let table = LegacyCookieTable::new(&[AcceptedCookie::new(LegacyFormat::HaProxy, "any")], &cluster).unwrap();
    let strange = LegacyCookie { accept: 0, value: b"strange" };
    let good = LegacyCookie { accept: 0, value: b"a" };
    let mut values = vec![strange; MAX_VALUES - 1];
    values.push(good);
    assert_eq!(table.find(&cluster, &values).unwrap().0, MAX_VALUES - 1);
    values.insert(0, strange);
    assert!(table.find(&cluster, &values).is_none());
    assert!(table.find(&cluster, &[LegacyCookie { accept: 1, ..good }]).is_none());
    let long = [b'a'; 100_000];
    assert!(table.find(&cluster, &[LegacyCookie { accept: 0, value: &long }]).is_none());
    assert!(LegacyCookieTable::new(&[], &cluster).is_none());
}

#[test]
fn secrets_are_not_printed() {
    let formats =
        [LegacyFormat::Caddy { secret: secret("hush") }, LegacyFormat::HaProxyDynamic { key: secret("hush") }];
    let accepted = formats.map(|format| AcceptedCookie::new(format, "lb"));
    let keys = KeyRing::builder("pool", [1; 32]).sign_with(0, [2; 32]).build().unwrap();
    let text = format!("{:?}", Affinity::builder(keys).accept(accepted).build().unwrap());
    assert!(text.contains("Secret(..)") && !text.contains("hush"), "{text}");
}
