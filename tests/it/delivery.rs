//! No loss, no silent duplicate: whatever is killed, the orders that arrive are those of an unbroken run.
//!
//! The strategy decides by the record alone; one with state starts afresh after a crash.

use std::collections::BTreeSet;

use pinion_spec::metrics;
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::SPOT;
use pinion_tests::kafka::{Broker, Record};
use pinion_tests::programs::Publishing;
use pinion_tests::runtime::{Runtime, START, is_clean};
use pinion_tests::scratch::Scratch;
use pinion_tests::strategies;

use crate::market::{Feeder, WHOLE, by_id, orders, read_to_end, record_only, run_whole, topic_of, values};

/// A capture on its way into a topic of its own, and the strategy that reads it meanwhile.
struct Stream {
    publishing: Publishing,
    strategy: Strategy,
    scratch: Scratch,
}

impl Stream {
    /// Five minutes of market at `speed`, so that what happens to the runtime happens in mid-stream.
    fn start(broker: &Broker, speed: &str) -> Option<Self> {
        let path = SPOT.path()?;
        let market = Broker::unique_topic("binance-spot");
        broker.create_topic(&market, 1);
        let strategy = record_only(broker, &market);
        let publishing = Publishing::start(&path, &broker.address(), &market, speed);
        Some(Self { publishing, strategy, scratch: Scratch::new() })
    }

    fn runtime(&self, broker: &Broker) -> Runtime {
        let file = strategies::write(&self.scratch, &self.strategy);
        Runtime::start(&[&file], &broker.address(), &[])
    }

    fn committed(&self, broker: &Broker) -> u64 {
        let input = &self.strategy.spec.inputs[0];
        let committed = broker.committed(&self.strategy.group(), &input.topic);
        committed.get(&0).map_or(0, |offset| u64::try_from(*offset).unwrap())
    }

    /// Lets a runtime read to the end of the capture, and drains it. How many records the publisher has published; `None` where
    /// it gave some up.
    fn finish(&mut self, broker: &Broker, mut runtime: Runtime) -> Option<u64> {
        let published = self.publishing.wait();
        read_to_end(&mut runtime, broker, &self.strategy);
        assert!(is_clean(runtime.sigterm_and_wait()));
        published
    }

    /// What the same strategy sends in one unbroken run over all that the topic holds.
    fn unbroken(&self, broker: &Broker) -> Vec<Record> {
        let strategy = record_only(broker, &self.strategy.spec.inputs[0].topic);
        run_whole(broker, &[&strategy]);
        let unbroken = orders(broker, &strategy);
        assert!(unbroken.len() > 1_000, "{} orders are too few to break off among", unbroken.len());
        unbroken
    }
}

/// Waits until `more` orders lie in the topic than now.
fn await_orders(runtime: &mut Runtime, broker: &Broker, strategy: &Strategy, more: i64) {
    let end = broker.end_of(&strategy.spec.outputs.orders.topic);
    let from = end.offset().expect("the orders' end");
    runtime.until("orders in mid-stream", WHOLE, |_| (end.offset()? >= from + more).then_some(()));
}

fn ids_are_those_of(unbroken: &[Record], broken: &[Record]) -> usize {
    let (expected, repeats) = by_id(unbroken);
    assert_eq!(repeats, 0, "an unbroken run repeats nothing");
    let (ids, repeats) = by_id(broken);
    let lost: Vec<_> = expected.keys().filter(|id| !ids.contains_key(*id)).collect();
    let invented: Vec<_> = ids.keys().filter(|id| !expected.contains_key(*id)).collect();
    assert!(lost.is_empty() && invented.is_empty(), "lost {lost:?}, invented {invented:?}");
    assert_eq!(ids, expected, "the orders themselves");
    repeats
}

#[test]
fn a_runtime_killed_in_mid_stream_loses_no_order_and_repeats_only_identical_ones() {
    const KILLS: usize = 4;
    let Some(broker) = Broker::shared() else { return };
    let Some(mut stream) = Stream::start(broker, "40") else { return };
    for kill in 0..KILLS {
        let mut runtime = stream.runtime(broker);
        await_orders(&mut runtime, broker, &stream.strategy, 300);
        runtime.kill9();
        assert!(stream.committed(broker) < SPOT.messages, "kill {kill} came after the stream");
    }
    let runtime = stream.runtime(broker);
    assert_eq!(stream.finish(broker, runtime), Some(SPOT.messages));
    let unbroken = stream.unbroken(broker);
    let repeats = ids_are_those_of(&unbroken, &orders(broker, &stream.strategy));
    println!("{KILLS} kills: {} orders, {repeats} repeated, each byte by byte", unbroken.len());
}

#[test]
fn no_offset_is_committed_past_an_order_that_kafka_has_not_taken_and_its_strategy_is_halted() {
    let Some(mut feeder) = Feeder::new() else { return };
    let broker = feeder.broker;
    let strategy = record_only(broker, &feeder.market);
    let scratch = Scratch::new();
    let file = strategies::write(&scratch, &strategy);
    let mut runtime = Runtime::start_ready(&[&file], &broker.address(), &[]);
    feeder.feed(&mut runtime, &strategy, 5_000);
    let acknowledged = orders(broker, &strategy);

    broker.limit_records(&strategy.spec.outputs.orders.topic, 1);
    feeder.publish(5_000);
    let group = strategy.group();
    runtime.until("all to be read", WHOLE, |runtime| {
        (runtime.count(&metrics::RECORDS, &[("feed", &group)]) == 10_000).then_some(())
    });
    let halted = [("strategy", "record-only"), ("state", "HALTED")];
    runtime.until("the halt", START, |runtime| (runtime.count(&metrics::STRATEGY_STATE, &halted) == 1).then_some(()));
    let ready = runtime.ready().expect("an answer");
    assert!(ready.status == 503 && ready.body.contains("refused a record"), "{ready:?}");
    runtime.kill9();
    let committed = u64::try_from(broker.committed(&group, &feeder.market)[&0]).unwrap();
    assert_eq!(orders(broker, &strategy).len(), acknowledged.len(), "the topic has taken an order that it refuses");
    broker.limit_records(&strategy.spec.outputs.orders.topic, 1 << 20);

    let mut runtime = Runtime::start(&[&file], &broker.address(), &[]);
    read_to_end(&mut runtime, broker, &strategy);
    assert!(is_clean(runtime.sigterm_and_wait()));
    let again = record_only(broker, &feeder.market);
    run_whole(broker, &[&again]);
    let unbroken = orders(broker, &again);
    let first_open = input_offset(&unbroken[acknowledged.len()]);
    assert!(committed <= first_open, "{committed} committed, the order of {first_open} was open");
    ids_are_those_of(&unbroken, &orders(broker, &strategy));
}

#[test]
fn a_broker_killed_in_mid_stream_costs_no_order_and_shows_in_ready_and_metrics() {
    let Some(mut broker) = Broker::start() else { return };
    let Some(mut stream) = Stream::start(&broker, "30") else { return };
    let mut runtime = stream.runtime(&broker);
    await_orders(&mut runtime, &broker, &stream.strategy, 500);
    let status = |runtime: &Runtime| Some((runtime.ready()?.status, runtime.metric(&metrics::KAFKA_CONNECTED, &[])?));
    assert_eq!(status(&runtime), Some((200, 1.0)));
    assert!(stream.committed(&broker) < SPOT.messages, "the kill comes after the stream");
    broker.kill9();
    runtime.until("the loss to show", START, |runtime| (status(runtime) == Some((503, 0.0))).then_some(()));
    let reasons = runtime.ready().expect("an answer").body;
    assert!(reasons.contains("no broker answers"), "{reasons}");
    broker.restart();
    runtime.until("the broker to be back", START, |runtime| (status(runtime) == Some((200, 1.0))).then_some(()));
    let lines = runtime.log().lines().count();
    assert!(lines < 100, "{lines} lines of log for one outage");
    // The publisher gives a record up after 30 s; what the topic holds counts, and the unbroken run reads the same.
    let published = stream.finish(&broker, runtime);
    let unbroken = stream.unbroken(&broker);
    let repeats = ids_are_those_of(&unbroken, &orders(&broker, &stream.strategy));
    println!("broker killed: {published:?} published, {} orders, {repeats} repeated", unbroken.len());
}

#[test]
fn sigterm_while_the_broker_is_gone_ends_within_the_grace_period_and_says_what_is_open() {
    let Some(mut broker) = Broker::start() else { return };
    let Some(stream) = Stream::start(&broker, "30") else { return };
    let mut runtime = stream.runtime(&broker);
    await_orders(&mut runtime, &broker, &stream.strategy, 500);
    broker.kill9();
    runtime.until("the loss to show", START, |runtime| (runtime.ready()?.status == 503).then_some(()));
    let (status, log) = runtime.sigterm_and_read();
    // Kubernetes' default grace is 30 s; what was read and is not acknowledged is read again after the restart.
    assert_eq!(status.code(), Some(69), "{log}");
    assert!(log.contains("not acknowledged") || log.contains("the last commit failed for 1"), "{log}");
}

#[test]
fn sigterm_in_mid_stream_loses_nothing_and_repeats_nothing() {
    let Some(broker) = Broker::shared() else { return };
    let Some(mut stream) = Stream::start(broker, "40") else { return };
    let mut stopped_at = Vec::new();
    for _ in 0..2 {
        let mut runtime = stream.runtime(broker);
        await_orders(&mut runtime, broker, &stream.strategy, 500);
        assert!(is_clean(runtime.sigterm_and_wait()));
        stopped_at.push((stream.committed(broker), orders(broker, &stream.strategy).len()));
    }
    assert!(stopped_at.iter().all(|(committed, _)| *committed < SPOT.messages), "SIGTERM came after the stream");
    let runtime = stream.runtime(broker);
    assert_eq!(stream.finish(broker, runtime), Some(SPOT.messages));
    let (unbroken, broken) = (stream.unbroken(broker), orders(broker, &stream.strategy));
    // What was committed is just what the orders then in the topic came from.
    for (committed, sent) in stopped_at {
        let due: BTreeSet<u64> = unbroken.iter().map(input_offset).filter(|offset| *offset < committed).collect();
        let sent: BTreeSet<u64> = broken[..sent].iter().map(input_offset).collect();
        assert_eq!(sent, due, "orders of the records before {committed}");
    }
    assert_eq!(values(&broken), values(&unbroken));
}

/// The offset in the header `pinion-input: topic/partition/offset`.
fn input_offset(order: &Record) -> u64 {
    let (_, value) = order.headers.iter().find(|(name, _)| name == "pinion-input").expect("the header pinion-input");
    let value = std::str::from_utf8(value).expect("text");
    value.rsplit('/').next().and_then(|offset| offset.parse().ok()).expect("an offset")
}

fn two_runs_send_the_same_bytes(example: &str) {
    let Some((broker, market)) = topic_of(&SPOT) else { return };
    let run = || {
        let strategy = strategies::example_on(broker, example, market);
        run_whole(broker, &[&strategy]);
        values(&orders(broker, &strategy))
    };
    let first = run();
    assert!(first.len() > 10, "{} orders show nothing", first.len());
    assert!(first == run(), "the order streams differ");
}

#[test]
fn two_runs_of_ema_cross_send_the_same_bytes() {
    two_runs_send_the_same_bytes("ema-cross");
}

#[test]
fn two_runs_of_book_imbalance_send_the_same_bytes() {
    two_runs_send_the_same_bytes("book-imbalance");
}
