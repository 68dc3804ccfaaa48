//! Several runtimes on one topic: whoever comes or goes, every order is sent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_spec::metrics;
use pinion_spec::strategy::{AssignmentMode, Strategy};
use pinion_tests::captures::Frame;
use pinion_tests::kafka::Broker;
use pinion_tests::runtime::{Runtime, START, is_clean};
use pinion_tests::scratch::Scratch;
use pinion_tests::strategies;

use crate::market::{PARTITIONS, WHOLE, approved, by_id, in_turn, json, orders, quotes_and_trades, record_only};

/// Quotes and trades of the spot capture, and an empty topic of four partitions. Depth is left out: spread over partitions, its
/// sequence would break in each.
fn scene() -> Option<(&'static Broker, String, Vec<Frame>)> {
    let (broker, frames) = (Broker::shared()?, quotes_and_trades()?);
    let market = Broker::unique_topic("binance-spot-4");
    broker.create_topic(&market, PARTITIONS);
    Some((broker, market, frames))
}

fn produce(broker: &Broker, market: &str, frames: &[Frame]) {
    broker.produce_frames(market, in_turn(0, frames));
}

fn await_end(runtime: &mut Runtime, broker: &Broker, strategy: &Strategy, records: usize) {
    let (group, market) = (strategy.group(), &strategy.spec.inputs[0].topic);
    runtime.until("all partitions to be read to their end", WHOLE, |_| {
        let committed: i64 = broker.committed(&group, market).values().sum();
        (usize::try_from(committed) == Ok(records)).then_some(())
    });
}

/// The orders of one runtime that reads all partitions without a break.
fn expected(broker: &Broker, market: &str, records: usize) -> BTreeMap<String, Vec<u8>> {
    let strategy = record_only(broker, market);
    let scratch = Scratch::new();
    let file = strategies::write(&scratch, &strategy);
    let mut runtime = Runtime::start(&[&file], &broker.address(), &[]);
    await_end(&mut runtime, broker, &strategy, records);
    assert!(is_clean(runtime.sigterm_and_wait()));
    let (ids, repeats) = by_id(&orders(broker, &strategy));
    assert!(ids.len() > 1_000, "{} orders show nothing", ids.len());
    assert_eq!(repeats, 0);
    ids
}

#[test]
fn a_member_that_joins_and_one_that_leaves_cost_a_group_no_order() {
    let Some((broker, market, frames)) = scene() else { return };
    let mut strategy = record_only(broker, &market);
    strategy.spec.inputs[0].assignment = AssignmentMode::Group;
    let scratch = Scratch::new();
    let file = strategies::write(&scratch, &strategy);
    let start = || Runtime::start(&[&file], &broker.address(), &[]);
    let records = |runtime: &Runtime| runtime.metric(&metrics::RECORDS, &[]);
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Some 2,500 records a second, so that both changes of the group fall into the stream.
        let published = scope.spawn(|| {
            for piece in frames.chunks(250) {
                let due = mono_ns() + if enough.load(Ordering::Relaxed) { 0 } else { 100_000_000 };
                produce(broker, &market, piece);
                std::thread::park_timeout(Duration::from_nanos(due.saturating_sub(mono_ns())));
            }
        });
        let mut first = start();
        first.until("the first member to read", START, |first| (records(first)? > 0.0).then_some(()));
        let mut second = start();
        second.until("the second member to read", START, |second| (records(second)? > 0.0).then_some(()));
        assert!(!published.is_finished(), "the second member came after the stream");
        assert!(is_clean(first.sigterm_and_wait()));
        let behind = records(&second).unwrap();
        second
            .until("the second member to read on", START, |second| (records(second)? > behind + 1_000.0).then_some(()));
        enough.store(true, Ordering::Relaxed);
        published.join().unwrap();
        await_end(&mut second, broker, &strategy, frames.len());
        assert!(is_clean(second.sigterm_and_wait()));
    });
    let (ids, repeats) = by_id(&orders(broker, &strategy));
    assert_eq!(ids, expected(broker, &market, frames.len()));
    println!("group: {} orders, {repeats} repeated", ids.len());
}

#[test]
fn two_runtimes_with_partitions_of_their_own_share_a_topic_without_a_repeat() {
    let Some((broker, market, frames)) = scene() else { return };
    let strategy = record_only(broker, &market);
    let scratches = [Scratch::new(), Scratch::new()];
    let mut runtimes: Vec<Runtime> = [[0, 1], [2, 3]]
        .iter()
        .zip(&scratches)
        .map(|(partitions, scratch)| {
            let mut half = strategy.clone();
            half.spec.inputs[0].partitions = Some(partitions.to_vec());
            let file = strategies::write(scratch, &half);
            Runtime::start(&[&file], &broker.address(), &[])
        })
        .collect();
    produce(broker, &market, &frames);
    await_end(&mut runtimes[0], broker, &strategy, frames.len());
    let read: u64 = runtimes.iter().map(|runtime| runtime.count(&metrics::RECORDS, &[])).sum();
    assert_eq!(usize::try_from(read), Ok(frames.len()), "each record is read by one of them");
    for runtime in runtimes {
        assert!(is_clean(runtime.sigterm_and_wait()));
    }
    let (ids, repeats) = by_id(&orders(broker, &strategy));
    assert_eq!(repeats, 0);
    assert_eq!(ids, expected(broker, &market, frames.len()));
}

/// How many instances of the strategy live in a runtime.
fn instances(runtime: &Runtime) -> Option<u64> {
    let answer = runtime.get("/strategies")?;
    json(answer.body.as_bytes())[0]["instances"].as_u64()
}

#[test]
fn an_instance_lives_only_while_the_group_gives_its_partition_to_this_process_and_its_counts_stay() {
    let Some((broker, market, frames)) = scene() else { return };
    let mut strategy = record_only(broker, &market);
    strategy.spec.inputs[0].assignment = AssignmentMode::Group;
    let scratch = Scratch::new();
    let file = strategies::write(&scratch, &strategy);
    let start = || Runtime::start(&[&file], &broker.address(), &[]);
    let mut first = start();
    first.until("all partitions to come to the only member", START, |first| (instances(first)? == 4).then_some(()));
    produce(broker, &market, &frames[..6_000]);
    await_end(&mut first, broker, &strategy, 6_000);
    let before = approved(&first, &strategy);
    assert!(before > 0);

    let mut second = start();
    second.until("half of the partitions to go to the second", START, |second| {
        (instances(second)? == 2 && instances(&first)? == 2).then_some(())
    });
    // The instances that went took their recorders with them, not what they had counted.
    assert_eq!(approved(&first, &strategy), before);
    produce(broker, &market, &frames[6_000..12_000]);
    await_end(&mut first, broker, &strategy, 12_000);
    assert!(is_clean(second.sigterm_and_wait()));

    first.until("the partitions to come back", START, |first| (instances(first)? == 4).then_some(()));
    let between = approved(&first, &strategy);
    assert!(between >= before);
    produce(broker, &market, &frames[12_000..18_000]);
    await_end(&mut first, broker, &strategy, 18_000);
    assert!(approved(&first, &strategy) > between);
    assert!(is_clean(first.sigterm_and_wait()));
    let (ids, repeats) = by_id(&orders(broker, &strategy));
    assert_eq!(repeats, 0);
    let whole = Broker::unique_topic("binance-spot-4");
    broker.create_topic(&whole, PARTITIONS);
    produce(broker, &whole, &frames[..18_000]);
    assert_eq!(ids.len(), expected(broker, &whole, 18_000).len());
}
