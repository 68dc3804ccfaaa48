//! Partitions read by offsets, for tools: no group, and nothing is committed.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{Message as _, OwnedMessage};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use thiserror::Error;

use super::access::insist;
use super::{Callbacks, Kafka, is_unreachable};
use crate::clock::mono_ns;
use crate::decode::Record;
use crate::ingest;

/// How long a broker may say nothing.
const SILENCE: Duration = Duration::from_secs(30);
/// One look.
const POLL: Duration = Duration::from_millis(200);

/// Why records cannot be read.
#[derive(Debug, Error)]
pub enum LogError {
    /// The client or the broker.
    #[error("{0}")]
    Kafka(#[from] KafkaError),
    /// Nothing came.
    #[error("no broker of {brokers} answers")]
    Silent {
        /// The bootstrap servers.
        brokers: String,
    },
    /// The topic is not there.
    #[error("there is no topic {0}")]
    NoTopic(String),
    /// What was asked for is not in the log.
    #[error(
        "the log holds offsets {low} to {high} (not included): what is before is gone by the topic's retention, what is behind was never there"
    )]
    Outside {
        /// The first.
        low: u64,
        /// Behind the last.
        high: u64,
    },
}

impl LogError {
    /// Whether the broker is what is wrong.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Silent { .. } => true,
            Self::Kafka(error) => is_unreachable(error),
            Self::NoTopic(_) | Self::Outside { .. } => false,
        }
    }
}

/// Reads partitions, each going on where it was left.
pub struct LogReader {
    kafka: Kafka,
    /// Reads nothing, and answers all questions: a client for each would connect anew each time.
    asked: OnceCell<BaseConsumer<Callbacks>>,
    partitions: BTreeMap<(String, u16), Partition>,
}

struct Partition {
    consumer: BaseConsumer<Callbacks>,
    /// The offset that comes next, as far as it is known.
    next: u64,
    /// Read too far.
    ahead: Option<OwnedMessage>,
}

impl LogReader {
    /// A reader of these brokers.
    #[must_use]
    pub const fn new(kafka: Kafka) -> Self {
        Self { kafka, asked: OnceCell::new(), partitions: BTreeMap::new() }
    }

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// [`LogError`]
    pub fn partitions(&self, topic: &str) -> Result<u16, LogError> {
        let metadata = self.ask(|client, time| client.fetch_metadata(Some(topic), time))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
        match found.map(|found| found.partitions().len()) {
            Some(count) if count > 0 => Ok(u16::try_from(count).unwrap_or(u16::MAX)),
            _ => Err(LogError::NoTopic(topic.to_owned())),
        }
    }

    /// The first offset of a partition and the one behind its last.
    ///
    /// # Errors
    /// [`LogError`]
    pub fn bounds(&self, topic: &str, partition: u16) -> Result<(u64, u64), LogError> {
        let (low, high) = self.ask(|client, time| client.fetch_watermarks(topic, partition.into(), time))?;
        Ok((u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0)))
    }

    /// Hands over the records from offset `first` to `last`, both included; offsets that the log has no record at are left out.
    ///
    /// # Errors
    /// [`LogError`]; what comes before the trouble has been handed over.
    pub fn read(
        &mut self,
        topic: &str,
        partition: u16,
        (first, last): (u64, u64),
        mut take: impl FnMut(&OwnedMessage, u64, &Record<'_>),
    ) -> Result<(), LogError> {
        let (low, high) = match self.partitions.get(&(topic.to_owned(), partition)) {
            // Asked once a run of records would be asked too often.
            Some(known) if known.next <= first => (0, u64::MAX),
            _ => self.bounds(topic, partition)?,
        };
        if first < low || last >= high {
            return Err(LogError::Outside { low, high });
        }
        let consumer = match self.partitions.contains_key(&(topic.to_owned(), partition)) {
            true => None,
            false => Some(self.consumer()?),
        };
        let at = self.partitions.entry((topic.to_owned(), partition)).or_insert_with(|| Partition {
            // Just made where there was none.
            consumer: consumer.unwrap_or_else(|| unreachable!("a partition without a consumer")),
            next: u64::MAX,
            ahead: None,
        });
        if at.next != first && at.ahead.as_ref().is_none_or(|message| offset_of(message) < first) {
            let mut start = TopicPartitionList::new();
            let offset = Offset::Offset(i64::try_from(first).unwrap_or(i64::MAX));
            start.add_partition_offset(topic, partition.into(), offset)?;
            at.consumer.assign(&start)?;
            at.ahead = None;
        }
        let mut heard_ns = mono_ns();
        loop {
            let message = match at.ahead.take() {
                Some(message) => message,
                None => match at.consumer.poll(POLL) {
                    Some(Ok(message)) => message.detach(),
                    // The end of the log: `last` was below it, so what is missing was never visible (an aborted transaction).
                    Some(Err(KafkaError::PartitionEOF(_))) => {
                        at.next = last + 1;
                        return Ok(());
                    }
                    Some(Err(error)) if !passes(&error) => return Err(outside(error, low, high)),
                    Some(Err(_)) | None => {
                        if u128::from(mono_ns() - heard_ns) > SILENCE.as_nanos() {
                            return Err(LogError::Silent { brokers: self.kafka.brokers().to_owned() });
                        }
                        continue;
                    }
                },
            };
            heard_ns = mono_ns();
            let offset = offset_of(&message);
            if offset > last {
                at.next = offset;
                at.ahead = Some(message);
                return Ok(());
            }
            if offset >= first {
                let record = Record {
                    value: message.payload().unwrap_or_default(),
                    key: message.key(),
                    ts_recv: ingest::ts_recv(&message),
                };
                take(&message, offset, &record);
            }
            at.next = offset + 1;
            if offset >= last {
                return Ok(());
            }
        }
    }

    fn consumer(&self) -> Result<BaseConsumer<Callbacks>, LogError> {
        let mut config = self.kafka.plain();
        config.set("client.id", "pinion-reader");
        // Never joined: a client that reads must have a name for one.
        config.set("group.id", "pinion-reader");
        config.set("enable.auto.commit", "false");
        config.set("enable.partition.eof", "true");
        config.set("auto.offset.reset", "error");
        config.set("fetch.wait.max.ms", "50");
        Ok(config.create_with_context(self.kafka.callbacks("reader"))?)
    }

    /// Asks until there is an answer; the client is polled meanwhile, which is how it gets its tokens.
    fn ask<T>(&self, ask: impl Fn(&BaseConsumer<Callbacks>, Duration) -> KafkaResult<T>) -> Result<T, LogError> {
        let client = match self.asked.get() {
            Some(client) => client,
            None => {
                let client = self.consumer()?;
                self.asked.get_or_init(|| client)
            }
        };
        let serve = |time| {
            // Nothing is assigned: there are no records to lose.
            let _ = client.poll(time);
        };
        insist(client.context(), serve, |time| ask(client, time)).map_err(|unanswered| {
            if is_unreachable(&unanswered.error) {
                LogError::Silent { brokers: self.kafka.brokers().to_owned() }
            } else {
                unanswered.error.into()
            }
        })
    }
}

fn offset_of(message: &OwnedMessage) -> u64 {
    u64::try_from(message.offset()).unwrap_or(0)
}

/// Whether reading goes on all the same: a broker is away, or a right to the group is lacking, which is never joined.
pub(super) fn passes(error: &KafkaError) -> bool {
    is_unreachable(error) || error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed)
}

fn outside(error: KafkaError, low: u64, high: u64) -> LogError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset) => LogError::Outside { low, high },
        _ => error.into(),
    }
}
