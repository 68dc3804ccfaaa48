//! How the operator calls Kubernetes: two clients, and patience with an apiserver that asks for it.
//!
//! Promises: a call has a limit; an apiserver that says when to come again (429 or 503 with `Retry-After`) has no write before
//! that, from any tenant's round; a refusal is never repeated at once. The Lease alone is asked for at its own pace, because a leader that
//! waits too long is none. Pods are called all the while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, Response, StatusCode, header};
use kube::client::{ClientBuilder, DynBody};
use kube::core::Status;
use kube::{Client, Config};
use tower::util::MapResponseLayer;

use crate::clock::mono_ns;
use crate::metrics::{Call, Metrics};

/// How long a read may take.
const READ_MAX: Duration = Duration::from_secs(3);
/// The longest wait that is agreed to: something between that asks for an hour does not stop the operator for one.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Until when the apiserver has asked to be left alone.
#[derive(Debug, Default)]
pub struct Patience {
    until_ns: AtomicU64,
}

impl Patience {
    /// How much longer, if it has asked.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let left = self.until_ns.load(Ordering::Acquire).saturating_sub(mono_ns());
        (left > 0).then(|| Duration::from_nanos(left))
    }

    fn heed(&self, status: StatusCode, headers: &HeaderMap, now_ns: u64) {
        if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            return;
        }
        // A date, the header's other form, is of another machine's clock; Kubernetes sends seconds.
        let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(seconds) = seconds {
            let wait = Duration::from_secs(seconds).min(WAIT_MAX);
            let until_ns = now_ns.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
            self.until_ns.fetch_max(until_ns, Ordering::AcqRel);
        }
    }
}

/// The two clients: what hangs on a connection of one does not hold up the other.
pub struct Clients {
    /// For watches. Kubernetes' client repeats what is refused for a while, as it is told to.
    pub watch: Client,
    /// For everything else. Nothing is repeated in it: who calls decides when to call again.
    pub call: Client,
    /// What the apiserver has asked `call` for.
    pub patience: Arc<Patience>,
}

impl Clients {
    /// Clients of one apiserver.
    ///
    /// # Errors
    /// If the credentials or certificates cannot be used.
    pub fn new(config: Config) -> Result<Self, kube::Error> {
        let patience = Arc::new(Patience::default());
        let layer = MapResponseLayer::new(heeding::<Box<DynBody>>(Arc::clone(&patience)));
        let watch = Client::try_from(config.clone())?;
        let mut once = config;
        once.default_retry = false;
        let call = ClientBuilder::try_from(once)?.with_layer(&layer).build();
        Ok(Self { watch, call, patience })
    }
}

/// Reads what each answer asks for.
fn heeding<B>(patience: Arc<Patience>) -> impl Fn(Response<B>) -> Response<B> + Clone {
    move |response| {
        patience.heed(response.status(), response.headers(), mono_ns());
        response
    }
}

/// A read that told nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Kubernetes refused it.
    #[error("{} ({})", .0.message, .0.code)]
    Refused(Box<Status>),
    /// The connection broke off.
    #[error("no answer")]
    Broken(#[source] kube::Error),
    /// No answer came.
    #[error("the apiserver has not answered for {READ_MAX:?}")]
    Slow,
}

/// Reads, for a limited time.
///
/// # Errors
/// [`ReadError`]
pub async fn read<T>(metrics: &Metrics, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ReadError> {
    match tokio::time::timeout(READ_MAX, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            metrics.kube_error(Call::Read, Some(&error));
            Err(match error {
                kube::Error::Api(status) => ReadError::Refused(status),
                error => ReadError::Broken(error),
            })
        }
        Err(_) => {
            metrics.kube_error(Call::Read, None);
            Err(ReadError::Slow)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn asked(status: u16, retry_after: &str) -> u64 {
        let patience = Patience::default();
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, retry_after.parse().unwrap())]);
        patience.heed(StatusCode::from_u16(status).unwrap(), &headers, 5 * SECOND);
        patience.until_ns.load(Ordering::Relaxed)
    }

    #[test]
    fn who_is_asked_to_wait_waits_and_not_for_ever() {
        assert_eq!(asked(429, "7"), 12 * SECOND);
        assert_eq!(asked(503, "1"), 6 * SECOND);
        assert_eq!(asked(429, "86400"), 35 * SECOND);
        assert_eq!((asked(500, "7"), asked(429, "soon")), (0, 0));
    }

    #[test]
    fn a_shorter_wait_does_not_end_a_longer_one() {
        let patience = Patience::default();
        for seconds in ["9", "1"] {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, seconds.parse().unwrap())]);
            patience.heed(StatusCode::TOO_MANY_REQUESTS, &headers, 0);
        }
        assert_eq!(patience.until_ns.load(Ordering::Relaxed), 9 * SECOND);
    }
}
