//! The guides' commands on installing and onboarding, as they have them, with an operator that has the rights which the chart gives it.

use std::cell::RefCell;
use std::time::Duration;

use pinion_tests::captures::project_root;
use pinion_tests::guide::{Guide, Reader};
use pinion_tests::kafka::Secured;
use pinion_tests::kube::{Cluster, Tier, prometheus_definitions};
use pinion_tests::operator::Operator;
use pinion_tests::programs::build_folder;
use pinion_tests::runtime::is_clean;
use pinion_tests::stand_in::StandIn;
use pinion_tests::wait::until;
use serde_json::json;

use super::{NAMESPACE, rights};

/// Each takes a few seconds on a quiet machine.
const STEP: Duration = Duration::from_secs(120);

/// What the guide calls Kafka.
const KAFKA: &str = "kafka-0.kafka:9092";

/// The account that the chart makes.
const ACCOUNT: &str = "pinion-operator";

#[test]
fn every_command_of_the_guides_does_what_it_says() {
    if !rustix::process::geteuid().is_root() {
        return pinion_tests::require::skip("standing in for pods needs root, for their addresses");
    }
    let (Some(cluster), Some(kafka)) = (Cluster::start(Tier::Full), Secured::shared()) else { return };
    let reader = reader(&cluster, kafka);
    // What the guide takes for granted: a Prometheus with its operator, in a namespace of its own.
    for definition in prometheus_definitions() {
        let _ = cluster.ask(&["apply", "--server-side", "-f", definition.to_str().unwrap()]);
    }
    let _ = cluster.ask(&["create", "namespace", "monitoring"]);

    let (install, uninstall) = Guide::read("install.md").split_at("Uninstall");
    // kwok's pods do nothing; the process that does has the same account.
    let operator = RefCell::new(None::<Operator>);
    reader.follow(&install, |command| {
        if command.starts_with("kubectl rollout status") {
            let started = Operator::start_as(&cluster.kubeconfig_of(NAMESPACE, ACCOUNT), "op-a");
            until("the operator to be ready", STEP, || (started.get("/ready")?.status == 200).then_some(()));
            operator.replace(Some(started));
        }
    });

    let pods = RefCell::new(Vec::new());
    reader.follow(&Guide::read("onboarding.md"), |command| {
        if command.starts_with("kubectl wait --for=condition=Ready tenant") {
            // Somebody's guess at what will be believed: the operator takes it away.
            let forged = ["create", "configmap", "default-assignment", "--namespace", "desk-7", "--from-literal=a=b"];
            let _ = cluster.ask(&forged);
        }
        if command.starts_with("kubectl apply -f pool.yaml") {
            let mounted = [("--kafka-properties", "secret/kafka-client", "client.properties")];
            let pod = StandIn::start_with(&cluster, kafka.broker(), "desk-7", "default", "default-0", 1, &mounted);
            pods.borrow_mut().push(pod);
        }
    });
    drop(pods);

    a_namespace_that_was_there_is_not_taken(&cluster);
    let (unused, refused) = rights::unused_and_refused(&cluster, &["desk-7"]);
    assert_eq!(unused, Vec::<String>::new(), "rights that nothing needs");
    assert_eq!(refused, Vec::<String>::new(), "rights that are missing");
    assert!(is_clean(operator.take().expect("an operator").sigterm_and_wait()));
    reader.follow(&uninstall, |_| {});
}

/// Who reads the guides as the cluster's and Kafka's administrator, with the module of the guide's strategy.
pub(crate) fn reader(cluster: &Cluster, kafka: &Secured) -> Reader {
    let mut reader = Reader::new();
    kafka.put_tools(reader.folder());
    let module = project_root().join("strategies-examples/ema-cross/ema-cross.wasm");
    let copied = std::fs::copy(&module, reader.folder().join("ema-cross.wasm"));
    assert!(copied.is_ok(), "no {}: run `make strategies`", module.display());
    reader.programs = vec![reader.folder().to_owned(), cluster.programs().to_owned(), build_folder()];
    reader.variables = vec![("KUBECONFIG", cluster.kubeconfig()), ("KUBECACHEDIR", cluster.folder().join("cache"))];
    for (variable, folder) in [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
    {
        reader.variables.push((variable, cluster.folder().join("helm").join(folder)));
    }
    reader.names = vec![(KAFKA, kafka.broker().address())];
    reader
}

fn a_namespace_that_was_there_is_not_taken(cluster: &Cluster) {
    let _ = cluster.ask(&["create", "namespace", "taken"]);
    let tenant = json!({
        "apiVersion": "pinion.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": "taken"},
        "spec": {"quota": {"cores": 1, "memoryMiB": 512, "strategies": 1}, "kafka": {"brokers": [KAFKA], "topicPrefixes": ["taken."]}}
    });
    cluster.apply(&tenant.to_string());
    let _ = cluster.ask(&["wait", "--for=condition=Ready=false", "tenant/taken", "--timeout=60s"]);
    let labels = cluster.ask(&["get", "namespace", "taken", "--output", "jsonpath={.metadata.labels}"]);
    assert!(!labels.contains("pinion"), "{labels}");
    let _ = cluster.ask(&["delete", "tenant", "taken", "--timeout=60s"]);
}
