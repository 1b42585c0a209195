//! Policies: sequences of picks, returned leases, failures and membership changes, checked against a naive model.
//!
//! Holds for every policy of the registry: a placement is on an accepting upstream, there is none only if no upstream
//! accepts, counts balance, and `peek` has no side effects. Rules of single policies are in [`rules`].
//!
//! Files, in reading order: `model.rs` (the naive cluster), `rules.rs` (rules of single policies), `world.rs`
//! (operations on the balancer and its model).

mod model;
mod rules;
mod world;

use super::input::Input;
use homing::policy::{Factory, Params, registry};
use world::World;

/// The most operations of one input.
const MAX_STEPS: usize = 100;

/// Values of parameters, valid or not.
const VALUES: [&str; 16] =
    ["strict", "balanced", "source", "hdr", "all", "0", "1", "2", "3", "7", "16", "64", "251", "0.05", "1.25", "10"];

/// A policy under test, and the name that selects its rules.
pub struct Subject {
    /// The name in the registry.
    pub name: &'static str,
    /// Builds the policy.
    pub factory: Factory,
    /// Its parameters.
    pub params: Vec<(&'static str, &'static str)>,
}

impl Subject {
    /// A policy of the registry, with parameters or without.
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
        // Parameters that are valid alone may be refused together.
        let factory = entry.configure(with(&params)).unwrap_or_else(|_| {
            params.clear();
            entry.configure(Params::new()).expect("every policy has defaults")
        });
        Self { name: entry.name, factory, params }
    }
}

/// Panics if a policy of the registry breaks a rule. The first bytes select the policy.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let subject = Subject::made_up(&mut input);
    play(subject, input);
}

/// A control: applies the operations to another policy under the selected name.
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
