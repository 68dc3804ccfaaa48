//! What is said of a tenant.

use jiff::Timestamp;
use kube::ResourceExt as _;
use pinion_spec::status::{ConditionType, Reason, TenantStatus};

use super::{conditions, say};
use crate::crd::Tenant;

/// What a round has found of a tenant.
#[derive(Debug, Default)]
pub struct TenantView {
    /// Strategies that it has.
    pub strategies: usize,
    /// Cores of its pods.
    pub cores: u32,
    /// Topic prefixes that are its own.
    pub prefixes: Vec<String>,
    /// Why it is not as its spec asks.
    pub trouble: Vec<(Reason, String)>,
}

/// A tenant's status.
#[must_use]
pub fn tenant(resource: &Tenant, view: &TenantView, now: Timestamp) -> TenantStatus {
    let before = resource.status.clone().unwrap_or_default();
    let generation = resource.metadata.generation.unwrap_or_default();
    let ready = match view.trouble.first() {
        Some((reason, _)) => {
            let all: Vec<&str> = view.trouble.iter().map(|(_, why)| why.as_str()).collect();
            say(ConditionType::Ready, false, *reason, all.join("; "))
        }
        None => {
            say(ConditionType::Ready, true, Reason::AsSpecified, format!("namespace {} is ready", resource.name_any()))
        }
    };
    TenantStatus {
        observed_generation: generation,
        conditions: conditions(&before.conditions, vec![ready], generation, now),
        strategies: u32::try_from(view.strategies).unwrap_or(u32::MAX),
        cores: view.cores,
        topic_prefixes: view.prefixes.clone(),
    }
}
