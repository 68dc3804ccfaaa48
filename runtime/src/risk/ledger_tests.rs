//! Reports and what they make of orders and positions.

use proptest::prelude::*;

use super::fixture::*;
use super::*;
use crate::event::ExecutionKind::{Accepted, Cancelled, Expired, Filled, Rejected, Replaced};
use crate::limits::ORDERS_ADOPTED_MAX;

fn reported() -> Desk {
    Desk::new(Executions::Reported)
}

fn assumed() -> Desk {
    Desk::new(Executions::Assumed)
}

#[test]
fn an_order_works_until_a_report_says_otherwise() {
    let mut desk = reported();
    desk.submit(NewOrder { tag: 3, ..buy(99 * ONE, 8) }).unwrap();
    let accepted = desk.report(1, Accepted, Side::Buy, 99 * ONE, 8, 8).unwrap();
    assert_eq!((accepted.status, accepted.tag, accepted.leaves), (OrderStatus::Accepted, 3, 8));
    let part = desk.report(1, Filled, Side::Buy, 99 * ONE, 6, 2).unwrap();
    assert_eq!((part.status, part.leaves, part.filled), (OrderStatus::PartFilled, 2, 6));
    assert_eq!(desk.sizes(), (6, 2, 0));
    let filled = desk.report(1, Filled, Side::Buy, 99 * ONE, 2, 0).unwrap();
    assert_eq!((filled.status, filled.leaves, filled.filled), (OrderStatus::Filled, 0, 8));
    assert_eq!(desk.sizes(), (8, 0, 0));
    assert_eq!(desk.ledger.working_len(), 0);
}

#[test]
fn rejected_cancelled_and_expired_orders_work_no_more() {
    for (kind, status) in
        [(Rejected, OrderStatus::Rejected), (Cancelled, OrderStatus::Cancelled), (Expired, OrderStatus::Expired)]
    {
        let mut desk = reported();
        desk.submit(sell(100 * ONE, 8)).unwrap();
        let update = desk.report(1, kind, Side::Sell, 100 * ONE, 8, 0).unwrap();
        assert_eq!((update.status, update.leaves), (status, 0));
        assert_eq!(desk.sizes(), (0, 0, 0));
        assert_eq!(desk.ledger.working_len(), 0);
    }
}

#[test]
fn a_refused_modify_leaves_the_order_as_it_was() {
    let mut desk = reported();
    desk.submit(buy(99 * ONE, 4)).unwrap();
    desk.modify(1, 100 * ONE, 10).unwrap();
    assert_eq!(desk.sizes().1, 10);
    let update = desk.report(1, Rejected, Side::Buy, 99 * ONE, 4, 4).unwrap();
    assert_eq!((update.status, update.leaves, update.price), (OrderStatus::Rejected, 4, 99 * ONE));
    assert_eq!(desk.sizes().1, 4);
}

#[test]
fn a_replaced_order_has_its_new_price_and_size() {
    let mut desk = reported();
    desk.submit(buy(99 * ONE, 4)).unwrap();
    desk.modify(1, 98 * ONE, 10).unwrap();
    let update = desk.report(1, Replaced, Side::Buy, 98 * ONE, 10, 10).unwrap();
    assert_eq!((update.price, update.leaves), (98 * ONE, 10));
}

#[test]
fn the_same_report_twice_moves_the_position_once() {
    let mut desk = reported();
    desk.submit(buy(99 * ONE, 8)).unwrap();
    assert!(desk.report_at(5, 1, Filled, Side::Buy, 99 * ONE, 4, 4).is_some());
    assert_eq!(desk.report_at(5, 1, Filled, Side::Buy, 99 * ONE, 4, 4), None);
    assert_eq!(desk.report_at(4, 1, Accepted, Side::Buy, 99 * ONE, 8, 8), None, "nor an earlier one");
    assert_eq!((desk.net(), desk.ledger.counts().repeated), (4, 2));
    assert!(desk.report_at(6, 1, Filled, Side::Buy, 99 * ONE, 4, 0).is_some());
    assert_eq!(desk.report_at(6, 1, Filled, Side::Buy, 99 * ONE, 4, 0), None, "nor when the order is gone");
    assert_eq!((desk.net(), desk.ledger.counts().repeated), (8, 3));
}

#[test]
fn a_fill_that_comes_after_the_end_still_moves_the_position() {
    let mut desk = reported();
    desk.submit(buy(99 * ONE, 8)).unwrap();
    desk.report(1, Cancelled, Side::Buy, 99 * ONE, 8, 0);
    let update = desk.report(1, Filled, Side::Buy, 99 * ONE, 2, 0).unwrap();
    assert_eq!((desk.net(), update.filled, update.leaves), (2, 2, 0));
    assert_eq!(desk.sizes().1, 0);
}

#[test]
fn a_fill_of_an_order_from_before_the_start_moves_the_position_by_the_reports_side_once() {
    let mut desk = reported();
    assert!(desk.report_at(9, 77, Filled, Side::Sell, 100 * ONE, 4, 0).is_some());
    assert_eq!(desk.report_at(9, 77, Filled, Side::Sell, 100 * ONE, 4, 0), None);
    assert_eq!((desk.net(), desk.ledger.working_len(), desk.ledger.counts().unknown), (-4, 0, 1));
}

#[test]
fn what_still_works_from_before_the_start_counts_and_can_be_cancelled() {
    let mut desk = reported();
    desk.report(77, Filled, Side::Buy, 99 * ONE, 4, 6).unwrap();
    assert_eq!(desk.sizes(), (4, 6, 0));
    assert_eq!(desk.submit(sell(99 * ONE, 2)).err(), Some(DenyReason::SelfMatch));
    assert!(desk.cancel(77).is_ok());
    desk.report(77, Cancelled, Side::Buy, 99 * ONE, 10, 0);
    assert_eq!(desk.sizes(), (4, 0, 0));
}

#[test]
fn orders_taken_over_have_their_own_room_and_it_is_limited() {
    let mut desk = reported();
    let room = 4 + ORDERS_ADOPTED_MAX as u64;
    for order_id in 0..=room {
        desk.report(1_000 + order_id, Accepted, Side::Buy, 99 * ONE, 2, 2);
    }
    assert_eq!(desk.ledger.working_len() as u64, room);
    assert_eq!(desk.ledger.counts().unplaced, 1);
    desk.report(1_000 + room, Filled, Side::Buy, 99 * ONE, 2, 0);
    assert_eq!(desk.net(), 2, "a fill counts also without room");
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::MaxPosition));
}

#[test]
fn more_filled_than_was_working_moves_the_position_by_all_of_it() {
    let mut desk = reported();
    desk.submit(buy(99 * ONE, 4)).unwrap();
    desk.report(1, Filled, Side::Buy, 99 * ONE, 30, 0);
    assert_eq!((desk.net(), desk.ledger.counts().overfilled), (30, 1));
    assert_eq!(desk.sizes().1, 0);
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::MaxPosition));
    assert!(desk.submit(sell(100 * ONE, 2)).is_ok(), "the way back stays open");
}

#[test]
fn a_report_that_makes_no_sense_changes_nothing() {
    let mut desk = reported();
    desk.submit(buy(99 * ONE, 4)).unwrap();
    for size in [0, -4, i64::MIN] {
        assert_eq!(desk.report(1, Filled, Side::Buy, 99 * ONE, size, 4), None);
    }
    assert_eq!((desk.net(), desk.ledger.counts().invalid), (0, 3));
    for (kind, size, leaves) in [(Filled, i64::MAX, i64::MAX), (Filled, i64::MAX, i64::MIN), (Replaced, -1, -1)] {
        desk.report(1, kind, Side::Sell, i64::MIN, size, leaves);
    }
    assert_eq!(desk.net(), i64::MAX, "by our own side; the guest is shown the largest number there is");
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::MaxPosition));
}

#[test]
fn orders_whose_sum_does_not_fit_are_all_counted() {
    let mut desk = reported();
    desk.report(7, Accepted, Side::Buy, 99 * ONE, i64::MAX, i64::MAX);
    desk.report(8, Accepted, Side::Buy, 99 * ONE, i64::MAX, i64::MAX);
    assert_eq!(desk.sizes().1, i64::MAX);
    desk.report(8, Cancelled, Side::Buy, 0, 0, 0);
    assert_eq!(desk.sizes().1, i64::MAX, "the other one still works");
    desk.report(7, Cancelled, Side::Buy, 0, 0, 0);
    assert_eq!(desk.sizes(), (0, 0, 0));
}

proptest! {
    /// The model of sane venues is in `model_tests`; this one sends anything.
    #[test]
    fn no_report_makes_the_ledger_panic_or_lose_count(
        reports in prop::collection::vec((0u64..8, 0u64..20, 0u8..6, any::<bool>(), hostile(), hostile(), hostile()), 0..200)
    ) {
        let mut desk = reported();
        for _ in 0..4 {
            desk.submit(buy(99 * ONE, 2)).unwrap();
        }
        for (order_id, sequence, kind, is_buy, price, size, leaves) in reports {
            let kind = [Accepted, Rejected, Replaced, Cancelled, Expired, Filled][usize::from(kind)];
            let side = if is_buy { Side::Buy } else { Side::Sell };
            desk.report_at(sequence, order_id, kind, side, price, size, leaves);
            let _ = desk.modify(order_id, 99 * ONE, 4);
        }
        for order_id in 0..8 {
            desk.report_at(u64::MAX, order_id, Cancelled, Side::Buy, 0, 0, 0);
        }
        let (_, buy, sell) = desk.sizes();
        prop_assert_eq!((buy, sell, desk.ledger.working_len()), (0, 0, 0));
    }
}

fn hostile() -> impl Strategy<Value = i64> {
    prop_oneof![Just(i64::MIN), Just(-1), Just(0), Just(1), Just(i64::MAX), any::<i64>()]
}

#[test]
fn without_reports_immediate_orders_are_filled_whole_and_resting_ones_work_until_cancelled() {
    let mut desk = assumed();
    desk.submit(market(Side::Buy, 8)).unwrap();
    desk.submit(NewOrder { time_in_force: TimeInForce::Fok, ..sell(99 * ONE, 2) }).unwrap();
    desk.submit(NewOrder { time_in_force: TimeInForce::Ioc, ..sell(99 * ONE, 2) }).unwrap();
    assert_eq!(desk.sizes(), (4, 0, 0));
    desk.submit(buy(99 * ONE, 4)).unwrap();
    desk.submit(NewOrder { time_in_force: TimeInForce::PostOnly, ..sell(100 * ONE, 6) }).unwrap();
    assert_eq!(desk.sizes(), (4, 4, 6));
    desk.modify(4, 98 * ONE, 2).unwrap();
    desk.cancel(5).unwrap();
    assert_eq!(desk.sizes(), (4, 2, 0));
    assert_eq!(desk.ledger.working_ids().collect::<Vec<_>>(), [4]);
    desk.next_id = 1;
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::DuplicateOrder));
    let position = desk.position();
    let money = [position.average_price, position.realized, position.unrealized, position.fees];
    assert_eq!(money, [super::AMOUNT_UNDEFINED; 4], "what a fill cost is not known");
}

#[test]
fn new_limits_make_room_and_forget_nothing() {
    let mut desk = reported();
    for _ in 0..4 {
        desk.submit(buy(99 * ONE, 2)).unwrap();
    }
    let wider = pinion_spec::strategy::Risk { max_open_orders: 4_000, messages_per_second: 4_000, ..risk() };
    desk.limits = Limits::compile(&wider, &instruments()).unwrap();
    desk.ledger.fit(&desk.limits);
    assert!(desk.submit(buy(99 * ONE, 2)).is_ok());
    assert_eq!(desk.sizes().1, 10);
    assert_eq!(desk.ledger.working_ids().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}
