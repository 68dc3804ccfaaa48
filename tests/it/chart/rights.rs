//! The rights that the chart gives the operator, beside what its account has asked the apiserver for.

use std::fmt;

use pinion_tests::kube::Cluster;
use serde_json::Value as Json;

use super::NAMESPACE;

/// How Kubernetes refuses what comes too late.
const GOING: &str = "because it is being terminated";

/// One verb on one resource, perhaps under one name only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    /// The role that gives it.
    role: &'static str,
    group: String,
    /// With its subresource.
    resource: String,
    verb: String,
    name: Option<String>,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, group, resource, verb, name } = self;
        write!(f, "{role}: {verb} {resource}.{group} {}", name.as_deref().unwrap_or("*"))
    }
}

impl Right {
    /// Whoever binds a role must be allowed to, which Kubernetes asks for inside of the request; without it that is refused, and the
    /// same test would see it. And the default account of a namespace is made by whoever is first, Kubernetes or the operator.
    fn may_go_unseen(&self) -> bool {
        let is_race =
            self.resource == "serviceaccounts" && self.verb == "create" && self.name.as_deref() == Some("default");
        self.verb == "bind" || is_race
    }

    fn is_used_by(&self, event: &Json, tenants: &[&str]) -> bool {
        let what = &event["objectRef"];
        let text = |field: &str| what[field].as_str().unwrap_or_default();
        let resource = match text("subresource") {
            "" => text("resource").to_owned(),
            sub => format!("{}/{sub}", text("resource")),
        };
        // A patch that makes an object takes the right to create it as well.
        let created = event["verb"] == "patch" && event["responseStatus"]["code"] == 201;
        let verb = event["verb"] == self.verb.as_str() || (created && self.verb == "create");
        let place = match self.role {
            "pinion-operator-tenant" => tenants.contains(&text("namespace")),
            "Role pinion-operator" => text("namespace") == NAMESPACE,
            _ => true,
        };
        let name = self.name.as_deref().is_none_or(|name| name == text("name"));
        self.group == text("apiGroup") && self.resource == resource && verb && place && name
    }
}

/// All rights of a role.
fn rights(role: &'static str, given: &Json) -> Vec<Right> {
    let texts = |list: &Json| -> Vec<String> {
        list.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut all = Vec::new();
    for rule in given["rules"].as_array().unwrap() {
        let names = match texts(&rule["resourceNames"]) {
            names if names.is_empty() => vec![None],
            names => names.into_iter().map(Some).collect(),
        };
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    let right = |name: &Option<String>| Right {
                        role,
                        group: group.clone(),
                        resource: resource.clone(),
                        verb: verb.clone(),
                        name: name.clone(),
                    };
                    all.extend(names.iter().map(right));
                }
            }
        }
    }
    all
}

/// Whether two requests ask for the same.
fn is_same(a: &Json, b: &Json) -> bool {
    let parts = ["apiGroup", "resource", "subresource", "namespace", "name"];
    a["verb"] == b["verb"] && parts.iter().all(|part| a["objectRef"][part] == b["objectRef"][part])
}

/// Whether it was refused not for want of a right: in a namespace that is going nothing can be made, such as an event.
fn is_late(event: &Json) -> bool {
    event["responseStatus"]["message"].as_str().is_some_and(|text| text.contains(GOING))
}

/// Rights that nothing has used, and requests that were refused, in a cluster where the operator has had these tenants.
pub(super) fn unused_and_refused(cluster: &Cluster, tenants: &[&str]) -> (Vec<String>, Vec<String>) {
    let read = |arguments: &[&str]| -> Json {
        serde_json::from_str(&cluster.ask(&[&["get", "--output=json"], arguments].concat())).unwrap()
    };
    let mut all = rights("pinion-operator", &read(&["clusterrole", "pinion-operator"]));
    all.extend(rights("pinion-operator-tenant", &read(&["clusterrole", "pinion-operator-tenant"])));
    all.extend(rights("Role pinion-operator", &read(&["role", "pinion-operator", "--namespace", NAMESPACE])));
    let events = cluster.audited();
    assert!(events.len() > 100, "{} requests in the audit log", events.len());
    let (refused, granted): (Vec<&Json>, Vec<&Json>) =
        events.iter().partition(|event| event["responseStatus"]["code"] == 403);
    let used = |right: &Right| granted.iter().any(|event| right.is_used_by(event, tenants));
    let unused = all.iter().filter(|right| !right.may_go_unseen() && !used(right)).map(ToString::to_string);
    // A right that was just given takes the apiserver a moment: what is asked for again and granted is not missing.
    let refused = refused.iter().filter(|refused| !granted.iter().any(|event| is_same(event, refused)));
    let refused = refused.filter(|event| !is_late(event));
    let refused = refused.map(|event| format!("{}: {}", event["requestURI"], event["responseStatus"]["message"]));
    println!("{} requests, {} rights", events.len(), all.len());
    (unused.collect(), refused.collect())
}
