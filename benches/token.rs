//! The cost of a token, as the difference between picks, all with one upstream, whose placement costs nothing.
//!
//! - *sign* is "first visit" less "no affinity",
//! - *verify* is "pinned" less "no affinity",
//! - both together "next idle window" less "no affinity".
//!
//! `cargo bench -p homing-benches --bench token`.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark that cannot go on should say where")]

use criterion::{Criterion, criterion_group, criterion_main};
use homing::policy::Policy;
use homing::rng::SeededEntropy;
use homing::{Affinity, Balancer, Cluster, Decision, KeyRing, Request, Timestamp, UpstreamConfig};
use std::hint::black_box;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

#[derive(Debug)]
struct TheOnlyOne;

impl Policy for TheOnlyOne {
    fn place(&self, _: &Cluster, _: &homing::cluster::Session<'_>) -> Option<usize> {
        Some(0)
    }
}

fn token(c: &mut Criterion) {
    let builder = || {
        Balancer::builder()
            .upstream(UpstreamConfig::new("app-1", "10.0.0.1:8080"))
            .policy_with(|_| Box::new(TheOnlyOne))
            .entropy(SeededEntropy::new(1))
    };
    let keys = KeyRing::builder("bench", [1; 32]).sign_with(0, [2; 32]).build().unwrap();
    let unbound = builder().build().unwrap();
    let bound = builder().affinity(Affinity::builder(keys).build().unwrap()).build().unwrap();
    let token = bound.pick(&Request::new(NOW)).unwrap().token.unwrap();
    let later = NOW.after(Duration::from_secs(600));
    let mut altered = token.as_bytes().to_vec();
    altered[50] ^= 1;

    let mut group = c.benchmark_group("token");
    let mut bench = |name, balancer: &Balancer, request: &Request<'_>, decision, reissued| {
        let pick = balancer.pick(request).unwrap();
        assert_eq!((pick.decision, pick.token.is_some()), (decision, reissued), "{name}");
        group.bench_function(name, |b| b.iter(|| balancer.pick(black_box(request)).unwrap()));
    };
    let loss = Decision::PinLost(homing::PinLoss::BadTag);
    let good = [token.as_bytes()];
    bench("no affinity", &unbound, &Request::new(NOW), Decision::New, false);
    bench("first visit", &bound, &Request::new(NOW), Decision::New, true);
    bench("pinned", &bound, &Request::new(NOW).tokens(&good), Decision::Pinned, false);
    bench("next idle window", &bound, &Request::new(later).tokens(&good), Decision::Pinned, true);
    bench("altered", &bound, &Request::new(NOW).tokens(&[&altered]), loss, true);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(50);
    targets = token
}
criterion_main!(benches);
