//! Controls of the checkers: hosts with a deliberate fault, each of which must violate its invariant.

use crate::simulation::invariants::Invariant;
use crate::simulation::world::World;

/// The deliberate fault of a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sabotage {
    /// Sends a POST again that may have run.
    ResendPosts,
    /// Ends a truncated body as if it were complete.
    EndCutBodies,
    /// Sometimes picks without the client's token.
    ForgetTokens,
    /// Uses the second failover target on the first proxy.
    OddFailoverTargets,
    /// Lets draining upstreams take new sessions.
    PlaceOnDraining,
    /// Sends no request again.
    DropRetries,
    /// Reports a 500 as a refused connection.
    FalseReports,
    /// Ignores removals of upstreams.
    MissRemovals,
    /// Sometimes forgets to drop a lease.
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
        (Self::FalseReports, Invariant::Evidence),
        (Self::MissRemovals, Invariant::Membership),
        (Self::LeakLeases, Invariant::Leases),
    ];
}

/// The number of seeds within which each must be caught.
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
