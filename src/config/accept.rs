//! `[affinity] accept`: legacy cookies, set by another proxy.

use super::value;
use crate::affinity::{self, LegacyFormat, Secret};
use crate::http::CookieName;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::fmt;

/// One entry of `[affinity] accept`.
///
/// ```
/// use homing::affinity::LegacyFormat;
/// use homing::config::Engine;
/// use std::path::Path;
///
/// let text = r#"
/// [affinity]
/// accept = [{ from = "haproxy", cookie = "SRV" }]
/// [[upstream]]
/// name = "app-1"
/// address = "127.0.0.1:9001"
/// "#;
/// let engine = Engine::parse(text, Path::new("homing.toml"))?;
/// assert_eq!(engine.affinity.accept[0].format, LegacyFormat::HaProxy);
/// # Ok::<(), homing::config::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// `from`, with `secret` where the format has one: the format of the cookie's value.
    pub format: LegacyFormat,
    /// The cookie's name.
    pub cookie: CookieName,
}

impl Accept {
    pub(super) fn to_core(&self) -> affinity::AcceptedCookie {
        affinity::AcceptedCookie::new(self.format.clone(), self.cookie.as_str())
    }
}

/// The entry as written in the file.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    from: From,
    #[serde(deserialize_with = "value::parsed")]
    cookie: CookieName,
    secret: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum From {
    NginxMd5,
    NginxRoute,
    Haproxy,
    HaproxyDynamic,
    Traefik,
    Caddy,
    YarpHash,
    Arr,
}

impl<'de> Deserialize<'de> for Accept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct("Accept", &["from", "cookie", "secret"], Table)
    }
}

/// A visitor of the entry, so that errors in it carry its position.
struct Table;

impl<'de> Visitor<'de> for Table {
    type Value = Accept;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table such as { from = \"haproxy\", cookie = \"SRV\" }")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Accept, A::Error> {
        let Entry { from, cookie, secret } = Entry::deserialize(MapAccessDeserializer::new(map))?;
        let refused = |why| Err(A::Error::custom(why));
        let format = match (from, secret.map(Secret::new)) {
            (From::HaproxyDynamic, Some(key)) if !key.is_empty() => LegacyFormat::HaProxyDynamic { key },
            (From::HaproxyDynamic, _) => return refused("secret is missing; give what dynamic-cookie-key says"),
            (From::Caddy, secret) => LegacyFormat::Caddy { secret: secret.unwrap_or_default() },
            (_, Some(_)) => return refused("secret has no use here; only haproxy-dynamic and caddy have one"),
            (From::NginxMd5, None) => LegacyFormat::NginxMd5,
            (From::NginxRoute, None) => LegacyFormat::NginxRoute,
            (From::Haproxy, None) => LegacyFormat::HaProxy,
            (From::Traefik, None) => LegacyFormat::Traefik,
            (From::YarpHash, None) => LegacyFormat::YarpHash,
            (From::Arr, None) => LegacyFormat::Arr,
        };
        Ok(Accept { format, cookie })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document::refusals::check_refusals;
    use crate::config::{ConfigError, Diagnostic, Engine};
    use std::path::Path;

    const UPSTREAMS: &str = "[[upstream]]\nname = \"app-1\"\naddress = \"127.0.0.1:9001\"\n\
                             [[upstream]]\nname = \"app-2\"\naddress = \"[::1]:9002\"\n";

    fn parse(text: &str) -> Result<Engine, ConfigError> {
        Engine::parse(&format!("{text}{UPSTREAMS}"), Path::new("homing.toml"))
    }

    fn refusal(text: &str) -> Diagnostic {
        match parse(text) {
            Err(ConfigError::Invalid(diagnostic)) => diagnostic,
            other => panic!("{text:?} should be refused, but: {other:?}"),
        }
    }

    #[test]
    fn every_format_is_read() {
        let secret = || Secret::new("s");
        for (entry, format) in [
            ("from = \"nginx-md5\"", LegacyFormat::NginxMd5),
            ("from = \"nginx-route\"", LegacyFormat::NginxRoute),
            ("from = \"haproxy\"", LegacyFormat::HaProxy),
            ("from = \"haproxy-dynamic\", secret = \"s\"", LegacyFormat::HaProxyDynamic { key: secret() }),
            ("from = \"traefik\"", LegacyFormat::Traefik),
            ("from = \"caddy\", secret = \"s\"", LegacyFormat::Caddy { secret: secret() }),
            ("from = \"caddy\"", LegacyFormat::Caddy { secret: Secret::default() }),
            ("from = \"yarp-hash\"", LegacyFormat::YarpHash),
            ("from = \"arr\"", LegacyFormat::Arr),
        ] {
            let engine = parse(&format!("[affinity]\naccept = [{{ {entry}, cookie = \"lb\" }}]\n")).unwrap();
            let expected = Accept { format, cookie: CookieName::new("lb").unwrap() };
            assert_eq!(engine.affinity.accept, [expected]);
        }
        assert_eq!(parse("").unwrap().affinity.accept, []);
    }

    #[test]
    fn the_core_is_told_of_each_in_order() {
        let text = "[[affinity.accept]]\nfrom = \"haproxy\"\ncookie = \"SRV\"\n\
                    [[affinity.accept]]\nfrom = \"arr\"\ncookie = \"ARRAffinity\"\n";
        let keys = |_: &Path| Ok::<_, Box<dyn std::error::Error>>(crate::KeyRing::generate("pool")?);
        let balancer = parse(text).unwrap().balancer(keys).unwrap().build().unwrap();
        let expected = [
            affinity::AcceptedCookie::new(LegacyFormat::HaProxy, "SRV"),
            affinity::AcceptedCookie::new(LegacyFormat::Arr, "ARRAffinity"),
        ];
        assert_eq!(balancer.affinity().unwrap().accepted()[..], expected);
    }

    #[test]
    fn what_is_no_entry_is_refused_where_it_stands() {
        check_refusals(
            r##"
[affinity]
accept = [{ from = "envoy", cookie = "lb" }]
=> 2:20: affinity.accept[0].from: expected one of `nginx-md5`, `nginx-route`
[affinity]
accept = [{ from = "haproxy" }]
=> 2:11: affinity.accept[0]: missing field `cookie`
[affinity]
accept = [{ from = "haproxy", cookie = "a b" }]
=> 2:40: affinity.accept[0].cookie: cookie name
[affinity]
accept = [{ from = "haproxy", cookie = "lb", secrets = "s" }]
=> 2:46: affinity.accept[0].secrets: unknown field `secrets`
[affinity]
accept = [{ from = "haproxy", cookie = "lb", secret = "s" }]
=> 2:11: affinity.accept[0]: only haproxy-dynamic and caddy have one
[affinity]
accept = [{ from = "haproxy", cookie = "SRV" }, { from = "haproxy-dynamic", cookie = "lb" }]
=> 2:49: affinity.accept[1]: secret is missing; give what dynamic-cookie-key says
[affinity]
accept = [{ from = "haproxy-dynamic", cookie = "lb", secret = "" }]
=> 2:11: affinity.accept[0]: secret is missing
[affinity]
cookie = "lb"
accept = [{ from = "haproxy", cookie = "SRV" }, { from = "caddy", cookie = "lb" }]
=> 3:76: affinity.accept[1].cookie: is our own cookie
[[affinity.accept]]
from = "arr"
cookie = "a"
[[affinity.accept]]
from = "arr"
cookie = "b"
[[affinity.accept]]
from = "arr"
cookie = "c"
[[affinity.accept]]
from = "arr"
cookie = "d"
[[affinity.accept]]
from = "arr"
cookie = "e"
=> 13:1: affinity.accept[4]: there are 5; leave at most 4
[affinity]
accept = [{ from = "nginx-md5", cookie = "route" }]
[[upstream]]
name = "named"
address = "app.internal:9001"
=> 2:20: affinity.accept[0].from: "app.internal:9001" of upstream "named" is a name; give its address
"##,
            refusal,
        );
    }

    #[test]
    fn names_will_do_where_no_address_is_hashed() {
        for from in ["nginx-route", "haproxy", "traefik", "caddy", "yarp-hash", "arr"] {
            let named = "[[upstream]]\nname = \"named\"\naddress = \"app.internal:9001\"\n";
            parse(&format!("[affinity]\naccept = [{{ from = \"{from}\", cookie = \"lb\" }}]\n{named}")).unwrap();
        }
    }
}
