//! A balancer, its model, and the operations that are applied to both.

use super::Input;
use super::Subject;
use super::model::{Model, ModelUpstream, Wish};
use super::rules::{self, Rules, Turns};
use homing::balancer::{PickError, Request};
use homing::cluster::{Effect, Plan, Session, UpstreamId};
use homing::rng::SeededEntropy;
use homing::{Affinity, Availability, Balancer, Decision, KeyRing, Lease, Policy, Timestamp};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const WEIGHTS: [u16; 16] = [1, 1, 1, 1, 2, 2, 3, 5, 7, 10, 20, 50, 100, 255, 1000, 0];
const LIMITS: [u32; 6] = [0, 0, 0, 1, 2, 5];
const HEALTH: [Availability; 5] = [
    Availability::ACTIVE,
    Availability::ACTIVE,
    Availability::DRAINING,
    Availability::DOWN,
    Availability { serving: false, accepting: true },
];
/// Number of upstream names that membership changes choose from.
const NAMES: usize = 16;
/// Number of keys whose placements are compared before and after a change.
const KEYS: u16 = 32;
/// Up to this many upstreams a rendezvous table has one size, so a removal only reassigns slots.
const ONE_TABLE: usize = 16;

pub struct World {
    rules: Rules,
    subject: Subject,
    /// Whether affinity is on. Requests bring no token, so it only makes the balancer count sessions and issue tokens.
    has_affinity: bool,
    balancer: Balancer,
    /// Built from nothing for the current cluster; the balancer's own may have been rebuilt from its predecessor.
    policy: Box<dyn Policy>,
    /// The expected turns of the balancer's policy, if it is round robin and skipped no turn since it was built.
    turns: Option<Turns>,
    model: Model,
    leases: Vec<(Lease, usize)>,
    held: Option<(Plan, Vec<ModelUpstream>, u64)>,
    now: Timestamp,
}

/// The session of a request, and the upstreams that were tried for it.
struct Visitor {
    client: Option<IpAddr>,
    key: Option<Vec<u8>>,
    session_id: u64,
    tried: Vec<usize>,
}

impl Visitor {
    fn made_up(input: &mut Input<'_>) -> Self {
        let kind = input.byte();
        let client = (kind & 3 != 0).then(|| address(kind & 3 == 1, u16::from_le_bytes(input.bytes())));
        let key = (kind & 4 != 0).then(|| {
            let length = input.below(9);
            input.bytes::<8>()[..length].to_vec()
        });
        let tried = if kind & 8 != 0 { input.byte() } else { 0 };
        Self {
            client,
            key,
            session_id: u64::from_le_bytes(input.bytes()),
            tried: (0..8).filter(|index| tried >> index & 1 == 1).collect(),
        }
    }

    /// The visitor of this number: always the same key and client address.
    fn numbered(number: u16) -> Self {
        let key = format!("key-{number}").into_bytes();
        Self { client: Some(address(true, number)), key: Some(key), session_id: u64::from(number), tried: Vec::new() }
    }

    fn session<'a>(&'a self, now: Timestamp, tried: &'a [UpstreamId]) -> Session<'a> {
        let mut session = Session::new(self.session_id, now).tried(tried);
        (session.client, session.key) = (self.client, self.key.as_deref());
        session
    }
}

fn address(v4: bool, number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    match v4 {
        true => Ipv4Addr::new(10, high, low, 1).into(),
        false => Ipv6Addr::new(0x2001, 0xdb8, u16::from(high), 0, 0, 0, 0, u16::from(low)).into(),
    }
}

fn modelled(name: usize, port: usize, weight: u16, limit: u32) -> ModelUpstream {
    let address = format!("10.0.0.{name}:{}", 8000 + port);
    ModelUpstream { name: format!("app-{name}"), address, weight, limit, cell: 0 }
}

impl World {
    pub fn new(subject: Subject, input: &mut Input<'_>) -> Self {
        let upstreams = match input.byte() {
            // More upstreams than a 64-bit word has bits.
            size @ 0xf0.. => {
                let limit = LIMITS[input.below(LIMITS.len())];
                (0..usize::from(size) - 180).map(|name| modelled(name, 0, 1 + name as u16 % 2, limit)).collect()
            }
            size => (0..=usize::from(size) % 12)
                .map(|name| {
                    let weight = WEIGHTS[input.below(WEIGHTS.len())].max(1);
                    modelled(name, 0, weight, LIMITS[input.below(LIMITS.len())])
                })
                .collect(),
        };
        let model = Model::new(upstreams);
        let factory = subject.factory.clone();
        let mut balancer = Balancer::builder()
            .upstreams(model.upstreams.iter().map(ModelUpstream::config))
            .policy_with(move |cluster| factory(cluster))
            .entropy(SeededEntropy::new(u64::from(input.byte())));
        let has_affinity = input.flag();
        if has_affinity {
            let keys = KeyRing::builder("fuzz", [1; 32]).sign_with(0, [2; 32]).build().unwrap();
            balancer = balancer.affinity(Affinity::builder(keys).build().unwrap());
        }
        let balancer = balancer.build().unwrap();
        let policy = (subject.factory)(&balancer.cluster());
        let rules = Rules::of(&subject, policy.is_keyed());
        let turns = if rules.turns { Turns::new(&model) } else { None };
        let now = Timestamp::from_secs(1_700_000_000);
        Self { rules, subject, has_affinity, balancer, policy, turns, model, leases: Vec::new(), held: None, now }
    }

    /// Applies one operation.
    pub fn step(&mut self, input: &mut Input<'_>) {
        match input.below(13) {
            0..=2 => {
                let lease = self.pick(&Visitor::made_up(input));
                self.leases.extend(lease);
            }
            3 => drop(self.pick(&Visitor::made_up(input)).map(|(lease, cell)| self.give_back(lease, cell))),
            4 if !self.leases.is_empty() => {
                let (lease, cell) = self.leases.swap_remove(input.below(self.leases.len()));
                self.give_back(lease, cell);
            }
            5 if !self.model.upstreams.is_empty() => {
                let (index, health) = (input.below(self.model.upstreams.len()), HEALTH[input.below(HEALTH.len())]);
                self.model.set_availability(index, health);
                self.balancer.cluster().members()[index].upstream().set_availability(health);
            }
            6 => {
                if let Some((plan, upstreams)) = self.plan(input) {
                    self.apply(plan, upstreams);
                }
            }
            7 => self.held = self.plan(input).map(|(plan, upstreams)| (plan, upstreams, self.model.generation)),
            8 => match self.held.take() {
                Some((plan, upstreams, generation)) if generation == self.model.generation => {
                    self.apply(plan, upstreams)
                }
                Some((plan, ..)) => drop(self.balancer.apply(plan).expect_err("the plan is stale")),
                None => {}
            },
            9 => {
                let millis = i64::from(i16::from_le_bytes(input.bytes())) * 100;
                self.now = Timestamp::from_millis(self.now.as_millis().saturating_add_signed(millis));
            }
            10 => self.look(&Visitor::made_up(input)),
            11 => self.fall(input),
            12 if !self.model.upstreams.is_empty() => {
                let latency = Duration::from_millis(u16::from_le_bytes(input.bytes()).into());
                let index = input.below(self.model.upstreams.len());
                self.balancer.cluster().members()[index].upstream().observe(latency, self.now);
            }
            _ => {}
        }
    }

    fn tried(&self, visitor: &Visitor) -> Vec<UpstreamId> {
        let cluster = self.balancer.cluster();
        let members = visitor.tried.iter().filter_map(|index| cluster.members().get(*index));
        members.map(|member| member.upstream().id()).collect()
    }

    fn pick(&mut self, visitor: &Visitor) -> Option<(Lease, usize)> {
        let ids = self.tried(visitor);
        let session = visitor.session(self.now, &ids);
        let mut request = Request::new(self.now).tried(&ids);
        (request.client, request.key) = (visitor.client, visitor.key.as_deref());
        let tried = &visitor.tried;
        let fresh = self.goes_by_key(visitor).then(|| self.policy.peek(&self.balancer.cluster(), &session));
        let turn = self.turns.as_mut().map(Turns::next);
        let pick = match self.balancer.pick(&request) {
            Ok(pick) => pick,
            Err(refused) => {
                let any_takes = (0..self.model.upstreams.len()).any(|index| self.model.takes(index, tried));
                assert!(!self.model.any_accepts(tried), "{refused}, though one accepts");
                assert_eq!(matches!(refused, PickError::Full), any_takes, "{refused}");
                self.turns = None;
                return None;
            }
        };
        assert_eq!((pick.decision, pick.token.is_some()), (Decision::New, self.has_affinity));
        let name = pick.upstream().name();
        let index =
            self.model.upstreams.iter().position(|modelled| modelled.name == name).expect("an upstream of the cluster");
        self.assert_placed(Some(index), visitor);
        match turn {
            Some(turn) if self.model.accepts(turn, tried) => assert_eq!(index, turn, "not the upstream of the turn"),
            // How many turns are skipped is not specified.
            _ => self.turns = None,
        }
        if let Some(fresh) = fresh {
            assert_eq!(fresh, Some(index), "places as one that is built afresh");
        }
        let cell = self.model.cell_mut(index);
        cell.in_flight += 1;
        cell.total += 1;
        Some((pick.lease, self.model.upstreams[index].cell))
    }

    fn give_back(&mut self, lease: Lease, cell: usize) {
        drop(lease);
        self.model.cells[cell].in_flight -= 1;
    }

    /// Asserts the rules of all placements, and those of this policy.
    fn assert_placed(&self, placed: Option<usize>, visitor: &Visitor) {
        let (model, tried) = (&self.model, &visitor.tried);
        let Some(index) = placed else {
            assert!(!model.any_accepts(tried), "nothing was placed, though one accepts");
            return;
        };
        assert!(model.accepts(index, tried), "{index} does not accept");
        if self.rules.least_loaded {
            assert!(rules::is_least_loaded(model, index, tried), "{index} is not the least loaded");
        }
        if self.rules.ip_hash
            && let Some(expected) = rules::ip_hash(model, visitor.client, tried)
        {
            assert_eq!(index, expected, "nginx's peer for {:?}", visitor.client);
        }
    }

    fn goes_by_key(&self, visitor: &Visitor) -> bool {
        // nginx's hash treats an empty key as no key.
        let has_key = visitor.client.is_some() && visitor.key.as_ref().is_none_or(|key| !key.is_empty());
        self.rules.keyed && has_key && self.model.all_accept(&visitor.tried)
    }

    /// Asserts on the policy itself: peeks equal the placement, and the placement depends on the key only.
    fn look(&mut self, visitor: &Visitor) {
        let cluster = self.balancer.cluster();
        let ids = self.tried(visitor);
        let session = visitor.session(self.now, &ids);
        let looks = [self.policy.peek(&cluster, &session), self.policy.peek(&cluster, &session)];
        let placed = self.policy.place(&cluster, &session);
        assert_eq!(looks, [placed; 2], "peek differs from place, or has side effects");
        self.assert_placed(placed, visitor);
        if self.goes_by_key(visitor) {
            let mut other = session;
            (other.session_id, other.now) = (!session.session_id, Timestamp::from_secs(1));
            assert_eq!(self.policy.place(&cluster, &other), placed, "equal keys, equal places");
        }
    }

    /// The placements of [`KEYS`] keys, by the upstream's name.
    fn places(&self) -> Vec<Option<String>> {
        let cluster = self.balancer.cluster();
        let place = |visitor: Visitor| self.policy.place(&cluster, &visitor.session(self.now, &[]));
        (0..KEYS)
            .map(|number| place(Visitor::numbered(number)).map(|index| self.model.upstreams[index].name.clone()))
            .collect()
    }

    /// Takes one upstream down and up again: only its keys move, and they return.
    fn fall(&mut self, input: &mut Input<'_>) {
        if self.model.upstreams.is_empty() {
            return;
        }
        let index = input.below(self.model.upstreams.len());
        if !self.rules.keyed || !self.model.all_accept(&[]) {
            return;
        }
        let before = self.places();
        let fallen = self.balancer.cluster().members()[index].upstream().clone();
        fallen.set_availability(Availability::DOWN);
        let after = self.places();
        fallen.set_availability(Availability::ACTIVE);
        assert_none_else_moved(&before, &after, fallen.name());
        assert_eq!(self.places(), before, "keys did not return to the upstream that came back");
    }

    fn plan(&mut self, input: &mut Input<'_>) -> Option<(Plan, Vec<ModelUpstream>)> {
        let wishes: Vec<Wish> = (0..=input.below(3))
            .map(|_| {
                let name = input.below(NAMES);
                match input.below(3) {
                    0 => Wish::Remove(format!("app-{name}")),
                    port => {
                        let weight = WEIGHTS[input.below(WEIGHTS.len())];
                        Wish::Put(modelled(name, port - 1, weight, LIMITS[input.below(LIMITS.len())]))
                    }
                }
            })
            .collect();
        let changes: Vec<_> = wishes.iter().map(Wish::change).collect();
        match (self.balancer.plan(&changes), self.model.wished(&wishes)) {
            (Ok(plan), Ok(upstreams)) => {
                let effects: Vec<_> = plan.effects().iter().map(effect).collect();
                assert_eq!(effects, self.effects(&upstreams));
                Some((plan, upstreams))
            }
            (planned, wished) => {
                assert_eq!(planned.map(drop), wished.map(drop));
                None
            }
        }
    }

    /// The expected effects of a plan for these upstreams, removals first.
    fn effects<'a>(&'a self, wished: &'a [ModelUpstream]) -> Vec<(&'static str, &'a str)> {
        let find = |upstreams: &'a [ModelUpstream], name: &str| upstreams.iter().find(|modelled| modelled.name == name);
        let gone = self.model.upstreams.iter().filter(|modelled| find(wished, &modelled.name).is_none());
        let changed = |modelled: &&ModelUpstream| {
            find(&self.model.upstreams, &modelled.name).is_none_or(|old| old.config() != modelled.config())
        };
        let kind =
            |modelled: &ModelUpstream| find(&self.model.upstreams, &modelled.name).map_or("added", |_| "changed");
        gone.map(|modelled| ("removed", &*modelled.name))
            .chain(wished.iter().filter(changed).map(|modelled| (kind(modelled), &*modelled.name)))
            .collect()
    }

    fn apply(&mut self, plan: Plan, upstreams: Vec<ModelUpstream>) {
        let removed = self.only_removed(&upstreams).map(|name| (name, self.places()));
        self.balancer.apply(plan).expect("the plan is of this generation");
        self.model.apply(upstreams);
        self.policy = (self.subject.factory)(&self.balancer.cluster());
        self.turns = if self.rules.turns { Turns::new(&self.model) } else { None };
        if let Some((name, before)) = removed {
            assert_none_else_moved(&before, &self.places(), &name);
        }
    }

    /// The name of the removed upstream, if that is the only change and the policy must move its keys only.
    fn only_removed(&self, wished: &[ModelUpstream]) -> Option<String> {
        let old = &self.model.upstreams;
        if !self.rules.removal_moves_its_own || old.len() > ONE_TABLE || !self.model.all_accept(&[]) {
            return None;
        }
        let gone = old.iter().find(|modelled| wished.iter().all(|other| other.name != modelled.name))?;
        let others = old.iter().filter(|modelled| modelled.name != gone.name).map(ModelUpstream::config);
        others.eq(wished.iter().map(ModelUpstream::config)).then(|| gone.name.clone())
    }

    /// Asserts that the balancer's state equals the model's.
    pub fn assert_balance(&self) {
        assert_eq!(self.balancer.generation().as_u64(), self.model.generation);
        let cluster = self.balancer.cluster();
        assert_eq!(cluster.len(), self.model.upstreams.len());
        for (index, (member, modelled)) in cluster.members().iter().zip(&self.model.upstreams).enumerate() {
            let (upstream, cell) = (member.upstream(), self.model.cell(index));
            assert_eq!((upstream.name(), upstream.address()), (&*modelled.name, &*modelled.address));
            assert_eq!((member.weight(), member.max_in_flight()), (modelled.weight, modelled.limit));
            assert_eq!((upstream.in_flight(), upstream.total()), (cell.in_flight, cell.total), "{}", modelled.name);
            assert_eq!(upstream.decided(Decision::New), cell.total);
            assert_eq!(upstream.availability(), Availability { serving: cell.serving, accepting: cell.accepting });
        }
        for (lease, cell) in &self.leases {
            assert_eq!(lease.upstream().in_flight(), self.model.cells[*cell].in_flight, "leases of what is gone");
        }
    }

    /// Drops all leases, and asserts that nothing is in flight.
    pub fn finish(mut self) {
        for (lease, cell) in std::mem::take(&mut self.leases) {
            self.give_back(lease, cell);
        }
        assert!(self.model.cells.iter().all(|cell| cell.in_flight == 0));
        self.assert_balance();
    }
}

fn effect(effect: &Effect) -> (&'static str, &str) {
    match effect {
        Effect::Added(name) => ("added", name),
        Effect::Removed { name, .. } => ("removed", name),
        Effect::Changed(name) => ("changed", name),
        other => panic!("an unknown effect: {other}"),
    }
}

fn assert_none_else_moved(before: &[Option<String>], after: &[Option<String>], fallen: &str) {
    for (number, (before, after)) in before.iter().zip(after).enumerate() {
        match before.as_deref() == Some(fallen) {
            true => assert_ne!(after.as_deref(), Some(fallen), "key {number} stays on what fell"),
            false => assert_eq!(after, before, "key {number} moved, though {fallen} fell"),
        }
    }
}
