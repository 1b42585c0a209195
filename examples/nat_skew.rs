//! Sessions of clients behind NATs: `cargo run --release --example nat_skew [SVG]`.
//!
//! 5,000 sessions on five instances; 60 % of the users are behind three NATs, so their requests come from three
//! addresses. Then the instance with the most sessions fails, returns as a new process, and a sixth is added. Prints
//! the spread of the sessions and how many of them were lost, and draws both to the given file, by default
//! `docs/nat_skew.svg`.

#[allow(dead_code, reason = "scale_out uses the rest")]
mod plot;
#[allow(dead_code, reason = "scale_out uses the rest")]
mod simulation;

use homing::Availability;
use homing::policy::Params;
use plot::{Line, Mark, Panel, Plot};
use simulation::{Dice, Setup, World, anywhere};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

const SEED: u64 = 2026;
const SESSIONS: usize = 5000;
const INSTANCES: usize = 5;
/// The times of the events, in seconds.
const DIES: usize = 900;
const RETURNS: usize = 1800;
const ADDED: usize = 2700;
const END: usize = 3900;
/// Addresses for documentation (RFC 5737), one of each range.
const NATS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(203, 0, 113, 1)];
/// The colours of the instances, after Okabe and Ito (2008): colour-blind readers can distinguish them.
const COLOURS: [(&str, &str); INSTANCES + 1] = [
    ("#0072b2", "app-1"),
    ("#e69f00", "app-2"),
    ("#009e73", "app-3"),
    ("#cc79a7", "app-4"),
    ("#56b4e9", "app-5"),
    ("#d55e00", "app-6"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("docs/nat_skew.svg"), PathBuf::from);
    println!("seed {SEED}: {SESSIONS} sessions on {INSTANCES} instances, 60 % of the users behind three NATs\n");
    println!(
        "| Placement | Fullest | Emptiest | Max/avg | Lost: fullest dies | it returns | a sixth joins | Max/avg then |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|");
    let mut panels = Vec::new();
    for (policy, affinity) in [("ip_hash", false), ("ip_hash", true), ("least_conn", true), ("least_sessions", true)] {
        let name = if affinity { format!("tokens and {policy}") } else { format!("{policy} alone") };
        panels.push(panel(name.clone(), &story(&name, policy, affinity)?));
    }
    let second_row = panels.split_off(2);
    let plot = Plot {
        title: "60 % of the users behind three NATs: sessions per instance".into(),
        legend: COLOURS.to_vec(),
        x: 5.0..END as f64 / 60.0,
        y: 0.0..2650.0,
        steps: (10.0, 500.0),
        across: "minutes; dashed: the fair share of five",
        rows: vec![panels, second_row],
    };
    plot.save(&path)
}

/// Runs the simulation with this policy; prints its row and returns the sessions on each instance at each second.
fn story(name: &str, policy: &'static str, affinity: bool) -> Result<Vec<Vec<u32>>, Box<dyn Error>> {
    let setup = Setup {
        policy,
        params: Params::new(),
        affinity,
        proxies: 1,
        upstreams: INSTANCES,
        sessions: SESSIONS,
        seed: SEED,
        address: behind_nats,
    };
    let mut world = World::new(setup)?;
    world.run_until(DIES)?;
    let before = world.live.clone();
    let (fullest, most) = before.iter().copied().enumerate().max_by_key(|(_, live)| *live).unwrap_or_default();
    let least = before.iter().copied().min().unwrap_or_default();
    let mut broken = vec![world.broken];

    world.set_availability(fullest, Availability::DOWN);
    world.run_until(RETURNS)?;
    broken.push(world.broken);
    world.set_availability(fullest, Availability::ACTIVE);
    world.run_until(ADDED)?;
    broken.push(world.broken);
    world.grow(INSTANCES + 1)?;
    world.run_until(END)?;
    broken.push(world.broken);

    let lost: Vec<String> = broken.windows(2).map(|pair| (pair[1] - pair[0]).to_string()).collect();
    let (skew, then) = (max_to_mean(&before), max_to_mean(&world.live));
    println!("| {name} | {most} | {least} | {skew:.2} | {} | {then:.2} |", lost.join(" | "));
    Ok(world.history)
}

fn max_to_mean(live: &[u32]) -> f64 {
    let most = live.iter().copied().max().unwrap_or_default();
    f64::from(most) * live.len() as f64 / f64::from(live.iter().sum::<u32>())
}

fn behind_nats(dice: &Dice) -> IpAddr {
    match dice.uniform() < 0.6 {
        true => NATS[dice.below(NATS.len())].into(),
        false => anywhere(dice),
    }
}

fn panel(title: String, history: &[Vec<u32>]) -> Panel {
    let mut marks = vec![Mark::Level((SESSIONS / INSTANCES) as f64)];
    for (index, (colour, _)) in COLOURS.iter().enumerate() {
        let seconds = history.iter().enumerate().skip(300).step_by(30);
        let line: Line =
            seconds.filter_map(|(second, live)| Some((second as f64 / 60.0, f64::from(*live.get(index)?)))).collect();
        marks.push(Mark::Line(line, colour));
    }
    for (second, what) in [(DIES, "the fullest dies"), (RETURNS, "it returns"), (ADDED, "a sixth joins")] {
        marks.push(Mark::Moment(second as f64 / 60.0, what));
    }
    Panel { title, marks }
}
