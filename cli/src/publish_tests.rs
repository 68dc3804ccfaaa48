//! Against librdkafka's mock cluster: the real client, a broker in the process.

use std::sync::mpsc::Sender as StopSender;
use std::sync::mpsc::channel;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{Offset, TopicPartitionList};

use pinion_runtime::decode::TS_RECV_HEADER;

use super::*;

const TOPIC: &str = "md";
const QUOTE: &str = r#"{"stream":"x@bookTicker","data":{"e":"bookTicker","u":7,"s":"XYZUSDT","b":"1","B":"1","a":"2","A":"1","T":1,"E":1}}"#;
const ACK: &str = r#"{"result":null,"id":1}"#;

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 2, 1).unwrap();
    cluster
}

/// A capture of this test run, gone when dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Writes a capture whose frames are `gap_ms` apart.
fn capture(name: &str, frames: &[&str], gap_ms: u64) -> Scratch {
    let path = std::env::temp_dir().join(format!("pinion-publish-{}-{name}", std::process::id()));
    let line = |(n, frame): (u64, &&str)| format!("{} {frame}\n", 1_000_000_000 + n * gap_ms * 1_000_000);
    std::fs::write(&path, (0..).zip(frames).map(line).collect::<String>()).unwrap();
    Scratch(path)
}

fn args(brokers: String, file: &Scratch, speed: &str) -> PublishArgs {
    PublishArgs {
        file: file.0.clone(),
        brokers,
        kafka_properties: None,
        topic: TOPIC.to_owned(),
        partition: Some(1),
        speed: speed.parse().unwrap(),
        repeat: false,
        source: crate::capture_source::SourceArgs { encoding: Some(Encoding::BinanceUsdm), map: None },
        format: Format::Json,
    }
}

fn running() -> (StopSender<()>, Receiver<()>) {
    channel()
}

/// Value, key and capture time of each record in partition 1.
fn consumed(brokers: &str, count: usize) -> Vec<(String, Option<String>, String)> {
    let config = ClientConfig::new().set("bootstrap.servers", brokers).set("group.id", "test").clone();
    let consumer: BaseConsumer = config.create().unwrap();
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(TOPIC, 1, Offset::Offset(0)).unwrap();
    consumer.assign(&partitions).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let record = |_| {
        let message = consumer.poll(Duration::from_secs(10)).expect("a record within 10 s").unwrap();
        let header = message.headers().unwrap().get(0);
        assert_eq!(header.key, TS_RECV_HEADER);
        (text(message.payload().unwrap()), message.key().map(text), text(header.value.unwrap()))
    };
    (0..count).map(record).collect()
}

#[test]
fn frames_arrive_as_they_came_with_symbol_and_capture_time() {
    let cluster = cluster();
    let file = capture("plain", &[QUOTE, "no json", ACK, QUOTE], 0);
    let (_running, stop) = running();
    let (summary, _) = publish(&args(cluster.bootstrap_servers(), &file, "max"), &stop).unwrap();
    assert_eq!((summary.sent, summary.acked, summary.failed, summary.undecodable), (4, 4, 0, 1));
    assert!(summary.late.is_none(), "nothing is due at full speed");
    let key = || Some("XYZUSDT".to_owned());
    let at = || "1000000000".to_owned();
    let expected = [(QUOTE, key()), ("no json", None), (ACK, None), (QUOTE, key())]
        .map(|(value, key)| (value.to_owned(), key, at()));
    assert_eq!(consumed(&cluster.bootstrap_servers(), 4), expected);
}

#[test]
fn of_a_capture_that_is_cut_all_before_the_cut_is_sent_and_the_place_is_told() {
    let cluster = cluster();
    let file = capture("cut", &[QUOTE, QUOTE, QUOTE], 0);
    let bytes = std::fs::read(&file.0).unwrap();
    std::fs::write(&file.0, &bytes[..bytes.len() - 10]).unwrap();
    let (_running, stop) = running();
    let (summary, damage) = publish(&args(cluster.bootstrap_servers(), &file, "max"), &stop).unwrap();
    assert_eq!((summary.sent, summary.acked, summary.undecodable), (2, 2, 0));
    let damage = damage.unwrap();
    assert!(damage.code() == 64 && damage.to_string().contains("line 3"), "{damage}");
}

#[test]
fn recorded_gaps_are_kept_and_late_sends_are_not_skipped() {
    let cluster = cluster();
    let file = capture("paced", &[QUOTE; 5], 50);
    let (_running, stop) = running();
    let (summary, _) = publish(&args(cluster.bootstrap_servers(), &file, "1"), &stop).unwrap();
    assert_eq!((summary.sent, summary.acked), (5, 5));
    assert!(summary.seconds >= 0.2, "four gaps of 50 ms: {} s", summary.seconds);
    // A billion times as fast: everything after the first frame is due at once, and still sent.
    let (summary, _) = publish(&args(cluster.bootstrap_servers(), &file, "1000000000"), &stop).unwrap();
    assert_eq!((summary.sent, summary.acked), (5, 5));
    assert!(summary.late.is_some());
}

#[test]
fn a_loop_goes_on_until_it_is_stopped_and_then_sums_up() {
    let cluster = cluster();
    let file = capture("loop", &[QUOTE; 3], 1);
    let (running, stop) = running();
    let args = PublishArgs { repeat: true, ..args(cluster.bootstrap_servers(), &file, "1") };
    let summary = std::thread::scope(|scope| {
        let publisher = scope.spawn(move || publish(&args, &stop).unwrap().0);
        // Stopped once the third pass has begun to arrive.
        assert_eq!(consumed(&cluster.bootstrap_servers(), 7).len(), 7);
        running.send(()).unwrap();
        publisher.join().unwrap()
    });
    assert!(summary.passes >= 2, "{summary:?}");
    assert!(summary.sent >= 7, "{summary:?}");
    assert_eq!(summary.acked, summary.sent);
}

#[test]
fn a_partition_that_is_not_there_is_refused_before_anything_is_sent() {
    let cluster = cluster();
    let (_running, stop) = running();
    let file = capture("partition", &[QUOTE], 0);
    let args = PublishArgs { partition: Some(2), ..args(cluster.bootstrap_servers(), &file, "1") };
    let error = publish(&args, &stop).unwrap_err();
    assert!(matches!(&error, CliError::Usage(text) if text.contains("partitions 0 to 1")), "{error}");
}
