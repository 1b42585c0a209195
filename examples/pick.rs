//! A tour of the core, without I/O: `cargo run --example pick`.
//!
//! Five instances and thirty sessions. Each session is pinned by its token. One instance fails: its sessions move once
//! and no other session moves. Every decision is counted.

use homing::{
    Affinity, Availability, Balancer, Decision, KeyRing, PickError, Request, Timestamp, Token, UpstreamConfig,
};
use std::time::Duration;

/// A client; the token stands for its cookie.
struct Session {
    token: Token,
    moves: u32,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let instances = (1..=5).map(|i| UpstreamConfig::new(format!("app-{i}"), format!("10.0.0.{i}:8080")));
    let balancer = Balancer::builder()
        .upstreams(instances)
        .policy("least_conn")
        .affinity(Affinity::builder(KeyRing::generate("tour")?).build()?)
        .build()?;

    // The host passes the time in; the core reads no clock.
    let mut now = Timestamp::from_secs(1_700_000_000);
    let mut sessions = Vec::new();
    for _ in 0..30 {
        let pick = balancer.pick(&Request::new(now))?;
        sessions.extend(pick.token.map(|token| Session { token, moves: 0 }));
    }
    report(&balancer, "Thirty new sessions are placed:");

    now = now.after(Duration::from_secs(10));
    visit_all(&balancer, now, &mut sessions)?;
    report(&balancer, "\nEach makes a second request, which is pinned:");

    if let Some(member) = balancer.cluster().find_name("app-3") {
        member.upstream().set_availability(Availability::DOWN);
    }
    for _ in 0..2 {
        now = now.after(Duration::from_secs(10));
        visit_all(&balancer, now, &mut sessions)?;
    }
    report(&balancer, "\napp-3 fails, and each makes two more requests:");
    let moved = |times: u32| sessions.iter().filter(|session| session.moves == times).count();
    println!("\n{} sessions never moved, {} moved once, {} more often.", moved(0), moved(1), 30 - moved(0) - moved(1));
    Ok(())
}

/// Makes one request of each session. The pick's lease ends with the request.
fn visit_all(balancer: &Balancer, now: Timestamp, sessions: &mut [Session]) -> Result<(), PickError> {
    for session in sessions {
        let pick = balancer.pick(&Request::new(now).tokens(&[session.token.as_bytes()]))?;
        session.moves += u32::from(pick.decision != Decision::Pinned);
        session.token = pick.token.unwrap_or(session.token);
    }
    Ok(())
}

fn report(balancer: &Balancer, title: &str) {
    println!("{title}");
    for member in balancer.cluster().members() {
        let upstream = member.upstream();
        let counts = Decision::all().map(|decision| (decision, upstream.decided(decision)));
        let seen: Vec<String> =
            counts.filter(|(_, count)| *count > 0).map(|(d, count)| format!("{d} {count}")).collect();
        println!("  {}: {}", upstream.name(), seen.join(", "));
    }
}
