//! Random faults, one round after the other, for as long as wanted: no session may be lost without need, and what the
//! gateway holds may not grow.

use crate::support::test;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use homing::rng::{Entropy, OsEntropy, SeededEntropy};
use tokio::time::sleep;

use crate::fleet::{Fleet, Front};
use crate::kills::AT_WORK;
use crate::load::{Load, OFTEN, Pace};
use crate::record;
use crate::scenario;
use crate::scouts::Scouts;
use crate::session::Session;
use crate::troubles::{Evidence, Fault, Trouble, Turn};

const INSTANCES: usize = 5;
const SESSIONS: u32 = 300;
const PACE: Pace = Pace { connections: 64, rate: 400 };

/// How long a fault lasts, in milliseconds.
const DWELL: std::ops::RangeInclusive<u64> = 200..=5000;

/// An instance that is stopped for the longest fault still responds in time; one that is mute never does.
const SETTINGS: &str = "[health]\nprofile = \"wisej\"\npath = \"/healthz\"\ninterval = \"100ms\"\ntimeout = \"1s\"\n\
                        [outlier]\nbase = \"200ms\"\nmax = \"1s\"\n[slow_start]\nwindow = \"1s\"\n\
                        [timeouts]\nresponse = \"8s\"";

/// Seconds, where nothing else is asked for.
const SLICE: u64 = 15;

/// Of shorter runs no growth is judged: the gateway still grows into its load.
const LONG: Duration = Duration::from_secs(600);

const MINUTE: Duration = Duration::from_secs(60);

/// A number from the environment.
fn given(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// The resources of the gateway's process.
#[derive(Clone, Copy, Debug)]
struct Holding {
    /// Resident, in bytes.
    memory: u64,
    files: u64,
}

impl Holding {
    fn of(front: &Front) -> Self {
        let process = PathBuf::from(format!("/proc/{}", front.process_id()));
        let status = fs::read_to_string(process.join("status")).expect("the gateway's state");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its resident memory");
        let kibibytes: u64 = resident.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        let files = fs::read_dir(process.join("fd")).expect("its open files").count() as u64;
        Self { memory: kibibytes << 10, files }
    }
}

/// Whether the last quarter stays within a quarter more than the second, and some slack.
fn is_steady(samples: &[u64], slack: u64) -> bool {
    let most = |from, to| samples[samples.len() * from / 4..samples.len() * to / 4].iter().max().copied();
    most(3, 4).unwrap_or(0) <= most(1, 2).unwrap_or(0) * 5 / 4 + slack
}

struct Soak {
    fleet: Fleet,
    front: Front,
    scouts: Scouts,
    dice: SeededEntropy,
}

impl Soak {
    fn below(&self, limit: usize) -> usize {
        (self.dice.draw() % limit as u64) as usize
    }

    /// One instance, rarely two, and the fault.
    fn choose(&self) -> Vec<(usize, Fault)> {
        let first = self.below(INSTANCES);
        let second = (first + 1 + self.below(INSTANCES - 1)) % INSTANCES;
        let victims = [first, second].into_iter().take(if self.below(100) < 15 { 2 } else { 1 });
        victims.map(|victim| (victim, Fault::ALL[self.below(Fault::ALL.len())])).collect()
    }

    /// Lets it fail, and returns when new sessions find it again.
    async fn turn(&mut self) -> Turn {
        let (began, victims) = (record::now(), self.choose());
        let mut troubles = Vec::new();
        for (instance, fault) in victims {
            let since = record::now();
            match fault {
                Fault::Kill => drop(self.fleet.kill(instance)),
                Fault::Stop => self.fleet.pause(instance),
                Fault::Mode(mode) => self.fleet.set(instance, mode),
            }
            troubles.push(Trouble { instance, fault, since, until: since });
        }
        sleep(Duration::from_millis(DWELL.start() + self.dice.draw() % (DWELL.end() - DWELL.start()))).await;
        for Trouble { instance, fault, .. } in &troubles {
            match fault {
                Fault::Kill => self.fleet.begin(*instance),
                Fault::Stop => self.fleet.resume(*instance),
                Fault::Mode(_) => self.fleet.set(*instance, AT_WORK),
            }
        }
        for trouble in &mut troubles {
            // The failure of a last probe is counted by then.
            self.fleet.probed(trouble.instance).await;
            self.scouts.find(&self.fleet.instances[trouble.instance].name).await;
            trouble.until = record::now();
        }
        Turn { began, troubles }
    }
}

#[test]
fn random_faults_cost_no_more_than_each_of_them_must() {
    let seed = given("HOMING_SEED").unwrap_or_else(|| OsEntropy.next().expect("a seed") >> 32);
    let length = Duration::from_secs(given("HOMING_SOAK").unwrap_or(SLICE));
    println!("soak: HOMING_SEED={seed} for {} s", length.as_secs());
    scenario(soak(seed, length));
}

async fn soak(seed: u64, length: Duration) {
    let fleet = Fleet::start(INSTANCES, AT_WORK);
    let front = Front::gateway(SETTINGS, &fleet);
    let load = Load::start(front.address, Session::several(0..SESSIONS), PACE);
    load.visits(1).await;
    let scouts = Scouts::new(front.address);
    let mut soak = Soak { fleet, front, scouts, dice: SeededEntropy::new(seed) };
    let (mut turns, mut holdings) = (Vec::new(), Vec::new());
    let mut faults = BTreeMap::<String, usize>::new();
    let (began, mut minutes) = (Instant::now(), 1);
    while began.elapsed() < length {
        let turn = soak.turn().await;
        load.visits(OFTEN).await;
        turn.troubles.iter().for_each(|trouble| *faults.entry(trouble.fault.to_string()).or_default() += 1);
        turns.push(turn);
        holdings.push(Holding::of(&soak.front));
        if began.elapsed() >= MINUTE * minutes {
            minutes += 1;
            println!("{} s, {} turns, {:?}", began.elapsed().as_secs(), turns.len(), holdings[holdings.len() - 1]);
        }
    }
    let (seconds, count) = (began.elapsed().as_secs(), turns.len());
    let (_, visits) = load.stop().await;
    let names = soak.fleet.instances.iter().map(|instance| instance.name.clone()).collect();
    let verdict = Evidence { names, journals: soak.fleet.journals(), visits, turns }.judge();

    let (first, last) = (holdings[0], holdings[count - 1]);
    println!(
        "soak: {seconds} s, {count} turns, {faults:?}, {} visits, {} moves, GETs: {} cut, {} refused, POSTs: {} failed, \
         longest {} ms, resident {} to {} KiB, files {} to {}, HOMING_SEED={seed}",
        verdict.answers.visits,
        verdict.moves,
        verdict.cut_gets,
        verdict.refused_gets,
        verdict.failed_posts,
        verdict.answers.longest,
        first.memory >> 10,
        last.memory >> 10,
        first.files,
        last.files,
    );
    assert_eq!(verdict.faults(), [0; 8], "HOMING_SEED={seed}: {verdict:#?}");
    if length >= LONG {
        let memory: Vec<_> = holdings.iter().map(|holding| holding.memory).collect();
        let files: Vec<_> = holdings.iter().map(|holding| holding.files).collect();
        assert!(is_steady(&memory, 2 << 20), "HOMING_SEED={seed}: resident memory grows: {memory:?}");
        assert!(is_steady(&files, 64), "HOMING_SEED={seed}: open files become more: {files:?}");
    }
}

#[test]
fn what_grows_is_noticed() {
    let flat = [100, 900, 1000, 900, 1100, 1000, 900, 1000];
    assert!(is_steady(&flat, 0));
    let growing: Vec<u64> = (1..=8).map(|turn| turn * 1000).collect();
    assert!(!is_steady(&growing, 64), "{growing:?}");
}
