//! Policies: any sequence of picks, returns, failures and changes of the cluster, against a model that keeps a plain
//! list.
//!
//! Every policy of the registry is held to what all owe: a placement accepts, none is made only where none accepts,
//! counts balance, looking changes nothing. What a policy owes besides is in [`rules`].

mod model;
mod rules;
mod world;

use super::input::Input;
use homing::policy::{Factory, Params, registry};
use world::World;

/// How many operations of one input are carried out.
const MAX_STEPS: usize = 100;

/// Values that parameters are given, whether they take them or not.
const VALUES: [&str; 16] =
    ["strict", "balanced", "source", "hdr", "all", "0", "1", "2", "3", "7", "16", "64", "251", "0.05", "1.25", "10"];

/// A policy, and the name that says what it owes.
pub struct Subject {
    /// As in the registry.
    pub name: &'static str,
    /// What builds it.
    pub factory: Factory,
    /// Parameters that it was given.
    pub params: Vec<(&'static str, &'static str)>,
}

impl Subject {
    /// One of the registry, perhaps with a parameter.
    fn made_up(input: &mut Input<'_>) -> Self {
        let entry = &registry()[input.below(registry().len())];
        let mut params = Vec::new();
        for name in entry.params {
            let (given, value) = (input.flag(), VALUES[input.below(VALUES.len())]);
            if given && entry.configure(Params::new().with(*name, value)).is_ok() {
                params.push((*name, value));
            }
        }
        let with =
            |params: &[(&str, &str)]| params.iter().fold(Params::new(), |all, (name, value)| all.with(*name, value));
        // Each may be taken alone, and not with the others.
        let factory = entry.configure(with(&params)).unwrap_or_else(|_| {
            params.clear();
            entry.configure(Params::new()).expect("every policy has defaults")
        });
        Self { name: entry.name, factory, params }
    }
}

/// Panics where a policy of the registry breaks a promise. The first bytes choose it.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let subject = Subject::made_up(&mut input);
    play(subject, input);
}

/// The same operations on another policy that goes by the name of the one they choose: a control.
pub fn check_impostor(data: &[u8], name: &'static str, factory: &Factory) {
    let mut input = Input::new(data);
    let subject = Subject::made_up(&mut input);
    if subject.name == name {
        play(Subject { factory: factory.clone(), ..subject }, input);
    }
}

fn play(subject: Subject, mut input: Input<'_>) {
    let mut world = World::new(subject, &mut input);
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
        world.assert_balance();
    }
    world.finish();
}
