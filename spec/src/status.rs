//! What the operator says of resources: conditions, and the figures that `kubectl get` shows.
//!
//! Figures are text of two significant digits with their unit (`41us`), or whole numbers: a status is written when a
//! person would see a difference, not with every scrape. Exact figures are in the metrics.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::strategy::ModuleSource;

/// One statement about a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people.
    #[schemars(length(max = 1_024))]
    pub message: String,
    /// When `status` last changed, RFC 3339.
    #[schemars(length(max = 35))]
    pub last_transition_time: String,
    /// The generation of the resource that it is about.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub observed_generation: i64,
}

/// What a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConditionType {
    /// It is as its spec asks.
    Ready,
    /// It is on its way to what its spec asks.
    Progressing,
    /// Every worker is bound to a core, and its pod's cores are its pod's alone, as the pods report.
    Pinned,
    /// The 99th percentile of decision latency is within its objective.
    #[serde(rename = "SLOMet")]
    SloMet,
    /// The number of workers or pods is held back by a bound or by missing cores.
    ScalingLimited,
    /// Shards moved, and what the strategy kept in memory on them was lost.
    StateLost,
    /// A module was replaced by the one before it.
    RolledBack,
    /// It is HALTED, by itself or by its tenant.
    Halted,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

/// Why a condition is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Reason {
    /// As asked for.
    AsSpecified,
    /// What was asked for is being done.
    InProgress,
    /// The resource contradicts itself.
    InvalidSpec,
    /// A topic or consumer group that the tenant may not use.
    TopicForbidden,
    /// A registry that the tenant may not pull from.
    RegistryForbidden,
    /// A risk limit cannot be brought under the tenant's ceiling.
    RiskCeiling,
    /// The namespace belongs to no tenant.
    NoTenant,
    /// The namespace was there before the tenant.
    NamespaceTaken,
    /// A topic prefix of the tenant is another's.
    PrefixTaken,
    /// The RuntimePool that it names is not there.
    NoPool,
    /// A Secret or ConfigMap that it names is not there.
    MissingReference,
    /// The tenant's quota is used up.
    QuotaExceeded,
    /// The pool has no pod that is ready.
    NoReadyPod,
    /// The pool is as large as it may be.
    PoolFull,
    /// As many workers as shards.
    AllShardsApart,
    /// At `minWorkers` or `maxWorkers`.
    AtBound,
    /// The module cannot be had or is refused.
    ModuleRefused,
    /// A topic that it reads is not there.
    TopicMissing,
    /// Faulted too often.
    Quarantined,
    /// Faulted while on probation.
    ProbationFailed,
    /// `paused: true`.
    Paused,
    /// `tradingState: HALTED`.
    HaltedBySpec,
    /// The tenant is suspended.
    TenantSuspended,
    /// Other pods may run on the workers' cores, or a worker is bound to none.
    SharedCores,
    /// The objective is missed.
    ObjectiveMissed,
    /// There is no objective, or nothing to measure.
    NotMeasured,
    /// The pods' figures cannot be read.
    ReadFailed,
    /// The old pod has not let go of a shard yet.
    WaitingForFence,
    /// Shards are elsewhere now.
    Moved,
    /// The assignment is larger than a ConfigMap can be.
    AssignmentTooLarge,
    /// It is being deleted.
    Deleting,
    /// A call to Kubernetes failed; it is tried again.
    ApiError,
}

/// Quantiles of decision latency since the pods' start, the worst of all pods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LatencyStatus {
    /// Half of all are faster.
    #[schemars(length(max = 16))]
    pub p50: String,
    /// 99 of 100 are faster.
    #[schemars(length(max = 16))]
    pub p99: String,
    /// 999 of 1,000 are faster.
    #[schemars(length(max = 16))]
    pub p999: String,
    /// The slowest.
    #[schemars(length(max = 16))]
    pub max: String,
}

/// What the operator says of a strategy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StrategyStatus {
    /// The generation of the resource that this is about.
    #[schemars(range(min = 0))]
    pub observed_generation: i64,
    /// Statements about it, one of a type.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Workers that it has.
    pub workers: u32,
    /// The labels of its pool's pods: Kubernetes' autoscalers want a selector of whatever they scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub selector: Option<String>,
    /// Shards that it has; 0 while its topics are not known.
    pub shards: u32,
    /// What the operator decided on the number of workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingStatus>,
    /// Decision latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyStatus>,
    /// How far the shard furthest behind is behind, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<u32>,
    /// Approved orders a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub orders_per_second: Option<String>,
    /// The module that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<ModuleStatus>,
    /// Where it runs.
    #[schemars(length(max = 256))]
    pub assignment: Vec<PodShards>,
}

/// What the operator decided on a strategy's workers, and what it must remember to decide again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScalingStatus {
    /// Workers that `mode: Auto` would have.
    pub recommended_workers: u32,
    /// Why.
    #[schemars(length(max = 256))]
    pub reason: String,
    /// When the number last changed, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 35))]
    pub changed_at: Option<String>,
    /// Workers with which the objective for p99 was last missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed_with: Option<u32>,
    /// The load at that time, thousandths of a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed_at_millicores: Option<u32>,
}

/// The modules of a strategy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ModuleStatus {
    /// The one that is assigned, by what pins it: of a ConfigMap its SHA-256, of a registry the digest of its manifest.
    #[schemars(length(max = 64))]
    pub running: String,
    /// SHA-256 of its bytes, once a pod runs them: what its orders are stamped with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub wasm: Option<String>,
    /// The one before it, which a rollback brings back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub previous: Option<String>,
    /// Where that one is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_source: Option<ModuleSource>,
    /// When the running one took over, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 35))]
    pub since: Option<String>,
}

/// What one pod runs of a strategy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodShards {
    /// The pod.
    #[schemars(length(max = 63))]
    pub pod: String,
    /// Its workers that serve the strategy.
    pub workers: u32,
    /// Its shards, as ranges: `0-3,7`.
    #[schemars(length(max = 1_024))]
    pub shards: String,
}

/// What the operator says of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RuntimePoolStatus {
    /// The generation of the resource that this is about.
    #[schemars(range(min = 0))]
    pub observed_generation: i64,
    /// Statements about it, one of a type.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Pods that it is to have.
    pub pods: u32,
    /// Pods that are ready.
    pub ready_pods: u32,
    /// Workers of the ready pods.
    pub workers: u32,
    /// Workers that serve a strategy.
    pub workers_used: u32,
}

/// What the operator says of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TenantStatus {
    /// The generation of the resource that this is about.
    #[schemars(range(min = 0))]
    pub observed_generation: i64,
    /// Statements about it, one of a type.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Strategies that it has.
    pub strategies: u32,
    /// Cores of its pods.
    pub cores: u32,
    /// Its topic prefixes, without those that are another tenant's.
    #[schemars(length(max = 16), inner(length(max = 249)))]
    pub topic_prefixes: Vec<String>,
}
