//! Checks of every pick.

use crate::simulation::host::{Refusal, Travel};
use crate::simulation::invariants::{Check, ensure};
use crate::simulation::proxy::{Cell, Proxy, slot_of};
use crate::simulation::scenario::MINUTE;
use crate::simulation::session::{Cookie, Verdict};
use crate::simulation::world::World;
use homing::affinity::OnFull;
use homing::health::State;
use homing::{Decision, Pick, PickError, PinLoss, Request, Wait};
use std::time::Duration;

/// Whether the decision is about a session with a valid token.
pub fn knows(decision: Decision) -> bool {
    match decision {
        Decision::Pinned => true,
        Decision::New => false,
        Decision::PinLost(loss) => loss.is_displaced(),
        other => panic!("an unknown decision: {other}"),
    }
}

impl World {
    /// Checks the decision of a pick. Call it before the pick is counted.
    pub fn check_pick(&mut self, index: usize, picked: &Result<Pick, PickError>) -> Check {
        let travel = &self.travels[index];
        let proxy = &self.proxies[travel.proxy];
        match picked {
            Err(error) => self.check_error(travel, proxy, error),
            Ok(pick) => {
                self.tally.count("decisions", pick.decision.as_str());
                let travel = &self.travels[index];
                self.check_decision(travel, proxy, pick)?;
                if pick.decision == Decision::Pinned {
                    return Ok(());
                }
                let slot = slot_of(pick.upstream());
                if pick.decision == Decision::PinLost(PinLoss::Rebalanced) {
                    return self.check_rebalanced(index, pick.session_id, slot);
                }
                if travel
                    .cookie
                    .is_some_and(|cookie| matches!(self.verdict(travel, proxy, &cookie), Verdict::Pinned(..)))
                {
                    return Ok(());
                }
                self.log(|| format!("request {index} at proxy {}: {} goes to {slot}", travel.proxy, pick.decision));
                check_placed(proxy, slot)?;
                match pick.decision {
                    Decision::PinLost(loss) if loss.is_displaced() => {
                        self.check_move(index, pick.session_id, loss, slot)
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    fn check_error(&self, travel: &Travel, proxy: &Proxy, error: &PickError) -> Check {
        let verdict = travel.cookie.map(|cookie| self.verdict(travel, proxy, &cookie));
        let failover = self.scenario.health.failover;
        let open = takers(travel, proxy).count();
        let with_room = takers(travel, proxy).filter(|cell| cell.has_room()).count();
        match error {
            PickError::Unavailable => ensure!(open == 0, Answered, "unavailable, and {open} accept"),
            PickError::Full
                if verdict == Some(Verdict::PinLost(PinLoss::Full)) && self.scenario.on_full == OnFull::Wait => {}
            PickError::Full => {
                ensure!(open > 0 && with_room == 0, Answered, "full, and {with_room} of {open} have room");
            }
            PickError::Rejected(loss) => {
                ensure!(verdict == Some(Verdict::PinLost(*loss)), PinHolds, "rejected: {loss}, but {verdict:?}");
            }
            PickError::Later { reason: Wait::UpstreamReturn, .. } => {
                let is_away = verdict == Some(Verdict::PinLost(PinLoss::NotServing));
                ensure!(is_away && !failover.return_timeout.is_zero(), PinHolds, "held, but {verdict:?}");
            }
            PickError::Later { reason: Wait::Admission, .. } => {
                let is_displaced = matches!(verdict, Some(Verdict::PinLost(loss)) if loss.is_displaced());
                ensure!(is_displaced && failover.rate > 0, PinHolds, "paced, but {verdict:?}");
            }
            error => ensure!(false, Answered, "{error}"),
        }
        Ok(())
    }

    fn verdict(&self, travel: &Travel, proxy: &Proxy, cookie: &Cookie) -> Verdict {
        cookie.verdict(proxy, &self.scenario, |cell| travel.has_tried(cell.upstream.id()), self.now)
    }

    /// Checks that the decision follows from the client's cookie.
    fn check_decision(&self, travel: &Travel, proxy: &Proxy, pick: &Pick) -> Check {
        let (decision, name) = (pick.decision, pick.upstream().name());
        let slot = slot_of(pick.upstream());
        let member = proxy.members.get(&slot).map(|cell| &proxy.cells[*cell]);
        let is_member = member.is_some_and(|cell| std::sync::Arc::ptr_eq(&cell.upstream, pick.upstream()));
        ensure!(is_member, Membership, "{name} was picked, and is not in the cluster");
        let Some(cookie) = &travel.cookie else {
            ensure!(decision == Decision::New, PinHolds, "{decision} without a cookie");
            return Ok(());
        };
        let verdict = self.verdict(travel, proxy, cookie);
        let holds = match verdict {
            Verdict::Pinned(_, Decision::Pinned) | Verdict::PinLost(PinLoss::Full)
                if decision == Decision::PinLost(PinLoss::Rebalanced) =>
            {
                self.scenario.rebalance > 0 && cookie.slot != slot
            }
            Verdict::Pinned(cell, why) => decision == why && proxy.cells[cell].slot.number == slot,
            Verdict::PinLost(loss) => decision == Decision::PinLost(loss),
        };
        ensure!(holds, PinHolds, "a session of app-{} goes to {name}: {decision}, but {verdict:?}", cookie.slot);
        if decision == Decision::PinLost(PinLoss::UnknownKey) {
            let is_over = cookie.is_over(&self.scenario, proxy.clock(self.now));
            ensure!(is_over.is_some(), PinHolds, "a key was retired before its sessions");
        }
        if knows(decision) {
            ensure!(pick.session_id == cookie.session_id, PinHolds, "a session's session_id has changed");
            let is_current = cookie.is_current(slot, pick.upstream().incarnation(), proxy, &self.scenario, self.now);
            let is_set = pick.token.is_some();
            ensure!(is_set != is_current, PinHolds, "{decision}: token set: {is_set}, and it is current: {is_current}");
        }
        Ok(())
    }

    /// Checks that a session moves once per event, and to the target that every proxy would choose.
    fn check_move(&mut self, index: usize, session_id: u64, loss: PinLoss, slot: usize) -> Check {
        let travel = &self.travels[index];
        let Some(cookie) = travel.cookie else { return Ok(()) };
        let proxy = &self.proxies[travel.proxy];
        let pinned = proxy.members.get(&cookie.slot).map(|cell| &proxy.cells[*cell]);
        let cells = proxy.cells.iter().filter(|cell| cell.slot.number == cookie.slot).count() as u64;
        let event = match (loss, pinned) {
            (PinLoss::NoSuchUpstream, _) => Some(cells << 32),
            (PinLoss::OtherIncarnation, Some(pinned)) => Some(1 << 63 | u64::from(pinned.upstream.incarnation())),
            (PinLoss::Drained, Some(pinned)) => Some(1 << 62 | pinned.times_gone),
            (PinLoss::NotServing, Some(pinned)) if !travel.has_tried(pinned.upstream.id()) => {
                Some(cells << 32 | pinned.times_gone)
            }
            _ => None,
        };
        if let Some(event) = event.filter(|_| slot != cookie.slot) {
            let key = (session_id, travel.proxy, cookie.slot, event);
            let before = self.moves.insert(key, self.now);
            // Another proxy may find the upstream serving, and send the session there.
            let is_again = cookie.placed.0 == travel.proxy && before.is_some_and(|before| cookie.placed.1 > before);
            if is_again && loss == PinLoss::OtherIncarnation && !self.all_had_learned(&cookie) {
                // A proxy that did not know of a restart yet issued a token with the old incarnation.
                self.tally.count("noticed", "echoes of a restart");
                return Ok(());
            }
            ensure!(!is_again, PinHolds, "a session left app-{} a second time: {loss}", cookie.slot);
        }
        self.check_pacing(index, loss, slot)?;
        self.check_agreement(index, session_id, slot)
    }

    /// Whether every proxy knew the incarnation of the session's upstream when the cookie was made.
    fn all_had_learned(&self, cookie: &Cookie) -> bool {
        let pinned = self.proxies.iter().filter_map(|proxy| Some(&proxy.cells[*proxy.members.get(&cookie.slot)?]));
        let incarnations: Vec<u16> = pinned.clone().map(|pinned| pinned.upstream.incarnation()).collect();
        let is_one = incarnations.windows(2).all(|pair| pair[0] == pair[1]);
        is_one && pinned.map(|pinned| pinned.learned_at).max().is_some_and(|learned_at| learned_at < cookie.picked_at)
    }

    /// Checks that a session does not move before the return timeout of its upstream, nor faster than the failover
    /// rate.
    fn check_pacing(&mut self, index: usize, loss: PinLoss, slot: usize) -> Check {
        let failover = self.scenario.health.failover;
        let travel = &self.travels[index];
        let proxy = &mut self.proxies[travel.proxy];
        let pinned = travel.cookie.and_then(|cookie| proxy.members.get(&cookie.slot)).map(|cell| &proxy.cells[*cell]);
        let has_jumped = |since: u64| proxy.jumped_at > 0 && proxy.jumped_at >= since;
        if let (PinLoss::NotServing, Some(pinned)) = (loss, pinned)
            && pinned.state == State::Down
            && !has_jumped(pinned.down_at)
        {
            // The balancer tolerates threads whose clocks differ by two seconds, so its time may be off by as much.
            let waited = Duration::from_millis(self.now - pinned.down_at + 2000);
            ensure!(waited >= failover.return_timeout, PinHolds, "a session is not held: {waited:?}");
        }
        let second_ago = self.now.saturating_sub(1000);
        let has_jumped = has_jumped(second_ago);
        let admitted = &mut proxy.cells[proxy.members[&slot]].admitted;
        admitted.push_back(self.now);
        while admitted.front().is_some_and(|at| *at <= second_ago) {
            admitted.pop_front();
        }
        let most = (failover.rate + failover.rate / 4 + 1) as usize;
        let is_paced = failover.rate == 0 || has_jumped || admitted.len() <= most;
        ensure!(is_paced, PinHolds, "app-{slot} takes {} displaced sessions in a second", admitted.len());
        Ok(())
    }

    /// Checks a rebalanced session: to an upstream that accepts, within the budget, and never back.
    fn check_rebalanced(&mut self, index: usize, session_id: u64, slot: usize) -> Check {
        let now = self.now;
        let travel = &self.travels[index];
        let Some(cookie) = travel.cookie else { return Ok(()) };
        let proxy = &mut self.proxies[travel.proxy];
        check_placed(proxy, slot)?;
        proxy.rebalanced.push_back(now);
        while proxy.rebalanced.front().is_some_and(|at| at + MINUTE < now) {
            proxy.rebalanced.pop_front();
        }
        let has_jumped = proxy.jumped_at > 0 && proxy.jumped_at + MINUTE >= now;
        let (moved, most) = (proxy.rebalanced.len(), self.scenario.rebalance as usize + 33);
        ensure!(has_jumped || moved <= most, PinHolds, "{moved} sessions were rebalanced in a minute");
        self.rebalanced_moves.insert((session_id, cookie.slot, slot));
        let is_back = self.rebalanced_moves.contains(&(session_id, slot, cookie.slot));
        ensure!(!is_back, PinHolds, "a session was rebalanced back to app-{slot}");
        Ok(())
    }

    fn check_agreement(&mut self, index: usize, session_id: u64, slot: usize) -> Check {
        let travel = &self.travels[index];
        let Some(cookie) = travel.cookie else { return Ok(()) };
        let proxy = &self.proxies[travel.proxy];
        let able = live_set(travel, proxy);
        let before = *self.failover_targets.entry((session_id, able)).or_insert(slot);
        ensure!(before == slot, Agreement, "a session goes to app-{slot}, and went to app-{before} before");
        // Other proxies may not know yet that its upstream is gone: the request lists it as tried.
        let pinned = proxy.members.get(&cookie.slot).map(|cell| proxy.cells[*cell].upstream.id());
        let tried: Vec<_> = travel.tried.iter().copied().chain(pinned).collect();
        let is_pinned_able =
            pinned.is_some_and(|pinned| takers(travel, proxy).any(|cell| cell.upstream.id() == pinned));
        if is_pinned_able {
            return Ok(());
        }
        let key = travel.user.to_be_bytes();
        let tokens = [cookie.token.as_bytes()];
        // Not the session's own proxy: the pick has taken a place there.
        let others = self.proxies.iter().enumerate().filter(|(other, _)| *other != travel.proxy);
        for other in others.map(|(_, other)| other).filter(|other| live_set(travel, other) == able) {
            let request = Request::new(other.clock(self.now)).key(&key).tokens(&tokens).tried(&tried).no_wait();
            let explained = other.balancer.explain(&request);
            if explained
                .decision
                .is_some_and(|decision| matches!(decision, Decision::PinLost(loss) if loss.is_displaced()))
            {
                let there = explained.upstream.unwrap_or_default();
                ensure!(there == format!("app-{slot}"), Agreement, "one proxy says app-{slot}, another {there}");
                self.tally.count("noticed", "agreements");
            }
        }
        Ok(())
    }

    /// Checks that the refusal of a request is justified.
    pub fn check_refusal(&self, travel: &Travel, refusal: Refusal, breaks: u8) -> Check {
        match refusal {
            Refusal::Closed if !travel.is_post => {
                ensure!(breaks > 1, Answered, "an idempotent request broke off {breaks} times and was not sent again");
            }
            Refusal::Budget => {
                let left = self.proxies[travel.proxy].budget;
                ensure!(left < 1.0, Answered, "an idempotent request was not sent again, with {left} retries left");
            }
            _ => {}
        }
        Ok(())
    }
}

/// Checks that the upstream that got a new session accepts new sessions.
fn check_placed(proxy: &Proxy, slot: usize) -> Check {
    let cell = &proxy.cells[proxy.members[&slot]];
    let name = cell.upstream.name();
    let is_overruled = proxy.panics() && cell.is_judged();
    let takes = matches!(cell.state, State::Active | State::SlowStart) || is_overruled;
    ensure!(takes, TakesNoNew, "{name} is {} ({}) and gets a session", cell.state, cell.cause);
    ensure!(!proxy.drains.contains_key(&slot), TakesNoNew, "{name} drains and gets a session");
    ensure!(!cell.witness.says_full(), TakesNoNew, "{name} says that it is full and gets a session");
    Ok(())
}

fn takers<'p>(travel: &'p Travel, proxy: &'p Proxy) -> impl Iterator<Item = &'p Cell> {
    let members = proxy.members.values().map(|cell| &proxy.cells[*cell]);
    members.filter(|cell| cell.upstream.availability().accepting && !travel.has_tried(cell.upstream.id()))
}

/// A hash of the set of upstreams that could take the request now, the same on every proxy.
fn live_set(travel: &Travel, proxy: &Proxy) -> u64 {
    let able = takers(travel, proxy).filter(|cell| cell.has_room());
    able.fold(0xcbf2_9ce4_8422_2325, |hash, cell| {
        let word = (cell.slot.number as u64) << 16 | u64::from(cell.slot.weight);
        (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23)
    })
}
