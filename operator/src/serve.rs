//! The operator's own port: metrics, and whether it lives and is ready.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::sync::watch;

use crate::kinds::Kind;
use crate::leader::Leadership;
use crate::metrics::Metrics;

#[derive(Clone)]
struct Shown {
    metrics: Arc<Metrics>,
    missing: watch::Receiver<BTreeSet<Kind>>,
    leadership: Arc<Leadership>,
}

/// Serves until the listener fails. Ready is who could lead at once, leader or not: one whose watches have seen everything, and whom
/// the apiserver answers. Not being ready costs nothing but the sign: nothing is restarted for it.
///
/// # Errors
/// What the listener says.
pub async fn serve(
    listener: tokio::net::TcpListener,
    metrics: Arc<Metrics>,
    missing: watch::Receiver<BTreeSet<Kind>>,
    leadership: Arc<Leadership>,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(show))
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(ready))
        .with_state(Shown { metrics, missing, leadership });
    axum::serve(listener, router).await
}

async fn show(State(shown): State<Shown>) -> Response {
    match shown.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn ready(State(shown): State<Shown>) -> Response {
    let missing: Vec<&str> = shown.missing.borrow().iter().map(|kind| kind.name()).collect();
    let why = if !missing.is_empty() {
        format!("the watches have not seen everything yet of: {}\n", missing.join(", "))
    } else if !shown.leadership.is_heard() {
        "the apiserver does not answer about the lease\n".to_owned()
    } else {
        return "ready\n".into_response();
    };
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}
