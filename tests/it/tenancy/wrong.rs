//! What is wrong with a tenant's resources is said in a condition, with the field and the way out; nothing of it is half made; and once
//! it is mended it runs, without anybody restarting anything.

use std::time::Duration;

use pinion_spec::strategy::{ConfigMapKey, Risk, Strategy};
use pinion_tests::kafka::Broker;
use pinion_tests::stand_in::StandIn;
use pinion_tests::wait::until;
use serde_json::{Value, json};

use super::{desk, pool_named, read, stage};
use crate::desk::{Desk, Watch, becomes, tenant};

/// Every strategy of the table is assigned, scouted, loaded and compiled by one pod on a busy machine.
const ALL: Duration = Duration::from_secs(180);

/// A strategy that cannot run as it is.
struct Case {
    name: &'static str,
    bend: fn(&Desk<'_>, &mut Strategy),
    /// What its Ready condition says.
    reason: &'static str,
    says: &'static [&'static str],
    /// Known before any pod is asked, so in no document.
    refused_at_once: bool,
    mend: fn(&Desk<'_>, &mut Strategy) -> Option<StandIn>,
}

fn module(name: &str, key: &str) -> Option<ConfigMapKey> {
    Some(ConfigMapKey { name: name.into(), key: key.into() })
}

fn good_module(_: &Desk<'_>, strategy: &mut Strategy) -> Option<StandIn> {
    strategy.spec.module.config_map = module("record-only-1", "module.wasm");
    None
}

/// A ConfigMap with something in it that is called a module.
fn upload(desk: &Desk<'_>, name: &str, key: &str, bytes: &[u8]) {
    let scratch = pinion_tests::scratch::Scratch::new();
    let file = scratch.write("module", bytes);
    let entry = format!("--from-file={key}={}", file.display());
    let _ = desk.cluster.ask(&["create", "configmap", name, "--namespace", &desk.name, &entry]);
}

fn market(desk: &Desk<'_>) -> String {
    format!("{}.md", desk.name)
}

const CASES: [Case; 11] = [
    Case {
        name: "reads-anothers",
        bend: |_, strategy| strategy.spec.inputs[0].topic = "nobody.md".into(),
        reason: "TopicForbidden",
        says: &["spec.inputs[0].topic", "may not read topic nobody.md", "must begin with one of"],
        refused_at_once: true,
        mend: |desk, strategy| {
            strategy.spec.inputs[0].topic = market(desk);
            None
        },
    },
    Case {
        name: "writes-anothers",
        bend: |_, strategy| {
            strategy.spec.outputs.orders.topic = "nobody.orders".into();
            strategy.spec.outputs.dead_letter.as_mut().unwrap().topic = "nobody.dead".into();
        },
        reason: "TopicForbidden",
        says: &["spec.outputs.orders.topic", "nobody.orders", "spec.outputs.deadLetter.topic", "nobody.dead"],
        refused_at_once: true,
        mend: |desk, strategy| {
            strategy.spec.outputs.orders.topic = format!("{}.orders", desk.name);
            strategy.spec.outputs.dead_letter.as_mut().unwrap().topic = format!("{}.dead", desk.name);
            None
        },
    },
    Case {
        name: "joins-anothers-group",
        bend: |_, strategy| strategy.spec.inputs[0].group = Some("pinion.nobody.record-only".into()),
        reason: "TopicForbidden",
        says: &["spec.inputs[].group", "may not use group pinion.nobody.record-only", "must begin with pinion."],
        refused_at_once: true,
        mend: |desk, strategy| {
            // A group is for good: its committed offsets hang on it.
            let _ = desk.cluster.ask(&["delete", "strategy", "joins-anothers-group", "--namespace", &desk.name]);
            strategy.spec.inputs[0].group = None;
            None
        },
    },
    Case {
        name: "reads-what-is-not-there",
        bend: |desk, strategy| strategy.spec.inputs[0].topic = format!("{}.later", desk.name),
        reason: "TopicMissing",
        says: &["topic ", ".later does not exist"],
        refused_at_once: false,
        mend: |desk, _| {
            desk.broker.create_topic(&format!("{}.later", desk.name), 2);
            None
        },
    },
    Case {
        name: "has-no-config-map",
        bend: |_, strategy| strategy.spec.module.config_map = module("later", "module.wasm"),
        reason: "MissingReference",
        says: &["spec.module.configMap", "there is no ConfigMap later"],
        refused_at_once: true,
        mend: |desk, _| {
            upload(desk, "later", "module.wasm", &std::fs::read(&desk.module).unwrap());
            None
        },
    },
    Case {
        name: "has-no-such-entry",
        bend: |_, strategy| strategy.spec.module.config_map = module("record-only-1", "other.wasm"),
        reason: "MissingReference",
        says: &["spec.module.configMap", "record-only-1 has no entry other.wasm"],
        refused_at_once: true,
        mend: good_module,
    },
    Case {
        name: "wants-a-clock",
        bend: |desk, strategy| {
            let wasi = wat::parse_str(r#"(component (import "wasi:clocks/wall-clock@0.2.0" (instance)))"#).unwrap();
            upload(desk, "wasi", "module.wasm", &wasi);
            strategy.spec.module.config_map = module("wasi", "module.wasm");
        },
        reason: "ModuleRefused",
        says: &["wasi:clocks/wall-clock@0.2.0", "pod default-0"],
        refused_at_once: false,
        mend: good_module,
    },
    Case {
        name: "is-no-module",
        bend: |desk, strategy| {
            upload(desk, "text", "module.wasm", b"#!/bin/sh");
            strategy.spec.module.config_map = module("text", "module.wasm");
        },
        reason: "ModuleRefused",
        says: &["module"],
        refused_at_once: false,
        mend: good_module,
    },
    Case {
        name: "has-no-pool",
        bend: |_, strategy| strategy.spec.pool = Some("fast".into()),
        reason: "NoPool",
        says: &["spec.pool", "no RuntimePool fast"],
        refused_at_once: true,
        mend: |desk, _| {
            desk.apply(&pool_named("fast", &desk.name, 1));
            Some(StandIn::start(desk.cluster, desk.broker, &desk.name, "fast", "fast-0", 1))
        },
    },
    Case {
        name: "declares-a-symbol-twice",
        bend: |_, strategy| {
            let again = strategy.spec.instruments[0].clone();
            strategy.spec.instruments.push(again);
        },
        reason: "InvalidSpec",
        says: &["spec.instruments"],
        refused_at_once: true,
        mend: |_, strategy| {
            strategy.spec.instruments.pop();
            None
        },
    },
    Case {
        name: "cannot-be-capped",
        bend: |_, strategy| {
            let instrument = &mut strategy.spec.instruments[0];
            (instrument.size_exponent, instrument.lot) = (0, "1".parse().unwrap());
            let one = "1".parse().unwrap();
            strategy.spec.risk = Some(Risk { max_order_size: one, max_position: one, ..Risk::default() });
        },
        reason: "RiskCeiling",
        says: &["with the tenant's risk ceilings applied"],
        refused_at_once: true,
        mend: |desk, strategy| {
            strategy.spec.instruments = desk.strategy.spec.instruments.clone();
            strategy.spec.risk = desk.strategy.spec.risk.clone();
            None
        },
    },
];

#[test]
fn each_mistake_is_a_condition_with_field_and_fix_and_runs_once_it_is_mended() {
    let Some(mut desk) = desk() else { return };
    let mut resource = tenant(&desk.name, desk.broker);
    // Of no good strategy, and not to be expressed by the one that cannot be capped.
    resource["spec"]["risk"] = json!({"maxOrderSize": "0.5"});
    desk.apply(&resource);
    becomes(desk.cluster, &desk.name, &format!("tenant/{}", desk.name), "Ready", "True", "AsSpecified");
    desk.apply(&crate::desk::pool(&desk.name, 1));
    let pod = desk.stand_in(0);
    desk.deploy();
    desk.is_ready();

    let mut strategies: Vec<(Case, Strategy)> = Vec::new();
    for case in CASES {
        let mut strategy = desk.strategy.clone();
        strategy.metadata.name = case.name.into();
        (case.bend)(&desk, &mut strategy);
        desk.apply(&serde_json::to_value(&strategy).unwrap());
        strategies.push((case, strategy));
    }
    for (case, _) in &strategies {
        let what = format!("strategy/{}", case.name);
        let message = becomes(desk.cluster, &desk.name, &what, "Ready", "False", case.reason);
        for part in case.says {
            assert!(message.contains(part), "{}: nothing of {part:?} in: {message}", case.name);
        }
    }
    let documents = read(desk.cluster, &desk.name, "configmap/default-assignment", "{.data}");
    for (case, _) in strategies.iter().filter(|(case, _)| case.refused_at_once) {
        assert!(!documents.contains(case.name), "{} is in a document", case.name);
    }
    desk.is_ready();
    desk.produce(800);
    desk.committed();

    let mut watch = Watch::start();
    let mut more = Vec::new();
    for (case, strategy) in &mut strategies {
        more.extend((case.mend)(&desk, strategy));
        desk.apply(&serde_json::to_value(&*strategy).unwrap());
    }
    until("all that is mended to be ready", ALL, || {
        let ready = "{range .items[*]}{.metadata.name}={.status.conditions[?(@.type==\"Ready\")].status} {end}";
        let all = read(desk.cluster, &desk.name, "strategies", ready);
        let is = |name: &str| all.split(' ').any(|one| one == format!("{name}=True"));
        strategies.iter().all(|(case, _)| is(case.name)).then_some(())
    });
    watch.lap("eleven strategies mended and ready");
    desk.produce(800);
    desk.committed();
    assert!(super::runs(&pod).unwrap().len() >= strategies.len(), "all but the one of the other pool");
}

#[test]
fn a_prefix_that_another_tenant_holds_is_not_granted_until_it_is_free() {
    let (Some(holder), Some(later)) = (desk(), desk()) else { return };
    holder.onboard(1);
    let mut resource = tenant(&later.name, later.broker);
    let within = format!("{}.fx.", holder.name);
    resource["spec"]["kafka"]["topicPrefixes"] = json!([format!("{}.", later.name), within]);
    later.apply(&resource);
    let what = format!("tenant/{}", later.name);
    let message = becomes(later.cluster, &later.name, &what, "Ready", "False", "PrefixTaken");
    for part in ["spec.kafka.topicPrefixes", within.as_str(), &format!("tenant {} holds", holder.name)] {
        assert!(message.contains(part), "nothing of {part:?} in: {message}");
    }
    assert_eq!(read(later.cluster, "", &what, "{.status.topicPrefixes[*]}"), format!("{}.", later.name));

    // Its own topics are its own all the same, the other's are not.
    later.apply(&crate::desk::pool(&later.name, 1));
    let _pod = later.stand_in(0);
    later.deploy();
    later.is_ready();
    let mut intruder = later.strategy.clone();
    intruder.metadata.name = "intruder".into();
    intruder.spec.outputs.orders.topic = format!("{within}orders");
    later.broker.create_topic(&intruder.spec.outputs.orders.topic, 1);
    later.apply(&serde_json::to_value(&intruder).unwrap());
    becomes(later.cluster, &later.name, "strategy/intruder", "Ready", "False", "TopicForbidden");

    // An older tenant takes nothing from one that has it.
    let _ = holder.cluster.ask(&[
        "patch",
        &format!("tenant/{}", holder.name),
        "--type=merge",
        "--patch",
        &json!({"spec": {"kafka": {"topicPrefixes": [format!("{}.", holder.name), format!("{}.", later.name)]}}})
            .to_string(),
    ]);
    becomes(holder.cluster, &holder.name, &format!("tenant/{}", holder.name), "Ready", "False", "PrefixTaken");
    later.is_ready();

    let _ = holder.cluster.ask(&["delete", "tenant", &holder.name, "--wait=false"]);
    becomes(later.cluster, &later.name, &what, "Ready", "True", "AsSpecified");
    becomes(later.cluster, &later.name, "strategy/intruder", "Ready", "True", "AsSpecified");
}

#[test]
fn a_namespace_that_was_there_before_is_left_alone_until_it_is_gone() {
    let Some(desk) = desk() else { return };
    let _ = desk.cluster.ask(&["create", "namespace", &desk.name]);
    desk.apply(&tenant(&desk.name, desk.broker));
    let what = format!("tenant/{}", desk.name);
    let message = becomes(desk.cluster, &desk.name, &what, "Ready", "False", "NamespaceTaken");
    assert!(message.contains(&format!("the namespace {} was there before", desk.name)), "{message}");
    let made =
        desk.cluster.ask(&["get", "role,networkpolicy,resourcequota", "--namespace", &desk.name, "--output=name"]);
    assert_eq!(made, "", "something was made in a namespace that is somebody else's");
    let _ = desk.cluster.ask(&["delete", "namespace", &desk.name]);
    becomes(desk.cluster, &desk.name, &what, "Ready", "True", "AsSpecified");
}

#[test]
fn pods_that_would_wait_for_a_secret_are_not_made_and_the_condition_names_it() {
    let Some(desk) = desk() else { return };
    let mut resource = tenant(&desk.name, desk.broker);
    resource["spec"]["kafka"]["credentials"] = json!({"name": "kafka-client"});
    desk.apply(&resource);
    let what = format!("tenant/{}", desk.name);
    let says = |message: &str, parts: &[&str]| {
        for part in parts {
            assert!(message.contains(part), "nothing of {part:?} in: {message}");
        }
    };
    let parts = ["spec.kafka.credentials", "no Secret kafka-client", &desk.name, "client.properties"];
    says(&becomes(desk.cluster, &desk.name, &what, "Ready", "False", "MissingReference"), &parts);
    desk.apply(&crate::desk::pool(&desk.name, 1));
    desk.deploy();
    let of_pool = becomes(desk.cluster, &desk.name, "runtimepool/default", "Ready", "False", "MissingReference");
    says(&of_pool, &parts);
    becomes(desk.cluster, &desk.name, "strategy/record-only", "Ready", "False", "MissingReference");
    let made = desk.cluster.ask(&["get", "statefulsets,pods", "--namespace", &desk.name, "--output=name"]);
    assert_eq!(made, "", "pods that cannot start");

    let entry = |key: &str| {
        let manifest = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kafka-client", "namespace": desk.name},
            "stringData": {key: ""}
        });
        desk.apply(&manifest);
    };
    entry("other");
    until("the entry to be missed", crate::desk::STEP, || {
        let message = read(desk.cluster, "", &what, "{.status.conditions[0].message}");
        message.contains("has no entry client.properties").then_some(())
    });
    entry("client.properties");
    becomes(desk.cluster, &desk.name, &what, "Ready", "True", "AsSpecified");
    let _pod = desk.stand_in(0);
    becomes(desk.cluster, &desk.name, "runtimepool/default", "Ready", "True", "AsSpecified");
    desk.is_ready();
}

/// What the apiserver itself refuses of a Tenant: nothing is stored.
#[test]
fn prefixes_that_hold_everybodys_groups_are_refused() {
    let (Some(stage), Some(broker)) = (stage(), Broker::shared()) else { return };
    for prefix in ["p", "pinion.", "pinion.nobody."] {
        let mut resource: Value = tenant("greedy", broker);
        resource["spec"]["kafka"]["topicPrefixes"] = json!([prefix]);
        let output = stage.cluster.try_apply(&resource.to_string());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("pinion. begins the consumer groups"), "{prefix}: {said}");
    }
}
