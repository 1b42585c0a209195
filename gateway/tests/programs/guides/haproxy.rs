//! The guide `docs/FROM_HAPROXY.md`.

use crate::support::test;
use std::path::Path;

use super::guest::{Guest, astray};
use super::guide::{Guide, fitted, with, without};
use super::nginx::{ADDRESSES, guests, lines_for_the_way_back, reversed, round_robin};
use super::site::Site;
use crate::support::program::find;

#[test]
fn from_haproxy() {
    let Some(haproxy) = find("haproxy") else { return };
    let guide = Guide::read("FROM_HAPROXY.md");
    by_a_cookie(&guide, &haproxy);
    by_a_dynamic_cookie(&guide, &haproxy);
    by_keys(&guide, &haproxy);
    by_a_cookie_that_comes_first(&guide, &haproxy);
    guide.all_was_run();
}

fn parts(guide: &Guide) -> (&str, &str) {
    (guide.block("Before: a cookie", "haproxy"), guide.block("After: a cookie", "toml"))
}

fn by_a_cookie(guide: &Guide, haproxy: &Path) {
    let (before, after) = parts(guide);
    let settled = without(after, "accept");
    let site = Site::new(ADDRESSES);
    let front = site.haproxy(haproxy, before);
    let mut visitors = site.change_over(&front, guests(), after, &settled, &[&settled]);
    in_front_of_homing(&site, haproxy, before, after);
    // Later visitors have no cookie of HAProxy, which places them and sets one,
    assert!(astray(&mut visitors.clone(), front.address) > 5);
    // unless it follows Homing's cookie.
    let gateway = site.gateway(after);
    let asked = gateway.address().to_string();
    if let Some(lines) = lines_for_the_way_back(guide.block("The way back", "sh"), "127.0.0.1:80", &asked) {
        let front = site.haproxy(haproxy, &fitted(before, &[("    cookie SRV", &format!("{lines}    cookie SRV"))]));
        assert_eq!(astray(&mut visitors, front.address), 0, "lost on the way back");
    }
}

/// The way in without a gap: HAProxy sends everything to Homing.
fn in_front_of_homing(site: &Site, haproxy: &Path, before: &str, after: &str) {
    let mut guests = site.settle(guests(), site.haproxy(haproxy, before).address);
    let gateway = site.gateway(after);
    let lost = |guests: &[Guest], cookie: &str| {
        let backend = format!("backend homing\n{cookie}    server homing {}\n\nlisten stats", gateway.address());
        let through = [("default_backend app", "default_backend homing"), ("listen stats", backend.as_str())];
        let front = site.haproxy(haproxy, &fitted(before, &through));
        astray(&mut guests.to_vec(), front.address)
    };
    assert!(lost(&guests, "    cookie SRV insert indirect nocache\n") > 20, "HAProxy takes its cookie out");
    assert_eq!(lost(&guests, ""), 0, "lost on the way in without a gap");
    assert_eq!(astray(&mut guests, gateway.address()), 0);
}

fn by_a_dynamic_cookie(guide: &Guide, haproxy: &Path) {
    let (before, after) = parts(guide);
    let heading = "A dynamic cookie";
    let before = with(before, guide.block(heading, "haproxy").trim_end());
    let after = with(after, guide.block(heading, "toml").trim_end());
    let settled = without(&after, "accept");
    let strange = fitted(&after, &[("a secret of yours", "another secret")]);
    let site = Site::new(ADDRESSES);
    site.change_over(&site.haproxy(haproxy, &before), guests(), &after, &settled, &[&settled, &strange]);
}

fn by_keys(guide: &Guide, haproxy: &Path) {
    for heading in ["The client's address, consistent", "A header, consistent", "The path, consistent"] {
        let (before, after) = parts(guide);
        let backend = guide.block(heading, "haproxy");
        let before = with(before, backend.trim_end());
        let mut after = without(&with(after, guide.block(heading, "toml").trim_end()), "accept");
        let weights = backend.lines().filter_map(|line| line.split_once(" weight ")).map(|(_, weight)| weight);
        for (address, weight) in ADDRESSES.iter().zip(weights) {
            let line = format!("address = \"{address}\"");
            after = fitted(&after, &[(&line, &format!("{line}\nweight = {weight}"))]);
        }
        let site = Site::new(ADDRESSES);
        let front = site.haproxy(haproxy, &before);
        let strange = [reversed(&after), round_robin(&after)];
        let mut visitors = site.change_over(&front, guests(), &after, &after, &[&strange[0], &strange[1]]);
        assert_eq!(astray(&mut visitors, front.address), 0, "{heading}: lost on the way back");
    }
}

fn by_a_cookie_that_comes_first(guide: &Guide, haproxy: &Path) {
    let (before, after) = parts(guide);
    let heading = "First a cookie, where there is none to read";
    let with_cookie = with(before, guide.block(heading, "haproxy").trim_end());
    let site = Site::new(ADDRESSES);
    let mut early = {
        let without_cookie: Vec<_> =
            with_cookie.lines().map(|line| line.split(" cookie app-").next().unwrap()).collect();
        let front = site.haproxy(haproxy, &without(&without_cookie.join("\n"), "cookie SRV"));
        site.settle(guests(), front.address)
    };
    let lost = |guests: &[Guest]| astray(&mut guests.to_vec(), site.gateway(after).address());
    assert!(lost(&early) > 20, "map-based is followed by nobody");
    assert_eq!(astray(&mut early, site.haproxy(haproxy, &with_cookie).address), 0);
    assert_eq!(lost(&early), 0);
}
