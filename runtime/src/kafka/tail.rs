//! Partitions read as they grow, for tools: no group, and nothing is committed.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::log::{LogError, passes};
use super::{Callbacks, Kafka};
use crate::decode::Record;
use crate::ingest;

/// Several partitions, each from an offset on. A broker that is away is waited for.
pub struct Tail {
    consumer: BaseConsumer<Callbacks>,
}

/// A record and where it lies.
pub struct Tailed<'m> {
    message: BorrowedMessage<'m>,
}

impl Tail {
    /// Begins: topic, partition, and the offset of the first record that is wanted.
    ///
    /// # Errors
    /// [`LogError::Kafka`] for settings that librdkafka does not take.
    pub fn start(kafka: &Kafka, places: &[(String, u16, u64)]) -> Result<Self, LogError> {
        // Never joined: a client that reads must have a name for one.
        let mut config = kafka.consumer("pinion-tail");
        config.set("client.id", "pinion-tail");
        config.set("enable.partition.eof", "false");
        config.set("auto.offset.reset", "error");
        let consumer: BaseConsumer<Callbacks> = config.create_with_context(kafka.callbacks("tail"))?;
        let mut start = TopicPartitionList::new();
        for (topic, partition, offset) in places {
            let offset = Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX));
            start.add_partition_offset(topic, i32::from(*partition), offset)?;
        }
        consumer.assign(&start)?;
        Ok(Self { consumer })
    }

    /// The next record, if one comes in time.
    ///
    /// # Errors
    /// [`LogError::Kafka`] for what does not pass by waiting: a right that is lacking, a topic or an offset that is gone.
    pub fn poll(&self, wait: Duration) -> Result<Option<Tailed<'_>>, LogError> {
        match self.consumer.poll(wait) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(Tailed { message })),
            Some(Err(error)) if passes(&error) => Ok(None),
            Some(Err(error)) => Err(error.into()),
        }
    }
}

impl Tailed<'_> {
    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.message.topic()
    }

    /// Its partition.
    #[must_use]
    pub fn partition(&self) -> u16 {
        u16::try_from(self.message.partition()).unwrap_or(0)
    }

    /// Its offset.
    #[must_use]
    pub fn offset(&self) -> u64 {
        u64::try_from(self.message.offset()).unwrap_or(0)
    }

    /// As a decoder wants it.
    #[must_use]
    pub fn record(&self) -> Record<'_> {
        Record {
            value: self.message.payload().unwrap_or_default(),
            key: self.message.key(),
            ts_recv: ingest::ts_recv(&self.message),
        }
    }
}
