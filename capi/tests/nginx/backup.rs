//! Backup servers: used only if no primary server is left.

use super::server::{Nginx, Setup};
use crate::support::test;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::visitor::Visitor;

fn setup(upstreams: &[Upstream], zone: &str) -> Setup {
    let [a, b, spare, other] = upstreams else { panic!("four") };
    Setup::of(format!(
        "{zone} homing key_file=homing.keys policy=least_sessions; server {} fail_timeout=1s; server {} backup;
         server {} fail_timeout=1s; server {} backup;",
        a.address, spare.address, b.address, other.address
    ))
}

#[test]
fn backups_take_over_and_give_back() {
    for zone in ["", "zone app 256k;"] {
        let mut upstreams = Upstream::several(4);
        let setup = Setup { workers: 1, ..setup(&upstreams, zone) };
        let Some(nginx) = Nginx::start(&setup) else { return };
        let mut visitors = Visitor::several(nginx.address, 10);
        for visitor in &mut visitors {
            assert!(["app-1", "app-2"].contains(&visitor.visit().text().as_str()));
        }
        upstreams[0].stop();
        for visitor in &mut visitors {
            assert_eq!(visitor.visit().text(), "app-2", "a primary is left");
        }
        upstreams[1].stop();
        let all_pinned: Vec<_> = visitors.iter_mut().map(|visitor| visitor.visit().text()).collect();
        assert!(all_pinned.iter().all(|pinned| ["app-3", "app-4"].contains(&pinned.as_str())), "{all_pinned:?}");
        let moves = nginx.log(30)[20..].iter().filter(|line| line.decision == "not_serving").count();
        assert_eq!(moves, 10);
        // Meanwhile, sessions stay on their backup server.
        for (visitor, pinned) in visitors.iter_mut().zip(&all_pinned) {
            let given = visitor.given;
            assert_eq!((visitor.visit().text(), visitor.given), (pinned.clone(), given));
        }
        upstreams[0].restart();
        until("the primary is found again", || visitors[0].visit().text() == "app-1");
        for visitor in &mut visitors {
            assert_eq!(visitor.visit().text(), "app-1");
        }
    }
}
