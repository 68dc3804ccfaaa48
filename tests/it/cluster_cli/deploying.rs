//! What a deployment changes, waits for and leaves alone, and the way back.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::stand_in::{StandIn, condition, set_status};
use super::{Desk, assert_says};

#[test]
fn a_strategy_is_deployed_with_its_module_and_only_with_the_fields_of_its_file() {
    let Some(desk) = Desk::new() else { return };
    let file = desk.file("ema", "ema-cross/ema-cross.wasm", "");
    let wasm = std::fs::read(desk.folder.path().join("module.wasm")).unwrap();
    let digest: String = Sha256::digest(&wasm).iter().map(|byte| format!("{byte:02x}")).collect();

    let said: Json = serde_json::from_str(&desk.deploy(&file, &["--format", "json"])).unwrap();
    assert_eq!(
        (&said["outcome"], &said["generation"], &said["module"]),
        (&json!("created"), &json!(1), &json!(digest))
    );

    let [map] = desk.config_maps().try_into().expect("one ConfigMap");
    assert_eq!(map["metadata"]["name"], format!("pinion-module-{digest}"));
    assert_eq!(map["immutable"], true);
    assert_eq!(STANDARD.decode(map["binaryData"]["module.wasm"].as_str().unwrap()).unwrap(), wasm);

    let strategy = desk.strategy("ema");
    assert_eq!(strategy["metadata"]["labels"]["team"], "majors");
    let source = json!({"configMap": {"name": format!("pinion-module-{digest}"), "key": "module.wasm"}});
    assert_eq!(strategy["spec"]["module"], source);
    let fields = &strategy["metadata"]["managedFields"][0];
    assert_eq!((&fields["manager"], &fields["operation"]), (&json!("pinion-cli"), &json!("Apply")));
    let owned = fields["fieldsV1"]["f:spec"].as_object().unwrap();
    assert!(owned.contains_key("f:module") && !owned.contains_key("f:replicas"), "{owned:?}");

    assert_says(&desk.deploy(&file, &[]), &["/ema: unchanged, generation 1"]);
    let other = desk.file("ema", "record-only/record-only.wasm", "");
    assert_says(&desk.deploy(&other, &[]), &["/ema: changed, generation 2"]);
    assert_eq!(desk.config_maps().len(), 2, "the module before stays, to be rolled back to");
}

#[test]
fn waiting_ends_with_ready_at_the_new_generation_or_with_what_stands_in_the_way() {
    let Some(desk) = Desk::new() else { return };
    let file = desk.file("ema", "ema-cross/ema-cross.wasm", "");
    let name = file.to_str().unwrap();
    let _ = desk.deploy(&file, &[]);
    let say = |kind: &str, status: &str, reason: &str, message: &str, generation: i64| {
        let conditions = [condition(kind, status, reason, message, &json!(generation))];
        set_status(
            desk.cluster,
            &desk.namespace,
            "ema",
            &json!({"observedGeneration": generation, "conditions": conditions}),
        );
    };
    say("Ready", "True", "AsSpecified", "", 1);
    let file_2 = desk.file("ema", "ema-cross/ema-cross.wasm", "  params: {fast: \"3\"}\n");
    assert_eq!(file, file_2);

    // Ready as it was before says nothing of what it is now.
    let said = desk.refused(&["deploy", name, "--wait", "--timeout", "2"], 69);
    assert_says(&said, &["is not ready after 2 s; the operator has not seen it yet", "pinion describe ema"]);
    say("Ready", "False", "TopicMissing", "no topic md.spot", 2);
    let said = desk.refused(&["deploy", name, "--wait", "--timeout", "2"], 69);
    assert_says(&said, &["Ready False TopicMissing: no topic md.spot"]);
    say("Ready", "False", "TopicForbidden", "the tenant may not read topic md.spot", 2);
    let said = desk.refused(&["deploy", name, "--wait"], 64);
    assert_says(&said, &["does not become ready: Ready False TopicForbidden: the tenant may not read topic md.spot"]);

    say("Ready", "False", "NoReadyPod", "", 2);
    let mut command = desk.command(&["deploy", name, "--wait", "--format", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut progress = BufReader::new(child.stderr.take().unwrap());
    let mut heard = String::new();
    while !heard.contains("NoReadyPod") {
        assert!(progress.read_line(&mut heard).unwrap() > 0, "it ended: {heard}");
    }
    say("Ready", "True", "AsSpecified", "", 2);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said["readyAfterMs"].is_u64(), "{said}");
}

#[test]
fn a_rollback_brings_the_module_before_back_and_a_deployment_goes_on_from_there() {
    let Some(desk) = Desk::new() else { return };
    let _operator = StandIn::start(desk.cluster, &desk.namespace);
    let module = || desk.strategy("ema")["spec"]["module"]["configMap"]["name"].as_str().unwrap().to_owned();
    let _ = desk.deploy(&desk.file("ema", "ema-cross/ema-cross.wasm", ""), &["--wait"]);
    let first = module();
    let said = desk.refused(&["rollback", "ema"], 64);
    assert_says(&said, &["roll back ema: it has run no other module before this one"]);
    let newer = desk.file("ema", "record-only/record-only.wasm", "");
    let _ = desk.deploy(&newer, &["--wait"]);
    let second = module();
    assert_ne!(first, second);

    assert_says(&desk.ok(&["rollback", "ema", "--wait"]), &[first.trim_start_matches("pinion-module-"), "Ready after"]);
    assert_eq!(module(), first);
    assert_says(&desk.deploy(&newer, &["--wait"]), &["/ema: changed"]);
    assert_eq!(module(), second);

    let _ = desk.cluster.ask(&["delete", "configmap", &first, "--namespace", &desk.namespace]);
    assert_says(&desk.refused(&["rollback", "ema"], 64), &[&first, "has been cleared away"]);
    assert_eq!(module(), second);
}
