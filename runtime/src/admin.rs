//! The admin port: metrics, health, raw histograms, and the commands of the control plane, over HTTP.
//!
//! | | |
//! |---|---|
//! | `GET /metrics` | Prometheus text |
//! | `GET /live` | 200 while every thread of the flow runs |
//! | `GET /ready` | 200 while every feed has its broker, else 503 with the reasons |
//! | `GET /hdr/{strategy}/{stage}` | the stage's histogram as an HdrHistogram log (`all` for every strategy) |
//! | `GET /strategies` | what runs: module digest, trading state, limits, instruments with ids and kill switches, inputs |
//! | `POST /control/trading-state` | `{"state":"HALTED","tenant":..,"strategy":..}`; without strategy the tenant, without both all |
//! | `POST /control/kill` | `{"instrument":"BTCUSDT","killed":true}`, with `"publisher":..` where several carry it; or `{"instrument_id":..` |
//! | `POST /control/limits` | `{"tenant":..,"strategy":..,"risk":{..}}`: the fields that it names; answered with all |
//! | `POST /control/swap?tenant=..&strategy=..` | the module's bytes |
//! | `POST /control/load` | a strategy file's text; relative module paths are the server's |
//! | `POST /control/unload` | `{"tenant":..,"strategy":..}` |
//! | `PUT /control/assignment` | the assignment document of this pod; answered with what runs |
//! | `GET /control/assignment` | what runs, as [`pinion_spec::assignment::PodReport`] |
//! | `PUT /control/modules/{digest}` | a module's bytes, kept for assignments that name them |
//! | `POST /control/drain` | ends the process as SIGTERM does |
//!
//! Commands, and `/strategies` with it, need the bearer token where one is configured. Without one they are taken only on a loopback address, and never from
//! a browser (a request with an `Origin` is refused). Every command is logged: what it changed, and why it was refused.
//! Whatever is refused is answered with `{"error":".."}`.

mod control;
mod refusal;
mod scrapes;

pub use scrapes::Scrapes;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;
use serde::Serialize;

use crate::app::{App, Overview};
use crate::assignment::Assignments;
use crate::egress::EgressMetrics;
use crate::loading::Loader;
use crate::metrics::{Metrics, TEXT_FORMAT};
use crate::sandbox::Sandbox;
use crate::supervisor::{SharedApp, lock};

/// What the admin port shows and reaches.
#[derive(Clone)]
pub struct Admin {
    /// The app; gone once it drains.
    pub app: SharedApp,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What egress counts.
    pub egress: Arc<EgressMetrics>,
    /// Answers scrapes.
    pub scrapes: Scrapes,
    /// Loads modules.
    pub sandbox: Arc<Sandbox>,
    /// Finds the modules of loaded files.
    pub loader: Loader,
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

/// The routes.
pub fn router(admin: Admin) -> Router {
    // What it tells of limits and inputs is the tenant's own. Metrics and histograms are open to whoever reaches the port, as Prometheus is.
    let own = Router::new()
        .route("/strategies", get(strategies))
        .route_layer(axum::middleware::from_fn_with_state(admin.clone(), control::authorise));
    Router::new()
        .merge(own)
        .route("/metrics", get(show_metrics))
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/hdr/{strategy}/{stage}", get(hdr))
        .nest("/control", control::router(&admin))
        .fallback(refusal::nothing_there)
        .layer(axum::middleware::map_response(refusal::in_json))
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

async fn show_metrics(State(admin): State<Admin>) -> Response {
    match admin.scrapes.text().await {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
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

async fn strategies(State(admin): State<Admin>) -> Json<Vec<Overview>> {
    Json(lock(&admin.app).as_ref().map_or_else(Vec::new, App::overview))
}
