//! What one of the users of a broker with ACLs can do, tried by a client of theirs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::Secured;

/// A busy machine may take a while to answer.
const ANSWER: Duration = Duration::from_secs(20);

/// A user with their password.
pub struct User {
    config: ClientConfig,
}

impl Secured {
    /// The user, as a client.
    #[must_use]
    pub fn as_user(&self, user: &str) -> User {
        User { config: self.client(user) }
    }
}

/// What became of the one record.
#[derive(Clone, Default)]
struct Outcome(Arc<Mutex<Option<Result<(), RDKafkaErrorCode>>>>);

impl ClientContext for Outcome {}

impl ProducerContext for Outcome {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let outcome = result.as_ref().map(drop).map_err(|(error, _)| code(error));
        *self.0.lock().expect("not poisoned") = Some(outcome);
    }
}

fn code(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)
}

impl User {
    /// Reads the first record of a topic, with a group that they may use. Whoever may not read it is not told where it is.
    ///
    /// # Errors
    /// What Kafka says.
    ///
    /// # Panics
    /// If nobody answers.
    pub fn read(&self, topic: &str, group: &str) -> Result<(), RDKafkaErrorCode> {
        let consumer: BaseConsumer = self.config.clone().set("group.id", group).create().expect("make a consumer");
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER).expect("ask for metadata");
        if let Some(error) = metadata.topics().first().and_then(MetadataTopic::error) {
            return Err(error.into());
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning).expect("name an offset");
        consumer.assign(&list).expect("assign a partition");
        let outcome = consumer.poll(ANSWER).unwrap_or_else(|| panic!("no answer on reading {topic}"));
        outcome.map(drop).map_err(|error| code(&error))
    }

    /// Writes a record to a topic.
    ///
    /// # Errors
    /// What Kafka says.
    ///
    /// # Panics
    /// If no client can be made.
    pub fn write(&self, topic: &str) -> Result<(), RDKafkaErrorCode> {
        let context = Outcome::default();
        let producer: BaseProducer<Outcome> =
            self.config.create_with_context(context.clone()).expect("make a producer");
        let record = BaseRecord::<(), str>::to(topic).partition(0).payload("forged");
        producer.send(record).map_err(|(error, _)| code(&error))?;
        // That it was not delivered is in the outcome.
        let _ = producer.flush(ANSWER);
        let outcome = context.0.lock().expect("not poisoned").take();
        outcome.unwrap_or(Err(RDKafkaErrorCode::OperationTimedOut))
    }

    /// Commits an offset of a group.
    ///
    /// # Errors
    /// What Kafka says.
    ///
    /// # Panics
    /// If no client can be made.
    pub fn commit(&self, group: &str, topic: &str) -> Result<(), RDKafkaErrorCode> {
        let consumer: BaseConsumer = self.config.clone().set("group.id", group).create().expect("make a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Offset(0)).expect("name an offset");
        consumer.commit(&list, CommitMode::Sync).map_err(|error| code(&error))
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// What Kafka says.
    ///
    /// # Panics
    /// If nobody answers.
    pub fn delete(&self, topic: &str) -> Result<(), RDKafkaErrorCode> {
        let admin: AdminClient<DefaultClientContext> = self.config.create().expect("make an admin client");
        let options = AdminOptions::new().request_timeout(Some(ANSWER));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("make a tokio runtime");
        let results = runtime.block_on(admin.delete_topics(&[topic], &options)).expect("ask for a deletion");
        results.into_iter().try_for_each(|result| result.map(drop).map_err(|(_, code)| code))
    }

    /// The topics that Kafka shows them.
    ///
    /// # Panics
    /// If nobody answers.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        let consumer: BaseConsumer = self.config.create().expect("make a consumer");
        let metadata = consumer.fetch_metadata(None, ANSWER).expect("ask for metadata");
        metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
    }
}
