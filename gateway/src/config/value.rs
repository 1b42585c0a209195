//! What each value of the gateway's own tables may be.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::de::{Deserialize, Deserializer, Error};

use homing::http::{Cidr, TrustedProxies};
use homing::proxy::ProbeProfile;

pub(super) use homing::config::value::{duration_or_zero, header_name, integer, path, timeout};
use homing::config::value::{number_that, parsed, text};

#[derive(serde::Deserialize)]
#[serde(remote = "ProbeProfile", rename_all = "lowercase")]
pub(super) enum ProbeProfileValue {
    Standard,
    Wisej,
}

pub(super) fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    #[derive(serde::Deserialize)]
    struct Listen(#[serde(deserialize_with = "socket_addr")] SocketAddr);

    let list = Vec::<Listen>::deserialize(deserializer)?;
    if list.is_empty() {
        return Err(D::Error::custom("is empty; name at least one address, or leave it out for 127.0.0.1:8080"));
    }
    Ok(list.into_iter().map(|Listen(addr)| addr).collect())
}

pub(super) fn socket_addr<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    text(deserializer, "an IP address with a port such as \"127.0.0.1:8080\" or \"[::1]:8080\"", |text| {
        text.parse().ok()
    })
}

pub(super) fn some_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    path(deserializer).map(Some)
}

pub(super) fn trusted_proxies<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TrustedProxies, D::Error> {
    #[derive(serde::Deserialize)]
    struct Proxy(#[serde(deserialize_with = "parsed")] Cidr);

    let list = Vec::<Proxy>::deserialize(deserializer)?;
    Ok(list.into_iter().map(|Proxy(range)| range).collect())
}

/// A fraction.
pub(super) fn part<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    number_that(deserializer, "a number from 0 to 1", |number| (0.0..=1.0).contains(&number))
}

/// The target of a request, in origin form (RFC 9112, section 3.2.1).
pub(super) fn probe_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    text(deserializer, "a path such as \"/healthz\", with a / in front and without spaces or fragment", |path| {
        let is_target = path.starts_with('/') && !path.contains('#') && path.parse::<http::Uri>().is_ok();
        is_target.then(|| Some(path.to_owned()))
    })
}

/// A JSON pointer (RFC 6901): in it `~` only stands for itself as `~0` and for `/` as `~1`.
pub(super) fn json_pointer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    text(deserializer, "a JSON pointer such as \"/pid\" or \"/process/id\"", |pointer| {
        let mut escapes = pointer.split('~').skip(1);
        let is_pointer = pointer.starts_with('/') && escapes.all(|rest| rest.starts_with(['0', '1']));
        is_pointer.then(|| Some(pointer.to_owned()))
    })
}
