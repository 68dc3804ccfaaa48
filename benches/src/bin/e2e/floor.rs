//! The floors: one thread of a bare client that reads, decodes, and sends a record for each record or for one of so many. The client's
//! settings are Pinion's own.

use std::io::Write as _;
use std::time::Duration;

use clap::ValueEnum;
use pinion_runtime::clock::mono_ns;
use pinion_runtime::decode::{Decoder, Record};
use pinion_runtime::event::Event;
use pinion_runtime::kafka::Kafka;
use pinion_spec::strategy::Encoding;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::batch::Batches;

/// As long as the order that the strategy sends for a quote.
const ORDER_BYTES: usize = 262;
/// How long a read waits.
const WAIT: Duration = Duration::from_millis(20);

/// How long a stall takes.
const STALL_NS: u64 = 1_000_000;

/// How it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reads {
    /// One record a call.
    Poll,
    /// As many as there are, in C.
    Batch,
}

/// Decodes and answers.
struct Floor {
    producer: BaseProducer,
    output: String,
    decoder: Decoder,
    events: Vec<Event>,
    order: Vec<u8>,
    every: u64,
}

/// Answers every so many-th record, for ever.
///
/// With `stalls` it stands still for a while once a second.
pub(crate) fn run(reads: Reads, every: u64, stalls: bool, [brokers, input, output]: [&str; 3]) {
    let kafka = Kafka::new(brokers);
    let Ok(consumer) = kafka.consumer("floor").create::<BaseConsumer>() else { return };
    let Ok(producer) = kafka.producer().create::<BaseProducer>() else { return };
    let mut list = TopicPartitionList::new();
    if list.add_partition_offset(input, 0, Offset::Offset(0)).is_err() || consumer.assign(&list).is_err() {
        return;
    }
    let Ok(decoder) = Decoder::new(Encoding::BinanceSpot, "binance-spot", &[]) else { return };
    let (events, order) = (Vec::with_capacity(16), Vec::with_capacity(ORDER_BYTES));
    let mut floor = Floor { producer, output: output.to_owned(), decoder, events, order, every };
    let mut next_stall = mono_ns();
    match reads {
        Reads::Poll => loop {
            if stalls && mono_ns() > next_stall {
                next_stall = mono_ns() + 1_000_000_000;
                let until = mono_ns() + STALL_NS;
                while mono_ns() < until {}
            }
            if let Some(Ok(message)) = consumer.poll(WAIT) {
                floor.take(message.offset(), message.key(), message.payload().unwrap_or_default());
            }
            floor.producer.poll(Duration::ZERO);
        },
        Reads::Batch => {
            let mut batches = Batches::of(consumer);
            loop {
                batches.take(WAIT, |offset, key, value| floor.take(offset, key, value));
                floor.producer.poll(Duration::ZERO);
            }
        }
    }
}

impl Floor {
    fn take(&mut self, offset: i64, key: Option<&[u8]>, value: &[u8]) {
        self.events.clear();
        let decoded = self.decoder.decode(&Record { value, key, ts_recv: 0 }, &mut self.events);
        if decoded.is_err() || !self.events.first().is_some_and(|event| event.head.sequence.is_multiple_of(self.every))
        {
            return;
        }
        self.order.clear();
        let _ = write!(self.order, "{{\"offset\":{offset},\"fill\":\"");
        self.order.resize(ORDER_BYTES - 2, b'x');
        self.order.extend_from_slice(b"\"}");
        let mut headers = OwnedHeaders::new_with_capacity(4);
        for key in ["pinion-tenant", "pinion-strategy", "pinion-module", "pinion-input"] {
            headers = headers.insert(Header { key, value: Some("a value of the usual length") });
        }
        let record = BaseRecord::to(&self.output).key("BTCUSDT").payload(&self.order).headers(headers);
        if self.producer.send(record).is_err() {
            let _ = self.producer.flush(Duration::from_secs(1));
        }
    }
}
