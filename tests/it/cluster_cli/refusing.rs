//! What is refused, by whom, and how it is said.

use std::path::PathBuf;

use pinion_tests::captures::project_root;
use pinion_tests::kube::{Cluster, Part, Tier};
use pinion_tests::programs::pinion;
use pinion_tests::scratch::Scratch;

use super::stand_in::StandIn;
use super::{Desk, assert_says, refusal, shown, strategy};

#[test]
fn what_the_cluster_refuses_is_said_whole_and_leaves_nothing_half_made() {
    let Some(desk) = Desk::new() else { return };
    let file = desk.file("ema", "ema-cross/ema-cross.wasm", "  replicas: 1\n");
    let text = std::fs::read_to_string(&file).unwrap();
    let grouped = text.replace("encoding: binance-spot", "encoding: binance-spot, assignment: group");
    let grouped = desk.folder.write("grouped.yaml", grouped);
    let said = desk.refused(&["deploy", grouped.to_str().unwrap()], 64);
    assert_says(&said, &["the cluster refuses it:", "spec.inputs[0]: assignment: group is for laptops"]);
    assert!(desk.config_maps().is_empty(), "its module was put there all the same");

    let _ = desk.deploy(&file, &[]);
    // As an autoscaler does.
    let _ = desk.cluster.ask(&["scale", "strategy", "ema", "--replicas=3", "--namespace", &desk.namespace]);
    let said = desk.refused(&["deploy", file.to_str().unwrap()], 64);
    assert_says(&said, &["others own what the file sets", "spec.replicas: conflict with", "--force"]);
    assert_eq!(desk.strategy("ema")["spec"]["replicas"], 3);
    let _ = desk.deploy(&file, &["--force"]);
    assert_eq!(desk.strategy("ema")["spec"]["replicas"], 1);

    let elsewhere =
        desk.folder.write("elsewhere.yaml", text.replace("{name: ema,", "{name: ema, namespace: elsewhere,"));
    let said = desk.refused(&["deploy", elsewhere.to_str().unwrap()], 64);
    assert_says(&said, &["the file says namespace elsewhere"]);
}

#[test]
fn a_right_that_is_missing_is_named() {
    let Some(desk) = Desk::new() else { return };
    let file = desk.file("ema", "ema-cross/ema-cross.wasm", "");
    let _ = desk.deploy(&file, &[]);
    let (cluster, namespace) = (desk.cluster, desk.namespace.as_str());
    let _ = cluster.ask(&["create", "serviceaccount", "viewer", "--namespace", namespace]);
    let rights = [
        "create",
        "role",
        "view",
        "--verb=get,list,watch",
        "--resource=strategies.pinion.dev",
        "--namespace",
        namespace,
    ];
    let _ = cluster.ask(&rights);
    let account = format!("--serviceaccount={namespace}:viewer");
    let _ = cluster.ask(&["create", "rolebinding", "view", "--role=view", &account, "--namespace", namespace]);
    let kubeconfig = cluster.kubeconfig_of(namespace, "viewer");
    let as_viewer = |arguments: &[&str]| {
        let output =
            desk.command(arguments).env_remove("KUBECONFIG").arg("--kubeconfig").arg(&kubeconfig).output().unwrap();
        shown(arguments, output)
    };
    assert!(as_viewer(&["list"]).status.success());
    for arguments in [&["halt", "ema"][..], &["deploy", file.to_str().unwrap()]] {
        let said = refusal(arguments, &as_viewer(arguments), 69);
        let right =
            format!(r#"cannot patch resource "strategies" in API group "pinion.dev" in the namespace "{namespace}""#);
        assert_says(&said, &["a right is missing", "viewer", &right, "pinion-edit"]);
    }
    // What it may not read of a strategy does not hide the rest.
    let described = as_viewer(&["describe", "ema"]);
    assert_says(
        &String::from_utf8_lossy(&described.stdout),
        &["md.spot", "list its events", r#"cannot list resource "events""#],
    );
}

#[test]
fn the_rights_that_the_guide_names_are_enough() {
    let Some(desk) = Desk::new() else { return };
    let _operator = StandIn::start(desk.cluster, &desk.namespace);
    let (cluster, namespace) = (desk.cluster, desk.namespace.as_str());
    let _ = cluster.ask(&["create", "serviceaccount", "quant", "--namespace", namespace]);
    let account = format!("--serviceaccount={namespace}:quant");
    for (role, verbs, resources) in [
        ("strategies", "--verb=get,list,watch,create,patch", "--resource=strategies.pinion.dev"),
        ("modules", "--verb=get,create", "--resource=configmaps"),
    ] {
        let _ = cluster.ask(&["create", "role", role, verbs, resources, "--namespace", namespace]);
        let _ = cluster.ask(&["create", "rolebinding", role, "--role", role, &account, "--namespace", namespace]);
    }
    let kubeconfig = cluster.kubeconfig_of(namespace, "quant");
    let as_quant = |arguments: &[&str]| {
        let output = desk.command(arguments).arg("--kubeconfig").arg(&kubeconfig).output().unwrap();
        let output = shown(arguments, output);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    for module in ["ema-cross/ema-cross.wasm", "record-only/record-only.wasm"] {
        as_quant(&["deploy", desk.file("ema", module, "").to_str().unwrap(), "--wait"]);
    }
    as_quant(&["rollback", "ema", "--wait"]);
    as_quant(&["halt", "--all"]);
    as_quant(&["resume", "ema"]);
}

#[test]
fn mistakes_of_a_file_are_all_said_before_any_cluster_is_asked() {
    let folder = Scratch::new();
    let kubeconfig = unreachable(&folder);
    let deploy = |text: &str| {
        let file = folder.write("s.yaml", text);
        let output = pinion("deploy").arg(file).arg("--kubeconfig").arg(&kubeconfig).output().unwrap();
        shown(&["deploy"], output)
    };
    let bad = strategy("ema", "{file: module.wasm}", "  replicas: 0\n  tradingStat: HALTED\n");
    let said = refusal(&["deploy"], &deploy(&bad), 64);
    assert_says(&said, &["s.yaml:", "spec.replicas", "tradingStat"]);

    let module = strategy("ema", "{file: module.wasm}", "");
    assert_says(&refusal(&["deploy"], &deploy(&module), 64), &["spec.module.file: ", "module.wasm: cannot read it"]);
    let _ = folder.write("module.wasm", b"not a module");
    assert_says(&refusal(&["deploy"], &deploy(&module), 64), &["this is not WebAssembly"]);
    let _ = folder.write("module.wasm", large_module());
    assert_says(&refusal(&["deploy"], &deploy(&module), 64), &["a ConfigMap takes 921,600", "registry", "oci"]);
}

/// A real module, padded by a custom section to more than a ConfigMap holds.
fn large_module() -> Vec<u8> {
    let mut wasm = std::fs::read(project_root().join("strategies-examples/identity/identity.wasm"))
        .expect("`make strategies` first");
    let padding: usize = 1 << 20;
    wasm.push(0);
    // Sizes in LEB128, of three bytes: the section's, then the empty name's.
    for shift in [0, 7] {
        wasm.push(u8::try_from((padding + 1) >> shift & 0x7f).unwrap() | 0x80);
    }
    wasm.push(u8::try_from((padding + 1) >> 14).unwrap());
    wasm.push(0);
    wasm.resize(wasm.len() + padding, 0);
    wasm
}

#[test]
fn a_cluster_that_is_not_there_ends_every_subcommand_with_69_and_its_address() {
    let folder = Scratch::new();
    let kubeconfig = unreachable(&folder);
    let commands: [&[&str]; 7] = [
        &["list"],
        &["describe", "ema"],
        &["logs", "ema"],
        &["halt", "--all"],
        &["resume", "ema"],
        &["rollback", "ema"],
        &["top"],
    ];
    for arguments in commands {
        let output = pinion(arguments[0]).args(&arguments[1..]).arg("--kubeconfig").arg(&kubeconfig).output().unwrap();
        assert_says(
            &refusal(arguments, &shown(arguments, output), 69),
            &["cannot reach the cluster https://127.0.0.1:1"],
        );
    }
    let output = pinion("list").args(["--kubeconfig", "/nowhere/config"]).output().unwrap();
    assert_says(
        &refusal(&["list"], &shown(&["list"], output), 64),
        &["/nowhere/config: ", "No such file", "--kubeconfig"],
    );
    let output = pinion("list").args(["--context", "other", "--kubeconfig"]).arg(&kubeconfig).output().unwrap();
    assert_says(&refusal(&["list"], &shown(&["list"], output), 64), &["--context"]);
}

/// On a cluster of its own, which it breaks.
#[test]
fn an_apiserver_that_answers_nobody_holds_no_subcommand_up() {
    let Some(cluster) = Cluster::start(Tier::Api) else { return };
    let list = || {
        let mut command = pinion("list");
        let output = command.env("KUBECONFIG", cluster.kubeconfig()).env("NO_PROXY", "*").output().unwrap();
        shown(&["list"], output)
    };
    // It answers, and lacks the definitions.
    assert_says(&refusal(&["list"], &list(), 69), &["does not know Pinion's resources; install the operator"]);
    let frozen = cluster.freeze(Part::Apiserver);
    let said = refusal(&["list"], &list(), 69);
    drop(frozen);
    assert_says(&said, &["list strategies of default: ", &cluster.server()]);
}

fn unreachable(folder: &Scratch) -> PathBuf {
    folder.write(
        "kubeconfig",
        "{apiVersion: v1, kind: Config, current-context: c, users: [{name: u, user: {token: t}}], \
         clusters: [{name: k, cluster: {server: 'https://127.0.0.1:1'}}], contexts: [{name: c, context: {cluster: k, user: u}}]}",
    )
}
