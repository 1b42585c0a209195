//! Faults, and orders of operators.

use crate::simulation::controls::Sabotage;
use crate::simulation::fleet::Behaviour;
use crate::simulation::invariants::Check;
use crate::simulation::proxy::Slot;
use crate::simulation::scenario::{MINUTE, SECOND};
use crate::simulation::session::{User, key_ring};
use crate::simulation::world::{Event, World};
use homing::Availability;
use std::time::Duration;

/// An order of the operator to a proxy.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// Apply the current configuration.
    Configure,
    Drain {
        slot: usize,
        deadline: Option<u64>,
    },
    Resume {
        slot: usize,
    },
    /// Sign with one key and verify with another too.
    Keys {
        signer: u8,
        other: Option<u8>,
    },
    /// Not an order: the proxy's clock jumps.
    Jump {
        by: i64,
    },
}

/// A key rotation in progress.
#[derive(Default)]
pub struct Rotation {
    is_running: bool,
    steps: u8,
    signer: u8,
}

/// An order arrives at all proxies within this time.
const ROLLOUT: u64 = 2 * SECOND;
/// The largest error of a clock.
const FURTHEST: i64 = 15 * MINUTE as i64;

const KINDS: &[(&str, u32)] = &[
    ("crash", 10),
    ("quick restart", 5),
    ("hang", 6),
    ("flap", 3),
    ("full", 4),
    ("failing", 4),
    ("slow", 4),
    ("lossy", 3),
    ("outage", 1),
    ("add", 3),
    ("remove", 3),
    ("put back", 2),
    ("weight", 2),
    ("limit", 2),
    ("move", 2),
    ("drain", 5),
    ("rotation", 3),
    ("clock jump", 3),
    ("crowd", 3),
];

impl World {
    pub fn trouble(&mut self) -> Check {
        if self.is_closing() {
            return Ok(());
        }
        let next = self.dice.exponential(self.scenario.trouble) + 1;
        self.after(next, Event::Trouble);
        let total: u32 = KINDS.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.dice.below(total as usize) as u32;
        let mut kinds = KINDS.iter();
        let kind = loop {
            match kinds.next() {
                Some((_, weight)) if drawn >= *weight => drawn -= weight,
                Some((kind, _)) => break *kind,
                None => return Ok(()),
            }
        };
        let slot = self.dice.below(self.slots.len());
        let victim = self.slots[slot].clone();
        self.log(|| format!("{kind} at {}", victim.name()));
        self.tally.count("faults", kind);
        self.inject(kind, slot, victim.site)
    }

    fn inject(&mut self, kind: &str, slot: usize, site: usize) -> Check {
        let dice = &self.dice;
        let a_while = dice.between(2 * SECOND, 2 * MINUTE);
        match kind {
            "crash" => self.down_for(site, dice.between(500, 90 * SECOND)),
            "quick restart" => self.down_for(site, dice.between(10, 500)),
            "hang" => {
                let (time, dies) = (dice.between(SECOND, MINUTE), dice.chance(0.3));
                if self.fleet.sites[site].is_up {
                    self.fleet.sites[site].is_hung = true;
                    self.after(time, if dies { Event::Kill { site } } else { Event::Continue { site } });
                    self.after(time + SECOND, Event::Start { site });
                }
                Ok(())
            }
            "flap" => {
                let (times, period) = (dice.between(3, 30), dice.between(100, 3000));
                for time in 0..times {
                    self.after(2 * time * period, Event::Kill { site });
                    self.after((2 * time + 1) * period, Event::Start { site });
                }
                Ok(())
            }
            "full" => self.set_behaviour(site, Behaviour::Full, a_while),
            "failing" => self.set_behaviour(site, Behaviour::Failing { probes: self.dice.chance(0.5) }, a_while),
            "slow" => self.set_behaviour(site, Behaviour::Slow(self.dice.between(3, 100)), a_while),
            "lossy" => self.set_behaviour(site, Behaviour::Lossy, a_while),
            "outage" => {
                let time = dice.between(SECOND, 30 * SECOND);
                (0..self.fleet.sites.len()).try_for_each(|site| self.down_for(site, time))
            }
            "drain" => {
                let deadline = dice.chance(0.6).then(|| dice.between(0, 3 * MINUTE));
                let (end, restarts) = (dice.between(10 * SECOND, 8 * MINUTE), dice.chance(0.5));
                let number = self.slots[slot].number;
                self.order(0, Order::Drain { slot: number, deadline });
                if restarts {
                    self.after(end, Event::Kill { site });
                    self.after(end + 3 * SECOND, Event::Start { site });
                }
                self.order(end + 5 * SECOND, Order::Resume { slot: number });
                Ok(())
            }
            "rotation" => self.rotate_if_idle(),
            "clock jump" => {
                let reach = dice.one_of(&[3 * SECOND, 2 * MINUTE, 15 * MINUTE]);
                let by = dice.between(0, 2 * reach) as i64 - reach as i64;
                let proxy = dice.below(self.proxies.len());
                self.after(0, Event::OrderArrives { proxy, order: Order::Jump { by } });
                Ok(())
            }
            "crowd" => {
                let (count, within) = (dice.below(self.users.len()), dice.between(1, 5000));
                for user in self.users.len()..self.users.len() + count.min(200) {
                    self.users.push(User { is_passing: true, pages: 3, ..User::new(user, 5 * SECOND) });
                    self.after(self.dice.between(0, within), Event::Page { user });
                }
                Ok(())
            }
            _ => self.reconfigure(kind, slot),
        }
    }

    fn reconfigure(&mut self, kind: &str, slot: usize) -> Check {
        let dice = &self.dice;
        match kind {
            "add" if self.slots.len() < 16 => {
                let (number, site) = (self.next_slot, self.fleet.open());
                self.next_slot += 1;
                self.slots.push(Slot { number, site, weight: dice.one_of(&[1, 2, 5]), limit: self.scenario.limit });
            }
            "remove" if self.slots.len() > 2 => {
                let removed = self.slots.remove(slot);
                self.removed.push(removed);
            }
            "put back" => self.slots.extend(self.removed.pop()),
            "weight" => {
                self.slots[slot].weight = dice.between(1, 10) as u16;
                self.rebalanced_moves.clear();
            }
            "limit" if self.scenario.limit > 0 => self.slots[slot].limit += dice.between(0, 3) as u32,
            "move" => {
                // The old process ends after the new one has started.
                let site = self.slots[slot].site;
                self.slots[slot].site = self.fleet.open();
                self.after(self.dice.between(0, 2 * ROLLOUT), Event::Kill { site });
            }
            _ => {}
        }
        self.order(0, Order::Configure);
        Ok(())
    }

    /// Sends an order to every proxy, with a random delay each.
    fn order(&mut self, delay: u64, order: Order) {
        for proxy in 0..self.proxies.len() {
            let delay = delay + self.dice.between(0, ROLLOUT);
            self.after(delay, Event::OrderArrives { proxy, order });
        }
    }

    pub fn apply_order(&mut self, index: usize, order: Order) -> Check {
        let now = self.now;
        let proxy = &mut self.proxies[index];
        let clock = proxy.clock(now);
        match order {
            Order::Configure => {
                let known: Vec<usize> = proxy.members.values().copied().collect();
                let misses = self.sabotage == Some(Sabotage::MissRemovals);
                proxy.configure(&self.slots, misses, now);
                let new: Vec<usize> = proxy.members.values().copied().filter(|cell| !known.contains(cell)).collect();
                new.into_iter().for_each(|cell| self.probe_later(index, cell));
            }
            Order::Drain { slot, deadline } if proxy.members.contains_key(&slot) => {
                let deadline = deadline.map(Duration::from_millis);
                proxy.balancer.drain(&format!("app-{slot}"), deadline, clock).unwrap();
                let end = deadline.map(|deadline| clock.after(deadline).after(self.scenario.health.drain_spread));
                proxy.drains.insert(slot, end);
                let cell = proxy.members[&slot];
                proxy.cells[cell].times_gone += 1;
                if self.sabotage == Some(Sabotage::PlaceOnDraining) {
                    proxy.cells[cell].upstream.set_availability(Availability::ACTIVE);
                    return Ok(());
                }
            }
            Order::Resume { slot } if proxy.members.contains_key(&slot) => {
                proxy.drains.remove(&slot);
                proxy.balancer.resume(&format!("app-{slot}"), clock).unwrap();
            }
            Order::Drain { .. } | Order::Resume { .. } => {}
            Order::Keys { signer, other } => {
                let others: Vec<u8> = other.into_iter().collect();
                proxy.balancer.set_keys(key_ring(signer, &others)).unwrap();
                proxy.keys = [&[signer], &others[..]].concat();
            }
            Order::Jump { by } => {
                proxy.offset = (proxy.offset + by).clamp(-FURTHEST, FURTHEST);
                proxy.jumped_at = now;
            }
        }
        let proxy = &mut self.proxies[index];
        proxy.check_events(now, &mut self.tally)
    }

    fn rotate_if_idle(&mut self) -> Check {
        if !std::mem::replace(&mut self.rotation.is_running, true) {
            self.rotation.steps = 0;
            return self.rotate();
        }
        Ok(())
    }

    /// The procedure that `affinity::keys` documents: verify everywhere, sign everywhere, wait, retire.
    pub fn rotate(&mut self) -> Check {
        let old = self.rotation.signer;
        let new = (old + 1) % 16;
        let (order, wait) = match self.rotation.steps {
            0 => (Order::Keys { signer: old, other: Some(new) }, ROLLOUT + 1),
            1 => {
                let longest = self.scenario.max_age * SECOND + 2 * FURTHEST as u64;
                (Order::Keys { signer: new, other: Some(old) }, ROLLOUT + longest)
            }
            _ => {
                self.rotation = Rotation { signer: new, ..Rotation::default() };
                self.tally.count("noticed", "keys retired");
                self.order(0, Order::Keys { signer: new, other: None });
                return Ok(());
            }
        };
        self.rotation.steps += 1;
        self.order(0, order);
        self.after(wait, Event::Rotate);
        Ok(())
    }

    fn down_for(&mut self, site: usize, time: u64) -> Check {
        self.after(time, Event::Start { site });
        self.kill(site)
    }

    fn set_behaviour(&mut self, site: usize, behaviour: Behaviour, time: u64) -> Check {
        self.fleet.sites[site].behaviour = behaviour;
        self.after(time, Event::Recover { site });
        Ok(())
    }

    pub fn recover(&mut self, site: usize) -> Check {
        self.fleet.sites[site].behaviour = Behaviour::Healthy;
        Ok(())
    }

    pub fn kill(&mut self, site: usize) -> Check {
        let mut broken = self.fleet.kill(site);
        broken.sort_unstable();
        broken.dedup();
        broken.into_iter().try_for_each(|travel| self.break_off(travel))
    }

    pub fn start(&mut self, site: usize) -> Check {
        if !self.fleet.sites[site].is_up {
            self.fleet.start(site);
        }
        Ok(())
    }

    pub fn go_on(&mut self, site: usize) -> Check {
        self.fleet.sites[site].is_hung = false;
        for event in std::mem::take(&mut self.fleet.sites[site].frozen) {
            self.after(1, event);
        }
        Ok(())
    }
}
