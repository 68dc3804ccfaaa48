//! The images in a real containerd, and a pool whose pod a real kubelet runs: what no pod that kwok plays can show.

use std::path::PathBuf;
use std::time::Duration;

use pinion_tests::captures::project_root;
use pinion_tests::images::{self, PROGRAMS, name};
use pinion_tests::kafka::Broker;
use pinion_tests::kube::{Cluster, NODE_ADDRESS, REAL_NODE, Setup, Tier};
use pinion_tests::wait::until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::desk::{Desk, Watch, becomes, tenant};

/// Steps take seconds on a quiet machine; a kubelet waits up to 10 s of its own accord before it starts a container again.
const STEP: Duration = Duration::from_secs(180);

/// What the pod has from SIGTERM to SIGKILL.
const GRACE_SECONDS: i64 = 30;

/// Longer than a pod's container takes to be started again, however slow the machine: the pod goes on alone.
const LEASE_SECONDS: u32 = 300;

/// A cluster whose only node is real. All pods of the test run on it.
fn setup(exclusive_cores: bool) -> Setup {
    let definitions = vec![project_root().join("deploy/crds")];
    Setup { definitions, fake_nodes: 0, exclusive_cores, ..Setup::from(Tier::Node) }
}

/// A pool of one pod, which is to have the one core that a node of two can give away.
fn pool(namespace: &str) -> Value {
    json!({
        "apiVersion": "pinion.dev/v1alpha1", "kind": "RuntimePool",
        "metadata": {"name": "default", "namespace": namespace},
        "spec": {
            "image": name("pinion-runtime"), "coresPerPod": 1, "memoryMiB": 512, "requirePinned": true,
            "minPods": 1, "maxPods": 1, "leaseSeconds": LEASE_SECONDS, "nodeSelector": {"kubernetes.io/hostname": REAL_NODE}
        }
    })
}

/// The operator as a pod of its image in a namespace under the restricted policy. What it may do is the chart's to say.
fn run_operator(cluster: &Cluster) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "operator", "namespace": "pinion-system"},
        "spec": {
            "serviceAccountName": "operator",
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "operator", "image": name("pinion-operator"), "imagePullPolicy": "Never",
                "env": [
                    {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
                ],
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 9102}, "periodSeconds": 1},
                "livenessProbe": {"httpGet": {"path": "/live", "port": 9102}},
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}
                }
            }]
        }
    });
    cluster.apply(&pod.to_string());
    until("the operator to be ready", STEP, || {
        (field(cluster, "pinion-system", "pod/operator", READY)? == "True").then_some(())
    });
}

fn prepare_operator(cluster: &Cluster) {
    cluster.apply(
        "
{apiVersion: v1, kind: Namespace, metadata: {name: pinion-system, labels: {pod-security.kubernetes.io/enforce: restricted}}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: operator, namespace: pinion-system}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: operator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: operator, namespace: pinion-system}]
",
    );
    run_operator(cluster);
}

const READY: &str = "{.status.conditions[?(@.type==\"Ready\")].status}";

/// A field of a resource by its JSONPath; `None` while there is nothing.
fn field(cluster: &Cluster, namespace: &str, what: &str, path: &str) -> Option<String> {
    let output = cluster.kubectl(&["get", "--namespace", namespace, what, "--output", &format!("jsonpath={path}")]);
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// A container's process as this machine, whose root sees it, knows it.
struct Process {
    folder: PathBuf,
    pid: i32,
}

impl Process {
    /// The container that was started with this program of its image.
    fn of(program: &str) -> Option<Self> {
        std::fs::read_dir("/proc").unwrap().find_map(|entry| {
            let folder = entry.ok()?.path();
            let pid = folder.file_name()?.to_str()?.parse().ok()?;
            let command = std::fs::read(folder.join("cmdline")).ok()?;
            let is_it = command.starts_with(format!("/bin/{program}\0").as_bytes());
            // A program that is about to be another's child still has its parent's name.
            (is_it && !command.windows(14).any(|part| part == b"compile-module")).then_some(Self { folder, pid })
        })
    }

    fn status(&self, name: &str) -> String {
        let status = std::fs::read_to_string(self.folder.join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
    }

    /// Where each thread of a name may run.
    fn threads(&self, name: &str) -> Vec<String> {
        let threads = std::fs::read_dir(self.folder.join("task")).unwrap().map(|task| task.unwrap().path());
        let of_name =
            threads.filter(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|is| is.trim() == name));
        let may = |task: PathBuf| Process { folder: task, pid: 0 }.status("Cpus_allowed_list");
        of_name.map(may).collect()
    }

    fn kill9(&self) {
        kill_process(Pid::from_raw(self.pid).unwrap(), Signal::KILL).unwrap();
    }

    /// That it is confined as its pod asks, and that there is nothing to run but its program.
    fn is_confined(&self, program: &str) {
        assert_eq!(self.status("Uid"), "65532\t65532\t65532\t65532");
        assert_eq!(self.status("Gid"), "65532\t65532\t65532\t65532");
        assert_eq!(self.status("CapEff"), "0000000000000000");
        assert_eq!((self.status("NoNewPrivs"), self.status("Seccomp")), ("1".into(), "2".into()));
        let mounts = std::fs::read_to_string(self.folder.join("mountinfo")).unwrap();
        let root =
            mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|mount| mount[4] == "/").unwrap();
        assert!(root[5].split(',').any(|option| option == "ro"), "the root can be written: {root:?}");
        let programs = std::fs::read_dir(self.folder.join("root/bin")).unwrap();
        let programs: Vec<_> = programs.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(programs, [program]);
        assert!(!self.folder.join("root/usr/bin").exists() && !self.folder.join("root/sbin").exists());
    }
}

fn is_whole(list: &str) -> bool {
    list.parse::<u32>().is_ok()
}

#[test]
fn a_pool_runs_from_its_image_under_a_real_kubelet_on_a_core_of_its_own_with_the_orders_of_a_laptop() {
    let Some(archives) = images::archives() else { return };
    let mut watch = Watch::start();
    let Some(cluster) = Cluster::start(setup(true)) else { return };
    watch.lap("cluster up");
    let Some(broker) = Broker::start_at(NODE_ADDRESS) else { return };
    let Some(mut desk) = Desk::new(&cluster, &broker) else { return };
    watch.lap("Kafka up");
    archives.iter().for_each(|archive| cluster.import_image(archive));
    watch.lap("images imported");
    prepare_operator(&cluster);
    Process::of("pinion-operator").unwrap().is_confined("pinion-operator");
    watch.lap("operator Ready, as a pod");

    desk.apply(&tenant(&desk.name, &broker));
    becomes(&cluster, &desk.name, &format!("tenant/{}", desk.name), "Ready", "True", "AsSpecified");
    watch.lap("tenant Ready");
    desk.apply(&pool(&desk.name));
    let why = becomes(&cluster, &desk.name, "runtimepool/default", "Pinned", "True", "AsSpecified");
    assert!(why.contains("its pod's alone"), "{why}");
    becomes(&cluster, &desk.name, "runtimepool/default", "Ready", "True", "AsSpecified");
    watch.lap("pool Pinned and Ready");
    let runtime = Process::of("pinion-runtime").unwrap();
    runtime.is_confined("pinion-runtime");
    let core = runtime.status("Cpus_allowed_list");
    assert!(is_whole(&core), "not one core: {core}");
    assert_eq!(runtime.threads("worker-0"), [core.as_str()]);
    let operator = Process::of("pinion-operator").unwrap();
    until("the core to be taken from everybody else", STEP, || {
        let may = operator.status("Cpus_allowed_list");
        (is_whole(&may) && may != core).then_some(())
    });

    desk.deploy();
    desk.is_ready();
    becomes(&cluster, &desk.name, "strategy/record-only", "Pinned", "True", "AsSpecified");
    watch.lap("strategy Pinned and Ready, its module compiled in the pod");
    desk.produce(8_000);
    desk.committed();
    assert!(!desk.ids().0.is_empty());
    until("the kubelet's readiness probe", STEP, || {
        (field(&cluster, &desk.name, "pod/default-0", READY)? == "True").then_some(())
    });
    watch.lap("8,000 records to orders");

    // Nobody is left to renew the lease, and the pod goes on under the one that it has.
    let _ = cluster.ask(&["delete", "pod", "operator", "--namespace", "pinion-system", "--wait=true"]);
    watch.lap("operator ended");
    let namespace = desk.name.clone();
    let restarts = || field(&cluster, &namespace, "pod/default-0", "{.status.containerStatuses[0].restartCount}");
    assert_eq!(restarts().as_deref(), Some("0"), "the liveness probe has always been answered");
    runtime.kill9();
    desk.produce(8_000);
    desk.committed();
    until("the kubelet to say that it started the container again", STEP, || (restarts()? == "1").then_some(()));
    let log = cluster.ask(&["logs", "default-0", "--namespace", &namespace]);
    assert!(log.contains("goes on under the lease"), "{log}");
    watch.lap("8,000 records, the container killed before them and no operator there");

    run_operator(&cluster);
    watch.lap("operator Ready again");
    // What holds the pod's record lets its end be read.
    let hold = |finalizers: Value| {
        let patch = json!({"metadata": {"finalizers": finalizers}}).to_string();
        let _ = cluster.ask(&["patch", "pod/default-0", "--namespace", &namespace, "--type=merge", "--patch", &patch]);
    };
    hold(json!(["test.pinion.dev/hold"]));
    let _ = cluster.ask(&["delete", "pod", "default-0", "--namespace", &namespace, "--wait=false"]);
    let ended = "{.status.containerStatuses[0].state.terminated.exitCode}";
    let code = until("the pod to end", STEP, || field(&cluster, &desk.name, "pod/default-0", ended));
    let took = watch.lap("pod drained by SIGTERM");
    assert_eq!(code, "0");
    assert!(took < Duration::from_secs(GRACE_SECONDS.unsigned_abs()), "{took:?}");
    hold(json!([]));
    desk.produce(8_000);
    desk.committed();
    watch.lap("8,000 records by the pod that followed");
    becomes(&cluster, &desk.name, "runtimepool/default", "Ready", "True", "AsSpecified");
    becomes(&cluster, &desk.name, "strategy/record-only", "Pinned", "True", "AsSpecified");
    let (ids, repeats) = desk.ids();
    println!("{} orders, {repeats} of them repeated", ids.len());
    assert_eq!(ids.into_keys().collect::<Vec<_>>(), desk.laptop());
}

#[test]
fn a_pool_that_is_to_be_pinned_is_not_ready_where_cores_are_everybodys_and_images_run() {
    let Some(archives) = images::archives() else { return };
    let mut watch = Watch::start();
    let Some(cluster) = Cluster::start(setup(false)) else { return };
    let Some(broker) = Broker::start_at(NODE_ADDRESS) else { return };
    let Some(desk) = Desk::new(&cluster, &broker) else { return };
    archives.iter().for_each(|archive| cluster.import_image(archive));
    watch.lap("cluster and Kafka up");

    for program in PROGRAMS {
        let image = format!("--image={}", name(program));
        let run = ["run", program, &image, "--image-pull-policy=Never", "--restart=Never", "--", "--version"];
        let _ = cluster.ask(&run);
        let phase = until("the program to end", STEP, || {
            let phase = field(&cluster, "default", &format!("pod/{program}"), "{.status.phase}")?;
            ["Succeeded", "Failed"].contains(&phase.as_str()).then_some(phase)
        });
        let said = cluster.ask(&["logs", program]);
        assert_eq!((phase.as_str(), said.trim()), ("Succeeded", &*format!("{program} {}", env!("CARGO_PKG_VERSION"))));
    }
    watch.lap("both images have said their version");

    prepare_operator(&cluster);
    desk.apply(&tenant(&desk.name, &broker));
    becomes(&cluster, &desk.name, &format!("tenant/{}", desk.name), "Ready", "True", "AsSpecified");
    desk.apply(&pool(&desk.name));
    let why = becomes(&cluster, &desk.name, "runtimepool/default", "Pinned", "False", "SharedCores");
    assert!(why.contains("default-0") && why.contains("cores of its machine"), "{why}");
    becomes(&cluster, &desk.name, "runtimepool/default", "Ready", "False", "SharedCores");
    watch.lap("pool neither Pinned nor Ready");
    // Its worker is bound to a core all the same; that is not what was asked for.
    let runtime = Process::of("pinion-runtime").unwrap();
    assert!(runtime.threads("worker-0").iter().all(|may| is_whole(may)));
    assert!(!is_whole(&runtime.status("Cpus_allowed_list")));

    desk.deploy();
    let why = becomes(&cluster, &desk.name, "strategy/record-only", "Ready", "False", "SharedCores");
    assert!(why.contains("requirePinned") && why.contains("default-0"), "{why}");
    becomes(&cluster, &desk.name, "strategy/record-only", "Pinned", "False", "SharedCores");
    let pinned_is_optional = json!({"spec": {"requirePinned": false}}).to_string();
    let patch =
        ["patch", "runtimepool/default", "--namespace", &desk.name, "--type=merge", "--patch", &pinned_is_optional];
    let _ = cluster.ask(&patch);
    becomes(&cluster, &desk.name, "strategy/record-only", "Ready", "True", "AsSpecified");
    becomes(&cluster, &desk.name, "runtimepool/default", "Ready", "True", "AsSpecified");
    becomes(&cluster, &desk.name, "runtimepool/default", "Pinned", "False", "SharedCores");
    watch.lap("strategy not Ready, and Ready where nobody asks for cores");
}
