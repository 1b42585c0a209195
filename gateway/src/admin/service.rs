//! A request comes in, its sender is let in or not, and it is answered or refused.

use crate::admin::api::access;
use crate::admin::api::body::{self, AdminBody};
use crate::admin::api::problem::Problem;
use crate::admin::api::reply;
use crate::admin::api::routes::{self, Route};
use crate::admin::builder::AdminContext;
use crate::admin::changes::audit;
use crate::admin::changes::instances;
use crate::admin::changes::keys;
use crate::admin::changes::operator;
use crate::admin::views::dashboard;
use crate::admin::views::events;
use crate::admin::views::upstreams;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

/// This interface as others read it.
pub(super) const OPENAPI: &str = include_str!("api/openapi.json");

/// Prometheus' text format.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// A hyper service that answers the requests of one connection. From [`Admin::service`](super::Admin::service).
#[derive(Clone)]
pub struct AdminService {
    shared: Arc<AdminContext>,
    peer: SocketAddr,
}

impl AdminService {
    pub(super) fn new(shared: Arc<AdminContext>, peer: SocketAddr) -> Self {
        Self { shared, peer }
    }
}

impl fmt::Debug for AdminService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminService").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl hyper::service::Service<Request<Incoming>> for AdminService {
    type Response = Response<AdminBody>;
    /// Every failure is an answer.
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let call = Call { shared: Arc::clone(&self.shared), peer: self.peer };
        Box::pin(async move { Ok(call.answer(request).await.unwrap_or_else(|problem| reply::problem(&problem))) })
    }
}

/// One request, and who sent it.
struct Call {
    shared: Arc<AdminContext>,
    peer: SocketAddr,
}

impl Call {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<AdminBody>, Problem> {
        let (parts, body) = request.into_parts();
        let heard = |problem: Problem| {
            audit::refused(self.peer, &problem);
            problem
        };
        access::admit(self.shared.token.as_ref(), self.peer, &parts).map_err(heard)?;
        let (route, name) = routes::find(&parts.method, parts.uri.path())?;
        if !parts.method.is_safe() {
            access::check_change(&parts).map_err(heard)?;
        }
        let shared = &self.shared;
        match route {
            Route::Upstreams => self.blocking(|shared, _| reply::json(StatusCode::OK, &upstreams::all(shared))).await,
            Route::Upstream => reply::json(StatusCode::OK, &upstreams::one(shared, &name)?),
            Route::Dashboard => Ok(dashboard::page()),
            Route::Events => events::open(shared, &parts.headers),
            Route::History => self.blocking(|shared, _| reply::json(StatusCode::OK, &shared.history.kept())).await,
            Route::OpenApi => Ok(reply::document(OPENAPI)),
            Route::Metrics => {
                let text = self.blocking(|shared, _| shared.metrics.text()).await?;
                Ok(reply::reply(StatusCode::OK, TEXT, AdminBody::whole(text)))
            }
            Route::Put => {
                let spec = json(body).await?;
                self.blocking(move |shared, peer| operator::put(shared, peer, &name, &spec)).await
            }
            Route::Remove => self.blocking(move |shared, peer| operator::remove(shared, peer, &name)).await,
            Route::Drain => {
                let draining = json_or_default(body).await?;
                self.blocking(move |shared, peer| operator::drain(shared, peer, &name, draining)).await
            }
            Route::Resume => {
                let operator::EmptyRequest {} = json_or_default(body).await?;
                self.blocking(move |shared, peer| operator::resume(shared, peer, &name)).await
            }
            Route::Heartbeat => {
                let report = json_or_default(body).await?;
                self.blocking(move |shared, _| instances::heartbeat(shared, &name, report)).await
            }
            Route::Deregister => {
                let leaving = json_or_default(body).await?;
                self.blocking(move |shared, peer| instances::deregister(shared, peer, &name, leaving)).await
            }
            Route::Plan => {
                let wanted = json(body).await?;
                self.blocking(move |shared, _| operator::plan(shared, wanted)).await
            }
            Route::Apply => {
                let wanted = json(body).await?;
                self.blocking(move |shared, peer| operator::apply(shared, peer, wanted)).await
            }
            Route::RotateKeys => {
                let operator::EmptyRequest {} = json_or_default(body).await?;
                self.blocking(keys::rotate).await
            }
        }
    }

    /// Does what may take long apart from the runtime's own thread, which others wait for.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AdminContext, SocketAddr) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (shared, peer) = (Arc::clone(&self.shared), self.peer);
        tokio::task::spawn_blocking(move || work(&shared, peer)).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request to the administration failed");
            Err(Problem::internal())
        })
    }
}

async fn json<T: DeserializeOwned>(body: Incoming) -> Result<T, Problem> {
    parse(&body::read(body).await?)
}

/// Likewise; no body is as good as an empty object.
async fn json_or_default<T: DeserializeOwned>(body: Incoming) -> Result<T, Problem> {
    match &*body::read(body).await? {
        b"" => parse(b"{}"),
        bytes => parse(bytes),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // serde would take an array for an object's values in order.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::body("the body is no JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|error| Problem::body(format!("the body is not what it should be: {error}")))
}
