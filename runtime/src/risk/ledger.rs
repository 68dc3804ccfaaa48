//! One instance's working orders and positions: what the risk check measures against, and what the guest sees as its own.
//!
//! Two ways to know what became of an order. **Reported**: the strategy has an executions input, and an order works until a
//! report says otherwise; of a modify or cancel on its way the worse outcome is assumed. **Assumed**: it has none, and what was
//! sent is taken as done: market, immediate-or-cancel and fill-or-kill orders as filled whole at once, good-till-cancelled and
//! post-only orders as working until cancelled, modifies and cancels as done at once. That is a function of what was sent and
//! nothing else, so a replay has the same positions.
//!
//! A report moves a position once: each order keeps the sequence of its last report, also for a while after it is gone, and
//! reports at or before it are counted and ignored (a gateway that numbers nothing, sequence 0, cannot be protected so). A fill
//! of an order that the ledger does not know (sent before a restart) moves the position by the report's own side, and what
//! still works of it is taken over, so that it counts and can be cancelled. More filled than was working moves the position by
//! all of it. Sums are kept wider than what they are made of, so none wraps; a guest is shown the nearest number that fits.
//!
//! All room is taken in [`Ledger::fit`]; nothing else allocates.

use super::Order;
use super::limits::Limits;
use super::money::{AMOUNT_UNDEFINED, Money};
use super::orders::{Gone, Orders, Working};
use super::throttle::Throttle;
use crate::book::Reference;
use crate::decode::decimal::PRICE_SCALE;
use crate::effects::{OrderType, TimeInForce};
use crate::event::{Execution, ExecutionKind, Head, Side};
use crate::id_index::IdIndex;
use crate::limits::{ORDERS_ADOPTED_MAX, POSITIONS_UNDECLARED_MAX};
use crate::sandbox::{Fill, OrderStatus, OrderUpdate};

/// How the ledger learns what became of an order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Executions {
    /// By execution reports.
    #[default]
    Reported,
    /// Not at all: what was sent is taken as done.
    Assumed,
}

/// A position as the guest sees it; amounts of money are [`AMOUNT_UNDEFINED`] where they are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Bought minus sold.
    pub net: i64,
    /// Size of working buy orders: the most that can still fill.
    pub working_buy: i64,
    /// Size of working sell orders: the most that can still fill.
    pub working_sell: i64,
    /// What `net` was bought or sold at on average.
    pub average_price: i64,
    /// Gained by what was closed, at 1e-9 of the quote currency.
    pub realized: i64,
    /// What closing it at the market would gain now.
    pub unrealized: i64,
    /// Fees paid.
    pub fees: i64,
}

impl Default for Position {
    /// A flat one.
    fn default() -> Self {
        Self {
            net: 0,
            working_buy: 0,
            working_sell: 0,
            average_price: AMOUNT_UNDEFINED,
            realized: 0,
            unrealized: 0,
            fees: 0,
        }
    }
}

/// Reports that were not what they should be, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LedgerCounts {
    /// Reports that had come before.
    pub repeated: u64,
    /// Reports of orders that the ledger did not know.
    pub unknown: u64,
    /// Fills of more than was working.
    pub overfilled: u64,
    /// Reports that make no sense: a fill of nothing.
    pub invalid: u64,
    /// Orders or positions that could not be taken over for want of room.
    pub unplaced: u64,
}

/// A position as it is measured, and the best prices of the orders that work on it. Sums of 64-bit sizes in 128 bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) net: i128,
    pub(super) working_buy: i128,
    pub(super) working_sell: i128,
    /// Highest price of a working buy order, `i64::MIN` for none.
    pub(super) buy_best: i64,
    /// Lowest price of a working sell order, `i64::MAX` for none.
    pub(super) sell_best: i64,
    /// `None` where it is not known.
    money: Option<Money>,
    /// Digits after the point of a size.
    size_scale: u32,
}

impl Held {
    const fn new(money: Option<Money>, size_scale: u32) -> Self {
        let (buy_best, sell_best) = (i64::MIN, i64::MAX);
        Self { net: 0, working_buy: 0, working_sell: 0, buy_best, sell_best, money, size_scale }
    }

    fn position(&self, market: &Reference) -> Position {
        let known = |amount: &dyn Fn(Money) -> i64| self.money.map_or(AMOUNT_UNDEFINED, amount);
        Position {
            net: nearest(self.net),
            working_buy: nearest(self.working_buy),
            working_sell: nearest(self.working_sell),
            average_price: known(&|money| money.average_price(self.net)),
            realized: known(&|money| money.realized(self.size_scale)),
            unrealized: known(&|money| money.unrealized(self.net, market, self.size_scale)),
            fees: known(&Money::fees),
        }
    }

    fn working_mut(&mut self, side: Side) -> &mut i128 {
        match side {
            Side::Buy => &mut self.working_buy,
            Side::Sell => &mut self.working_sell,
        }
    }
}

/// The host's record of one instance's orders and positions.
#[derive(Debug)]
pub struct Ledger {
    executions: Executions,
    orders: Orders,
    index: IdIndex,
    held: Vec<Held>,
    held_max: usize,
    pub(super) throttle: Throttle,
    counts: LedgerCounts,
}

impl Default for Ledger {
    /// A ledger without room: every order is denied until [`Ledger::fit`].
    fn default() -> Self {
        Self {
            executions: Executions::default(),
            orders: Orders::default(),
            index: IdIndex::new(0),
            held: Vec::new(),
            held_max: 0,
            throttle: Throttle::default(),
            counts: LedgerCounts::default(),
        }
    }
}

impl Ledger {
    /// An empty ledger with room for what the limits allow.
    #[must_use]
    pub fn new(executions: Executions, limits: &Limits) -> Self {
        let mut ledger = Self { executions, ..Self::default() };
        ledger.fit(limits);
        ledger
    }

    /// Makes room for new limits, between batches. What is known stays.
    pub fn fit(&mut self, limits: &Limits) {
        self.orders.fit(limits.open_orders_max + ORDERS_ADOPTED_MAX);
        self.throttle.fit(limits.messages_per_second);
        let fresh = limits.ids().iter().filter(|id| self.index.get(**id).is_none()).count();
        self.held_max = self.held_max.max(self.held.len() + fresh + POSITIONS_UNDECLARED_MAX);
        self.held.reserve_exact(self.held_max - self.held.len());
        while self.index.capacity() < self.held_max {
            self.index.grow();
        }
        for id in limits.ids() {
            self.hold(*id, limits.get(*id).map_or(PRICE_SCALE, |limits| limits.size_scale));
        }
    }

    /// The position in an instrument, valued at this market.
    #[must_use]
    pub fn position(&self, instrument_id: u64, market: &Reference) -> Position {
        self.place(instrument_id).map_or(Position::default(), |place| self.held[place].position(market))
    }

    /// How many orders work.
    #[must_use]
    pub fn working_len(&self) -> usize {
        self.orders.len()
    }

    /// The id of the working order at `place` below [`Ledger::working_len`]. To cancel them all go from the last to the first:
    /// a cancel taken as done moves only orders behind it.
    #[must_use]
    pub fn working_id(&self, place: usize) -> Option<u64> {
        self.orders.working().get(place).map(|order| order.order_id)
    }

    /// Ids of all working orders, in the order that depends on nothing but what was sent and reported.
    pub fn working_ids(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.orders.working().iter().map(|order| order.order_id)
    }

    /// The instrument of a working order.
    #[must_use]
    pub fn instrument_of(&self, order_id: u64) -> Option<u64> {
        self.find(order_id).map(|(_, order)| order.instrument_id)
    }

    /// What was wrong with reports, since the start.
    #[must_use]
    pub const fn counts(&self) -> &LedgerCounts {
        &self.counts
    }

    /// Takes an execution report of an order of this instance. Returns what the guest is told; `None` for a report that has
    /// come before, makes no sense, or changes nothing. `order_id` is the guest's id of `execution.order`.
    pub fn apply_execution(
        &mut self,
        order_id: u64,
        head: &Head,
        execution: &Execution,
    ) -> Option<(OrderUpdate, Option<Fill>)> {
        if execution.kind == ExecutionKind::Filled && execution.size <= 0 {
            self.counts.invalid += 1;
            return None;
        }
        let place = match self.orders.find(order_id) {
            Some(place) => place,
            None if self.orders.knows(order_id) => return self.late(order_id, head, execution),
            None => {
                self.counts.unknown += 1;
                match self.adopt(order_id, head, execution) {
                    Some(place) => place,
                    None => return self.late(order_id, head, execution),
                }
            }
        };
        let order = self.orders.at_mut(place);
        if repeated(head.sequence, order.reported) {
            self.counts.repeated += 1;
            return None;
        }
        order.reported = order.reported.max(head.sequence);
        let is_over = match execution.kind {
            ExecutionKind::Accepted => false,
            ExecutionKind::Cancelled | ExecutionKind::Expired => true,
            ExecutionKind::Rejected | ExecutionKind::Replaced | ExecutionKind::Filled => execution.leaves <= 0,
        };
        self.report(place, execution);
        let mut update = self.update(place, head, execution);
        if is_over {
            self.remove(place);
            update.leaves = 0;
        }
        let side = self.fill_side(order_id, execution);
        Some((update, fill(&update, side, execution)))
    }

    /// What the check needs of an instrument: where its position is, and the position.
    #[inline]
    pub(super) fn held(&self, instrument_id: u64) -> Option<(usize, &Held)> {
        let place = self.place(instrument_id)?;
        Some((place, &self.held[place]))
    }

    #[inline]
    pub(super) fn find(&self, order_id: u64) -> Option<(usize, &Working)> {
        let place = self.orders.find(order_id)?;
        Some((place, self.orders.at(place)))
    }

    #[inline]
    pub(super) fn knows(&self, order_id: u64) -> bool {
        self.orders.knows(order_id)
    }

    /// Whether one more order fits below the limit and the room that is there.
    #[inline]
    pub(super) fn has_room(&self, open_orders_max: usize) -> bool {
        self.orders.len() < open_orders_max.min(self.orders.capacity())
    }

    /// By how much a working order changed to `leaves` would change what can fill.
    pub(super) fn exposure_change(&self, order: &Working, leaves: i64) -> i64 {
        match self.executions {
            Executions::Reported => leaves.saturating_sub(order.exposure).max(0),
            Executions::Assumed => leaves.saturating_sub(order.exposure),
        }
    }

    /// A new order goes out.
    pub(super) fn sent(&mut self, position: usize, order: &Order) {
        let rests = matches!(order.time_in_force(), TimeInForce::Gtc | TimeInForce::PostOnly)
            && order.order_type() == OrderType::Limit;
        if self.executions == Executions::Assumed && !rests {
            self.trade(position, order.side(), order.size(), None);
            self.orders.remember(Gone {
                order_id: order.order_id(),
                instrument_id: order.instrument_id(),
                side: order.side(),
                tag: order.tag(),
                price: order.price(),
                filled: order.size(),
                reported: 0,
            });
            return;
        }
        self.insert(Working {
            order_id: order.order_id(),
            instrument_id: order.instrument_id(),
            position,
            side: order.side(),
            order_type: order.order_type(),
            time_in_force: order.time_in_force(),
            tag: order.tag(),
            price: order.price(),
            size: order.size(),
            filled: 0,
            leaves: order.size(),
            exposure: order.size(),
            price_worst: order.price(),
            requests: 0,
            reported: 0,
        });
    }

    /// A modify goes out.
    pub(super) fn modified(&mut self, place: usize, price: i64, size: i64) {
        let order = self.orders.at_mut(place);
        let leaves = size.saturating_sub(order.filled);
        match self.executions {
            Executions::Reported => {
                order.requests = order.requests.saturating_add(1);
                let exposure = order.exposure.max(leaves);
                let price = more_aggressive(order.side, order.price_worst, price);
                self.expose(place, exposure, price);
            }
            Executions::Assumed => {
                (order.price, order.size, order.leaves) = (price, size, leaves);
                self.expose(place, leaves, price);
            }
        }
    }

    /// A cancel goes out.
    pub(super) fn cancelled(&mut self, place: usize) {
        match self.executions {
            Executions::Reported => {
                let order = self.orders.at_mut(place);
                order.requests = order.requests.saturating_add(1);
            }
            Executions::Assumed => self.remove(place),
        }
    }

    /// Takes over an order that still works and that the ledger did not know. Returns its place.
    fn adopt(&mut self, order_id: u64, head: &Head, execution: &Execution) -> Option<usize> {
        let position = self.hold(head.instrument_id, PRICE_SCALE);
        let works =
            execution.leaves > 0 && !matches!(execution.kind, ExecutionKind::Cancelled | ExecutionKind::Expired);
        if works && let Some(position) = position {
            let traded = if execution.kind == ExecutionKind::Filled { execution.size } else { 0 };
            let leaves = execution.leaves.saturating_add(traded);
            let adopted = self.insert(Working {
                order_id,
                instrument_id: head.instrument_id,
                position,
                side: execution.side,
                order_type: OrderType::Limit,
                time_in_force: TimeInForce::Gtc,
                tag: 0,
                price: execution.price,
                size: leaves,
                filled: 0,
                leaves,
                exposure: leaves,
                price_worst: execution.price,
                requests: 0,
                reported: 0,
            });
            if adopted {
                return self.orders.find(order_id);
            }
        }
        self.counts.unplaced += u64::from(works || position.is_none());
        self.orders.remember(Gone {
            order_id,
            instrument_id: head.instrument_id,
            side: execution.side,
            tag: 0,
            price: execution.price,
            filled: 0,
            reported: 0,
        });
        None
    }

    /// A report of an order that works no more: only a fill still counts, and what ended an order unknown until now.
    fn late(&mut self, order_id: u64, head: &Head, execution: &Execution) -> Option<(OrderUpdate, Option<Fill>)> {
        let gone = self.orders.gone_mut(order_id)?;
        if repeated(head.sequence, gone.reported) {
            self.counts.repeated += 1;
            return None;
        }
        gone.reported = gone.reported.max(head.sequence);
        if execution.kind != ExecutionKind::Filled {
            return None;
        }
        gone.filled = gone.filled.saturating_add(execution.size);
        let gone = *gone;
        if let Some(place) = self.place(gone.instrument_id) {
            self.trade(place, gone.side, execution.size, Some((execution.price, execution.fee)));
        }
        let update = OrderUpdate {
            order_id,
            tag: gone.tag,
            instrument_id: gone.instrument_id,
            ts_event: head.ts_event,
            ts_recv: head.ts_recv,
            status: status(execution),
            reason: 0,
            price: gone.price,
            leaves: 0,
            filled: gone.filled,
        };
        Some((update, fill(&update, gone.side, execution)))
    }

    /// Changes a working order as reported.
    fn report(&mut self, place: usize, execution: &Execution) {
        let order = self.orders.at_mut(place);
        let leaves = execution.leaves.max(0);
        match execution.kind {
            ExecutionKind::Accepted | ExecutionKind::Cancelled | ExecutionKind::Expired => {}
            ExecutionKind::Filled => {
                self.counts.overfilled += u64::from(execution.size > order.exposure);
                order.filled = order.filled.saturating_add(execution.size);
                order.leaves = leaves;
                let (position, side) = (order.position, order.side);
                let unfilled = order.exposure.saturating_sub(execution.size).max(leaves);
                let exposure = if order.requests == 0 { leaves } else { unfilled };
                let price = order.price_worst;
                self.expose(place, exposure, price);
                self.trade(position, side, execution.size, Some((execution.price, execution.fee)));
            }
            ExecutionKind::Replaced | ExecutionKind::Rejected => {
                order.requests = order.requests.saturating_sub(1);
                order.leaves = leaves;
                if execution.kind == ExecutionKind::Replaced {
                    (order.price, order.size) = (execution.price, execution.size);
                }
                let (exposure, price) = if order.requests == 0 {
                    (leaves, order.price)
                } else {
                    (order.exposure.max(leaves), more_aggressive(order.side, order.price_worst, order.price))
                };
                self.expose(place, exposure, price);
            }
        }
    }

    fn update(&self, place: usize, head: &Head, execution: &Execution) -> OrderUpdate {
        let order = self.orders.at(place);
        OrderUpdate {
            order_id: order.order_id,
            tag: order.tag,
            instrument_id: order.instrument_id,
            ts_event: head.ts_event,
            ts_recv: head.ts_recv,
            status: status(execution),
            reason: 0,
            price: order.price,
            leaves: order.leaves,
            filled: order.filled,
        }
    }

    /// The side of an order that was reported: as we sent it, whatever the report says.
    fn fill_side(&mut self, order_id: u64, execution: &Execution) -> Side {
        match self.orders.find(order_id) {
            Some(place) => self.orders.at(place).side,
            None => self.orders.gone_mut(order_id).map_or(execution.side, |gone| gone.side),
        }
    }

    fn insert(&mut self, order: Working) -> bool {
        if !self.orders.insert(order) {
            return false;
        }
        let held = &mut self.held[order.position];
        *held.working_mut(order.side) += i128::from(order.exposure);
        match order.side {
            Side::Buy => held.buy_best = held.buy_best.max(order.price_worst),
            Side::Sell => held.sell_best = held.sell_best.min(order.price_worst),
        }
        true
    }

    fn remove(&mut self, place: usize) {
        let order = self.orders.remove(place);
        *self.held[order.position].working_mut(order.side) -= i128::from(order.exposure);
        self.rank(order.position, order.side, order.price_worst);
    }

    /// Sets what a working order can still do.
    fn expose(&mut self, place: usize, exposure: i64, price_worst: i64) {
        let order = self.orders.at_mut(place);
        let (before, price_before) = (order.exposure, order.price_worst);
        (order.exposure, order.price_worst) = (exposure, price_worst);
        let (position, side) = (order.position, order.side);
        let held = &mut self.held[position];
        *held.working_mut(side) += i128::from(exposure) - i128::from(before);
        match side {
            Side::Buy => held.buy_best = held.buy_best.max(price_worst),
            Side::Sell => held.sell_best = held.sell_best.min(price_worst),
        }
        if price_before != price_worst {
            self.rank(position, side, price_before);
        }
    }

    /// Finds the best working price anew after `price` has left, if it was the best.
    fn rank(&mut self, position: usize, side: Side, price: i64) {
        let held = &mut self.held[position];
        let prices =
            self.orders.working().iter().filter(|o| o.position == position && o.side == side).map(|o| o.price_worst);
        match side {
            Side::Buy if price == held.buy_best => held.buy_best = prices.max().unwrap_or(i64::MIN),
            Side::Sell if price == held.sell_best => held.sell_best = prices.min().unwrap_or(i64::MAX),
            Side::Buy | Side::Sell => {}
        }
    }

    /// Moves a position. Without a price and a fee, money is not known from then on.
    fn trade(&mut self, position: usize, side: Side, size: i64, at: Option<(i64, i64)>) {
        let change = match side {
            Side::Buy => i128::from(size),
            Side::Sell => -i128::from(size),
        };
        let held = &mut self.held[position];
        held.money = held.money.zip(at).and_then(|(money, (price, fee))| money.trade(held.net, change, price, fee));
        held.net += change;
    }

    #[inline]
    fn place(&self, instrument_id: u64) -> Option<usize> {
        self.index.get(instrument_id).map(|place| place as usize)
    }

    /// The place of an instrument's position, made where there is room.
    fn hold(&mut self, instrument_id: u64, size_scale: u32) -> Option<usize> {
        if let Some(place) = self.place(instrument_id) {
            return Some(place);
        }
        let place = self.held.len();
        if place >= self.held_max || !self.index.insert(instrument_id, u32::try_from(place).ok()?) {
            return None;
        }
        let money = match self.executions {
            Executions::Reported => Some(Money::default()),
            Executions::Assumed => None,
        };
        self.held.push(Held::new(money, size_scale));
        Some(place)
    }
}

/// Whether a report numbered `sequence` has come before. 0 is no number.
fn repeated(sequence: u64, last: u64) -> bool {
    sequence != 0 && sequence <= last
}

fn more_aggressive(side: Side, a: i64, b: i64) -> i64 {
    match side {
        Side::Buy => a.max(b),
        Side::Sell => a.min(b),
    }
}

fn nearest(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}

fn status(execution: &Execution) -> OrderStatus {
    match execution.kind {
        ExecutionKind::Accepted => OrderStatus::Accepted,
        ExecutionKind::Rejected => OrderStatus::Rejected,
        ExecutionKind::Replaced => OrderStatus::Replaced,
        ExecutionKind::Cancelled => OrderStatus::Cancelled,
        ExecutionKind::Expired => OrderStatus::Expired,
        ExecutionKind::Filled if execution.leaves > 0 => OrderStatus::PartFilled,
        ExecutionKind::Filled => OrderStatus::Filled,
    }
}

fn fill(update: &OrderUpdate, side: Side, execution: &Execution) -> Option<Fill> {
    (execution.kind == ExecutionKind::Filled).then_some(Fill {
        order_id: update.order_id,
        tag: update.tag,
        instrument_id: update.instrument_id,
        ts_event: update.ts_event,
        ts_recv: update.ts_recv,
        side,
        execution: *execution,
    })
}
