//! From resources to the Kubernetes objects that there are to be. Everything is a function; the objects are applied server-side,
//! so a field that is not set here is left to whoever set it.

pub mod assignment;
pub mod network;
pub mod pool;
pub mod tenant;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};

use crate::names::{LABEL_MANAGED_BY, LABEL_POOL, LABEL_RUNTIME, LABEL_TENANT};

/// The metadata of an object of ours.
fn meta(
    namespace: Option<&str>,
    name: &str,
    labels: impl IntoIterator<Item = (&'static str, String)>,
    owner: Option<OwnerReference>,
) -> ObjectMeta {
    let managed = (LABEL_MANAGED_BY.0, LABEL_MANAGED_BY.1.to_owned());
    let labels = labels.into_iter().chain([managed]).map(|(key, value)| (key.to_owned(), value));
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: namespace.map(str::to_owned),
        labels: Some(labels.collect()),
        owner_references: owner.map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

/// The labels of a pool's pods.
fn pod_labels(tenant: &str, pool: &str) -> [(&'static str, String); 3] {
    [(LABEL_RUNTIME.0, LABEL_RUNTIME.1.to_owned()), (LABEL_TENANT, tenant.to_owned()), (LABEL_POOL, pool.to_owned())]
}

/// The pods of a pool.
fn pool_selector(pool: &str) -> LabelSelector {
    selector([LABEL_RUNTIME, (LABEL_POOL, pool)])
}

/// Whatever has all of the labels.
fn selector<const N: usize>(labels: [(&str, &str); N]) -> LabelSelector {
    let labels: BTreeMap<String, String> =
        labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    LabelSelector { match_labels: (!labels.is_empty()).then_some(labels), ..LabelSelector::default() }
}
