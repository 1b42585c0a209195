//! The guide `docs/FROM_NGINX.md`.

use crate::support::test;
use std::path::Path;
use std::process::Command;

use super::guest::{Guest, astray};
use super::guide::{Guide, fitted, with, without};
use super::site::{GUESTS, Site};
use crate::support::program::find;

pub const ADDRESSES: [&str; 3] = ["10.0.0.11:8080", "10.0.0.12:8080", "10.0.0.13:8080"];
const ROUND_ROBIN: &str = "[policy]\nname = \"round_robin\"";

pub fn guests() -> Vec<Guest> {
    (0..GUESTS).map(Guest::new).collect()
}

/// That configuration with its upstreams in the opposite order.
pub fn reversed(config: &str) -> String {
    let (upstreams, others): (Vec<_>, Vec<_>) =
        config.split("\n\n").partition(|paragraph| paragraph.starts_with("[[upstream]]"));
    others.into_iter().chain(upstreams.into_iter().rev()).map(str::trim_end).collect::<Vec<_>>().join("\n\n")
}

/// That configuration with a policy whose placements differ.
pub fn round_robin(config: &str) -> String {
    with(config, ROUND_ROBIN)
}

/// The output of the guide's commands for the way back, run with that gateway.
pub fn lines_for_the_way_back(commands: &str, address: &str, gateway: &str) -> Option<String> {
    find("curl")?;
    let commands = fitted(commands, &[(address, gateway)]);
    let output = Command::new("bash").args(["-euc", &commands]).output().expect("run the commands");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(lines.lines().count(), 3, "{lines}{}", String::from_utf8_lossy(&output.stderr));
    Some(lines)
}

#[test]
fn from_nginx() {
    let Some(nginx) = find("nginx") else { return };
    let guide = Guide::read("FROM_NGINX.md");
    by_ip_hash(&guide, &nginx);
    by_other_keys(&guide, &nginx);
    by_a_cookie(&guide, &nginx);
    by_the_md5_of_an_address(&guide);
    guide.all_was_run();
}

fn by_ip_hash(guide: &Guide, nginx: &Path) {
    let (before, after) = (guide.block("Before: ip_hash", "nginx"), guide.block("After: ip_hash", "toml"));
    let settled = fitted(after, &[("\"ip_hash\"", "\"least_sessions\"")]);
    let site = Site::new(ADDRESSES);
    let front = site.nginx(nginx, before);
    let strange = [reversed(after), round_robin(after)];
    let mut visitors = site.change_over(&front, guests(), after, &settled, &[&strange[0], &strange[1]]);
    // Visitors that another policy placed are not where nginx would place them,
    assert!(astray(&mut visitors.clone(), front.address) > 5);
    // unless it follows Homing's cookies.
    if let Some(back) = way_back(guide, &site) {
        let config = fitted(before, &[("proxy_pass http://app;", "proxy_pass http://$pinned;")]);
        let front = site.nginx(nginx, &format!("{config}{back}"));
        assert_eq!(astray(&mut visitors, front.address), 0, "lost on the way back");
    }

    in_front_of_homing(nginx, &site, before, after);

    // Behind another proxy, which is trusted.
    let behind = |config: &str| fitted(config, &[("10.1.0.0/16", "127.0.0.0/8")]);
    let front = site.nginx(nginx, &behind(before));
    let guests = site.settle((0..GUESTS).map(Guest::forwarded).collect(), front.address);
    let gateway = |config: &str| site.gateway(config);
    assert_eq!(astray(&mut guests.clone(), gateway(&behind(after)).address()), 0);
    assert!(astray(&mut guests.clone(), gateway(after).address()) > usize::from(GUESTS) / 3);
}

/// The way in without a gap: nginx sends everything to Homing.
fn in_front_of_homing(nginx: &Path, site: &Site, before: &str, after: &str) {
    let mut guests = site.settle(guests(), site.nginx(nginx, before).address);
    let gateway = site.gateway(&fitted(after, &[("10.1.0.0/16", "127.0.0.1/32")]));
    let through = format!("proxy_pass http://{};", gateway.address());
    let front = site.nginx(nginx, &fitted(before, &[("proxy_pass http://app;", &through)]));
    assert_eq!(astray(&mut guests, front.address), 0, "lost on the way in without a gap");
    assert!(guests.iter().all(Guest::has_ours));
}

/// The map for the way back, as the guide's commands fill it in.
fn way_back(guide: &Guide, site: &Site) -> Option<String> {
    let map = guide.block("The way back", "nginx");
    let helper = site.gateway(guide.block("The way back", "toml"));
    let commands = guide.block("The way back", "sh");
    let lines = lines_for_the_way_back(commands, "127.0.0.1:8099", &helper.address().to_string())?;
    Some(fitted(map, &[("    ...\n", &lines)]))
}

fn by_other_keys(guide: &Guide, nginx: &Path) {
    for (heading, goes_by_order) in
        [("By a parameter", true), ("By a header, consistent", false), ("By the whole address, consistent", false)]
    {
        let before = with(guide.block("Before: ip_hash", "nginx"), guide.block(heading, "nginx").trim_end());
        let after = with(guide.block("After: ip_hash", "toml"), guide.block(heading, "toml").trim_end());
        // The servers of these have no weights.
        let after = without(&after, "weight");
        let site = Site::new(ADDRESSES);
        let front = site.nginx(nginx, &before);
        let strange = if goes_by_order { reversed(&after) } else { round_robin(&after) };
        let mut visitors = site.change_over(&front, guests(), &after, &after, &[&strange]);
        assert_eq!(astray(&mut visitors, front.address), 0, "{heading}: lost on the way back");
    }
}

fn by_a_cookie(guide: &Guide, nginx: &Path) {
    let before = guide.block("Before: a cookie and a map", "nginx");
    let after = guide.block("After: a cookie and a map", "toml");
    let settled = without(after, "accept");
    let site = Site::new(ADDRESSES);
    let front = site.nginx(nginx, before);
    let mut visitors = site.change_over(&front, guests(), after, &settled, &[&settled]);
    assert!(astray(&mut visitors.clone(), front.address) > 5);
    if let Some(back) = way_back(guide, &site) {
        let map = back.split_once("\n\n").expect("upstreams, and a map").1;
        let map = fitted(map, &[("default app;", "default $place;")]);
        let pinned = [("proxy_pass http://$place;", "proxy_pass http://$pinned;"), ("route=$place;", "route=$pinned;")];
        let front = site.nginx(nginx, &format!("{}{map}", fitted(before, &pinned)));
        assert_eq!(astray(&mut visitors, front.address), 0, "lost on the way back");
    }
}

/// Debian's nginx has no `sticky`: md5sum makes the cookies here.
fn by_the_md5_of_an_address(guide: &Guide) {
    let Some(md5sum) = find("md5sum") else { return };
    let cookie = guide.block("After: a cookie and a map", "toml");
    let after = with(cookie, guide.block("After: sticky cookie", "toml").trim_end());
    let site = Site::new(ADDRESSES);
    let gateway = site.gateway(&after);
    for instance in &site.instances {
        let command = format!("printf %s {} | {}", instance.address, md5sum.display());
        let output = Command::new("sh").args(["-c", &command]).output().expect("run md5sum");
        let digest = String::from_utf8(output.stdout).expect("UTF-8")[..32].to_owned();
        for _ in 0..3 {
            let mut guest = Guest::new(7);
            guest.cookies.insert("srv_id".to_owned(), digest.clone());
            guest.arrive(gateway.address());
            assert_eq!(guest.home, instance.name);
        }
    }
}
