//! Each check just inside and just outside.

use pinion_spec::strategy::{Risk, TradingState};

use super::fixture::*;
use super::*;
use crate::event::{ExecutionKind, PRICE_UNDEFINED};
use crate::instruments::{Instrument, Instruments};

fn desk() -> Desk {
    Desk::new(Executions::Reported)
}

#[test]
fn an_approved_order_carries_what_was_asked_for() {
    let mut desk = desk();
    let order = desk.submit(NewOrder { tag: 42, time_in_force: TimeInForce::PostOnly, ..buy(99 * ONE, 4) }).unwrap();
    assert_eq!((order.kind(), order.order_id(), order.instrument_id()), (OrderKind::New, 1, BTC));
    assert_eq!((order.side(), order.price(), order.size(), order.tag()), (Side::Buy, 99 * ONE, 4, 42));
    assert_eq!((order.order_type(), order.time_in_force()), (OrderType::Limit, TimeInForce::PostOnly));
    let modified = desk.modify(1, 98 * ONE, 6).unwrap();
    assert_eq!((modified.kind(), modified.price(), modified.size()), (OrderKind::Modify, 98 * ONE, 6));
    assert_eq!((desk.cancel(1).unwrap().kind(), modified.tag()), (OrderKind::Cancel, 42));
}

#[test]
fn a_price_must_be_above_zero_and_a_multiple_of_the_tick() {
    for (price, outcome) in [
        (0, Some(DenyReason::InvalidPrice)),
        (-TICK, Some(DenyReason::InvalidPrice)),
        (PRICE_UNDEFINED, Some(DenyReason::InvalidPrice)),
        (i64::MIN, Some(DenyReason::InvalidPrice)),
        (TICK + 1, Some(DenyReason::InvalidTick)),
        (TICK, None),
    ] {
        assert_eq!(desk().submit(buy(price, 2)).err(), outcome, "{price}");
    }
}

#[test]
fn a_size_must_be_above_zero_a_multiple_of_the_lot_and_within_its_limit() {
    for (size, outcome) in [
        (0, Some(DenyReason::InvalidSize)),
        (-2, Some(DenyReason::InvalidSize)),
        (i64::MIN, Some(DenyReason::InvalidSize)),
        (3, Some(DenyReason::InvalidLot)),
        (12, Some(DenyReason::MaxOrderSize)),
        (i64::MAX - 1, Some(DenyReason::MaxOrderSize)),
        (10, None),
    ] {
        assert_eq!(desk().submit(buy(99 * ONE, size)).err(), outcome, "{size}");
    }
}

#[test]
fn only_declared_and_allowed_instruments_are_traded() {
    let mut desk = desk();
    assert_eq!(desk.submit(NewOrder { instrument_id: 9, ..buy(ONE, 2) }).err(), Some(DenyReason::UnknownInstrument));
    assert_eq!(
        desk.submit(NewOrder { instrument_id: ETH, ..buy(ONE, 2) }).err(),
        Some(DenyReason::InstrumentNotAllowed)
    );
}

#[test]
fn notional_is_price_times_size_at_most_the_limit() {
    // 1000 allowed: 10 at 100 is exactly that.
    assert!(desk().submit(buy(100 * ONE, 10)).is_ok());
    assert_eq!(desk().submit(buy(100 * ONE + TICK, 10)).err(), Some(DenyReason::MaxOrderNotional));
}

#[test]
fn a_market_orders_notional_is_measured_at_the_collar() {
    // A market buy may pay up to 101: 8 of it are 808, 10 are 1010.
    assert_eq!(desk().submit(market(Side::Buy, 8)).unwrap().price(), 101 * ONE);
    assert_eq!(desk().submit(market(Side::Buy, 10)).err(), Some(DenyReason::MaxOrderNotional));
    // 99 less 1 % is 98.01, a multiple of the tick.
    assert_eq!(desk().submit(market(Side::Sell, 10)).unwrap().price(), 98 * ONE + TICK);
}

#[test]
fn a_market_orders_price_is_rounded_to_the_tick_inside_the_collar() {
    let mut desk = desk();
    desk.quote(99 * ONE + TICK, 100 * ONE + TICK);
    // 100.01 + 1 % = 101.0101 and 99.01 - 1 % = 98.0199.
    assert_eq!(desk.submit(market(Side::Buy, 2)).unwrap().price(), 101 * ONE + TICK);
    desk.report(1, ExecutionKind::Expired, Side::Buy, 0, 0, 0);
    assert_eq!(desk.submit(market(Side::Sell, 2)).unwrap().price(), 98 * ONE + 2 * TICK);
}

#[test]
fn the_collar_bounds_the_aggressive_side_only() {
    assert!(desk().submit(buy(101 * ONE, 2)).is_ok());
    assert_eq!(desk().submit(buy(101 * ONE + TICK, 2)).err(), Some(DenyReason::PriceCollar));
    assert!(desk().submit(buy(TICK, 2)).is_ok(), "far below the market rests and harms nobody");
    assert!(desk().submit(sell(98 * ONE + TICK, 2)).is_ok());
    assert_eq!(desk().submit(sell(98 * ONE, 2)).err(), Some(DenyReason::PriceCollar));
    assert!(desk().submit(sell(200 * ONE, 2)).is_ok());
}

#[test]
fn without_a_far_side_there_is_no_reference() {
    let mut desk = desk();
    desk.quote(99 * ONE, PRICE_UNDEFINED);
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::NoReferencePrice));
    assert!(desk.submit(sell(100 * ONE, 2)).is_ok());
    desk.books = crate::book::Books::default();
    assert_eq!(desk.submit(sell(100 * ONE, 2)).err(), Some(DenyReason::NoReferencePrice));
    desk.quote(-ONE, 0);
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::NoReferencePrice));
    assert_eq!(desk.submit(sell(99 * ONE, 2)).err(), Some(DenyReason::NoReferencePrice));
}

#[test]
fn a_market_older_than_the_limit_is_stale() {
    let mut desk = desk();
    desk.now += SECOND;
    assert!(desk.submit(buy(99 * ONE, 2)).is_ok());
    desk.now += 1;
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::StaleBook));
}

#[test]
fn a_crossed_or_locked_market_blocks_and_one_tick_apart_does_not() {
    let mut desk = desk();
    desk.quote(100 * ONE, 100 * ONE);
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::CrossedBook));
    desk.quote(100 * ONE - TICK, 100 * ONE);
    assert!(desk.submit(buy(99 * ONE, 2)).is_ok());
}

#[test]
fn a_gapped_book_blocks_even_when_the_quote_is_fine() {
    let mut desk = desk();
    desk.gap();
    desk.quote(99 * ONE, 100 * ONE);
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::GappedBook));
}

#[test]
fn messages_are_limited_in_any_second_and_cancels_count_but_pass() {
    let mut desk = Desk::with(&Risk { messages_per_second: 3, ..risk() }, Executions::Reported);
    assert!(desk.submit(buy(99 * ONE, 2)).is_ok());
    assert!(desk.modify(1, 99 * ONE, 4).is_ok());
    assert!(desk.cancel(1).is_ok());
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::MessageRate));
    assert_eq!(desk.modify(1, 99 * ONE, 2).err(), Some(DenyReason::MessageRate));
    assert!(desk.cancel(1).is_ok());
    desk.now += SECOND;
    assert_eq!(desk.now - 10 * SECOND, SECOND);
    assert!(desk.submit(buy(99 * ONE, 2)).is_ok(), "a second later");
}

#[test]
fn a_denied_message_does_not_count_in_the_rate() {
    let mut desk = Desk::with(&Risk { messages_per_second: 1, ..risk() }, Executions::Reported);
    assert_eq!(desk.submit(buy(99 * ONE, 1)).err(), Some(DenyReason::InvalidLot));
    assert!(desk.submit(buy(99 * ONE, 2)).is_ok());
}

#[test]
fn working_orders_are_limited_and_a_finished_one_makes_room() {
    let mut desk = desk();
    for _ in 0..4 {
        assert!(desk.submit(buy(99 * ONE, 2)).is_ok());
    }
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::MaxOpenOrders));
    assert!(desk.cancel(2).is_ok());
    assert_eq!(
        desk.submit(buy(99 * ONE, 2)).err(),
        Some(DenyReason::MaxOpenOrders),
        "a cancel on its way is no cancel"
    );
    desk.report(2, ExecutionKind::Cancelled, Side::Buy, 0, 0, 0);
    assert!(desk.submit(buy(99 * ONE, 2)).is_ok());
}

#[test]
fn the_position_is_limited_as_if_every_working_order_of_a_side_filled() {
    let mut desk = desk();
    assert!(desk.submit(buy(99 * ONE, 10)).is_ok());
    assert!(desk.submit(buy(99 * ONE, 8)).is_ok());
    assert_eq!(desk.submit(buy(99 * ONE, 4)).err(), Some(DenyReason::MaxPosition));
    assert!(desk.submit(sell(100 * ONE, 10)).is_ok(), "the other side counts by itself");
    assert_eq!(
        desk.submit(buy(99 * ONE, 4)).err(),
        Some(DenyReason::MaxPosition),
        "a sell that may never fill makes no room"
    );
    desk.report(3, ExecutionKind::Filled, Side::Sell, 100 * ONE, 10, 0);
    assert_eq!(desk.net(), -10);
    assert!(desk.submit(buy(99 * ONE, 10)).is_ok(), "one that has filled does");
    assert_eq!(desk.submit(buy(99 * ONE, 4)).err(), Some(DenyReason::MaxPosition));
}

#[test]
fn a_modify_counts_by_what_it_adds_and_frees_nothing_before_the_venue_says_so() {
    let mut desk = desk();
    assert!(desk.submit(buy(99 * ONE, 10)).is_ok());
    assert!(desk.submit(buy(99 * ONE, 8)).is_ok());
    assert_eq!(desk.modify(2, 99 * ONE, 12).err(), Some(DenyReason::MaxOrderSize));
    assert!(desk.modify(2, 99 * ONE, 10).is_ok());
    assert!(desk.modify(2, 99 * ONE, 2).is_ok());
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::MaxPosition), "the larger one may still win");
    desk.report(2, ExecutionKind::Replaced, Side::Buy, 99 * ONE, 10, 10);
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::MaxPosition), "one answer of two");
    desk.report(2, ExecutionKind::Replaced, Side::Buy, 99 * ONE, 2, 2);
    assert!(desk.submit(buy(99 * ONE, 8)).is_ok());
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::MaxPosition));
}

#[test]
fn one_answer_of_two_does_not_free_what_the_other_may_take() {
    let mut desk = desk();
    assert!(desk.submit(buy(99 * ONE, 8)).is_ok());
    assert!(desk.modify(1, 99 * ONE, 4).is_ok());
    assert!(desk.modify(1, 99 * ONE, 10).is_ok());
    desk.report(1, ExecutionKind::Replaced, Side::Buy, 99 * ONE, 4, 4);
    assert_eq!(desk.sizes().1, 10);
    desk.report(1, ExecutionKind::Filled, Side::Buy, 99 * ONE, 2, 2);
    assert_eq!(desk.sizes(), (2, 8, 0));
    desk.report(1, ExecutionKind::Replaced, Side::Buy, 99 * ONE, 10, 8);
    assert_eq!(desk.sizes().1, 8);
}

#[test]
fn a_modify_must_leave_something_to_fill_and_name_a_resting_order() {
    let mut desk = desk();
    assert!(desk.submit(buy(99 * ONE, 8)).is_ok());
    desk.report(1, ExecutionKind::Filled, Side::Buy, 99 * ONE, 4, 4);
    assert_eq!(desk.modify(1, 99 * ONE, 4).err(), Some(DenyReason::InvalidSize));
    assert!(desk.modify(1, 99 * ONE, 6).is_ok());
    assert_eq!(desk.modify(2, 99 * ONE, 6).err(), Some(DenyReason::UnknownOrder));
    assert!(desk.submit(NewOrder { time_in_force: TimeInForce::Ioc, ..buy(99 * ONE, 2) }).is_ok());
    assert_eq!(desk.modify(2, 99 * ONE, 4).err(), Some(DenyReason::UnknownOrder), "an immediate order does not rest");
}

#[test]
fn an_order_id_is_used_once() {
    let mut desk = desk();
    assert!(desk.submit(buy(99 * ONE, 2)).is_ok());
    desk.next_id = 1;
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::DuplicateOrder));
    desk.report(1, ExecutionKind::Filled, Side::Buy, 99 * ONE, 2, 0);
    desk.next_id = 1;
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::DuplicateOrder), "nor when it is gone");
    assert_eq!(desk.cancel(1).err(), Some(DenyReason::UnknownOrder));
}

#[test]
fn an_order_that_would_match_our_own_is_denied_and_one_tick_apart_is_not() {
    let mut desk = desk();
    assert!(desk.submit(sell(100 * ONE, 2)).is_ok());
    assert_eq!(desk.submit(buy(100 * ONE, 2)).err(), Some(DenyReason::SelfMatch));
    assert_eq!(desk.submit(market(Side::Buy, 2)).err(), Some(DenyReason::SelfMatch));
    assert!(desk.submit(buy(100 * ONE - TICK, 2)).is_ok());
    let bought = desk.next_id - 1;
    assert_eq!(desk.modify(bought, 100 * ONE, 2).err(), Some(DenyReason::SelfMatch));
    assert_eq!(desk.submit(sell(100 * ONE - TICK, 2)).err(), Some(DenyReason::SelfMatch));
    desk.report(bought, ExecutionKind::Cancelled, Side::Buy, 0, 0, 0);
    assert!(desk.submit(sell(100 * ONE - TICK, 2)).is_ok());
}

#[test]
fn until_a_modify_is_answered_both_prices_count_for_self_match() {
    let mut desk = desk();
    assert!(desk.submit(buy(99 * ONE, 2)).is_ok());
    assert!(desk.modify(1, 98 * ONE, 2).is_ok());
    desk.quote(98 * ONE, 100 * ONE);
    assert_eq!(desk.submit(sell(99 * ONE, 2)).err(), Some(DenyReason::SelfMatch));
    desk.report(1, ExecutionKind::Replaced, Side::Buy, 98 * ONE, 2, 2);
    assert!(desk.submit(sell(99 * ONE, 2)).is_ok());
    let sold = desk.next_id - 1;
    assert!(desk.modify(sold, 100 * ONE, 2).is_ok());
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::SelfMatch));
    desk.report(sold, ExecutionKind::Replaced, Side::Sell, 100 * ONE, 2, 2);
    assert!(desk.submit(buy(99 * ONE, 2)).is_ok());
}

#[test]
fn reducing_allows_only_what_brings_the_position_nearer_to_zero() {
    let mut desk = desk();
    assert!(desk.submit(buy(99 * ONE, 10)).is_ok());
    desk.report(1, ExecutionKind::Filled, Side::Buy, 99 * ONE, 10, 0);
    desk.trading_state = TradingState::Reducing;
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::TradingStateReducing));
    assert!(desk.submit(sell(100 * ONE, 6)).is_ok());
    assert_eq!(desk.submit(sell(100 * ONE, 6)).err(), Some(DenyReason::TradingStateReducing), "both would cross zero");
    assert!(desk.submit(sell(100 * ONE, 4)).is_ok(), "to zero exactly");
    let last = desk.next_id - 1;
    assert_eq!(desk.modify(last, 100 * ONE, 6).err(), Some(DenyReason::TradingStateReducing));
    assert!(desk.modify(last, 101 * ONE, 2).is_ok());
}

#[test]
fn flat_and_reducing_means_no_orders() {
    let mut desk = desk();
    desk.trading_state = TradingState::Reducing;
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::TradingStateReducing));
    assert_eq!(desk.submit(sell(100 * ONE, 2)).err(), Some(DenyReason::TradingStateReducing));
}

#[test]
fn halted_or_killed_nothing_passes_but_cancels() {
    for (kill, trading_state, reason) in [
        (false, TradingState::Halted, DenyReason::TradingStateHalted),
        (true, TradingState::Active, DenyReason::KillSwitch),
        (true, TradingState::Halted, DenyReason::KillSwitch),
    ] {
        let mut desk = desk();
        assert!(desk.submit(buy(99 * ONE, 2)).is_ok());
        assert!(desk.submit(buy(99 * ONE, 2)).is_ok());
        (desk.kill, desk.trading_state) = (kill, trading_state);
        desk.gap();
        assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(reason));
        assert_eq!(desk.modify(1, 99 * ONE, 4).err(), Some(reason));
        for place in (0..desk.ledger.working_len()).rev() {
            let order_id = desk.ledger.working_id(place).unwrap();
            assert_eq!(desk.cancel(order_id).map(|order| order.kind()), Ok(OrderKind::Cancel));
        }
    }
}

#[test]
fn what_does_not_fit_64_bits_is_denied_and_never_wraps() {
    // The worst price of a market order beyond the largest price there is.
    let mut desk = desk();
    desk.quote(1, i64::MAX / 100 * 100 - 100);
    assert_eq!(desk.submit(market(Side::Buy, 2)).err(), Some(DenyReason::Overflow));
    // Two working orders of more than half of all sizes each.
    let risk = Risk {
        max_order_size: "6000000000".parse().unwrap(),
        max_position: "9000000000".parse().unwrap(),
        max_order_notional: "999999999999999999".parse().unwrap(),
        ..risk()
    };
    let declared = instruments();
    let fine = declared.iter().cloned().map(|instrument| Instrument { size_exponent: -9, ..instrument });
    desk.limits = Limits::compile(&risk, &Instruments::new(fine)).unwrap();
    desk.quote(TICK, 2 * TICK);
    assert!(desk.submit(buy(TICK, 6_000_000_000_000_000_000)).is_ok());
    assert_eq!(desk.submit(buy(TICK, 6_000_000_000_000_000_000)).err(), Some(DenyReason::MaxPosition));
}

#[test]
fn a_ledger_that_was_given_no_room_denies_everything() {
    let mut desk = desk();
    desk.ledger = Ledger::default();
    assert_eq!(desk.submit(buy(99 * ONE, 2)).err(), Some(DenyReason::UnknownInstrument));
}

#[test]
fn a_denial_tells_the_guest_how_its_order_stands() {
    let mut desk = desk();
    assert!(desk.submit(NewOrder { tag: 5, ..buy(99 * ONE, 8) }).is_ok());
    desk.report(1, ExecutionKind::Filled, Side::Buy, 99 * ONE, 2, 6);
    let (limits, books) = (&desk.limits, &desk.books);
    let context = Context { limits, books, now: desk.now, trading_state: TradingState::Halted, kill: false };
    let request = Request::Modify { order_id: 1, price: 98 * ONE, size: 8 };
    let update = check(&request, &mut desk.ledger, &context).unwrap_err().update(77);
    assert_eq!((update.status, update.reason), (OrderStatus::Denied, DenyReason::TradingStateHalted.code()));
    assert_eq!((update.order_id, update.tag, update.instrument_id, update.ts_recv), (1, 5, BTC, 77));
    assert_eq!((update.price, update.leaves, update.filled), (99 * ONE, 6, 2));
}
