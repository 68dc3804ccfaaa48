//! `pinion` on a real cluster, with a kubeconfig of its user's: what it changes, what it waits for, what it refuses and what it says.

mod deploying;
mod guide;
mod halting;
mod looking;
mod refusing;
mod stand_in;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pinion_tests::captures::project_root;
use pinion_tests::kube::Cluster;
use pinion_tests::programs::pinion;
use pinion_tests::scratch::Scratch;
use serde_json::Value as Json;

/// A namespace of its own, and a strategy file with its module.
struct Desk {
    cluster: &'static Cluster,
    namespace: String,
    folder: Scratch,
}

impl Desk {
    fn new() -> Option<Self> {
        let cluster = Cluster::shared()?;
        let namespace = Cluster::unique_name("desk");
        let _ = cluster.ask(&["create", "namespace", &namespace]);
        Some(Self { cluster, namespace, folder: Scratch::new() })
    }

    /// A strategy file whose module is an example's.
    fn file(&self, name: &str, module: &str, more: &str) -> PathBuf {
        let wasm =
            std::fs::read(project_root().join("strategies-examples").join(module)).expect("`make strategies` first");
        let _ = self.folder.write("module.wasm", wasm);
        self.folder.write(&format!("{name}.yaml"), strategy(name, "{file: module.wasm}", more))
    }

    /// A command in the namespace, as the kubeconfig's user.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = pinion(arguments[0]);
        command.args(&arguments[1..]).args(["--namespace", &self.namespace]);
        command.env("KUBECONFIG", self.cluster.kubeconfig()).env("NO_PROXY", "*");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        shown(arguments, self.command(arguments).output().expect("run pinion"))
    }

    /// What it writes when it does as asked.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// What it says when it refuses.
    fn refused(&self, arguments: &[&str], code: i32) -> String {
        refusal(arguments, &self.run(arguments), code)
    }

    fn deploy(&self, file: &Path, more: &[&str]) -> String {
        self.ok(&[&["deploy", file.to_str().unwrap()], more].concat())
    }

    fn strategy(&self, name: &str) -> Json {
        let arguments =
            ["get", "strategy", name, "--namespace", &self.namespace, "--show-managed-fields", "--output=json"];
        serde_json::from_str(&self.cluster.ask(&arguments)).unwrap()
    }

    fn config_maps(&self) -> Vec<Json> {
        let arguments = [
            "get",
            "configmaps",
            "--namespace",
            &self.namespace,
            "--selector",
            "app.kubernetes.io/managed-by=pinion-cli",
        ];
        let mut list: Json =
            serde_json::from_str(&self.cluster.ask(&[&arguments[..], &["--output=json"]].concat())).unwrap();
        serde_json::from_value(list["items"].take()).unwrap()
    }
}

fn strategy(name: &str, module: &str, more: &str) -> String {
    format!(
        "apiVersion: pinion.dev/v1alpha1
kind: Strategy
metadata: {{name: {name}, labels: {{team: majors}}}}
spec:
  module: {module}
  inputs: [{{topic: md.spot, encoding: binance-spot}}]
  outputs: {{orders: {{topic: desk.orders}}}}
  instruments: [{{symbol: BTCUSDT, tick: \"0.01\", lot: \"0.00001\"}}]
{more}"
    )
}

/// With `--nocapture` a person sees what a user would.
fn shown(arguments: &[&str], output: Output) -> Output {
    println!("$ pinion {}", arguments.join(" "));
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    output
}

fn refusal(arguments: &[&str], output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.contains("pinion: "), "{arguments:?}: {said}");
    said
}

fn assert_says(said: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(said.contains(wanted), "{wanted:?} is missing from: {said}");
    }
}
