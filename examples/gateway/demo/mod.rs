//! The demo: several instances of a small stateful web application, in one process.
//!
//! To a gateway each instance is what a real one would be: a port of its own, sessions in its own memory, and
//! sockets that break when it dies. The demo knows nothing of the gateway in front of it, and nothing here is
//! shared between instances but the table that says which of them live.

mod chat;
mod instance;
mod port;
mod sessions;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::task::AbortHandle;

use instance::Instance;
use port::Port;

/// A handle on all instances. They run until the runtime that [`Demo::start`] was called on ends.
#[derive(Clone)]
pub struct Demo(Arc<Shared>);

struct Shared {
    slots: Vec<Slot>,
    /// Slot by slot, who lives. One lock over all, so that two kills can't take the last two at once.
    lives: Mutex<Vec<Life>>,
    /// Held by whoever starts an instance, so that none is started twice.
    starting: AsyncMutex<()>,
    watchers: Mutex<Vec<Watcher>>,
}

type Watcher = Box<dyn Fn(&str, u16) + Send + Sync>;

/// What an instance keeps through death and revival.
struct Slot {
    name: String,
    address: SocketAddr,
    /// Locked for as long as somebody listens: a successor waits for its predecessor's listener to close.
    port: Arc<AsyncMutex<Port>>,
}

#[derive(Default)]
struct Life {
    /// Of the process that runs or ran last; 0 before the first.
    incarnation: u16,
    process: Option<Process>,
}

/// One running incarnation. Dropping it is its sudden death: the listener and every connection close where they
/// are, as the operating system would do for a killed process, and the sessions are gone with the memory.
struct Process {
    instance: Arc<Instance>,
    serving: AbortHandle,
}

impl Process {
    fn start(instance: Arc<Instance>, listener: TcpListener, port: OwnedMutexGuard<Port>, demo: Demo) -> Process {
        let serving = tokio::spawn({
            let instance = instance.clone();
            async move {
                // Let go of after the listener, which the future below owns.
                let _port = port;
                instance::serve(listener, instance, demo).await;
            }
        });
        Process { instance, serving: serving.abort_handle() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Why an instance is neither killed nor revived.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("there is no instance of that name: see /api/instances")]
    Unknown,
    #[error("that instance is dead already: bring it back first")]
    Dead,
    #[error("that instance is alive: there is nothing to bring back")]
    Alive,
    #[error("the last living instance stays: nobody would be left to bring the others back")]
    Last,
    #[error("its port can't be listened on: {0}")]
    Listen(#[from] io::Error),
}

/// What `/api/instances` says of one instance.
struct Status {
    name: String,
    address: SocketAddr,
    alive: bool,
    incarnation: u16,
    sessions: usize,
}

impl Demo {
    /// Starts `count` instances, `app-1` to `app-N`, each on a free loopback port that stays its own.
    ///
    /// # Errors
    /// Where a port can't be had.
    pub async fn start(count: usize) -> io::Result<Demo> {
        let mut slots = Vec::with_capacity(count);
        for number in 1..=count {
            let port = Port::reserve()?;
            slots.push(Slot {
                name: format!("app-{number}"),
                address: port.address(),
                port: Arc::new(AsyncMutex::new(port)),
            });
        }
        let demo = Demo(Arc::new(Shared {
            lives: Mutex::new(slots.iter().map(|_| Life::default()).collect()),
            slots,
            starting: AsyncMutex::new(()),
            watchers: Mutex::new(Vec::new()),
        }));
        for index in 0..count {
            demo.launch(index).await?;
        }
        Ok(demo)
    }

    /// Names and addresses of all instances, dead ones included: both are constant.
    pub fn instances(&self) -> Vec<(String, SocketAddr)> {
        let slots = self.0.slots.iter();
        slots.map(|slot| (slot.name.clone(), slot.address)).collect()
    }

    /// Has `f` called with an instance's name and incarnation: now for each that runs, and from now on for each
    /// that is brought back, before it answers its first request. The first incarnation is 1. `f` must not
    /// call `on_start` itself.
    pub fn on_start(&self, f: impl Fn(&str, u16) + Send + Sync + 'static) {
        let mut watchers = self.0.watchers.lock();
        for status in self.statuses().iter().filter(|status| status.alive) {
            f(&status.name, status.incarnation);
        }
        watchers.push(Box::new(f));
    }

    fn statuses(&self) -> Vec<Status> {
        let lives = self.0.lives.lock();
        let both = self.0.slots.iter().zip(lives.iter());
        both.map(|(slot, life)| Status {
            name: slot.name.clone(),
            address: slot.address,
            alive: life.process.is_some(),
            incarnation: life.incarnation,
            sessions: life.process.as_ref().map_or(0, |process| process.instance.sessions().len()),
        })
        .collect()
    }

    /// Takes a living instance off the table. It counts as dead at once, and dies when the caller drops it: so
    /// an instance can still answer the request that kills it.
    fn kill(&self, name: &str) -> Result<Process, Refusal> {
        let index = self.find(name)?;
        let mut lives = self.0.lives.lock();
        let living = lives.iter().filter(|life| life.process.is_some()).count();
        let victim = &mut lives[index].process;
        if victim.is_some() && living == 1 {
            return Err(Refusal::Last);
        }
        victim.take().ok_or(Refusal::Dead)
    }

    /// Starts a dead instance again, on its port, with empty memory; returns its new incarnation.
    async fn revive(&self, name: &str) -> Result<u16, Refusal> {
        let index = self.find(name)?;
        let _alone = self.0.starting.lock().await;
        if self.0.lives.lock()[index].process.is_some() {
            return Err(Refusal::Alive);
        }
        Ok(self.launch(index).await?)
    }

    async fn launch(&self, index: usize) -> io::Result<u16> {
        let slot = &self.0.slots[index];
        let port = slot.port.clone().lock_owned().await;
        let listener = port.listen()?;
        // Nothing is awaited from here on: a caller that goes away leaves a whole instance or none.
        let incarnation = self.0.lives.lock()[index].incarnation.wrapping_add(1);
        let watchers = self.0.watchers.lock();
        for watcher in watchers.iter() {
            watcher(&slot.name, incarnation);
        }
        let instance = Arc::new(Instance::new(&slot.name, slot.address, incarnation));
        let process = Process::start(instance, listener, port, self.clone());
        self.0.lives.lock()[index] = Life { incarnation, process: Some(process) };
        Ok(incarnation)
    }

    fn find(&self, name: &str) -> Result<usize, Refusal> {
        let mut slots = self.0.slots.iter();
        slots.position(|slot| slot.name == name).ok_or(Refusal::Unknown)
    }
}
