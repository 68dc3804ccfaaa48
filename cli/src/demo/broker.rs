//! The demo's Kafka: one inside the process, or the user's; its topics; and what the strategies wrote to them.
//!
//! Topics are the demo's own, all with one partition, and made anew: on the user's cluster those of the last demo are deleted first, so
//! that offsets begin at 0 and order ids, which are made of them, are the same in every run.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_runtime::kafka::{self, Kafka};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{Offset, TopicPartitionList};
use sha2::{Digest, Sha256};

use crate::error::CliError;

/// How long the user's cluster has to answer, and to delete and make topics.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two attempts to make a topic whose predecessor is still being deleted.
const ADMIN_PAUSE: Duration = Duration::from_millis(200);
/// How long the last orders may take to come back.
const READ_BACK: Duration = Duration::from_secs(15);
/// How late the reader of orders notices that it is to end.
const POLL: Duration = Duration::from_millis(50);
/// The embedded broker holds an empty fetch this long, and does not end it when data comes.
const EMBEDDED_FETCH_WAIT_MS: &str = "2";

/// A Kafka that has the demo's topics.
pub(super) struct Broker {
    kafka: Kafka,
    /// Kept as long as it is used: it ends with its handle.
    embedded: Option<MockCluster<'static, DefaultProducerContext>>,
}

impl Broker {
    /// Starts the embedded broker, or connects to the user's; makes the topics.
    pub(super) fn start(brokers: Option<&str>, topics: &[String]) -> Result<Self, CliError> {
        if let Some(brokers) = brokers {
            recreate(brokers, topics)?;
            return Ok(Self { kafka: Kafka::new(brokers), embedded: None });
        }
        let failed = |error| CliError::Internal(format!("cannot start the embedded broker: {error}"));
        let cluster = MockCluster::new(1).map_err(failed)?;
        for topic in topics {
            cluster.create_topic(topic, 1, 1).map_err(failed)?;
        }
        let kafka = Kafka::new(cluster.bootstrap_servers()).with("fetch.wait.max.ms", EMBEDDED_FETCH_WAIT_MS);
        Ok(Self { kafka, embedded: Some(cluster) })
    }

    /// How the runtime is to talk to it.
    pub(super) fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// Whether it lives in this process.
    pub(super) fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }
}

/// Deletes and makes topics on the user's cluster.
fn recreate(brokers: &str, topics: &[String]) -> Result<(), CliError> {
    let refused = |doing: &str, error: &dyn std::fmt::Display| {
        CliError::Unavailable(format!("{doing} on --brokers {brokers}: {error}"))
    };
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("client.id", "pinion-demo");
    let admin: AdminClient<DefaultClientContext> =
        config.create().map_err(|error| CliError::Usage(format!("--brokers {brokers}: {error}")))?;
    // Asked first, for an answer that says what is wrong.
    admin.inner().fetch_metadata(None, ADMIN_TIMEOUT).map_err(|error| {
        CliError::Unavailable(format!(
            "no answer from --brokers {brokers} ({error}); is the broker running, and does its advertised listener resolve from here?"
        ))
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Internal(format!("cannot start a runtime: {error}")))?;
    let options = AdminOptions::new().operation_timeout(Some(ADMIN_TIMEOUT)).request_timeout(Some(ADMIN_TIMEOUT));
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    runtime.block_on(async {
        let deleted =
            admin.delete_topics(&names, &options).await.map_err(|error| refused("cannot delete topics", &error))?;
        for (topic, error) in deleted.into_iter().filter_map(Result::err) {
            if error != RDKafkaErrorCode::UnknownTopicOrPartition {
                return Err(refused(&format!("cannot delete topic {topic}"), &error));
            }
        }
        let until_ns = mono_ns().saturating_add(u64::try_from(ADMIN_TIMEOUT.as_nanos()).unwrap_or(u64::MAX));
        let mut wanted = names;
        loop {
            let new: Vec<NewTopic<'_>> =
                wanted.iter().map(|topic| NewTopic::new(topic, 1, TopicReplication::Fixed(-1))).collect();
            let made =
                admin.create_topics(&new, &options).await.map_err(|error| refused("cannot make topics", &error))?;
            let mut again = Vec::new();
            for (topic, error) in made.into_iter().filter_map(Result::err) {
                // A topic is deleted some time after its deletion has been accepted.
                if error != RDKafkaErrorCode::TopicAlreadyExists || mono_ns() >= until_ns {
                    return Err(refused(&format!("cannot make topic {topic}"), &error));
                }
                again.extend(wanted.iter().copied().filter(|name| *name == topic));
            }
            if again.is_empty() {
                return Ok(());
            }
            wanted = again;
            tokio::time::sleep(ADMIN_PAUSE).await;
        }
    })
}

/// What a topic held: SHA-256 over the values of its records in the order of their offsets, each followed by a newline.
#[derive(Debug, Clone, Default)]
struct Stream {
    records: u64,
    sha256: Sha256,
}

/// Reads orders topics as they are written: at the end of a long demo the embedded broker has forgotten their beginning.
pub(super) struct OrderReader {
    expected: Sender<BTreeMap<String, u64>>,
    thread: JoinHandle<Result<BTreeMap<String, Stream>, String>>,
}

impl OrderReader {
    /// Begins to read topics from offset 0.
    pub(super) fn start(kafka: &Kafka, topics: &[String]) -> Result<Self, CliError> {
        let failed = |error: &dyn std::fmt::Display| CliError::Internal(format!("cannot read orders back: {error}"));
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", kafka.brokers())
            .set("client.id", "pinion-demo-orders")
            .set("group.id", "pinion-demo-orders")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error");
        let consumer: BaseConsumer = config.create().map_err(|error| failed(&error))?;
        let mut partitions = TopicPartitionList::new();
        for topic in topics {
            partitions.add_partition_offset(topic, 0, Offset::Offset(0)).map_err(|error| failed(&error))?;
        }
        consumer.assign(&partitions).map_err(|error| failed(&error))?;
        let streams = topics.iter().map(|topic| (topic.clone(), Stream::default())).collect();
        let (expected, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("orders".to_owned())
            .spawn(move || read(&consumer, streams, &receiver))
            .map_err(|error| failed(&error))?;
        Ok(Self { expected, thread })
    }

    /// Waits until as many records of each topic as `expected` have come, and says what they came to: SHA-256 in hex, by topic.
    pub(super) fn finish(self, expected: BTreeMap<String, u64>) -> Result<BTreeMap<String, String>, CliError> {
        // Fails only when the thread has ended with an error, which it returns below.
        let _ = self.expected.send(expected);
        match self.thread.join() {
            Ok(Ok(streams)) => Ok(streams.into_iter().map(|(topic, stream)| (topic, hex(stream.sha256))).collect()),
            Ok(Err(problem)) => Err(CliError::Unavailable(format!("cannot read the orders back: {problem}"))),
            Err(_) => Err(CliError::Internal("the thread that reads orders back panicked".to_owned())),
        }
    }
}

fn read(
    consumer: &BaseConsumer,
    mut streams: BTreeMap<String, Stream>,
    receiver: &Receiver<BTreeMap<String, u64>>,
) -> Result<BTreeMap<String, Stream>, String> {
    let mut expected: Option<(BTreeMap<String, u64>, u64)> = None;
    loop {
        match consumer.poll(POLL) {
            None => {}
            // The client connects again by itself.
            Some(Err(error)) if kafka::is_unreachable(&error) => {}
            Some(Err(error)) => return Err(error.to_string()),
            Some(Ok(message)) => {
                if let Some(stream) = streams.get_mut(message.topic()) {
                    stream.sha256.update(message.payload().unwrap_or_default());
                    stream.sha256.update(b"\n");
                    stream.records += 1;
                }
                continue;
            }
        }
        match (&expected, receiver.recv_timeout(Duration::ZERO)) {
            (None, Ok(counts)) => expected = Some((counts, mono_ns())),
            // The demo has failed; nobody asks any more.
            (None, Err(RecvTimeoutError::Disconnected)) => return Ok(streams),
            _ => {}
        }
        let Some((counts, since_ns)) = &expected else { continue };
        let missing =
            counts.iter().find(|(topic, count)| streams.get(*topic).is_none_or(|stream| stream.records < **count));
        let Some((topic, count)) = missing else { return Ok(streams) };
        if u128::from(mono_ns() - since_ns) > READ_BACK.as_nanos() {
            let got = streams.get(topic).map_or(0, |stream| stream.records);
            return Err(format!("{got} of {count} orders of {topic} came within {} s", READ_BACK.as_secs()));
        }
    }
}

/// SHA-256 over several digests in hex, one after the other.
pub(super) fn combined<'a>(digests: impl Iterator<Item = &'a String>) -> String {
    hex(digests.fold(Sha256::new(), |sha256, digest| sha256.chain_update(digest)))
}

fn hex(sha256: Sha256) -> String {
    sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    use super::*;

    #[test]
    fn a_streams_digest_is_that_of_its_values_a_line_each() {
        let topics = ["one".to_owned(), "two".to_owned()];
        let broker = Broker::start(None, &topics).unwrap();
        let reader = OrderReader::start(broker.kafka(), &topics).unwrap();
        let config = ClientConfig::new().set("bootstrap.servers", broker.kafka().brokers()).clone();
        let producer: BaseProducer = config.create().unwrap();
        for value in ["a", "b"] {
            producer.send(BaseRecord::<(), str>::to("one").payload(value)).unwrap();
        }
        producer.flush(Duration::from_secs(10)).unwrap();
        let digests = reader.finish(BTreeMap::from([("one".to_owned(), 2)])).unwrap();
        // printf 'a\nb\n' | sha256sum; sha256sum < /dev/null
        assert_eq!(digests["one"], "911169ddaaf146aff539f58c26c489af3b892dff0fe283c1c264c65ae5aa59a2");
        assert_eq!(digests["two"], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn an_absent_broker_is_unavailable() {
        let outcome = Broker::start(Some("127.0.0.1:1"), &["t".to_owned()]);
        assert!(matches!(outcome.err(), Some(CliError::Unavailable(why)) if why.contains("127.0.0.1:1")));
    }
}
