//! The time until added upstreams have their share of the sessions: `cargo run --release --example scale_out [SVG]`.
//!
//! 24,000 sessions on 20 upstreams, then 10 more upstreams. Live sessions stay on their upstream, so only new sessions
//! fill the added ones, and a policy is the better the more of these it places there. Prints the time of each policy,
//! and draws it to the given file, by default `docs/scale_out.svg`.

#[allow(dead_code, reason = "nat_skew uses the rest")]
mod plot;
#[allow(dead_code, reason = "nat_skew uses the rest")]
mod simulation;

use homing::policy::Params;
use plot::{Line, Mark, Panel, Plot};
use simulation::{MEAN_LIFE, Setup, World, anywhere};
use std::error::Error;
use std::path::PathBuf;

const SEED: u64 = 2026;
const SESSIONS: usize = 24_000;
const OLD: usize = 20;
const ALL: usize = 30;
/// When the new upstreams are added, in seconds, and when the simulation ends.
const ADDED: usize = 600;
const END: usize = ADDED + 3000;

/// Colours that colour-blind readers can distinguish (Okabe and Ito, 2008).
const BLUE: &str = "#0072b2";
const ORANGE: &str = "#d55e00";

/// A policy, its parameter `d`, and the theoretical number of seconds until the new upstreams are filled.
type Case = (&'static str, Option<&'static str>, f64);

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("docs/scale_out.svg"), PathBuf::from);
    // The share of new sessions that the new upstreams get while they have fewer sessions than every old one: their
    // part of the cluster for `random`, the probability that at least one of three different upstreams is new, and all.
    let (old, all) = (OLD as f64, ALL as f64);
    let some_new = 1.0 - old * (old - 1.0) * (old - 2.0) / (all * (all - 1.0) * (all - 2.0));
    let cases: [Case; 4] = [
        ("random", None, theory(1.0 - old / all)),
        ("least_conn", None, f64::NAN),
        ("least_sessions", Some("3"), theory(some_new)),
        ("least_sessions", Some("all"), theory(1.0)),
    ];

    println!("seed {SEED}: {SESSIONS} sessions of {MEAN_LIFE} s on average, {OLD} upstreams, then {ALL}\n");
    println!(
        "| Policy | Proxies | 90 % of the fair share after s | in theory | Max/avg then | after {} s |",
        END - ADDED
    );
    println!("|---|--:|--:|--:|--:|--:|");
    let mut rows = Vec::new();
    for proxies in [1, 10] {
        let runs: Vec<_> = std::thread::scope(|scope| {
            let run = |case| scope.spawn(move || simulate(case, proxies).map_err(|error| error.to_string()));
            let runs: Vec<_> = cases.iter().map(|(policy, d, _)| run((*policy, *d))).collect();
            runs.into_iter().map(|run| run.join().unwrap_or_else(|_| Err("a run panicked".into()))).collect()
        });
        let mut row = Vec::new();
        for ((policy, d, theory), history) in cases.iter().zip(runs) {
            let history = history?;
            let name = d.map_or_else(|| (*policy).to_owned(), |d| format!("{policy} d={d}"));
            print_row(&name, proxies, *theory, &history);
            let plural = if proxies == 1 { "proxy" } else { "proxies" };
            row.push(panel(format!("{name}, {proxies} {plural}"), &history));
        }
        rows.push(row);
    }
    let plot = Plot {
        title: "24,000 sessions, 20 upstreams, then 30: sessions per upstream".into(),
        legend: vec![(BLUE, "20 old: least, mean, most"), (ORANGE, "10 new: least, mean, most")],
        x: -5.0..(END - ADDED) as f64 / 60.0,
        y: 0.0..1400.0,
        steps: (10.0, 200.0),
        across: "minutes since the new upstreams were added; dashed: the fair share",
        rows,
    };
    plot.save(&path)
}

/// Seconds until the new upstreams have 90 % of their share, if they get this part of all new sessions.
///
/// A group that gets a part p of all arrivals fills to p of all sessions by 1 - e^(-t/life).
fn theory(part: f64) -> f64 {
    let aim = 0.9 * (ALL - OLD) as f64 / ALL as f64;
    -MEAN_LIFE * (1.0 - aim / part).ln()
}

/// The sessions on each upstream at each second.
fn simulate(
    (policy, d): (&'static str, Option<&'static str>),
    proxies: usize,
) -> Result<Vec<Vec<u32>>, Box<dyn Error>> {
    let params = d.map_or_else(Params::new, |d| Params::new().with("d", d));
    let setup = Setup {
        policy,
        params,
        affinity: true,
        proxies,
        upstreams: OLD,
        sessions: SESSIONS,
        seed: SEED,
        address: anywhere,
    };
    let mut world = World::new(setup)?;
    world.run_until(ADDED)?;
    world.grow(ALL)?;
    world.run_until(END)?;
    match world.broken {
        0 => Ok(world.history),
        broken => Err(format!("{policy}: {broken} requests missed their session, and none should").into()),
    }
}

fn print_row(name: &str, proxies: usize, theory: f64, history: &[Vec<u32>]) {
    let most_to_mean = |live: &[u32]| f64::from(live.iter().copied().max().unwrap_or(0)) / mean(live);
    let reached = history.iter().position(|live| live.len() == ALL && mean(&live[OLD..]) >= 0.9 * mean(live));
    let (time, then) = match reached {
        Some(second) => ((second - ADDED).to_string(), format!("{:.2}", most_to_mean(&history[second]))),
        None => (format!("> {}", END - ADDED), "-".to_owned()),
    };
    let theory = if theory.is_nan() { "-".to_owned() } else { format!("{theory:.0}") };
    let end = history.last().map_or(f64::NAN, |live| most_to_mean(live));
    println!("| `{name}` | {proxies} | {time} | {theory} | {then} | {end:.2} |");
}

fn mean(live: &[u32]) -> f64 {
    f64::from(live.iter().sum::<u32>()) / live.len() as f64
}

fn panel(title: String, history: &[Vec<u32>]) -> Panel {
    let mut marks = vec![Mark::Level((SESSIONS / ALL) as f64)];
    for (from, to, colour) in [(0, OLD, BLUE), (OLD, ALL, ORANGE)] {
        let line = |of: fn(&[u32]) -> f64| -> Line {
            let seconds = history.iter().enumerate().skip(ADDED - 300).step_by(60).filter(|(_, live)| live.len() >= to);
            seconds.map(|(second, live)| ((second as f64 - ADDED as f64) / 60.0, of(&live[from..to]))).collect()
        };
        let [least, most] = [
            line(|live| live.iter().min().map_or(0.0, |n| (*n).into())),
            line(|live| live.iter().max().map_or(0.0, |n| (*n).into())),
        ];
        marks.push(Mark::Band(least, most, colour));
        marks.push(Mark::Line(line(mean), colour));
    }
    Panel { title, marks }
}
