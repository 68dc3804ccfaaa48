//! Notes when each answer came back.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_runtime::kafka::Kafka;
use pinion_spec::ids::ClientOrderId;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

/// Reads one system's output.
pub(crate) struct Collector {
    answers: Receiver<(u64, u64)>,
}

impl Collector {
    /// Reads `topic` from its beginning, on a thread of its own, to the end of the process.
    pub(crate) fn start(brokers: &str, topic: &str) -> Self {
        let (send, answers) = channel();
        let (kafka, topic) = (Kafka::new(brokers), topic.to_owned());
        std::thread::spawn(move || {
            let Ok(consumer) = kafka.consumer("collector").create::<BaseConsumer>() else { return };
            let mut list = TopicPartitionList::new();
            if list.add_partition_offset(&topic, 0, Offset::Offset(0)).is_err() || consumer.assign(&list).is_err() {
                return;
            }
            loop {
                let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
                let at = mono_ns();
                if let Some(offset) = message.payload().and_then(input_offset)
                    && send.send((offset, at)).is_err()
                {
                    return;
                }
            }
        });
        Self { answers }
    }

    /// The next answer: the offset of its input, and when it came.
    pub(crate) fn next(&self, wait: Duration) -> Option<(u64, u64)> {
        self.answers.recv_timeout(wait).ok()
    }
}

/// The input record that an answer says it is for.
fn input_offset(answer: &[u8]) -> Option<u64> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    match &answer["client_order_id"] {
        Value::String(id) => Some(ClientOrderId::parse(id.as_bytes()).ok()?.offset),
        _ => answer["offset"].as_u64(),
    }
}
