//! The buttons: what a visitor may do to the instances.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::StatusCode;
use hyper::upgrade::OnUpgrade;

use super::fleet::{Fleet, Process, Refusal};
use super::instance::Instance;

/// How long sessions may stay on an instance that is drained by its button.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy)]
pub(super) enum Action {
    Kill,
    Revive,
    Hang,
    Answer,
    Fill,
    Empty,
    Drain,
    Resume,
    Roll,
}

/// What a connection does once its last response is written.
pub(super) enum AfterResponse {
    Chat(OnUpgrade, Option<String>),
    Hang(Arc<Instance>),
    Kill(Process),
}

impl Action {
    pub(super) fn of(path: &str) -> Option<Action> {
        Some(match path.strip_prefix("/api/")? {
            "kill" => Action::Kill,
            "revive" => Action::Revive,
            "hang" => Action::Hang,
            "answer" => Action::Answer,
            "fill" => Action::Fill,
            "empty" => Action::Empty,
            "drain" => Action::Drain,
            "resume" => Action::Resume,
            "roll" => Action::Roll,
            _ => return None,
        })
    }

    /// Does it to the instance called `name`. What is returned is left to do once the response is written, since the
    /// instance may be the one that responds.
    pub(super) async fn perform(self, fleet: &Fleet, name: &str) -> Result<Option<AfterResponse>, Refusal> {
        match self {
            Action::Kill => return fleet.kill(name).map(|process| Some(AfterResponse::Kill(process))),
            Action::Hang => return fleet.living(name).map(|instance| Some(AfterResponse::Hang(instance))),
            Action::Answer => fleet.living(name)?.hang(false),
            Action::Fill => fleet.living(name)?.full.store(true, Ordering::Relaxed),
            Action::Empty => fleet.living(name)?.full.store(false, Ordering::Relaxed),
            Action::Revive => fleet.revive(name).await?,
            Action::Drain => fleet.operator(name)?.drain(name, DRAIN_DEADLINE),
            Action::Resume => fleet.operator(name)?.resume(name),
            Action::Roll => fleet.roll()?,
        }
        Ok(None)
    }
}

pub(super) fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Unknown => StatusCode::NOT_FOUND,
        Refusal::Dead | Refusal::Alive | Refusal::Last | Refusal::Rolling => StatusCode::CONFLICT,
        Refusal::Listen(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
