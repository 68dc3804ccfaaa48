//! A pool's StatefulSet with its headless Service and disruption budget.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, EnvVar,
    EnvVarSource, HTTPGetAction, KeyToPath, ObjectFieldSelector, PodAffinityTerm, PodAntiAffinity, PodSecurityContext,
    PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext,
    Service, ServicePort, ServiceSpec, Toleration, Volume, VolumeMount, WeightedPodAffinityTerm,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Resource as _, ResourceExt as _};
use pinion_spec::pool::RuntimePoolSpec;
use pinion_spec::tenant::TenantSpec;

use super::{meta, pod_labels, pool_selector};
use crate::crd::RuntimePool;
use crate::names::{self, ADMIN_PORT, ADMIN_TOKEN_SECRET, RUNTIME_ACCOUNT};

/// Seconds from SIGTERM to SIGKILL: a drain waits at most 15 s for acknowledgements.
const TERMINATION_SECONDS: i64 = 30;
/// User and group of the runtime's image.
const RUNTIME_USER: i64 = 65_532;
/// Largest cache of compiled modules and largest state; more and the pod is evicted rather than the node filled.
const SCRATCH_BYTES_MAX: &str = "1Gi";

/// The headless Service: a name for each pod, ready or not, because the operator talks to those that are not yet.
#[must_use]
pub fn service(pool: &RuntimePool) -> Service {
    let port = ServicePort {
        name: Some("admin".into()),
        port: ADMIN_PORT.into(),
        target_port: Some(IntOrString::String("admin".into())),
        protocol: Some("TCP".into()),
        ..ServicePort::default()
    };
    Service {
        metadata: metadata(pool, &pool.name_any()),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".into()),
            publish_not_ready_addresses: Some(true),
            ports: Some(vec![port]),
            selector: pool_selector(&pool.name_any()).match_labels,
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// The disruption budget: evictions take one pod at a time, and one that does not work may always go.
#[must_use]
pub fn disruption_budget(pool: &RuntimePool) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(pool, &pool.name_any()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(pool_selector(&pool.name_any())),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

/// The StatefulSet of so many pods.
#[must_use]
pub fn stateful_set(pool: &RuntimePool, tenant: &TenantSpec, pods: u16) -> StatefulSet {
    let name = pool.name_any();
    let labels = pod_labels(&pool.namespace().unwrap_or_default(), &name).map(|(key, value)| (key.to_owned(), value));
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels.into()), ..ObjectMeta::default() }),
        spec: Some(pod(&name, &pool.spec.0, tenant)),
    };
    StatefulSet {
        metadata: metadata(pool, &name),
        spec: Some(StatefulSetSpec {
            replicas: Some(pods.into()),
            service_name: Some(name.clone()),
            selector: pool_selector(&name),
            template,
            // Pods do not wait for each other: each has an assignment of its own.
            pod_management_policy: Some("Parallel".into()),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

fn metadata(pool: &RuntimePool, name: &str) -> ObjectMeta {
    let tenant = pool.namespace().unwrap_or_default();
    let labels = pod_labels(&tenant, &pool.name_any());
    meta(Some(&tenant), name, labels, pool.controller_owner_ref(&()))
}

fn pod(name: &str, spec: &RuntimePoolSpec, tenant: &TenantSpec) -> PodSpec {
    PodSpec {
        containers: vec![container(spec, tenant)],
        service_account_name: Some(RUNTIME_ACCOUNT.into()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(TERMINATION_SECONDS),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(RUNTIME_USER),
            run_as_group: Some(RUNTIME_USER),
            fs_group: Some(RUNTIME_USER),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        node_selector: (!spec.node_selector.is_empty()).then(|| spec.node_selector.clone()),
        tolerations: (!spec.tolerations.is_empty()).then(|| spec.tolerations.iter().map(toleration).collect()),
        affinity: Some(apart(name)),
        volumes: Some(volumes(name, tenant)),
        ..PodSpec::default()
    }
}

fn toleration(of: &pinion_spec::pool::Toleration) -> Toleration {
    use pinion_spec::pool::{TaintEffect, TolerationOperator};
    let operator = match of.operator {
        TolerationOperator::Equal => "Equal",
        TolerationOperator::Exists => "Exists",
    };
    let effect = of.effect.map(|effect| match effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    });
    Toleration {
        key: of.key.clone(),
        operator: Some(operator.into()),
        value: of.value.clone(),
        effect: effect.map(str::to_owned),
        toleration_seconds: None,
    }
}

/// Pods keep apart where they can, by node before zone. Where they cannot, running beats spreading. Not by spread constraints: on
/// nodes that lack the label of one of them, such as a zone's, all of them count for nothing.
fn apart(pool: &str) -> Affinity {
    let term = |(topology_key, weight): (&str, i32)| WeightedPodAffinityTerm {
        weight,
        pod_affinity_term: PodAffinityTerm {
            topology_key: topology_key.into(),
            label_selector: Some(pool_selector(pool)),
            ..PodAffinityTerm::default()
        },
    };
    let terms = [("kubernetes.io/hostname", 100), ("topology.kubernetes.io/zone", 50)].map(term);
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(terms.into()),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}

fn container(spec: &RuntimePoolSpec, tenant: &TenantSpec) -> Container {
    // Whole cores, and as much asked for as allowed: Guaranteed, which is what Kubernetes gives cores of their own to.
    let resources = BTreeMap::from([
        ("cpu".to_owned(), Quantity(spec.cores_per_pod.to_string())),
        ("memory".to_owned(), Quantity(format!("{}Mi", spec.memory_mib))),
    ]);
    let port = ContainerPort {
        name: Some("admin".into()),
        container_port: ADMIN_PORT.into(),
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    };
    let pod_name = EnvVar {
        name: "POD_NAME".into(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { api_version: None, field_path: "metadata.name".into() }),
            ..EnvVarSource::default()
        }),
        value: None,
    };
    // A folder inside the volume: the runtime makes it its own alone, and the volume itself is Kubernetes'.
    let cache = EnvVar {
        name: "PINION_MODULE_CACHE".into(),
        value: Some("/var/cache/pinion/modules".into()),
        value_from: None,
    };
    Container {
        name: "runtime".into(),
        image: Some(spec.image.clone()),
        args: Some(args(spec, tenant)),
        env: Some(vec![pod_name, cache]),
        ports: Some(vec![port]),
        resources: Some(ResourceRequirements {
            requests: Some(resources.clone()),
            limits: Some(resources),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            ..SecurityContext::default()
        }),
        liveness_probe: Some(probe("/live", 6)),
        readiness_probe: Some(probe("/ready", 2)),
        volume_mounts: Some(mounts(tenant)),
        ..Container::default()
    }
}

fn args(spec: &RuntimePoolSpec, tenant: &TenantSpec) -> Vec<String> {
    let mut args: Vec<String> = vec![
        "--assignment".into(),
        "/etc/pinion/assignment/$(POD_NAME).json".into(),
        "--pod".into(),
        "$(POD_NAME)".into(),
        "--workers".into(),
        spec.workers_per_pod().to_string(),
        "--cores".into(),
        spec.cores_per_pod.to_string(),
        "--admin".into(),
        format!("0.0.0.0:{ADMIN_PORT}"),
        "--admin-token-file".into(),
        "/etc/pinion/token/token".into(),
        "--brokers".into(),
        tenant.kafka.brokers.join(","),
        "--state".into(),
        "/var/lib/pinion".into(),
        "--pin".into(),
        "auto".into(),
        "--wait".into(),
        spec.wait.name().into(),
    ];
    if let Some(credentials) = &tenant.kafka.credentials {
        args.extend(["--kafka-properties".into(), format!("/etc/pinion/kafka/{}", credentials.key)]);
    }
    if let Some(registry) = &tenant.registry {
        if registry.credentials.is_some() {
            args.extend(["--registry-config".into(), "/etc/pinion/registry/config.json".into()]);
        }
        if registry.authorities.is_some() {
            args.extend(["--registry-ca".into(), "/etc/pinion/registry-ca/ca.crt".into()]);
        }
    }
    args
}

fn probe(path: &str, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String("admin".into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(5),
        timeout_seconds: Some(2),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn mounts(tenant: &TenantSpec) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let mut mounts = vec![
        // The whole folder and no single file of it: only folders are brought up to date while a pod runs.
        mount("assignment", "/etc/pinion/assignment", true),
        mount("token", "/etc/pinion/token", true),
        mount("cache", "/var/cache/pinion", false),
        mount("state", "/var/lib/pinion", false),
        mount("tmp", "/tmp", false),
    ];
    if tenant.kafka.credentials.is_some() {
        mounts.push(mount("kafka", "/etc/pinion/kafka", true));
    }
    if let Some(registry) = &tenant.registry {
        // Folders, as above: a pull reads what the Secret has now.
        mounts.extend(registry.credentials.as_ref().map(|_| mount("registry", "/etc/pinion/registry", true)));
        mounts.extend(registry.authorities.as_ref().map(|_| mount("registry-ca", "/etc/pinion/registry-ca", true)));
    }
    mounts
}

fn volumes(pool: &str, tenant: &TenantSpec) -> Vec<Volume> {
    let scratch = |name: &str| Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource { size_limit: Some(Quantity(SCRATCH_BYTES_MAX.into())), medium: None }),
        ..Volume::default()
    };
    let secret = |name: &str, secret_name: &str, items: Option<Vec<KeyToPath>>| Volume {
        name: name.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret_name.into()),
            default_mode: Some(0o440),
            items,
            optional: None,
        }),
        ..Volume::default()
    };
    let assignment = Volume {
        name: "assignment".into(),
        config_map: Some(ConfigMapVolumeSource {
            name: names::assignment_config_map(pool),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    };
    let mut volumes =
        vec![assignment, secret("token", ADMIN_TOKEN_SECRET, None), scratch("cache"), scratch("state"), scratch("tmp")];
    if let Some(credentials) = &tenant.kafka.credentials {
        // All of it: the properties may name the authority's certificate, which lies beside them.
        volumes.push(secret("kafka", &credentials.name, None));
    }
    if let Some(registry) = &tenant.registry {
        let item = |key: &str, path: &str| Some(vec![KeyToPath { key: key.into(), path: path.into(), mode: None }]);
        let config = |name: &String| secret("registry", name, item(".dockerconfigjson", "config.json"));
        volumes.extend(registry.credentials.as_ref().map(config));
        volumes.extend(registry.authorities.as_ref().map(|authorities| Volume {
            name: "registry-ca".into(),
            config_map: Some(ConfigMapVolumeSource {
                name: authorities.name.clone(),
                items: item(&authorities.key, "ca.crt"),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        }));
    }
    volumes
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;
    use crate::fixtures::{pool, tenant};

    fn template(pool: &RuntimePool) -> Json {
        serde_json::to_value(stateful_set(pool, &tenant(), 3)).unwrap()["spec"]["template"]["spec"].clone()
    }

    #[test]
    fn pods_are_guaranteed_whole_cores() {
        let container = &template(&pool())["containers"][0];
        assert_eq!(container["resources"]["requests"], container["resources"]["limits"]);
        assert_eq!(container["resources"]["limits"]["cpu"], "4");
        assert_eq!(container["resources"]["limits"]["memory"], "2048Mi");
    }

    /// The restricted profile of Kubernetes' pod security standards, and a root file system that cannot be written.
    #[test]
    fn pods_are_restricted() {
        let pod = template(&pool());
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(pod["automountServiceAccountToken"], false);
        let container = &pod["containers"][0]["securityContext"];
        assert_eq!(container["allowPrivilegeEscalation"], false);
        assert_eq!(container["readOnlyRootFilesystem"], true);
        assert_eq!(container["capabilities"]["drop"], serde_json::json!(["ALL"]));
        let kinds = ["emptyDir", "configMap", "secret"];
        for volume in pod["volumes"].as_array().unwrap() {
            assert!(kinds.iter().any(|kind| volume[*kind].is_object()), "{volume}");
        }
    }

    #[test]
    fn the_command_line_is_the_one_that_the_runtime_reads() {
        let args = &template(&pool())["containers"][0]["args"];
        let args: Vec<&str> = args.as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
        assert_eq!(
            args.join(" "),
            "--assignment /etc/pinion/assignment/$(POD_NAME).json --pod $(POD_NAME) --workers 3 --cores 4 --admin 0.0.0.0:9101 \
             --admin-token-file /etc/pinion/token/token --brokers kafka-0.kafka:9092,10.9.8.7:9094 --state /var/lib/pinion \
             --pin auto --wait spin --kafka-properties /etc/pinion/kafka/client.properties --registry-config \
             /etc/pinion/registry/config.json --registry-ca /etc/pinion/registry-ca/ca.crt"
        );
    }

    #[test]
    fn every_path_on_the_command_line_is_mounted_and_every_mount_has_its_volume() {
        let mut plain = tenant();
        (plain.kafka.credentials, plain.registry) = (None, None);
        for tenant in [tenant(), plain] {
            let set = serde_json::to_value(stateful_set(&pool(), &tenant, 1)).unwrap();
            let pod = &set["spec"]["template"]["spec"];
            let of = |list: &Json, key: &str| -> Vec<String> {
                list.as_array().unwrap().iter().map(|one| one[key].as_str().unwrap().to_owned()).collect()
            };
            let mounts = &pod["containers"][0]["volumeMounts"];
            assert_eq!(of(mounts, "name"), of(&pod["volumes"], "name"));
            let paths = of(mounts, "mountPath");
            for arg in pod["containers"][0]["args"].as_array().unwrap() {
                let arg = arg.as_str().unwrap();
                assert!(!arg.starts_with('/') || paths.iter().any(|path| arg.starts_with(path.as_str())), "{arg}");
            }
        }
    }

    #[test]
    fn a_pod_of_one_core_has_one_worker() {
        let mut small = pool();
        small.spec.0.cores_per_pod = 1;
        assert_eq!(small.spec.0.workers_per_pod(), 1);
        assert!(template(&small)["containers"][0]["args"].as_array().unwrap().contains(&"1".into()));
    }

    #[test]
    fn service_set_budget_and_spread_mean_the_same_pods() {
        let labels = serde_json::to_value(stateful_set(&pool(), &tenant(), 1)).unwrap();
        let labels = labels["spec"]["template"]["metadata"]["labels"].as_object().unwrap().clone();
        let set = serde_json::to_value(stateful_set(&pool(), &tenant(), 1)).unwrap();
        let apart = &set["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"];
        let apart = &apart["preferredDuringSchedulingIgnoredDuringExecution"];
        for selector in [
            set["spec"]["selector"]["matchLabels"].clone(),
            apart[0]["podAffinityTerm"]["labelSelector"]["matchLabels"].clone(),
            apart[1]["podAffinityTerm"]["labelSelector"]["matchLabels"].clone(),
            serde_json::to_value(disruption_budget(&pool())).unwrap()["spec"]["selector"]["matchLabels"].clone(),
            serde_json::to_value(service(&pool())).unwrap()["spec"]["selector"].clone(),
        ] {
            let selector = selector.as_object().unwrap();
            assert!(!selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value)));
        }
    }
}
