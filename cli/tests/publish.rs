//! `pinion publish` as a user runs it: interrupted in the middle, and without a broker.
#![allow(clippy::unwrap_used, reason = "a test: what is not as expected fails it")]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::{Offset, TopicPartitionList};

fn capture(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("pinion-publish-bin-{}-{name}", std::process::id()));
    let quote = r#"{"e":"bookTicker","u":7,"s":"XYZUSDT","b":"1","B":"1","a":"2","A":"1","T":1,"E":1}"#;
    std::fs::write(&path, format!("1000000000 {quote}\n1001000000 {quote}\n")).unwrap();
    path
}

#[test]
fn an_interrupt_ends_a_loop_with_everything_acknowledged_and_a_summary() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("md", 1, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    let file = capture("loop");
    let child = Command::new(env!("CARGO_BIN_EXE_pinion"))
        .args(["publish", "--brokers", &brokers, "--topic", "md", "--loop", "--format", "json"])
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Interrupted once records arrive.
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &brokers).set("group.id", "test").create().unwrap();
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset("md", 0, Offset::Offset(0)).unwrap();
    consumer.assign(&partitions).unwrap();
    for _ in 0..10 {
        consumer.poll(Duration::from_secs(10)).unwrap().unwrap();
    }
    let signalled = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let output = child.wait_with_output().unwrap();
    let _ = std::fs::remove_file(file);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(summary["sent"].as_u64().unwrap() >= 10, "{summary}");
    assert_eq!(summary["acked"], summary["sent"], "{summary}");
    assert!(summary["passes"].as_u64().unwrap() >= 4, "{summary}");
}

#[test]
fn a_broker_that_is_not_there_ends_with_69() {
    let file = capture("nobody");
    let output = Command::new(env!("CARGO_BIN_EXE_pinion"))
        .args(["publish", "--brokers", "127.0.0.1:1", "--topic", "md"])
        .arg(&file)
        .output()
        .unwrap();
    let _ = std::fs::remove_file(file);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{stderr}");
    assert!(stderr.contains("127.0.0.1:1") && stderr.contains("is the broker running"), "{stderr}");
}
