//! The operator's own port: metrics, and whether it lives and is ready.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::sync::watch;

use crate::leader::Leadership;
use crate::metrics::Metrics;

#[derive(Clone)]
struct Shown {
    metrics: Arc<Metrics>,
    synced: watch::Receiver<bool>,
    leadership: Arc<Leadership>,
}

/// Serves until the listener fails. Ready is who could lead at once: one whose watches have seen everything, and whom the apiserver
/// answers. Not being ready costs nothing but the sign: nothing is restarted for it.
///
/// # Errors
/// What the listener says.
pub async fn serve(
    listener: tokio::net::TcpListener,
    metrics: Arc<Metrics>,
    synced: watch::Receiver<bool>,
    leadership: Arc<Leadership>,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(show))
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(ready))
        .with_state(Shown { metrics, synced, leadership });
    axum::serve(listener, router).await
}

async fn show(State(shown): State<Shown>) -> Response {
    match shown.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn ready(State(shown): State<Shown>) -> Response {
    let not = if !*shown.synced.borrow() {
        "the watches have not seen everything yet\n"
    } else if !shown.leadership.is_heard() {
        "the apiserver does not answer about the lease\n"
    } else {
        return "ready\n".into_response();
    };
    (StatusCode::SERVICE_UNAVAILABLE, not).into_response()
}
