//! What is shown of strategies, as a table, in full, live and from their logs.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use pinion_tests::captures::project_root;
use pinion_tests::kube::{Cluster, REAL_NODE, Setup, Tier};
use pinion_tests::programs::pinion;
use pinion_tests::require::skip;
use pinion_tests::wait::until;
use serde_json::{Value as Json, json};

use super::stand_in::{StandIn, condition, set_status};
use super::{Desk, assert_says, shown, strategy};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn list_describe_and_top_say_how_strategies_do() {
    let Some(desk) = Desk::new() else { return };
    assert_says(&desk.ok(&["list"]), &["no strategies in namespace", "pinion deploy"]);
    for name in ["ema", "momentum"] {
        let _ = desk.deploy(&desk.file(name, "ema-cross/ema-cross.wasm", "  params: {fast: \"3\"}\n"), &[]);
    }
    let operator = StandIn::start(desk.cluster, &desk.namespace);
    let rows = || -> Json { serde_json::from_str(&desk.ok(&["list", "--format", "json"])).unwrap() };
    until("both to be ready", LIMIT, || {
        rows().as_array().unwrap().iter().all(|row| row["ready"] == "True").then_some(())
    });
    drop(operator);
    let refused = condition("Ready", "False", "TopicMissing", "no topic md.spot", &json!(1));
    set_status(desk.cluster, &desk.namespace, "momentum", &json!({"conditions": [refused], "lagSeconds": 7}));

    assert_eq!((&rows()[0]["p99"], &rows()[0]["ordersPerSecond"]), (&json!("41us"), &json!("12")));
    let text = desk.ok(&["list"]);
    assert_says(&text, &["NAME", "P99", "ORDERS/S", "ema       True", "momentum  False TopicMissing", "41us", "7 s"]);

    let event = format!(
        "{{apiVersion: v1, kind: Event, metadata: {{name: e, namespace: {0}}}, reason: RolledBack, type: Warning, message: it traps, \
         involvedObject: {{kind: Strategy, name: ema, namespace: {0}}}}}",
        desk.namespace
    );
    desk.cluster.apply(&event);
    let text = desk.ok(&["describe", "ema"]);
    let wanted = [
        "md.spot (binance-spot)",
        "desk.orders",
        "fast=3",
        "p50 18us, p99 41us",
        "default-0  2 workers  shards 0-3",
        "Ready True AsSpecified",
        "! RolledBack: it traps",
    ];
    assert_says(&text, &wanted);
    let json: Json = serde_json::from_str(&desk.ok(&["describe", "ema", "--format", "json"])).unwrap();
    assert_eq!((&json["status"]["workers"], &json["events"][0]["reason"]), (&json!(2), &json!("RolledBack")));

    let text = desk.ok(&["top", "--looks", "2", "--interval", "1"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "two looks at two strategies: {text}");
    assert_says(lines[0], &["momentum", "ready False TopicMissing", "lag 7 s"]);
    assert_says(lines[1], &["ema", "ACTIVE", "p99 41us", "orders/s 12"]);
    let look: Json = serde_json::from_str(&desk.ok(&["top", "--looks", "1", "--format", "json"])).unwrap();
    assert_eq!(look["strategies"][1]["name"], "ema");
}

#[test]
fn top_on_a_terminal_is_a_table_that_q_ends_and_the_terminal_is_given_back() {
    let Some(desk) = Desk::new() else { return };
    let _ = desk.deploy(&desk.file("ema", "ema-cross/ema-cross.wasm", ""), &[]);
    let top = desk.command(&["top", "--interval", "1"]);
    let words: Vec<&str> =
        [top.get_program()].into_iter().chain(top.get_args()).map(|word| word.to_str().unwrap()).collect();
    // Debian's own way to a terminal. Where it is missing nothing but this is untested.
    let mut script = Command::new("script");
    script.args(["-qefc", &format!("stty cols 100 rows 12; exec {}", words.join(" ")), "/dev/null"]);
    script.envs(top.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "xterm-256color");
    script.stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = script.spawn() else { return skip("no script(1), of bsdutils, to make a terminal with") };
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut drawn = Vec::new();
    let mut read_to = |wanted: &[u8]| {
        let mut chunk = [0; 4_096];
        while !drawn.windows(wanted.len()).any(|window| window == wanted) {
            let length = screen.read(&mut chunk).unwrap();
            assert!(length > 0, "it ended without {wanted:?}: {}", String::from_utf8_lossy(&drawn));
            drawn.extend_from_slice(&chunk[..length]);
        }
    };
    for wanted in ["strategies", "ema", "Unknown", "ORDERS/S"] {
        read_to(wanted.as_bytes());
    }
    keys.write_all(b"q").unwrap();
    // The screen as it was before.
    read_to(b"\x1b[?1049l");
    assert!(child.wait().unwrap().success());
}

/// On a real node, because nothing else has logs.
#[test]
fn logs_are_of_all_pods_of_the_pool_in_order_and_of_this_strategy_alone() {
    let definitions = vec![project_root().join("deploy/crds")];
    let Some(cluster) = Cluster::start(Setup { definitions, fake_nodes: 0, ..Setup::from(Tier::Node) }) else { return };
    cluster.apply(&strategy("ema", "{configMap: {name: m, key: module.wasm}}", ""));
    let line = |second: u32, strategy: &str, message: &str| json!({"timestamp": format!("2026-01-01T00:00:{second:02}Z"), "level": "INFO", "message": message, "tenant": "default", "strategy": strategy});
    for (pod, lines) in [
        ("default-0", [line(1, "ema", "first"), line(2, "other", "not its"), line(4, "ema", "third")]),
        ("default-1", [line(3, "ema", "second"), line(5, "ema-2", "not its"), json!("no object")]),
    ] {
        let script: String = lines.iter().map(|line| format!("echo '{line}'; ")).collect();
        cluster.apply(&pod_that_says(pod, &script));
    }
    let logs = |more: &[&str]| {
        let mut command = pinion("logs");
        command.arg("ema").args(more).env("KUBECONFIG", cluster.kubeconfig()).env("NO_PROXY", "*");
        shown(&["logs", "ema"], command.output().unwrap())
    };
    let text = until("both pods to have said all", LIMIT, || {
        let output = logs(&[]);
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.success() && text.lines().count() == 3).then_some(text)
    });
    let expected = ["default-0 first", "default-1 second", "default-0 third"];
    for (line, end) in text.lines().zip(expected) {
        assert!(line.ends_with(end), "{line:?} does not end with {end:?}");
    }
    let json = String::from_utf8(logs(&["--format", "json", "--since", "1h"]).stdout).unwrap();
    let first: Json = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((&first["pod"], &first["message"]), (&json!("default-0"), &json!("first")));

    // The pods end, and with them what there is to follow.
    let followed = String::from_utf8(logs(&["--follow"]).stdout).unwrap();
    assert_eq!(followed.lines().count(), 3, "{followed}");
}

fn pod_that_says(name: &str, script: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app.kubernetes.io/name": "pinion-runtime", "pinion.dev/pool": "default"}},
        "spec": {
            "restartPolicy": "Never",
            "nodeName": REAL_NODE,
            "containers": [{
                "name": "runtime", "image": "localhost/busybox:1", "imagePullPolicy": "Never", "command": ["sh", "-c", script],
            }],
        },
    })
    .to_string()
}
