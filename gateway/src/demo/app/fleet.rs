//! All instances: which of them live, and how they are started and killed.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, oneshot};
use tokio::time::{sleep, timeout};

use super::instance::Instance;
use super::operator::{InstanceFigures, InstanceStatus, Operator};
use super::port::Port;

/// How long a revival waits for the balancer to notice the death.
const UNNOTICED: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(50);

/// An instance's connections and heartbeats, for as long as it lives.
pub(super) type InstanceRun = Pin<Box<dyn Future<Output = ()>>>;

/// Runs an instance. A function of the caller's: it serves requests that start and kill instances, which is above this
/// file.
type Run = fn(TcpListener, Arc<Instance>, Fleet) -> InstanceRun;

/// A handle on all instances.
#[derive(Clone)]
pub(super) struct Fleet(Arc<FleetState>);

struct FleetState {
    slots: Vec<Slot>,
    /// Slot by slot, which of them live. One lock over all, so that two kills cannot take the last two at once.
    lives: Mutex<Vec<Life>>,
    /// Held while an instance is started, so that none is started twice.
    starting: AsyncMutex<()>,
    operator: Box<dyn Operator>,
    run: Run,
    /// The runtime that created the fleet, for tasks that outlive an instance.
    runtime: Handle,
    /// Of the rolling restart, while there is one.
    progress: Mutex<Option<Progress>>,
}

/// What an instance keeps through death and revival.
pub(super) struct Slot {
    name: String,
    address: SocketAddr,
    /// Locked while the instance listens: the next process waits for the listener of the one before to close.
    port: Arc<AsyncMutex<Port>>,
}

impl Slot {
    /// A slot with a free port.
    pub(super) fn reserve(name: String) -> io::Result<Slot> {
        let port = Port::reserve()?;
        Ok(Slot { name, address: port.address(), port: Arc::new(AsyncMutex::new(port)) })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

#[derive(Default)]
struct Life {
    /// Of the process that runs or ran last; 0 before the first.
    incarnation: u16,
    process: Option<Process>,
}

/// One running incarnation. Dropping it is its sudden death: the listener and every connection close where they
/// are, as the operating system would do for a killed process, and the sessions are gone with the memory.
pub(super) struct Process {
    instance: Arc<Instance>,
    _life: oneshot::Sender<()>,
}

impl Process {
    fn start(
        instance: Arc<Instance>,
        listener: TcpListener,
        port: OwnedMutexGuard<Port>,
        fleet: Fleet,
    ) -> io::Result<Process> {
        let (life, death) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = listener.into_std()?;
        let living = instance.clone();
        std::thread::Builder::new().name(instance.name().to_owned()).spawn(move || {
            // Unlocked after the listener and all connections, which the runtime owns, are closed.
            let _port = port;
            runtime.block_on(async {
                let listener = match TcpListener::from_std(listener) {
                    Ok(listener) => listener,
                    Err(error) => return tracing::error!(%error, "an instance cannot use its listener"),
                };
                let run = fleet.0.run;
                tokio::select! {
                    _ = death => {}
                    () = run(listener, living, fleet.clone()) => {}
                }
            });
            drop(runtime);
        })?;
        Ok(Process { instance, _life: life })
    }
}

/// Why something is not done to an instance.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("there is no instance of that name: see /api/instances")]
    Unknown,
    #[error("that instance is dead already: bring it back first")]
    Dead,
    #[error("that instance is alive: there is nothing to bring back")]
    Alive,
    #[error("the last living instance cannot be killed: without it this page could not bring the others back")]
    Last,
    #[error("a rolling restart is under way already: wait until it ends")]
    Rolling,
    #[error("its port can't be listened on: {0}")]
    Listen(#[from] io::Error),
}

/// One instance as `/api/instances` shows it.
pub(super) struct InstanceView {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    pub(super) alive: bool,
    pub(super) incarnation: u16,
    pub(super) sessions: usize,
    pub(super) hangs: bool,
    pub(super) full: bool,
    pub(super) status: InstanceStatus,
}

/// How far a rolling restart is.
#[derive(Clone)]
pub(super) struct Progress {
    /// How many instances are done.
    pub(super) done: usize,
    /// The instance that is being restarted.
    pub(super) instance: String,
    /// What is being done with it.
    pub(super) step: &'static str,
}

impl Fleet {
    /// Must be called on a runtime.
    pub(super) fn new(slots: Vec<Slot>, operator: Box<dyn Operator>, run: Run) -> Fleet {
        Fleet(Arc::new(FleetState {
            lives: Mutex::new(slots.iter().map(|_| Life::default()).collect()),
            slots,
            starting: AsyncMutex::new(()),
            operator,
            run,
            runtime: Handle::current(),
            progress: Mutex::default(),
        }))
    }

    pub(super) async fn launch_all(&self) -> io::Result<()> {
        for index in 0..self.0.slots.len() {
            self.launch(index).await?;
        }
        Ok(())
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.slots.iter().map(|slot| slot.name.clone()).collect()
    }

    pub(super) fn views(&self) -> Vec<InstanceView> {
        let lives = self.0.lives.lock();
        let both = self.0.slots.iter().zip(lives.iter());
        both.map(|(slot, life)| {
            let instance = life.process.as_ref().map(|process| &process.instance);
            InstanceView {
                name: slot.name.clone(),
                address: slot.address,
                alive: instance.is_some(),
                incarnation: life.incarnation,
                sessions: instance.map_or(0, |instance| instance.sessions().len()),
                hangs: instance.is_some_and(|instance| instance.hangs()),
                full: instance.is_some_and(|instance| instance.full.load(Ordering::Relaxed)),
                status: self.0.operator.status(&slot.name),
            }
        })
        .collect()
    }

    pub(super) fn heartbeat(&self, name: &str, figures: InstanceFigures) {
        self.0.operator.heartbeat(name, figures);
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.runtime.spawn(task);
    }

    pub(super) fn progress(&self) -> Option<Progress> {
        self.0.progress.lock().clone()
    }

    pub(super) fn set_progress(&self, progress: Option<Progress>) {
        *self.0.progress.lock() = progress;
    }

    /// Sets the progress where there is none, and returns whether that was so.
    pub(super) fn begin_progress(&self, first: Progress) -> bool {
        let mut progress = self.0.progress.lock();
        let is_free = progress.is_none();
        if is_free {
            *progress = Some(first);
        }
        is_free
    }

    pub(super) fn living(&self, name: &str) -> Result<Arc<Instance>, Refusal> {
        let index = self.find(name)?;
        let lives = self.0.lives.lock();
        lives[index].process.as_ref().map(|process| process.instance.clone()).ok_or(Refusal::Dead)
    }

    /// The operator, for an instance that exists.
    pub(super) fn operator(&self, name: &str) -> Result<&dyn Operator, Refusal> {
        self.find(name)?;
        Ok(&*self.0.operator)
    }

    /// Takes a living instance off the table. It counts as dead at once, and dies when the caller drops it: so
    /// an instance can still answer the request that kills it.
    pub(super) fn kill(&self, name: &str) -> Result<Process, Refusal> {
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
    /// It waits until the balancer has noticed the death: then the new process is probed, and its incarnation known,
    /// before it gets a request, and no pinned session is sent to a process that lost it.
    pub(super) async fn revive(&self, name: &str) -> Result<(), Refusal> {
        let index = self.find(name)?;
        let _alone = self.0.starting.lock().await;
        if self.0.lives.lock()[index].process.is_some() {
            return Err(Refusal::Alive);
        }
        self.wait_until(UNNOTICED, || self.0.operator.status(name).state == "down").await;
        Ok(self.launch(index).await?)
    }

    /// Waits for `condition`, up to `limit`; after that the caller goes on, so that the demo never stands still.
    pub(super) async fn wait_until(&self, limit: Duration, condition: impl Fn() -> bool) {
        let holds = async {
            while !condition() {
                sleep(POLL).await;
            }
        };
        let _ = timeout(limit, holds).await;
    }

    async fn launch(&self, index: usize) -> io::Result<()> {
        let slot = &self.0.slots[index];
        let port = slot.port.clone().lock_owned().await;
        let listener = port.listen()?;
        // No await from here on: a caller that is cancelled leaves a whole instance or none.
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
