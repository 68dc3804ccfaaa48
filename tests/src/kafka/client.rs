//! What a test asks of a broker: topics, records in, records out, committed offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_runtime::decode::TS_RECV_HEADER;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::Broker;
use crate::captures::Frame;

/// A request to a broker that has just come back may take a few seconds.
const REQUEST: Duration = Duration::from_secs(20);

/// Reading or writing a whole topic of a test.
const TOPIC_SECONDS_MAX: u64 = 120;

/// What a test may write; the topic has a limit of its own.
const RECORD_BYTES_MAX: &str = "16777216";

/// A record as it lies in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its time, ms since the Unix epoch.
    pub timestamp_ms: Option<i64>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; empty where it has none.
    pub payload: Vec<u8>,
    /// Its headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Committed offsets by partition; a partition without one is absent.
pub type Committed = BTreeMap<i32, i64>;

impl Broker {
    /// Makes a topic and waits until the broker leads its partitions.
    ///
    /// # Panics
    /// If the broker refuses or does not answer.
    pub fn create_topic(&self, topic: &str, partitions: i32) {
        self.create(NewTopic::new(topic, partitions, TopicReplication::Fixed(1)));
    }

    /// The same for records of up to `record_bytes_max`; the broker's own limit is 1 MiB.
    ///
    /// # Panics
    /// If the broker refuses or does not answer.
    pub fn create_topic_for(&self, topic: &str, partitions: i32, record_bytes_max: usize) {
        let bytes = record_bytes_max.to_string();
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        self.create(new.set("max.message.bytes", &bytes));
    }

    /// Limits the records of a topic, from now on; at 1 byte it refuses every one.
    ///
    /// # Panics
    /// If the broker refuses or does not answer.
    pub fn limit_records(&self, topic: &str, record_bytes_max: usize) {
        let bytes = record_bytes_max.to_string();
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", &bytes);
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("make an admin client");
        let options = AdminOptions::new().request_timeout(Some(REQUEST));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("make a tokio runtime");
        let results =
            runtime.block_on(admin.alter_configs([&change], &options)).expect("ask for another configuration");
        for result in results {
            result.unwrap_or_else(|(resource, code)| panic!("configure {resource:?}: {code}"));
        }
    }

    fn create(&self, new: NewTopic<'_>) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("make an admin client");
        let options = AdminOptions::new().operation_timeout(Some(REQUEST)).request_timeout(Some(REQUEST));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("make a tokio runtime");
        let results = runtime.block_on(admin.create_topics([&new], &options)).expect("ask for a topic");
        for result in results {
            result.unwrap_or_else(|(topic, code)| panic!("make topic {topic}: {code}"));
        }
    }

    /// Writes records without key or headers to one partition, in order, and waits for every acknowledgement.
    ///
    /// # Panics
    /// If one is not acknowledged.
    pub fn produce<T: AsRef<[u8]>>(&self, topic: &str, partition: i32, payloads: impl IntoIterator<Item = T>) {
        self.produce_at(topic, None, payloads.into_iter().map(|payload| (partition, None, payload)));
    }

    /// The same, stamped by the publisher with a time of its own, ms since the Unix epoch.
    ///
    /// # Panics
    /// If one is not acknowledged.
    pub fn produce_dated<T: AsRef<[u8]>>(
        &self,
        topic: &str,
        partition: i32,
        timestamp_ms: i64,
        payloads: impl IntoIterator<Item = T>,
    ) {
        self.produce_at(topic, Some(timestamp_ms), payloads.into_iter().map(|payload| (partition, None, payload)));
    }

    /// Writes frames of a capture to a topic, each to the partition that is named with it, with its time in the header that
    /// `pinion publish` writes; in order, as fast as the broker takes them. Waits for every acknowledgement.
    ///
    /// # Panics
    /// If one is not acknowledged.
    pub fn produce_frames<'a>(&self, topic: &str, frames: impl IntoIterator<Item = (i32, &'a Frame)>) {
        let records = frames.into_iter().map(|(partition, frame)| (partition, Some(frame.ts_recv), &frame.value));
        self.produce_at(topic, None, records);
    }

    fn produce_at<T: AsRef<[u8]>>(
        &self,
        topic: &str,
        timestamp_ms: Option<i64>,
        records: impl IntoIterator<Item = (i32, Option<u64>, T)>,
    ) {
        let failures = Arc::new(AtomicU32::new(0));
        let mut config = self.config();
        // In order by one request at a time: an idempotent producer waits half a second for its identity first.
        config.set("max.in.flight", "1").set("linger.ms", "5").set("message.max.bytes", RECORD_BYTES_MAX);
        let producer: BaseProducer<Deliveries> =
            config.create_with_context(Deliveries { failures: Arc::clone(&failures) }).expect("make a producer");
        for (partition, ts_recv, payload) in records {
            let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(payload.as_ref());
            if let Some(timestamp_ms) = timestamp_ms {
                record = record.timestamp(timestamp_ms);
            }
            if let Some(ts_recv) = ts_recv {
                let value = ts_recv.to_string();
                let header = Header { key: TS_RECV_HEADER, value: Some(&value) };
                record = record.headers(OwnedHeaders::new_with_capacity(1).insert(header));
            }
            while let Err((error, again)) = producer.send(record) {
                let full = error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
                assert!(full, "produce to {topic}: {error}");
                producer.poll(Duration::from_millis(10));
                record = again;
            }
        }
        producer
            .flush(Duration::from_secs(TOPIC_SECONDS_MAX))
            .unwrap_or_else(|error| panic!("produce to {topic}: {error}"));
        assert_eq!(failures.load(Ordering::Relaxed), 0, "records that {topic} did not take");
    }

    /// Every record of a topic, partition by partition and in order, without those of aborted transactions.
    ///
    /// # Panics
    /// If the end of every partition is not reached within two minutes.
    #[must_use]
    pub fn consume_all(&self, topic: &str) -> Vec<Record> {
        let mut config = self.config();
        config.set("group.id", "tests").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config.create().expect("make a consumer");
        let mut unfinished = self.assign_all(&consumer, topic);
        let mut records = Vec::new();
        let start = mono_ns();
        while !unfinished.is_empty() {
            let waited = Duration::from_nanos(mono_ns() - start).as_secs();
            assert!(waited < TOPIC_SECONDS_MAX, "{topic}: partitions {unfinished:?} have no end after {waited} s");
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(message)) => records.push(Record {
                    partition: message.partition(),
                    offset: message.offset(),
                    timestamp_ms: message.timestamp().to_millis(),
                    key: message.key().map(<[u8]>::to_vec),
                    payload: message.payload().unwrap_or_default().to_vec(),
                    headers: message.headers().into_iter().flat_map(|headers| headers.iter()).map(own_header).collect(),
                }),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    unfinished.remove(&partition);
                }
                // librdkafka goes on by itself after a broker that went away.
                Some(Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown,
                ))) => {}
                Some(Err(error)) => panic!("consume {topic}: {error}"),
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// Looks at a topic's end, again and again.
    ///
    /// # Panics
    /// If no client can be made.
    #[must_use]
    pub fn end_of(&self, topic: &str) -> End {
        let consumer = self.config().set("group.id", "tests").create().expect("make a consumer");
        End { consumer, topic: topic.to_owned() }
    }

    /// What a consumer group has committed for a topic; nothing yet while its coordinator is still on its way to it.
    ///
    /// # Panics
    /// If the broker does not answer.
    #[must_use]
    pub fn committed(&self, group: &str, topic: &str) -> Committed {
        let consumer: BaseConsumer = self.config().set("group.id", group).create().expect("make a consumer");
        let mut list = TopicPartitionList::new();
        for partition in partitions(&consumer, topic) {
            list.add_partition(topic, partition);
        }
        let committed = match consumer.committed_offsets(list, REQUEST) {
            Err(KafkaError::MetadataFetch(RDKafkaErrorCode::NotCoordinator)) => return Committed::new(),
            committed => committed.expect("ask for committed offsets"),
        };
        let known = committed.elements().into_iter().filter_map(|element| match element.offset() {
            Offset::Offset(offset) => Some((element.partition(), offset)),
            _ => None,
        });
        known.collect()
    }

    /// A client's configuration for this broker, with quick reconnects.
    #[must_use]
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.address());
        config.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "500");
        // A killed broker is part of the test and not worth a line in its output.
        config.set("log_level", "2");
        if self.secured {
            super::secured::admin(&self.dir).into_iter().for_each(|(key, value)| {
                config.set(key, value);
            });
        }
        config
    }

    fn assign_all(&self, consumer: &BaseConsumer, topic: &str) -> BTreeSet<i32> {
        let partitions = partitions(consumer, topic);
        let mut list = TopicPartitionList::new();
        for partition in &partitions {
            let (first, _) = consumer.fetch_watermarks(topic, *partition, REQUEST).expect("ask for the first offset");
            list.add_partition_offset(topic, *partition, Offset::Offset(first)).expect("name an offset");
        }
        consumer.assign(&list).expect("assign partitions");
        partitions
    }
}

/// A topic whose end is watched.
pub struct End {
    consumer: BaseConsumer,
    topic: String,
}

impl End {
    /// Records in partition 0 so far; `None` while the broker does not answer.
    #[must_use]
    pub fn offset(&self) -> Option<i64> {
        let marks = self.consumer.fetch_watermarks(&self.topic, 0, Duration::from_secs(1));
        marks.ok().map(|(_, end)| end)
    }
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> BTreeSet<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST).expect("ask for metadata");
    let partitions: BTreeSet<i32> =
        metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id()).collect();
    assert!(!partitions.is_empty(), "there is no topic {topic}");
    partitions
}

fn own_header(header: Header<'_, &[u8]>) -> (String, Vec<u8>) {
    (header.key.to_owned(), header.value.unwrap_or_default().to_vec())
}

/// Counts the records that the broker did not take.
struct Deliveries {
    failures: Arc<AtomicU32>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }
}
