//! A tenant's namespace and what is in it from the start: quota, defaults, service accounts, who may do what, and the token of the
//! admin ports. What the roles may do is in the chart, so that the operator can hand out those and no others. Its
//! network policies are in [`super::network`].

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    LimitRange, LimitRangeItem, LimitRangeSpec, Namespace, ResourceQuota, ResourceQuotaSpec, Secret, ServiceAccount,
};
use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource as _, ResourceExt as _};

use super::meta;
use crate::crd::Tenant;
use crate::names::{
    ADMIN_TOKEN_SECRET, LABEL_TENANT, OPERATOR_ACCOUNT, OPERATOR_ROLE, QUOTA, RUNTIME_ACCOUNT, people_role,
};

/// Bytes of the token of a tenant's admin ports; random, made by the caller.
pub type AdminToken = [u8; 32];

/// A tenant's objects, in the order in which they are to be made: what denies comes before what could be denied.
#[derive(Debug, Clone)]
pub struct TenantObjects {
    /// Its namespace, where pods must be restricted.
    pub namespace: Namespace,
    /// What lets the operator make the others.
    pub operator: RoleBinding,
    /// How much of the cluster it may use.
    pub quota: ResourceQuota,
    /// What a container gets that asks for nothing: without it the quota would refuse it.
    pub limits: LimitRange,
    /// The runtime's account and the default one, neither of which is given a token.
    pub accounts: Vec<ServiceAccount>,
    /// Whom the groups make of people. One for each role, so that a group that is taken away is taken away.
    pub bindings: Vec<RoleBinding>,
}

/// All of them. `operator_namespace` is where the operator runs.
#[must_use]
pub fn objects(tenant: &Tenant, operator_namespace: &str) -> TenantObjects {
    let name = tenant.name_any();
    let owner = tenant.controller_owner_ref(&());
    let access = &tenant.spec.0.access;
    let groups = [("view", &access.view), ("edit", &access.edit), ("risk", &access.risk)];
    TenantObjects {
        namespace: namespace(&name, owner.clone()),
        operator: operator(&name, operator_namespace, owner.clone()),
        quota: quota(&name, tenant, owner.clone()),
        limits: limits(&name, owner.clone()),
        accounts: [RUNTIME_ACCOUNT, "default"].map(|account| service_account(&name, account, owner.clone())).into(),
        bindings: groups.map(|(who, groups)| people(&name, who, groups, owner.clone())).into(),
    }
}

/// Whether a namespace that is already there is this tenant's. Another's is never taken over.
#[must_use]
pub fn is_own(namespace: &Namespace, tenant: &Tenant) -> bool {
    let owners = namespace.metadata.owner_references.iter().flatten();
    tenant.uid().is_some_and(|uid| owners.into_iter().any(|owner| owner.uid == uid))
}

fn labels(tenant: &str) -> [(&'static str, String); 1] {
    [(LABEL_TENANT, tenant.to_owned())]
}

fn namespace(tenant: &str, owner: Option<OwnerReference>) -> Namespace {
    let modes =
        ["pod-security.kubernetes.io/enforce", "pod-security.kubernetes.io/audit", "pod-security.kubernetes.io/warn"];
    let security = modes.map(|mode| (mode, "restricted".to_owned()));
    Namespace {
        metadata: meta(None, tenant, labels(tenant).into_iter().chain(security), owner),
        ..Namespace::default()
    }
}

fn quantities<const N: usize>(of: [(&str, String); N]) -> BTreeMap<String, Quantity> {
    of.into_iter().map(|(name, amount)| (name.to_owned(), Quantity(amount))).collect()
}

fn quota(name: &str, tenant: &Tenant, owner: Option<OwnerReference>) -> ResourceQuota {
    let quota = &tenant.spec.0.quota;
    let (cores, memory) = (quota.cores.to_string(), format!("{}Mi", quota.memory_mib));
    let hard = quantities([
        ("requests.cpu", cores.clone()),
        ("limits.cpu", cores),
        ("requests.memory", memory.clone()),
        ("limits.memory", memory),
        ("count/strategies.pinion.dev", quota.strategies.to_string()),
        ("count/configmaps", config_maps(quota.strategies).to_string()),
        // Strategies need neither, and both cost money or open the namespace to the outside.
        ("services.loadbalancers", "0".into()),
        ("services.nodeports", "0".into()),
        ("persistentvolumeclaims", "0".into()),
    ]);
    let spec = ResourceQuotaSpec { hard: Some(hard), ..ResourceQuotaSpec::default() };
    ResourceQuota {
        metadata: meta(Some(name), QUOTA, labels(name), owner),
        spec: Some(spec),
        ..ResourceQuota::default()
    }
}

/// How many ConfigMaps there may be: each holds up to a MiB of the store that all tenants share. A strategy has a module, the one before it
/// and one that is on its way; the rest are assignments and the cluster's own.
const fn config_maps(strategies: u32) -> u32 {
    32 + 3 * strategies
}

fn limits(name: &str, owner: Option<OwnerReference>) -> LimitRange {
    let each = || Some(quantities([("cpu", "100m".into()), ("memory", "128Mi".into())]));
    let item = LimitRangeItem {
        type_: "Container".into(),
        default: each(),
        default_request: each(),
        ..LimitRangeItem::default()
    };
    LimitRange {
        metadata: meta(Some(name), "pinion", labels(name), owner),
        spec: Some(LimitRangeSpec { limits: vec![item] }),
    }
}

fn service_account(namespace: &str, name: &str, owner: Option<OwnerReference>) -> ServiceAccount {
    // The default one is Kubernetes' own: deleted with its namespace and not with the tenant.
    let owner = owner.filter(|_| name != "default");
    ServiceAccount {
        metadata: meta(Some(namespace), name, labels(namespace), owner),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

fn binding(name: &str, tenant: &str, role: &str, subjects: Vec<Subject>, owner: Option<OwnerReference>) -> RoleBinding {
    RoleBinding {
        metadata: meta(Some(tenant), name, labels(tenant), owner),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".into(),
            kind: "ClusterRole".into(),
            name: role.to_owned(),
        },
        subjects: Some(subjects),
    }
}

fn people(tenant: &str, who: &str, groups: &[String], owner: Option<OwnerReference>) -> RoleBinding {
    let subject = |group: &String| Subject {
        api_group: Some("rbac.authorization.k8s.io".into()),
        kind: "Group".into(),
        name: group.clone(),
        namespace: None,
    };
    let role = people_role(who);
    binding(&role, tenant, &role, groups.iter().map(subject).collect(), owner)
}

fn operator(tenant: &str, operator_namespace: &str, owner: Option<OwnerReference>) -> RoleBinding {
    let account = Subject {
        api_group: None,
        kind: "ServiceAccount".into(),
        name: OPERATOR_ACCOUNT.into(),
        namespace: Some(operator_namespace.to_owned()),
    };
    binding(OPERATOR_ACCOUNT, tenant, OPERATOR_ROLE, vec![account], owner)
}

/// The Secret with the token of the tenant's admin ports. It is made once and never changed.
#[must_use]
pub fn admin_token(tenant: &Tenant, token: &AdminToken) -> Secret {
    let mut text = String::with_capacity(2 * token.len());
    for byte in token {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    let name = tenant.name_any();
    Secret {
        metadata: meta(Some(&name), ADMIN_TOKEN_SECRET, labels(&name), tenant.controller_owner_ref(&())),
        data: Some(BTreeMap::from([("token".to_owned(), ByteString(text.into_bytes()))])),
        immutable: Some(true),
        type_: Some("Opaque".into()),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::tenant_resource;

    fn of(tenant: &Tenant) -> TenantObjects {
        objects(tenant, "pinion-system")
    }

    #[test]
    fn pods_of_a_tenant_must_be_restricted() {
        let labels = of(&tenant_resource()).namespace.metadata.labels.unwrap();
        assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
        assert_eq!(labels[LABEL_TENANT], "desk-7");
    }

    #[test]
    fn the_quota_bounds_requests_and_limits_alike() {
        let hard = of(&tenant_resource()).quota.spec.unwrap().hard.unwrap();
        for (name, amount) in [
            ("requests.cpu", "16"),
            ("limits.cpu", "16"),
            ("requests.memory", "32768Mi"),
            ("limits.memory", "32768Mi"),
            ("count/strategies.pinion.dev", "20"),
            ("count/configmaps", "92"),
        ] {
            assert_eq!(hard[name].0, amount, "{name}");
        }
    }

    #[test]
    fn no_account_is_given_a_token() {
        let accounts = of(&tenant_resource()).accounts;
        assert_eq!(accounts.iter().map(|account| account.name_any()).collect::<Vec<_>>(), [RUNTIME_ACCOUNT, "default"]);
        assert!(accounts.iter().all(|account| account.automount_service_account_token == Some(false)));
    }

    #[test]
    fn each_role_is_bound_to_its_groups_and_a_group_taken_away_is_unbound() {
        let mut tenant = tenant_resource();
        tenant.spec.0.access.edit.clear();
        let bindings = of(&tenant).bindings;
        let bound: Vec<(&str, Vec<&str>)> = bindings
            .iter()
            .map(|binding| {
                let groups = binding.subjects.iter().flatten().map(|subject| subject.name.as_str()).collect();
                (binding.role_ref.name.as_str(), groups)
            })
            .collect();
        assert_eq!(
            bound,
            [("pinion-view", vec!["desk-7"]), ("pinion-edit", vec![]), ("pinion-risk", vec!["risk-officers"])]
        );
    }

    #[test]
    fn the_operator_is_let_in_by_a_binding_of_the_tenants_own() {
        let operator = of(&tenant_resource()).operator;
        assert_eq!(operator.role_ref.name, OPERATOR_ROLE);
        let subject = &operator.subjects.unwrap()[0];
        assert_eq!((subject.name.as_str(), subject.namespace.as_deref()), (OPERATOR_ACCOUNT, Some("pinion-system")));
    }

    #[test]
    fn the_token_is_text_of_sixty_four_digits() {
        let secret = admin_token(&tenant_resource(), &[0xA5; 32]);
        assert_eq!(secret.data.unwrap()["token"].0, "a5".repeat(32).into_bytes());
    }

    #[test]
    fn a_namespace_that_was_there_before_is_not_the_tenants() {
        let tenant = tenant_resource();
        assert!(is_own(&of(&tenant).namespace, &tenant));
        let mut same_labels = of(&tenant).namespace;
        same_labels.metadata.owner_references = None;
        assert!(!is_own(&same_labels, &tenant));
    }
}
