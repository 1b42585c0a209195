//! A rolling restart: one instance after another is drained, restarted and taken back.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{Demo, Refusal};

/// How long the visitors of an instance may stay before they move on.
const DEADLINE: Duration = Duration::from_secs(4);

/// How long a step may take beyond that. What still runs then is cut off, as an impatient operator would.
const PATIENCE: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(50);

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

impl Demo {
    /// Starts to restart all instances, one after another; it goes on when the caller is gone.
    pub(super) fn roll(&self) -> Result<(), Refusal> {
        let mut progress = self.0.progress.lock();
        if progress.is_some() {
            return Err(Refusal::Rolling);
        }
        *progress =
            self.0.slots.first().map(|slot| Progress { done: 0, instance: slot.name.clone(), step: "draining" });
        drop(progress);
        self.0.runtime.spawn(self.clone().roll_all());
        Ok(())
    }

    async fn roll_all(self) {
        for (done, slot) in self.0.slots.iter().enumerate() {
            let say = |step| {
                *self.0.progress.lock() = Some(Progress { done, instance: slot.name.clone(), step });
            };
            say("draining");
            self.0.operator.drain(&slot.name, DEADLINE);
            self.until(DEADLINE + PATIENCE, || self.0.operator.standing(&slot.name).is_drained).await;
            say("restarting");
            // One that is dead already is brought back; the last that lives stays as it is.
            drop(self.kill(&slot.name));
            if let Err(error @ Refusal::Listen(_)) = self.revive(&slot.name).await {
                tracing::warn!(instance = slot.name, %error, "not restarted");
            }
            self.0.operator.resume(&slot.name);
            say("waiting until it is taken back");
            self.until(PATIENCE, || self.0.operator.standing(&slot.name).accepts).await;
        }
        *self.0.progress.lock() = None;
    }

    /// Waits for `condition`, up to `limit`.
    pub(super) async fn until(&self, limit: Duration, condition: impl Fn() -> bool) {
        let holds = async {
            while !condition() {
                sleep(POLL).await;
            }
        };
        // Beyond the limit life goes on: a demo must not stand still.
        let _ = timeout(limit, holds).await;
    }
}
