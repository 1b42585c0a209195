//! The way of one request: it is admitted or refused, routed, and handled.

use crate::admin::api::access;
use crate::admin::api::body::{self, AdminBody};
use crate::admin::api::problem::Problem;
use crate::admin::api::reply;
use crate::admin::api::routes::{self, Route};
use crate::admin::changes::audit;
use crate::admin::changes::instances;
use crate::admin::changes::keys;
use crate::admin::changes::operator;
use crate::admin::context::AdminContext;
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

/// This interface as an OpenAPI document.
pub(super) const OPENAPI: &str = include_str!("api/openapi.json");

/// Prometheus' text format.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// A hyper service for the requests of one connection. From [`Admin::service`](super::Admin::service).
#[derive(Clone)]
pub struct AdminService {
    context: Arc<AdminContext>,
    peer: SocketAddr,
}

impl AdminService {
    pub(super) fn new(context: Arc<AdminContext>, peer: SocketAddr) -> Self {
        Self { context, peer }
    }
}

impl fmt::Debug for AdminService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminService").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl hyper::service::Service<Request<Incoming>> for AdminService {
    type Response = Response<AdminBody>;
    /// Every failure is a response.
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let call = Call { context: Arc::clone(&self.context), peer: self.peer };
        Box::pin(async move { Ok(call.handle(request).await.unwrap_or_else(|problem| reply::problem(&problem))) })
    }
}

/// One request and its sender.
struct Call {
    context: Arc<AdminContext>,
    peer: SocketAddr,
}

impl Call {
    async fn handle(self, request: Request<Incoming>) -> Result<Response<AdminBody>, Problem> {
        let (parts, body) = request.into_parts();
        let logged = |problem: Problem| {
            audit::refused(self.peer, &problem);
            problem
        };
        access::admit(self.context.token.as_ref(), self.peer, &parts).map_err(logged)?;
        let (route, name) = routes::find(&parts.method, parts.uri.path())?;
        if !parts.method.is_safe() {
            access::check_change(&parts).map_err(logged)?;
        }
        let context = &self.context;
        match route {
            Route::Upstreams => self.blocking(|context, _| reply::json(StatusCode::OK, &upstreams::all(context))).await,
            Route::Upstream => reply::json(StatusCode::OK, &upstreams::one(context, &name)?),
            Route::Dashboard => Ok(dashboard::page()),
            Route::Events => events::open(context, &parts.headers),
            Route::History => self.blocking(|context, _| reply::json(StatusCode::OK, &context.history.kept())).await,
            Route::OpenApi => Ok(reply::document(OPENAPI)),
            Route::Metrics => {
                let text = self.blocking(|context, _| context.metrics.text()).await?;
                Ok(reply::reply(StatusCode::OK, TEXT, AdminBody::whole(text)))
            }
            Route::Put => {
                let spec = json(body).await?;
                self.blocking(move |context, peer| operator::put(context, peer, &name, &spec)).await
            }
            Route::Remove => self.blocking(move |context, peer| operator::remove(context, peer, &name)).await,
            Route::Drain => {
                let draining = json_or_default(body).await?;
                self.blocking(move |context, peer| operator::drain(context, peer, &name, draining)).await
            }
            Route::Resume => {
                let operator::EmptyRequest {} = json_or_default(body).await?;
                self.blocking(move |context, peer| operator::resume(context, peer, &name)).await
            }
            Route::Heartbeat => {
                let report = json_or_default(body).await?;
                self.blocking(move |context, _| instances::heartbeat(context, &name, report)).await
            }
            Route::Deregister => {
                let leaving = json_or_default(body).await?;
                self.blocking(move |context, peer| instances::deregister(context, peer, &name, leaving)).await
            }
            Route::Plan => {
                let wanted = json(body).await?;
                self.blocking(move |context, _| operator::plan(context, wanted)).await
            }
            Route::Apply => {
                let wanted = json(body).await?;
                self.blocking(move |context, peer| operator::apply(context, peer, wanted)).await
            }
            Route::RotateKeys => {
                let operator::EmptyRequest {} = json_or_default(body).await?;
                self.blocking(keys::rotate).await
            }
        }
    }

    /// Runs `work`, which may block, outside of the runtime's one thread.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AdminContext, SocketAddr) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (context, peer) = (Arc::clone(&self.context), self.peer);
        tokio::task::spawn_blocking(move || work(&context, peer)).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request to the administration failed");
            Err(Problem::internal())
        })
    }
}

async fn json<T: DeserializeOwned>(body: Incoming) -> Result<T, Problem> {
    parse(&body::read(body).await?)
}

/// As [`json`]; an empty body counts as an empty object.
async fn json_or_default<T: DeserializeOwned>(body: Incoming) -> Result<T, Problem> {
    match &*body::read(body).await? {
        b"" => parse(b"{}"),
        bytes => parse(bytes),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // serde accepts an array of an object's values in order as well.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::body("the body is not a JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|error| Problem::body(format!("the body is wrong: {error}")))
}
