//! What a position has cost and earned: exact sums of price times size, rounded only when they are shown.
//!
//! Sums are at 1e-9 times the instrument's size unit, in 128 bits. Where one would not fit, or where fills have no price of their own
//! because they are assumed, money is not known, and stays so.

use crate::book::{BookState, Reference};
use crate::event::PRICE_UNDEFINED;

/// An amount that is not known.
pub const AMOUNT_UNDEFINED: i64 = PRICE_UNDEFINED;

/// Of one position; amounts may be negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Money {
    /// Price times size of what is held: negative for what was sold.
    cost: i128,
    /// Of what was closed.
    realized: i128,
    /// At 1e-9.
    fees: i128,
}

impl Money {
    /// Buys (`size` above 0) or sells on top of a position of `net`. `None` where a sum does not fit.
    pub(super) fn trade(self, net: i128, size: i128, price: i64, fee: i64) -> Option<Self> {
        let fees = self.fees.checked_add(i128::from(fee))?;
        let price = i128::from(price);
        let opens = net == 0 || (net > 0) == (size > 0);
        if opens {
            return Some(Self { cost: self.cost.checked_add(price.checked_mul(size)?)?, fees, ..self });
        }
        // Signed as the position is.
        let closed = if size.unsigned_abs() < net.unsigned_abs() { -size } else { net };
        let cost_closed = part(self.cost, closed, net)?;
        let gained = price.checked_mul(closed)?.checked_sub(cost_closed)?;
        let opened = price.checked_mul(size.checked_add(closed)?)?;
        Some(Self {
            cost: self.cost.checked_sub(cost_closed)?.checked_add(opened)?,
            realized: self.realized.checked_add(gained)?,
            fees,
        })
    }

    /// What `net` was bought or sold at on average.
    pub(super) fn average_price(self, net: i128) -> i64 {
        self.cost.checked_div(net).map_or(AMOUNT_UNDEFINED, shown)
    }

    /// Gained by what was closed, at 1e-9 of the quote currency.
    pub(super) fn realized(self, size_scale: u32) -> i64 {
        quote(self.realized, size_scale)
    }

    /// What closing `net` at the market would gain.
    pub(super) fn unrealized(self, net: i128, market: &Reference, size_scale: u32) -> i64 {
        let price = match net.signum() {
            0 => return 0,
            1 => market.bid,
            _ => market.ask,
        };
        if price == PRICE_UNDEFINED || market.state == BookState::Gapped {
            return AMOUNT_UNDEFINED;
        }
        let worth = i128::from(price).checked_mul(net).and_then(|worth| worth.checked_sub(self.cost));
        worth.map_or(AMOUNT_UNDEFINED, |gain| quote(gain, size_scale))
    }

    /// Paid so far, at 1e-9 of the quote currency.
    pub(super) fn fees(self) -> i64 {
        shown(self.fees)
    }
}

/// `closed / net` of a cost, towards zero; what is cut off stays with what is left.
fn part(cost: i128, closed: i128, net: i128) -> Option<i128> {
    // In two steps, so that only what could not be shown anyway does not fit.
    let (whole, rest) = (cost.checked_div(net)?, cost.checked_rem(net)?);
    whole.checked_mul(closed)?.checked_add(rest.checked_mul(closed)?.checked_div(net)?)
}

/// Price times size as an amount at 1e-9, towards zero.
fn quote(amount: i128, size_scale: u32) -> i64 {
    10_i128.checked_pow(size_scale).map_or(AMOUNT_UNDEFINED, |unit| shown(amount / unit))
}

fn shown(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(AMOUNT_UNDEFINED)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Money and net after these fills of (size, price).
    fn after(fills: &[(i128, i64)]) -> (Money, i128) {
        fills.iter().fold((Money::default(), 0), |(money, net), (size, price)| {
            (money.trade(net, *size, *price, 0).unwrap(), net + size)
        })
    }

    fn market(bid: i64, ask: i64) -> Reference {
        Reference { bid, ask, ts_recv: 0, state: BookState::Empty }
    }

    #[test]
    fn what_is_closed_is_measured_by_the_average_price() {
        let (money, net) = after(&[(2, 100), (2, 110), (-1, 120)]);
        assert_eq!((net, money.average_price(net), money.realized(0)), (3, 105, 15));
        assert_eq!(money.unrealized(net, &market(106, 107), 0), 3);
    }

    #[test]
    fn a_short_gains_when_the_price_falls_and_is_closed_at_the_ask() {
        let (money, net) = after(&[(-4, 100), (1, 90)]);
        assert_eq!((net, money.average_price(net), money.realized(0)), (-3, 100, 10));
        assert_eq!(money.unrealized(net, &market(80, 95), 0), 15);
    }

    #[test]
    fn a_fill_through_zero_closes_the_one_side_and_opens_the_other_at_its_price() {
        let (money, net) = after(&[(2, 100), (-5, 130)]);
        assert_eq!((net, money.average_price(net), money.realized(0)), (-3, 130, 60));
        let (money, net) = after(&[(2, 100), (-2, 130)]);
        assert_eq!((net, money.average_price(net), money.unrealized(0, &market(1, 2), 0)), (0, AMOUNT_UNDEFINED, 0));
    }

    #[test]
    fn where_there_is_no_market_or_a_sum_does_not_fit_nothing_is_made_up() {
        let (money, net) = after(&[(2, 100)]);
        assert_eq!(money.unrealized(net, &market(PRICE_UNDEFINED, 7), 0), AMOUNT_UNDEFINED);
        let gapped = Reference { state: BookState::Gapped, ..market(1, 2) };
        assert_eq!(money.unrealized(net, &gapped, 0), AMOUNT_UNDEFINED);
        assert_eq!(money.trade(net, i128::MAX, 2, 0), None);
        assert_eq!(
            money.trade(net, 1, 1, i64::MAX).and_then(|money| money.trade(3, 1, 1, 1)).map(Money::fees),
            Some(AMOUNT_UNDEFINED)
        );
    }

    proptest! {
        /// Realized and what is left to gain are together what was taken in less what was paid out, whatever the way.
        #[test]
        fn nothing_is_lost_in_rounding(fills in prop::collection::vec((-1_000_i128..1_000, 1_i64..1_000), 1..40), last in 1_i64..1_000) {
            let fills: Vec<_> = fills.into_iter().filter(|(size, _)| *size != 0).collect();
            let (money, net) = after(&fills);
            let paid: i128 = fills.iter().map(|(size, price)| size * i128::from(*price)).sum();
            let gained = i128::from(money.realized(0)) + i128::from(money.unrealized(net, &market(last, last), 0));
            prop_assert_eq!(gained, net * i128::from(last) - paid);
        }
    }
}
