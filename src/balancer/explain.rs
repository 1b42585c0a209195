//! What a pick would do and why, without doing it.

use super::balancer::Balancer;
use super::pick::{PickError, Wait};
use super::pinned::pinned_upstream;
use super::request::Request;
use super::snapshot::Snapshot;
use crate::affinity::{Affinity, Claims, MAX_TOKENS, failover_target};
use crate::cluster::{Decision, Generation, Member, PinLoss, Session};
use crate::hash::mix64;
use crate::time::Timestamp;
use std::fmt;
use std::time::Duration;

/// What [`Balancer::pick`] would do with a request, and why. [`Display`](fmt::Display) makes a line of each step.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The generation of the snapshot.
    pub generation: Generation,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Where the request would go; `None` where it would be refused.
    pub upstream: Option<String>,
    /// The decision that the pick would be counted as, unless it would be refused.
    pub decision: Option<Decision>,
}

/// One step of a pick.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Step {
    /// The balancer has no affinity: the policy places every request.
    NoAffinity,
    /// The client sent no token.
    NoToken,
    /// A token is invalid; the next one, if any, is verified.
    TokenRefused {
        /// Its number among the tokens of the request, from 1.
        number: usize,
        /// Why.
        reason: PinLoss,
    },
    /// A token is valid. Those after it are ignored.
    TokenGood {
        /// Its number among the tokens of the request, from 1.
        number: usize,
        /// The upstream it names, where the cluster has it.
        upstream: Option<String>,
        /// The age of the session.
        age: Duration,
    },
    /// A legacy cookie names the session's upstream. Those after it are ignored.
    Migrated {
        /// Its number among the legacy cookies of the request, from 1.
        number: usize,
        /// The upstream it means.
        upstream: String,
    },
    /// The pinned upstream takes the request.
    Pinned {
        /// Its name.
        upstream: String,
    },
    /// The pinned upstream takes the request, although it is another process now.
    Kept {
        /// Its name.
        upstream: String,
    },
    /// The pinned upstream holds more than its share of sessions, and this one is rebalanced.
    Rebalanced {
        /// The upstream's name.
        from: String,
        /// The first in the session's order that holds less than its share.
        to: String,
    },
    /// The pinned upstream cannot take it.
    Displaced {
        /// Why.
        reason: PinLoss,
    },
    /// Sessions are not to be moved: the request is refused.
    Rejected,
    /// The pinned upstream is at its limit, and sessions do not move for that: the request waits for room.
    WaitsForRoom,
    /// The session has to wait.
    Waits {
        /// Until then, at the latest.
        at: Timestamp,
        /// What it waits for.
        reason: Wait,
    },
    /// How many upstreams could take it.
    Candidates {
        /// All upstreams.
        upstreams: usize,
        /// Those that do not accept new sessions.
        closed: usize,
        /// Those that accept, and are at their limit.
        full: usize,
        /// Those that have already failed this request.
        tried: usize,
        /// Those in slow start whose share does not include this session.
        slow_start: usize,
    },
    /// The failover target takes the request: the first accepting upstream in the session's own rendezvous order,
    /// which is the same on every proxy.
    FailedOver {
        /// Its name.
        upstream: String,
    },
    /// The policy places the session.
    Placed {
        /// The policy's name, or `custom`.
        policy: String,
        /// The upstream's name.
        upstream: String,
    },
    /// No upstream takes it: the request is refused.
    Nowhere,
    /// The client is sent a token.
    TokenSet(TokenSet),
    /// The client's token stays as it is.
    TokenKept,
}

/// Why the client is sent a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TokenSet {
    /// The session begins.
    NewSession,
    /// The session is migrated from a legacy proxy.
    Migrated,
    /// The session has moved.
    Moved,
    /// The incarnation of the upstream changed or became known.
    Incarnation,
    /// Another key signs now.
    Key,
    /// The session has entered another idle window.
    Window,
}

impl Balancer {
    /// Explains step by step what [`pick`](Self::pick) would do with `request` now. Changes nothing: it takes no
    /// lease, no turn and no entropy.
    ///
    /// A session that would begin with the pick has no id yet. Policies that place at random are shown one derived
    /// from the time and the client; the pick will draw its own. For operators and tests: it allocates, and reads
    /// every upstream.
    #[must_use]
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        self.view().explain(request)
    }

    /// [`explain`](Self::explain), of a snapshot.
    pub(super) fn explain_from(&self, snapshot: &Snapshot, request: &Request<'_>) -> Explanation {
        let mut explainer = Explainer { balancer: self, snapshot, request, steps: Vec::new() };
        let outcome = match &snapshot.settings.affinity {
            Some(affinity) => explainer.bound(affinity),
            None => {
                explainer.steps.push(Step::NoAffinity);
                explainer.place(&request.session(draw(request)), None).map(|member| (member, Decision::New))
            }
        };
        let (upstream, decision) = outcome.map(|(member, decision)| (name(member), decision)).unzip();
        Explanation { generation: snapshot.generation, steps: explainer.steps, upstream, decision }
    }
}

struct Explainer<'s> {
    balancer: &'s Balancer,
    snapshot: &'s Snapshot,
    request: &'s Request<'s>,
    steps: Vec<Step>,
}

impl<'s> Explainer<'s> {
    fn bound(&mut self, affinity: &Affinity) -> Option<(&'s Member, Decision)> {
        let (cluster, request) = (&self.snapshot.cluster, self.request);
        let opened = self.open(affinity);
        let token = opened.as_ref().ok();
        let migrated = token.is_none().then(|| self.migrate(affinity)).flatten();
        let loss = match token.or(migrated.as_ref()).ok_or_else(|| opened.err().flatten()) {
            Ok(claims) => match pinned_upstream(cluster, affinity, claims, request) {
                Ok((member, Decision::Pinned))
                    if token.is_some()
                        && let Some(target) =
                            self.balancer.rebalance_target(self.snapshot, claims, member, request) =>
                {
                    let decision = Decision::PinLost(PinLoss::Rebalanced);
                    self.steps.push(Step::Rebalanced { from: name(member), to: name(target) });
                    self.token(affinity, token, migrated.as_ref(), target);
                    return Some((target, decision));
                }
                Ok((member, decision)) if member.has_room() => {
                    let upstream = name(member);
                    self.steps.push(match decision {
                        Decision::Pinned => Step::Pinned { upstream },
                        _ => Step::Kept { upstream },
                    });
                    self.token(affinity, token, migrated.as_ref(), member);
                    return Some((member, decision));
                }
                full_or_loss => {
                    let loss = full_or_loss.err().unwrap_or(PinLoss::Full);
                    self.steps.push(Step::Displaced { reason: loss });
                    if let Some(refusal) = self.snapshot.keeps_pin(affinity, claims, loss, request) {
                        self.steps.extend(refused(refusal));
                        return None;
                    }
                    Some(loss)
                }
            },
            Err(loss) => loss,
        };
        let session_id = token.map_or_else(|| draw(request), |claims| claims.session_id);
        let member = self.place(&request.session(session_id), loss)?;
        self.token(affinity, token, migrated.as_ref(), member);
        Some((member, loss.map_or(Decision::New, Decision::PinLost)))
    }

    /// As [`Affinity::open`], token by token.
    fn open(&mut self, affinity: &Affinity) -> Result<Claims, Option<PinLoss>> {
        let request = self.request;
        let mut first = None;
        for (number, token) in (1..).zip(request.tokens.iter().take(MAX_TOKENS)) {
            match affinity.open(&[token], request.now) {
                Ok(claims) => {
                    let upstream = self.snapshot.cluster.find(claims.upstream).map(name);
                    let age = request.now.as_secs().saturating_sub(u64::from(claims.issued));
                    self.steps.push(Step::TokenGood { number, upstream, age: Duration::from_secs(age) });
                    return Ok(claims);
                }
                Err(reason) => {
                    self.steps.extend(reason.map(|reason| Step::TokenRefused { number, reason }));
                    first = first.or(reason);
                }
            }
        }
        if first.is_none() {
            self.steps.push(Step::NoToken);
        }
        Err(first)
    }

    /// As [`Snapshot::legacy_claims`].
    fn migrate(&mut self, affinity: &Affinity) -> Option<Claims> {
        let (snapshot, request) = (self.snapshot, self.request);
        let (place, member) = snapshot.legacy_cookies.as_ref()?.find(&snapshot.cluster, request.legacy_cookies)?;
        self.steps.push(Step::Migrated { number: place + 1, upstream: name(member) });
        snapshot.legacy_claims(affinity, request, draw(request))
    }

    fn place(&mut self, session: &Session<'_>, loss: Option<PinLoss>) -> Option<&'s Member> {
        let cluster = &self.snapshot.cluster;
        let members = || cluster.members().iter();
        let tried = |member: &Member| session.tried.contains(&member.upstream().id());
        let displaced = loss.is_some_and(PinLoss::is_displaced);
        let limited = match !displaced && self.balancer.slow_start.is_active(session.now) {
            true => self.balancer.slow_start.limit(self.snapshot, session, false),
            false => *session,
        };
        self.steps.push(Step::Candidates {
            upstreams: cluster.len(),
            closed: members().filter(|member| !member.upstream().availability().accepting).count(),
            full: members().filter(|member| member.takes(session) && !member.has_room()).count(),
            tried: members().filter(|member| member.upstream().availability().accepting && tried(member)).count(),
            slow_start: members().filter(|m| m.takes(session) && m.has_room() && !m.takes(&limited)).count(),
        });
        let index = match displaced {
            true => failover_target(cluster, session),
            false => self.snapshot.policy.peek(cluster, &limited),
        };
        let Some(member) = index.and_then(|index| cluster.members().get(index)) else {
            self.steps.push(Step::Nowhere);
            return None;
        };
        let upstream = name(member);
        if !displaced {
            self.steps.push(Step::Placed { policy: self.snapshot.settings.policy_spec.name.to_string(), upstream });
            return Some(member);
        }
        self.steps.push(Step::FailedOver { upstream });
        if !self.request.no_wait
            && let Err(refusal) = self.snapshot.peek_admission(member, session)
        {
            self.steps.extend(refused(refusal));
            return None;
        }
        Some(member)
    }

    fn token(&mut self, affinity: &Affinity, known: Option<&Claims>, migrated: Option<&Claims>, member: &Member) {
        let upstream = member.upstream();
        let session_id = known.map_or(0, |claims| claims.session_id);
        let step = match (known, affinity.next_claims(known, session_id, upstream, self.request.now)) {
            (None, _) if migrated.is_some() => Step::TokenSet(TokenSet::Migrated),
            (None, _) => Step::TokenSet(TokenSet::NewSession),
            (Some(known), next) if *known == next => Step::TokenKept,
            (Some(known), next) if known.upstream != next.upstream => Step::TokenSet(TokenSet::Moved),
            (Some(known), next) if known.incarnation != next.incarnation => Step::TokenSet(TokenSet::Incarnation),
            (Some(known), next) if known.key != next.key => Step::TokenSet(TokenSet::Key),
            _ => Step::TokenSet(TokenSet::Window),
        };
        self.steps.push(step);
    }
}

/// The step for an error, where no other step covers it.
fn refused(refusal: PickError) -> Option<Step> {
    match refusal {
        PickError::Rejected(_) => Some(Step::Rejected),
        PickError::Full => Some(Step::WaitsForRoom),
        PickError::Later { at, reason } => Some(Step::Waits { at, reason }),
        PickError::Unavailable | PickError::Entropy(_) => None,
    }
}

/// An id for a session that has none yet, the same for the same request.
fn draw(request: &Request<'_>) -> u64 {
    let client = match request.client {
        Some(std::net::IpAddr::V4(address)) => u128::from(address.to_bits()),
        Some(std::net::IpAddr::V6(address)) => address.to_bits(),
        None => 0,
    };
    mix64(mix64(request.now.as_millis()) ^ (client >> 64) as u64 ^ client as u64)
}

fn name(member: &Member) -> String {
    member.upstream().name().to_owned()
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "generation {}", self.generation.as_u64())?;
        self.steps.iter().try_for_each(|step| writeln!(f, "- {step}"))?;
        match (&self.upstream, self.decision) {
            (Some(upstream), Some(decision)) => write!(f, "goes to {upstream} ({decision})"),
            _ => f.write_str("is refused"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAffinity => f.write_str("there is no affinity; the policy places every request"),
            Self::NoToken => f.write_str("no token came: the session begins"),
            Self::TokenRefused { number, reason } => write!(f, "token {number} is refused: {reason}"),
            Self::TokenGood { number, upstream, age } => {
                let upstream = upstream.as_deref().unwrap_or("an upstream that is not in the cluster");
                write!(f, "token {number} is good: a session of {} s on {upstream}", age.as_secs())
            }
            Self::Migrated { number, upstream } => {
                write!(f, "cookie {number} of the proxy that was here before means {upstream}")
            }
            Self::Pinned { upstream } => write!(f, "{upstream} serves and has room: the session stays pinned to it"),
            Self::Kept { upstream } => {
                write!(f, "{upstream} is another process now, serves and has room: the session stays on it")
            }
            Self::Rebalanced { from, to } => {
                write!(f, "{from} holds more than its share of sessions: this one moves to {to}, which has room")
            }
            Self::Displaced { reason } => write!(f, "its upstream cannot take it: {reason}"),
            Self::Rejected => f.write_str("sessions are not to be moved: the request is refused"),
            Self::WaitsForRoom => f.write_str("it is not moved for that: the request waits for room"),
            Self::Waits { at, reason } => write!(f, "{reason}: it waits until {at}"),
            Self::Candidates { upstreams, closed, full, tried, slow_start } => {
                let left = upstreams - closed - full - tried - slow_start;
                write!(f, "{left} of {upstreams} upstreams can take it")?;
                let others = [
                    (closed, "take no new sessions"),
                    (full, "full"),
                    (tried, "tried before"),
                    (slow_start, "in slow start and not due"),
                ];
                for (count, why) in others {
                    if *count > 0 {
                        write!(f, "; {count} {why}")?;
                    }
                }
                Ok(())
            }
            Self::FailedOver { upstream } => {
                write!(f, "{upstream} is the first of them in the session's own rendezvous order")
            }
            Self::Placed { policy, upstream } => write!(f, "{policy} places it on {upstream}"),
            Self::Nowhere => f.write_str("nobody takes it: the request is refused"),
            Self::TokenSet(reason) => write!(f, "a token is set: {reason}"),
            Self::TokenKept => f.write_str("the client's token stays"),
        }
    }
}

impl fmt::Display for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NewSession => "the session begins",
            Self::Migrated => "the session is taken over",
            Self::Moved => "the session has moved",
            Self::Incarnation => "the upstream's process is known by another number",
            Self::Key => "another key signs now",
            Self::Window => "the session has come into another idle window",
        })
    }
}
