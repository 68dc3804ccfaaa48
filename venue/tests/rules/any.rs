//! Whatever market and whatever orders come: what must hold of every venue.

use std::collections::{BTreeMap, BTreeSet};

use pinion_runtime::effects::{OrderType, TimeInForce};
use pinion_runtime::event::{Aggressor, ExecutionKind, Side};
use pinion_runtime::risk::OrderKind;
use proptest::prelude::*;

use crate::rig::Rig;
use pinion_venue::{Latency, Refusal, Report};

#[derive(Debug, Clone)]
enum Step {
    Quote((i64, i64), (i64, i64)),
    Trade(i64, i64, u8),
    Update(bool, i64, i64),
    Snapshot(i64, i64),
    Gap,
    New(bool, i64, i64, u8, bool),
    Modify(u16, i64, i64),
    Cancel(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let price = || 95_i64..106;
    let size = || 0_i64..6;
    prop_oneof![
        2 => (price(), size(), 1_i64..4, size()).prop_map(|(bid, b, width, a)| Step::Quote((bid, b), (bid + width, a))),
        3 => (price(), 1_i64..9, 0_u8..3).prop_map(|(p, s, a)| Step::Trade(p, s, a)),
        3 => (any::<bool>(), price(), size()).prop_map(|(bid, p, s)| Step::Update(bid, p, s)),
        1 => (price(), 1_i64..5).prop_map(|(p, s)| Step::Snapshot(p, s)),
        1 => Just(Step::Gap),
        5 => (any::<bool>(), price(), 1_i64..8, 0_u8..4, any::<bool>())
            .prop_map(|(buy, p, s, tif, market)| Step::New(buy, p, s, tif, market)),
        1 => (0_u16..12, price(), 1_i64..8).prop_map(|(n, p, s)| Step::Modify(n, p, s)),
        1 => (0_u16..12).prop_map(Step::Cancel),
    ]
}

fn play(steps: &[Step], latency: Latency) -> (Rig, BTreeMap<u16, i64>) {
    let mut rig = Rig::new(latency);
    rig.snapshot(1, &[(99, 3), (98, 4)], &[(101, 3), (102, 4)]);
    let (mut n, mut sizes) = (0, BTreeMap::new());
    for (ts, step) in (2..).zip(steps) {
        match step {
            Step::Quote(bid, ask) => rig.quote(ts, *bid, *ask),
            Step::Trade(price, size, aggressor) => {
                let aggressor = [Aggressor::None, Aggressor::Buyer, Aggressor::Seller][usize::from(*aggressor)];
                rig.trade(ts, *price, *size, aggressor);
            }
            Step::Update(true, price, size) => rig.update(ts, &[(*price, *size)], &[]),
            Step::Update(false, price, size) => rig.update(ts, &[], &[(*price, *size)]),
            Step::Snapshot(price, size) => rig.snapshot(ts, &[(*price, *size)], &[(price + 1, *size)]),
            Step::Gap => rig.gap(ts),
            Step::New(buy, price, size, tif, market) => {
                let side = if *buy { Side::Buy } else { Side::Sell };
                let order_type = if *market { OrderType::Market } else { OrderType::Limit };
                let tif =
                    [TimeInForce::Gtc, TimeInForce::Ioc, TimeInForce::Fok, TimeInForce::PostOnly][usize::from(*tif)];
                rig.message(n, OrderKind::New, side, order_type, tif, *price, *size);
                sizes.insert(n, *size);
                n += 1;
            }
            Step::Modify(of, price, size) => {
                rig.modify(*of, *price, *size);
                sizes.entry(*of).and_modify(|most| *most = (*most).max(*size));
            }
            Step::Cancel(of) => rig.cancel(*of),
        }
    }
    // Everything arrives, and is seen.
    for ts in 1..4 {
        rig.trade(ts * 1_000_000, 1_000, 1, Aggressor::None);
    }
    (rig, sizes)
}

/// Whether the report is the order's last.
fn ends(report: &Report) -> bool {
    match report.execution.kind {
        ExecutionKind::Cancelled | ExecutionKind::Expired => true,
        ExecutionKind::Filled => report.execution.leaves == 0,
        ExecutionKind::Rejected => report.execution.leaves == 0 && report.refusal != Some(Refusal::UnknownOrder),
        ExecutionKind::Accepted | ExecutionKind::Replaced => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_fills_beyond_its_size_and_every_order_ends_once(
        steps in prop::collection::vec(step(), 1..60),
        latency in 0_u64..20,
    ) {
        let (rig, sizes) = play(&steps, Latency::between(0, latency));
        for (n, filled) in rig.filled() {
            prop_assert!(filled <= sizes[&n], "order {n} filled {filled} of {}", sizes[&n]);
        }
        let mut ended = BTreeSet::new();
        for report in rig.reports.iter().filter(|report| sizes.contains_key(&report.execution.order.n)) {
            let order = report.execution.order.n;
            let answer_only = report.refusal == Some(Refusal::UnknownOrder);
            prop_assert!(answer_only || !ended.contains(&order), "order {order} goes on after its end: {report:?}");
            if ends(report) {
                prop_assert!(ended.insert(order), "order {order} ends twice");
            }
        }
        prop_assert_eq!(ended.len() + rig.venue.working_len(), sizes.len(), "what has not ended works");
        prop_assert!(rig.reports.is_sorted_by_key(|report| report.sequence));
    }

    #[test]
    fn the_same_again_reports_the_same(steps in prop::collection::vec(step(), 1..60), latency in 0_u64..20) {
        let (once, _) = play(&steps, Latency::between(0, latency));
        let (again, _) = play(&steps, Latency::between(0, latency));
        prop_assert_eq!(once.reports, again.reports);
    }

    /// The market says once what it has, and never again: then all our orders together get no more than that.
    #[test]
    fn we_never_get_more_than_was_displayed(
        asks in prop::collection::vec(1_i64..6, 1..5),
        orders in prop::collection::vec((100_i64..106, 1_i64..8, 0_u8..3), 1..30),
    ) {
        let mut rig = Rig::new(Latency::fixed(0));
        let levels: Vec<(i64, i64)> = (101..).zip(asks.iter().copied()).collect();
        rig.snapshot(1, &[(90, 1)], &levels);
        for (ts, (price, size, tif)) in (2..).zip(&orders) {
            let tif = [TimeInForce::Gtc, TimeInForce::Ioc, TimeInForce::Fok][usize::from(*tif)];
            rig.send(Side::Buy, *price, *size, tif);
            // Neither says anything of the asks, and the trade is beyond every bid of ours.
            rig.trade(2 * ts, 1_000, 1, Aggressor::Buyer);
            rig.update(2 * ts + 1, &[(89, 1)], &[]);
        }
        let mut taken: BTreeMap<i64, i64> = BTreeMap::new();
        for report in &rig.reports {
            let execution = report.execution;
            if execution.kind == ExecutionKind::Filled {
                *taken.entry(execution.price / crate::rig::ONE).or_default() += execution.size;
            }
        }
        for (price, size) in taken {
            let displayed = levels.iter().find(|(level, _)| *level == price).map_or(0, |(_, size)| *size);
            prop_assert!(size <= displayed, "{size} taken of {displayed} at {price}");
        }
    }
}
