//! What somebody tries who has the operator's token.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pinion_tests::kube::{Cluster, Tier};
use pinion_tests::operator::Operator;
use pinion_tests::scratch::Scratch;
use pinion_tests::wait::until;
use serde_json::{Value as Json, json};

use super::{IMAGE, NAMESPACE, chart, helm_does};

/// A few seconds on a quiet machine.
const STEP: Duration = Duration::from_secs(60);

const TENANT: &str = "desk-7";

/// Kubernetes' own refusal, for want of a right.
const NO_RIGHT: &str = "forbidden: User \"system:serviceaccount:pinion-system:pinion-operator\" cannot";
/// Kubernetes' own, against giving what one does not have.
const ESCALATION: &str = "attempting to grant RBAC permissions not currently held";
/// Kubernetes' own, where it checks who may name owners; the admission policy refuses it elsewhere.
const OWNER: &str = "cannot set an ownerRef on a resource you can't delete";
/// The admission policy's.
const ELSEWHERE: &str = "the operator writes only in the namespaces of tenants";
const NAMESPACES: &str = "the operator makes and changes no namespace but those of tenants";
const UNRESTRICTED: &str = "the operator makes no namespace whose pods are not restricted";
const SPEC: &str = "the operator changes nothing of a tenant but its finalizers and its status";
const POOL: &str = "the operator changes nothing of a pool but its finalizers and its status";

/// A cluster with the chart, the operator and a tenant.
struct Scene {
    cluster: Cluster,
    operator: PathBuf,
    folder: Scratch,
    _process: Operator,
}

impl Scene {
    fn new() -> Option<Self> {
        let cluster = Cluster::start(Tier::Api)?;
        let into = ["--namespace", NAMESPACE, "--create-namespace", "--set", IMAGE];
        let _ = helm_does(&cluster, &[&["install", "pinion", chart()], &into[..]].concat());
        let _ = cluster.ask(&["wait", "--for=condition=Established", "crd/tenants.pinion.dev", "--timeout=60s"]);
        let operator = cluster.kubeconfig_of(NAMESPACE, "pinion-operator");
        let process = Operator::start_as(&operator, "op-a");
        let tenant = json!({
            "apiVersion": "pinion.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": TENANT},
            "spec": {
                "quota": {"cores": 4, "memoryMiB": 4096, "strategies": 4},
                "kafka": {"brokers": ["kafka:9092"], "topicPrefixes": ["desk-7."]}
            }
        });
        cluster.apply(&tenant.to_string());
        let _ = cluster.ask(&["wait", "--for=condition=Ready", "tenant/desk-7", "--timeout=60s"]);
        cluster.apply(&pool("registry.example/runtime").to_string());
        let _ =
            cluster.ask(&["create", "secret", "generic", "kafka-client", "--namespace", TENANT, "--from-literal=a=b"]);
        let _ = cluster.ask(&[
            "create",
            "secret",
            "generic",
            "kafka-client",
            "--namespace",
            "default",
            "--from-literal=a=b",
        ]);
        let _ =
            cluster.ask(&["create", "secret", "generic", "other", "--namespace", "kube-system", "--from-literal=a=b"]);
        // No controller makes them here, and without one an administrator could run no pod either.
        for namespace in ["kube-system", "default", NAMESPACE] {
            let _ = cluster.ask(&["create", "serviceaccount", "default", "--namespace", namespace]);
        }
        let scene = Self { cluster, operator, folder: Scratch::new(), _process: process };
        // The apiserver takes a moment to know a new policy.
        let namespace = scene.write("probe", &object("v1", "Namespace", "probe", None, &json!({})));
        until("the admission policy to be in force", STEP, || {
            let probe = ["create", "--dry-run=server", "-f", namespace.to_str().unwrap()];
            (!scene.cluster.kubectl_as(&scene.operator, &probe).status.success()).then_some(())
        });
        Some(scene)
    }

    fn write(&self, name: &str, manifest: &Json) -> PathBuf {
        self.folder.write(&format!("{}.json", name.replace([' ', '/'], "-")), manifest.to_string())
    }

    /// Tries with the operator's token, and sees that nothing but a right or the policy was in the way: an administrator may.
    fn refused(&self, what: &str, arguments: &[&str], by_administrator: &[&str], wanted: &str) -> Option<String> {
        let output = self.cluster.kubectl_as(&self.operator, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() || !said.contains(wanted) {
            return Some(format!("{what}: {wanted:?} is missing from: {said}"));
        }
        let output = self.cluster.kubectl(by_administrator);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        (!output.status.success()).then(|| format!("{what}, as an administrator: {complaint}"))
    }

    /// A request that makes something.
    fn make(&self, what: &str, manifest: &Json, wanted: &str) -> Option<String> {
        self.write_by(&["create"], what, manifest, wanted)
    }

    /// The request by which the operator writes: one patch that makes or changes.
    fn apply(&self, what: &str, manifest: &Json, wanted: &str) -> Option<String> {
        self.write_by(
            &["apply", "--server-side", "--force-conflicts", "--field-manager=intruder"],
            what,
            manifest,
            wanted,
        )
    }

    fn write_by(&self, verb: &[&str], what: &str, manifest: &Json, wanted: &str) -> Option<String> {
        let file = self.write(what, manifest);
        let arguments = [verb, &["-f", path(&file)]].concat();
        self.refused(what, &arguments, &[&arguments[..], &["--dry-run=server"]].concat(), wanted)
    }

    fn read(&self, arguments: &[&str]) -> Option<String> {
        self.refused(&arguments.join(" "), arguments, arguments, NO_RIGHT)
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn object(version: &str, kind: &str, name: &str, namespace: Option<&str>, more: &Json) -> Json {
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}});
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    merge(&mut object, more);
    object
}

fn merge(object: &mut Json, more: &Json) {
    for (key, value) in more.as_object().unwrap() {
        match object.get_mut(key) {
            Some(inside) if inside.is_object() => merge(inside, value),
            _ => object[key] = value.clone(),
        }
    }
}

fn pod_spec() -> Json {
    json!({
        "containers": [{
            "name": "c", "image": "registry.example/x",
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            "resources": {"requests": {"cpu": "10m", "memory": "10Mi"}, "limits": {"cpu": "10m", "memory": "10Mi"}}
        }],
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}
    })
}

fn pod(namespace: &str) -> Json {
    object("v1", "Pod", "intruder", Some(namespace), &json!({"spec": pod_spec()}))
}

fn workload(kind: &str, namespace: &str) -> Json {
    let labels = json!({"app": "intruder"});
    let mut spec = json!({
        "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod_spec()}
    });
    if kind == "StatefulSet" {
        spec["serviceName"] = json!("intruder");
    }
    object("apps/v1", kind, "intruder", Some(namespace), &json!({"spec": spec}))
}

fn binding(name: &str, namespace: Option<&str>, role: &str) -> Json {
    let kind = if namespace.is_some() { "RoleBinding" } else { "ClusterRoleBinding" };
    let more = json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "pinion-operator", "namespace": NAMESPACE}]
    });
    object("rbac.authorization.k8s.io/v1", kind, name, namespace, &more)
}

fn namespace(name: &str, enforce: &str, owned: bool) -> Json {
    let mut more = json!({"metadata": {"labels": {
        "pinion.dev/tenant": name, "pod-security.kubernetes.io/enforce": enforce
    }}});
    if owned {
        let owner = json!({"apiVersion": "pinion.dev/v1alpha1", "kind": "Tenant", "name": name, "uid": "1", "controller": true});
        more["metadata"]["ownerReferences"] = json!([owner]);
    }
    object("v1", "Namespace", name, None, &more)
}

#[test]
fn what_the_operators_token_must_not_do_is_refused() {
    let Some(scene) = Scene::new() else { return };
    let admin_tokens = "/api/v1/secrets?fieldSelector=metadata.name=pinion-admin-token";
    let may = scene.cluster.kubectl_as(&scene.operator, &["get", "--raw", admin_tokens]);
    let seen: Json = serde_json::from_slice(&may.stdout).expect("the tokens that it made it may see");
    assert_eq!(seen["items"].as_array().unwrap().len(), 1, "{seen}");

    let mut through = vec![
        // Reading.
        scene.read(&["get", "secrets", "--namespace", "kube-system"]),
        scene.read(&["get", "secret", "other", "--namespace", "kube-system"]),
        scene.read(&["get", "secrets", "--all-namespaces"]),
        scene.read(&["get", "secrets", "--namespace", TENANT]),
        scene.read(&["get", "secret", "kafka-client", "--namespace", "default"]),
        scene.read(&["get", "secrets", "--namespace", NAMESPACE]),
        scene.read(&["get", "--raw", "/api/v1/secrets?labelSelector=app.kubernetes.io/managed-by%3Dpinion-operator"]),
        scene.read(&["get", "--raw", "/api/v1/secrets?fieldSelector=metadata.name%3Dkafka-client"]),
        scene.read(&["get", "--raw", "/api/v1/secrets?fieldSelector=type%3DOpaque"]),
        scene.read(&["get", "configmap", "extension-apiserver-authentication", "--namespace", "kube-system"]),
        scene.read(&["get", "nodes"]),
        scene.read(&["get", "clusterroles"]),
        scene.read(&["get", "--raw", "/metrics"]),
    ];
    // Running something.
    for place in [TENANT, "kube-system", NAMESPACE, "default"] {
        let file = scene.write(&format!("a pod in {place}"), &pod(place));
        let pod = ["create", "-f", path(&file)];
        // What a quota has left nobody counts here, so that nobody runs anything in a tenant's namespace.
        let may = if place == TENANT {
            ["get", "namespace", TENANT].to_vec()
        } else {
            [&pod[..], &["--dry-run=server"]].concat()
        };
        through.push(scene.refused(&format!("a pod in {place}"), &pod, &may, NO_RIGHT));
        through.push(scene.make(&format!("a deployment in {place}"), &workload("Deployment", place), NO_RIGHT));
        if place != TENANT {
            let set = workload("StatefulSet", place);
            through.push(scene.make(&format!("a stateful set in {place}"), &set, NO_RIGHT));
            through.push(scene.apply(&format!("a stateful set applied in {place}"), &set, NO_RIGHT));
        }
    }
    // Becoming more.
    let cluster_admin = "cluster-admin";
    through.extend([
        scene.make("an administrator of the cluster", &binding("intruder", None, cluster_admin), NO_RIGHT),
        scene.make(
            "an administrator of a namespace",
            &binding("intruder", Some("kube-system"), cluster_admin),
            NO_RIGHT,
        ),
        scene.make("an administrator of a tenant", &binding("intruder", Some(TENANT), cluster_admin), NO_RIGHT),
        scene.apply(
            "an administrator by the operator's binding",
            &binding("pinion-operator", Some("default"), cluster_admin),
            ESCALATION,
        ),
        scene.apply(
            "an administrator by the editors' binding",
            &binding("pinion-edit", Some("default"), "pinion-edit"),
            NO_RIGHT,
        ),
        scene.apply(
            "the operator in kube-system",
            &binding("pinion-operator", Some("kube-system"), "pinion-operator-tenant"),
            ELSEWHERE,
        ),
        scene.make(
            "a role",
            &object("rbac.authorization.k8s.io/v1", "Role", "intruder", Some(TENANT), &json!({"rules": []})),
            NO_RIGHT,
        ),
        scene.apply(
            "its own role",
            &object("rbac.authorization.k8s.io/v1", "ClusterRole", "pinion-operator", None, &all_rights()),
            NO_RIGHT,
        ),
        scene.refused(
            "another's token",
            &["create", "token", "default", "--namespace", "kube-system"],
            &["get", "namespaces"],
            NO_RIGHT,
        ),
        scene.refused("another's name", &["get", "pods", "--as", "system:admin"], &["get", "pods"], NO_RIGHT),
        scene.refused(
            "the policy",
            &["delete", "validatingadmissionpolicy", "pinion-operator"],
            &["get", "validatingadmissionpolicy", "pinion-operator"],
            NO_RIGHT,
        ),
        scene.refused(
            "a definition",
            &["delete", "crd", "tenants.pinion.dev"],
            &["get", "crd", "tenants.pinion.dev"],
            NO_RIGHT,
        ),
    ]);
    // Taking namespaces.
    through.extend([
        scene.make("a namespace", &namespace("intruder", "restricted", false), NAMESPACES),
        scene.make(
            "a tenant's namespace without restrictions",
            &namespace("intruder", "privileged", true),
            UNRESTRICTED,
        ),
        scene.apply("kube-system as a tenant's", &namespace("kube-system", "restricted", true), OWNER),
        scene.apply("kube-system with a tenant's label", &namespace("kube-system", "restricted", false), NAMESPACES),
        scene.apply("a tenant's namespace made privileged", &namespace(TENANT, "privileged", false), UNRESTRICTED),
        scene.refused(
            "the end of a namespace",
            &["delete", "namespace", TENANT],
            &["get", "namespace", TENANT],
            NO_RIGHT,
        ),
    ]);
    // What is people's.
    let tenant = json!({"spec": {
        "quota": {"cores": 4, "memoryMiB": 4096, "strategies": 400},
        "kafka": {"brokers": ["kafka:9092"], "topicPrefixes": ["desk-7."]}
    }});
    let secret = json!({"stringData": {"a": "c"}});
    let lease = json!({"spec": {"holderIdentity": "intruder"}});
    through.extend([
        scene.apply("a larger quota", &object("pinion.dev/v1alpha1", "Tenant", TENANT, None, &tenant), SPEC),
        scene.apply("another image", &pool("registry.example/intruder"), POOL),
        scene.make("a tenant", &object("pinion.dev/v1alpha1", "Tenant", "intruder", None, &tenant), NO_RIGHT),
        scene.refused("the end of a tenant", &["delete", "tenant", TENANT], &["get", "tenant", TENANT], NO_RIGHT),
        scene.apply("Kafka credentials", &object("v1", "Secret", "kafka-client", Some(TENANT), &secret), NO_RIGHT),
        scene.make("a secret elsewhere", &object("v1", "Secret", "intruder", Some("default"), &secret), NO_RIGHT),
        scene.apply(
            "a config map elsewhere",
            &object("v1", "ConfigMap", "intruder", Some("kube-system"), &json!({"data": {}})),
            NO_RIGHT,
        ),
        scene.make(
            "a lease elsewhere",
            &object("coordination.k8s.io/v1", "Lease", "intruder", Some("kube-system"), &lease),
            NO_RIGHT,
        ),
    ]);
    let through: Vec<String> = through.into_iter().flatten().collect();
    assert!(through.is_empty(), "{}", through.join("\n"));
}

/// A follower all the while: ready is who could lead.
#[test]
fn an_operator_without_a_right_says_at_ready_what_it_cannot_see_and_is_ready_with_it() {
    let Some(scene) = Scene::new() else { return };
    let role: Json =
        serde_json::from_str(&scene.cluster.ask(&["get", "clusterrole", "pinion-operator", "--output=json"])).unwrap();
    let mut less = role.clone();
    let watched = less["rules"].as_array_mut().unwrap().iter_mut().find_map(|rule| {
        let resources = rule["resources"].as_array_mut()?;
        resources.iter().any(|one| one == "services").then_some(resources)
    });
    watched.expect("a rule about services").retain(|one| one != "services");
    // As it was read, so that it can be written over what is there.
    let replace = |role: &Json| {
        let mut role = role.clone();
        role["metadata"] = json!({"name": "pinion-operator"});
        let file = scene.write("role", &role);
        let _ = scene.cluster.ask(&["replace", "-f", path(&file)]);
    };
    replace(&less);
    let follower = Operator::start_as(&scene.operator, "op-b");
    let answer = until("all but what it may not see", STEP, || {
        follower.get("/ready").filter(|answer| answer.body.trim_end().ends_with(": Service"))
    });
    assert_eq!(answer.status, 503);
    assert_eq!(follower.get("/live").expect("an answer").status, 200);
    assert!(follower.log().contains("cannot list resource \\\"services\\\""), "{}", follower.log());
    replace(&role);
    until("the follower to be ready", STEP, || (follower.get("/ready")?.status == 200).then_some(()));
}

fn pool(image: &str) -> Json {
    let spec = json!({"image": image, "coresPerPod": 1, "memoryMiB": 256, "minPods": 0});
    object("pinion.dev/v1alpha1", "RuntimePool", "default", Some(TENANT), &json!({"spec": spec}))
}

fn all_rights() -> Json {
    json!({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]})
}
