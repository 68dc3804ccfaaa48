//! A second tenant, with credentials of its own, tries to read, write, halt, scrape and starve the first, and cannot. Both are on a Kafka
//! with TLS, passwords and ACLs as the guide grants them; each test is one attempt, and afterwards the first trades as before.

use std::path::PathBuf;
use std::process::Output;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_spec::assignment::Assignment;
use pinion_spec::metrics;
use pinion_tests::captures::project_root;
use pinion_tests::http::request;
use pinion_tests::kafka::{Access, RDKafkaErrorCode, Secured};
use pinion_tests::kube::{Cluster, Proxy};
use pinion_tests::operator::Operator;
use pinion_tests::programs::pinion;
use pinion_tests::stand_in::StandIn;
use pinion_tests::wait::until;
use serde_json::{Value, json};

use super::{read, stage};
use crate::desk::{Desk, STEP, Watch, becomes, pool, tenant};

/// From the apiserver's acceptance to the last worker.
const HALT: Duration = Duration::from_millis(200);

/// Strategies of a tenant that has as many as one may.
const CROWD: u32 = 1_000;

/// A tenant with its people, its user of Kafka and its pod.
struct Party {
    name: String,
    user: String,
    quant: PathBuf,
    officer: PathBuf,
    pod: StandIn,
    desk: Mutex<Desk<'static>>,
}

/// Both tenants.
struct Ground {
    cluster: &'static Cluster,
    operator: &'static Operator,
    kafka: &'static Secured,
    proxy: Proxy,
    first: Party,
    second: Party,
}

static GROUND: OnceLock<Option<Ground>> = OnceLock::new();

/// Both tenants, onboarded by the first test that asks; or a loud skip.
fn ground() -> Option<&'static Ground> {
    let make = || {
        let (stage, kafka) = (stage()?, Secured::shared()?);
        let proxy = stage.cluster.proxy();
        let (cluster, operator) = (&stage.cluster, &stage.operator);
        let (first, second) = (Party::onboard(cluster, kafka)?, Party::onboard(cluster, kafka)?);
        Some(Ground { cluster, operator, kafka, proxy, first, second })
    };
    GROUND.get_or_init(make).as_ref()
}

impl Party {
    fn onboard(cluster: &'static Cluster, kafka: &'static Secured) -> Option<Self> {
        let desk = Desk::new(cluster, kafka.broker())?;
        let (name, user) = (desk.name.clone(), kafka.user());
        // What the guide grants: its topics, and its consumer groups.
        kafka.allow(&user, Access::All, &format!("{name}."));
        kafka.allow(&user, Access::All, &format!("pinion.{name}."));
        let mut resource = tenant(&name, kafka.broker());
        let group = |what: &str| format!("{name}-{what}");
        resource["spec"]["access"] = json!({"view": [], "edit": [group("quants")], "risk": [group("officers")]});
        resource["spec"]["kafka"]["credentials"] = json!({"name": "kafka-client"});
        desk.apply(&resource);
        let what = format!("tenant/{name}");
        becomes(cluster, &name, &what, "Ready", "False", "MissingReference");
        let properties = kafka.scram(&user);
        desk.apply(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kafka-client", "namespace": name},
            "stringData": {"client.properties": properties}
        }));
        becomes(cluster, &name, &what, "Ready", "True", "AsSpecified");
        desk.apply(&pool(&name, 1));
        let mounted = [("--kafka-properties", "secret/kafka-client", "client.properties")];
        let pod = StandIn::start_with(cluster, kafka.broker(), &name, "default", "default-0", 1, &mounted);
        desk.deploy();
        desk.is_ready();
        let person = |what: &str| cluster.kubeconfig_of_person(&format!("{what}-of-{name}"), &[&group(what)]);
        let (quant, officer) = (person("quants"), person("officers"));
        Some(Self { name, user, quant, officer, pod, desk: Mutex::new(desk) })
    }

    fn topic(&self, kind: &str) -> String {
        format!("{}.{kind}", self.name)
    }

    fn group(&self) -> String {
        format!("pinion.{}.record-only", self.name)
    }

    /// It reads, decides and sends as ever.
    fn trades(&self) {
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        let before = desk.ids().0.len();
        desk.produce(400);
        desk.committed();
        let (ids, repeats) = desk.ids();
        assert!(ids.len() > before, "{} sends nothing any more", self.name);
        assert_eq!(repeats, 0);
        let state = [("tenant", self.name.as_str()), ("strategy", "record-only"), ("state", "ACTIVE")];
        assert_eq!(self.pod.runtime.metric(&metrics::STRATEGY_STATE, &state), Some(1.0));
    }
}

impl Ground {
    /// What one of the second's people does.
    fn second_does(&self, who: &std::path::Path, arguments: &[&str]) -> Output {
        self.cluster.kubectl_as(who, arguments)
    }

    /// Each is refused for want of a right, not for another reason.
    fn second_may_not(&self, attempts: &[&[&str]]) {
        for who in [&self.second.quant, &self.second.officer] {
            for arguments in attempts {
                let output = self.second_does(who, arguments);
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(
                    !output.status.success(),
                    "{arguments:?} was done: {}",
                    String::from_utf8_lossy(&output.stdout)
                );
                assert!(said.contains("forbidden"), "{arguments:?}: {said}");
            }
        }
    }

    /// How long halts of the first take, from the apiserver's answer, while something else goes on.
    fn halts(&self, times: usize) -> Vec<Duration> {
        let desk = self.first.desk.lock().unwrap_or_else(PoisonError::into_inner);
        let path = format!("/apis/pinion.dev/v1alpha1/namespaces/{}/strategies/record-only", self.first.name);
        let mut took = Vec::new();
        for _ in 0..times {
            let accepted = self.proxy.merge(&path, &json!({"spec": {"tradingState": "HALTED"}}));
            until("the halt", STEP, || desk.state_is(&self.first.pod, "HALTED").then_some(()));
            took.push(Duration::from_nanos(mono_ns() - accepted));
            let _ = self.proxy.merge(&path, &json!({"spec": {"tradingState": "ACTIVE"}}));
            until("the end of the halt", STEP, || desk.state_is(&self.first.pod, "ACTIVE").then_some(()));
        }
        took.sort();
        took
    }
}

#[test]
fn its_kafka_user_sees_reads_writes_commits_and_deletes_nothing_of_the_firsts() {
    let Some(ground) = ground() else { return };
    let (first, second) = (&ground.first, &ground.second);
    first.trades();
    let (own, other) = (ground.kafka.as_user(&first.user), ground.kafka.as_user(&second.user));
    // So that a refusal is one of rights.
    assert_eq!(own.read(&first.topic("orders"), &first.group()), Ok(()));
    assert!(own.topics().contains(&first.topic("md")));
    assert_eq!(other.write(&second.topic("dead")), Ok(()));

    let seen: Vec<String> = other.topics().into_iter().filter(|topic| topic.starts_with(&first.name)).collect();
    assert!(seen.is_empty(), "{seen:?}");
    for kind in ["md", "orders", "denials", "dead"] {
        let topic = first.topic(kind);
        assert_eq!(
            other.read(&topic, &second.group()),
            Err(RDKafkaErrorCode::TopicAuthorizationFailed),
            "read {topic}"
        );
        assert_eq!(other.write(&topic), Err(RDKafkaErrorCode::TopicAuthorizationFailed), "write {topic}");
        assert_eq!(other.delete(&topic), Err(RDKafkaErrorCode::TopicAuthorizationFailed), "delete {topic}");
    }
    assert_eq!(other.commit(&format!("pinion.{}.probe", second.name), &second.topic("md")), Ok(()));
    let committed = other.commit(&first.group(), &second.topic("md")).expect_err("committed for the first's group");
    // Who may not use a group is not told who coordinates it.
    let denied = [RDKafkaErrorCode::GroupAuthorizationFailed, RDKafkaErrorCode::WaitingForCoordinator];
    assert!(denied.contains(&committed), "{committed:?}");
    assert!(ground.kafka.broker().committed(&first.group(), &second.topic("md")).is_empty());
    first.trades();
}

#[test]
fn its_strategies_that_name_the_firsts_topics_or_group_are_refused() {
    let Some(ground) = ground() else { return };
    let (first, second) = (&ground.first, &ground.second);
    let scratch = pinion_tests::scratch::Scratch::new();
    let template = second.desk.lock().unwrap_or_else(PoisonError::into_inner).strategy.clone();
    for (name, bend) in [("reads", 0), ("writes", 1), ("joins", 2)] {
        let mut strategy = template.clone();
        strategy.metadata.name = name.into();
        match bend {
            0 => strategy.spec.inputs[0].topic = first.topic("md"),
            1 => strategy.spec.outputs.orders.topic = first.topic("orders"),
            _ => strategy.spec.inputs[0].group = Some(first.group()),
        }
        let file = scratch.write("strategy.json", serde_json::to_vec(&strategy).unwrap());
        let output = ground.second_does(&second.quant, &["create", "--filename", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let what = format!("strategy/{name}");
        let message = becomes(ground.cluster, &second.name, &what, "Ready", "False", "TopicForbidden");
        assert!(message.contains(&first.name), "{message}");
    }
    let documents = read(ground.cluster, &second.name, "configmap/default-assignment", "{.data}");
    assert!(!documents.contains(&first.name), "{documents}");
    first.trades();
}

#[test]
fn its_people_neither_read_nor_change_what_is_in_the_firsts_namespace() {
    let Some(ground) = ground() else { return };
    let (first, second) = (&ground.first, &ground.second);
    let namespace = first.name.as_str();
    let halted = r#"{"spec":{"tradingState":"HALTED"}}"#;
    ground.second_may_not(&[
        &["get", "secret", "pinion-admin-token", "--namespace", namespace],
        &["get", "secrets", "--namespace", namespace],
        &["get", "configmap", "record-only-1", "--namespace", namespace],
        &["get", "configmap", "default-assignment", "--namespace", namespace],
        &["get", "strategies", "--namespace", namespace],
        &["get", "strategies", "--all-namespaces"],
        &["get", "pods", "--namespace", namespace],
        &["logs", "default-0", "--namespace", namespace],
        &["exec", "default-0", "--namespace", namespace, "--", "sh"],
        &["port-forward", "pod/default-0", "9101", "--namespace", namespace],
        &["get", "--raw", &format!("/api/v1/namespaces/{namespace}/pods/default-0:9101/proxy/metrics")],
        &["patch", "strategy", "record-only", "--namespace", namespace, "--type=merge", "--patch", halted],
        &["scale", "strategy", "record-only", "--replicas=9", "--namespace", namespace],
        &["delete", "strategy", "record-only", "--namespace", namespace],
        &["delete", "pod", "default-0", "--namespace", namespace],
        &["create", "configmap", "forged", "--namespace", namespace],
        &["create", "token", "pinion-runtime", "--namespace", namespace],
        &["create", "rolebinding", "mine", "--role=pinion-edit", "--user=mine", "--namespace", namespace],
        &["get", "tenants"],
        &["patch", "tenant", namespace, "--type=merge", "--patch", r#"{"spec":{"suspended":true}}"#],
        &["delete", "tenant", namespace],
        &["delete", "namespace", namespace],
        &["get", "strategies", "--namespace", namespace, "--as=admin", "--as-group=system:masters"],
    ]);
    let mut halt = pinion("halt");
    halt.args(["record-only", "--namespace", namespace, "--kubeconfig"]).arg(&second.quant).env("NO_PROXY", "*");
    let output = halt.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("a right is missing"), "{said}");
    first.trades();
}

#[test]
fn its_people_do_not_widen_what_their_own_namespace_allows() {
    let Some(ground) = ground() else { return };
    let namespace = ground.second.name.as_str();
    let label = "pinion.dev/monitoring=true";
    ground.second_may_not(&[
        &["label", "namespace", namespace, label],
        &["label", "namespace", namespace, "pod-security.kubernetes.io/enforce=privileged", "--overwrite"],
        &["delete", "networkpolicy", "default-deny", "--namespace", namespace],
        &["delete", "resourcequota", "pinion", "--namespace", namespace],
        &["get", "secret", "kafka-client", "--namespace", namespace],
        &["get", "secret", "pinion-admin-token", "--namespace", namespace],
        &[
            "patch",
            "runtimepool",
            "default",
            "--namespace",
            namespace,
            "--type=merge",
            "--patch",
            r#"{"spec":{"image":"mine"}}"#,
        ],
        &[
            "patch",
            "statefulset",
            "default",
            "--namespace",
            namespace,
            "--type=merge",
            "--patch",
            r#"{"spec":{"replicas":9}}"#,
        ],
        &[
            "patch",
            "configmap",
            "default-assignment",
            "--namespace",
            namespace,
            "--type=merge",
            "--patch",
            r#"{"data":{}}"#,
        ],
        &["delete", "configmap", "default-assignment", "--namespace", namespace],
        &["run", "mine", "--image=mine", "--namespace", namespace],
        &["create", "deployment", "mine", "--image=mine", "--namespace", namespace],
        &["create", "service", "nodeport", "mine", "--tcp=80", "--namespace", namespace],
    ]);
    // A pool on the first's nodes, or on all of them, with an image of its own.
    let scratch = pinion_tests::scratch::Scratch::new();
    let mut greedy = super::pool_named("greedy", namespace, 4);
    greedy["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    let greedy = scratch.write("pool.json", greedy.to_string());
    // A pod on the node itself; an event that is a lie.
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root", "namespace": namespace},
        "spec": {"hostPID": true, "containers": [{"name": "root", "image": "mine", "securityContext": {"privileged": true},
            "volumeMounts": [{"name": "host", "mountPath": "/host"}]}], "volumes": [{"name": "host", "hostPath": {"path": "/"}}]}
    });
    let pod = scratch.write("pod.json", pod.to_string());
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "lie", "namespace": namespace},
        "reason": "Resumed", "involvedObject": {"kind": "Strategy", "name": "record-only", "namespace": namespace}
    });
    let event = scratch.write("event.json", event.to_string());
    for file in [&greedy, &pod, &event] {
        ground.second_may_not(&[&["create", "--filename", file.to_str().unwrap()]]);
    }
    ground.first.trades();
}

#[test]
fn a_module_of_the_firsts_is_not_had_by_its_name() {
    let Some(ground) = ground() else { return };
    let (first, second) = (&ground.first, &ground.second);
    let wasm = project_root().join("strategies-examples/identity/identity.wasm");
    let entry = format!("--from-file=module.wasm={}", wasm.display());
    let _ = ground.cluster.ask(&["create", "configmap", "secret-sauce", "--namespace", &first.name, &entry]);
    let mut strategy = second.desk.lock().unwrap_or_else(PoisonError::into_inner).strategy.clone();
    strategy.metadata.name = "thief".into();
    strategy.spec.module.config_map.as_mut().unwrap().name = "secret-sauce".into();
    let scratch = pinion_tests::scratch::Scratch::new();
    let file = scratch.write("strategy.json", serde_json::to_vec(&strategy).unwrap());
    let output = ground.second_does(&second.quant, &["create", "--filename", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    becomes(ground.cluster, &second.name, "strategy/thief", "Ready", "False", "MissingReference");
    // Nor by a path.
    for name in [format!("../{}/secret-sauce", first.name), format!("{}/secret-sauce", first.name)] {
        let patch = json!({"spec": {"module": {"configMap": {"name": name}}}}).to_string();
        let arguments = ["patch", "strategy", "thief", "--namespace", &second.name, "--type=merge", "--patch", &patch];
        let refused = !ground.second_does(&second.quant, &arguments).status.success();
        if !refused {
            becomes(ground.cluster, &second.name, "strategy/thief", "Ready", "False", "MissingReference");
        }
        println!("{name}: {}", if refused { "refused by the apiserver" } else { "not found" });
    }
    first.trades();
}

#[test]
fn the_firsts_admin_port_does_nothing_without_its_own_token() {
    let Some(ground) = ground() else { return };
    let (first, second) = (&ground.first, &ground.second);
    let token = |party: &Party| {
        let data = read(ground.cluster, &party.name, "secret/pinion-admin-token", "{.data.token}");
        use base64::Engine as _;
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(data).unwrap()).unwrap()
    };
    let (own, its) = (token(first), token(second));
    assert_ne!(own, its);
    let held: Value = serde_json::from_str(&first.pod.runtime.get("/control/assignment").unwrap().body).unwrap();
    let text = read(ground.cluster, &first.name, "configmap/default-assignment", "{.data.default-0\\.json}");
    let mut forged: Assignment = serde_json::from_str(&text).unwrap();
    (forged.version.epoch, forged.strategies) = (u64::MAX, Vec::new());
    let forged = serde_json::to_vec(&forged).unwrap();
    let module = format!("/control/modules/{}", "ab".repeat(32));
    let attempts: [(&str, &str, &[u8]); 12] = [
        ("PUT", "/control/assignment", &forged),
        ("GET", "/control/assignment", b""),
        ("PUT", &module, b"\0asm"),
        ("POST", "/control/trading-state", br#"{"state":"HALTED"}"#),
        ("POST", "/control/kill", br#"{"instrument":"BTCUSDT","killed":true}"#),
        ("POST", "/control/limits", br#"{"strategy":"record-only","risk":{"maxOrderSize":"9"}}"#),
        ("POST", "/control/swap?strategy=record-only", b"\0asm"),
        ("POST", "/control/load", b"{}"),
        ("POST", "/control/unload", br#"{"strategy":"record-only"}"#),
        ("POST", "/control/drain", b""),
        ("GET", "/control/nothing", b""),
        ("GET", "/strategies", b""),
    ];
    let bearer = format!("Bearer {its}");
    for (method, path, body) in attempts {
        for headers in [vec![], vec![("authorization", bearer.as_str())], vec![("authorization", "Bearer ")]] {
            let answer = request(first.pod.address, method, path, &headers, body).unwrap();
            assert!(matches!(answer.status, 401 | 404), "{method} {path} {headers:?}: {answer:?}");
            assert!(answer.status == 401 || path.ends_with("nothing"), "{method} {path}: {answer:?}");
            assert!(!answer.body.contains("record-only"), "{method} {path}: {answer:?}");
        }
    }
    // With the right token, but for a pod of another name.
    let mut misdirected: Assignment = serde_json::from_slice(&forged).unwrap();
    misdirected.pod = "default-1".into();
    let clock = first.pod.runtime.clock().to_string();
    let answer = first.pod.runtime.put_assignment(&serde_json::to_vec(&misdirected).unwrap(), &clock);
    assert_eq!(answer.status, 422, "{answer:?}");
    let now: Value = serde_json::from_str(&first.pod.runtime.get("/control/assignment").unwrap().body).unwrap();
    assert_eq!((&now["strategies"], &now["cores"]), (&held["strategies"], &held["cores"]));
    // What probes and Prometheus need is open to whoever reaches the port: the network policies say who does.
    for path in ["/metrics", "/live", "/ready"] {
        assert_eq!(request(first.pod.address, "GET", path, &[], b"").unwrap().status, 200, "{path}");
    }
    first.trades();
}

#[test]
fn an_assignment_that_its_people_put_in_place_of_the_operators_is_not_believed() {
    let Some(ground) = ground() else { return };
    let second = &ground.second;
    let text = read(ground.cluster, &second.name, "configmap/default-assignment", "{.data.default-0\\.json}");
    let forged = text.replace("default-0", "fast-0").replacen("\"epoch\":", "\"epoch\":99999999", 1);
    let scratch = pinion_tests::scratch::Scratch::new();
    for labels in
        [json!({}), json!({"app.kubernetes.io/managed-by": "pinion-operator", "pinion.dev/tenant": second.name})]
    {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "fast-assignment", "namespace": second.name, "labels": labels},
            "data": {"fast-0.json": forged, "fast-1.json": forged, "rollouts.json": "{}"}
        });
        let file = scratch.write("map.json", map.to_string());
        let output = ground.second_does(&second.quant, &["create", "--filename", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Then the platform makes the pool that it waited for.
        ground.cluster.apply(&super::pool_named("fast", &second.name, 1).to_string());
        let data = || read(ground.cluster, &second.name, "configmap/fast-assignment", "{.data}");
        until("the operator's own documents", STEP, || {
            let data = data();
            (!data.is_empty() && !data.contains("99999999") && data.contains("fast-0.json")).then_some(())
        });
        let pod = StandIn::start_with(ground.cluster, ground.kafka.broker(), &second.name, "fast", "fast-0", 1, &[]);
        becomes(ground.cluster, &second.name, "runtimepool/fast", "Ready", "True", "AsSpecified");
        let _ = ground.cluster.ask(&["delete", "runtimepool", "fast", "--namespace", &second.name]);
        super::gone(ground.cluster, &second.name, "configmap/fast-assignment");
        super::gone(ground.cluster, &second.name, "pod/fast-0");
        drop(pod);
    }
    second.trades();
    ground.first.trades();
}

#[test]
fn a_module_of_its_that_spins_costs_the_first_nothing() {
    let Some(ground) = ground() else { return };
    let (first, second) = (&ground.first, &ground.second);
    let before = ground.halts(3);
    let mut spinner = second.desk.lock().unwrap_or_else(PoisonError::into_inner).strategy.clone();
    spinner.metadata.name = "spinner".into();
    spinner.spec.rollout.rollback = false;
    let map = spinner.spec.module.config_map.as_mut().unwrap();
    map.name = "spin".into();
    let wasm = project_root().join("strategies-examples/misbehaving/spin.wasm");
    let entry = format!("--from-file=module.wasm={}", wasm.display());
    let made = ground.second_does(&second.quant, &["create", "configmap", "spin", "--namespace", &second.name, &entry]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    ground.cluster.apply(&serde_json::to_string(&spinner).unwrap());
    becomes(ground.cluster, &second.name, "strategy/spinner", "Ready", "True", "AsSpecified");
    // Its guest is made anew after each fault, so what makes it fault comes piece by piece.
    until("the spinner's quarantine", 2 * STEP, || {
        second.desk.lock().unwrap_or_else(PoisonError::into_inner).produce(40);
        let reason = "{.status.conditions[?(@.type==\"Ready\")].reason}";
        (read(ground.cluster, &second.name, "strategy/spinner", reason) == "Quarantined").then_some(())
    });
    println!("halts of the first before {before:?}, after {:?}", ground.halts(3));
    first.trades();
    let _ = ground.cluster.ask(&["delete", "strategy", "spinner", "--namespace", &second.name]);
    second.trades();
}

#[test]
fn a_thousand_strategies_of_another_tenant_slow_no_halt_of_the_first_and_the_next_one_is_refused() {
    let Some(ground) = ground() else { return };
    // With the largest quota that there is; its strategies have a pool without a pod.
    let crowd = Desk::new(ground.cluster, ground.kafka.broker()).unwrap();
    let mut resource = tenant(&crowd.name, ground.kafka.broker());
    resource["spec"]["quota"] = json!({"cores": 1, "memoryMiB": 512, "strategies": CROWD});
    crowd.apply(&resource);
    becomes(ground.cluster, &crowd.name, &format!("tenant/{}", crowd.name), "Ready", "True", "AsSpecified");
    crowd.apply(&pool(&crowd.name, 1));
    let module = format!("--from-file=module.wasm={}", crowd.module.display());
    let _ = ground.cluster.ask(&["create", "configmap", "record-only-1", "--namespace", &crowd.name, &module]);
    let mut watch = Watch::start();
    let failed_before = ground.operator.metric(&metrics::OPERATOR_ROUNDS, &[("outcome", "failed")]);
    let cpu_before = ground.operator.cpu_seconds();

    let manifest = |n: u32| {
        let mut one = crowd.strategy.clone();
        one.metadata.name = format!("s-{n}");
        format!("---\n{}\n", serde_json::to_string(&one).unwrap())
    };
    let scratch = pinion_tests::scratch::Scratch::new();
    let file = scratch.write("crowd.yaml", (0..CROWD).map(manifest).collect::<String>());
    let flood = std::thread::spawn(move || {
        let output = ground.cluster.kubectl(&["create", "--filename", file.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        drop(scratch);
        (output.status.success(), said)
    });
    let during = ground.halts(10);
    let (all, said) = flood.join().unwrap();
    watch.lap("1,000 strategies made");
    assert!(all, "{said}");
    println!("halts of the first while they came: {during:?}");
    // Kubernetes counts a quota anew now and then, from what it has heard of by then; until it has heard of all, it takes more.
    super::counted(ground.cluster, &crowd.name, CROWD);
    let refused = ground.cluster.try_apply(&manifest(CROWD));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("used: count/strategies.pinion.dev=1k"), "{said}");
    let path = "{.items[*].status.conditions[?(@.type==\"Ready\")].reason}";
    until("all to be told why they do not run", 2 * STEP, || {
        let reasons = read(ground.cluster, &crowd.name, "strategies", path);
        (reasons.split_whitespace().filter(|reason| *reason == "QuotaExceeded").count() == CROWD as usize).then_some(())
    });
    watch.lap("all of them told that their pool gets no pod");
    let after = ground.halts(10);
    println!("halts of the first while they are there: {after:?}");
    for took in [&during, &after] {
        assert!(took[took.len() / 2] < HALT, "{took:?}");
    }
    let failed = ground.operator.metric(&metrics::OPERATOR_ROUNDS, &[("outcome", "failed")]) - failed_before;
    let (now, most) = ground.operator.memory_mib();
    println!("rounds that failed meanwhile: {failed}; CPU {:.1} s", ground.operator.cpu_seconds() - cpu_before);
    println!("the operator's memory: {now} MiB, at most {most} MiB");
    ground.first.trades();
    let _ = ground.cluster.ask(&["delete", "tenant", &crowd.name, "--wait=false"]);
}

#[test]
fn all_the_config_maps_that_it_may_make_are_a_bounded_number_and_slow_no_halt_of_the_first() {
    let Some(ground) = ground() else { return };
    let failed_before = ground.operator.metric(&metrics::OPERATOR_ROUNDS, &[("outcome", "failed")]);
    // ConfigMaps lie in the store that all share.
    let second = &ground.second;
    let maps: String = (0..120)
        .map(|n| {
            format!(
                "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: fill-{n}, namespace: {}}}}}\n",
                second.name
            )
        })
        .collect();
    let scratch = pinion_tests::scratch::Scratch::new();
    let file = scratch.write("maps.yaml", maps);
    let output = ground.second_does(&second.quant, &["create", "--filename", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("exceeded quota: pinion, requested: count/configmaps=1"),
        "{said}"
    );
    let count =
        ground.cluster.ask(&["get", "configmaps", "--namespace", &second.name, "--output=name"]).lines().count();
    // One that Kubernetes makes itself may come before the quota has counted.
    assert!(count <= 93, "{count} ConfigMaps");
    let halts = ground.halts(5);
    println!("halts of the first while they are there: {halts:?}");
    assert!(halts[halts.len() / 2] < HALT, "{halts:?}");
    let filled: Vec<String> = (0..120).map(|n| format!("fill-{n}")).collect();
    let mut delete = vec!["delete", "configmap", "--ignore-not-found", "--namespace", &second.name];
    delete.extend(filled.iter().map(String::as_str));
    let _ = ground.cluster.ask(&delete);
    let failed = ground.operator.metric(&metrics::OPERATOR_ROUNDS, &[("outcome", "failed")]) - failed_before;
    println!("rounds that failed meanwhile: {failed}");
    ground.first.trades();
}
