//! Changes: applied whole or not at all, and visible in the proxy's behaviour.

use super::host::{Host, code, json, ring};
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::visitor::Visitor;
use homing::KeyRing;
use serde_json::{Value, json as value};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

fn newcomers(host: &Host) -> BTreeSet<String> {
    Visitor::several(host.address, 12).iter_mut().map(|visitor| visitor.visit().text()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn address(upstream: &Upstream) -> String {
    value!({ "address": upstream.address.to_string() }).to_string()
}

#[test]
fn an_upstream_is_added_changed_and_removed() {
    let upstreams = Upstream::several(3);
    let host = Host::start(&upstreams[..2]);
    let added = json(&host.ask("PUT", "/api/v1/upstreams/app-3", &address(&upstreams[2])), 201);
    assert_eq!((&added["from_generation"], &added["generation"]), (&1.into(), &2.into()));
    assert_eq!((&added["effects"][0]["upstream"], &added["effects"][0]["effect"]), (&"app-3".into(), &"added".into()));
    assert_eq!(newcomers(&host), set(&["app-1", "app-2", "app-3"]), "at once");

    let again = json(&host.ask("PUT", "/api/v1/upstreams/app-3", &address(&upstreams[2])), 200);
    assert_eq!((&again["generation"], &again["effects"]), (&2.into(), &value!([])), "nothing differs");
    let heavier = value!({ "address": upstreams[2].address.to_string(), "weight": 7, "max_in_flight": 9 }).to_string();
    let changed = json(&host.ask("PUT", "/api/v1/upstreams/app-3", &heavier), 200);
    assert_eq!((&changed["generation"], &changed["effects"][0]["effect"]), (&3.into(), &"changed".into()));
    assert_eq!((&host.listed("app-3")["weight"], &host.listed("app-3")["max_in_flight"]), (&7.into(), &9.into()));

    let removed = json(&host.ask("DELETE", "/api/v1/upstreams/app-3", ""), 200);
    assert_eq!((&removed["generation"], &removed["effects"][0]["effect"]), (&4.into(), &"removed".into()));
    assert_eq!(newcomers(&host), set(&["app-1", "app-2"]));
    assert_eq!(code(&host.ask("DELETE", "/api/v1/upstreams/app-3", ""), 404), "no_upstream");
    json(&host.ask("DELETE", "/api/v1/upstreams/app-2", ""), 200);
    assert_eq!(code(&host.ask("DELETE", "/api/v1/upstreams/app-1", ""), 409), "last_upstream");
    assert_eq!(host.generation(), 5);
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let host = Host::start(&Upstream::several(1));
    for (body, status, expected) in [
        ("", 400, "body"),
        ("{", 400, "body"),
        ("[]", 400, "body"),
        ("{}", 400, "body"),
        (r#"{"address":"a:1","wieght":1}"#, 400, "body"),
        (r#"{"address":"a:1","weight":-1}"#, 400, "body"),
        (r#"{"address":"a:1","weight":65536}"#, 400, "body"),
        (r#"{"address":"a:1"} {}"#, 400, "body"),
        (r#"{"address":"a:1","weight":0}"#, 422, "value"),
        (r#"{"address":"a"}"#, 422, "value"),
        (r#"{"address":"a:0"}"#, 422, "value"),
    ] {
        assert_eq!(code(&host.ask("PUT", "/api/v1/upstreams/x", body), status), expected, "{body}");
    }
    assert_eq!(code(&host.ask("PUT", "/api/v1/upstreams/a%20b", r#"{"address":"a:1"}"#), 422), "value");
    for (target, body, status, expected) in [
        ("/api/v1/plan", r#"{"changes":[{"put":{"name":"a b","address":"a:1"}}]}"#, 422, "value"),
        ("/api/v1/plan", r#"{"changes":[{"remove":"none"}]}"#, 404, "no_upstream"),
        ("/api/v1/plan", r#"{"changes":[{"remove":"app-1"}]}"#, 409, "last_upstream"),
        ("/api/v1/plan", r#"{"changes":[{"erase":"app-1"}]}"#, 400, "body"),
        ("/api/v1/plan", r#"{"changes":[{"put":["b","b:1"]}]}"#, 400, "body"),
        ("/api/v1/plan", r"{}", 400, "body"),
        ("/api/v1/apply", r#"{"changes":[]}"#, 400, "body"),
        (
            "/api/v1/apply",
            r#"{"generation":1,"changes":[{"put":{"name":"b","address":"b:1"}},{"remove":"none"}]}"#,
            404,
            "no_upstream",
        ),
        ("/api/v1/upstreams/none/drain", "{}", 404, "no_upstream"),
        ("/api/v1/upstreams/none/resume", "{}", 404, "no_upstream"),
        ("/api/v1/upstreams/app-1/drain", r#"{"deadline":"soon"}"#, 422, "value"),
        ("/api/v1/upstreams/app-1/drain", r#"{"deadline":"500 years"}"#, 422, "value"),
        ("/api/v1/upstreams/app-1/drain", r#"{"deadline":10}"#, 400, "body"),
        ("/api/v1/upstreams/app-1/drain", r#"{"within":"10m"}"#, 400, "body"),
        ("/api/v1/upstreams/app-1/resume", r#"{"now":true}"#, 400, "body"),
    ] {
        assert_eq!(code(&host.ask("POST", target, body), status), expected, "{target} {body}");
    }
    assert_eq!((host.generation(), host.names()), (1, vec!["app-1".to_owned()]));
    assert_eq!(host.listed("app-1")["state"], "active");
}

#[test]
fn a_plan_explains_and_changes_nothing() {
    let upstreams = Upstream::several(3);
    let host = Host::with(&upstreams, "rendezvous", |admin| admin);
    newcomers(&host);
    until("the last responses have been seen to their ends", || {
        upstreams.iter().all(|upstream| host.listed(&upstream.name)["in_flight"] == 0)
    });
    let before = json(&host.get("/api/v1/upstreams"), 200);
    let wishes = value!({ "changes": [
        { "remove": "app-1" },
        { "put": { "name": "app-4", "address": "127.0.0.1:9", "weight": 2, "max_in_flight": 5 } },
    ] });
    let plan = json(&host.ask("POST", "/api/v1/plan", &wishes.to_string()), 200);
    assert_eq!(plan["generation"], 1);
    let effects: Vec<_> =
        plan["effects"].as_array().unwrap().iter().map(|seen| (&seen["upstream"], &seen["effect"])).collect();
    assert_eq!(effects, [(&value!("app-1"), &value!("removed")), (&value!("app-4"), &value!("added"))]);
    assert_eq!((&plan["before"]["weight"], &plan["after"]["weight"]), (&3.into(), &4.into()));
    assert_eq!((&plan["before"]["upstreams"], &plan["after"]["upstreams"]), (&3.into(), &3.into()));
    assert!((0.3..0.9).contains(&plan["moved_keys"].as_f64().unwrap()), "{plan}");
    assert_eq!(plan["broken_sessions"], host.listed("app-1")["live_sessions"]);
    assert!(plan["explanation"][0].as_str().unwrap().contains("after generation 1"));

    let after = json(&host.get("/api/v1/upstreams"), 200);
    let facts = |list: &Value| (list["generation"].clone(), list["upstreams"].clone());
    assert_eq!(facts(&after), facts(&before));
    let by_turns = Host::start(&upstreams);
    assert!(json(&by_turns.ask("POST", "/api/v1/plan", &wishes.to_string()), 200)["moved_keys"].is_null());
}

#[test]
fn changes_are_applied_together_against_the_generation_that_was_planned() {
    let upstreams = Upstream::several(3);
    let host = Host::start(&upstreams[..2]);
    let wishes = |generation: u64| {
        let put = value!({ "name": "app-3", "address": upstreams[2].address.to_string() });
        value!({ "generation": generation, "changes": [{ "put": put }, { "remove": "app-1" }] }).to_string()
    };
    assert_eq!(code(&host.ask("POST", "/api/v1/apply", &wishes(2)), 409), "generation", "from the future");
    json(&host.ask("PUT", "/api/v1/upstreams/app-9", r#"{"address":"127.0.0.1:9"}"#), 201);
    json(&host.ask("DELETE", "/api/v1/upstreams/app-9", ""), 200);
    let stale = host.ask("POST", "/api/v1/apply", &wishes(1));
    assert_eq!(code(&stale, 409), "generation");
    assert!(stale.text().contains("the cluster is at 3"), "{}", stale.text());
    assert_eq!(host.names(), ["app-1", "app-2"], "nothing has changed");

    let done = json(&host.ask("POST", "/api/v1/apply", &wishes(3)), 200);
    assert_eq!((&done["from_generation"], &done["generation"]), (&3.into(), &4.into()), "one generation for both");
    assert_eq!(host.names(), ["app-2", "app-3"]);
    assert_eq!(code(&host.ask("POST", "/api/v1/apply", &wishes(3)), 409), "generation", "not twice");
}

#[test]
fn of_many_concurrent_applies_one_succeeds() {
    let host = Host::start(&Upstream::several(1));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let wish = |n: u32| format!(r#"{{"generation":1,"changes":[{{"put":{{"name":"n{n}","address":"a:1"}}}}]}}"#);
        let host = &host;
        let asked: Vec<_> =
            (0..8).map(|n| scope.spawn(move || host.ask("POST", "/api/v1/apply", &wish(n)).status())).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7, "{statuses:?}");
    assert_eq!((host.generation(), host.names().len()), (2, 2));
}

#[test]
fn puts_at_once_are_all_done() {
    let host = Host::start(&Upstream::several(1));
    std::thread::scope(|scope| {
        for n in 0..8 {
            let host = &host;
            scope.spawn(move || {
                let target = format!("/api/v1/upstreams/n{n}");
                json(&host.ask("PUT", &target, r#"{"address":"127.0.0.1:9"}"#), 201);
            });
        }
    });
    assert_eq!((host.generation(), host.names().len()), (9, 9));
}

#[test]
fn a_drained_upstream_keeps_its_sessions_and_gets_no_new_ones_until_it_is_resumed() {
    let upstreams = Upstream::several(2);
    let host = Host::start(&upstreams);
    let mut visitors = Visitor::several(host.address, 8);
    let homes: Vec<String> = visitors.iter_mut().map(|visitor| visitor.visit().text()).collect();
    assert!(homes.contains(&"app-1".to_owned()));

    let drained = json(&host.ask("POST", "/api/v1/upstreams/app-1/drain", ""), 200);
    assert_eq!((&drained["state"], &drained["cause"]), (&"draining".into(), &"requested by an operator".into()));
    assert_eq!((&drained["accepting"], &drained["serving"]), (&false.into(), &true.into()));
    assert!(drained["since"].as_str().unwrap().ends_with('Z'));
    let again: Vec<String> = visitors.iter_mut().map(|visitor| visitor.visit().text()).collect();
    assert_eq!(again, homes, "who is there stays");
    assert_eq!(newcomers(&host), set(&["app-2"]));
    assert_eq!(host.generation(), 1);

    let resumed = json(&host.ask("POST", "/api/v1/upstreams/app-1/resume", "{}"), 200);
    assert_eq!((&resumed["state"], &resumed["accepting"]), (&"active".into(), &true.into()));
    assert_eq!(newcomers(&host), set(&["app-1", "app-2"]));
}

#[test]
fn after_the_deadline_its_sessions_have_left() {
    let upstreams = Upstream::several(2);
    let host = Host::start(&upstreams);
    let mut visitors = Visitor::several(host.address, 4);
    visitors.iter_mut().for_each(|visitor| drop(visitor.visit()));
    json(&host.ask("POST", "/api/v1/upstreams/app-1/drain", r#"{"deadline":"0s"}"#), 200);
    until("its sessions have left", || visitors.iter_mut().all(|visitor| visitor.visit().text() == "app-2"));
    let moved = |why: &str| host.listed("app-2")["decisions"][why].as_u64().unwrap();
    assert!(moved("drained") + moved("not_serving") > 0);
}

#[test]
fn rotation_takes_over_the_keys_as_they_are_kept_now() {
    let signer = Arc::new(AtomicU8::new(0));
    let kept = Arc::clone(&signer);
    let read = move || match kept.load(Ordering::SeqCst) {
        9 => Err("keys:3:1: key[0].use: must be \"sign\" or \"verify\"".into()),
        8 => Ok::<_, Box<dyn std::error::Error + Send + Sync>>(KeyRing::generate("app").unwrap()),
        signer => Ok(ring(signer)),
    };
    let upstreams = Upstream::several(2);
    let host = Host::with(&upstreams, "round_robin", |admin| admin.keys(read));
    let mut visitor = Visitor::new(host.address, "v");
    let home = visitor.visit().text();
    signer.store(1, Ordering::SeqCst);
    assert_eq!((visitor.visit().text(), visitor.given), (home.clone(), 1), "nothing changes by itself");
    let rotated = json(&host.ask("POST", "/api/v1/keys/rotate", ""), 200);
    assert_eq!(rotated, value!({ "from_generation": 1, "generation": 2, "signer": 1 }));
    assert_eq!((visitor.visit().text(), visitor.given), (home.clone(), 2), "a new token, and the same upstream");

    for (kept, gist) in [(9, "keys:3:1: key[0].use"), (8, "another pool or identity secret")] {
        signer.store(kept, Ordering::SeqCst);
        let refused = host.ask("POST", "/api/v1/keys/rotate", "{}");
        assert_eq!(code(&refused, 422), "keys");
        assert!(refused.text().contains(gist), "{}", refused.text());
    }
    assert_eq!((visitor.visit().text(), visitor.given, host.generation()), (home, 2, 2), "the old ones go on");
    let without = Host::start(&upstreams);
    assert_eq!(code(&without.ask("POST", "/api/v1/keys/rotate", ""), 404), "no_keys");
}
