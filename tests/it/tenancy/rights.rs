//! Who may do what, asked of the real apiserver by people with certificates of their groups and by service accounts with tokens.

use std::path::PathBuf;

use pinion_tests::kube::Cluster;
use serde_json::json;

use super::desk;
use crate::desk::{Desk, becomes, tenant};

/// A person's kubeconfig, or a service account's.
struct Who {
    name: &'static str,
    kubeconfig: PathBuf,
}

impl Who {
    /// Whether the apiserver says that they may; `verb` and `resource` as kubectl takes them.
    fn may(&self, cluster: &Cluster, namespace: &str, verb: &str, resource: &str) -> bool {
        let (resource, name) =
            resource.split_once('/').map_or((resource, None), |(resource, rest)| (resource, Some(rest)));
        let mut arguments = vec!["auth", "can-i", verb, resource, "--namespace", namespace];
        let subresource = name.map(|name| format!("--subresource={name}"));
        arguments.extend(subresource.as_deref());
        let output = cluster.kubectl_as(&self.kubeconfig, &arguments);
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(
            said == "yes" || said.starts_with("no"),
            "{}: {said} {}",
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
        said == "yes"
    }
}

/// A tenant whose groups are its own, and its people. The CI's service account is an editor by its namespace's group.
fn people(desk: &Desk<'_>) -> [Who; 6] {
    let group = |what: &str| format!("{}-{what}", desk.name);
    let mut resource = tenant(&desk.name, desk.broker);
    let ci = group("ci");
    resource["spec"]["access"] = json!({
        "view": [group("viewers")], "edit": [group("quants"), format!("system:serviceaccounts:{ci}")], "risk": [group("officers")]
    });
    desk.apply(&resource);
    becomes(desk.cluster, &desk.name, &format!("tenant/{}", desk.name), "Ready", "True", "AsSpecified");
    let _ = desk.cluster.ask(&["create", "namespace", &ci]);
    let _ = desk.cluster.ask(&["create", "serviceaccount", "deployer", "--namespace", &ci]);
    let person = |name: &'static str, groups: &[&str]| Who {
        name,
        kubeconfig: desk.cluster.kubeconfig_of_person(&format!("{name}-of-{}", desk.name), groups),
    };
    [
        person("viewer", &[&group("viewers")]),
        person("quant", &[&group("quants")]),
        person("officer", &[&group("officers")]),
        person("stranger", &["nobody-quants"]),
        Who { name: "ci", kubeconfig: desk.cluster.kubeconfig_of(&ci, "deployer") },
        Who { name: "runtime", kubeconfig: desk.cluster.kubeconfig_of(&desk.name, "pinion-runtime") },
    ]
}

/// What is done, and whether viewer, quant, officer, stranger, the CI's account and the runtime's account may.
const TABLE: [(&str, &str, [bool; 6]); 38] = {
    const ALL: [bool; 6] = [true, true, true, false, true, false];
    const EDIT: [bool; 6] = [false, true, false, false, true, false];
    const CHANGE: [bool; 6] = [false, true, true, false, true, false];
    const NONE: [bool; 6] = [false; 6];
    [
        ("get", "strategies.pinion.dev", ALL),
        ("list", "strategies.pinion.dev", ALL),
        ("watch", "strategies.pinion.dev", ALL),
        ("create", "strategies.pinion.dev", EDIT),
        ("patch", "strategies.pinion.dev", CHANGE),
        ("update", "strategies.pinion.dev", CHANGE),
        ("delete", "strategies.pinion.dev", EDIT),
        ("deletecollection", "strategies.pinion.dev", NONE),
        ("patch", "strategies.pinion.dev/status", NONE),
        ("patch", "strategies.pinion.dev/scale", EDIT),
        ("get", "runtimepools.pinion.dev", ALL),
        ("create", "runtimepools.pinion.dev", NONE),
        ("patch", "runtimepools.pinion.dev", NONE),
        ("delete", "runtimepools.pinion.dev", NONE),
        ("get", "tenants.pinion.dev", NONE),
        ("patch", "tenants.pinion.dev", NONE),
        ("get", "configmaps", ALL),
        ("create", "configmaps", EDIT),
        ("patch", "configmaps", NONE),
        ("delete", "configmaps", NONE),
        ("list", "pods", ALL),
        ("get", "pods/log", ALL),
        ("create", "pods", NONE),
        ("delete", "pods", NONE),
        ("create", "pods/exec", NONE),
        ("create", "pods/portforward", NONE),
        ("get", "pods/proxy", NONE),
        ("create", "pods/ephemeralcontainers", NONE),
        ("get", "secrets", NONE),
        ("list", "secrets", NONE),
        ("create", "secrets", NONE),
        ("list", "events", ALL),
        ("create", "events", NONE),
        ("create", "statefulsets.apps", NONE),
        ("create", "rolebindings.rbac.authorization.k8s.io", NONE),
        ("create", "networkpolicies.networking.k8s.io", NONE),
        ("create", "serviceaccounts/token", NONE),
        ("patch", "resourcequotas", NONE),
    ]
};

#[test]
fn each_of_a_tenants_people_may_do_their_part_and_nobody_more() {
    let Some(desk) = desk() else { return };
    let people = people(&desk);
    let mut wrong = Vec::new();
    let names: Vec<&str> = people.iter().map(|who| who.name).collect();
    println!("{:<18} {:<45} {}", "", "", names.join(" "));
    for (verb, resource, expected) in TABLE {
        let found: Vec<bool> = people.iter().map(|who| who.may(desk.cluster, &desk.name, verb, resource)).collect();
        let marks: Vec<&str> = found.iter().map(|may| if *may { "yes" } else { "-" }).collect();
        println!("{verb:<18} {resource:<45} {}", marks.join(" "));
        for ((who, may), expected) in people.iter().zip(&found).zip(expected) {
            if *may != expected {
                wrong.push(format!("{} may{} {verb} {resource}", who.name, if *may { "" } else { " not" }));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // And none of them outside of the namespace.
    for who in &people {
        for (verb, resource) in [("list", "strategies.pinion.dev"), ("patch", "namespaces"), ("impersonate", "groups")]
        {
            assert!(!who.may(desk.cluster, "default", verb, resource), "{} may {verb} {resource}", who.name);
        }
    }
}

/// What the table says, done: the apiserver's word on a right is not the deed.
#[test]
fn a_quant_deploys_an_officer_halts_and_a_viewer_looks() {
    let Some(desk) = desk() else { return };
    let people = people(&desk);
    let [viewer, quant, officer, stranger, ci, runtime] = &people;
    let scratch = pinion_tests::scratch::Scratch::new();
    let mut strategy = desk.strategy.clone();
    strategy.spec.paused = true;
    let file = scratch.write("strategy.json", serde_json::to_vec(&strategy).unwrap());
    let file = file.to_str().unwrap();
    let run = |who: &Who, arguments: &[&str]| {
        let output = desk.cluster.kubectl_as(&who.kubeconfig, &[arguments, &["--namespace", &desk.name]].concat());
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let refused = |who: &Who, arguments: &[&str]| {
        let (done, said) = run(who, arguments);
        assert!(!done && said.contains("is forbidden: User"), "{} {arguments:?}: {said}", who.name);
    };
    let done = |who: &Who, arguments: &[&str]| {
        let (done, said) = run(who, arguments);
        assert!(done, "{} {arguments:?}: {said}", who.name);
    };
    let halt = ["patch", "strategy", "record-only", "--type=merge", "--patch", r#"{"spec":{"tradingState":"HALTED"}}"#];
    for who in [viewer, officer, stranger, runtime] {
        refused(who, &["create", "--filename", file]);
    }
    done(ci, &["create", "--filename", file]);
    for who in [viewer, quant, officer, ci] {
        done(who, &["get", "strategies"]);
    }
    for who in [viewer, stranger, runtime] {
        refused(who, &halt);
        refused(who, &["delete", "strategy", "record-only"]);
    }
    for who in [stranger, runtime] {
        refused(who, &["get", "strategies"]);
    }
    refused(officer, &["delete", "strategy", "record-only"]);
    done(officer, &halt);
    done(quant, &["delete", "strategy", "record-only"]);
    for who in &people {
        refused(who, &["get", "secrets"]);
    }

    // A group that is taken away takes its rights with it.
    let patch = json!({"spec": {"access": {"edit": []}}}).to_string();
    let _ = desk.cluster.ask(&["patch", "tenant", &desk.name, "--type=merge", "--patch", &patch]);
    pinion_tests::wait::until("the quant's rights to be gone", crate::desk::STEP, || {
        (!quant.may(desk.cluster, &desk.name, "create", "strategies.pinion.dev")).then_some(())
    });
    refused(quant, &["create", "--filename", file]);
}
