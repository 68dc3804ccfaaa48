//! The assignment document: what one pod runs, on which of its workers, and for how long it may act on it.
//!
//! The operator writes one for each pod into a ConfigMap and puts the same to the pod's admin port. Pods take the highest
//! [`Version`] that they have seen; a lower one is refused and counted.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::strategy::{Strategy, TradingState};

/// Workers of one pod: the feeds keep who reads a partition as bits.
pub const WORKERS_MAX: u16 = 64;

/// Orders documents. Compared by epoch, then by revision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Version {
    /// The term of the operator that wrote it: grows with every change of leader, so a deposed leader's documents lose.
    pub epoch: u64,
    /// Counts that leader's changes to this pod's document.
    pub revision: u64,
}

/// What one pod runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Assignment {
    /// Which document is the newer.
    pub version: Version,
    /// The pod that it is for; a pod refuses another's.
    pub pod: String,
    /// How long the pod may act on it, seconds, from the time of the pod's own clock that was last put to its admin port with it
    /// ([`PodClock`]). Then it stops itself: its shards may be another's.
    #[schemars(range(min = 5, max = 3_600))]
    pub lease_seconds: u32,
    /// The strictest state that any strategy here may be in: a suspended tenant's is HALTED.
    #[serde(default)]
    pub trading_state: TradingState,
    /// What runs.
    #[serde(default)]
    #[schemars(length(max = 1_000))]
    pub strategies: Vec<AssignedStrategy>,
}

/// One strategy's part of a pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssignedStrategy {
    /// The resource, with the tenant's risk ceilings already applied.
    pub strategy: Strategy,
    /// What pins the module that it runs, 64 hex digits, known to the operator without a fetch. Of a registry's (`spec.module.oci`) it is
    /// the digest of the manifest, which holds that of the module; the pod pulls both and checks both. Of any other it is the SHA-256 of
    /// the module itself, which the pod is given at `/control/modules/<digest>`. The pod runs nothing else.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub module: String,
    /// The shards that this pod runs, each once.
    #[schemars(length(max = 1_024))]
    pub shards: Vec<AssignedShard>,
}

/// One shard and its core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssignedShard {
    /// Partition i of every shared-out input.
    pub shard: u16,
    /// The worker of the pod that runs it, from 0.
    pub worker: u16,
}

/// The header in which a pod tells its clock with each [`PodReport`], and in which who puts an [`Assignment`] tells it again.
pub const CLOCK_HEADER: &str = "pinion-clock";

/// A time of a pod's clock, as `<clock>/<nanoseconds>`.
///
/// A lease counts from a time that the pod has told before: however long a request lies somewhere, it gives no lease that
/// whoever sent it does not know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodClock {
    /// Which clock: that of one start of one machine. Times of others mean nothing.
    pub clock: String,
    /// Nanoseconds on it. It goes on while the process is stopped or the machine sleeps.
    pub ns: u64,
}

/// A text that is no [`PodClock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{CLOCK_HEADER} is to be as a pod tells it with each report, <clock>/<nanoseconds>")]
pub struct ClockError;

impl fmt::Display for PodClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.clock, self.ns)
    }
}

impl FromStr for PodClock {
    type Err = ClockError;

    fn from_str(text: &str) -> Result<Self, ClockError> {
        let (clock, ns) = text.rsplit_once('/').filter(|(clock, _)| !clock.is_empty()).ok_or(ClockError)?;
        // Digits alone: not the signs that the parser would take.
        if !ns.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ClockError);
        }
        Ok(Self { clock: clock.to_owned(), ns: ns.parse().map_err(|_| ClockError)? })
    }
}

/// What a pod says of itself: the answer to `GET /control/assignment`, and to a `PUT` that was taken.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodReport {
    /// The document that it holds.
    pub version: Version,
    /// Whether all of the document runs: nothing is being fetched, compiled, drained or started any more.
    pub settled: bool,
    /// Digests of modules that it needs and cannot pull itself.
    pub missing_modules: Vec<String>,
    /// The core that each worker is bound to; `None` where there is none, or where it is not the pod's alone.
    pub cores: Vec<Option<u32>>,
    /// Why the pod's cores are not its alone, for a person; absent where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores_shared: Option<String>,
    /// What runs.
    pub strategies: Vec<StrategyReport>,
}

/// What a pod says of one strategy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StrategyReport {
    /// The tenant's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The module that runs, by the name that the assignment has for it ([`AssignedStrategy::module`]). What runs and is not what is
    /// assigned goes by the SHA-256 of its bytes.
    pub module: String,
    /// SHA-256 of the bytes of the module that runs: what its orders are stamped with.
    #[serde(default)]
    pub wasm: String,
    /// Shards that run here.
    pub shards: Vec<u16>,
    /// How many shards the strategy has: the partitions of its widest shared-out input. 0 while the topics are not known.
    pub shards_total: u16,
    /// Faults since this module was put in place.
    pub faults: u64,
    /// Whether an instance is in quarantine.
    pub quarantined: bool,
    /// What it may do now.
    pub trading_state: TradingState,
    /// Why it does not run as assigned, for a person: a topic that is missing, a module that is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The same for programs, where it is one that they know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem_kind: Option<ProblemKind>,
}

/// What keeps a strategy from running as assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProblemKind {
    /// A topic that it reads or writes is not there.
    TopicMissing,
    /// Kafka does not let its user do what it is to do.
    TopicForbidden,
    /// Its module cannot be had, does not fit the contract, cannot be compiled or does not start, and a person has to mend it.
    ModuleRefused,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_leaders_first_document_is_newer_than_an_old_leaders_last() {
        let old = Version { epoch: 3, revision: 900 };
        assert!(Version { epoch: 4, revision: 0 } > old);
        assert!(Version { epoch: 3, revision: 901 } > old);
    }

    #[test]
    fn a_clock_is_read_as_it_is_written_and_nothing_else_is() {
        let clock = PodClock { clock: "5b1f/0c".into(), ns: u64::MAX };
        assert_eq!(clock.to_string().parse(), Ok(clock));
        for text in ["", "/", "/5", "5", "a/", "a/-1", "a/+1", "a/ 1", "a/18446744073709551616"] {
            assert_eq!(text.parse::<PodClock>(), Err(ClockError), "{text:?}");
        }
    }

    #[test]
    fn a_document_with_a_field_that_it_does_not_have_is_refused() {
        let text = r#"{"version":{"epoch":1,"revision":2},"pod":"p-0","leaseSeconds":30,"leaseSecond":3}"#;
        let error = serde_json::from_str::<Assignment>(text).unwrap_err();
        assert!(error.to_string().contains("leaseSecond"), "{error}");
    }
}
