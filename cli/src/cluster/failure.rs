//! What a cluster's refusal means for the person who asked, and whose turn it is.

use kube::core::Status;
use kube::runtime::watcher;
use pinion_runtime::args::chain;

use super::connect::Cluster;
use crate::error::CliError;

/// Longest list of mistakes that is shown.
const CAUSES_MAX: usize = 100;

impl Cluster {
    /// Why something could not be done; `doing` begins the message, as in `deploy ema-cross`.
    pub(super) fn failure(&self, doing: &str, error: &kube::Error) -> CliError {
        match error {
            kube::Error::Api(status) => self.refusal(doing, status),
            kube::Error::SerdeError(error) => CliError::Unavailable(format!(
                "{doing}: the cluster's answer is not what this pinion knows ({error}); is it older than the operator?"
            )),
            kube::Error::Auth(_) => CliError::Unavailable(format!(
                "{doing}: the kubeconfig's user cannot log in to {}: {}",
                self.server,
                chain(error)
            )),
            _ => CliError::Unavailable(format!("{doing}: cannot reach the cluster {}: {}", self.server, root(error))),
        }
    }

    /// The same for a watch.
    pub(super) fn watch_failure(&self, doing: &str, error: &watcher::Error) -> CliError {
        match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => self.failure(doing, error),
            watcher::Error::WatchError(status) => self.refusal(doing, status),
            watcher::Error::NoResourceVersion => CliError::Unavailable(format!("{doing}: {error}")),
        }
    }

    fn refusal(&self, doing: &str, status: &Status) -> CliError {
        // "strategies.pinion.dev "x" is forbidden: User "y" cannot patch resource …": what follows the colon says which right is
        // missing. A quota says its part there too.
        let why = status.message.split_once(" is forbidden: ").map_or(status.message.as_str(), |(_, why)| why);
        match status.code {
            401 => CliError::Unavailable(format!(
                "{doing}: {} does not know the kubeconfig's user; log in again",
                self.server
            )),
            403 if why.starts_with("User ") => CliError::Unavailable(format!(
                "{doing}: a right is missing: {why}; the tenant's roles are pinion-view, pinion-edit and pinion-risk"
            )),
            403 if why.starts_with("status unknown for quota") => CliError::Unavailable(format!(
                "{doing}: the cluster has not counted the tenant's quota yet; try again in half a minute"
            )),
            403 => CliError::Unavailable(match used_up(why) {
                Some(used) => format!(
                    "{doing}: the tenant's quota is used up: {used}; delete what is not needed, or have spec.quota of the Tenant raised"
                ),
                None => format!("{doing}: forbidden: {why}"),
            }),
            404 if names_an_object(status) => CliError::Usage(format!("{doing}: {}", status.message)),
            404 => CliError::Unavailable(format!(
                "{doing}: the cluster {} does not know Pinion's resources; install the operator",
                self.server
            )),
            400 | 413 | 422 => CliError::Usage(format!("{doing}: the cluster refuses it:{}", mistakes(status))),
            _ => CliError::Unavailable(format!("{doing}: {} answers {}: {}", self.server, status.code, status.message)),
        }
    }
}

/// What of a quota is used up: `strategies: 20 of 20 used`. The apiserver says it as
/// `exceeded quota: pinion, requested: count/strategies.pinion.dev=1, used: .. , limited: ..`.
fn used_up(why: &str) -> Option<String> {
    let (_, amounts) = why.strip_prefix("exceeded quota: ")?.split_once(", requested: ")?;
    let (_, amounts) = amounts.split_once(", used: ")?;
    let (used, limited) = amounts.split_once(", limited: ")?;
    let each = used.split(',').zip(limited.split(',')).map(|(used, limited)| {
        let ((what, used), (_, limited)) = (used.split_once('=')?, limited.split_once('=')?);
        let what = what.trim_start_matches("count/").split('.').next()?;
        Some(format!("{what}: {used} of {limited} used"))
    });
    Some(each.collect::<Option<Vec<String>>>()?.join(", "))
}

/// Whether it is one object that is missing and not the type of it.
fn names_an_object(status: &Status) -> bool {
    status.details.as_ref().is_some_and(|details| !details.name.is_empty())
}

/// All mistakes that the apiserver found, a line each.
fn mistakes(status: &Status) -> String {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let lines: Vec<String> = causes
        .filter(|cause| !cause.message.is_empty())
        .map(|cause| {
            // Said of every CEL rule on an object, and of no use to a person.
            let message = cause.message.trim_start_matches("Invalid value: \"object\": ");
            match cause.field.as_str() {
                "" | "<nil>" => format!("\n  {message}"),
                field => format!("\n  {field}: {message}"),
            }
        })
        .take(CAUSES_MAX)
        .collect();
    if lines.is_empty() { format!(" {}", status.message) } else { lines.concat() }
}

/// The innermost cause: what the system said, without the layers of client between.
fn root(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

/// Fields that another manager owns, where that is why an apply is refused.
pub(super) fn conflicts(error: &kube::Error) -> Option<Vec<(String, String)>> {
    let kube::Error::Api(status) = error else { return None };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let fields = causes.filter(|cause| cause.reason == "FieldManagerConflict");
    let fields: Vec<_> = fields.map(|cause| (cause.field.clone(), cause.message.clone())).collect();
    (status.code == 409 && !fields.is_empty()).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_said_as_what_is_used_of_what_there_may_be() {
        let why = "exceeded quota: pinion, requested: count/strategies.pinion.dev=1, used: count/strategies.pinion.dev=20, limited: \
                   count/strategies.pinion.dev=20";
        assert_eq!(used_up(why).as_deref(), Some("strategies: 20 of 20 used"));
        let two = "exceeded quota: q, requested: a=1,b=1, used: a=2,b=3, limited: a=2,b=3";
        assert_eq!(used_up(two).as_deref(), Some("a: 2 of 2 used, b: 3 of 3 used"));
        assert_eq!(used_up("User \"x\" cannot patch"), None);
    }
}
