//! A placement policy of one's own: `cargo run --example custom_policy`.
//!
//! Sessions are placed in the proxy's own zone while an upstream there accepts them, and elsewhere otherwise. Its tests
//! run the suite that all policies pass: `cargo test --example custom_policy --features testing`.

use homing::cluster::{Cluster, Session};
use homing::{Affinity, Availability, Balancer, KeyRing, Policy, Request, Timestamp, UpstreamConfig};

/// The least busy upstream of this zone, by the beginning of its name; the least busy of all if none there accepts.
#[derive(Debug)]
struct OwnZone(&'static str);

impl Policy for OwnZone {
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        let accepting = (0..cluster.len()).filter(|index| cluster.accepts(*index, session));
        accepting.min_by_key(|index| {
            let upstream = cluster.members()[*index].upstream();
            (!upstream.name().starts_with(self.0), upstream.in_flight())
        })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = |name: &str| UpstreamConfig::new(name, format!("{name}.internal:8080")).max_in_flight(2);
    let balancer = Balancer::builder()
        .upstreams(["us-1", "eu-1", "us-2", "eu-2"].map(app))
        .policy_with(|_| Box::new(OwnZone("eu-")))
        .affinity(Affinity::builder(KeyRing::generate("zones")?).build()?)
        .build()?;
    let now = Timestamp::from_secs(1_700_000_000);
    let mut leases = Vec::new();
    for number in 1..=6 {
        let pick = balancer.pick(&Request::new(now))?;
        println!("session {number} is placed on {}", pick.upstream().name());
        // Each request lasts.
        leases.push(pick.lease);
    }
    leases.clear();
    for member in balancer.cluster().members().iter().filter(|member| member.upstream().name().starts_with("eu-")) {
        member.upstream().set_availability(Availability::DRAINING);
    }
    println!(
        "while eu-1 and eu-2 drain, a session is placed on {}",
        balancer.pick(&Request::new(now))?.upstream().name()
    );
    Ok(())
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::OwnZone;
    use homing::Availability;
    use homing::policy::{Policy, conformance};

    #[test]
    fn it_keeps_the_rules_of_all_policies() {
        conformance::check(&|_| Box::new(OwnZone("app-1")));
    }

    #[test]
    fn a_session_leaves_the_zone_only_while_none_there_accepts() {
        let cluster = conformance::cluster(&[1; 3]);
        let place = || OwnZone("app-1").place(&cluster, &conformance::session(7));
        assert_eq!(place(), Some(1));
        cluster.members()[1].upstream().set_availability(Availability::DRAINING);
        assert_eq!(place(), Some(0));
    }
}
