//! The custom resources as Kubernetes knows them: the types of `pinion-spec` in kube's wrappers, and the CRDs made of them.
//!
//! `deploy/crds/crds.yaml` is what [`yaml`] writes; the bin `crdgen` prints it.

#![expect(clippy::duplicated_attributes, reason = "clippy takes kube's columns for one attribute given twice")]

pub mod reference;
mod rules;
mod schema;

use kube::{CustomResource, CustomResourceExt};
use pinion_spec::StrategySpec;
use pinion_spec::pool::RuntimePoolSpec;
use pinion_spec::status::{RuntimePoolStatus, StrategyStatus, TenantStatus};
use pinion_spec::tenant::TenantSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// What a tenant is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[serde(transparent)]
#[kube(
    group = "pinion.dev",
    version = "v1alpha1",
    kind = "Tenant",
    doc = "A tenant: its people, its part of the cluster and of Kafka, and how far its risk limits may go.",
    status = "TenantStatus",
    derive = "PartialEq",
    shortname = "ten",
    category = "pinion",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Strategies", type_ = "integer", json_path = ".status.strategies"),
    printcolumn(name = "Cores", type_ = "integer", json_path = ".status.cores"),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspended"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct TenantResource(pub TenantSpec);

/// Pods of one shape. Their number follows from the workers of the strategies that name the pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[serde(transparent)]
#[kube(
    group = "pinion.dev",
    version = "v1alpha1",
    kind = "RuntimePool",
    namespaced,
    doc = "A tenant's runtime pods of one shape.",
    status = "RuntimePoolStatus",
    derive = "PartialEq",
    shortname = "rtp",
    category = "pinion",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Pods", type_ = "integer", json_path = ".status.pods"),
    printcolumn(name = "Up", type_ = "integer", json_path = ".status.readyPods"),
    printcolumn(name = "Workers", type_ = "integer", json_path = ".status.workers"),
    printcolumn(name = "Used", type_ = "integer", json_path = ".status.workersUsed"),
    printcolumn(name = "Pinned", type_ = "string", json_path = ".status.conditions[?(@.type==\"Pinned\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct RuntimePoolResource(pub RuntimePoolSpec);

/// What a strategy runs, reads and writes, and within which limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[serde(transparent)]
#[kube(
    group = "pinion.dev",
    version = "v1alpha1",
    kind = "Strategy",
    plural = "strategies",
    namespaced,
    doc = "A strategy: a module, what it reads, where its orders go, and its limits.",
    status = "StrategyStatus",
    derive = "PartialEq",
    shortname = "strat",
    category = "pinion",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.workers",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Workers", type_ = "integer", json_path = ".status.workers"),
    printcolumn(name = "Shards", type_ = "integer", json_path = ".status.shards"),
    printcolumn(name = "p99", type_ = "string", json_path = ".status.latency.p99"),
    printcolumn(name = "Lag", type_ = "integer", json_path = ".status.lagSeconds"),
    printcolumn(name = "Orders/s", type_ = "string", json_path = ".status.ordersPerSecond"),
    printcolumn(name = "State", type_ = "string", json_path = ".spec.tradingState", priority = 1),
    printcolumn(name = "Pool", type_ = "string", json_path = ".spec.pool", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct StrategyResource(pub StrategySpec);

impl Strategy {
    /// The resource as the rest of Pinion knows it: what a strategy file holds.
    #[must_use]
    pub fn to_file(&self) -> pinion_spec::Strategy {
        pinion_spec::Strategy {
            api_version: pinion_spec::strategy::API_VERSION.into(),
            kind: "Strategy".into(),
            metadata: pinion_spec::strategy::Metadata {
                name: self.metadata.name.clone().unwrap_or_default(),
                namespace: self.metadata.namespace.clone(),
            },
            spec: self.spec.0.clone(),
        }
    }
}

/// Why the CRDs cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    /// kube made something that is no JSON.
    #[error("write a CRD as JSON")]
    Json(#[from] serde_json::Error),
    /// It cannot be said in YAML.
    #[error("write a CRD as YAML: {0}")]
    Yaml(String),
    /// A rule is for a field that the types do not have.
    #[error("a rule names {kind} {path}, which is not in the schema")]
    NoSuchField {
        /// The resource.
        kind: String,
        /// The field.
        path: &'static str,
    },
}

/// The CRDs: Tenant, RuntimePool, Strategy.
///
/// # Errors
/// If types and rules disagree. A test keeps this from happening.
pub fn crds() -> Result<Vec<Json>, CrdError> {
    [Tenant::crd(), RuntimePool::crd(), Strategy::crd()]
        .into_iter()
        .map(|crd| {
            let mut crd = serde_json::to_value(crd)?;
            let kind = crd["spec"]["names"]["kind"].as_str().unwrap_or_default().to_owned();
            let root = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            schema::finish(root);
            rules::add(&kind, root)?;
            Ok(crd)
        })
        .collect()
}

/// The same as one YAML file.
///
/// # Errors
/// As [`crds`].
pub fn yaml() -> Result<String, CrdError> {
    let mut text = String::from(
        "# Written by crdgen from the types in spec/src and the rules in operator/src/crd. Do not edit.\n",
    );
    for crd in crds()? {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&crd).map_err(|error| CrdError::Yaml(error.to_string()))?);
    }
    Ok(text)
}
