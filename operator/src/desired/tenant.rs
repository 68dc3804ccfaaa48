//! A tenant's namespace and what is in it from the start: quota, defaults, roles and the runtime's service account. Its network
//! policies are in [`super::network`].

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    LimitRange, LimitRangeItem, LimitRangeSpec, Namespace, ResourceQuota, ResourceQuotaSpec, ServiceAccount,
};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource as _, ResourceExt as _};

use super::meta;
use crate::crd::Tenant;
use crate::names::{LABEL_TENANT, QUOTA, RUNTIME_ACCOUNT};

/// A tenant's objects, in the order in which they are to be made: what denies comes before what could be denied.
#[derive(Debug, Clone)]
pub struct TenantObjects {
    /// Its namespace, where pods must be restricted.
    pub namespace: Namespace,
    /// How much of the cluster it may use.
    pub quota: ResourceQuota,
    /// What a container gets that asks for nothing: without it the quota would refuse it.
    pub limits: LimitRange,
    /// The runtime's account and the default one, neither of which is given a token.
    pub accounts: Vec<ServiceAccount>,
    /// What viewers, editors and risk officers may do.
    pub roles: Vec<Role>,
    /// Whom the groups make of people. One for each role, so that a group that is taken away is taken away.
    pub bindings: Vec<RoleBinding>,
}

/// All of them.
#[must_use]
pub fn objects(tenant: &Tenant) -> TenantObjects {
    let name = tenant.name_any();
    let owner = tenant.controller_owner_ref(&());
    let access = &tenant.spec.0.access;
    let people = [("view", &access.view), ("edit", &access.edit), ("risk", &access.risk)];
    TenantObjects {
        namespace: namespace(&name, owner.clone()),
        quota: quota(&name, tenant, owner.clone()),
        limits: limits(&name, owner.clone()),
        accounts: [RUNTIME_ACCOUNT, "default"].map(|account| service_account(&name, account, owner.clone())).into(),
        roles: people.map(|(who, _)| role(&name, who, owner.clone())).into(),
        bindings: people.map(|(who, groups)| binding(&name, who, groups, owner.clone())).into(),
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

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(owned(groups)),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

/// What each kind of person may do. Nobody reads Secrets, runs pods of their own or enters one.
fn rules(who: &str) -> Vec<PolicyRule> {
    let read = ["get", "list", "watch"];
    let mut rules = vec![
        rule(
            &["pinion.dev"],
            &["strategies", "strategies/status", "strategies/scale", "runtimepools", "runtimepools/status"],
            &read,
        ),
        rule(&[""], &["pods", "pods/log", "events", "configmaps", "services", "resourcequotas"], &read),
        rule(&["events.k8s.io"], &["events"], &read),
    ];
    match who {
        "edit" => rules.extend([
            // Not the pools: their image is what holds strategies to their limits, and their nodes may be another tenant's.
            rule(&["pinion.dev"], &["strategies"], &["create", "update", "patch", "delete"]),
            rule(&["pinion.dev"], &["strategies/scale"], &["update", "patch"]),
            // Modules. Only made, never changed: the assignments with the risk limits are ConfigMaps too.
            rule(&[""], &["configmaps"], &["create"]),
        ]),
        "risk" => rules.push(rule(&["pinion.dev"], &["strategies"], &["update", "patch"])),
        _ => {}
    }
    rules
}

fn role(tenant: &str, who: &str, owner: Option<OwnerReference>) -> Role {
    Role { metadata: meta(Some(tenant), &format!("pinion-{who}"), labels(tenant), owner), rules: Some(rules(who)) }
}

fn binding(tenant: &str, who: &str, groups: &[String], owner: Option<OwnerReference>) -> RoleBinding {
    let name = format!("pinion-{who}");
    let subject = |group: &String| Subject {
        api_group: Some("rbac.authorization.k8s.io".into()),
        kind: "Group".into(),
        name: group.clone(),
        namespace: None,
    };
    RoleBinding {
        metadata: meta(Some(tenant), &name, labels(tenant), owner),
        role_ref: RoleRef { api_group: "rbac.authorization.k8s.io".into(), kind: "Role".into(), name },
        subjects: Some(groups.iter().map(subject).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::tenant_resource;

    fn allows(role: &Role, resource: &str, verb: &str) -> bool {
        let has = |list: &Vec<String>, what: &str| list.iter().any(|one| one == what || one == "*");
        let allows = |rule: &PolicyRule| has(rule.resources.as_ref().unwrap(), resource) && has(&rule.verbs, verb);
        role.rules.iter().flatten().any(allows)
    }

    #[test]
    fn pods_of_a_tenant_must_be_restricted() {
        let labels = objects(&tenant_resource()).namespace.metadata.labels.unwrap();
        assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
        assert_eq!(labels[LABEL_TENANT], "desk-7");
    }

    #[test]
    fn the_quota_bounds_requests_and_limits_alike() {
        let hard = objects(&tenant_resource()).quota.spec.unwrap().hard.unwrap();
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
        let accounts = objects(&tenant_resource()).accounts;
        assert_eq!(accounts.iter().map(|account| account.name_any()).collect::<Vec<_>>(), [RUNTIME_ACCOUNT, "default"]);
        assert!(accounts.iter().all(|account| account.automount_service_account_token == Some(false)));
    }

    #[test]
    fn each_role_may_do_its_part_and_nobody_more() {
        let roles = objects(&tenant_resource()).roles;
        let [view, edit, risk] = roles.as_slice() else { panic!("{roles:?}") };
        for role in [view, edit, risk] {
            assert!(allows(role, "strategies", "watch") && allows(role, "pods/log", "get"));
            for verb in ["get", "list", "create", "update", "patch", "delete"] {
                assert!(!allows(role, "secrets", verb), "{verb} secrets");
            }
            for what in ["pods", "pods/exec", "pods/portforward", "statefulsets", "roles", "rolebindings"] {
                assert!(!allows(role, what, "create"), "create {what}");
            }
            for verb in ["create", "update", "patch", "delete"] {
                assert!(!allows(role, "runtimepools", verb), "an image that checks no order could run: {verb}");
            }
            for verb in ["update", "patch", "delete"] {
                assert!(!allows(role, "configmaps", verb), "an assignment could be forged: {verb}");
            }
        }
        let verbs = |role: &Role| ["create", "patch", "delete"].map(|verb| allows(role, "strategies", verb));
        assert_eq!([view, edit, risk].map(verbs), [[false; 3], [true; 3], [false, true, false]]);
    }

    #[test]
    fn each_role_is_bound_to_its_groups_and_a_group_taken_away_is_unbound() {
        let mut tenant = tenant_resource();
        tenant.spec.0.access.edit.clear();
        let bindings = objects(&tenant).bindings;
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
    fn a_namespace_that_was_there_before_is_not_the_tenants() {
        let tenant = tenant_resource();
        assert!(is_own(&objects(&tenant).namespace, &tenant));
        let mut same_labels = objects(&tenant).namespace;
        same_labels.metadata.owner_references = None;
        assert!(!is_own(&same_labels, &tenant));
    }
}
