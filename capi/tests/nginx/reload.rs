//! A hundred reloads under load: no request fails, no session moves, and no memory leaks.

use crate::support::test;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::server::{Nginx, Setup, servers};
use crate::support::upstream::Upstream;
use crate::support::visitor::Visitor;

const RELOADS: usize = 100;
/// How often memory is weighed, before and after eighty reloads.
const WEIGHINGS: usize = 15;
/// Unused servers, so that a balancer that is not freed takes much memory.
const BALLAST: usize = 200;

/// Private memory in kilobytes, and open files.
fn weight(process: u32) -> (u64, usize) {
    let memory = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).expect("its memory");
    let line = memory.lines().find(|line| line.starts_with("Pss_Anon:")).expect("its own memory");
    let kilobytes = line.split_whitespace().nth(1).expect("a figure").parse().expect("a figure");
    (kilobytes, fs::read_dir(format!("/proc/{process}/fd")).expect("its files").count())
}

/// Of the master and each worker.
fn weights(nginx: &Nginx) -> Vec<(u64, usize)> {
    [nginx.master()].into_iter().chain(nginx.workers()).map(weight).collect()
}

/// The median for each process: a worker that has not served a request yet has half a megabyte less.
fn medians(weighed: &[Vec<(u64, usize)>]) -> Vec<(u64, usize)> {
    let median = |process: usize| {
        let mut weights: Vec<_> = weighed.iter().map(|weights| weights[process]).collect();
        weights.sort_unstable();
        weights[weights.len() / 2]
    };
    (0..weighed[0].len()).map(median).collect()
}

#[test]
fn a_hundred_reloads_under_load() {
    let upstreams = Upstream::several(3);
    let ballast: String = (0..BALLAST).map(|i| format!("server 127.0.0.2:{} backup; ", 10_000 + i)).collect();
    let homing = "zone app 1m; homing key_file=homing.keys policy=rendezvous;";
    // Connections are reused, because an upstream of the tests keeps all it ever accepted.
    let mut setup = Setup::of(format!("{homing} {} {ballast} keepalive 16;", servers(&upstreams)));
    setup.server += " proxy_http_version 1.1; proxy_set_header Connection '';";
    let Some(mut nginx) = Nginx::start(&setup) else { return };
    let (address, stop, visits) = (nginx.address, AtomicBool::new(false), AtomicUsize::new(0));
    let mut weighed = Vec::new();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let (stop, visits) = (&stop, &visits);
                scope.spawn(move || {
                    let mut visitors: Vec<_> =
                        (0..5).map(|n| Visitor::new(address, format!("c{client}v{n}"))).collect();
                    let all_pinned: Vec<_> = visitors.iter_mut().map(|visitor| visitor.visit().text()).collect();
                    while !stop.load(Ordering::Relaxed) {
                        for (visitor, pinned) in visitors.iter_mut().zip(&all_pinned) {
                            let answer = visitor.visit();
                            visits.fetch_add(1, Ordering::Relaxed);
                            assert_eq!((answer.status(), &answer.text()), (200, pinned));
                            assert_eq!(visitor.given, 1);
                        }
                    }
                })
            })
            .collect();
        for _ in 0..RELOADS {
            // A client that sees a failure stops.
            assert!(clients.iter().all(|client| !client.is_finished()));
            nginx.reload();
            weighed.push(weights(&nginx));
        }
        stop.store(true, Ordering::Relaxed);
    });
    println!("{} visits during {RELOADS} reloads", visits.load(Ordering::Relaxed));
    assert!(visits.load(Ordering::Relaxed) > RELOADS, "there was load");
    let before = medians(&weighed[RELOADS / 5 - WEIGHINGS..RELOADS / 5]);
    let after = medians(&weighed[RELOADS - WEIGHINGS..]);
    println!("master and workers, KB and files: {before:?}, then {after:?}");
    for (before, after) in before.iter().zip(&after) {
        // Leaked eighty times, the key ring alone would exceed this, and the balancer, here a megabyte, by far.
        assert!(after.0 < before.0 + 256, "{weighed:?}");
    }
    assert_eq!(before[0].1, after[0].1, "files of the master");
    assert_eq!(nginx.complaints(), [""; 0]);
    assert!(nginx.log(1).iter().all(|line| line.status == "200"));
    assert!(nginx.quit().success());
}
