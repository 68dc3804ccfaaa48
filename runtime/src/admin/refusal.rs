//! What is answered where nothing is done: a status, and `{"error":".."}` that says what to do.

use axum::Json;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::app::AppError;
use crate::args::chain;
use crate::assignment::AssignmentError;
use crate::loading::LoadingError;
use crate::modules::ModulesError;

/// A command that was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("a bearer token is needed: send `Authorization: Bearer ..`")]
    Unauthorised,
    #[error(
        "commands are taken here only with a bearer token, and none is configured: start with --admin-token-file FILE, or with --admin on a loopback address"
    )]
    NoToken,
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
            Self::Browser | Self::NoToken => StatusCode::FORBIDDEN,
            Self::App(
                AppError::Unknown { .. } | AppError::UnknownTenant { .. } | AppError::UnknownInstrument { .. },
            ) => StatusCode::NOT_FOUND,
            Self::App(AppError::Running { .. } | AppError::GroupTaken { .. })
            | Self::Assignment(
                AssignmentError::Stale { .. } | AssignmentError::Changed(_) | AssignmentError::Clock { .. },
            )
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
        problem(status, chain(&self))
    }
}

#[derive(Serialize)]
struct Problem {
    error: String,
}

/// Why, for the log: the answer's body has been written by then.
#[derive(Debug, Clone)]
pub(super) struct Why(pub(super) String);

fn problem(status: StatusCode, error: String) -> Response {
    let why = Why(error.clone());
    let mut response = (status, Json(Problem { error })).into_response();
    response.extensions_mut().insert(why);
    response
}

/// For paths that are not there.
pub(super) async fn nothing_there(uri: Uri) -> Response {
    let error = format!(
        "nothing is at {}; there are GET /metrics, /live, /ready, /strategies, /hdr/STRATEGY/STAGE, and commands under /control/",
        uri.path()
    );
    problem(StatusCode::NOT_FOUND, error)
}

/// Writes what the router itself refuses (a method, a query, a body that is too long) as commands' refusals are written.
pub(super) async fn in_json(response: Response) -> Response {
    let status = response.status();
    let json = |value: &axum::http::HeaderValue| value.as_bytes().starts_with(b"application/json");
    if !(status.is_client_error() || status.is_server_error())
        || response.headers().get(header::CONTENT_TYPE).is_some_and(json)
    {
        return response;
    }
    let text = axum::body::to_bytes(response.into_body(), ERROR_BYTES_MAX).await.unwrap_or_default();
    let text = match String::from_utf8_lossy(&text).trim() {
        "" if status == StatusCode::METHOD_NOT_ALLOWED => {
            "this path takes the method that the header Allow names".to_owned()
        }
        "" => status.canonical_reason().unwrap_or("refused").to_lowercase(),
        text => text.to_owned(),
    };
    problem(status, text)
}

/// The router's own texts are a line.
const ERROR_BYTES_MAX: usize = 4_096;
