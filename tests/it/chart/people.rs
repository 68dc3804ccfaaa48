//! What the chart lets people do.

use serde_json::Value as Json;

use super::{IMAGE, manifest, rendered};

fn allows(role: &Json, resource: &str, verb: &str) -> bool {
    let has = |list: &Json, what: &str| list.as_array().unwrap().iter().any(|one| one == what || one == "*");
    role["rules"].as_array().unwrap().iter().any(|rule| has(&rule["resources"], resource) && has(&rule["verbs"], verb))
}

#[test]
fn each_role_may_do_its_part_and_nobody_more() {
    let Some(manifests) = rendered(&["--set", IMAGE]) else { return };
    let [view, edit, risk, admin] =
        ["view", "edit", "risk", "admin"].map(|who| manifest(&manifests, "ClusterRole", &format!("pinion-{who}")));
    let write = ["create", "update", "patch", "delete"];
    for role in [view, edit, risk, admin] {
        assert!(allows(role, "strategies", "watch") && allows(role, "pods/log", "get"));
        for verb in ["get", "list", "create", "update", "patch", "delete"] {
            assert!(!allows(role, "secrets", verb), "{verb} secrets");
        }
        for what in ["pods", "pods/exec", "pods/portforward", "statefulsets", "roles", "rolebindings", "clusterroles"] {
            assert!(!allows(role, what, "create"), "create {what}");
        }
        for verb in ["update", "patch", "delete"] {
            assert!(!allows(role, "configmaps", verb), "an assignment could be forged: {verb}");
        }
        for verb in ["bind", "escalate", "impersonate", "*"] {
            assert!(!role.to_string().contains(&format!("\"{verb}\"")), "{verb}");
        }
    }
    for role in [view, edit, risk] {
        for (what, verb) in ["runtimepools", "tenants"].iter().flat_map(|what| write.map(|verb| (*what, verb))) {
            assert!(!allows(role, what, verb), "an image that checks no order could run: {verb} {what}");
        }
        assert!(!allows(role, "tenants", "list"), "a tenant's people see no other tenant");
    }
    let verbs = |role: &Json| ["create", "patch", "delete"].map(|verb| allows(role, "strategies", verb));
    assert_eq!([view, edit, risk, admin].map(verbs), [[false; 3], [true; 3], [false, true, false], [true; 3]]);
    assert!(write.iter().all(|verb| allows(admin, "tenants", verb) && allows(admin, "runtimepools", verb)));
}

#[test]
fn seeing_is_aggregated_and_trading_only_where_somebody_asks_for_it() {
    let aggregated = |set: &str| {
        let manifests = rendered(&["--set", IMAGE, "--set", set])?;
        let roles = manifests.iter().filter(|one| one["kind"] == "ClusterRole");
        let labels = roles.flat_map(|role| {
            let labels = role["metadata"]["labels"].as_object().unwrap().keys();
            labels.filter_map(|label| {
                let to = label.strip_prefix("rbac.authorization.k8s.io/aggregate-to-")?;
                Some(format!("{} {to}", role["metadata"]["name"].as_str().unwrap()))
            })
        });
        Some(labels.collect::<Vec<_>>())
    };
    let Some(usual) = aggregated("replicas=2") else { return };
    assert_eq!(usual, ["pinion-view view"]);
    assert_eq!(aggregated("rbac.aggregateToEdit=true").unwrap(), ["pinion-edit edit", "pinion-view view"]);
    assert_eq!(aggregated("rbac.aggregateToView=false").unwrap(), Vec::<String>::new());
}
