//! The model: a list of what was said, from which everything is worked out anew each time, name by name.

use super::*;

const NAMES: [&str; 4] = ["app-1", "app-2", "app-3", "app-4"];

/// What was said of one name.
#[derive(Clone, Debug, Default)]
struct Said {
    /// Its place in the base, and how it is there.
    base: Option<(usize, UpstreamConfig)>,
    registered: Option<Instance>,
    put: Option<UpstreamConfig>,
    /// What `put` was to change at least, where it was not about the address.
    weight: Option<u16>,
    removed: bool,
    drain: Option<Option<Timestamp>>,
}

#[derive(Clone, Debug)]
struct Instance {
    config: UpstreamConfig,
    seen: Timestamp,
    silent: Option<Timestamp>,
    leaving: Option<Timestamp>,
}

impl Said {
    fn below(&self) -> Option<UpstreamConfig> {
        let registered = self.registered.as_ref().map(|it| it.config.clone());
        registered.or(self.base.as_ref().map(|(_, config)| config.clone()))
    }

    fn wanted(&self) -> Option<UpstreamConfig> {
        if self.removed {
            return None;
        }
        match (&self.put, self.weight) {
            (Some(put), _) => Some(put.clone()),
            (None, Some(weight)) => self.below().map(|below| below.weight(weight)),
            (None, None) => self.below(),
        }
    }

    /// Forgets what need not be said.
    fn forget(&mut self) {
        let below = self.below();
        if self.removed || self.put.is_some() {
            self.weight = None;
        }
        if let (Some(put), Some(below)) = (&self.put, &below)
            && put.address == below.address
        {
            self.weight = Some(put.weight);
            self.put = None;
        }
        if below.as_ref().is_none_or(|below| Some(below.weight) == self.weight) {
            self.weight = None;
        }
        if below.is_none() && (self.put.is_none() || self.removed) {
            (self.put, self.removed, self.drain) = (None, false, None);
        }
    }

    fn is_drained(&self) -> bool {
        let goes = self.registered.as_ref().is_some_and(|it| it.silent.is_some() || it.leaving.is_some());
        self.drain.is_some() || goes
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize, u8, u16),
    Remove(usize),
    Drain(usize, Option<u64>),
    Resume(usize),
    Base(Vec<(usize, u8, u16)>),
    Register(usize, u8, u16),
    Deregister(usize, Option<u64>),
    Heartbeat(usize),
    Wait(u64),
    Restart,
    BreakStore,
}

fn steps() -> impl Strategy<Value = Step> {
    let spec = || (0..NAMES.len(), 0..3_u8, 1..4_u16);
    let some_secs = || proptest::option::of(0..40_u64);
    prop_oneof![
        4 => spec().prop_map(|(name, address, weight)| Step::Put(name, address, weight)),
        3 => (0..NAMES.len()).prop_map(Step::Remove),
        2 => (0..NAMES.len(), some_secs()).prop_map(|(name, deadline)| Step::Drain(name, deadline)),
        2 => (0..NAMES.len()).prop_map(Step::Resume),
        2 => proptest::collection::vec(spec(), 0..4).prop_map(Step::Base),
        4 => spec().prop_map(|(name, address, weight)| Step::Register(name, address, weight)),
        1 => (0..NAMES.len(), some_secs()).prop_map(|(name, drain)| Step::Deregister(name, drain)),
        3 => (0..NAMES.len()).prop_map(Step::Heartbeat),
        4 => (1..20_u64).prop_map(Step::Wait),
        1 => Just(Step::Restart),
        1 => Just(Step::BreakStore),
    ]
}

fn config((name, address, weight): (usize, u8, u16)) -> UpstreamConfig {
    upstream(NAMES[name], &format!("host-{address}:1")).weight(weight)
}

type Model = [Said; 4];

fn wanted(model: &Model) -> Vec<UpstreamConfig> {
    let mut base: Vec<_> = model.iter().filter_map(|said| Some((said.base.as_ref()?.0, said.wanted()?))).collect();
    base.sort_by_key(|(place, _)| *place);
    let base = base.into_iter().map(|(_, config)| config);
    base.chain(model.iter().filter(|said| said.base.is_none()).filter_map(Said::wanted)).collect()
}

/// What a step makes of a model; `None` where it is refused.
fn after(model: &Model, step: &Step, now: Timestamp) -> Option<Model> {
    let mut next = model.clone();
    match step {
        Step::Put(name, address, weight) => {
            let said = &mut next[*name];
            (said.put, said.removed) = (Some(config((*name, *address, *weight))), false);
        }
        Step::Remove(name) => {
            let said = &mut next[*name];
            said.wanted()?;
            (said.put, said.weight, said.drain, said.removed) = (None, None, None, true);
        }
        Step::Drain(name, deadline) => {
            next[*name].wanted()?;
            next[*name].drain = Some(deadline.map(|deadline| now.after(secs(deadline))));
        }
        Step::Resume(name) => {
            next[*name].wanted()?;
            next[*name].drain = None;
        }
        Step::Base(base) => {
            next.iter_mut().for_each(|said| said.base = None);
            for (place, spec) in base.iter().enumerate() {
                if next[spec.0].base.replace((place, config(*spec))).is_some() {
                    return None;
                }
            }
        }
        Step::Register(name, address, weight) => {
            let config = config((*name, *address, *weight));
            next[*name].registered = Some(Instance { config, seen: now, silent: None, leaving: None });
        }
        Step::Deregister(name, drain) => {
            let said = &mut next[*name];
            match drain {
                Some(drain) => said.registered.as_mut()?.leaving = Some(now.after(secs(*drain))),
                None => drop(said.registered.take()?),
            }
        }
        Step::Heartbeat(name) => {
            if let Some(instance) = &mut next[*name].registered {
                (instance.seen, instance.silent) = (now, None);
            }
        }
        Step::Wait(_) | Step::Restart | Step::BreakStore => {}
    }
    next.iter_mut().for_each(Said::forget);
    (!wanted(&next).is_empty()).then_some(next)
}

/// A second has passed. Nothing is in flight and there are no sessions, so an instance that leaves is removed at once.
fn tick(model: &mut Model, now: Timestamp) {
    let before = model.clone();
    for index in 0..model.len() {
        let Some(instance) = before[index].registered.clone() else { continue };
        let goes = instance.silent.is_some() || instance.leaving.is_some();
        if !goes && now >= instance.seen.after(TTL) {
            let open =
                |model: &Model| model.iter().filter(|said| said.wanted().is_some() && !said.is_drained()).count();
            let was_open = model[index].wanted().is_some() && !model[index].is_drained();
            if !(was_open && open(model) == 1) {
                model[index].registered.as_mut().unwrap().silent = Some(now.after(TTL));
            }
        }
    }
    for index in 0..model.len() {
        let Some(instance) = &before[index].registered else { continue };
        let is_over = instance.silent.is_some_and(|until| now >= until.after(SPREAD));
        if is_over || instance.leaving.is_some() {
            let mut without = model.clone();
            without[index].registered = None;
            without[index].forget();
            if !wanted(&without).is_empty() {
                *model = without;
            }
        }
    }
}

fn follows(stage: &Stage, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(stage.members(), wanted(model));
    for (name, said) in NAMES.iter().zip(model) {
        let about = stage.roster.upstream(name);
        prop_assert_eq!(about.is_some(), said.wanted().is_some(), "{}", name);
        let Some(about) = about else { continue };
        prop_assert_eq!(stage.is_draining(name), said.is_drained(), "{}", name);
        prop_assert_eq!(about.drain.is_some(), said.is_drained(), "{}", name);
        let origin = match said {
            Said { put: Some(_), .. } => Origin::Operator,
            Said { registered: Some(_), .. } => Origin::Registered,
            _ => Origin::Configured,
        };
        prop_assert_eq!(about.origin, origin, "{}", name);
    }
    // What is kept is what holds, but for silences, which are not kept.
    prop_assert_eq!(stage.shelf.state().overrides, stage.roster.state().overrides);
    let kept = serde_json::to_value(stage.shelf.state()).unwrap();
    prop_assert_eq!(kept, serde_json::to_value(stage.roster.state()).unwrap());
    Ok(())
}

fn take(stage: &mut Stage, step: &Step) -> Result<(), RosterError> {
    let (roster, now) = (&stage.roster, stage.now);
    match step {
        Step::Put(name, address, weight) => {
            roster.change(&[Change::Put(config((*name, *address, *weight)))], None, now).map(drop)
        }
        Step::Remove(name) => roster.change(&[Change::Remove(NAMES[*name].into())], None, now).map(drop),
        Step::Drain(name, deadline) => roster.drain(NAMES[*name], deadline.map(secs), now),
        Step::Resume(name) => roster.resume(NAMES[*name], now),
        Step::Base(base) => roster.set_base(base.iter().copied().map(config).collect(), now).map(drop),
        Step::Register(name, address, weight) => {
            match roster.register(config((*name, *address, *weight)), TTL, now).map(drop) {
                // That it is hidden is told, and it is taken.
                Err(RosterError::Removed { .. }) => Ok(()),
                other => other,
            }
        }
        Step::Deregister(name, drain) => roster.deregister(NAMES[*name], drain.map(secs), now).map(drop),
        Step::Heartbeat(name) => match roster.heartbeat(NAMES[*name], InstanceReport::default(), now) {
            Err(RosterError::Unknown(_) | RosterError::Removed { .. }) => Ok(()),
            other => other,
        },
        Step::Wait(_) | Step::Restart | Step::BreakStore => Ok(()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_cluster_is_what_was_said(steps in proptest::collection::vec(steps(), 1..60)) {
        let base = [upstream("app-1", "host-0:1"), upstream("app-2", "host-0:1")];
        let mut stage = Stage::new(&base);
        let mut model = Model::default();
        for (place, config) in base.iter().enumerate() {
            model[place].base = Some((place, config.clone()));
        }
        for step in steps {
            let expected = after(&model, &step, stage.now);
            let before = (stage.members(), stage.roster.state(), stage.shelf.state());
            let generation = stage.roster.balancer().generation();
            match &step {
                Step::Wait(secs) => for _ in 0..*secs {
                    stage.wait(1);
                    tick(&mut model, stage.now);
                    follows(&stage, &model)?;
                },
                Step::Restart => {
                    let mut base: Vec<_> = model.iter().filter_map(|said| said.base.clone()).collect();
                    base.sort_by_key(|(place, _)| *place);
                    let base: Vec<_> = base.into_iter().map(|(_, config)| config).collect();
                    // A base that is hidden altogether cannot be started with.
                    if !base.is_empty() {
                        stage = stage.restarted(&base);
                        for instance in model.iter_mut().filter_map(|said| said.registered.as_mut()) {
                            (instance.seen, instance.silent) = (stage.now, None);
                        }
                    }
                }
                Step::BreakStore => {
                    stage.shelf.fail(true);
                    let failed = stage.roster.drain(NAMES[0], Some(secs(7777)), stage.now);
                    prop_assert!(failed.is_err());
                    stage.shelf.fail(false);
                    prop_assert_eq!((stage.members(), stage.roster.state(), stage.shelf.state()), before);
                }
                step => {
                    let done = take(&mut stage, step);
                    prop_assert_eq!(done.is_ok(), expected.is_some(), "{:?}: {:?}", step, done);
                    match expected {
                        Some(expected) => model = expected,
                        None => {
                            prop_assert_eq!((stage.members(), stage.roster.state(), stage.shelf.state()), before.clone());
                        }
                    }
                    let is_same = stage.members() == before.0;
                    prop_assert_eq!(stage.roster.balancer().generation() == generation, is_same, "{:?}", step);
                }
            }
            follows(&stage, &model)?;
        }
    }
}
