//! A market maker: an order on both sides of a fair price, and both lean against what it holds.
//!
//! The **fair price** lies between bid and ask, nearer to the side that shows less: the middle weighted by the sizes of the other side. The
//! **skew** moves it against the position, the farther the fuller the position is: the reservation price of M. Avellaneda and S. Stoikov,
//! *High-frequency trading in a limit order book* (Quantitative Finance 8, 2008), with a straight line for their estimate of risk.
//!
//! The **position is bounded** by arithmetic and not by hope: an order is never larger than the room that is left, and a modify names its
//! whole size, filled part included. So whatever fills while a message is on its way, position and working order together stay inside.
//!
//! An order is **replaced** only when its price is `replace_ticks` from where it should be: each message costs rate, and a new price its
//! place in the queue. Of each side at most one message is on its way.

use pinion_strategy::{
    Callbacks, Fill, Host, Instrument, NewOrder, OrderStatus, OrderUpdate, Params, Position, Price, Quote, Side, Size,
    Strategy, TimeInForce,
};

/// Parts of one that `edge_ppm` and `skew_ppm` count.
const PPM: i64 = 1_000_000;

/// The order on one side.
#[derive(Debug, Clone, Copy)]
struct Resting {
    side: Side,
    /// 0 where there is none.
    order_id: u64,
    /// As the venue last had it, or as asked for.
    price: Price,
    filled: Size,
    /// A message about it is on its way.
    waiting: bool,
}

impl Resting {
    const fn none(side: Side) -> Self {
        Self { side, order_id: 0, price: Price::UNDEFINED, filled: Size::ZERO, waiting: false }
    }
}

/// The strategy's state.
#[derive(Debug)]
pub struct MarketMaker {
    instrument_id: u64,
    tick: i64,
    lot: i64,
    /// What one size unit is of the base unit, for gauges.
    unit: f64,
    edge_ppm: i64,
    skew_ppm: i64,
    /// How far a price must be off before it is worth a message, at 1e-9.
    replace: i64,
    size: Size,
    position_max: Size,
    net: Size,
    market: Option<Market>,
    bid: Resting,
    ask: Resting,
    /// Sizes of fills times how much better than the fair price they were when they were heard of.
    captured: i128,
}

/// What it quotes around.
#[derive(Debug, Clone, Copy)]
struct Market {
    bid: Price,
    ask: Price,
    fair: i64,
}

impl Strategy for MarketMaker {
    const WANTS: Callbacks = Callbacks::QUOTE.and(Callbacks::ORDER).and(Callbacks::FILL).and(Callbacks::POSITION);

    fn new(params: &Params, instruments: &[Instrument]) -> Result<Self, String> {
        let [instrument] = instruments else {
            return Err(format!("it trades one instrument, the file has {}", instruments.len()));
        };
        let (edge_ppm, skew_ppm) = (params.or("edge_ppm", 100)?, params.or("skew_ppm", 100)?);
        if !(1..PPM).contains(&edge_ppm) || !(0..PPM).contains(&skew_ppm) {
            return Err(format!("want edge_ppm from 1, skew_ppm from 0, both below {PPM}: {edge_ppm}, {skew_ppm}"));
        }
        let size = params.size("size", instrument.size_exponent)?;
        let position_max = params.size("max_position", instrument.size_exponent)?;
        if size <= Size::ZERO || size > position_max {
            return Err("want 0 < size <= max_position".to_owned());
        }
        let tick = instrument.tick.0.max(1);
        Ok(Self {
            instrument_id: instrument.id,
            tick,
            lot: instrument.lot.0.max(1),
            unit: 10_f64.powi(instrument.size_exponent),
            edge_ppm,
            skew_ppm,
            replace: tick.saturating_mul(params.or("replace_ticks", 100_u32)?.max(1).into()),
            size,
            position_max,
            net: Size::ZERO,
            market: None,
            bid: Resting::none(Side::Buy),
            ask: Resting::none(Side::Sell),
            captured: 0,
        })
    }

    fn on_quote(&mut self, host: &mut impl Host, quote: &Quote) {
        if quote.head.instrument_id == self.instrument_id {
            self.market = fair(quote).map(|fair| Market { bid: quote.bid_price, ask: quote.ask_price, fair });
            self.follow(host);
        }
    }

    // Before on_order of the same execution: the price that the fill is measured by is the one that it was quoted around, or newer.
    fn on_fill(&mut self, host: &mut impl Host, fill: &Fill) {
        let Some(market) = self.market.filter(|_| fill.instrument_id == self.instrument_id) else { return };
        let better = match fill.side {
            Side::Buy => market.fair - fill.price.0,
            Side::Sell => fill.price.0 - market.fair,
        };
        self.captured += i128::from(better) * i128::from(fill.size.0);
        host.metric_set("captured", self.money(self.captured));
    }

    fn on_order(&mut self, _host: &mut impl Host, update: &OrderUpdate) {
        for resting in [&mut self.bid, &mut self.ask] {
            if resting.order_id != update.order_id {
                continue;
            }
            if update.leaves == Size::ZERO {
                *resting = Resting::none(resting.side);
            } else {
                (resting.price, resting.filled) = (update.price, update.filled);
                // Of what is on its way a part fill says nothing.
                resting.waiting &= update.status == OrderStatus::PartFilled;
            }
        }
    }

    // The last of the three of an execution: what it moved is known, so both sides lean at once and not at the next quote.
    fn on_position(&mut self, host: &mut impl Host, instrument_id: u64, position: &Position) {
        if instrument_id != self.instrument_id {
            return;
        }
        self.net = position.net;
        if let (Some(realized), Some(unrealized), Some(fees)) = (position.realized, position.unrealized, position.fees)
        {
            host.metric_set("pnl", as_units(i128::from(realized) + i128::from(unrealized) - i128::from(fees)));
        }
        self.follow(host);
    }
}

/// The middle, weighted: near the ask where much is bid, near the bid where much is offered.
fn fair(quote: &Quote) -> Option<i64> {
    let middle = quote.bid_price.midpoint(quote.ask_price)?;
    let (bid_size, ask_size) = (i128::from(quote.bid_size.0.max(0)), i128::from(quote.ask_size.0.max(0)));
    if bid_size + ask_size == 0 {
        return Some(middle.0);
    }
    let weighted = i128::from(quote.bid_price.0) * ask_size + i128::from(quote.ask_price.0) * bid_size;
    i64::try_from(weighted / (bid_size + ask_size)).ok()
}

impl MarketMaker {
    /// Has both orders where they should be; without a market, nowhere.
    fn follow(&mut self, host: &mut impl Host) {
        let prices = self.market.and_then(|market| self.prices(market));
        let (id, replace) = (self.instrument_id, self.replace);
        let (bid_size, ask_size) = (self.room(Side::Buy), self.room(Side::Sell));
        rest(host, id, replace, &mut self.bid, prices.map(|(bid, _)| (bid, bid_size)));
        rest(host, id, replace, &mut self.ask, prices.map(|(_, ask)| (ask, ask_size)));
    }

    /// Where bid and ask should be: on the tick, outwards, and never through the other side of the market. `None` where that is no price.
    fn prices(&self, market: Market) -> Option<(Price, Price)> {
        let part = |ppm: i64| i128::from(market.fair) * i128::from(ppm) / i128::from(PPM);
        let lean = part(self.skew_ppm) * i128::from(self.net.0) / i128::from(self.position_max.0);
        let (centre, edge) = (i128::from(market.fair) - lean, part(self.edge_ppm));
        let tick = i128::from(self.tick);
        let bid = ((centre - edge).div_euclid(tick) * tick).min(i128::from(market.ask.0) - tick);
        let ask = (-(-centre - edge).div_euclid(tick) * tick).max(i128::from(market.bid.0) + tick);
        let price = |price: i128| i64::try_from(price).ok().filter(|price| *price > 0).map(Price);
        Some((price(bid)?, price(ask)?))
    }

    /// How large an order on a side may be: what is left of the largest position, at most `size`, in whole lots.
    fn room(&self, side: Side) -> Size {
        let left = match side {
            Side::Buy => self.position_max - self.net,
            Side::Sell => self.position_max + self.net,
        };
        Size(left.min(self.size).0.max(0) / self.lot * self.lot)
    }

    /// A product of price and size in the quote currency, to look at.
    #[expect(clippy::cast_precision_loss, reason = "a gauge, nothing is decided by it")]
    fn money(&self, amount: i128) -> f64 {
        amount as f64 * 1e-9 * self.unit
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge, nothing is decided by it")]
fn as_units(amount: i128) -> f64 {
    amount as f64 * 1e-9
}

/// Sends an order, moves the one that rests, or takes it back.
fn rest(host: &mut impl Host, instrument_id: u64, replace: i64, resting: &mut Resting, wanted: Option<(Price, Size)>) {
    if resting.waiting {
        return;
    }
    let is_new = resting.order_id == 0;
    let Some((price, room)) = wanted else {
        if !is_new {
            host.cancel(resting.order_id);
            resting.waiting = true;
        }
        return;
    };
    let is_off = is_new || price.0.abs_diff(resting.price.0) >= replace.unsigned_abs();
    if !is_off || room == Size::ZERO {
        return;
    }
    if is_new {
        let order = NewOrder::limit(instrument_id, resting.side, price, room);
        resting.order_id = host.submit(&order.time_in_force(TimeInForce::PostOnly));
    } else {
        host.modify(resting.order_id, price, resting.filled + room);
    }
    (resting.price, resting.waiting) = (price, true);
}

pinion_strategy::export!(MarketMaker);

#[cfg(test)]
mod tests {
    use pinion_strategy::testing::{Asked, Recorder};
    use pinion_strategy::{DenyReason, Head, Liquidity};

    use super::*;

    fn started(params: &[(&str, &str)]) -> Result<MarketMaker, String> {
        let mut all = vec![("edge_ppm", "1000"), ("skew_ppm", "1000"), ("replace_ticks", "5")];
        all.extend([("size", "20"), ("max_position", "50")]);
        all.retain(|(name, _)| params.iter().all(|(other, _)| other != name));
        all.extend(params);
        let params = Params::new(all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
        let (symbol, publisher) = ("X".to_owned(), "venue".to_owned());
        let (tick, lot) = (Price(10), Size(5));
        let instrument = Instrument { id: 7, publisher_id: 1, tick, lot, size_exponent: 0, symbol, publisher };
        MarketMaker::new(&params, &[instrument])
    }

    fn quote(bid: i64, bid_size: i64, ask: i64, ask_size: i64) -> Quote {
        let head = Head { instrument_id: 7, ..Head::default() };
        let (bid_price, ask_price, bid_size, ask_size) = (Price(bid), Price(ask), Size(bid_size), Size(ask_size));
        Quote { head, bid_price, ask_price, bid_size, ask_size, bid_count: 0, ask_count: 0 }
    }

    fn update(order_id: u64, status: OrderStatus, price: i64, leaves: i64, filled: i64) -> OrderUpdate {
        OrderUpdate {
            order_id,
            tag: 0,
            instrument_id: 7,
            ts_event: 0,
            ts_recv: 0,
            status,
            reason: DenyReason::None,
            price: Price(price),
            leaves: Size(leaves),
            filled: Size(filled),
        }
    }

    /// Quotes 100,000 and has both orders, 1 and 2, accepted.
    fn resting() -> (Recorder, MarketMaker) {
        let (mut host, mut strategy) = (Recorder::default(), started(&[]).unwrap());
        strategy.on_quote(&mut host, &quote(99_990, 1, 100_010, 1));
        assert_eq!(host.take(), [submit(1, Side::Buy, 99_900, 20), submit(2, Side::Sell, 100_100, 20)]);
        strategy.on_order(&mut host, &update(1, OrderStatus::Accepted, 99_900, 20, 0));
        strategy.on_order(&mut host, &update(2, OrderStatus::Accepted, 100_100, 20, 0));
        (host, strategy)
    }

    fn submit(order_id: u64, side: Side, price: i64, size: i64) -> Asked {
        let order = NewOrder::limit(7, side, Price(price), Size(size)).time_in_force(TimeInForce::PostOnly);
        Asked::Submit { order_id, order }
    }

    fn modify(order_id: u64, price: i64, size: i64) -> Asked {
        Asked::Modify { order_id, price: Price(price), size: Size(size) }
    }

    /// What the host says of a fill, in its order.
    fn fill(host: &mut Recorder, strategy: &mut MarketMaker, side: Side, price: i64, size: i64, leaves: i64, net: i64) {
        let order_id = if side == Side::Buy { 1 } else { 2 };
        let fill = Fill {
            order_id,
            tag: 0,
            instrument_id: 7,
            ts_event: 0,
            ts_recv: 0,
            side,
            price: Price(price),
            size: Size(size),
            leaves: Size(leaves),
            fee: 0,
            liquidity: Liquidity::Maker,
        };
        let status = if leaves == 0 { OrderStatus::Filled } else { OrderStatus::PartFilled };
        strategy.on_fill(host, &fill);
        strategy.on_order(host, &update(order_id, status, price, leaves, size));
        strategy.on_position(host, 7, &Position { net: Size(net), ..Position::default() });
    }

    #[test]
    fn it_follows_the_market_only_when_it_has_moved_by_the_threshold() {
        let (mut host, mut strategy) = resting();
        strategy.on_quote(&mut host, &quote(100_030, 1, 100_050, 1));
        assert_eq!(host.take(), [], "40 are four ticks");
        strategy.on_quote(&mut host, &quote(100_044, 1, 100_064, 1));
        assert_eq!(host.take(), [modify(1, 99_950, 20), modify(2, 100_160, 20)], "99,954 and 100,154, outwards");
        strategy.on_quote(&mut host, &quote(100_990, 1, 101_010, 1));
        assert_eq!(host.take(), [], "one message of each side at a time");
    }

    #[test]
    fn the_fair_price_lies_towards_the_side_that_shows_less() {
        let fair = |quote: &Quote| super::fair(quote);
        assert_eq!(fair(&quote(100, 3, 200, 1)), Some(175));
        assert_eq!(fair(&quote(100, 0, 200, 0)), Some(150), "sizes that are not known weigh nothing");
        assert_eq!(fair(&quote(i64::MAX - 2, i64::MAX, i64::MAX - 1, i64::MAX)), Some(i64::MAX - 2));
        assert_eq!(fair(&quote(100, 1, i64::MAX, 0)), None);
    }

    #[test]
    fn a_fill_leans_both_sides_at_once() {
        let (mut host, mut strategy) = resting();
        fill(&mut host, &mut strategy, Side::Buy, 99_900, 20, 0, 20);
        // Two fifths of the largest position: 40 of the 100 that the skew is there.
        assert_eq!(host.take(), [submit(3, Side::Buy, 99_860, 20)], "the ask is four ticks off: it stays");
        fill(&mut host, &mut strategy, Side::Sell, 100_100, 20, 0, 0);
        assert_eq!(host.take(), [submit(4, Side::Sell, 100_100, 20)]);
        assert_eq!(host.gauges["captured"], 4_000.0 * 1e-9, "a hundred better than fair, for 20 on each side");
    }

    #[test]
    fn whatever_fills_position_and_working_order_stay_inside_the_bound() {
        let (mut host, mut strategy) = resting();
        strategy.on_position(&mut host, 7, &Position { net: Size(37), ..Position::default() });
        host.take();
        let (bid, ask) = (strategy.room(Side::Buy), strategy.room(Side::Sell));
        assert_eq!((bid, ask), (Size(10), Size(20)), "13 are left, in lots of 5");
        strategy.on_position(&mut host, 7, &Position { net: Size(50), ..Position::default() });
        assert_eq!(strategy.room(Side::Buy), Size::ZERO);
        // A part of the bid filled before: the whole size of a modify has it in it.
        let (mut host, mut strategy) = resting();
        fill(&mut host, &mut strategy, Side::Buy, 99_900, 15, 5, 15);
        host.take();
        strategy.on_quote(&mut host, &quote(98_990, 1, 99_010, 1));
        assert!(host.take().contains(&modify(1, 98_870, 15 + 20)), "35 left of 50, at most 20 of them");
    }

    #[test]
    fn without_a_market_nothing_rests_and_with_one_again_it_does() {
        let (mut host, mut strategy) = resting();
        strategy.on_quote(&mut host, &quote(99_990, 1, i64::MAX, 0));
        assert_eq!(host.take(), [Asked::Cancel { order_id: 1 }, Asked::Cancel { order_id: 2 }]);
        strategy.on_order(&mut host, &update(1, OrderStatus::Cancelled, 99_900, 0, 0));
        strategy.on_quote(&mut host, &quote(99_990, 1, 100_010, 1));
        assert_eq!(host.take(), [submit(3, Side::Buy, 99_900, 20)], "of the other cancel nothing is heard yet");
    }

    #[test]
    fn a_denied_order_is_asked_for_again_and_a_denied_change_leaves_it_where_it_was() {
        let (mut host, mut strategy) = resting();
        strategy.on_quote(&mut host, &quote(100_990, 1, 101_010, 1));
        host.take();
        strategy.on_order(&mut host, &update(1, OrderStatus::Denied, 99_900, 20, 0));
        strategy.on_order(&mut host, &update(2, OrderStatus::Rejected, 100_100, 0, 0));
        strategy.on_quote(&mut host, &quote(100_990, 1, 101_010, 1));
        assert_eq!(host.take(), [modify(1, 100_890, 20), submit(3, Side::Sell, 101_110, 20)]);
    }

    #[test]
    fn params_that_make_no_sense_are_refused() {
        assert!(started(&[("max_position", "10")]).unwrap_err().contains("max_position"));
        assert!(started(&[("edge_ppm", "0")]).unwrap_err().contains("edge_ppm"));
    }
}
