//! Users and their cookies, and the decision that a proxy must make for a cookie.

use crate::simulation::proxy::{Cell, Proxy};
use crate::simulation::scenario::Scenario;
use homing::affinity::OnRestart;
use homing::{Decision, KeyRing, Pick, PinLoss, Timestamp, Token};
use std::net::{IpAddr, Ipv4Addr};

/// The ring in which `signer` signs and `others` verify.
pub fn key_ring(signer: u8, others: &[u8]) -> KeyRing {
    let secret = |id: u8| [0x50 + id; 32];
    let ring = KeyRing::builder("pool", [0x1d; 32]).sign_with(signer, secret(signer));
    others.iter().fold(ring, |ring, id| ring.verify_with(*id, secret(*id))).build().unwrap()
}

pub struct User {
    pub address: IpAddr,
    pub cookie: Option<Cookie>,
    /// Pages until a longer pause.
    pub pages: u64,
    /// The mean time between two pages.
    pub pace: u64,
    /// It leaves for good after its last page.
    pub is_passing: bool,
}

impl User {
    pub fn new(number: usize, pace: u64) -> Self {
        let address = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + 97 * number as u32));
        Self { address, cookie: None, pages: 0, pace, is_passing: false }
    }
}

/// A token, with the content that it must have.
#[derive(Clone, Copy)]
pub struct Cookie {
    pub token: Token,
    pub slot: usize,
    pub session_id: u64,
    incarnation: u16,
    issued: u64,
    window: u64,
    key: u8,
    /// In true time.
    pub picked_at: u64,
    /// The proxy that sent the session to this upstream, and when.
    pub placed: (usize, u64),
}

/// The decision that a proxy must make for a cookie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The index of the cell to which the session is pinned, and the decision.
    Pinned(usize, Decision),
    PinLost(PinLoss),
}

impl Cookie {
    /// The cookie of a session after `pick`, or `None` if its content has not changed. `known` is the cookie that the
    /// client sent, if it was valid.
    pub fn after(
        known: Option<&Self>,
        pick: &Pick,
        slot: usize,
        (index, proxy): (usize, &Proxy),
        scenario: &Scenario,
        now: u64,
    ) -> Option<Self> {
        let clock = proxy.clock(now).as_secs();
        let issued = known.map_or(clock, |known| known.issued);
        let window = clock.saturating_sub(issued) / window_length(scenario);
        let same_upstream = known.filter(|known| known.slot == slot);
        let mut incarnation = pick.upstream().incarnation();
        if incarnation == 0 {
            incarnation = same_upstream.map_or(0, |known| known.incarnation);
        }
        let next = Self {
            token: pick.token?,
            slot,
            session_id: pick.session_id,
            incarnation,
            issued,
            window: window.max(known.map_or(0, |known| known.window)),
            key: proxy.keys[0],
            picked_at: now,
            placed: same_upstream.map_or((index, now), |known| known.placed),
        };
        Some(next)
    }

    /// Whether `after` would make a cookie with the same content.
    pub fn is_current(&self, slot: usize, incarnation: u16, proxy: &Proxy, scenario: &Scenario, now: u64) -> bool {
        let window = proxy.clock(now).as_secs().saturating_sub(self.issued) / window_length(scenario);
        self.slot == slot
            && (incarnation == 0 || self.incarnation == incarnation)
            && window <= self.window
            && self.key == proxy.keys[0]
    }

    /// The decision by the documented rules, in their order.
    pub fn verdict(&self, proxy: &Proxy, scenario: &Scenario, is_tried: impl Fn(&Cell) -> bool, now: u64) -> Verdict {
        let clock = proxy.clock(now);
        if !proxy.keys.contains(&self.key) {
            return Verdict::PinLost(PinLoss::UnknownKey);
        }
        if let Some(loss) = self.is_over(scenario, clock) {
            return Verdict::PinLost(loss);
        }
        let Some(cell) = proxy.members.get(&self.slot).copied() else {
            return Verdict::PinLost(PinLoss::NoSuchUpstream);
        };
        let pinned = &proxy.cells[cell];
        let incarnation = pinned.upstream.incarnation();
        let is_other = incarnation != 0 && self.incarnation != 0 && incarnation != self.incarnation;
        if is_other && scenario.on_restart == OnRestart::Replace {
            return Verdict::PinLost(PinLoss::OtherIncarnation);
        }
        if pinned.upstream.drain_deadline(self.session_id).is_some_and(|moment| clock >= moment) {
            return Verdict::PinLost(PinLoss::Drained);
        }
        if !pinned.upstream.availability().serving || is_tried(pinned) {
            return Verdict::PinLost(PinLoss::NotServing);
        }
        match pinned.has_room() {
            true if is_other => Verdict::Pinned(cell, Decision::PinLost(PinLoss::OtherIncarnation)),
            true => Verdict::Pinned(cell, Decision::Pinned),
            false => Verdict::PinLost(PinLoss::Full),
        }
    }

    /// Whether the session has expired, by its absolute or its idle age.
    pub fn is_over(&self, scenario: &Scenario, clock: Timestamp) -> Option<PinLoss> {
        let now = clock.as_secs();
        if self.issued > now + 60 || now.saturating_sub(self.issued) >= scenario.max_age {
            return Some(PinLoss::Expired);
        }
        let seen_until = self.issued + (self.window + 1) * window_length(scenario);
        (now >= seen_until + scenario.idle).then_some(PinLoss::Idle)
    }
}

/// Idle time is counted in windows of a power of two of seconds, about an eighth of the idle age.
fn window_length(scenario: &Scenario) -> u64 {
    1 << (scenario.idle / 8).ilog2()
}
