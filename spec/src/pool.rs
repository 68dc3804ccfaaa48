//! The `RuntimePool` resource: a tenant's runtime pods of one shape.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The lease of a pool that names none.
pub const LEASE_SECONDS_DEFAULT: u32 = 60;

/// Pods of one shape. Their number follows from the workers of the strategies that name the pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuntimePoolSpec {
    /// The runtime's image.
    #[schemars(length(min = 1, max = 512), regex(pattern = "^[^\\s]+$"))]
    pub image: String,
    /// Exclusive cores of one pod. One of them is left to Kafka's client and the admin port, the others are workers; a
    /// pod of one core has one worker, which shares it with these.
    #[schemars(range(min = 1, max = 64))]
    pub cores_per_pod: u16,
    /// Memory of one pod, MiB, request and limit.
    #[serde(rename = "memoryMiB")]
    #[schemars(range(min = 128, max = 1_048_576))]
    pub memory_mib: u32,
    /// Labels of the nodes that may run them.
    #[serde(default)]
    #[schemars(extend(
        "maxProperties" = 32,
        "additionalProperties" = {"type": "string", "maxLength": 63, "pattern": "^[A-Za-z0-9._-]*$"}
    ))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that they put up with.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub tolerations: Vec<Toleration>,
    /// Neither the pool nor its strategies are Ready before the pods report that their workers run on cores that are the
    /// pod's alone.
    #[serde(default)]
    pub require_pinned: bool,
    /// Pods even when nothing asks for them.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 256))]
    pub min_pods: u16,
    /// Pods at most, whatever is asked for.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 256))]
    pub max_pods: u16,
    /// How long a pod goes on without hearing from the operator, seconds. Its shards go elsewhere no sooner. An apiserver that is
    /// away for two thirds of it, less 10 s, stops nothing; under 20 s it may run out while another operator takes over.
    #[serde(default = "lease_default")]
    #[schemars(range(min = 5, max = 3_600))]
    pub lease_seconds: u32,
    /// How workers wait for work.
    #[serde(default)]
    pub wait: Wait,
}

const fn one() -> u16 {
    1
}

const fn four() -> u16 {
    4
}

const fn lease_default() -> u32 {
    LEASE_SECONDS_DEFAULT
}

impl RuntimePoolSpec {
    /// Workers of one pod.
    #[must_use]
    pub const fn workers_per_pod(&self) -> u16 {
        if self.cores_per_pod > 1 { self.cores_per_pod - 1 } else { 1 }
    }
}

/// A taint that pods put up with, as in Kubernetes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Toleration {
    /// The taint's key; absent with `Exists`: every taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 316))]
    pub key: Option<String>,
    /// How the value is compared.
    #[serde(default)]
    pub operator: TolerationOperator,
    /// The taint's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,
    /// The taint's effect; absent: every effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
}

/// How a toleration's value is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TolerationOperator {
    /// Equal values.
    #[default]
    Equal,
    /// Any value.
    Exists,
}

/// What a taint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// Nothing new comes.
    NoSchedule,
    /// Nothing new comes if there is another place.
    PreferNoSchedule,
    /// What is there goes.
    NoExecute,
}

/// How workers wait for work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// Never let the core go: lowest latency. Needs two cores.
    Spin,
    /// Let others run between two looks.
    Yield,
    /// Sleep until woken.
    #[default]
    Park,
}

impl Wait {
    /// The name in resources and on the runtime's command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::Yield => "yield",
            Self::Park => "park",
        }
    }
}
