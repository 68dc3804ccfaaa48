//! The chart comes, changes and goes on a real control plane.

use std::path::PathBuf;

use pinion_tests::kube::{Cluster, Tier, prometheus_definitions};
use pinion_tests::scratch::Scratch;
use serde_json::{Value as Json, json};

use super::{IMAGE, NAMESPACE, chart, copy_into, helm_does};

fn get(cluster: &Cluster, arguments: &[&str]) -> Json {
    let arguments = [&["get", "--namespace", NAMESPACE, "--output=json"], arguments].concat();
    serde_json::from_str(&cluster.ask(&arguments)).unwrap()
}

/// The chart as a version before would have been: its tenants had no short name yet.
fn older(folder: &Scratch) -> PathBuf {
    let chart = copy_into(folder);
    let file = chart.join("files/crds/crds.yaml");
    let definitions = std::fs::read_to_string(&file).unwrap();
    let without = definitions.replacen("    shortNames:\n    - ten\n", "", 1);
    assert_ne!(without, definitions);
    std::fs::write(file, without).unwrap();
    chart
}

#[test]
fn it_is_installed_upgraded_with_its_definitions_and_uninstalled_without_them() {
    let Some(cluster) = Cluster::start(Tier::Full) else { return };
    let folder = Scratch::new();
    let older = older(&folder);
    let _ = cluster.ask(&["create", "namespace", NAMESPACE]);
    let _ = cluster.ask(&["label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted"]);
    let into = ["--namespace", NAMESPACE, "--set", IMAGE, "--wait", "--timeout", "3m"];
    let _ = helm_does(&cluster, &[&["install", "pinion", older.to_str().unwrap()], &into[..]].concat());

    // Two pods that a restricted namespace takes, on two nodes, of which one may be evicted at a time.
    let pods = get(&cluster, &["pods", "--selector", "app.kubernetes.io/name=pinion-operator"]);
    let nodes = pods["items"].as_array().unwrap().iter().map(|pod| pod["spec"]["nodeName"].as_str().unwrap());
    let mut nodes: Vec<&str> = nodes.collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["fake-0", "fake-1"]);
    assert_eq!(get(&cluster, &["pdb", "pinion-operator"])["spec"]["maxUnavailable"], 1);
    assert!(!cluster.kubectl(&["get", "ten"]).status.success(), "the older definitions have no such name");

    // The names are the cluster's: there is room for one.
    let _ = cluster.ask(&["create", "namespace", "second"]);
    let second = cluster.helm(&["install", "second", chart(), "--namespace", "second", "--set", IMAGE]);
    assert!(!second.status.success(), "two operators");

    let tenant = json!({
        "apiVersion": "pinion.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": "desk-7"},
        "spec": {"quota": {"cores": 1, "memoryMiB": 512, "strategies": 1}, "kafka": {"brokers": ["kafka:9092"], "topicPrefixes": ["a."]}}
    });
    cluster.apply(&tenant.to_string());
    for definition in prometheus_definitions() {
        let _ = cluster.ask(&["apply", "--server-side", "-f", definition.to_str().unwrap()]);
    }
    let all = "replicas=3,monitoring.operator.enabled=true,monitoring.runtime.enabled=true,monitoring.rules.enabled=true,\
               monitoring.dashboards.enabled=true";
    let _ = helm_does(&cluster, &[&["upgrade", "pinion", chart(), "--set", all], &into[..]].concat());
    let _ =
        cluster.ask(&["rollout", "status", "deployment/pinion-operator", "--namespace", NAMESPACE, "--timeout=60s"]);
    assert_eq!(get(&cluster, &["deployment", "pinion-operator"])["status"]["readyReplicas"], 3);
    assert!(cluster.ask(&["get", "ten"]).contains("desk-7"), "an upgrade brings its definitions");
    for what in ["servicemonitor/pinion-operator", "podmonitor/pinion-runtime", "service/pinion-operator-metrics"] {
        let _ = get(&cluster, &[what]);
    }

    let _ = helm_does(&cluster, &["uninstall", "pinion", "--namespace", NAMESPACE, "--wait", "--timeout", "3m"]);
    assert!(cluster.ask(&["get", "ten"]).contains("desk-7"), "tenants and definitions stay");
    let kinds = "deployments,serviceaccounts,networkpolicies,roles,rolebindings,services,servicemonitors,podmonitors,prometheusrules";
    let left = cluster.ask(&[
        "get",
        kinds,
        "--namespace",
        NAMESPACE,
        "--selector=app.kubernetes.io/part-of=pinion",
        "--output=name",
    ]);
    let wide = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings";
    let left = left + &cluster.ask(&["get", wide, "--selector=app.kubernetes.io/part-of=pinion", "--output=name"]);
    assert_eq!(left, "", "what an uninstallation leaves");

    let _ = helm_does(&cluster, &[&["install", "pinion", chart()], &into[..]].concat());
    assert!(cluster.ask(&["get", "ten"]).contains("desk-7"), "what was kept is taken up again");
}
