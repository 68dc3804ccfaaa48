//! What the process tests share: captures in topics of the shared broker, runs over them, and what they send.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use pinion_spec::metrics;
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::{self, Capture, Frame, SPOT, USDM};
use pinion_tests::kafka::{Broker, Record};
use pinion_tests::runtime::{Runtime, is_clean};
use pinion_tests::scratch::Scratch;
use pinion_tests::strategies;
use serde_json::Value;

/// A whole capture through Kafka takes a second or two; a machine that compiles something else takes a minute.
pub(crate) const WHOLE: Duration = Duration::from_secs(90);

/// A record in every `EVERY`th quote's sequence decides: some 4,500 orders over the spot capture.
pub(crate) const EVERY: &str = "10";

static SPOT_TOPIC: OnceLock<Option<String>> = OnceLock::new();
static USDM_TOPIC: OnceLock<Option<String>> = OnceLock::new();

/// A capture, whole, in a topic of one partition of the shared broker; or a loud skip.
pub(crate) fn topic_of(capture: &Capture) -> Option<(&'static Broker, &'static str)> {
    let (broker, path) = (Broker::shared()?, capture.path()?);
    let fill = || {
        let topic = Broker::unique_topic(capture.encoding);
        broker.create_topic(&topic, 1);
        broker.produce_frames(&topic, captures::frames(&path).iter().map(|frame| (0, frame)));
        Some(topic)
    };
    // Many tests read the two large ones.
    let topic = match *capture {
        SPOT => SPOT_TOPIC.get_or_init(fill).as_deref()?,
        USDM => USDM_TOPIC.get_or_init(fill).as_deref()?,
        _ => &*Box::leak(fill()?.into_boxed_str()),
    };
    Some((broker, topic))
}

/// How many partitions a market has that several workers share.
pub(crate) const PARTITIONS: i32 = 4;

/// Quotes and trades of the spot capture: without its books the rest may be split over partitions.
pub(crate) fn quotes_and_trades() -> Option<Vec<Frame>> {
    let mut frames = captures::frames(&SPOT.path()?);
    frames.retain(|frame| !frame.value.windows(13).any(|part| part == b"\"depthUpdate\""));
    Some(frames)
}

/// The frames, each with the partition that it is put into: one after the other in turn, where `before` have been put already.
pub(crate) fn in_turn(before: usize, frames: &[Frame]) -> impl Iterator<Item = (i32, &Frame)> {
    let partitions = usize::try_from(PARTITIONS).expect("a few");
    (0..PARTITIONS).cycle().skip(before % partitions).zip(frames)
}

/// `record-only` on a topic, often enough for a test to hit it in mid-stream.
pub(crate) fn record_only(broker: &Broker, market: &str) -> Strategy {
    let mut strategy = strategies::example_on(broker, "record-only", market);
    strategy.spec.params.insert("every".to_owned(), EVERY.to_owned());
    strategy
}

/// Runs strategies until they are at the end of their topic, and drains.
pub(crate) fn run_whole(broker: &Broker, strategies: &[&Strategy]) {
    let scratch = Scratch::new();
    let files: Vec<_> = strategies.iter().map(|strategy| strategies::write(&scratch, strategy)).collect();
    let files: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
    let mut runtime = Runtime::start(&files, &broker.address(), &[]);
    read_to_end(&mut runtime, broker, strategies[0]);
    assert!(is_clean(runtime.sigterm_and_wait()));
}

/// Waits until all that lies in a strategy's topic now is done, acknowledged and committed.
pub(crate) fn read_to_end(runtime: &mut Runtime, broker: &Broker, strategy: &Strategy) {
    let input = &strategy.spec.inputs[0];
    let end = broker.end_of(&input.topic).offset().expect("the topic's end");
    let group = strategy.group();
    runtime.until("the topic to be read to its end", WHOLE, |_| {
        (broker.committed(&group, &input.topic).get(&0) == Some(&end)).then_some(())
    });
}

/// What lies in a strategy's orders topic.
pub(crate) fn orders(broker: &Broker, strategy: &Strategy) -> Vec<Record> {
    broker.consume_all(&strategy.spec.outputs.orders.topic)
}

/// The values alone, in order.
pub(crate) fn values(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(|record| record.payload.clone()).collect()
}

/// A capture that a test puts into a topic piece by piece: what happens, happens between two pieces.
pub(crate) struct Feeder {
    pub(crate) broker: &'static Broker,
    pub(crate) market: String,
    frames: std::vec::IntoIter<Frame>,
}

impl Feeder {
    /// The spot capture and an empty topic of the shared broker; or a loud skip.
    pub(crate) fn new() -> Option<Self> {
        let (broker, path) = (Broker::shared()?, SPOT.path()?);
        let market = Broker::unique_topic("binance-spot");
        broker.create_topic(&market, 1);
        Some(Self { broker, market, frames: captures::frames(&path).into_iter() })
    }

    /// The next frames into the topic, and through the runtime that runs `strategy` to the last acknowledgement.
    pub(crate) fn feed(&mut self, runtime: &mut Runtime, strategy: &Strategy, frames: usize) {
        self.publish(frames);
        read_to_end(runtime, self.broker, strategy);
    }

    /// The next frames into the topic; when the last of them was captured.
    pub(crate) fn publish(&mut self, frames: usize) -> u64 {
        let piece: Vec<Frame> = self.frames.by_ref().take(frames).collect();
        assert_eq!(piece.len(), frames, "the capture has come to its end");
        self.broker.produce_frames(&self.market, piece.iter().map(|frame| (0, frame)));
        piece.last().map_or(0, |frame| frame.ts_recv)
    }
}

/// The value of each `client_order_id`, and how many records repeat one. A repeat with another value fails the test.
pub(crate) fn by_id(records: &[Record]) -> (BTreeMap<String, Vec<u8>>, usize) {
    let mut ids = BTreeMap::new();
    let mut repeats = 0;
    for record in records {
        let id = json(&record.payload)["client_order_id"].as_str().expect("an id").to_owned();
        if let Some(first) = ids.insert(id.clone(), record.payload.clone()) {
            repeats += 1;
            assert_eq!(String::from_utf8_lossy(&first), String::from_utf8_lossy(&record.payload), "a repeat of {id}");
        }
    }
    (ids, repeats)
}

pub(crate) fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(text)))
}

/// New orders of a strategy that were approved.
pub(crate) fn approved(runtime: &Runtime, strategy: &Strategy) -> u64 {
    runtime.count(&metrics::ORDERS, &[("strategy", &strategy.metadata.name), ("type", "new")])
}

/// Intents of a strategy that were denied for a reason.
pub(crate) fn denied(runtime: &Runtime, strategy: &Strategy, reason: &str) -> u64 {
    runtime.count(&metrics::DENIALS, &[("strategy", &strategy.metadata.name), ("reason", reason)])
}
