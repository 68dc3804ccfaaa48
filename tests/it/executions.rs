//! Execution reports on a topic of their own: what a gateway says of an order reaches the strategy that sent it.

use pinion_spec::metrics;
use pinion_spec::strategy::{Encoding, Input, Start};
use pinion_tests::captures::Frame;
use pinion_tests::kafka::Broker;
use pinion_tests::runtime::{Runtime, START, is_clean};
use pinion_tests::scratch::Scratch;
use pinion_tests::strategies;
use serde_json::json;

use crate::market::{Feeder, approved, json, orders, record_only};

/// Orders that may work at once.
const OPEN: u32 = 3;

#[test]
fn reports_end_the_orders_that_they_are_of_and_each_makes_room_for_one() {
    let Some(mut feeder) = Feeder::new() else { return };
    let broker = feeder.broker;
    let reports = Broker::unique_topic("executions");
    broker.create_topic(&reports, 1);
    let mut strategy = record_only(broker, &feeder.market);
    let market = strategy.spec.inputs[0].clone();
    strategy.spec.inputs.push(Input {
        topic: reports.clone(),
        encoding: Encoding::PinionExecution,
        publisher: None,
        start: Start::Earliest,
        ..market
    });
    let risk = strategy.spec.risk.as_mut().expect("the example has limits");
    risk.max_open_orders = OPEN;
    let scratch = Scratch::new();
    let file = strategies::write(&scratch, &strategy);
    let mut runtime = Runtime::start_ready(&[&file], &broker.address(), &[]);
    let denied = [("strategy", "record-only"), ("reason", "max_open_orders")];

    let mut last_ts = feeder.publish(4_000);
    runtime.until("orders to be denied for those that work", START, |runtime| {
        (runtime.count(&metrics::DENIALS, &denied) > 0).then_some(())
    });
    let read = |runtime: &Runtime| runtime.count(&metrics::RECORDS, &[]);
    runtime.until("the piece to be read", START, |runtime| (read(runtime) == 4_000).then_some(()));
    assert_eq!(approved(&runtime, &strategy), u64::from(OPEN), "nobody has said that any has ended");

    // The venue fills each whole, as a gateway would say it.
    let sent = orders(broker, &strategy);
    assert_eq!(sent.len(), OPEN as usize);
    let fills: Vec<Frame> = (1_u64..)
        .zip(&sent)
        .map(|(sequence, order)| {
            let order = json(&order.payload);
            let value = json!({
                "type": "filled", "client_order_id": order["client_order_id"], "side": order["side"],
                "instrument": "BTCUSDT", "price": order["price"], "size": order["size"], "leaves": "0",
                "sequence": sequence,
            });
            last_ts += 1_000;
            Frame { ts_recv: last_ts, value: value.to_string().into_bytes() }
        })
        .collect();
    broker.produce_frames(&reports, fills.iter().map(|fill| (0, fill)));
    runtime.until("the reports to be read", START, |runtime| (read(runtime) == 4_003).then_some(()));
    feeder.publish(4_000);
    runtime.until("the next piece to be read", START, |runtime| (read(runtime) == 8_003).then_some(()));
    assert_eq!(approved(&runtime, &strategy), 2 * u64::from(OPEN), "each that ended makes room for one");
    assert!(is_clean(runtime.sigterm_and_wait()));
}
