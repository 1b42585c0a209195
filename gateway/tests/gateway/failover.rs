//! A dead upstream: its visitors move once, the others never.

use std::collections::{BTreeMap, BTreeSet};

use crate::stickiness::seen_by;
use crate::support::client::{get, request};
use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::visitor::Visitor;

/// The upstream that serves each visitor now.
fn places(visitors: &mut [Visitor]) -> BTreeMap<String, String> {
    let visit = |visitor: &mut Visitor| {
        let response = visitor.visit();
        assert_eq!(response.status(), 200, "{}: {response:?}", visitor.name);
        (visitor.name.clone(), response.text())
    };
    visitors.iter_mut().map(visit).collect()
}

#[test]
fn a_killed_upstreams_visitors_move_once_and_the_others_never() {
    let mut upstreams = Upstream::several(5);
    let gateway = Gateway::before(&upstreams);
    let mut visitors = Visitor::several(gateway.address(), 100);
    let before = places(&mut visitors);
    let killed = upstreams[2].name.clone();
    let bereft: BTreeSet<_> = before.iter().filter(|place| *place.1 == killed).map(|place| place.0.clone()).collect();
    assert!(!bereft.is_empty());
    upstreams[2].stop();

    let after = places(&mut visitors);
    assert_eq!(places(&mut visitors), after);
    upstreams[2].restart();
    assert_eq!(places(&mut visitors), after);

    for (visitor, names) in seen_by(&upstreams) {
        let expected = if bereft.contains(&visitor) { 2 } else { 1 };
        assert_eq!(names.len(), expected, "{visitor} was seen by {names:?}");
    }
    for visitor in &visitors {
        let expected = if bereft.contains(&visitor.name) { 2 } else { 1 };
        assert_eq!(visitor.given, expected, "{} was given {} cookies", visitor.name, visitor.given);
    }
    let heirs: BTreeSet<_> = bereft.iter().map(|visitor| &after[visitor]).collect();
    assert!(heirs.len() > 1, "all of {} visitors moved to {heirs:?}", bereft.len());
}

/// Without probes, which might notice it.
#[test]
fn a_restart_that_no_visitor_noticed_moves_no_session() {
    let mut upstreams = Upstream::several(3);
    let gateway = Gateway::start("[health]\nenabled = false", &upstreams.iter().collect::<Vec<_>>());
    let mut visitors = Visitor::several(gateway.address(), 30);
    let before = places(&mut visitors);
    upstreams[0].stop();
    upstreams[0].restart();
    assert_eq!(places(&mut visitors), before);
}

#[test]
fn newcomers_are_served_while_one_is_dead() {
    let mut upstreams = Upstream::several(3);
    upstreams[1].stop();
    let gateway = Gateway::start("[policy]\nname = \"round_robin\"", &upstreams.iter().collect::<Vec<_>>());
    places(&mut Visitor::several(gateway.address(), 30));
    assert_eq!(seen_by(&upstreams).len(), 30);
}

#[test]
fn reject_tells_the_visitors_of_a_dead_upstream() {
    let mut upstreams = Upstream::several(3);
    let settings = "[affinity]\non_unavailable = \"reject\"\n[policy]\nname = \"round_robin\"";
    let gateway = Gateway::start(settings, &upstreams.iter().collect::<Vec<_>>());
    let mut visitors = Visitor::several(gateway.address(), 9);
    let before = places(&mut visitors);
    upstreams[0].stop();
    for visitor in &mut visitors {
        let response = visitor.visit();
        if before[&visitor.name] == upstreams[0].name {
            assert_eq!(response.status(), 503);
            assert_reason(&response.head.all("content-type"), &response.text());
        } else {
            assert_eq!(response.text(), before[&visitor.name]);
        }
        assert_eq!(visitor.given, 1);
    }
    upstreams[0].restart();
    until("it serves again", || visitors.iter_mut().all(|visitor| visitor.visit().status() == 200));
    assert_eq!(places(&mut visitors), before);
}

#[test]
fn reject_is_for_the_pinned_alone() {
    let mut upstreams = Upstream::several(2);
    let settings = "[affinity]\non_unavailable = \"reject\"\n[policy]\nname = \"round_robin\"";
    let gateway = Gateway::start(settings, &upstreams.iter().collect::<Vec<_>>());
    upstreams[0].stop();
    places(&mut Visitor::several(gateway.address(), 6));
    assert_eq!(upstreams[1].seen().len(), 6);
}

/// A short reason in plain text.
pub fn assert_reason(content_type: &[String], body: &str) {
    let [content_type] = content_type else { panic!("content-type {content_type:?} of {body:?}") };
    assert!(content_type.starts_with("text/plain"), "{content_type}");
    assert!((1..300).contains(&body.trim().len()), "{body:?}");
}

#[test]
fn with_all_dead_there_is_a_reason() {
    let mut upstreams = Upstream::several(2);
    let gateway = Gateway::before(&upstreams);
    let mut visitor = Visitor::new(gateway.address(), "pinned");
    visitor.visit();
    for upstream in &mut upstreams {
        upstream.stop();
    }
    for response in [get(gateway.address(), "/"), visitor.visit()] {
        assert!([502, 503].contains(&response.status()), "{response:?}");
        assert_reason(&response.head.all("content-type"), &response.text());
    }
    for upstream in &mut upstreams {
        upstream.restart();
    }
    until("the pinned is served again", || visitor.visit().status() == 200);
    until("a newcomer is served again", || get(gateway.address(), "/").status() == 200);
}

#[test]
fn a_client_outlives_the_failures_of_its_upstreams() {
    let mut upstreams = Upstream::several(1);
    let gateway = Gateway::before(&upstreams);
    let mut wire = crate::support::client::connect(gateway.address());
    assert_eq!(wire.exchange(request("GET", "/", "")).status(), 200);
    upstreams[0].stop();
    assert!([502, 503].contains(&wire.exchange(request("GET", "/", "")).status()));
    upstreams[0].restart();
    until("it serves again", || wire.exchange(request("GET", "/", "")).status() == 200);
}
