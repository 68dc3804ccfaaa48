//! What the chart renders, and what it refuses.

use pinion_tests::captures::project_root;
use pinion_tests::scratch::Scratch;
use serde_json::{Value as Json, json};

use super::{IMAGE, copy_into, helm_says, manifest, manifests, rendered, rendered_from};

/// Everything that can be asked for.
const ALL: &str = "monitoring.operator.enabled=true,monitoring.runtime.enabled=true,monitoring.rules.enabled=true,\
                   monitoring.dashboards.enabled=true,rbac.aggregateToEdit=true,priorityClassName=system-cluster-critical";

const PROMETHEUS: &str = "--api-versions=monitoring.coreos.com/v1";

#[test]
fn helm_has_nothing_to_find_fault_with() {
    for more in [&["--set", IMAGE][..], &["--set", IMAGE, "--set", ALL], &[]] {
        let Some(output) = helm_says(&["lint", "--strict"], more) else { return };
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && !said.contains("[WARNING]"), "{more:?}: {said}");
    }
}

#[test]
fn what_is_wrong_with_values_is_refused_with_its_place() {
    let good = "image.repository=registry.example/pinion-operator";
    for (set, wanted) in [
        ("replicas=2", "image.repository is not set"),
        (&format!("{good},image.repo=x"), "at '/image': additional properties 'repo' not allowed"),
        (&format!("{good},imagePullSecret=x"), "additional properties 'imagePullSecret' not allowed"),
        (&format!("{good},image.digest=sha256:12"), "at '/image/digest': 'sha256:12' does not match pattern"),
        (&format!("{good},image.tag=a b"), "at '/image/tag'"),
        (&format!("{good},replicas=0"), "at '/replicas': minimum: got 0, want 1"),
        (&format!("{good},replicas=two"), "at '/replicas': got string, want integer"),
        (&format!("{good},logFormat=xml"), "at '/logFormat': value must be one of 'json', 'text'"),
        (&format!("{good},crds.keep=maybe"), "at '/crds/keep': got string, want boolean"),
        (&format!("{good},resources.limits.memory=lots"), "at '/resources/limits/memory'"),
        (&format!("{good},networkPolicy.apiServer.cidrs[0]=kubernetes"), "at '/networkPolicy/apiServer/cidrs/0'"),
        (&format!("{good},networkPolicy.apiServer.cidrs=null"), "at '/networkPolicy/apiServer'"),
        (&format!("{good},networkPolicy.apiServer.ports[0]=0"), "at '/networkPolicy/apiServer/ports/0'"),
        (&format!("{good},monitoring.rules.labels.a=1"), "at '/monitoring/rules/labels/a': got number, want string"),
        (&format!("{good},monitoring.rules.runbookBaseUrl=docs"), "at '/monitoring/rules/runbookBaseUrl'"),
        (&format!("{good},monitoring.runtime.interval=often"), "at '/monitoring/runtime/interval'"),
        (
            &format!("{good},monitoring.operator.enabled=true"),
            "monitoring.operator.enabled is true, but the cluster does not know",
        ),
        (
            &format!("{good},monitoring.runtime.enabled=true"),
            "monitoring.runtime.enabled is true, but the cluster does not know",
        ),
        (
            &format!("{good},monitoring.rules.enabled=true"),
            "monitoring.rules.enabled is true, but the cluster does not know",
        ),
    ] {
        let Some(output) = helm_says(&["template", "pinion"], &["--set", set]) else { return };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(wanted), "{set}: {wanted:?} is missing from: {said}");
    }
    let Some(output) = helm_says(&["template", "pinion"], &["--set", good, "--kube-version", "1.29.9"]) else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("kubeVersion: >=1.30.0-0"), "{said}");
}

#[test]
fn the_definitions_are_those_of_the_types_and_are_kept() {
    let file = std::fs::read_to_string(project_root().join("deploy/crds/crds.yaml")).unwrap();
    let show = ["--set", IMAGE, "--show-only", "templates/crds.yaml"];
    let Some(mut definitions) = rendered(&show) else { return };
    for definition in &mut definitions {
        let metadata = definition["metadata"].as_object_mut().unwrap();
        assert_eq!(metadata.remove("annotations"), Some(json!({"helm.sh/resource-policy": "keep"})));
        assert_eq!(metadata.remove("labels").unwrap()["app.kubernetes.io/part-of"], "pinion");
    }
    assert_eq!(definitions, manifests(&file));

    let all = |set: &str| rendered(&["--set", IMAGE, "--set", set]).unwrap();
    let kinds = |manifests: &[Json]| manifests.iter().filter(|one| one["kind"] == "CustomResourceDefinition").count();
    assert_eq!(kinds(&all("crds.install=false")), 0);
    let unkept = all("crds.keep=false");
    let definition = manifest(&unkept, "CustomResourceDefinition", "tenants.pinion.dev");
    assert_eq!((kinds(&unkept), &definition["metadata"]["annotations"]), (3, &Json::Null));
}

#[test]
fn the_image_is_named_by_tag_by_digest_or_by_both() {
    let digest = format!("sha256:{}", "5d".repeat(32));
    let name = "registry.example/pinion-operator";
    for (set, wanted) in [
        (String::new(), format!("{name}:0.1.0")),
        ("image.tag=1.2.3".to_owned(), format!("{name}:1.2.3")),
        (format!("image.digest={digest}"), format!("{name}@{digest}")),
        (format!("image.tag=1.2.3,image.digest={digest}"), format!("{name}:1.2.3@{digest}")),
    ] {
        let Some(manifests) = rendered(&["--set", IMAGE, "--set", &set]) else { return };
        let pod = &manifest(&manifests, "Deployment", "pinion-operator")["spec"]["template"]["spec"];
        assert_eq!(pod["containers"][0]["image"], wanted.as_str());
    }
}

/// Versions of chart and programs go together.
#[test]
fn the_charts_version_is_the_workspaces() {
    let chart = std::fs::read_to_string(project_root().join("deploy/chart/Chart.yaml")).unwrap();
    let chart: Json = serde_saphyr::from_str(&chart).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!((chart["version"].as_str(), chart["appVersion"].as_str()), (Some(version), Some(version)));
}

#[test]
fn every_board_and_every_rule_that_lies_in_its_folder_is_brought() {
    let folder = Scratch::new();
    let chart = copy_into(&folder);
    let board = r#"{"title": "Extra", "panels": [{"targets": [{"legendFormat": "{{tenant}} {{ strategy }}"}]}]}"#;
    std::fs::write(chart.join("files/grafana/extra.json"), board).unwrap();
    let rule = "groups:\n- name: extra\n  rules:\n  - alert: Extra\n    expr: up == 0\n    annotations: {summary: '{{ $labels.pod }} is down'}\n";
    std::fs::write(chart.join("files/prometheus/extra.yaml"), rule).unwrap();
    std::fs::write(chart.join("files/prometheus/extra_test.yaml"), "rule_files: [extra.yaml]\ntests: []\n").unwrap();

    let more = ["--set", IMAGE, "--set", ALL, PROMETHEUS];
    let Some((text, manifests)) = rendered_from(&chart, &more) else { return };
    let extra = manifest(&manifests, "ConfigMap", "pinion-board-extra");
    assert_eq!(extra["metadata"]["labels"]["grafana_dashboard"], "1");
    // What Grafana's and Prometheus' own templates are is not for Helm.
    assert_eq!(serde_json::from_str::<Json>(extra["data"]["extra.json"].as_str().unwrap()).unwrap()["title"], "Extra");
    assert!(text.contains("{{tenant}} {{ strategy }}"), "{text}");
    let groups = manifest(&manifests, "PrometheusRule", "pinion")["spec"]["groups"].as_array().unwrap();
    let extra = groups.iter().find(|group| group["name"] == "extra").expect("the extra group");
    assert_eq!(extra["rules"][0]["annotations"]["summary"], "{{ $labels.pod }} is down");

    for (file, kind) in [("grafana", "json"), ("prometheus", "yaml")] {
        for entry in std::fs::read_dir(project_root().join("deploy").join(file)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            if path.extension().is_none_or(|extension| extension != kind) {
                continue;
            }
            if kind == "json" {
                let board = std::fs::read_to_string(&path).unwrap();
                let brought = manifest(&manifests, "ConfigMap", &format!("pinion-board-{name}"));
                let brought = brought["data"][format!("{name}.json")].as_str().unwrap();
                let read = |text: &str| serde_json::from_str::<Json>(text).unwrap();
                assert_eq!(read(brought), read(&board), "{name}");
            } else {
                let rules: Json = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
                for group in rules["groups"].as_array().into_iter().flatten() {
                    assert!(groups.contains(group), "{name}: {group}");
                }
            }
        }
    }
}

#[test]
fn an_alert_links_its_runbook_where_the_pages_are_served() {
    let folder = Scratch::new();
    let chart = copy_into(&folder);
    let rule = "groups:\n- name: extra\n  rules:\n  - {alert: Extra, expr: up == 0, annotations: {runbook_url: 'https://wiki.example/Extra'}}\n  - {alert: Bare, expr: up == 0}\n";
    std::fs::write(chart.join("files/prometheus/extra.yaml"), rule).unwrap();
    for (base, before) in [
        ("", ""),
        ("https://git.example/pinion/blob/main", "https://git.example/pinion/blob/main/"),
        ("https://git.example/pinion/blob/main/", "https://git.example/pinion/blob/main/"),
    ] {
        let base = format!("monitoring.rules.runbookBaseUrl={base}");
        let Some((_, manifests)) = rendered_from(&chart, &["--set", IMAGE, "--set", ALL, "--set", &base, PROMETHEUS])
        else {
            return;
        };
        let groups = manifest(&manifests, "PrometheusRule", "pinion")["spec"]["groups"].as_array().unwrap();
        let mut pages = 0;
        for rule in groups.iter().flat_map(|group| group["rules"].as_array().unwrap()) {
            match rule["alert"].as_str() {
                Some("Extra") => assert_eq!(rule["annotations"]["runbook_url"], "https://wiki.example/Extra"),
                Some("Bare") | None => assert_eq!(rule["annotations"]["runbook_url"], Json::Null, "{rule}"),
                Some(alert) => {
                    let url = format!("{before}docs/runbooks/{alert}.md");
                    assert_eq!(rule["annotations"]["runbook_url"], url.as_str());
                    pages += 1;
                }
            }
        }
        assert!(pages > 10, "{pages} alerts with a page");
    }
}

/// As the guide has it for a Prometheus without its operator; the boards tell processes apart by it.
#[test]
fn a_target_is_called_by_its_namespace_and_pod() {
    let Some(manifests) = rendered(&["--set", IMAGE, "--set", ALL, PROMETHEUS]) else { return };
    let wanted = json!([{
        "sourceLabels": ["__meta_kubernetes_namespace", "__meta_kubernetes_pod_name"], "separator": "/", "targetLabel": "instance"
    }]);
    let service = &manifest(&manifests, "ServiceMonitor", "pinion-operator")["spec"]["endpoints"];
    let pods = &manifest(&manifests, "PodMonitor", "pinion-runtime")["spec"]["podMetricsEndpoints"];
    for endpoints in [service, pods] {
        let endpoints = endpoints.as_array().unwrap();
        assert!(!endpoints.is_empty() && endpoints.iter().all(|one| one["relabelings"] == wanted), "{endpoints:?}");
    }
}

#[test]
fn what_can_be_left_out_is_left_out() {
    let count = |set: &str, kind: &str| {
        let manifests = rendered(&["--set", IMAGE, "--set", set, PROMETHEUS])?;
        Some(manifests.iter().filter(|one| one["kind"] == kind).count())
    };
    for (set, kind) in [
        ("admissionPolicy.enabled=false", "ValidatingAdmissionPolicy"),
        ("networkPolicy.enabled=false", "NetworkPolicy"),
        ("replicas=1", "PodDisruptionBudget"),
        ("monitoring.operator.enabled=false", "ServiceMonitor"),
        ("monitoring.runtime.enabled=false", "PodMonitor"),
        ("monitoring.dashboards.enabled=false", "ConfigMap"),
    ] {
        let with = format!("{ALL},replicas=2");
        let (Some(without), Some(with)) = (count(&format!("{with},{set}"), kind), count(&with, kind)) else { return };
        // Boards are as many as there are.
        assert_eq!(without, 0, "{set}");
        assert!(with > 0 || kind == "ConfigMap", "{kind}");
    }
}
