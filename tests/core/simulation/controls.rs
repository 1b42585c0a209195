//! The checker's controls: hosts that do wrong, each of which must be caught in the act.

use crate::simulation::invariants::Invariant;
use crate::simulation::world::World;

/// What a host does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sabotage {
    /// Sends a POST again that may have run.
    ResendPosts,
    /// Ends a body as whole that broke off.
    EndCutBodies,
    /// Picks anew now and then, without the client's token.
    ForgetTokens,
    /// Takes the second failover target on the first proxy.
    OddFailoverTargets,
    /// Lets draining upstreams take new sessions.
    PlaceOnDraining,
    /// Sends nothing again.
    DropRetries,
    /// Takes a 500 for a refused connection.
    CryWolf,
    /// Never hears of removals.
    MissRemovals,
    /// Lets go of a request without its lease, once in a while.
    LeakLeases,
}

impl Sabotage {
    const ALL: [(Self, Invariant); 9] = [
        (Self::ResendPosts, Invariant::RunsOnce),
        (Self::EndCutBodies, Invariant::CutIsCut),
        (Self::ForgetTokens, Invariant::PinHolds),
        (Self::OddFailoverTargets, Invariant::Agreement),
        (Self::PlaceOnDraining, Invariant::TakesNoNew),
        (Self::DropRetries, Invariant::Answered),
        (Self::CryWolf, Invariant::Evidence),
        (Self::MissRemovals, Invariant::Membership),
        (Self::LeakLeases, Invariant::Leases),
    ];
}

/// Within so many seeds each must be caught.
const SEEDS: u64 = 20;

#[test]
fn every_sabotage_is_caught_by_its_invariant() {
    for (sabotage, invariant) in Sabotage::ALL {
        let caught = (0..SEEDS).find_map(|seed| Some((seed, World::new(seed, Some(sabotage)).run().err()?)));
        let Some((seed, violation)) = caught else { panic!("{sabotage:?} was not caught in {SEEDS} seeds") };
        println!("{sabotage:?}: seed {seed}: {violation}");
        assert_eq!(violation.invariant, invariant, "{sabotage:?}, seed {seed}: {violation}");
    }
}
