//! An explanation predicts the pick of the same request, and explaining changes nothing.

use crate::{NOW, balancer, balancer_with, ring, upstream, upstreams, visit};
use homing::balancer::{Explanation, Step, TokenSet};
use homing::health::{Failover, Outcome, ProbeResult, SlowStart};
use homing::rng::SeededEntropy;
use homing::{
    Affinity, Availability, Balancer, Change, Decision, HealthSettings, KeyRing, OnFull, OnRestart, OnUnavailable,
    PickError, PinLoss, Request, Timestamp,
};
use proptest::prelude::*;
use std::time::Duration;

fn explain(balancer: &Balancer, tokens: &[&[u8]]) -> Explanation {
    balancer.explain(&Request::new(NOW).tokens(tokens))
}

#[test]
fn a_pinned_request_reads_like_this() {
    let balancer = balancer(upstreams(2));
    let (first, token) = visit(&balancer);
    let name = first.upstream().name();
    let text = explain(&balancer, &[b"nonsense", token.as_bytes()]).to_string();
    assert_eq!(
        text,
        format!(
            "generation 1\n\
             - token 1 is refused: malformed\n\
             - token 2 is good: a session of 0 s on {name}\n\
             - {name} serves and has room: the session stays pinned to it\n\
             - the client's token stays\n\
             goes to {name} (pinned)"
        )
    );
}

#[test]
fn a_displaced_session_reads_like_this() {
    let balancer = balancer(upstreams(4).into_iter().map(|upstream| upstream.max_in_flight(1)).collect());
    let (first, token) = visit(&balancer);
    let (second, _) = visit(&balancer);
    let name = first.upstream().name();
    first.upstream().set_availability(Availability::DOWN);
    let explained = explain(&balancer, &[token.as_bytes()]);
    let to = explained.upstream.clone().unwrap();
    assert_eq!(
        explained.to_string(),
        format!(
            "generation 1\n\
             - token 1 is good: a session of 0 s on {name}\n\
             - its upstream cannot take it: not_serving\n\
             - 2 of 4 upstreams can take it; 1 take no new sessions; 1 full\n\
             - {to} is the first of them in the session's own rendezvous order\n\
             - a token is set: the session has moved\n\
             goes to {to} (not_serving)"
        )
    );
    drop(second);
}

#[test]
fn refusals_are_explained() {
    let rejecting = Affinity::builder(ring(0, &[])).on_unavailable(OnUnavailable::Reject).build().unwrap();
    let balancer = balancer_with(upstreams(2), rejecting);
    let (first, token) = visit(&balancer);
    first.upstream().set_availability(Availability::DOWN);
    let explained = explain(&balancer, &[token.as_bytes()]);
    assert_eq!((explained.steps.last(), explained.decision), (Some(&Step::Rejected), None));
    for name in ["app-1", "app-2"] {
        upstream(&balancer, name).set_availability(Availability::DOWN);
    }
    let explained = explain(&balancer, &[]);
    assert_eq!((explained.steps.last(), explained.upstream), (Some(&Step::Nowhere), None));
}

#[test]
fn each_reason_for_a_new_token_is_explained() {
    let set = |balancer: &Balancer, token: &[u8], now: Timestamp| {
        balancer.explain(&Request::new(now).tokens(&[token])).steps.last().unwrap().clone()
    };
    let balancer = balancer(upstreams(2));
    assert_eq!(explain(&balancer, &[]).steps.last(), Some(&Step::TokenSet(TokenSet::NewSession)));
    let (first, token) = visit(&balancer);
    assert_eq!(set(&balancer, token.as_bytes(), NOW), Step::TokenKept);
    let later = NOW.after(Duration::from_secs(200));
    assert_eq!(set(&balancer, token.as_bytes(), later), Step::TokenSet(TokenSet::Window));
    first.upstream().set_incarnation(7);
    assert_eq!(set(&balancer, token.as_bytes(), NOW), Step::TokenSet(TokenSet::Incarnation));
    first.upstream().set_incarnation(0);
    balancer.set_keys(ring(1, &[0])).unwrap();
    assert_eq!(set(&balancer, token.as_bytes(), NOW), Step::TokenSet(TokenSet::Key));
}

/// One step of the property: a change of an upstream, then a request.
#[derive(Debug, Clone)]
struct Turn {
    upstream: usize,
    health: u8,
    incarnation: u16,
    client: usize,
    minutes: u64,
    hold: bool,
    tried: bool,
    event: Option<Event>,
}

/// Reports and orders about an upstream, as [`homing::health`] takes them.
#[derive(Debug, Clone, Copy)]
enum Event {
    Refused,
    Returned,
    Drained,
    Resumed,
    Passed,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    use Event::{Drained, Passed, Refused, Resumed, Returned};
    let event = prop::option::of(prop::sample::select(vec![Refused, Returned, Drained, Resumed, Passed]));
    let turn = (0..5_usize, 0..3_u8, 0..3_u16, 0..6_usize, 0..40_u64, any::<bool>(), any::<bool>(), event);
    let turn = turn.prop_map(|(upstream, health, incarnation, client, minutes, hold, tried, event)| Turn {
        upstream,
        health,
        incarnation,
        client,
        minutes,
        hold,
        tried,
        event,
    });
    prop::collection::vec(turn, 1..60)
}

proptest! {
    /// After any history, the pick does what was explained. These policies use no randomness; two of them have state.
    #[test]
    fn a_pick_does_what_was_explained(
        turns in turns(),
        policy in prop::sample::select(vec!["round_robin", "ip_hash", "least_conn"]),
        choices: u8,
    ) {
        let keys = KeyRing::builder("pool", [7; 32]).sign_with(0, [8; 32]).build().unwrap();
        let affinity = Affinity::builder(keys)
            .on_full([OnFull::Wait, OnFull::Move][usize::from(choices & 1)])
            .on_restart([OnRestart::Replace, OnRestart::Keep][usize::from(choices >> 1 & 1)]);
        let return_timeout = Duration::from_secs(u64::from(choices >> 3 & 1) * 600);
        let failover = Failover::default().rate(u32::from(choices >> 2 & 1)).return_timeout(return_timeout);
        let health = HealthSettings::default()
            .failover(failover)
            .slow_start(SlowStart::default().window(Duration::from_secs(7200)))
            .drain_spread(Duration::from_secs(3600));
        let balancer = Balancer::builder()
            .upstreams(upstreams(5).into_iter().map(|upstream| upstream.max_in_flight(3)))
            .policy(policy)
            .affinity(affinity.build().unwrap())
            .health(health)
            .entropy(SeededEntropy::new(3))
            .build()
            .unwrap();
        let mut tokens = vec![None; 6];
        let (mut held, mut now) = (Vec::new(), NOW);
        for turn in turns {
            let name = format!("app-{}", turn.upstream + 1);
            if let Some(member) = balancer.cluster().find_name(&name) {
                let all = [Availability::ACTIVE, Availability::DRAINING, Availability::DOWN];
                let health = all[usize::from(turn.health)];
                let upstream = member.upstream();
                if turn.event.is_none() {
                    upstream.set_availability(health);
                }
                upstream.set_incarnation(turn.incarnation);
                match turn.event {
                    Some(Event::Refused) => balancer.report(upstream, Outcome::ConnectRefused, now),
                    Some(Event::Returned) => {
                        (0..2).for_each(|_| balancer.probe(upstream.id(), ProbeResult::Passed, now));
                    }
                    Some(Event::Drained) => balancer.drain(&name, Some(Duration::from_secs(300)), now).unwrap(),
                    Some(Event::Resumed) => balancer.resume(&name, now).unwrap(),
                    Some(Event::Passed) | None => {}
                }
            }
            now = now.after(Duration::from_secs(60 * turn.minutes));
            if turn.event.is_some() {
                balancer.tick(now);
            }
            let id = balancer.cluster().find_name(&name).map(|member| member.upstream().id());
            let tried: Vec<_> = id.filter(|_| turn.tried).into_iter().collect();
            let token: Option<homing::Token> = tokens[turn.client];
            let tokens_sent: Vec<&[u8]> = token.iter().map(homing::Token::as_bytes).collect();
            let client = [10, 0, turn.client as u8, 1].into();
            let request = Request::new(now).client(client).tokens(&tokens_sent).tried(&tried);

            let counted = |balancer: &Balancer| -> Vec<_> {
                balancer.cluster().members().iter().map(|m| (m.upstream().total(), m.upstream().in_flight())).collect()
            };
            let before = counted(&balancer);
            let explained = balancer.explain(&request);
            prop_assert_eq!(&explained, &balancer.explain(&request));
            prop_assert_eq!(before, counted(&balancer));

            match balancer.pick(&request) {
                Ok(pick) => {
                    prop_assert_eq!(explained.upstream.as_deref(), Some(pick.upstream().name()), "{}", explained);
                    prop_assert_eq!(explained.decision, Some(pick.decision));
                    let set = matches!(explained.steps.last(), Some(Step::TokenSet(_)));
                    prop_assert_eq!(set, pick.token.is_some(), "{}", explained);
                    tokens[turn.client] = pick.token.or(token);
                    if turn.hold {
                        held.push(pick.lease);
                    }
                }
                Err(error) => {
                    prop_assert_eq!(explained.upstream.as_deref(), None);
                    let told = match explained.steps.last() {
                        Some(Step::Waits { at, reason }) => {
                            matches!(error, PickError::Later { at: a, reason: r } if a == *at && r == *reason)
                        }
                        Some(Step::WaitsForRoom) => matches!(error, PickError::Full),
                        Some(Step::Nowhere) => matches!(error, PickError::Full | PickError::Unavailable),
                        _ => false,
                    };
                    prop_assert!(told, "{} but {}", explained, error);
                }
            }
            if held.len() > 10 {
                held.remove(0);
            }
        }
    }
}

/// The control of the property: an explanation from before a change differs from the pick.
#[test]
fn an_explanation_of_an_earlier_state_differs() {
    let balancer = balancer(upstreams(3));
    let before = explain(&balancer, &[]);
    visit(&balancer);
    assert_ne!(before.upstream, explain(&balancer, &[]).upstream, "a pick was not noticed");
    balancer.apply(balancer.plan(&[Change::Remove("app-1".into())]).unwrap()).unwrap();
    assert_eq!(explain(&balancer, &[]).generation.as_u64(), 2);
    let lost = Decision::PinLost(PinLoss::Malformed);
    assert_eq!(explain(&balancer, &[b"nonsense"]).decision, Some(lost));
}
