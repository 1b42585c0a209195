//! A rolling restart: drains, restarts and resumes one instance after another.

use std::time::Duration;

use super::fleet::{Fleet, Progress, Refusal};

/// How long the sessions of an instance may stay before they move on.
const DEADLINE: Duration = Duration::from_secs(4);

/// How much longer a step may take. Requests that still run then are cut off.
const STEP_LIMIT: Duration = Duration::from_secs(10);

impl Fleet {
    /// Starts to restart all instances, one after another; it goes on when the caller is gone.
    pub(super) fn roll(&self) -> Result<(), Refusal> {
        let Some(instance) = self.names().into_iter().next() else { return Ok(()) };
        if !self.begin_progress(Progress { done: 0, instance, step: "draining" }) {
            return Err(Refusal::Rolling);
        }
        self.spawn(self.clone().roll_all());
        Ok(())
    }

    async fn roll_all(self) {
        for (done, name) in self.names().iter().enumerate() {
            let Ok(operator) = self.operator(name) else { continue };
            let report = |step| self.set_progress(Some(Progress { done, instance: name.clone(), step }));
            report("draining");
            operator.drain(name, DEADLINE);
            self.wait_until(DEADLINE + STEP_LIMIT, || operator.status(name).is_drained).await;
            report("restarting");
            // One that is dead already is brought back; the last that lives stays as it is.
            drop(self.kill(name));
            if let Err(error @ Refusal::Listen(_)) = self.revive(name).await {
                tracing::warn!(instance = name, %error, "not restarted");
            }
            operator.resume(name);
            report("waiting until it is taken back");
            self.wait_until(STEP_LIMIT, || operator.status(name).accepts).await;
        }
        self.set_progress(None);
    }
}
