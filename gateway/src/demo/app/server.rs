//! An instance's connections and heartbeats.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::actions::AfterResponse;
use super::chat;
use super::fleet::Fleet;
use super::instance::Instance;
use super::operator::InstanceFigures;
use super::routes::Routes;
use super::usage::Usage;

/// Serves and reports until it is dropped, and every connection with it.
pub(super) async fn run(listener: TcpListener, instance: Arc<Instance>, fleet: Fleet) {
    tokio::select! {
        () = report(instance.clone(), fleet.clone()) => {}
        () = serve(listener, instance, fleet) => {}
    }
}

async fn serve(listener: TcpListener, instance: Arc<Instance>, fleet: Fleet) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let connection = connection(stream, instance.clone(), fleet.clone());
                    connections.spawn(instance.unless_hanging(connection));
                }
                // Out of file descriptors, most likely: other connections must close first.
                Err(_) => sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Sends heartbeats while the instance does not hang.
async fn report(instance: Arc<Instance>, fleet: Fleet) {
    let reporting = instance.clone();
    let heartbeats = async move {
        let (mut seconds, mut usage) = (interval(Duration::from_secs(1)), Usage::new());
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            seconds.tick().await;
            let (sessions, memory) = {
                let sessions = reporting.sessions();
                (sessions.len(), sessions.bytes())
            };
            // An instance has one thread, the one that this runs on.
            let figures = InstanceFigures { sessions, memory, threads: 1, cpu: usage.cores() };
            fleet.heartbeat(reporting.name(), figures);
        }
    };
    instance.unless_hanging(heartbeats).await;
}

async fn connection(stream: TcpStream, instance: Arc<Instance>, fleet: Fleet) {
    // Small writes follow one another on a WebSocket; a failure costs latency only.
    let _ = stream.set_nodelay(true);
    let after = Mutex::new(None);
    let routes = Routes { instance: &instance, fleet: &fleet, after: &after };
    let service = service_fn(async |request| Ok::<_, Infallible>(routes.respond(request).await));
    // An error here is a client that went away.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    match after.into_inner() {
        Some(AfterResponse::Chat(upgrade, session)) => {
            if let Ok(upgraded) = upgrade.await {
                let _ = chat::serve(upgraded, &instance, session.as_deref()).await;
            }
        }
        Some(AfterResponse::Hang(instance)) => instance.hang(true),
        Some(AfterResponse::Kill(process)) => drop(process),
        None => {}
    }
}
