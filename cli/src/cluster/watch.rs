//! Waiting for a strategy to become what was asked for, by a watch: no poll, so the wait ends with the status that ends it.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, ResourceExt as _};
use pinion_operator::crd::Strategy;

use super::connect::Cluster;
use crate::error::CliError;

/// After a watch that broke.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How a wait went.
pub(super) enum Waited<T> {
    /// What was waited for.
    Done(T),
    /// Not within the limit; the strategy as it was last seen.
    TimedOut(Option<Box<Strategy>>),
}

/// Shows `look` the strategy at once and with each of its changes, until it gives an answer or the limit is over.
///
/// # Errors
/// If the strategy is gone, or if it may not be watched. A watch that breaks is begun again.
pub(super) async fn watch<T>(
    cluster: &Cluster,
    api: &Api<Strategy>,
    name: &str,
    limit: Duration,
    mut look: impl FnMut(&Strategy) -> Option<T>,
) -> Result<Waited<T>, CliError> {
    let mut last = None;
    let outcome = tokio::time::timeout(limit, async {
        let mut changes = pin!(watch_object(api.clone(), name));
        loop {
            match changes.next().await {
                Some(Ok(Some(strategy))) => {
                    if let Some(answer) = look(&strategy) {
                        return Ok(answer);
                    }
                    last = Some(Box::new(strategy));
                }
                Some(Ok(None)) => return Err(CliError::Usage(format!("wait for {name}: it has been deleted"))),
                Some(Err(error)) if is_refusal(&error) => {
                    return Err(cluster.watch_failure(&format!("wait for {name}"), &error));
                }
                _ => tokio::time::sleep(AGAIN_AFTER).await,
            }
        }
    })
    .await;
    match outcome {
        Ok(answer) => answer.map(Waited::Done),
        Err(_) => Ok(Waited::TimedOut(last)),
    }
}

/// Whether asking again would be answered the same: a right that is missing.
fn is_refusal(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
        return false;
    };
    matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404))
}

/// `NAMESPACE/NAME`.
pub(super) fn full_name(strategy: &Strategy) -> String {
    format!("{}/{}", strategy.namespace().unwrap_or_default(), strategy.name_any())
}
