//! Five instances are rolled over, one after the other, under load and with WebSockets open: drained until nothing is
//! left on them, then killed and started again. The proxy is embedded, as there the operator's word comes by a call.

use crate::support::test;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use homing::health::{EventKind, Subscription};
use homing::proxy::{Protocol, Proxy};
use homing::time::{Clock, SystemClock};
use homing::{Affinity, Balancer, HealthSettings, KeyRing, UpstreamConfig};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::fleet::Fleet;
use crate::judge::{Report, moves};
use crate::load::{Load, OFTEN, Pace};
use crate::mode::Mode;
use crate::scouts::{self, Scouts};
use crate::session::{Link, Session, Visit};
use crate::socket::{End, Stay, keep_open};
use crate::{scenario, size};

const PACE: Pace = Pace { connections: 32, rate: 800 };

/// Ends a run in which a draining instance never gets empty.
const GUARD: Duration = Duration::from_secs(60);

const DEADLINE: Duration = Duration::from_secs(1);
const SPREAD: Duration = Duration::from_secs(1);

/// The time from an operator's word until their instance was empty, killed and started again; microseconds.
struct Drain {
    instance: String,
    at: u64,
    empty: u64,
}

impl Drain {
    /// Whether a request began and was served while it drained. An earlier one may be placed on it; one that waits for
    /// a failover target may be served there once it is back.
    fn spans(&self, asked: u64, answered: u64) -> bool {
        self.at <= asked && answered < self.empty
    }

    fn deadline(&self) -> u64 {
        self.at + DEADLINE.as_micros() as u64
    }

    fn last_departure(&self) -> u64 {
        self.deadline() + SPREAD.as_micros() as u64
    }
}

/// A proxy in this process, for as long as the runtime runs.
async fn embed(fleet: &Fleet) -> (SocketAddr, Arc<Balancer>) {
    let mut health = HealthSettings::default().drain_spread(SPREAD);
    health.slow_start.window = Duration::from_millis(100);
    health.outlier.base = Duration::from_millis(100);
    let affinity = Affinity::builder(KeyRing::generate("drains").expect("keys")).build().expect("affinity");
    let upstreams = fleet.instances.iter().map(|i| UpstreamConfig::new(&i.name, i.address.to_string()));
    let balancer = Balancer::builder().upstreams(upstreams).affinity(affinity).health(health).build();
    let proxy = Proxy::new(balancer.expect("a balancer"));
    let balancer = Arc::clone(proxy.balancer());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(proxy.run_health_checks(None, std::future::pending()));
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let proxy = proxy.clone();
            tokio::spawn(async move { proxy.serve(stream, peer, Protocol::Clear, std::future::pending()).await });
        }
    });
    (address, balancer)
}

/// New sessions, one after the other, until told to stop: where they are placed.
fn scout(front: SocketAddr, stop: Arc<AtomicBool>) -> JoinHandle<Vec<Visit>> {
    tokio::spawn(async move {
        let (mut link, mut visits) = (Link::new(front), Vec::new());
        for number in 2 * scouts::FIRST.. {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            visits.push(Session::new(number).visit(&mut link).await);
            sleep(Duration::from_millis(5)).await;
        }
        visits
    })
}

async fn until_drained(events: &Subscription, instance: &str) {
    loop {
        while let Some(event) = events.poll() {
            if event.kind == EventKind::Drained && event.upstream.as_deref() == Some(instance) {
                return;
            }
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// One drain after the other. The load goes on beside it.
async fn roll(fleet: &mut Fleet, balancer: &Balancer, front: SocketAddr) -> Vec<Drain> {
    let (events, mut scouts, mut drains) = (balancer.subscribe(), Scouts::new(front), Vec::new());
    for index in 0..fleet.instances.len() {
        let instance = fleet.instances[index].name.clone();
        balancer.drain(&instance, Some(DEADLINE), SystemClock.now()).expect("a known instance");
        let at = crate::record::now();
        let drained = timeout(GUARD, until_drained(&events, &instance)).await;
        drained.unwrap_or_else(|_| panic!("{instance} is never empty: {:?}", balancer.status()));
        drains.push(Drain { instance: instance.clone(), at, empty: crate::record::now() });
        fleet.kill(index);
        fleet.begin(index);
        balancer.resume(&instance, SystemClock.now()).expect("a known instance");
        scouts.find(&instance).await;
    }
    drains
}

#[test]
fn a_rollover_costs_no_answer_and_no_socket_before_its_time() {
    scenario(async {
        let mut fleet = Fleet::start(5, Mode::Serve);
        let (front, balancer) = embed(&fleet).await;
        let load = Load::start(front, Session::several(0..200), PACE);
        load.visits(1).await;
        let stop = Arc::new(AtomicBool::new(false));
        let numbers = 1000..1000 + size(100, 1000);
        let sockets: Vec<_> = numbers.map(|n| tokio::spawn(keep_open(front, n, Arc::clone(&stop)))).collect();
        let scouts = scout(front, Arc::clone(&stop));
        load.visits(1).await;

        let drains = roll(&mut fleet, &balancer, front).await;
        load.visits(OFTEN).await;
        stop.store(true, Ordering::SeqCst);
        let (_, visits) = load.stop().await;
        let scouts = scouts.await.expect("the scouts");
        let mut stays = Vec::new();
        for socket in sockets {
            stays.push(socket.await.expect("a socket's session"));
        }

        judge_visits(&visits, &fleet, &drains);
        judge_scouts(&scouts, &drains);
        stays.iter().for_each(|stays| judge_sockets(stays, &drains));
    });
}

/// Every request gets a response, and sessions leave a draining instance only after its deadline.
fn judge_visits(visits: &[Visit], fleet: &Fleet, drains: &[Drain]) {
    let report = Report::of(visits, &fleet.journals(), &[]);
    let faults = [report.failed_gets, report.failed_posts, report.wrong, report.repeated_posts, report.unknown];
    assert_eq!(faults, [0; 5], "{report:#?}");
    let moves = moves(visits);
    for drain in drains {
        assert!(moves.iter().any(|change| change.from == drain.instance), "nobody left {}", drain.instance);
        let is_over = |v: &&Visit| drain.last_departure() <= v.began && drain.spans(v.began, v.ended);
        let stayed = visits.iter().filter(is_over).find(|v| v.instance() == Some(&drain.instance));
        assert!(stayed.is_none(), "the time to leave was over: {stayed:?}");
    }
    for change in &moves {
        let left = drains.iter().any(|drain| drain.instance == change.from && drain.deadline() <= change.at);
        let joined = drains.iter().any(|drain| drain.instance == change.to && drain.spans(change.asked, change.at));
        assert!(left && !joined, "{change:?}");
    }
}

fn judge_scouts(scouts: &[Visit], drains: &[Drain]) {
    for drain in drains {
        let during: Vec<_> = scouts.iter().filter(|v| (drain.at..drain.empty).contains(&v.began)).collect();
        assert!(!during.is_empty(), "nobody new came while {} drained", drain.instance);
        let placed = during.iter().find(|visit| visit.instance().is_none_or(|home| home == drain.instance));
        assert!(placed.is_none(), "{}: {placed:?}", drain.instance);
    }
}

/// A WebSocket ends after the drain deadline of its instance, with a Close.
fn judge_sockets(stays: &[Stay], drains: &[Drain]) {
    for stay in stays {
        let drain = drains.iter().find(|drain| drain.instance == stay.instance && drain.at <= stay.until);
        match (&stay.end, drain) {
            (End::Stopped, _) => {}
            (End::Closed(Some(1012)), Some(drain)) if stay.until >= drain.deadline() => {}
            (_, drain) => panic!("{stay:?}, {:?}", drain.map(|drain| (&drain.instance, drain.deadline()))),
        }
        let joined = drains.iter().find(|d| d.instance == stay.instance && d.spans(stay.asked, stay.opened));
        assert!(joined.is_none(), "{stay:?} began on a draining instance");
    }
}
