//! Names that the operator gives: field managers, labels, objects.

/// Field manager of what follows from a Tenant. One manager a concern, so that server-side apply never takes away what
/// another concern has set.
pub const MANAGER_TENANT: &str = "pinion-tenant";
/// Field manager of what follows from a RuntimePool.
pub const MANAGER_POOL: &str = "pinion-pool";
/// Field manager of assignments.
pub const MANAGER_ASSIGNMENT: &str = "pinion-assignment";
/// Field manager of statuses.
pub const MANAGER_STATUS: &str = "pinion-status";
/// Field manager of finalizers.
pub const MANAGER_FINALIZER: &str = "pinion-finalizer";

/// Says that Pinion's operator made an object.
pub const LABEL_MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "pinion-operator");
/// Label of runtime pods.
pub const LABEL_RUNTIME: (&str, &str) = ("app.kubernetes.io/name", "pinion-runtime");
/// Label of the operator's pods.
pub const LABEL_OPERATOR: (&str, &str) = ("app.kubernetes.io/name", "pinion-operator");
/// Key of the label that names the tenant.
pub const LABEL_TENANT: &str = "pinion.dev/tenant";
/// Key of the label that names the pool.
pub const LABEL_POOL: &str = "pinion.dev/pool";
/// Label of namespaces whose pods may scrape metrics.
pub const LABEL_MONITORING: (&str, &str) = ("pinion.dev/monitoring", "true");
/// Label that Kubernetes gives each namespace.
pub const LABEL_NAMESPACE: &str = "kubernetes.io/metadata.name";

/// ResourceQuota of a tenant.
pub const QUOTA: &str = "pinion";
/// Service account of runtime pods.
pub const RUNTIME_ACCOUNT: &str = "pinion-runtime";
/// Service account of the operator, in the namespace that it runs in.
pub const OPERATOR_ACCOUNT: &str = "pinion-operator";
/// The chart's ClusterRole with what the operator may do in the namespace of a tenant.
pub const OPERATOR_ROLE: &str = "pinion-operator-tenant";
/// Secret with the token of a tenant's admin ports. One name everywhere: by it, and by nothing else, the operator may read Secrets.
pub const ADMIN_TOKEN_SECRET: &str = "pinion-admin-token";
/// Port of metrics, probes and control.
pub const ADMIN_PORT: u16 = 9101;

/// The chart's ClusterRole for people who view, edit or mind the risk, and the tenant's RoleBinding to it.
#[must_use]
pub fn people_role(who: &str) -> String {
    format!("pinion-{who}")
}

/// ConfigMap with a pool's assignments.
#[must_use]
pub fn assignment_config_map(pool: &str) -> String {
    format!("{pool}-assignment")
}

/// A pod of a pool, as its StatefulSet names it.
#[must_use]
pub fn pod(pool: &str, ordinal: u16) -> String {
    format!("{pool}-{ordinal}")
}

/// The key of a pod's assignment.
#[must_use]
pub fn assignment_key(pod: &str) -> String {
    format!("{pod}.json")
}
