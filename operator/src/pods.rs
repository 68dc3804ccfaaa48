//! Calls to the pods' admin ports. Each is short and their number at a time has a limit, so pods that do not answer cost little.

use std::net::IpAddr;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use pinion_spec::assignment::{Assignment, CLOCK_HEADER, ClockError, PodClock, PodReport};
use tokio::sync::Semaphore;

use crate::names::ADMIN_PORT;

/// A call about the assignment.
pub const CALL_MAX: Duration = Duration::from_secs(1);
/// The upload of a module: megabytes.
const UPLOAD_MAX: Duration = Duration::from_secs(10);
/// Calls at a time, of all tenants together.
const CALLS_MAX: usize = 64;
/// Bytes of an answer: a report of 1,000 strategies, or the metrics of as many.
const ANSWER_BYTES_MAX: usize = 16 * 1_048_576;
/// Characters of a pod's complaint that are kept.
const COMPLAINT_CHARS_MAX: usize = 300;

const ASSIGNMENT: &str = "/control/assignment";

type Bytes = axum::body::Bytes;

/// One pod. It has no `Debug`: the token is a secret.
#[derive(Clone)]
pub struct Address {
    /// Where it is.
    pub ip: IpAddr,
    /// The token of its admin port.
    pub token: String,
}

/// What a pod answers about its assignment.
#[derive(Debug)]
pub struct Said {
    /// What it runs.
    pub report: PodReport,
    /// Its clock, at some time before the answer came.
    pub clock: PodClock,
}

/// A call that did not do what it was for.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// Nothing was sent: nobody listens.
    #[error("no connection")]
    NotReached(#[source] hyper_util::client::legacy::Error),
    /// It may have been done, or not.
    #[error("no answer within {0:?}")]
    Slow(Duration),
    /// It may have been done, or not.
    #[error("the call broke off: {0}")]
    Broken(String),
    /// The pod did not do it.
    #[error("refused ({status}): {complaint}")]
    Refused {
        /// The answer's status.
        status: StatusCode,
        /// Its text.
        complaint: String,
    },
    /// The pod has said something else than it should.
    #[error("an answer that is none: {0}")]
    Answer(String),
}

impl PodError {
    /// Whether the pod may have acted on the call.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::NotReached(_) => false,
            // What a pod finds wrong it finds before it does anything; that it cannot keep a document, after.
            Self::Refused { status, .. } => !status.is_client_error(),
            Self::Slow(_) | Self::Broken(_) | Self::Answer(_) => true,
        }
    }
}

/// What is sent to a pod.
struct Sent<'a> {
    method: Method,
    path: &'a str,
    clock: Option<&'a PodClock>,
    body: Bytes,
}

impl<'a> Sent<'a> {
    const fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, clock: None, body: Bytes::new() }
    }
}

/// Calls pods.
#[derive(Debug)]
pub struct Pods {
    client: Client<HttpConnector, Full<Bytes>>,
    permits: Semaphore,
}

impl Default for Pods {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CALL_MAX));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(2).build(connector);
        Self { client, permits: Semaphore::new(CALLS_MAX) }
    }
}

impl Pods {
    /// What a pod says of itself. Renews nothing.
    ///
    /// # Errors
    /// [`PodError`]
    pub async fn report(&self, pod: &Address) -> Result<Said, PodError> {
        said(&self.call(pod, Sent::new(Method::GET, ASSIGNMENT), CALL_MAX).await?)
    }

    /// Gives a pod its document, or the same again: both renew its lease, which counts from a time that its clock had. One that is
    /// `urgent` does not wait for the calls to other pods: those may all hang.
    ///
    /// # Errors
    /// [`PodError`]
    pub async fn assign(
        &self,
        pod: &Address,
        document: &Assignment,
        clock: &PodClock,
        urgent: bool,
    ) -> Result<Said, PodError> {
        let body = serde_json::to_vec(document).map_err(|error| PodError::Answer(error.to_string()))?;
        let put = Sent { body: body.into(), clock: Some(clock), ..Sent::new(Method::PUT, ASSIGNMENT) };
        let answer = if urgent { self.exchange(pod, put, CALL_MAX).await } else { self.call(pod, put, CALL_MAX).await };
        said(&answer?)
    }

    /// Gives a pod a module.
    ///
    /// # Errors
    /// [`PodError`]
    pub async fn put_module(&self, pod: &Address, digest: &str, module: Vec<u8>) -> Result<(), PodError> {
        let path = format!("/control/modules/{digest}");
        let put = Sent { body: module.into(), ..Sent::new(Method::PUT, &path) };
        self.call(pod, put, UPLOAD_MAX).await.map(drop)
    }

    /// A pod's metrics, in Prometheus' text format.
    ///
    /// # Errors
    /// [`PodError`]
    pub async fn metrics(&self, pod: &Address) -> Result<String, PodError> {
        let answer = self.call(pod, Sent::new(Method::GET, "/metrics"), CALL_MAX).await?;
        String::from_utf8(answer.into_body().to_vec()).map_err(|error| PodError::Answer(error.to_string()))
    }

    async fn call(&self, pod: &Address, sent: Sent<'_>, limit: Duration) -> Result<Response<Bytes>, PodError> {
        // Never closed.
        let _permit = self.permits.acquire().await.ok();
        self.exchange(pod, sent, limit).await
    }

    async fn exchange(&self, pod: &Address, sent: Sent<'_>, limit: Duration) -> Result<Response<Bytes>, PodError> {
        let host = match pod.ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let mut request = Request::builder()
            .method(sent.method)
            .uri(format!("http://{host}:{ADMIN_PORT}{}", sent.path))
            .header(header::AUTHORIZATION, format!("Bearer {}", pod.token));
        if let Some(clock) = sent.clock {
            request = request.header(CLOCK_HEADER, clock.to_string());
        }
        let request = request.body(Full::new(sent.body)).map_err(|error| PodError::Answer(error.to_string()))?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| {
                if error.is_connect() { PodError::NotReached(error) } else { PodError::Broken(error.to_string()) }
            })?;
            let (head, body) = response.into_parts();
            let answer = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let answer = answer.map_err(|error| PodError::Broken(error.to_string()))?.to_bytes();
            if head.status == StatusCode::OK {
                return Ok(Response::from_parts(head, answer));
            }
            let complaint = String::from_utf8_lossy(&answer).chars().take(COMPLAINT_CHARS_MAX).collect();
            Err(PodError::Refused { status: head.status, complaint })
        };
        tokio::time::timeout(limit, exchange).await.unwrap_or(Err(PodError::Slow(limit)))
    }
}

fn said(answer: &Response<Bytes>) -> Result<Said, PodError> {
    let clock = answer.headers().get(CLOCK_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let clock = clock.parse().map_err(|error: ClockError| PodError::Answer(error.to_string()))?;
    let report = serde_json::from_slice(answer.body()).map_err(|error| PodError::Answer(error.to_string()))?;
    Ok(Said { report, clock })
}
