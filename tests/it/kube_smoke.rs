//! The fixture itself: a cluster that validates, schedules, refuses and runs as a real one does, and that goes without a trace.

use std::net::TcpStream;
use std::process::Output;
use std::time::Duration;

use pinion_tests::kube::{Cluster, Part, REAL_NODE, Setup, Tier, prometheus_folder};
use pinion_tests::scratch::Scratch;
use pinion_tests::wait::until;

/// Controllers act within 5 s on a quiet machine.
const LIMIT: Duration = Duration::from_secs(60);

/// What a namespace under the restricted policy asks of a pod, and of its container.
const POD_CONTEXT: &str = "{runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}";
const CONTAINER_CONTEXT: &str =
    "{allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, readOnlyRootFilesystem: true}";

/// A custom resource with a rule.
const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: feathers.smoke.pinion.dev}
spec:
  group: smoke.pinion.dev
  names: {kind: Feather, plural: feathers, singular: feather}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          length: {type: integer, x-kubernetes-validations: [{rule: self < 100, message: no bird is that long}]}
";

#[test]
fn an_apiserver_serves_a_custom_resource_and_refuses_what_its_rule_forbids() {
    let Some(cluster) = Cluster::start(Tier::Api) else { return };
    cluster.apply(DEFINITION);
    let _ = cluster.ask(&["wait", "--for=condition=Established", "crd/feathers.smoke.pinion.dev", "--timeout=60s"]);
    assert_refused(&cluster.try_apply(&feather("default", "f", 100)), "no bird is that long");
    cluster.apply(&feather("default", "f", 99));
    assert_eq!(cluster.ask(&["get", "feather", "f", "--output", "jsonpath={.length}"]), "99");
}

#[test]
fn a_frozen_apiserver_answers_nobody_until_it_thaws_and_a_dropped_cluster_is_gone() {
    let Some(cluster) = Cluster::start(Tier::Api) else { return };
    let (folder, address) = (cluster.folder().to_owned(), cluster.server().replace("https://", ""));
    // A list at the latest version, which the apiserver asks etcd for.
    let list = |timeout| cluster.kubectl(&["get", "--raw", "/api/v1/namespaces", timeout]);
    for part in [Part::Apiserver, Part::Etcd] {
        let frozen = cluster.freeze(part);
        assert!(!list("--request-timeout=2s").status.success(), "{part:?} is frozen");
        drop(frozen);
        until("an answer after the thaw", LIMIT, || list("--request-timeout=30s").status.success().then_some(()));
    }
    drop(cluster);
    assert!(!folder.exists(), "{} is left", folder.display());
    assert!(TcpStream::connect(&address).is_err(), "something still listens on {address}");
}

#[test]
fn a_quota_counts_custom_resources() {
    let scratch = Scratch::new();
    let definitions = vec![scratch.write("definition.yaml", DEFINITION)];
    let Some(cluster) = Cluster::start(Setup { definitions, ..Setup::from(Tier::Full) }) else { return };
    let name = restricted_namespace(&cluster, "counted");
    let spec = "{hard: {count/feathers.smoke.pinion.dev: '1'}}";
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: ResourceQuota, metadata: {{name: q, namespace: {name}}}, spec: {spec}}}"
    ));
    until("the quota to be counted", LIMIT, || {
        cluster
            .ask(&["get", "resourcequota", "q", "--namespace", &name, "--output", "yaml"])
            .contains("used:")
            .then_some(())
    });
    cluster.apply(&feather(&name, "first", 1));
    assert_refused(&cluster.try_apply(&feather(&name, "second", 1)), "exceeded quota: q");
}

#[test]
fn a_stateful_set_becomes_ready_within_its_quota_and_only_as_the_restricted_policy_allows() {
    let Some(cluster) = Cluster::shared() else { return };
    let name = restricted_namespace(cluster, "quota");
    cluster.apply(&format!(
        "
{{apiVersion: v1, kind: ResourceQuota, metadata: {{name: q, namespace: {name}}}, spec: {{hard: {{pods: '2'}}}}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: s, namespace: {name}}}
spec:
  replicas: 3
  podManagementPolicy: Parallel
  serviceName: s
  selector: {{matchLabels: {{app: s}}}}
  template:
    metadata: {{labels: {{app: s}}}}
    spec:
      securityContext: {POD_CONTEXT}
      containers: [{{name: c, image: 'localhost/none:1', securityContext: {CONTAINER_CONTEXT}}}]
"
    ));
    let get = |what: &str| cluster.ask(&["get", "--namespace", &name, "--output", what, "statefulset/s"]);
    until("two ready pods", LIMIT, || (get("jsonpath={.status.readyReplicas}") == "2").then_some(()));
    until("the third to be refused", LIMIT, || {
        cluster.ask(&["get", "events", "--namespace", &name]).contains("exceeded quota: q").then_some(())
    });
    assert_eq!(get("jsonpath={.status.readyReplicas}"), "2");
    let privileged = cluster.kubectl(&["run", "p", "--namespace", &name, "--image=x", "--privileged"]);
    assert_refused(&privileged, "violates PodSecurity \"restricted");
}

#[test]
fn a_service_account_may_do_what_a_role_gives_it_and_nothing_else() {
    let Some(cluster) = Cluster::shared() else { return };
    let name = restricted_namespace(cluster, "rights");
    cluster.apply(&format!("{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: reader, namespace: {name}}}}}"));
    let reader = cluster.kubeconfig_of(&name, "reader");
    let read = || cluster.kubectl_as(&reader, &["get", "pods", "--namespace", &name]);
    assert_refused(&read(), "forbidden");
    let _ = cluster.ask(&["create", "role", "r", "--namespace", &name, "--verb=list", "--resource=pods"]);
    let account = format!("--serviceaccount={name}:reader");
    let _ = cluster.ask(&["create", "rolebinding", "r", "--namespace", &name, "--role=r", &account]);
    until("the role to be known", LIMIT, || read().status.success().then_some(()));
    assert_refused(&cluster.kubectl_as(&reader, &["get", "secrets", "--namespace", &name]), "forbidden");
}

#[test]
fn helm_installs_a_chart_that_asks_for_a_version_of_kubernetes() {
    let Some(cluster) = Cluster::shared() else { return };
    let name = restricted_namespace(cluster, "chart");
    let chart = Scratch::new();
    std::fs::create_dir(chart.path().join("templates")).unwrap();
    chart.write("Chart.yaml", "{apiVersion: v2, name: smoke, version: 0.1.0, kubeVersion: '>= 1.34'}");
    chart.write(
        "templates/map.yaml",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {of: {{.Release.Name}}}}",
    );
    let path = chart.path().to_string_lossy();
    let output = cluster.helm(&["install", "feather", &path, "--namespace", &name]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        cluster.ask(&["get", "configmap", "m", "--namespace", &name, "--output", "jsonpath={.data.of}"]),
        "feather"
    );
}

#[test]
fn a_restricted_pod_runs_under_a_real_kubelet_on_a_core_of_its_own() {
    let Some(cluster) = Cluster::start(Tier::Node) else { return };
    let name = restricted_namespace(&cluster, "pinned");
    cluster.apply(&format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: p, namespace: {name}}}
spec:
  nodeSelector: {{kubernetes.io/hostname: {REAL_NODE}}}
  terminationGracePeriodSeconds: 1
  securityContext: {POD_CONTEXT}
  containers:
  - name: c
    image: localhost/busybox:1
    imagePullPolicy: Never
    command: [sleep, '3600']
    resources: {{requests: {{cpu: '1', memory: 64Mi}}, limits: {{cpu: '1', memory: 64Mi}}}}
    securityContext: {CONTAINER_CONTEXT}
"
    ));
    let _ = cluster.ask(&["wait", "--for=condition=Ready", "pod/p", "--namespace", &name, "--timeout=60s"]);
    let status = cluster.ask(&["exec", "p", "--namespace", &name, "--", "cat", "/proc/1/status"]);
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    assert!(field("Cpus_allowed_list:").parse::<u32>().is_ok(), "not one core: {}", field("Cpus_allowed_list:"));
    assert_eq!(field("Uid:").split_whitespace().next(), Some("1000"));
    assert_eq!(field("CapEff:"), "0000000000000000");
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1", "2"));
}

#[test]
fn promtool_refuses_a_rule_that_is_no_query() {
    let Some(folder) = prometheus_folder() else { return };
    let scratch = Scratch::new();
    let check = |expression: &str| {
        let rules = format!("groups: [{{name: g, rules: [{{alert: A, expr: '{expression}'}}]}}]");
        let path = scratch.write("rules.yaml", rules);
        std::process::Command::new(folder.join("promtool")).args(["check", "rules"]).arg(path).output().unwrap()
    };
    assert!(check("up == 0").status.success());
    assert!(!check("up == ").status.success());
}

fn feather(namespace: &str, name: &str, length: u32) -> String {
    let metadata = format!("{{name: {name}, namespace: {namespace}}}");
    format!("{{apiVersion: smoke.pinion.dev/v1, kind: Feather, metadata: {metadata}, length: {length}}}")
}

/// A namespace of the test's own under the restricted pod security policy, that takes pods.
fn restricted_namespace(cluster: &Cluster, prefix: &str) -> String {
    let name = Cluster::unique_name(prefix);
    let labels = "{pod-security.kubernetes.io/enforce: restricted}";
    cluster.apply(&format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {labels}}}}}"));
    let account = ["get", "serviceaccount", "default", "--namespace", &name];
    until("the namespace's service account", LIMIT, || cluster.kubectl(&account).status.success().then_some(()));
    name
}

fn assert_refused(output: &Output, why: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains(why), "not refused by {why:?}: {error}");
}
