//! The demo: several instances of a small stateful web application, in one process.
//!
//! To a gateway each instance is what a real one would be: a port and a thread of its own, sessions in its own memory,
//! sockets that break when it dies, and heartbeats that end with it. Of the gateway in front of it the demo knows what an [`Operator`] is told, and
//! nothing here is shared between instances but the table that says which of them live.

mod actions;
mod chat;
mod instance;
mod operator;
mod port;
mod roll;
mod sessions;
mod usage;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, oneshot};

use instance::Instance;
use port::Port;
use roll::Progress;

pub use operator::{Figures, Operator, Standing};

/// How long a death may stay unnoticed before the instance is brought back all the same.
const UNNOTICED: Duration = Duration::from_secs(5);

/// The addresses of instances that don't run yet.
pub struct Reserved(Vec<Slot>);

/// A handle on all instances.
#[derive(Clone)]
struct Demo(Arc<Shared>);

struct Shared {
    slots: Vec<Slot>,
    /// Slot by slot, who lives. One lock over all, so that two kills can't take the last two at once.
    lives: Mutex<Vec<Life>>,
    /// Held by whoever starts an instance, so that none is started twice.
    starting: AsyncMutex<()>,
    operator: Box<dyn Operator>,
    /// That on which [`Reserved::start`] was called, for what outlives an instance.
    runtime: Handle,
    /// Of the rolling restart, while there is one.
    progress: Mutex<Option<Progress>>,
}

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
    _life: oneshot::Sender<()>,
}

impl Process {
    fn start(
        instance: Arc<Instance>,
        listener: TcpListener,
        port: OwnedMutexGuard<Port>,
        demo: Demo,
    ) -> io::Result<Process> {
        let (life, death) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = listener.into_std()?;
        let living = instance.clone();
        std::thread::Builder::new().name(instance.name().to_owned()).spawn(move || {
            // Let go of after the listener and all connections, which the runtime has.
            let _port = port;
            runtime.block_on(async {
                let listener = match TcpListener::from_std(listener) {
                    Ok(listener) => listener,
                    Err(error) => return tracing::error!(%error, "an instance cannot use its listener"),
                };
                tokio::select! {
                    _ = death => {}
                    () = instance::report(living.clone(), demo.clone()) => {}
                    () = instance::serve(listener, living, demo.clone()) => {}
                }
            });
            drop(runtime);
        })?;
        Ok(Process { instance, _life: life })
    }
}

/// Why something is not done to an instance.
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
    #[error("they are being restarted one after another already: wait for the last")]
    Rolling,
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
    hangs: bool,
    full: bool,
    standing: Standing,
}

impl Reserved {
    /// Reserves `count` instances, `app-1` to `app-N`, each with a free loopback port that stays its own.
    ///
    /// # Errors
    /// Where a port can't be had.
    pub fn new(count: usize) -> io::Result<Reserved> {
        let slot = |number| {
            let port = Port::reserve()?;
            let (name, address) = (format!("app-{number}"), port.address());
            Ok(Slot { name, address, port: Arc::new(AsyncMutex::new(port)) })
        };
        Ok(Reserved((1..=count).map(slot).collect::<io::Result<_>>()?))
    }

    /// Names and addresses of all instances: both are constant.
    pub fn instances(&self) -> Vec<(String, SocketAddr)> {
        self.0.iter().map(|slot| (slot.name.clone(), slot.address)).collect()
    }

    /// Starts them all.
    ///
    /// # Errors
    /// Where a port can't be listened on.
    pub async fn start(self, operator: impl Operator + 'static) -> io::Result<()> {
        let demo = Demo(Arc::new(Shared {
            lives: Mutex::new(self.0.iter().map(|_| Life::default()).collect()),
            slots: self.0,
            starting: AsyncMutex::new(()),
            operator: Box::new(operator),
            runtime: Handle::current(),
            progress: Mutex::default(),
        }));
        for index in 0..demo.0.slots.len() {
            demo.launch(index).await?;
        }
        Ok(())
    }
}

impl Demo {
    fn statuses(&self) -> Vec<Status> {
        let lives = self.0.lives.lock();
        let both = self.0.slots.iter().zip(lives.iter());
        both.map(|(slot, life)| {
            let instance = life.process.as_ref().map(|process| &process.instance);
            Status {
                name: slot.name.clone(),
                address: slot.address,
                alive: instance.is_some(),
                incarnation: life.incarnation,
                sessions: instance.map_or(0, |instance| instance.sessions().len()),
                hangs: instance.is_some_and(|instance| instance.hangs()),
                full: instance.is_some_and(|instance| instance.full.load(Ordering::Relaxed)),
                standing: self.0.operator.standing(&slot.name),
            }
        })
        .collect()
    }

    fn heartbeat(&self, name: &str, figures: Figures) {
        self.0.operator.heartbeat(name, figures);
    }

    fn progress(&self) -> Option<Progress> {
        self.0.progress.lock().clone()
    }

    fn living(&self, name: &str) -> Result<Arc<Instance>, Refusal> {
        let index = self.find(name)?;
        let lives = self.0.lives.lock();
        lives[index].process.as_ref().map(|process| process.instance.clone()).ok_or(Refusal::Dead)
    }

    /// The operator, for an instance that there is.
    fn operator(&self, name: &str) -> Result<&dyn Operator, Refusal> {
        self.find(name)?;
        Ok(&*self.0.operator)
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

    /// Starts a dead instance again, on its port, with empty memory.
    ///
    /// First the balancer notices the death: then it asks who is there before it sends anybody, and nobody comes
    /// to the new process unknowing that it is another.
    async fn revive(&self, name: &str) -> Result<(), Refusal> {
        let index = self.find(name)?;
        let _alone = self.0.starting.lock().await;
        if self.0.lives.lock()[index].process.is_some() {
            return Err(Refusal::Alive);
        }
        self.until(UNNOTICED, || self.0.operator.standing(name).state == "down").await;
        Ok(self.launch(index).await?)
    }

    async fn launch(&self, index: usize) -> io::Result<()> {
        let slot = &self.0.slots[index];
        let port = slot.port.clone().lock_owned().await;
        let listener = port.listen()?;
        // Nothing is awaited from here on: a caller that goes away leaves a whole instance or none.
        let incarnation = self.0.lives.lock()[index].incarnation.wrapping_add(1);
        let instance = Arc::new(Instance::new(&slot.name, slot.address, incarnation));
        let process = Process::start(instance, listener, port, self.clone())?;
        self.0.lives.lock()[index] = Life { incarnation, process: Some(process) };
        Ok(())
    }

    fn find(&self, name: &str) -> Result<usize, Refusal> {
        let mut slots = self.0.slots.iter();
        slots.position(|slot| slot.name == name).ok_or(Refusal::Unknown)
    }
}
