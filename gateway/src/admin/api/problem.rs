//! Refused requests, as problem documents (RFC 9457).

use crate::roster::RosterError;
use homing::balancer::UnknownUpstream;
use homing::cluster::{ApplyError, PlanError};
use http::{Method, StatusCode};
use serde::Serialize;

/// A problem of type `about:blank`, whose title is the one of its status. Programs go by the `code`; `detail` says what
/// to do.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    code: &'static str,
    detail: String,
    /// For 405: the methods that the target allows.
    pub(crate) allow: Vec<Method>,
}

#[derive(Serialize)]
struct ProblemJson<'a> {
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), allow: Vec::new() }
    }

    pub(crate) fn forbidden(code: &'static str, detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "token", "send the token as `Authorization: Bearer TOKEN`")
    }

    pub(crate) fn media_type() -> Self {
        let detail = "send `Content-Type: application/json`, also where there is no body";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", detail)
    }

    pub(crate) fn no_route() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no_route",
            "there is no such path; /api/v1/openapi.json lists those there are",
        )
    }

    pub(crate) fn no_method(allow: Vec<Method>) -> Self {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self { allow, ..Self::new(status, "no_method", "this target does not allow that method; see Allow") }
    }

    /// A malformed body.
    pub(crate) fn body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "body", detail)
    }

    /// A well-formed value that is not allowed where it stands.
    pub(crate) fn value(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "value", detail)
    }

    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the administration failed; see the log of the gateway",
        )
    }

    pub(crate) fn document(&self) -> Vec<u8> {
        let title = self.status.canonical_reason().unwrap_or_default();
        let document = ProblemJson { title, status: self.status.as_u16(), code: self.code, detail: &self.detail };
        serde_json::to_vec(&document).unwrap_or_default()
    }

    pub(crate) fn code(&self) -> &'static str {
        self.code
    }
}

impl From<UnknownUpstream> for Problem {
    fn from(error: UnknownUpstream) -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_upstream", error.to_string())
    }
}

impl From<PlanError> for Problem {
    fn from(error: PlanError) -> Self {
        let (status, code) = match error {
            PlanError::Unknown { .. } => (StatusCode::NOT_FOUND, "no_upstream"),
            _ => (StatusCode::UNPROCESSABLE_ENTITY, "value"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<ApplyError> for Problem {
    fn from(error: ApplyError) -> Self {
        Self::new(StatusCode::CONFLICT, "generation", error.to_string())
    }
}

impl From<RosterError> for Problem {
    fn from(error: RosterError) -> Self {
        let of = |status, code| Self::new(status, code, error.to_string());
        match error {
            RosterError::Plan(error) => error.into(),
            RosterError::Stale(error) => error.into(),
            RosterError::Unknown(error) => error.into(),
            RosterError::LastUpstream => of(StatusCode::CONFLICT, "last_upstream"),
            RosterError::Removed { .. } => of(StatusCode::CONFLICT, "removed"),
            RosterError::Ttl | RosterError::Report => of(StatusCode::UNPROCESSABLE_ENTITY, "value"),
            RosterError::Store(_) => {
                tracing::error!(%error, "a change was refused, since it could not be saved");
                of(StatusCode::SERVICE_UNAVAILABLE, "store")
            }
        }
    }
}
