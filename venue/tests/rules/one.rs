//! The venue's rules, one test each.

use pinion_runtime::effects::{OrderType, TimeInForce};
use pinion_runtime::event::ExecutionKind::{Accepted, Cancelled, Expired, Filled, Rejected, Replaced};
use pinion_runtime::event::Liquidity::{Maker, Taker};
use pinion_runtime::event::{Aggressor, Side};
use pinion_runtime::risk::OrderKind;

use crate::rig::{ONE, Rig, id};
use pinion_venue::account::Account;
use pinion_venue::{Latency, Refusal};

#[test]
fn no_order_fills_before_the_next_market_event_even_without_latency() {
    let mut rig = Rig::with_book(&[(99, 5)], &[(101, 5)]);
    let order = rig.send(Side::Buy, 101, 2, TimeInForce::Ioc);
    rig.venue.arrive(1, &rig.books);
    assert!(!rig.venue.has_traded(), "the event that it was decided on is past");
    // The market has moved by then: it pays what is displayed now.
    rig.update(2, &[], &[(101, 0), (102, 5)]);
    assert_eq!(rig.told(order), [(Accepted, 101, 2, 2), (Expired, 101, 2, 0)]);
}

#[test]
fn latency_delays_the_order_and_the_report_and_neither_overtakes() {
    let mut rig = Rig::new(Latency::between(10, 1_000));
    rig.snapshot(1, &[(99, 5)], &[(101, 50)]);
    let orders: Vec<u16> = (0..20).map(|_| rig.buy(99, 1)).collect();
    for ts in 2..4_000 {
        rig.quote(ts, (99, 5), (101, 50));
    }
    let accepted: Vec<u16> = rig.reports.iter().map(|report| report.execution.order.n).collect();
    assert_eq!(accepted, orders, "in the order in which they were decided");
    assert!(rig.reports.iter().all(|r| (11..=1_001).contains(&r.ts_event) && r.ts_recv >= r.ts_event + 10));
    assert!(rig.reports.is_sorted_by_key(|report| (report.ts_event, report.ts_recv, report.sequence)));
    assert!(rig.reports.iter().any(|r| r.ts_recv - r.ts_event != rig.reports[0].ts_recv - rig.reports[0].ts_event));
}

#[test]
fn a_marketable_order_walks_the_levels_and_its_rest_expires_or_rests() {
    for (time_in_force, end) in [(TimeInForce::Ioc, Some((Expired, 102, 9, 0))), (TimeInForce::Gtc, None)] {
        let mut rig = Rig::with_book(&[(99, 5)], &[(101, 2), (102, 3), (103, 9)]);
        let order = rig.send(Side::Buy, 102, 9, time_in_force);
        rig.quote(2, (99, 5), (101, 2));
        assert_eq!(rig.fills(order), [(2, 101, 2, Taker), (2, 102, 3, Taker)]);
        assert_eq!(rig.told(order).get(3).copied(), end);
        assert_eq!(rig.venue.working_len(), usize::from(end.is_none()));
    }
}

#[test]
fn a_newer_quote_stands_for_the_best_level_and_hides_what_it_has_passed() {
    let mut rig = Rig::with_book(&[(99, 5)], &[(101, 2), (102, 3), (103, 9)]);
    rig.quote(2, (100, 1), (102, 1));
    let order = rig.send(Side::Buy, 103, 4, TimeInForce::Ioc);
    rig.trade(3, 102, 1, Aggressor::Buyer);
    assert_eq!(rig.fills(order), [(3, 102, 1, Taker), (3, 103, 3, Taker)]);
}

#[test]
fn what_our_own_fills_took_is_not_there_again_until_the_level_is_updated() {
    let mut rig = Rig::with_book(&[(99, 5)], &[(101, 5), (102, 5)]);
    let first = rig.send(Side::Buy, 101, 3, TimeInForce::Ioc);
    rig.trade(2, 100, 1, Aggressor::Seller);
    let second = rig.send(Side::Buy, 101, 3, TimeInForce::Ioc);
    rig.update(3, &[(98, 1)], &[]);
    assert_eq!(rig.filled(), [(first, 3), (second, 2)].into(), "3 of 5 were gone");
    let third = rig.send(Side::Buy, 101, 3, TimeInForce::Ioc);
    rig.update(4, &[], &[(101, 4)]);
    assert_eq!(rig.filled()[&third], 3, "the venue has said anew what is there");
}

#[test]
fn a_rest_does_not_fill_from_the_level_that_it_has_emptied() {
    let mut rig = Rig::with_book(&[(99, 5)], &[(101, 5), (102, 5)]);
    let order = rig.buy(101, 8);
    rig.trade(2, 100, 1, Aggressor::Buyer);
    rig.update(3, &[(98, 1)], &[]);
    assert_eq!(rig.fills(order), [(2, 101, 5, Taker)], "what the data still shows at 101 is ours already");
    rig.update(4, &[], &[(101, 4)]);
    assert_eq!(rig.fills(order)[1..], [(4, 101, 3, Maker)]);
}

#[test]
fn a_quote_that_says_the_same_again_gives_nothing_back() {
    let mut rig = Rig::new(Latency::fixed(0));
    rig.quote(1, (99, 5), (101, 5));
    let first = rig.send(Side::Buy, 101, 4, TimeInForce::Ioc);
    rig.quote(2, (98, 5), (101, 5));
    let second = rig.send(Side::Buy, 101, 4, TimeInForce::Ioc);
    rig.quote(3, (98, 5), (101, 5));
    let third = rig.send(Side::Buy, 101, 4, TimeInForce::Ioc);
    rig.quote(4, (98, 5), (101, 6));
    assert_eq!(rig.filled(), [(first, 4), (second, 1), (third, 4)].into());
}

#[test]
fn a_level_of_unknown_size_is_taken_without_a_bound_and_counted() {
    let mut rig = Rig::new(Latency::fixed(0));
    rig.quote(1, (99, 0), (101, 0));
    let order = rig.send(Side::Buy, 101, 1_000, TimeInForce::Ioc);
    rig.quote(2, (99, 0), (101, 0));
    assert_eq!(rig.fills(order), [(2, 101, 1_000, Taker)]);
    assert_eq!(rig.venue.counts().unbounded, 1);
}

#[test]
fn fill_or_kill_fills_whole_or_expires() {
    let mut rig = Rig::with_book(&[(99, 5)], &[(101, 2), (102, 3)]);
    let over = rig.send(Side::Buy, 102, 6, TimeInForce::Fok);
    let whole = rig.send(Side::Buy, 102, 5, TimeInForce::Fok);
    rig.trade(2, 100, 1, Aggressor::Seller);
    assert_eq!(rig.told(over), [(Accepted, 102, 6, 6), (Expired, 102, 6, 0)]);
    assert_eq!(rig.filled(), [(whole, 5)].into());
}

#[test]
fn a_market_order_does_not_go_beyond_the_worst_price_it_carries() {
    let mut rig = Rig::with_book(&[(99, 5)], &[(101, 2), (105, 3)]);
    rig.message(0, OrderKind::New, Side::Buy, OrderType::Market, TimeInForce::Ioc, 103, 4);
    rig.trade(2, 100, 1, Aggressor::Seller);
    assert_eq!(rig.told(0), [(Accepted, 103, 4, 4), (Filled, 101, 2, 2), (Expired, 103, 4, 0)]);
}

#[test]
fn a_post_only_order_that_would_take_is_refused() {
    let mut rig = Rig::with_book(&[(99, 5)], &[(101, 2)]);
    let takes = rig.send(Side::Buy, 101, 1, TimeInForce::PostOnly);
    let rests = rig.send(Side::Buy, 100, 1, TimeInForce::PostOnly);
    rig.trade(2, 99, 1, Aggressor::Buyer);
    assert_eq!(rig.told(takes), [(Rejected, 101, 1, 0)]);
    assert_eq!(rig.reports[0].refusal, Some(Refusal::WouldTake));
    assert_eq!(rig.told(rests)[0], (Accepted, 100, 1, 1));
}

#[test]
fn a_resting_order_waits_behind_the_displayed_size_and_fills_part_by_part() {
    let mut rig = Rig::with_book(&[(99, 5)], &[(101, 5)]);
    let order = rig.buy(99, 4);
    rig.trade(2, 99, 3, Aggressor::Seller);
    rig.trade(3, 99, 1, Aggressor::Buyer);
    assert_eq!(rig.fills(order), [], "3 of the 5 before it are gone; a buyer does not hit a bid");
    rig.trade(4, 99, 3, Aggressor::Seller);
    rig.trade(5, 99, 9, Aggressor::Seller);
    assert_eq!(rig.fills(order), [(4, 99, 1, Maker), (5, 99, 3, Maker)]);
    assert_eq!(rig.told(order).last(), Some(&(Filled, 99, 3, 0)));
}

#[test]
fn an_order_that_improves_the_market_has_nobody_before_it() {
    let mut rig = Rig::with_book(&[(99, 5)], &[(103, 5)]);
    let order = rig.buy(101, 4);
    rig.trade(2, 101, 1, Aggressor::Seller);
    assert_eq!(rig.fills(order), [(2, 101, 1, Maker)]);
}

#[test]
fn one_trade_is_shared_by_our_orders_in_the_order_in_which_they_joined() {
    let mut rig = Rig::with_book(&[(99, 5)], &[(103, 5)]);
    let (first, second) = (rig.buy(99, 2), rig.buy(99, 4));
    rig.trade(2, 99, 8, Aggressor::Seller);
    // 5 of others, 2 of the first, 1 of the second: 8.
    assert_eq!(rig.filled(), [(first, 2), (second, 1)].into());
}

#[test]
fn a_trade_through_the_price_or_a_crossing_best_fills_whole_at_the_own_price() {
    let mut rig = Rig::with_book(&[(99, 5)], &[(103, 5)]);
    let (through, crossed) = (rig.buy(99, 7), rig.buy(98, 7));
    rig.trade(2, 98, 1, Aggressor::None);
    assert_eq!(rig.fills(through), [(2, 99, 7, Maker)]);
    rig.update(3, &[(99, 0)], &[(98, 1)]);
    assert_eq!(rig.fills(crossed), [(3, 98, 7, Maker)]);
}

#[test]
fn a_level_that_shrinks_without_a_trade_shrinks_behind_us_first() {
    let mut rig = Rig::with_book(&[(99, 5)], &[(103, 5)]);
    let order = rig.buy(99, 1);
    rig.update(2, &[(99, 9)], &[]);
    rig.update(3, &[(99, 6)], &[]);
    rig.trade(4, 99, 5, Aggressor::Seller);
    assert_eq!(rig.fills(order), [], "still 5 before it");
    let other = rig.buy(98, 1);
    rig.update(5, &[(98, 4)], &[]);
    rig.update(6, &[(98, 1)], &[]);
    rig.update(7, &[(99, 0)], &[]);
    rig.trade(8, 98, 2, Aggressor::Seller);
    assert_eq!(rig.fills(other), [(8, 98, 1, Maker)], "1 before it, and then it");
}

#[test]
fn an_order_beyond_what_is_told_waits_until_the_market_reaches_its_price() {
    let mut rig = Rig::new(Latency::fixed(0));
    rig.quote(1, (100, 5), (103, 5));
    let order = rig.buy(99, 1);
    rig.quote(2, (100, 5), (103, 5));
    rig.trade(3, 99, 50, Aggressor::Seller);
    assert_eq!(rig.fills(order), [], "who was before it is not known");
    rig.quote(4, (99, 3), (103, 5));
    rig.trade(5, 99, 3, Aggressor::Seller);
    assert_eq!(rig.fills(order), []);
    rig.trade(6, 99, 1, Aggressor::Seller);
    assert_eq!(rig.fills(order), [(6, 99, 1, Maker)]);
}

#[test]
fn a_modify_to_a_smaller_size_keeps_its_place_and_any_other_joins_behind() {
    let mut rig = Rig::with_book(&[(99, 2)], &[(103, 5)]);
    let (smaller, larger) = (rig.buy(99, 4), rig.buy(99, 4));
    rig.trade(2, 99, 2, Aggressor::Seller);
    rig.update(3, &[(99, 3)], &[]);
    rig.modify(smaller, 99, 3);
    rig.modify(larger, 99, 5);
    rig.trade(4, 99, 5, Aggressor::Seller);
    assert_eq!(rig.told(smaller)[1], (Replaced, 99, 3, 3));
    // Nobody is before the first any more; before the second, 3 of others, of whom this trade eats 2.
    assert_eq!(rig.filled(), [(smaller, 3)].into());
    rig.trade(5, 99, 2, Aggressor::Seller);
    assert_eq!(rig.filled(), [(smaller, 3), (larger, 1)].into());
}

#[test]
fn a_modify_that_makes_an_order_marketable_takes_at_the_next_event() {
    let mut rig = Rig::with_book(&[(99, 2)], &[(103, 5)]);
    let order = rig.buy(99, 4);
    rig.trade(2, 101, 1, Aggressor::Buyer);
    rig.modify(order, 103, 4);
    rig.trade(3, 101, 1, Aggressor::Buyer);
    assert_eq!(rig.fills(order), [(3, 103, 4, Taker)]);
}

#[test]
fn a_cancel_races_a_fill_by_arrival() {
    for (cancelled_at, filled) in [(10, false), (11, true)] {
        let mut rig = Rig::new(Latency::fixed(5));
        rig.snapshot(1, &[(99, 0), (98, 1)], &[(103, 5)]);
        let order = rig.buy(99, 4);
        rig.trade(cancelled_at, 101, 1, Aggressor::Buyer);
        rig.cancel(order);
        // The cancel arrives at 15 or at 16; the trade is at 15.
        rig.trade(15, 98, 1, Aggressor::Seller);
        rig.trade(30, 101, 1, Aggressor::Buyer);
        let end = if filled { (Rejected, 1, 1, 0) } else { (Cancelled, 99, 4, 0) };
        assert_eq!(rig.told(order).last(), Some(&end));
        assert_eq!(rig.filled().len(), usize::from(filled));
        assert_eq!(rig.venue.counts().refused.get(&Refusal::UnknownOrder).copied(), filled.then_some(1));
    }
}

#[test]
fn a_gapped_book_fills_nothing_and_what_rests_stays() {
    let mut rig = Rig::with_book(&[(99, 5)], &[(101, 5)]);
    let rests = rig.buy(98, 1);
    rig.quote(2, (99, 5), (101, 5));
    rig.gap(3);
    let takes = rig.send(Side::Buy, 101, 1, TimeInForce::Ioc);
    rig.quote(4, (90, 5), (91, 5));
    assert_eq!(rig.told(takes), [(Accepted, 101, 1, 1), (Expired, 101, 1, 0)]);
    assert_eq!(rig.venue.counts().unpriced, 1);
    assert_eq!((rig.fills(rests), rig.venue.working_len()), (vec![], 1));
    rig.snapshot(5, &[(90, 5)], &[(91, 5)]);
    assert_eq!(rig.fills(rests), [(5, 98, 1, Maker)], "whole again, and the market has gone through it");
}

#[test]
fn what_cannot_be_is_refused_with_a_reason_and_what_comes_twice_is_counted() {
    let mut rig = Rig::with_book(&[(99, 5)], &[(101, 5)]);
    let order = rig.buy(99, 4);
    rig.message(order, OrderKind::New, Side::Buy, OrderType::Limit, TimeInForce::Gtc, 99, 4);
    rig.buy(99, 0);
    rig.send(Side::Sell, i64::MAX / ONE, i64::MAX, TimeInForce::Gtc);
    rig.modify(order, 99, 0);
    rig.cancel(77);
    rig.trade(2, 100, 1, Aggressor::Buyer);
    let refusals: Vec<_> = rig.reports.iter().filter_map(|report| report.refusal).collect();
    assert_eq!(refusals, [Refusal::Invalid, Refusal::Overflow, Refusal::Invalid, Refusal::UnknownOrder]);
    assert_eq!((rig.venue.counts().repeated, rig.venue.working_len()), (1, 1));
    let sequences: Vec<u64> = rig.reports.iter().map(|report| report.sequence).collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    assert_eq!(rig.told(order)[1], (Rejected, 99, 4, 4), "a refused modify leaves the order as it is");
    assert_eq!(id(order), rig.reports[0].execution.order);
}

#[test]
fn fees_and_profit_are_exact_and_marked_at_the_exit_side() {
    let mut rig = Rig::with_book(&[(99, 5)], &[(101, 5)]);
    rig.send(Side::Buy, 101, 2, TimeInForce::Ioc);
    rig.trade(2, 100, 1, Aggressor::Buyer);
    let mut account = Account::default();
    rig.venue.traded().for_each(|traded| account.take(&traded).unwrap());
    // Bought 2 at 101, to be left at 99; 2 basis points of 202 are 0.0404.
    let (bid, ask) = rig.venue.touch(crate::rig::ID, &rig.books);
    account.mark(crate::rig::ID, bid, ask);
    assert_eq!(account.fees(), 40_400_000_000_000_000);
    assert_eq!(account.pnl(), Ok(-4_040_400_000_000_000_000));
    // Sold 3 at 99: short 1 from 99, to be left at 101; 1 left of the bid's 5, so the next event finds 2.
    rig.send(Side::Sell, 99, 3, TimeInForce::Ioc);
    rig.trade(3, 100, 1, Aggressor::Buyer);
    rig.venue.traded().for_each(|traded| account.take(&traded).unwrap());
    assert_eq!(account.holdings()[&crate::rig::ID].net, -1);
    // -202 + 297 - 101 = -6; fees 0.0404 + 0.0594.
    assert_eq!(account.pnl(), Ok(-6_099_800_000_000_000_000));
}

#[test]
fn a_venue_that_closes_cancels_what_works_and_refuses_what_is_on_its_way() {
    let mut rig = Rig::with_book(&[(99, 5)], &[(101, 5)]);
    let (resting, partly) = (rig.buy(98, 2), rig.buy(101, 8));
    rig.quote(2, (99, 5), (101, 5));
    let late = rig.buy(97, 1);
    rig.venue.close();
    rig.reports.extend(std::iter::from_fn(|| rig.venue.report(2)));
    assert_eq!(rig.told(resting), [(Accepted, 98, 2, 2), (Cancelled, 98, 2, 0)]);
    assert_eq!(rig.told(partly).last(), Some(&(Cancelled, 101, 8, 0)));
    assert_eq!((rig.filled(), rig.told(late)), ([(partly, 5)].into(), vec![(Rejected, 97, 1, 0)]));
    assert_eq!((rig.venue.working_len(), rig.venue.counts().refused[&Refusal::Closed]), (0, 1));
}

#[test]
fn a_closing_venue_keeps_no_report_back_for_its_latency() {
    let mut rig = Rig::new(Latency::fixed(1_000));
    rig.snapshot(1, &[(99, 5)], &[(101, 5)]);
    let order = rig.buy(98, 2);
    rig.quote(1_500, (99, 5), (101, 5));
    assert_eq!(rig.told(order), [], "its acceptance is on its way");
    rig.venue.close();
    rig.reports.extend(std::iter::from_fn(|| rig.venue.report(1_500)));
    assert_eq!(rig.told(order), [(Accepted, 98, 2, 2), (Cancelled, 98, 2, 0)]);
}

#[test]
fn a_venue_that_goes_on_after_another_numbers_on_and_opens_nothing_again() {
    let mut rig = Rig::new(Latency::fixed(0));
    rig.venue.resume(40, [id(0)]);
    rig.snapshot(1, &[(99, 5)], &[(101, 5)]);
    let (known, new) = (rig.buy(98, 1), rig.buy(98, 1));
    rig.quote(2, (99, 5), (101, 5));
    assert_eq!((rig.told(known), rig.told(new)), (vec![], vec![(Accepted, 98, 1, 1)]));
    assert_eq!((rig.reports[0].sequence, rig.venue.counts().repeated), (41, 1));
}
