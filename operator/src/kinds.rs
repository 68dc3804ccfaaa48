//! The kinds of object that the operator reads and writes.

use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};

use crate::names::{ADMIN_TOKEN_SECRET, LABEL_MANAGED_BY, LABEL_RUNTIME};

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is named as in Kubernetes")]
pub enum Kind {
    Tenant,
    RuntimePool,
    Strategy,
    Namespace,
    ResourceQuota,
    LimitRange,
    NetworkPolicy,
    RoleBinding,
    ServiceAccount,
    StatefulSet,
    Service,
    PodDisruptionBudget,
    ConfigMap,
    Secret,
    Pod,
}

impl Kind {
    /// All that are watched.
    pub const ALL: [Self; 15] = [
        Self::Tenant,
        Self::RuntimePool,
        Self::Strategy,
        Self::Namespace,
        Self::ResourceQuota,
        Self::LimitRange,
        Self::NetworkPolicy,
        Self::RoleBinding,
        Self::ServiceAccount,
        Self::StatefulSet,
        Self::Service,
        Self::PodDisruptionBudget,
        Self::ConfigMap,
        Self::Secret,
        Self::Pod,
    ];

    const fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Tenant => ("pinion.dev", "v1alpha1", "Tenant", "tenants"),
            Self::RuntimePool => ("pinion.dev", "v1alpha1", "RuntimePool", "runtimepools"),
            Self::Strategy => ("pinion.dev", "v1alpha1", "Strategy", "strategies"),
            Self::Namespace => ("", "v1", "Namespace", "namespaces"),
            Self::ResourceQuota => ("", "v1", "ResourceQuota", "resourcequotas"),
            Self::LimitRange => ("", "v1", "LimitRange", "limitranges"),
            Self::NetworkPolicy => ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
            Self::RoleBinding => ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::StatefulSet => ("apps", "v1", "StatefulSet", "statefulsets"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::Pod => ("", "v1", "Pod", "pods"),
        }
    }

    /// Its name in Kubernetes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.names().2
    }

    /// How Kubernetes' API addresses it.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.names();
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        ApiResource {
            group: group.into(),
            version: version.into(),
            api_version,
            kind: kind.into(),
            plural: plural.into(),
        }
    }

    /// Whether there is one for the whole cluster. Such an object has the name of its tenant.
    #[must_use]
    pub const fn is_cluster_wide(self) -> bool {
        matches!(self, Self::Tenant | Self::Namespace)
    }

    /// Which of them the operator watches: people's resources all, Secrets by their name, everything else by its label.
    #[must_use]
    pub fn label_selector(self) -> Option<String> {
        let label = |(key, value): (&str, &str)| Some(format!("{key}={value}"));
        match self {
            Self::Tenant | Self::RuntimePool | Self::Strategy | Self::Secret => None,
            Self::Pod => label(LABEL_RUNTIME),
            _ => label(LABEL_MANAGED_BY),
        }
    }

    /// The only name of a kind that the operator may see: of Secrets its own. Kubernetes grants rights by name, never by label.
    #[must_use]
    pub fn field_selector(self) -> Option<String> {
        matches!(self, Self::Secret).then(|| format!("metadata.name={ADMIN_TOKEN_SECRET}"))
    }

    /// The API of the objects in a namespace.
    #[must_use]
    pub fn api(self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        let resource = self.resource();
        if self.is_cluster_wide() {
            Api::all_with(client.clone(), &resource)
        } else {
            Api::namespaced_with(client.clone(), namespace, &resource)
        }
    }
}
