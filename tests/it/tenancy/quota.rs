//! A tenant's quota: what is beyond it is refused by Kubernetes, said by the operator with the numbers, and holds nothing else up.

use pinion_tests::programs::pinion;
use pinion_tests::scratch::Scratch;
use pinion_tests::wait::until;
use serde_json::json;

use super::{desk, read};
use crate::desk::{Desk, STEP, Watch, becomes, pool, tenant};

fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "nothing of {part:?} in: {message}");
    }
}

/// Onboards the tenant with a quota of its own.
fn onboard(desk: &Desk<'_>, cores: u32, strategies: u32) {
    let mut resource = tenant(&desk.name, desk.broker);
    resource["spec"]["quota"] = json!({"cores": cores, "memoryMiB": 16_384, "strategies": strategies});
    desk.apply(&resource);
    becomes(desk.cluster, &desk.name, &format!("tenant/{}", desk.name), "Ready", "True", "AsSpecified");
}

#[test]
fn pods_beyond_the_quota_are_missing_with_the_numbers_and_what_there_is_works() {
    let Some(mut desk) = desk() else { return };
    onboard(&desk, 5, 20);
    desk.apply(&pool(&desk.name, 3));
    let what = "runtimepool/default";
    becomes(desk.cluster, &desk.name, what, "Ready", "False", "QuotaExceeded");
    let message = until("both pods to be seen", STEP, || {
        let message = read(desk.cluster, &desk.name, what, "{.status.conditions[?(@.type==\"Ready\")].message}");
        message.contains("2 of 3").then_some(message)
    });
    says(
        &message,
        &["2 of 3 pods are made", "each takes 2 cores and 512 MiB", "4 of 5 cores", "1024 of 16384 MiB", "spec.quota"],
    );
    // Which of the three is not made is chance.
    let made = |n: u16| !read(desk.cluster, &desk.name, &format!("pod/default-{n}"), "{.metadata.uid}").is_empty();
    let (there, missing): (Vec<u16>, Vec<u16>) = (0..3).partition(|n| made(*n));
    let _pods: Vec<_> = there.into_iter().map(|n| desk.stand_in(n)).collect();
    desk.strategy.spec.replicas = 3;
    desk.deploy();
    // All its shards run, on the workers that there are.
    desk.is_ready();
    let limited = becomes(desk.cluster, &desk.name, "strategy/record-only", "ScalingLimited", "True", "QuotaExceeded");
    says(&limited, &["2 of 3 pods are made"]);
    desk.produce(4_000);
    desk.committed();

    let more = json!({"spec": {"quota": {"cores": 6}}}).to_string();
    let _ = desk.cluster.ask(&["patch", "tenant", &desk.name, "--type=merge", "--patch", &more]);
    let mut watch = Watch::start();
    let _third = desk.stand_in(missing[0]);
    becomes(desk.cluster, &desk.name, what, "Ready", "True", "AsSpecified");
    watch.lap("the third pod, from the larger quota");
    until("three workers", STEP, || {
        (read(desk.cluster, &desk.name, "strategy/record-only", "{.status.workers}") == "3").then_some(())
    });
    desk.produce(4_000);
    desk.committed();
    let (ids, repeats) = desk.ids();
    assert_eq!((ids.into_keys().collect::<Vec<_>>(), repeats), (desk.laptop(), 0));
}

#[test]
fn a_strategy_whose_pool_gets_no_pod_says_that_the_quota_is_why() {
    let Some(desk) = desk() else { return };
    onboard(&desk, 1, 20);
    desk.apply(&pool(&desk.name, 1));
    desk.deploy();
    let message = becomes(desk.cluster, &desk.name, "strategy/record-only", "Ready", "False", "QuotaExceeded");
    says(&message, &["0 of 1 pods are made", "each takes 2 cores", "0 of 1 cores"]);
    assert_eq!(desk.cluster.ask(&["get", "pods", "--namespace", &desk.name, "--output=name"]), "");
}

#[test]
fn one_strategy_too_many_is_refused_and_the_command_line_says_what_to_do() {
    let Some(desk) = desk() else { return };
    onboard(&desk, 4, 20);
    // They need not run to be counted.
    let mut manifests = String::new();
    for n in 0..20 {
        let mut one = desk.strategy.clone();
        one.metadata.name = format!("number-{n}");
        one.spec.paused = true;
        manifests.push_str(&format!("---\n{}\n", serde_json::to_string(&one).unwrap()));
    }
    desk.cluster.apply(&manifests);
    super::counted(desk.cluster, &desk.name, 20);
    let mut extra = desk.strategy.clone();
    extra.metadata.name = "number-20".into();
    let output = desk.cluster.try_apply(&serde_json::to_string(&extra).unwrap());
    says(&String::from_utf8_lossy(&output.stderr), &["exceeded quota: pinion", "used: count/strategies.pinion.dev=20"]);

    let scratch = Scratch::new();
    let file = scratch.write("extra.yaml", serde_json::to_vec(&extra).unwrap());
    let deploy = || {
        let mut command = pinion("deploy");
        command.arg(&file).env("KUBECONFIG", desk.cluster.kubeconfig()).env("NO_PROXY", "*");
        command.output().unwrap()
    };
    let output = deploy();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("{said}");
    assert_eq!(output.status.code(), Some(69), "{said}");
    says(&said, &["the tenant's quota is used up", "strategies: 20 of 20 used", "delete", "spec.quota of the Tenant"]);

    let _ = desk.cluster.ask(&["delete", "strategy", "number-3", "--namespace", &desk.name]);
    until("room for one more", STEP, || deploy().status.success().then_some(()));
    until("the tenant to count them", STEP, || {
        (read(desk.cluster, "", &format!("tenant/{}", desk.name), "{.status.strategies}") == "20").then_some(())
    });
}

#[test]
fn a_container_that_asks_for_nothing_gets_the_default_and_one_that_is_not_restricted_is_refused() {
    let Some(desk) = desk() else { return };
    onboard(&desk, 4, 20);
    let container = |security: serde_json::Value| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe", "namespace": desk.name},
            "spec": {"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}, "containers": [
                {"name": "probe", "image": "registry.example/probe:1", "securityContext": security}
            ]}
        })
    };
    let restricted = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    for (bend, why) in [
        (json!({"privileged": true}), "privileged"),
        (json!({"allowPrivilegeEscalation": true, "capabilities": {"drop": ["ALL"]}}), "allowPrivilegeEscalation"),
    ] {
        let output = desk.cluster.try_apply(&container(bend).to_string());
        says(&String::from_utf8_lossy(&output.stderr), &["violates PodSecurity \"restricted:latest\"", why]);
    }
    let mut on_host = container(restricted.clone());
    on_host["spec"]["volumes"] = json!([{"name": "host", "hostPath": {"path": "/"}}]);
    on_host["spec"]["hostNetwork"] = json!(true);
    let output = desk.cluster.try_apply(&on_host.to_string());
    says(&String::from_utf8_lossy(&output.stderr), &["violates PodSecurity", "hostPath", "host namespaces"]);

    desk.cluster.apply(&container(restricted).to_string());
    let amount =
        |path: &str| read(desk.cluster, &desk.name, "pod/probe", &format!("{{.spec.containers[0].resources.{path}}}"));
    let amounts = ["requests.cpu", "limits.cpu", "requests.memory", "limits.memory"].map(amount);
    assert_eq!(amounts, ["100m", "100m", "128Mi", "128Mi"]);
}
