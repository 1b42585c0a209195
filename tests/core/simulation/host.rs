//! A model of the adapter: the steps of a request as in `src/proxy/exchange/forward.rs`, and the outcomes that it
//! reports.

use crate::simulation::controls::Sabotage;
use crate::simulation::fleet::Behaviour;
use crate::simulation::invariants::{Check, ensure};
use crate::simulation::proxy::site_of;
use crate::simulation::scenario::MINUTE;
use crate::simulation::session::Cookie;
use crate::simulation::world::{Event, World};
use homing::cluster::UpstreamId;
use homing::health::Outcome;
use homing::{Pick, PickError, Request, Wait};

/// The most upstreams that one request tries.
const MAX_TRIES: usize = 8;
/// Milliseconds between two picks of a request that waits for a place.
const ASKS: u64 = 100;

/// One attempt of a request. Events of an attempt that is over are ignored.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    pub travel: usize,
    pub number: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// No upstream is picked.
    Asking,
    Connecting,
    /// Sent; no response yet.
    Waiting,
    /// The head of the response has arrived.
    Streaming,
    Over,
}

/// A request in progress.
pub struct Travel {
    pub user: usize,
    pub proxy: usize,
    pub is_post: bool,
    /// The cookie that the client sent.
    pub cookie: Option<Cookie>,
    pub tried: Vec<UpstreamId>,
    pub began: u64,
    /// Since when it waits for a place.
    pub waits_since: Option<u64>,
    pub stage: Stage,
    pub tries: u8,
    pub held: Option<Held>,
    pub was_resent: bool,
    /// How often it broke off before the response.
    pub breaks: u8,
    /// The percentage of the body that the client has received.
    pub body: u64,
}

pub struct Held {
    pub pick: Pick,
    pub cell: usize,
    pub site: usize,
    pub set_cookie: Option<Cookie>,
}

/// Why a request was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// No upstream takes it.
    Unavailable,
    /// No further upstream takes it, after some were tried.
    AllTried,
    /// It waited too long for a place.
    Full,
    /// Its upstream does not serve, and sessions are not moved.
    Rejected,
    /// It broke off, and may not be sent again.
    Closed,
    /// It broke off, and the retry budget is used up.
    Budget,
    ResponseTimeout,
}

impl Travel {
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    pub fn has_tried(&self, id: UpstreamId) -> bool {
        self.tried.contains(&id)
    }
}

impl World {
    pub fn page(&mut self, user: usize) -> Check {
        if self.is_closing() {
            return Ok(());
        }
        let dice = &self.dice;
        let count = dice.one_of(&[1, 1, 1, 2, 4]);
        for _ in 0..count {
            let dice = &self.dice;
            let proxy = dice.below(self.proxies.len());
            self.proxies[proxy].earn();
            self.travels.push(Travel {
                user,
                proxy,
                is_post: dice.chance(0.2),
                cookie: self.users[user].cookie,
                tried: Vec::new(),
                began: self.now,
                waits_since: None,
                stage: Stage::Asking,
                tries: 0,
                held: None,
                was_resent: false,
                breaks: 0,
                body: 0,
            });
            self.try_pick(self.travels.len() - 1)?;
        }
        let dice = &self.dice;
        let visitor = &mut self.users[user];
        let rest = match visitor.pages.checked_sub(1) {
            Some(left) => {
                visitor.pages = left;
                dice.exponential(visitor.pace)
            }
            None => {
                visitor.pages = dice.between(2, 15);
                dice.exponential(10 * MINUTE)
            }
        };
        if !visitor.is_passing || visitor.pages > 0 {
            self.after(rest + 1, Event::Page { user });
        }
        Ok(())
    }

    pub fn try_pick(&mut self, index: usize) -> Check {
        let now = self.now;
        let travel = &self.travels[index];
        let (proxy, user) = (travel.proxy, travel.user);
        let forgets = self.sabotage == Some(Sabotage::ForgetTokens) && self.dice.chance(0.05);
        let token = travel.cookie.filter(|_| !forgets).map(|cookie| cookie.token);
        let tokens: Vec<&[u8]> = token.iter().map(|token| token.as_bytes()).collect();
        let key = user.to_be_bytes();
        let asked = &self.proxies[proxy];
        let clock = asked.clock(now);
        let request =
            Request::new(clock).client(self.users[user].address).key(&key).tokens(&tokens).tried(&travel.tried);
        let mut picked = asked.balancer.pick(&request);
        if self.sabotage == Some(Sabotage::OddFailoverTargets)
            && proxy == 0
            && let Ok(pick) = &picked
            && matches!(pick.decision, homing::Decision::PinLost(loss) if loss.is_displaced())
        {
            let tried = [&travel.tried[..], &[pick.upstream().id()]].concat();
            picked = asked.balancer.pick(&request.tried(&tried)).or(picked);
        }
        self.check_pick(index, &picked)?;
        match picked {
            Ok(pick) => self.take(index, pick),
            Err(PickError::Full) => self.wait(index, ASKS),
            Err(PickError::Later { at, reason }) => {
                if reason == Wait::UpstreamReturn {
                    self.travels[index].tried.clear();
                }
                self.wait(index, at.since(clock).as_millis() as u64)
            }
            Err(PickError::Rejected(_)) => self.refuse(index, Refusal::Rejected),
            Err(_) if self.travels[index].tried.is_empty() => self.refuse(index, Refusal::Unavailable),
            Err(_) => self.refuse(index, Refusal::AllTried),
        }
    }

    fn take(&mut self, index: usize, pick: Pick) -> Check {
        let now = self.now;
        let travel = &mut self.travels[index];
        let proxy = &mut self.proxies[travel.proxy];
        let cell = proxy.cell_of(pick.upstream());
        ensure!(cell.is_some(), Membership, "{} was picked, and is unknown", pick.upstream().name());
        let cell = cell.unwrap();
        let taken = &mut proxy.cells[cell];
        taken.in_flight += 1;
        taken.decided[pick.decision.index()] += 1;
        let known = travel.cookie.filter(|_| crate::simulation::picks::knows(pick.decision));
        let slot = taken.slot.number;
        let by = (travel.proxy, &*proxy);
        let set_cookie = Cookie::after(known.as_ref(), &pick, slot, by, &self.scenario, now);
        travel.tries += 1;
        travel.stage = Stage::Connecting;
        travel.waits_since = None;
        let attempt = Try { travel: index, number: travel.tries };
        travel.held = Some(Held { cell, site: site_of(pick.upstream()), set_cookie, pick });
        self.after(1, Event::Connect(attempt));
        Ok(())
    }

    /// Waits for a place, as in a queue.
    fn wait(&mut self, index: usize, delay: u64) -> Check {
        let since = *self.travels[index].waits_since.get_or_insert(self.now);
        let left = (since + self.scenario.queue_timeout).saturating_sub(self.now);
        if left == 0 {
            return self.refuse(index, Refusal::Full);
        }
        self.after(delay.clamp(1, left), Event::TryPick { travel: index });
        Ok(())
    }

    /// Tries another upstream.
    pub fn another(&mut self, index: usize) -> Check {
        let travel = &mut self.travels[index];
        travel.tried.extend(travel.held.as_ref().map(|held| held.pick.upstream().id()));
        travel.stage = Stage::Asking;
        let is_last = travel.tried.len() == MAX_TRIES;
        self.release(index)?;
        if is_last { self.refuse(index, Refusal::AllTried) } else { self.try_pick(index) }
    }

    pub fn refuse(&mut self, index: usize, refusal: Refusal) -> Check {
        self.log(|| format!("request {index} is refused: {refusal:?}"));
        let travel = &self.travels[index];
        self.check_refusal(travel, refusal, travel.breaks)?;
        let is_spared = refusal == Refusal::Unavailable && self.count_healthy(travel) > 0;
        let name = if is_spared { "no upstream accepts, though some are healthy" } else { refusal.name() };
        let group = if travel.is_post { "refused POSTs" } else { "exempt" };
        self.tally.count(group, name);
        self.travels[index].stage = Stage::Over;
        self.release(index)
    }

    /// The number of healthy upstreams in the cluster of its proxy.
    fn count_healthy(&self, travel: &Travel) -> usize {
        let proxy = &self.proxies[travel.proxy];
        let sites = proxy.members.values().map(|cell| &self.fleet.sites[proxy.cells[*cell].slot.site]);
        sites.filter(|site| site.is_up && !site.is_hung && site.behaviour == Behaviour::Healthy).count()
    }

    /// Ends the response to the client, as complete or as truncated.
    pub fn finish(&mut self, index: usize, ends_whole: bool) -> Check {
        let travel = &mut self.travels[index];
        travel.stage = Stage::Over;
        let body = travel.body;
        ensure!(!ends_whole || body == 100, CutIsCut, "a body was ended as whole at {body} %");
        self.release(index)
    }

    fn release(&mut self, index: usize) -> Check {
        let leaks = self.sabotage == Some(Sabotage::LeakLeases) && self.dice.chance(0.01);
        let travel = &mut self.travels[index];
        let Some(held) = travel.held.take() else { return Ok(()) };
        self.fleet.leave(held.site, index);
        let upstream = held.pick.upstream().clone();
        if leaks {
            std::mem::forget(held.pick.lease);
        } else {
            drop(held.pick.lease);
        }
        let cell = &mut self.proxies[travel.proxy].cells[held.cell];
        cell.in_flight -= 1;
        let (counted, held) = (upstream.in_flight(), cell.in_flight);
        ensure!(counted == held, Leases, "{} counts {counted} in flight of {held}", upstream.name());
        Ok(())
    }

    pub fn report(&mut self, index: usize, outcome: Outcome) -> Check {
        self.report_as(index, outcome, outcome)
    }

    /// Reports `said` to the balancer, and `happened` to the witness.
    pub fn report_as(&mut self, index: usize, happened: Outcome, said: Outcome) -> Check {
        let now = self.now;
        let travel = &self.travels[index];
        let Some(held) = &travel.held else { return Ok(()) };
        let proxy = &mut self.proxies[travel.proxy];
        proxy.cells[held.cell].witness.saw(happened, now);
        let clock = proxy.clock(now);
        proxy.balancer.report(held.pick.upstream(), said, clock);
        proxy.check_events(now, &mut self.tally)?;
        match said {
            Outcome::Answered => Ok(()),
            _ => {
                let name = held.pick.upstream().name();
                if self.is_verbose {
                    println!("{:>12.3} proxy {}: {name}: {said:?}", now as f64 / 1000.0, travel.proxy);
                }
                proxy.check(now)
            }
        }
    }
}

impl Refusal {
    fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "no upstream accepts",
            Self::AllTried => "all tried",
            Self::Full => "queue timeout",
            Self::Rejected => "not to be moved",
            Self::Closed => "broke off",
            Self::Budget => "no retries left",
            Self::ResponseTimeout => "response timeout",
        }
    }
}
