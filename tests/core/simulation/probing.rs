//! Active probes, as the adapter's health checker sends them.

use crate::simulation::fleet::Behaviour;
use crate::simulation::invariants::Check;
use crate::simulation::scenario::PROBE_TIMEOUT;
use crate::simulation::world::{Event, World};
use homing::health::ProbeResult;

impl World {
    /// Schedules the first probe of an upstream at a random time within the interval.
    pub fn probe_later(&mut self, proxy: usize, cell: usize) {
        if let Some(interval) = self.scenario.probes {
            let delay = self.dice.between(1, interval);
            self.after(delay, Event::Probe { proxy, cell });
        }
    }

    pub fn probe(&mut self, proxy: usize, cell: usize) -> Check {
        let Some(interval) = self.scenario.probes else { return Ok(()) };
        if !self.is_member(proxy, cell) || self.is_over() {
            return Ok(());
        }
        // Jittered by a tenth.
        let delay = self.dice.between(interval - interval / 10, interval + interval / 10);
        self.after(delay, Event::Probe { proxy, cell });
        let site = &self.fleet.sites[self.proxies[proxy].cells[cell].slot.site];
        let result = match site.behaviour {
            _ if !site.is_up => ProbeResult::Refused,
            Behaviour::Lossy if self.dice.chance(0.2) => ProbeResult::TimedOut,
            _ if site.is_hung => ProbeResult::TimedOut,
            Behaviour::Failing { probes: true } => ProbeResult::Status(500),
            Behaviour::Full => ProbeResult::Full,
            _ => ProbeResult::Passed,
        };
        match result {
            ProbeResult::TimedOut => {
                self.after(PROBE_TIMEOUT, Event::ProbeEnds { proxy, cell });
                Ok(())
            }
            result => self.probed(proxy, cell, result),
        }
    }

    pub fn probe_ends(&mut self, proxy: usize, cell: usize) -> Check {
        self.probed(proxy, cell, ProbeResult::TimedOut)
    }

    fn probed(&mut self, proxy: usize, cell: usize, result: ProbeResult) -> Check {
        if !self.is_member(proxy, cell) {
            return Ok(());
        }
        let now = self.now;
        let is_good = matches!(result, ProbeResult::Passed | ProbeResult::Full);
        if !is_good {
            self.log(|| format!("proxy {proxy}: probe of {}: {result:?}", self.proxies[proxy].cells[cell].slot.name()));
        }
        let prober = &mut self.proxies[proxy];
        let (clock, upstream) = (prober.clock(now), prober.cells[cell].upstream.clone());
        let site = &self.fleet.sites[prober.cells[cell].slot.site];
        if !matches!(result, ProbeResult::Refused | ProbeResult::TimedOut) && upstream.incarnation() != site.incarnation
        {
            prober.cells[cell].learned_at = now;
            prober.balancer.set_incarnation(&upstream, site.incarnation, clock);
        }
        prober.cells[cell].witness.probed(result);
        prober.balancer.probe(upstream.id(), result, clock);
        prober.check_events(now, &mut self.tally)?;
        if is_good { Ok(()) } else { prober.check(now) }
    }

    fn is_member(&self, proxy: usize, cell: usize) -> bool {
        self.proxies[proxy].members.values().any(|member| *member == cell)
    }
}
