//! The commands of the admin port: each is checked, carried out on a thread where it may block, logged and answered.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use pinion_spec::assignment::{Assignment, CLOCK_HEADER, ClockError, PodClock, PodReport};
use pinion_spec::strategy::{Risk, TradingState};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::refusal::{Refusal, Why};
use crate::app::{App, AppError, LimitsChanged, Overview, Tradable, Which};
use crate::assignment::Assignments;
use crate::limits::MODULE_BYTES_MAX;
use crate::risk::RiskChange;
use crate::supervisor::lock;
use crate::worker::Scope;

/// The routes under `/control`.
pub(super) fn router(admin: &Admin) -> Router<Admin> {
    Router::new()
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
        .route_layer(axum::middleware::from_fn_with_state(admin.clone(), authorise))
}

/// Lets through what comes with the token.
pub(super) async fn authorise(
    State(admin): State<Admin>,
    headers: HeaderMap,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Result<Response, Refusal> {
    admitted(admin.token.as_deref(), admin.loopback, &headers)?;
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    if let Some(Why(error)) = response.extensions().get() {
        tracing::warn!(command = path, error, "command refused");
    }
    Ok(response)
}

/// Whether a command with these headers is taken, by the token that is configured and the address that is listened on.
fn admitted(token: Option<&str>, loopback: bool, headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    match token {
        Some(token) if given.is_some_and(|given| same(given, token.as_bytes())) => Ok(()),
        Some(_) => Err(Refusal::Unauthorised),
        None if !loopback => Err(Refusal::NoToken),
        None if headers.contains_key(header::ORIGIN) => Err(Refusal::Browser),
        None => Ok(()),
    }
}

/// Compares in a time that does not depend on where they differ.
fn same(given: &[u8], token: &[u8]) -> bool {
    given.len() == token.len() && given.iter().zip(token).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
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

/// The body as JSON; `like` is one that is right.
fn parse<T: DeserializeOwned>(body: &[u8], like: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::BadRequest(format!("the body is not what this command takes: {error}; it looks like {like}"))
    })
}

fn default_tenant() -> String {
    "default".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TradingStateRequest {
    state: TradingState,
    tenant: Option<String>,
    strategy: Option<String>,
}

#[derive(Serialize)]
struct Reached {
    done: bool,
    /// As `tenant/name`.
    strategies: Vec<String>,
    instances: usize,
}

async fn trading_state(State(admin): State<Admin>, body: Bytes) -> Result<Json<Reached>, Refusal> {
    let request: TradingStateRequest = parse(&body, r#"{"state":"HALTED","tenant":"default","strategy":"NAME"}"#)?;
    let scope = match (request.tenant, request.strategy) {
        (None, None) => Scope::All,
        (Some(tenant), None) => Scope::Tenant(tenant),
        (tenant, Some(strategy)) => Scope::Strategy { tenant: tenant.unwrap_or_else(default_tenant), strategy },
    };
    let state = request.state;
    let done = command(&admin, move |app| {
        let reached = app.reached(&scope);
        app.set_trading_state(&scope, state)?;
        let mut done = Reached { done: true, strategies: Vec::new(), instances: 0 };
        for (tenant, strategy, from, instances) in reached {
            done.strategies.push(format!("{tenant}/{strategy}"));
            done.instances += instances;
            let (from, to) = (from.name(), state.name());
            tracing::info!(?scope, tenant, strategy, from, to, instances, "trading state set by command");
        }
        if done.strategies.is_empty() {
            tracing::info!(
                ?scope,
                to = state.name(),
                "trading state set by command for what is loaded later; nothing runs"
            );
        }
        Ok(done)
    });
    Ok(Json(done.await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KillRequest {
    instrument_id: Option<u64>,
    instrument: Option<String>,
    publisher: Option<String>,
    killed: bool,
}

#[derive(Serialize)]
struct Killed {
    done: bool,
    #[serde(flatten)]
    instrument: Tradable,
    instances: usize,
}

async fn kill(State(admin): State<Admin>, body: Bytes) -> Result<Json<Killed>, Refusal> {
    let request: KillRequest = parse(&body, KILL_LIKE)?;
    let which = match (request.instrument_id, request.instrument, request.publisher) {
        (Some(id), None, None) => Which::Id(id),
        (None, Some(symbol), publisher) => Which::Symbol(symbol, publisher),
        _ => return Err(Refusal::BadRequest(format!("name an instrument, or an instrument_id: {KILL_LIKE}"))),
    };
    let killed = request.killed;
    let done = command(&admin, move |app| {
        let (instrument, from) = app.set_killed(&which, killed)?;
        let Tradable { symbol, publisher, instrument_id, .. } = &instrument;
        let instances = app.instances_on(*instrument_id);
        tracing::info!(symbol, publisher, instrument_id, from, to = killed, instances, "kill switch set by command");
        Ok(Killed { done: true, instrument, instances })
    });
    Ok(Json(done.await?))
}

const KILL_LIKE: &str = r#"{"instrument":"BTCUSDT","killed":true}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsRequest {
    #[serde(default = "default_tenant")]
    tenant: String,
    strategy: String,
    risk: RiskChange,
}

#[derive(Serialize)]
struct Limited {
    done: bool,
    /// All limits that hold now.
    risk: Risk,
    instances: usize,
}

async fn limits(State(admin): State<Admin>, body: Bytes) -> Result<Json<Limited>, Refusal> {
    not_assigned(&admin)?;
    let LimitsRequest { tenant, strategy, risk } =
        parse(&body, r#"{"strategy":"NAME","risk":{"maxOrderSize":"0.01"}}"#)?;
    if risk.is_empty() {
        return Err(Refusal::BadRequest("`risk` names no limit to change".to_owned()));
    }
    let done = command(&admin, move |app| {
        let LimitsChanged { from, to, instances } = app.command_limits(&tenant, &strategy, risk)?;
        tracing::info!(tenant, strategy, from = json(&from), to = json(&to), instances, "limits set by command");
        Ok(Limited { done: true, risk: to, instances })
    });
    Ok(Json(done.await?))
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
        let Name { tenant, strategy } = &name;
        let params = app.strategy(tenant, strategy)?.spec.params.clone();
        let (from, to) = (app.module_digest(tenant, strategy)?, module.digest().to_string());
        app.swap(tenant, strategy, module, &params)?;
        let instances = app.instances_of(tenant, strategy);
        tracing::info!(tenant, strategy, from, to, instances, "module swapped by command");
        Ok(())
    })
    .await?;
    Ok(DONE)
}

async fn load(State(admin): State<Admin>, body: Bytes) -> Result<Json<Done>, Refusal> {
    not_assigned(&admin)?;
    let text = String::from_utf8(body.to_vec()).map_err(|_| Refusal::BadRequest("not UTF-8".to_owned()))?;
    let (loader, base) = (admin.loader.clone(), admin.base.clone());
    let loaded = tokio::task::spawn_blocking(move || loader.text(&text, "request", &base));
    let deployments = loaded.await.map_err(|_| Refusal::Interrupted)??;
    command(&admin, move |app| {
        let names: Vec<_> =
            deployments.iter().map(|d| (d.strategy.tenant().to_owned(), d.strategy.metadata.name.clone())).collect();
        app.load(deployments)?;
        for shown in
            app.overview().into_iter().filter(|shown| names.contains(&(shown.tenant.clone(), shown.strategy.clone())))
        {
            let Overview { tenant, strategy, module, instances, trading_state, risk, group, .. } = shown;
            let (state, limits) = (trading_state.name(), json(&risk));
            tracing::info!(tenant, strategy, module, group, state, limits, instances, "strategy loaded by command");
        }
        Ok(())
    })
    .await?;
    Ok(DONE)
}

async fn unload(State(admin): State<Admin>, body: Bytes) -> Result<Json<Done>, Refusal> {
    not_assigned(&admin)?;
    let Name { tenant, strategy } = parse(&body, r#"{"strategy":"NAME"}"#)?;
    command(&admin, move |app| {
        let instances = app.instances_of(&tenant, &strategy);
        app.unload(&tenant, &strategy)?;
        tracing::info!(tenant, strategy, instances, "strategy unloaded by command");
        Ok(())
    })
    .await?;
    Ok(DONE)
}

/// Limits as in a strategy file, for the log.
fn json(risk: &Risk) -> String {
    serde_json::to_string(risk).unwrap_or_default()
}

fn assignments(admin: &Admin) -> Result<Arc<Assignments>, Refusal> {
    admin.assignments.clone().ok_or(Refusal::NotAPod)
}

/// What runs, with the time that the next lease may count from.
type Report = ([(&'static str, String); 1], Json<PodReport>);

fn with_clock(assignments: &Assignments, report: PodReport) -> Report {
    ([(CLOCK_HEADER, assignments.clock().to_string())], Json(report))
}

async fn assignment_report(State(admin): State<Admin>) -> Result<Report, Refusal> {
    let assignments = assignments(&admin)?;
    Ok(with_clock(&assignments, assignments.report()))
}

async fn put_assignment(State(admin): State<Admin>, headers: HeaderMap, body: Bytes) -> Result<Report, Refusal> {
    let assignments = assignments(&admin)?;
    let document: Assignment = parse(&body, "the operator's assignment document")?;
    let clock = headers.get(CLOCK_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let clock: PodClock = clock.parse().map_err(|error: ClockError| Refusal::BadRequest(error.to_string()))?;
    let putting = Arc::clone(&assignments);
    let put = tokio::task::spawn_blocking(move || putting.put(document, clock));
    let report = put.await.map_err(|_| Refusal::Interrupted)??;
    Ok(with_clock(&assignments, report))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_taken_with_the_token_or_without_one_on_loopback_and_not_from_a_browser() {
        let with = |name, value: &'static str| HeaderMap::from_iter([(name, value.parse().unwrap())]);
        let (right, wrong) = (with(header::AUTHORIZATION, "Bearer abc"), with(header::AUTHORIZATION, "Bearer abd"));
        let (none, browser) = (HeaderMap::new(), with(header::ORIGIN, "http://localhost"));
        assert!(admitted(Some("abc"), false, &right).is_ok());
        assert!(matches!(admitted(Some("abc"), true, &wrong), Err(Refusal::Unauthorised)));
        assert!(matches!(admitted(Some("abc"), true, &none), Err(Refusal::Unauthorised)));
        assert!(admitted(None, true, &none).is_ok());
        assert!(matches!(admitted(None, true, &browser), Err(Refusal::Browser)));
        let Err(refusal) = admitted(None, false, &right) else { panic!("taken without a token on an open address") };
        assert!(refusal.to_string().contains("--admin-token-file"), "{refusal}");
    }
}
