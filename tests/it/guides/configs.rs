//! Files of the documentation that no test does: the program that each is for takes it.

use std::process::Command;

use pinion_runtime::kafka::Kafka;
use pinion_runtime::wire::read_order;
use pinion_tests::captures::project_root;
use pinion_tests::guide::Block;
use pinion_tests::kube::{Cluster, helm};
use pinion_tests::prometheus::promtool;
use pinion_tests::scratch::Scratch;
use serde_json::{Value, json};

use super::{Rule, held};

/// Whose file a block of YAML is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Yaml {
    /// `pinion run` and the cluster take it.
    Strategy,
    /// A strategy's inputs alone.
    Inputs,
    /// The apiserver does, by the project's definitions.
    Resource,
    /// A pod's spec, in part: the apiserver does.
    Pod,
    Prometheus,
    Grafana,
    Kubelet,
}

/// Whose file a block is, by what is in it.
pub(super) fn yaml(block: &Block) -> Result<Yaml, String> {
    let value: Value = serde_saphyr::from_str(&block.text).map_err(|error| format!("no YAML: {error}"))?;
    let has = |field: &str| value.get(field).is_some();
    match (value["apiVersion"].as_str(), value["kind"].as_str()) {
        (Some("pinion.dev/v1alpha1"), Some("Strategy")) => Ok(Yaml::Strategy),
        (Some("pinion.dev/v1alpha1"), Some(_)) => Ok(Yaml::Resource),
        _ if has("inputs") => Ok(Yaml::Inputs),
        _ if has("scrape_configs") => Ok(Yaml::Prometheus),
        _ if has("providers") => Ok(Yaml::Grafana),
        _ if has("cpuManagerPolicy") => Ok(Yaml::Kubelet),
        _ if has("volumes") => Ok(Yaml::Pod),
        _ => Err("nothing that is known takes it".to_owned()),
    }
}

/// Does something with every block of one kind, of which there are some.
fn each(kind: Yaml, mut take: impl FnMut(&str, &str)) {
    let mut count = 0;
    for (page, block) in held(|rule| rule == Rule::Yaml(kind)) {
        take(&page.place(&block), &block.text);
        count += 1;
    }
    assert!(count > 0, "no {kind:?}");
}

#[test]
fn every_strategy_of_the_documentation_is_one() {
    each(Yaml::Strategy, |place, text| {
        let strategies = pinion_spec::parse(text, place).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(strategies.len(), 1, "{place}");
    });
}

#[test]
fn inputs_of_the_documentation_are_those_of_a_strategy() {
    let parsed = |place: &str, text: &str| {
        let mut spec: Value = serde_saphyr::from_str(text).unwrap();
        spec["module"] = json!({"file": "a.wasm"});
        spec["outputs"] = json!({"orders": {"topic": "orders"}});
        let (version, metadata) = ("pinion.dev/v1alpha1", json!({"name": "a"}));
        let strategy = json!({"apiVersion": version, "kind": "Strategy", "metadata": metadata, "spec": spec});
        pinion_spec::parse(&strategy.to_string(), place).map_err(|errors| errors.to_string())
    };
    each(Yaml::Inputs, |place, text| assert_eq!(parsed(place, text).unwrap()[0].spec.inputs.len(), 2, "{place}"));
    assert!(parsed("here", "inputs: [{topic: a, encodings: binance-spot}]").unwrap_err().contains("encodings"));
}

#[test]
fn an_apiserver_takes_every_resource_of_the_documentation() {
    let Some(cluster) = Cluster::shared() else { return };
    let scratch = Scratch::new();
    let taken = |place: &str, mut resource: Value| {
        if resource["kind"] != "Tenant" {
            resource["metadata"]["namespace"] = "default".into();
        }
        let file = scratch.write("resource.json", resource.to_string());
        let output =
            cluster.kubectl(&["create", "--dry-run=server", "--validate=strict", "--filename", file.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(format!("{place}: {said}")) }
    };
    let parsed = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
    each(Yaml::Resource, |place, text| taken(place, parsed(text)).unwrap());
    let pod = |text: &str| {
        let mut spec = parsed(text);
        spec["containers"] = json!([{"name": "a", "image": "a"}]);
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec})
    };
    each(Yaml::Pod, |place, text| taken(place, pod(text)).unwrap());
    let wrong = taken("here", pod("volumes: [{name: a, projected: {source: []}}]")).unwrap_err();
    assert!(wrong.contains("source"), "{wrong}");
}

/// Prometheus' own, which Debian's build of it is made without.
const DISCOVERY: &str = "kubernetes_sd_configs: [{role: pod}]";

#[test]
fn promtool_takes_every_prometheus_configuration_of_the_documentation() {
    let scratch = Scratch::new();
    std::os::unix::fs::symlink(project_root().join("deploy"), scratch.path().join("deploy")).unwrap();
    each(Yaml::Prometheus, |place, text| {
        scratch.write("prometheus.yml", text.replace(DISCOVERY, "static_configs: [{targets: []}]"));
        let Some(output) = promtool(scratch.path(), &["check", "config", "prometheus.yml"]) else { return };
        assert!(output.status.success(), "{place}: {}", String::from_utf8_lossy(&output.stderr));
    });
}

/// Grafana itself is not at hand; these are the fields of its documentation.
#[test]
fn every_provider_of_boards_has_grafanas_fields() {
    each(Yaml::Grafana, |place, text| {
        let value: Value = serde_saphyr::from_str(text).unwrap();
        assert_eq!(value["apiVersion"], 1, "{place}");
        for provider in value["providers"].as_array().unwrap() {
            let known = [
                "name",
                "orgId",
                "folder",
                "folderUid",
                "type",
                "disableDeletion",
                "updateIntervalSeconds",
                "allowUiUpdates",
                "options",
            ];
            assert!(
                provider.as_object().unwrap().keys().all(|field| known.contains(&field.as_str())),
                "{place}: {provider}"
            );
            assert!(provider["type"] == "file" && provider["options"]["path"].is_string(), "{place}: {provider}");
        }
    });
}

/// A kubelet reads its configuration, then looks for its apiserver, which it is not given.
#[test]
fn a_kubelet_knows_every_field_of_its_configuration() {
    let Some(helm) = helm() else { return };
    let kubelet = std::path::Path::new(helm.get_program()).with_file_name("kubelet");
    let scratch = Scratch::new();
    let said = |text: &str| {
        let file = scratch.write(
            "kubelet.yaml",
            format!("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n{text}"),
        );
        let output = Command::new(&kubelet)
            .arg("--config")
            .arg(file)
            .arg("--root-dir")
            .arg(scratch.path().join("root"))
            .args(["--kubeconfig", "/nowhere/kubeconfig"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("/nowhere/kubeconfig"), "it did not come to its apiserver: {said}");
        said
    };
    each(Yaml::Kubelet, |place, text| {
        let said = said(text);
        assert!(!said.contains("unknown field"), "{place}: {said}");
    });
    assert!(said("cpuManagerPolice: static\n").contains("unknown field \\\"cpuManagerPolice\\\""));
}

/// A file of Kafka's settings, as a runtime reads it: each goes to librdkafka, too.
fn client_of(properties: &str) -> Result<(), String> {
    let scratch = Scratch::new();
    let file = scratch.write("client.properties", properties);
    Kafka::of("localhost:9092", Some(&file)).map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn every_properties_file_of_the_documentation_is_taken_by_the_client() {
    let mut count = 0;
    for (page, block) in held(|rule| rule == Rule::Properties) {
        count += 1;
        client_of(&block.text).unwrap_or_else(|why| panic!("{}: {why}", page.place(&block)));
    }
    assert!(count > 0);
    assert!(client_of("sasl.mechanisn=PLAIN\n").unwrap_err().contains("sasl.mechanisn"));
}

/// The fields of the table that stands before the block.
fn fields_of(page: &str, block: &str) -> Vec<String> {
    let before = page.split(block).next().unwrap();
    let table = before.rsplit_once("| field | type | |\n|---|---|---|\n").unwrap().1;
    let rows = table.lines().take_while(|line| line.starts_with("| `"));
    rows.filter_map(|row| row.split('`').nth(1).map(str::to_owned)).collect()
}

#[test]
fn the_order_of_the_guide_is_one_and_has_the_fields_of_its_table_in_their_order() {
    let mut count = 0;
    for (page, block) in held(|rule| rule == Rule::Order) {
        count += 1;
        let order: Value = serde_json::from_str(&block.text).unwrap();
        let read = read_order(block.text.as_bytes());
        assert!(read.is_ok(), "{read:?}");
        let fields = fields_of(&page.text, &block.text);
        assert_eq!(order.as_object().unwrap().len(), fields.len(), "{fields:?}");
        let places: Vec<usize> =
            fields.iter().map(|field| block.text.find(&format!("\"{field}\":")).unwrap()).collect();
        assert!(places.is_sorted(), "{fields:?} {places:?}");
    }
    assert!(count > 0);
}
