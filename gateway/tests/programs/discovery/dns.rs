//! A name server on loopback, whose zone changes.

use super::{GUARD, error, members};
use crate::support::test;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use homing::UpstreamConfig;
use homing_gateway::discovery::dns::{DnsQuery, DnsSettings, DnsSource};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

/// What a server answers.
#[derive(Default)]
struct Zone {
    records: HashMap<(String, RecordType), Vec<(RData, u32)>>,
    /// How the server fails, if it does: it knows no name, or does not respond.
    trouble: Option<Trouble>,
    asked: Vec<(String, RecordType)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    Failure,
    Silence,
}

#[derive(Clone)]
struct Server {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

impl Server {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: socket.local_addr().unwrap(), zone: Arc::default() };
        let zone = Arc::clone(&server.zone);
        tokio::spawn(async move {
            let mut query = [0; 4096];
            loop {
                let (length, peer) = socket.recv_from(&mut query).await.unwrap();
                if let Some(answer) = answer(&zone, &query[..length]) {
                    socket.send_to(&answer, peer).await.unwrap();
                }
            }
        });
        server
    }

    fn set(&self, name: &str, kind: RecordType, records: Vec<(RData, u32)>) {
        self.zone.lock().unwrap().records.insert((name.to_owned(), kind), records);
    }

    fn addresses(&self, name: &str, ttl: u32, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse::<IpAddr>().unwrap());
        let (four, six): (Vec<IpAddr>, Vec<IpAddr>) = addresses.partition(IpAddr::is_ipv4);
        let records =
            |addresses: Vec<IpAddr>| addresses.into_iter().map(|address| (RData::from(address), ttl)).collect();
        self.set(name, RecordType::A, records(four));
        self.set(name, RecordType::AAAA, records(six));
    }

    fn trouble(&self, trouble: Option<Trouble>) {
        self.zone.lock().unwrap().trouble = trouble;
    }

    fn asked(&self, name: &str, kind: RecordType) -> usize {
        let wanted = (name.to_owned(), kind);
        self.zone.lock().unwrap().asked.iter().filter(|asked| **asked == wanted).count()
    }

    fn source(&self, question: DnsQuery) -> DnsSource {
        let settings =
            DnsSettings { servers: vec![self.address], floor: Duration::from_millis(50), ..DnsSettings::new(question) };
        DnsSource::new(settings).unwrap()
    }
}

fn answer(zone: &Mutex<Zone>, query: &[u8]) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).unwrap();
    let question = query.queries[0].clone();
    let (name, kind) = (question.name().to_utf8().to_lowercase(), question.query_type());
    let mut zone = zone.lock().unwrap();
    zone.asked.push((name.clone(), kind));
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.add_query(question.clone());
    match zone.trouble {
        Some(Trouble::Silence) => return None,
        Some(Trouble::Failure) => answer.metadata.response_code = ResponseCode::ServFail,
        None => match zone.records.get(&(name.clone(), kind)) {
            Some(records) => {
                for (data, ttl) in records {
                    answer.add_answer(Record::from_rdata(question.name().clone(), *ttl, data.clone()));
                }
            }
            None if zone.records.keys().any(|(known, _)| *known == name) => {}
            None => answer.metadata.response_code = ResponseCode::NXDomain,
        },
    }
    Some(answer.to_vec().unwrap())
}

fn host() -> DnsQuery {
    DnsQuery::Host { name: "app.internal.".to_owned(), port: 8080 }
}

fn at(address: &str) -> UpstreamConfig {
    UpstreamConfig::new(address, address)
}

#[test]
async fn a_host_is_the_set_of_its_addresses() {
    let server = Server::start().await;
    server.addresses("app.internal.", 0, &["10.0.0.2", "10.0.0.1", "fd00::1"]);
    let mut source = server.source(host());
    let first = [at("10.0.0.1:8080"), at("10.0.0.2:8080"), at("[fd00::1]:8080")];
    assert_eq!(members(&mut source).await, first);

    // The same addresses in another sequence are no change: the next report is the change that follows.
    server.addresses("app.internal.", 0, &["fd00::1", "10.0.0.1", "10.0.0.2"]);
    let asked = server.asked("app.internal.", RecordType::AAAA);
    let change = async {
        while server.asked("app.internal.", RecordType::AAAA) < asked + 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.addresses("app.internal.", 0, &["10.0.0.3", "10.0.0.1"]);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        members = members(&mut source) => assert_eq!(members, [at("10.0.0.1:8080"), at("10.0.0.3:8080")]),
        () = change => {}
    }
}

#[test]
async fn a_service_is_its_targets_of_the_lowest_priority() {
    let server = Server::start().await;
    let target = |name: &str| Name::from_utf8(name).unwrap();
    let service = |priority, weight, port, name: &str| (RData::SRV(SRV::new(priority, weight, port, target(name))), 0);
    server.set(
        "_http._tcp.app.internal.",
        RecordType::SRV,
        vec![
            service(20, 9, 7000, "spare.internal."),
            service(10, 0, 8001, "one.internal."),
            service(10, 5, 8002, "two.internal."),
            service(10, 5, 8002, "gone.internal."),
        ],
    );
    server.addresses("one.internal.", 0, &["10.0.0.1"]);
    server.addresses("two.internal.", 0, &["10.0.0.2", "fd00::2"]);
    server.addresses("spare.internal.", 0, &["10.0.0.9"]);
    let mut source = server.source(DnsQuery::Service { name: "_http._tcp.app.internal.".to_owned() });
    let expected = [at("10.0.0.1:8001"), at("10.0.0.2:8002").weight(5), at("[fd00::2]:8002").weight(5)];
    assert_eq!(members(&mut source).await, expected);
}

#[test]
async fn a_failing_name_server_removes_no_upstream() {
    let server = Server::start().await;
    server.addresses("app.internal.", 0, &["10.0.0.1"]);
    let mut source = server.source(host());
    members(&mut source).await;

    server.trouble(Some(Trouble::Failure));
    let failed = error(&mut source).await.to_string();
    assert!(failed.starts_with("DNS, app.internal.: A of app.internal.: "), "{failed}");
    server.trouble(Some(Trouble::Silence));
    error(&mut source).await;
    server.trouble(None);
    server.addresses("app.internal.", 0, &[]);
    let empty = error(&mut source).await.to_string();
    assert!(empty.contains("no address in the response"), "{empty}");
    server.zone.lock().unwrap().records.clear();
    error(&mut source).await;

    server.addresses("app.internal.", 0, &["10.0.0.2"]);
    assert_eq!(members(&mut source).await, [at("10.0.0.2:8080")]);
}

/// Checks only the minimum length of waits, which load does not shorten.
#[test]
async fn it_is_asked_again_when_the_shortest_ttl_is_over_within_limits() {
    let server = Server::start().await;
    let short = Duration::from_millis(50);
    for (ttls, floor, ceiling, least) in [
        ([1, 3600], short, GUARD * 100, Duration::from_secs(1)),
        // No test waits an hour for this.
        ([3600, 3600], short, short * 2, short * 2),
        ([0, 0], short * 10, GUARD * 100, short * 10),
    ] {
        let zone = |last: u8| {
            let record = |ttl| (RData::from(IpAddr::from([10, 0, 0, last])), ttl);
            let other = (RData::from(IpAddr::from([10, 0, 1, 1])), ttls[1]);
            server.set("app.internal.", RecordType::AAAA, Vec::new());
            server.set("app.internal.", RecordType::A, vec![record(ttls[0]), other]);
        };
        zone(1);
        let settings = DnsSettings { servers: vec![server.address], floor, ceiling, question: host() };
        let mut source = DnsSource::new(settings).unwrap();
        members(&mut source).await;
        let since = Instant::now();
        zone(2);
        assert_eq!(members(&mut source).await, [at("10.0.0.2:8080"), at("10.0.1.1:8080")]);
        assert!(since.elapsed() >= least - short, "{:?} for {ttls:?}", since.elapsed());
    }
}

#[test]
fn what_is_no_name_is_refused() {
    let settings = DnsSettings::new(DnsQuery::Service { name: "a..b".to_owned() });
    assert!(DnsSource::new(settings).unwrap_err().to_string().starts_with("\"a..b\" is not a name"));
}
