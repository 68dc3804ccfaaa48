//! The way to a topic: a producer that sends frames one after the other, in order, and counts what became of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use pinion_runtime::clock::{mono_ns, wall_ns};
use pinion_runtime::decode::TS_RECV_HEADER;
use pinion_runtime::kafka::{Callbacks, Kafka, TopicUse};
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use crate::capture::Frame;
use crate::error::CliError;

/// How long a record may wait for its acknowledgement where the capture would go on without it, and the last ones for theirs.
pub(crate) const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause before a send is tried again when librdkafka's queue is full.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(1);
/// The last stretch before a frame is due is waited for on the processor: a thread's wake-up is later than that.
const SPIN_NS: u64 = 100_000;

/// What became of records, counted by the producer's own thread.
#[derive(Debug, Clone)]
struct Deliveries {
    callbacks: Callbacks,
    acked: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl ClientContext for Deliveries {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.callbacks.log(level, facility, message);
    }

    /// Connection errors are librdkafka's to mend; what does not arrive fails its delivery.
    fn error(&self, error: KafkaError, reason: &str) {
        self.callbacks.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.callbacks.generate_oauth_token(config)
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() { &self.acked } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What came of handing over a frame.
pub(crate) enum Sent {
    /// It is on its way.
    Queued {
        /// Times that the producer's queue was full before.
        retries: u64,
    },
    /// There was a message to stop first.
    Stopped,
}

/// What the broker did with the frames.
pub(crate) struct Delivered {
    /// Acknowledged.
    pub(crate) acked: u64,
    /// Not taken.
    pub(crate) failed: u64,
}

/// Where frames go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Destination<'a> {
    /// The way to Kafka.
    pub(crate) kafka: &'a Kafka,
    /// Topic.
    pub(crate) topic: &'a str,
    /// Partition; by the record's key where there is none.
    pub(crate) partition: Option<u16>,
    /// How long a record may wait for its acknowledgement; `None`: as long as the broker is away.
    pub(crate) patience: Option<Duration>,
}

/// The way to the topic.
pub(crate) struct Sender<'a> {
    kafka: &'a Kafka,
    producer: ThreadedProducer<Deliveries>,
    deliveries: Deliveries,
    topic: &'a str,
    partition: Option<i32>,
    stop: &'a Receiver<()>,
}

impl<'a> Sender<'a> {
    /// Asks the brokers for the topic: what is wrong is known before anything is sent.
    pub(crate) fn connect(to: Destination<'a>, stop: &'a Receiver<()>) -> Result<Self, CliError> {
        let mut config = to.kafka.plain();
        config
            .set("client.id", "pinion-publish")
            // A record leaves when it is due, and in order whatever is retried.
            .set("linger.ms", "0")
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", to.patience.map_or(0, |patience| patience.as_millis()).to_string());
        let callbacks = to.kafka.callbacks("publish");
        let deliveries = Deliveries { callbacks: callbacks.clone(), acked: Arc::default(), failed: Arc::default() };
        let no_access = |error| CliError::no_access(to.kafka.brokers(), &error);
        let producer: ThreadedProducer<Deliveries> = config
            .create_with_context(deliveries.clone())
            .map_err(|error| no_access(to.kafka.settings_error(&error)))?;
        // The producer has a thread that polls it: here there is only to wait.
        let asked = (to.topic, TopicUse::Write);
        let partitions =
            to.kafka.partitions(producer.client(), &callbacks, asked, std::thread::park_timeout).map_err(no_access)?;
        if partitions == 0 {
            return Err(CliError::Usage(format!("topic {} is not there; create it, or check --topic", to.topic)));
        }
        if let Some(partition) = to.partition.filter(|partition| usize::from(*partition) >= partitions) {
            let last = partitions - 1;
            return Err(CliError::Usage(format!(
                "--partition {partition}: topic {} has partitions 0 to {last}",
                to.topic
            )));
        }
        let partition = to.partition.map(i32::from);
        Ok(Self { kafka: to.kafka, producer, deliveries, topic: to.topic, partition, stop })
    }

    /// Waits until a frame is due. True when there is no use in going on.
    pub(crate) fn stopped_before(&self, due_ns: u64) -> bool {
        loop {
            let left_ns = due_ns.saturating_sub(mono_ns());
            if left_ns == 0 {
                return self.stopped_within(Duration::ZERO);
            }
            if left_ns > SPIN_NS {
                if self.stopped_within(Duration::from_nanos(left_ns - SPIN_NS)) {
                    return true;
                }
            } else {
                std::hint::spin_loop();
            }
        }
    }

    /// Waits as long. True when there is no use in going on.
    pub(crate) fn stopped_within(&self, time: Duration) -> bool {
        !matches!(self.stop.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }

    /// Hands a frame to librdkafka, however long its queue stays full.
    pub(crate) fn send(&self, frame: &Frame<'_>, key: Option<&str>) -> Result<Sent, CliError> {
        let ts_recv = frame.ts_recv.to_string();
        let headers = OwnedHeaders::new_with_capacity(1).insert(Header { key: TS_RECV_HEADER, value: Some(&ts_recv) });
        let now_ms = i64::try_from(wall_ns() / 1_000_000).unwrap_or(i64::MAX);
        let mut record = BaseRecord::to(self.topic).payload(frame.value).headers(headers).timestamp(now_ms);
        if let Some(key) = key.filter(|key| !key.is_empty()) {
            record = record.key(key);
        }
        if let Some(partition) = self.partition {
            record = record.partition(partition);
        }
        let mut retries = 0;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(Sent::Queued { retries }),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    retries += 1;
                    record = again;
                    if self.stopped_within(QUEUE_FULL_PAUSE) {
                        return Ok(Sent::Stopped);
                    }
                }
                Err((error, _)) => {
                    let why = self.kafka.refused(&error, self.producer.client().fatal_error(), self.topic);
                    return Err(CliError::Unavailable(format!("cannot send to topic {}: {why}", self.topic)));
                }
            }
        }
    }

    /// Records that were not taken so far.
    pub(crate) fn failed(&self) -> u64 {
        self.deliveries.failed.load(Ordering::Relaxed)
    }

    /// Waits for the last acknowledgements, as long as a record may take.
    pub(crate) fn finish(&self) -> Delivered {
        // What is still under way when time is up is neither acknowledged nor failed, and shows as such.
        let _ = self.producer.flush(DELIVERY_TIMEOUT);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Delivered { acked: count(&self.deliveries.acked), failed: count(&self.deliveries.failed) }
    }
}
