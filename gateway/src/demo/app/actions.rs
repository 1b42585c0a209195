//! The buttons: what a visitor may do to the instances.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use serde_json::json;

use super::Refusal;
use super::instance::{Request, Response, Routes, Then, json_text, parameter, text};

/// How long visitors may stay on an instance that is drained by its button.
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
}

impl Routes<'_> {
    /// Does it to the instance that the query names, or to this one.
    pub(super) async fn act(&self, action: Action, request: &Request) -> Response {
        let name = parameter(request, "instance").unwrap_or(self.instance.name());
        match self.try_to(action, name).await {
            Ok(last) => {
                let mut answer = json_text(json!({ "instance": name }).to_string());
                if last.is_some() {
                    // What becomes of the instance then, comes once this is said.
                    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                    *self.then.lock() = last;
                }
                answer
            }
            Err(refusal) => text(status(&refusal), format!("{refusal}\n")),
        }
    }

    async fn try_to(&self, action: Action, name: &str) -> Result<Option<Then>, Refusal> {
        let demo = self.demo;
        match action {
            Action::Kill => return demo.kill(name).map(|process| Some(Then::Kill(process))),
            Action::Hang => return demo.living(name).map(|instance| Some(Then::Hang(instance))),
            Action::Answer => demo.living(name)?.hang(false),
            Action::Fill => demo.living(name)?.full.store(true, Ordering::Relaxed),
            Action::Empty => demo.living(name)?.full.store(false, Ordering::Relaxed),
            Action::Revive => demo.revive(name).await?,
            Action::Drain => demo.operator(name)?.drain(name, DRAIN_DEADLINE),
            Action::Resume => demo.operator(name)?.resume(name),
            Action::Roll => demo.roll()?,
        }
        Ok(None)
    }
}

fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Unknown => StatusCode::NOT_FOUND,
        Refusal::Dead | Refusal::Alive | Refusal::Last | Refusal::Rolling => StatusCode::CONFLICT,
        Refusal::Listen(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
