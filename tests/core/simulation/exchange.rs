//! A request on its upstream: connection, response, and another try where that is safe.

use crate::simulation::controls::Sabotage;
use crate::simulation::fleet::Behaviour;
use crate::simulation::host::{Refusal, Stage, Try};
use crate::simulation::invariants::{Check, ensure};
use crate::simulation::scenario::CONNECT_TIMEOUT;
use crate::simulation::world::{Event, World};
use homing::health::Outcome;
use std::time::Duration;

impl World {
    /// The site of an attempt, if the attempt is current and at that stage.
    fn site_at(&self, attempt: Try, stage: Stage) -> Option<usize> {
        let travel = &self.travels[attempt.travel];
        let is_current = travel.tries == attempt.number && travel.stage == stage;
        travel.held.as_ref().filter(|_| is_current).map(|held| held.site)
    }

    pub fn connect(&mut self, attempt: Try) -> Check {
        let Some(site) = self.site_at(attempt, Stage::Connecting) else { return Ok(()) };
        let process = &mut self.fleet.sites[site];
        if !process.is_up {
            self.report(attempt.travel, Outcome::ConnectRefused)?;
            return self.another(attempt.travel);
        }
        if process.behaviour == Behaviour::Lossy && self.dice.chance(0.3) {
            self.after(CONNECT_TIMEOUT, Event::ConnectTimeout(attempt));
            return Ok(());
        }
        process.in_flight.push(attempt.travel);
        let incarnation = process.incarnation;
        self.travels[attempt.travel].stage = Stage::Waiting;
        self.after(1, Event::Work { attempt, site, incarnation });
        self.after(self.scenario.response_timeout, Event::Deadline(attempt));
        Ok(())
    }

    pub fn connect_timeout(&mut self, attempt: Try) -> Check {
        if self.site_at(attempt, Stage::Connecting).is_none() {
            return Ok(());
        }
        self.report(attempt.travel, Outcome::ConnectTimedOut)?;
        self.another(attempt.travel)
    }

    /// A process works on a request, whether or not the proxy still waits for it.
    pub fn work(&mut self, attempt: Try, site: usize, incarnation: u16) -> Check {
        let process = &self.fleet.sites[site];
        if !process.is_up || process.incarnation != incarnation {
            return Ok(());
        }
        if !self.fleet.goes_on(site, Event::Work { attempt, site, incarnation }) {
            return Ok(());
        }
        let runs = self.fleet.run(attempt.travel);
        let travel = &self.travels[attempt.travel];
        ensure!(!travel.is_post || runs == 1, RunsOnce, "POST {} ran {runs} times", attempt.travel);
        let slowness = match self.fleet.sites[site].behaviour {
            Behaviour::Slow(times) => times,
            _ => 1,
        };
        let time = self.dice.exponential(self.scenario.service) * slowness;
        self.after(time + 1, Event::Head(attempt));
        Ok(())
    }

    pub fn head(&mut self, attempt: Try) -> Check {
        let Some(site) = self.site_at(attempt, Stage::Waiting) else { return Ok(()) };
        if !self.fleet.goes_on(site, Event::Head(attempt)) {
            return Ok(());
        }
        let is_error = matches!(self.fleet.sites[site].behaviour, Behaviour::Failing { .. }) && self.dice.chance(0.8);
        let outcome = match is_error {
            false => Outcome::Answered,
            true if self.sabotage == Some(Sabotage::FalseReports) => {
                self.report_as(attempt.travel, Outcome::ServerError, Outcome::ConnectRefused)?;
                Outcome::ServerError
            }
            true => Outcome::ServerError,
        };
        self.report(attempt.travel, outcome)?;
        let now = self.now;
        let travel = &mut self.travels[attempt.travel];
        travel.stage = Stage::Streaming;
        let Some(held) = &travel.held else { return Ok(()) };
        let clock = self.proxies[travel.proxy].clock(now);
        held.pick.upstream().observe(Duration::from_millis(now - travel.began), clock);
        if let Some(cookie) = held.set_cookie {
            let jar = &mut self.users[travel.user].cookie;
            if jar.is_some_and(|jar| {
                jar.picked_at > cookie.picked_at && jar.slot != cookie.slot && jar.session_id == cookie.session_id
            }) {
                self.tally.count("cookies", "overtaken by an older one for another upstream");
            }
            *jar = Some(cookie);
        }
        let time = self.dice.exponential(self.scenario.service / 2);
        self.after(time + 1, Event::End(attempt));
        Ok(())
    }

    pub fn end(&mut self, attempt: Try) -> Check {
        let Some(site) = self.site_at(attempt, Stage::Streaming) else { return Ok(()) };
        if !self.fleet.goes_on(site, Event::End(attempt)) {
            return Ok(());
        }
        self.travels[attempt.travel].body = 100;
        self.finish(attempt.travel, true)?;
        self.tally.count("requests", "answered");
        Ok(())
    }

    /// The response deadline passed. The request may still run, so it is not sent again.
    pub fn deadline(&mut self, attempt: Try) -> Check {
        if self.site_at(attempt, Stage::Waiting).is_none() {
            return Ok(());
        }
        let after = Duration::from_millis(self.scenario.response_timeout);
        self.report(attempt.travel, Outcome::TimedOut { after })?;
        self.refuse(attempt.travel, Refusal::ResponseTimeout)
    }

    /// The process ended during this request.
    pub fn break_off(&mut self, index: usize) -> Check {
        let travel = &mut self.travels[index];
        match travel.stage {
            Stage::Waiting => {
                travel.breaks += 1;
                self.report(index, Outcome::Broken)?;
                self.resend(index)
            }
            Stage::Streaming => {
                travel.body = self.dice.between(0, 99);
                self.report(index, Outcome::Broken)?;
                self.tally.count("requests", "cut");
                self.finish(index, self.sabotage == Some(Sabotage::EndCutBodies))
            }
            _ => Ok(()),
        }
    }

    fn resend(&mut self, index: usize) -> Check {
        let travel = &self.travels[index];
        let may = match self.sabotage {
            Some(Sabotage::ResendPosts) => true,
            Some(Sabotage::DropRetries) => false,
            _ => !travel.is_post && !travel.was_resent,
        };
        if !may {
            return self.refuse(index, Refusal::Closed);
        }
        if !self.proxies[travel.proxy].spend(self.now) {
            return self.refuse(index, Refusal::Budget);
        }
        self.travels[index].was_resent = true;
        self.tally.count("requests", "sent again");
        self.another(index)
    }
}
