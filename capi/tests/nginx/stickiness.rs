//! A session stays on its upstream, whichever worker handles its requests.

use crate::support::test;
use std::collections::BTreeSet;

use super::server::{Nginx, Setup, servers};
use crate::support::client::get;
use crate::support::upstream::Upstream;
use crate::support::visitor::Visitor;

const VISITORS: usize = 20;
const VISITS: usize = 15;

/// The upstreams of each visitor, request by request.
fn visits(nginx: &Nginx) -> (Vec<Visitor>, Vec<BTreeSet<String>>) {
    let mut visitors = Visitor::several(nginx.address, VISITORS);
    let mut all_pinned = vec![BTreeSet::new(); VISITORS];
    for _ in 0..VISITS {
        for (visitor, all_pinned) in visitors.iter_mut().zip(&mut all_pinned) {
            let answer = visitor.visit();
            assert_eq!(answer.status(), 200);
            all_pinned.insert(answer.text());
        }
    }
    (visitors, all_pinned)
}

fn four_workers(upstreams: &[Upstream], method: &str) -> Setup {
    let setup = Setup::of(format!("{method} {}", servers(upstreams)));
    // With a listen queue for each worker, all of them get connections.
    Setup { workers: 4, listen: "reuseport", ..setup }
}

#[test]
fn sessions_stay_whichever_worker_handles_them() {
    let upstreams = Upstream::several(5);
    let setup = four_workers(&upstreams, "homing key_file=homing.keys policy=least_sessions;");
    let Some(nginx) = Nginx::start(&setup) else { return };
    let (visitors, all_pinned) = visits(&nginx);
    assert!(all_pinned.iter().all(|all_pinned| all_pinned.len() == 1), "{all_pinned:?}");
    assert!(visitors.iter().all(|visitor| visitor.given == 1));
    assert_eq!(all_pinned.into_iter().flatten().collect::<BTreeSet<_>>().len(), 5, "each upstream has some");
    let log = nginx.log(VISITORS * VISITS);
    let workers_of = |name: &str| {
        let own = log.iter().filter(|line| line.visitor == name);
        own.map(|line| &line.worker).collect::<BTreeSet<_>>()
    };
    assert!(visitors.iter().all(|visitor| workers_of(&visitor.name).len() > 1), "workers share the work");
    let decided = |decision: &str| log.iter().filter(|line| line.decision == decision).count();
    assert_eq!((decided("new"), decided("pinned")), (VISITORS, VISITORS * (VISITS - 1)));
    assert!(log.iter().all(|line| line.tried == [line.upstream.clone()]), "a server is called as it is written");
    assert_eq!(nginx.complaints(), [""; 0]);
}

/// The control: without the directive, nginx spreads the requests of a visitor.
#[test]
fn without_the_directive_sessions_do_not_stay() {
    let upstreams = Upstream::several(5);
    let Some(nginx) = Nginx::start(&four_workers(&upstreams, "")) else { return };
    let (visitors, all_pinned) = visits(&nginx);
    assert!(
        all_pinned.iter().all(|all_pinned| all_pinned.len() > 1) && visitors.iter().all(|visitor| visitor.given == 0)
    );
    assert!(nginx.log(1).iter().all(|line| line.decision == "-" && line.upstream == "-"));
}

#[test]
fn every_policy_of_the_library_places() {
    let upstreams = Upstream::several(3);
    let (mut http, mut server) = (String::new(), String::new());
    let policies: Vec<_> = homing::policy::registry().iter().map(|entry| entry.name).collect();
    for policy in &policies {
        http +=
            &format!("upstream {policy} {{ homing key_file=homing.keys policy={policy}; {} }} ", servers(&upstreams));
        server += &format!("location /{policy} {{ proxy_pass http://{policy}; }} ");
    }
    let Some(nginx) = Nginx::start(&Setup { http, server, ..Setup::default() }) else { return };
    for policy in &policies {
        let answer = get(nginx.address, &format!("/{policy}"));
        assert_eq!((answer.status(), answer.head.all("set-cookie").len()), (200, 1), "{policy}");
    }
    assert_eq!(nginx.complaints(), [""; 0]);
}

/// A hash policy uses the value of nginx's `key`.
#[test]
fn a_key_is_any_string_of_nginx() {
    let upstreams = Upstream::several(5);
    let homing = "homing key_file=homing.keys policy=rendezvous key=$arg_tenant;";
    let Some(nginx) = Nginx::start(&Setup::of(format!("{homing} {}", servers(&upstreams)))) else { return };
    let pinned = |tenant: usize| get(nginx.address, &format!("/?tenant={tenant}")).text();
    let all_pinned: Vec<_> = (0..20).map(pinned).collect();
    assert_eq!(all_pinned, (0..20).map(pinned).collect::<Vec<_>>());
    assert!(all_pinned.iter().collect::<BTreeSet<_>>().len() > 1);
}
