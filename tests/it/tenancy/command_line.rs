//! `pinion` as a quant uses it, against the real operator: from a file on their disk to orders, and everything that they do afterwards.

use std::path::PathBuf;
use std::process::Output;

use pinion_tests::captures::project_root;
use pinion_tests::programs::pinion;
use pinion_tests::scratch::Scratch;
use pinion_tests::wait::until;
use serde_json::{Value, json};

use super::{desk, let_go, read};
use crate::desk::{Desk, STEP, becomes, pool, tenant};

/// A quant's shell.
struct Shell<'a> {
    desk: &'a Desk<'static>,
    kubeconfig: PathBuf,
}

impl Shell<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = pinion(arguments[0]);
        command.args(&arguments[1..]).args(["--namespace", &self.desk.name]);
        command.env("KUBECONFIG", &self.kubeconfig).env("NO_PROXY", "*");
        let output = command.output().expect("run pinion");
        println!("$ pinion {}", arguments.join(" "));
        print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        output
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn refused(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        String::from_utf8(output.stderr).expect("text")
    }
}

fn says(said: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(said.contains(wanted), "{wanted:?} is missing from: {said}");
    }
}

#[test]
fn a_quant_goes_from_a_file_to_orders_halts_changes_the_module_goes_back_and_pauses() {
    let Some(mut desk) = desk() else { return };
    let group = format!("{}-quants", desk.name);
    let mut resource = tenant(&desk.name, desk.broker);
    resource["spec"]["access"]["edit"] = json!([group]);
    desk.apply(&resource);
    becomes(desk.cluster, &desk.name, &format!("tenant/{}", desk.name), "Ready", "True", "AsSpecified");
    desk.apply(&pool(&desk.name, 1));
    let pod = desk.stand_in(0);
    let kubeconfig = desk.cluster.kubeconfig_of_person(&format!("quant-of-{}", desk.name), &[&group]);

    let folder = Scratch::new();
    let file = folder.path().join("strategy.yaml");
    let mut written = desk.strategy.clone();
    written.spec.module = serde_json::from_value(json!({"file": "module.wasm"})).unwrap();
    // What the file says of the pause is the file's to change: `deploy` again.
    let write = |written: &pinion_spec::Strategy, module: &std::path::Path| {
        let _ = folder.write("module.wasm", std::fs::read(module).unwrap());
        let _ = folder.write("strategy.yaml", serde_json::to_vec(written).unwrap());
    };
    let file = file.to_str().unwrap();
    let other = project_root().join("strategies-examples/identity/identity.wasm");

    {
        let shell = Shell { desk: &desk, kubeconfig: kubeconfig.clone() };
        write(&written, &desk.module);
        let said = shell.ok(&["deploy", file, "--wait"]);
        says(&said, &["record-only: created, generation 1, module sha256:", "Ready after "]);
    }
    desk.produce(800);
    desk.committed();
    let orders = desk.ids().0.len();
    assert!(orders > 0);

    let shell = Shell { desk: &desk, kubeconfig };
    until("figures in the status", STEP, || {
        (!read(desk.cluster, &desk.name, "strategy/record-only", "{.status.latency.p99}").is_empty()).then_some(())
    });
    let rows: Value = serde_json::from_str(&shell.ok(&["list", "--format", "json"])).unwrap();
    assert!(rows[0]["p99"].is_string(), "{rows}");
    says(&shell.ok(&["list"]), &["NAME", "record-only  True", "ACTIVE"]);
    let described = shell.ok(&["describe", "record-only"]);
    says(&described, &["default-0  1 worker  shards 0-3", "1 for 4 shards", "Ready True AsSpecified"]);
    says(&shell.ok(&["top", "--looks", "1"]), &["record-only", "ready True", "ACTIVE"]);
    // The node of this pod is kwok's, which keeps no logs.
    says(&shell.refused(&["logs", "record-only"], 69), &["read the log of pod default-0"]);

    let said = shell.ok(&["halt", "record-only"]);
    says(&said, &["record-only: HALTED, confirmed after"]);
    assert!(desk.state_is(&pod, "HALTED"), "confirmed, and not so in the pod");
    let said = shell.ok(&["deploy", file, "--wait"]);
    says(&said, &["stays HALTED; `pinion resume record-only` lifts it"]);
    says(&shell.ok(&["list"]), &["HALTED"]);
    says(&shell.ok(&["resume", "record-only"]), &["record-only: ACTIVE, confirmed after"]);
    until("the end of the halt in the pod", STEP, || desk.state_is(&pod, "ACTIVE").then_some(()));

    let running = || read(desk.cluster, &desk.name, "strategy/record-only", "{.status.module.running}");
    let first = running();
    write(&written, &other);
    says(&shell.ok(&["deploy", file, "--wait"]), &["changed", "Ready after"]);
    let second = running();
    assert_ne!(first, second, "ready, and the old module runs");
    let said = shell.ok(&["rollback", "record-only", "--wait"]);
    says(&said, &[&format!("from module sha256:{second}"), &format!("to module sha256:{first}"), "Ready after"]);
    assert_eq!(running(), first);

    // A module that the runtime would refuse does not get that far.
    let wasi = wat::parse_str(r#"(component (import "wasi:clocks/wall-clock@0.2.0" (instance)))"#).unwrap();
    write(&written, &folder.write("bad.wasm", wasi));
    says(&shell.refused(&["deploy", file, "--wait"], 64), &["spec.module.file", "wasi:clocks/wall-clock@0.2.0"]);
    assert_eq!(running(), first);

    write(&written, &desk.module);
    written.spec.paused = true;
    write(&written, &desk.module);
    says(&shell.ok(&["deploy", file]), &["changed"]);
    let_go(&pod);
    until("the list to say so", STEP, || shell.ok(&["list"]).contains("False Paused").then_some(()));
    says(&shell.refused(&["deploy", file, "--wait"], 64), &["Paused", "spec.paused"]);
    written.spec.paused = false;
    write(&written, &desk.module);
    says(&shell.ok(&["deploy", file, "--wait"]), &["Ready after"]);
    assert_eq!(desk.ids().0.len(), orders, "nothing came, so nothing went");
}
