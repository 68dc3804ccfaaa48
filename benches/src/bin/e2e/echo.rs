//! The floor: one thread, poll, decode, produce. The client settings are Pinion's own.

use std::io::Write as _;
use std::time::Duration;

use pinion_runtime::decode::{Decoder, Record};
use pinion_runtime::kafka::Kafka;
use pinion_spec::strategy::Encoding;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

/// As long as the order that the strategy sends for a quote.
const ORDER_BYTES: usize = 262;

/// Echoes for ever.
pub(crate) fn run(brokers: &str, input: &str, output: &str) {
    let kafka = Kafka::new(brokers);
    let Ok(consumer) = kafka.consumer("echo").create::<BaseConsumer>() else { return };
    let Ok(producer) = kafka.producer().create::<BaseProducer>() else { return };
    let mut list = TopicPartitionList::new();
    if list.add_partition_offset(input, 0, Offset::Offset(0)).is_err() || consumer.assign(&list).is_err() {
        return;
    }
    let Ok(mut decoder) = Decoder::new(Encoding::BinanceSpot, "binance-spot", &[]) else { return };
    let mut events = Vec::with_capacity(16);
    let mut order = Vec::with_capacity(ORDER_BYTES);
    loop {
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) else {
            producer.poll(Duration::ZERO);
            continue;
        };
        events.clear();
        let value = message.payload().unwrap_or_default();
        let decoded = decoder.decode(&Record { value, key: message.key(), ts_recv: 0 }, &mut events);
        if decoded.is_err() || events.is_empty() {
            continue;
        }
        order.clear();
        let _ = write!(order, "{{\"offset\":{},\"fill\":\"", message.offset());
        order.resize(ORDER_BYTES - 2, b'x');
        order.extend_from_slice(b"\"}");
        let mut headers = OwnedHeaders::new_with_capacity(4);
        for key in ["pinion-tenant", "pinion-strategy", "pinion-module", "pinion-input"] {
            headers = headers.insert(Header { key, value: Some("a value of the usual length") });
        }
        let record = BaseRecord::to(output).key("BTCUSDT").payload(&order).headers(headers);
        if producer.send(record).is_err() {
            let _ = producer.flush(Duration::from_secs(1));
        }
        producer.poll(Duration::ZERO);
    }
}
