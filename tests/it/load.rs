//! What a runtime says of each shard's load, on a real Kafka: what its worker spends on it, and how far it is behind.

use std::time::Duration;

use pinion_spec::metrics;
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::Frame;
use pinion_tests::kafka::Broker;
use pinion_tests::runtime::{Runtime, START, is_clean};
use pinion_tests::scratch::Scratch;
use pinion_tests::strategies;
use pinion_tests::wait::until;

use crate::market::{PARTITIONS, WHOLE, quotes_and_trades};

/// `record-only` over four partitions, and quotes and trades to put into them.
fn four(broker: &Broker, work: &str) -> Option<(Strategy, Vec<Frame>)> {
    let market = Broker::unique_topic("md");
    broker.create_topic(&market, PARTITIONS);
    let mut strategy = crate::market::record_only(broker, &market);
    strategy.spec.params.insert("work".into(), work.into());
    strategy.spec.budget.call_micros = 500_000;
    strategy.spec.replicas = 2;
    Some((strategy, quotes_and_trades()?))
}

fn of_shard(runtime: &Runtime, strategy: &Strategy, metric: &metrics::Metric, shard: i32) -> f64 {
    let labels = [("feed", strategy.group()), ("shard", shard.to_string())];
    let labels: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (*key, value.as_str())).collect();
    runtime.metric(metric, &labels).unwrap_or_else(|| panic!("no {} of shard {shard}", metric.name))
}

#[test]
fn a_hot_partition_shows_in_the_figures_of_its_shard_alone() {
    let Some(broker) = Broker::shared() else { return };
    let Some((strategy, frames)) = four(broker, "20000") else { return };
    let scratch = Scratch::new();
    let file = strategies::write(&scratch, &strategy);
    let mut runtime = Runtime::start_ready(&[&file], &broker.address(), &[]);
    // Nine of ten into partition 2.
    let hot = |index: usize| if index.is_multiple_of(10) { i32::try_from(index / 10 % 4).unwrap() } else { 2 };
    let count = 10_000_u32;
    let records_in_all = usize::try_from(count).unwrap();
    let topic = &strategy.spec.inputs[0].topic;
    broker.produce_frames(
        topic,
        frames.iter().take(records_in_all).enumerate().map(|(index, frame)| (hot(index), frame)),
    );
    let records = |runtime: &Runtime| -> Vec<f64> {
        (0..PARTITIONS).map(|shard| of_shard(runtime, &strategy, &metrics::SHARD_RECORDS, shard)).collect()
    };
    runtime.until("all records to be done", WHOLE, |runtime| {
        (records(runtime).iter().sum::<f64>() >= f64::from(count)).then_some(())
    });
    assert_eq!(records(&runtime), [250.0, 250.0, 9_250.0, 250.0]);
    runtime.until("nothing to wait any more", START, |runtime| {
        (0..PARTITIONS).all(|shard| of_shard(runtime, &strategy, &metrics::SHARD_LAG, shard) == 0.0).then_some(())
    });
    let busy: Vec<f64> =
        (0..PARTITIONS).map(|shard| of_shard(&runtime, &strategy, &metrics::SHARD_BUSY, shard)).collect();
    let workers = runtime.metric(&metrics::WORKER_BUSY, &[]).unwrap();
    let all: f64 = busy.iter().sum();
    println!("busy seconds by shard {busy:?}, of both workers {workers}");
    assert!(busy[2] > 5.0 * (all - busy[2]), "shard 2 is the hot one: {busy:?}");
    assert!(all <= workers && all > 0.8 * workers, "what workers are busy with is somebody's: {all} of {workers}");
    assert!(is_clean(runtime.sigterm_and_wait()));
}

#[test]
fn the_lag_of_a_shard_goes_on_growing_while_the_client_holds_as_much_as_it_may() {
    let Some(broker) = Broker::shared() else { return };
    let Some((mut strategy, frames)) = four(broker, "2000000") else { return };
    // One worker: its thread takes no record before the last one is done, so the rest stays with the client.
    strategy.spec.replicas = 1;
    let scratch = Scratch::new();
    let file = strategies::write(&scratch, &strategy);
    let properties = scratch.write("kafka.properties", "queued.max.messages.kbytes=64\n");
    let args = ["--kafka-properties", properties.to_str().unwrap()];
    let runtime = Runtime::start_ready(&[&file], &broker.address(), &args);
    let topic = &strategy.spec.inputs[0].topic;
    for (first, all) in [(0, 10_000), (10_000, 20_000)] {
        broker.produce_frames(topic, frames[first..all].iter().map(|frame| (1, frame)));
        let known = until("the lag to be of the whole log", Duration::from_secs(20), || {
            let done = of_shard(&runtime, &strategy, &metrics::SHARD_RECORDS, 1);
            let lag = of_shard(&runtime, &strategy, &metrics::SHARD_LAG, 1);
            (done + lag >= f64::from(u32::try_from(all).unwrap())).then_some((done, lag))
        });
        println!("{} of {all} records done, {} wait", known.0, known.1);
        assert!(known.1 > 5_000.0, "what waits is more than the client holds: {known:?}");
    }
    assert_eq!(runtime.count(&metrics::PARTITION_PAUSED, &[]), 0, "no ring was full");
    runtime.kill9();
}

#[test]
fn the_lag_of_a_shard_whose_partition_is_paused_goes_on_growing() {
    let Some(broker) = Broker::shared() else { return };
    // Longer a quote, on any machine, than a ring may be full without a pause; far less than its budget.
    let Some((strategy, frames)) = four(broker, "100000000") else { return };
    let scratch = Scratch::new();
    let file = strategies::write(&scratch, &strategy);
    let mut runtime = Runtime::start_ready(&[&file], &broker.address(), &[]);
    let topic = &strategy.spec.inputs[0].topic;
    let (first, more, all) = (20_000, 10_000, 30_000.0);
    broker.produce_frames(topic, frames[..first].iter().map(|frame| (1, frame)));
    runtime.until("the partition to be paused", WHOLE, |runtime| {
        (runtime.metric(&metrics::PARTITION_PAUSED, &[])? > 0.0).then_some(())
    });
    broker.produce_frames(topic, frames[first..first + more].iter().map(|frame| (1, frame)));
    let paused = runtime.count(&metrics::PARTITION_PAUSED, &[]);
    let known = until("the lag to be of the whole log", Duration::from_secs(20), || {
        let done = of_shard(&runtime, &strategy, &metrics::SHARD_RECORDS, 1);
        let lag = of_shard(&runtime, &strategy, &metrics::SHARD_LAG, 1);
        (done + lag >= all).then_some((done, lag))
    });
    println!("{} of {all} records done, {} wait", known.0, known.1);
    assert_eq!(runtime.count(&metrics::PARTITION_PAUSED, &[]), paused, "it was paused all the time");
    assert_eq!(of_shard(&runtime, &strategy, &metrics::SHARD_LAG, 0), 0.0, "the others are not behind");
    runtime.kill9();
}
