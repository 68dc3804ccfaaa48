//! The admin port: metrics, health, raw histograms, and the commands of the control plane, over HTTP.
//!
//! | | |
//! |---|---|
//! | `GET /metrics` | Prometheus text |
//! | `GET /live` | 200 while every thread of the flow runs |
//! | `GET /ready` | 200 while every feed has its broker, else 503 with the reasons |
//! | `GET /hdr/{strategy}/{stage}` | the stage's histogram as an HdrHistogram log (`all` for every strategy) |
//! | `GET /strategies` | what runs, with module digests |
//! | `POST /control/trading-state` | `{"state":"HALTED","tenant":..,"strategy":..}`; without strategy the tenant, without both all |
//! | `POST /control/kill` | `{"instrument_id":..,"killed":true}` |
//! | `POST /control/limits` | `{"tenant":..,"strategy":..,"risk":{..}}` |
//! | `POST /control/swap?tenant=..&strategy=..` | the module's bytes |
//! | `POST /control/load` | a strategy file's text; relative module paths are the server's |
//! | `POST /control/unload` | `{"tenant":..,"strategy":..}` |
//! | `PUT /control/assignment` | the assignment document of this pod; answered with what runs |
//! | `GET /control/assignment` | what runs, as [`pinion_spec::assignment::PodReport`] |
//! | `PUT /control/modules/{digest}` | a module's bytes, kept for assignments that name them |
//! | `POST /control/drain` | ends the process as SIGTERM does |
//!
//! Commands need the bearer token where one is configured. Without one they are taken only on a loopback address, and never from
//! a browser (a request with an `Origin` is refused).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;
use pinion_spec::assignment::{Assignment, PodReport};
use pinion_spec::strategy::{Risk, TradingState};
use serde::{Deserialize, Serialize};

use crate::app::{App, AppError};
use crate::assignment::{AssignmentError, Assignments};
use crate::clock::mono_ns;
use crate::egress::EgressMetrics;
use crate::limits::MODULE_BYTES_MAX;
use crate::loading::{self, LoadingError};
use crate::metrics::{Metrics, scrape};
use crate::modules::ModulesError;
use crate::sandbox::Sandbox;
use crate::supervisor::{SharedApp, lock};
use crate::worker::Scope;

/// What the admin port shows and reaches.
#[derive(Clone)]
pub struct Admin {
    /// The app; gone once it drains.
    pub app: SharedApp,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What egress counts.
    pub egress: Arc<EgressMetrics>,
    /// Loads modules.
    pub sandbox: Arc<Sandbox>,
    /// Where relative module paths of loaded files start.
    pub base: PathBuf,
    /// The bearer token that commands need.
    pub token: Option<Arc<str>>,
    /// Whether the port is bound to a loopback address.
    pub loopback: bool,
    /// Where what runs is assigned by the operator.
    pub assignments: Option<Arc<Assignments>>,
    /// Told when a drain is asked for.
    pub drain: tokio::sync::mpsc::Sender<()>,
}

/// A command that was not carried out.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("a bearer token is needed: send `Authorization: Bearer ..`")]
    Unauthorised,
    #[error("commands are not taken from browsers")]
    Browser,
    #[error("{0}")]
    BadRequest(String),
    #[error("draining")]
    Draining,
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Loading(#[from] LoadingError),
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    #[error(transparent)]
    Modules(#[from] ModulesError),
    #[error("this process runs strategy files; only one that was started with --assignment takes assignments")]
    NotAPod,
    #[error("what runs here is assigned by the operator; change the resource")]
    Pod,
    #[error("the command was interrupted")]
    Interrupted,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Unauthorised => StatusCode::UNAUTHORIZED,
            Self::Browser => StatusCode::FORBIDDEN,
            Self::App(AppError::Unknown { .. }) => StatusCode::NOT_FOUND,
            Self::App(AppError::Running { .. } | AppError::GroupTaken { .. })
            | Self::Assignment(AssignmentError::Stale { .. } | AssignmentError::Changed(_))
            | Self::Pod => StatusCode::CONFLICT,
            Self::NotAPod => StatusCode::NOT_FOUND,
            Self::Assignment(AssignmentError::Fenced) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Assignment(AssignmentError::Keep(_)) | Self::Modules(ModulesError::Folder { .. }) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::BadRequest(_) | Self::App(_) | Self::Loading(_) | Self::Assignment(_) | Self::Modules(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::Interrupted => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(Problem { error: self.to_string() })).into_response()
    }
}

#[derive(Serialize)]
struct Problem {
    error: String,
}

/// The routes.
pub fn router(admin: Admin) -> Router {
    let control = Router::new()
        .route("/trading-state", post(trading_state))
        .route("/kill", post(kill))
        .route("/limits", post(limits))
        .route("/swap", post(swap))
        .route("/load", post(load))
        .route("/unload", post(unload))
        .route("/drain", post(drain))
        .route("/assignment", get(assignment_report).put(put_assignment))
        .route("/modules/{digest}", put(put_module))
        .layer(DefaultBodyLimit::max(MODULE_BYTES_MAX))
        .route_layer(axum::middleware::from_fn_with_state(admin.clone(), authorise));
    Router::new()
        .route("/metrics", get(show_metrics))
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/hdr/{strategy}/{stage}", get(hdr))
        .route("/strategies", get(strategies))
        .nest("/control", control)
        .with_state(admin)
}

/// Serves until the listener fails.
///
/// # Errors
/// What the listener says.
pub async fn serve(listener: tokio::net::TcpListener, admin: Admin) -> std::io::Result<()> {
    axum::serve(listener, router(admin)).await
}

/// Whether an address reaches only this machine.
#[must_use]
pub const fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().is_loopback()
}

async fn authorise(
    State(admin): State<Admin>,
    headers: HeaderMap,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Result<Response, Refusal> {
    match &admin.token {
        Some(token) => {
            let given = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
            if !given.is_some_and(|given| same(given, token.as_bytes())) {
                return Err(Refusal::Unauthorised);
            }
        }
        None if !admin.loopback => return Err(Refusal::Unauthorised),
        None if headers.contains_key(header::ORIGIN) => return Err(Refusal::Browser),
        None => {}
    }
    Ok(next.run(request).await)
}

/// Compares in a time that does not depend on where they differ.
fn same(given: &[u8], token: &[u8]) -> bool {
    given.len() == token.len() && given.iter().zip(token).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

async fn show_metrics(State(admin): State<Admin>) -> Response {
    match scrape(&admin.metrics, &admin.egress) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn live(State(admin): State<Admin>) -> Response {
    // Draining is alive: whoever restarts us now would cut it short.
    let alive = lock(&admin.app).as_ref().is_none_or(App::is_alive);
    if alive {
        "live\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "a thread has ended\n").into_response()
    }
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<String>,
}

async fn ready(State(admin): State<Admin>) -> Response {
    let mut reasons: Vec<String> = Vec::new();
    if lock(&admin.app).is_none() {
        reasons.push("draining".to_owned());
    }
    let feeds = admin.metrics.feeds();
    match &admin.assignments {
        // A pod with nothing assigned is ready for more.
        Some(assignments) => reasons.extend(assignments.unready()),
        None if feeds.is_empty() => reasons.push("nothing is read yet".to_owned()),
        None => {}
    }
    for feed in feeds.iter().filter(|feed| feed.connected.get() == 0) {
        reasons.push(format!("no broker answers group {}", feed.group));
    }
    if admin.egress.failed.get() > 0 {
        reasons.push("Kafka refused a record for good; see the log".to_owned());
    }
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, reasons })).into_response()
}

async fn hdr(State(admin): State<Admin>, Path((strategy, stage)): Path<(String, String)>) -> Response {
    let wanted = (strategy != "all").then_some(strategy.as_str());
    if wanted.is_some_and(|name| !admin.metrics.strategies().iter().any(|m| m.strategy == name)) {
        return (StatusCode::NOT_FOUND, format!("no strategy {strategy} runs here\n")).into_response();
    }
    let Some(latency) = admin.metrics.latency(&stage, wanted) else {
        let problem =
            format!("no stage {stage} of {strategy}: broker, decode and queue are of `all`; see the documentation\n");
        return (StatusCode::NOT_FOUND, problem).into_response();
    };
    let mut log = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let written = IntervalLogWriterBuilder::new()
        .add_comment("HdrHistogram log of latencies in nanoseconds since the process's start")
        .begin_log_with(&mut log, &mut serializer)
        .map_err(|error| error.to_string())
        .and_then(|mut writer| {
            let none = std::time::Duration::ZERO;
            writer.write_histogram(&latency.histogram, none, none, None).map_err(|error| format!("{error:?}"))
        });
    match written {
        Ok(()) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], log).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}

#[derive(Serialize)]
struct Running {
    tenant: String,
    strategy: String,
    module: String,
    instances: usize,
}

async fn strategies(State(admin): State<Admin>) -> Json<Vec<Running>> {
    let app = lock(&admin.app);
    Json(app.as_ref().map_or_else(Vec::new, |app| {
        app.running()
            .map(|running| Running {
                tenant: running.tenant.to_owned(),
                strategy: running.strategy.to_owned(),
                module: running.module,
                instances: running.instances,
            })
            .collect()
    }))
}

/// Runs a command on a thread where it may block.
async fn command<T: Send + 'static>(
    admin: &Admin,
    run: impl FnOnce(&mut App) -> Result<T, AppError> + Send + 'static,
) -> Result<T, Refusal> {
    let app = Arc::clone(&admin.app);
    let done =
        tokio::task::spawn_blocking(move || lock(&app).as_mut().map(run)).await.map_err(|_| Refusal::Interrupted)?;
    Ok(done.ok_or(Refusal::Draining)??)
}

#[derive(Serialize)]
struct Done {
    done: bool,
}

const DONE: Json<Done> = Json(Done { done: true });

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TradingStateRequest {
    state: TradingState,
    tenant: Option<String>,
    strategy: Option<String>,
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::BadRequest(error.to_string()))
}

async fn trading_state(State(admin): State<Admin>, body: Bytes) -> Result<Json<Done>, Refusal> {
    let request: TradingStateRequest = parse(&body)?;
    let scope = match (request.tenant, request.strategy) {
        (None, None) => Scope::All,
        (Some(tenant), None) => Scope::Tenant(tenant),
        (tenant, Some(strategy)) => Scope::Strategy { tenant: tenant.unwrap_or_else(default_tenant), strategy },
    };
    command(&admin, move |app| app.set_trading_state(&scope, request.state)).await?;
    Ok(DONE)
}

fn default_tenant() -> String {
    "default".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KillRequest {
    instrument_id: u64,
    killed: bool,
}

async fn kill(State(admin): State<Admin>, body: Bytes) -> Result<Json<Done>, Refusal> {
    let request: KillRequest = parse(&body)?;
    command(&admin, move |app| {
        app.set_killed(request.instrument_id, request.killed);
        Ok(())
    })
    .await?;
    Ok(DONE)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsRequest {
    #[serde(default = "default_tenant")]
    tenant: String,
    strategy: String,
    risk: Risk,
}

async fn limits(State(admin): State<Admin>, body: Bytes) -> Result<Json<Done>, Refusal> {
    not_assigned(&admin)?;
    let request: LimitsRequest = parse(&body)?;
    command(&admin, move |app| app.set_limits(&request.tenant, &request.strategy, &request.risk)).await?;
    Ok(DONE)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    #[serde(default = "default_tenant")]
    tenant: String,
    strategy: String,
}

/// What the operator decides is not changed behind its back: it would be undone, or would hide what runs.
fn not_assigned(admin: &Admin) -> Result<(), Refusal> {
    if admin.assignments.is_some() { Err(Refusal::Pod) } else { Ok(()) }
}

async fn swap(State(admin): State<Admin>, Query(name): Query<Name>, body: Bytes) -> Result<Json<Done>, Refusal> {
    not_assigned(&admin)?;
    let sandbox = Arc::clone(&admin.sandbox);
    // Compiled before the app is locked: a slow compilation delays no halt.
    let module = tokio::task::spawn_blocking(move || sandbox.load(&body)).await.map_err(|_| Refusal::Interrupted)?;
    let module = module.map_err(|error| Refusal::BadRequest(error.to_string()))?;
    command(&admin, move |app| {
        let params = app.strategy(&name.tenant, &name.strategy)?.spec.params.clone();
        app.swap(&name.tenant, &name.strategy, module, &params)
    })
    .await?;
    Ok(DONE)
}

async fn load(State(admin): State<Admin>, body: Bytes) -> Result<Json<Done>, Refusal> {
    not_assigned(&admin)?;
    let text = String::from_utf8(body.to_vec()).map_err(|_| Refusal::BadRequest("not UTF-8".to_owned()))?;
    let (sandbox, base) = (Arc::clone(&admin.sandbox), admin.base.clone());
    let loaded = tokio::task::spawn_blocking(move || loading::load_text(&sandbox, &text, "request", &base));
    let deployments = loaded.await.map_err(|_| Refusal::Interrupted)??;
    command(&admin, move |app| app.load(deployments)).await?;
    Ok(DONE)
}

async fn unload(State(admin): State<Admin>, body: Bytes) -> Result<Json<Done>, Refusal> {
    not_assigned(&admin)?;
    let name: Name = parse(&body)?;
    command(&admin, move |app| app.unload(&name.tenant, &name.strategy)).await?;
    Ok(DONE)
}

fn assignments(admin: &Admin) -> Result<Arc<Assignments>, Refusal> {
    admin.assignments.clone().ok_or(Refusal::NotAPod)
}

async fn assignment_report(State(admin): State<Admin>) -> Result<Json<PodReport>, Refusal> {
    Ok(Json(assignments(&admin)?.report()))
}

async fn put_assignment(State(admin): State<Admin>, body: Bytes) -> Result<Json<PodReport>, Refusal> {
    let received_ns = mono_ns();
    let assignments = assignments(&admin)?;
    let document: Assignment = parse(&body)?;
    let put = tokio::task::spawn_blocking(move || assignments.put(document, received_ns));
    Ok(Json(put.await.map_err(|_| Refusal::Interrupted)??))
}

async fn put_module(
    State(admin): State<Admin>,
    Path(digest): Path<String>,
    body: Bytes,
) -> Result<Json<Done>, Refusal> {
    let assignments = assignments(&admin)?;
    let put = tokio::task::spawn_blocking(move || assignments.put_module(&digest, &body));
    put.await.map_err(|_| Refusal::Interrupted)??;
    Ok(DONE)
}

async fn drain(State(admin): State<Admin>) -> Json<Done> {
    // A second request finds the channel full: the drain is under way.
    let _ = admin.drain.try_send(());
    DONE
}
