//! The venue: messages on their way, arrivals, matching, reports on their way back.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use pinion_runtime::book::Books;
use pinion_runtime::effects::{OrderType, TimeInForce};
use pinion_runtime::event::{Event, Execution, ExecutionKind, Liquidity};
use pinion_runtime::instruments::Instrument;
use pinion_runtime::risk::OrderKind;
use pinion_spec::ids::ClientOrderId;

use crate::limits::{ENDED_MAX, MESSAGES_MAX, ORDERS_MAX};
use crate::market::{Live, Market, Match, Place};
use crate::model::Model;
use crate::order::{Message, Refusal, Report};
use crate::rng::Rng;

/// What was counted, since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that came.
    pub messages: u64,
    /// Those that had come before.
    pub repeated: u64,
    /// Those that were refused, by reason.
    pub refused: BTreeMap<Refusal, u64>,
    /// Fills, parts counted each.
    pub fills: u64,
    /// Fills from a level whose size the data does not tell.
    pub unbounded: u64,
    /// Orders that expired because there was nothing known to take from.
    pub unpriced: u64,
}

/// A fill, for whoever keeps accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traded {
    /// The report of it.
    pub report: Report,
    /// Digits behind the point of its size.
    pub scale: u32,
}

/// The latest times of a strategy's two ways: nothing overtakes.
#[derive(Debug, Clone, Copy, Default)]
struct Way {
    arrival: u64,
    seen: u64,
}

/// The venue. See the crate's own text for what it does.
#[derive(Debug)]
pub struct Venue {
    model: Model,
    rng: Rng,
    markets: Vec<Market>,
    index: HashMap<u64, usize>,
    /// The instrument of the last event and its place: events come in rows.
    current: Option<(u64, usize)>,
    /// By arrival, then in the order of their coming.
    coming: BTreeMap<(u64, u64), Message>,
    /// By the time at which they are seen, then by sequence.
    going: BTreeMap<(u64, u64), Report>,
    ways: HashMap<u32, Way>,
    working: HashMap<ClientOrderId, usize>,
    ended: HashSet<ClientOrderId>,
    ended_order: VecDeque<ClientOrderId>,
    clock: u64,
    sequence: u64,
    counts: Counts,
    traded: Vec<Traded>,
    fills: Vec<Match>,
}

impl Venue {
    /// A venue that trades these instruments.
    #[must_use]
    pub fn new<'a>(model: Model, instruments: impl IntoIterator<Item = &'a Instrument>) -> Self {
        let mut markets: Vec<Market> = instruments
            .into_iter()
            .map(|instrument| Market::new(instrument.id, u32::from(instrument.size_exponent.unsigned_abs())))
            .collect();
        markets.sort_unstable_by_key(|market| market.instrument_id);
        markets.dedup_by_key(|market| market.instrument_id);
        let index = markets.iter().enumerate().map(|(place, market)| (market.instrument_id, place)).collect();
        Self {
            model,
            rng: Rng::new(model.seed),
            markets,
            index,
            current: None,
            coming: BTreeMap::new(),
            going: BTreeMap::new(),
            ways: HashMap::new(),
            working: HashMap::new(),
            ended: HashSet::new(),
            ended_order: VecDeque::new(),
            clock: 0,
            sequence: 0,
            counts: Counts::default(),
            traded: Vec::new(),
            fills: Vec::new(),
        }
    }

    /// Goes on after an earlier venue: reports are numbered from behind `sequence`, and orders that have ended are not opened again.
    pub fn resume(&mut self, sequence: u64, ended: impl IntoIterator<Item = ClientOrderId>) {
        self.sequence = self.sequence.max(sequence);
        ended.into_iter().for_each(|id| self.remember(id));
    }

    /// Ends: what works is cancelled, what is on its way is refused, and every report is seen at the next look.
    pub fn close(&mut self) {
        for (_, message) in std::mem::take(&mut self.coming) {
            self.refuse(&message, Refusal::Closed, self.clock);
        }
        for place in 0..self.markets.len() {
            while !self.markets[place].orders.is_empty() {
                self.end(place, 0, ExecutionKind::Cancelled);
            }
        }
        let seen = |((_, sequence), report): ((u64, u64), Report)| ((0, sequence), report);
        self.going = std::mem::take(&mut self.going).into_iter().map(seen).collect();
    }

    /// Sends a message on its way. Messages of one strategy come in the order in which they were decided.
    pub fn send(&mut self, message: Message) {
        self.counts.messages += 1;
        let latency = self.model.latency.draw(&mut self.rng);
        let way = self.ways.entry(message.id.strategy).or_default();
        // Never before what has happened already: the market it meets is the next one.
        way.arrival = message.ts.saturating_add(latency).max(way.arrival);
        let arrival = way.arrival;
        if self.coming.len() >= MESSAGES_MAX {
            self.refuse(&message, Refusal::Full, arrival);
            return;
        }
        self.coming.insert((arrival, self.counts.messages), message);
    }

    /// When the next message arrives.
    #[must_use]
    pub fn next_arrival(&self) -> Option<u64> {
        self.coming.first_key_value().map(|((at, _), _)| *at)
    }

    /// When the next report is seen.
    #[must_use]
    pub fn next_report(&self) -> Option<u64> {
        self.going.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes what arrives at or before `ts`, in the order of arrival, against the books as they stand.
    pub fn arrive(&mut self, ts: u64, books: &Books) {
        while let Some(first) = self.coming.first_entry().filter(|first| first.key().0 <= ts) {
            let ((arrival, _), message) = first.remove_entry();
            self.clock = self.clock.max(arrival);
            match message.kind {
                OrderKind::New => self.open(&message, books),
                OrderKind::Modify => self.modify(&message, books),
                OrderKind::Cancel => self.cancel(&message),
            }
        }
    }

    /// Takes a market event that `books` have taken. [`Venue::arrive`] comes before it, up to its time.
    #[inline]
    pub fn market(&mut self, event: &Event, books: &Books) {
        let Some(place) = self.place(event.head.instrument_id) else { return };
        self.clock = self.clock.max(event.head.ts_recv);
        let mut fills = std::mem::take(&mut self.fills);
        let may_take = self.markets[place].take(event, books, &mut fills);
        if !fills.is_empty() {
            self.settle(place, &mut fills);
        }
        self.fills = fills;
        if may_take && !self.markets[place].orders.is_empty() {
            self.take_all(place, books);
        }
    }

    /// The next report that is seen at or before `ts`.
    pub fn report(&mut self, ts: u64) -> Option<Report> {
        self.going.first_entry().filter(|first| first.key().0 <= ts).map(|first| first.remove())
    }

    /// The fills since the last call, in their order, whether they have been seen or not.
    pub fn traded(&mut self) -> impl Iterator<Item = Traded> + '_ {
        self.traded.drain(..)
    }

    /// Whether there are fills that [`Venue::traded`] has not told.
    #[must_use]
    pub fn has_traded(&self) -> bool {
        !self.traded.is_empty()
    }

    /// Best bid and ask of an instrument, as far as they are known.
    #[must_use]
    pub fn touch(&self, instrument_id: u64, books: &Books) -> (Option<i64>, Option<i64>) {
        self.index.get(&instrument_id).map_or((None, None), |place| self.markets[*place].touch(books))
    }

    /// How many orders work.
    #[must_use]
    pub fn working_len(&self) -> usize {
        self.working.len()
    }

    /// What was counted.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    #[inline]
    fn place(&mut self, instrument_id: u64) -> Option<usize> {
        match self.current {
            Some((id, place)) if id == instrument_id => Some(place),
            _ => {
                let place = *self.index.get(&instrument_id)?;
                self.current = Some((instrument_id, place));
                Some(place)
            }
        }
    }

    fn open(&mut self, message: &Message, books: &Books) {
        if self.working.contains_key(&message.id) || self.ended.contains(&message.id) {
            self.counts.repeated += 1;
            return;
        }
        let Some(place) = self.place(message.instrument_id) else {
            return self.end_refused(message, Refusal::UnknownInstrument);
        };
        if message.price <= 0 || message.size <= 0 {
            return self.end_refused(message, Refusal::Invalid);
        }
        let market = &self.markets[place];
        if self.fee_overflows(market.scale, message) {
            return self.end_refused(message, Refusal::Overflow);
        }
        if self.working.len() >= ORDERS_MAX {
            return self.end_refused(message, Refusal::Full);
        }
        let marketable = market.is_marketable(books, message.side, message.price);
        let post_only = message.time_in_force == TimeInForce::PostOnly;
        if post_only && (marketable || message.order_type == OrderType::Market) {
            return self.end_refused(message, Refusal::WouldTake);
        }
        let mut live = Live {
            id: message.id,
            side: message.side,
            order_type: message.order_type,
            time_in_force: message.time_in_force,
            price: message.price,
            size: message.size,
            filled: 0,
            place: Place::Taking,
        };
        if !marketable && !live.is_immediate() {
            live.place = Place::Resting(market.ahead(books, live.side, live.price));
        }
        self.markets[place].orders.push(live);
        self.working.insert(message.id, place);
        self.report_of(place, &live, ExecutionKind::Accepted);
    }

    /// Whether the order's fee at its own price would not fit.
    fn fee_overflows(&self, scale: u32, message: &Message) -> bool {
        let fits = |maker| self.model.fees.of(maker, message.price, message.size, scale).is_some();
        !(fits(true) && fits(false))
    }

    fn modify(&mut self, message: &Message, books: &Books) {
        let Some((place, at)) = self.find(message.id) else {
            return self.refuse(message, Refusal::UnknownOrder, self.clock);
        };
        let market = &mut self.markets[place];
        let before = market.orders[at];
        let mut after = Live { price: message.price, size: message.size, ..before };
        let scale = market.scale;
        if message.price <= 0 || message.size <= before.filled {
            return self.refuse(message, Refusal::Invalid, self.clock);
        }
        if self.fee_overflows(scale, message) {
            return self.refuse(message, Refusal::Overflow, self.clock);
        }
        let market = &mut self.markets[place];
        if after.price == before.price && after.size <= before.size {
            market.orders[at] = after;
        } else {
            let marketable = market.is_marketable(books, after.side, after.price);
            if marketable && after.time_in_force == TimeInForce::PostOnly {
                return self.refuse(message, Refusal::WouldTake, self.clock);
            }
            after.place = match marketable || after.is_immediate() {
                true => Place::Taking,
                false => Place::Resting(market.ahead(books, after.side, after.price)),
            };
            // It joins behind all that is there.
            market.orders.remove(at);
            market.orders.push(after);
        }
        self.report_of(place, &after, ExecutionKind::Replaced);
    }

    fn cancel(&mut self, message: &Message) {
        let Some((place, at)) = self.find(message.id) else {
            return self.refuse(message, Refusal::UnknownOrder, self.clock);
        };
        self.end(place, at, ExecutionKind::Cancelled);
    }

    fn find(&self, id: ClientOrderId) -> Option<(usize, usize)> {
        let place = *self.working.get(&id)?;
        let at = self.markets[place].orders.iter().position(|order| order.id == id)?;
        Some((place, at))
    }

    /// Orders that came to take do so, in the order of their coming; what may rest of them does.
    fn take_all(&mut self, place: usize, books: &Books) {
        let mut at = 0;
        while let Some(order) = self.markets[place].orders.get(at).copied() {
            if order.place != Place::Taking {
                at += 1;
                continue;
            }
            let walked = self.markets[place].walk(at, books, &mut self.counts.unbounded);
            self.counts.unpriced += u64::from(walked.is_none() && order.is_immediate());
            let mut fills = walked.unwrap_or_default();
            let all = fills.iter().map(|fill| fill.size).sum::<i64>() == order.leaves();
            if order.time_in_force == TimeInForce::Fok && !all {
                fills.clear();
            }
            let ends = all && !fills.is_empty();
            let settled = self.settle(place, &mut fills);
            if ends && settled {
                // Gone: the next one is in its place.
                continue;
            }
            if order.is_immediate() {
                self.end(place, at, ExecutionKind::Expired);
                continue;
            }
            let market = &mut self.markets[place];
            let ahead = market.ahead(books, order.side, order.price);
            market.orders[at].place = Place::Resting(ahead);
            at += 1;
        }
    }

    /// Makes fills true: accounts of levels, orders, reports. False where one was refused, and those after it.
    fn settle(&mut self, place: usize, fills: &mut Vec<Match>) -> bool {
        let mut gone = 0;
        let mut settled = true;
        fills.sort_by_key(|fill| fill.place);
        // From first to last: an order that is whole goes, and those behind it move up.
        for fill in fills.drain(..) {
            let at = fill.place - gone;
            let market = &mut self.markets[place];
            let fee = self.model.fees.of(fill.maker, fill.price, fill.size, market.scale);
            let order = market.orders[at];
            let Some(fee) = fee.filter(|_| fill.maker || market.took(order.side, fill.price, fill.size)) else {
                settled = false;
                break;
            };
            let order = &mut market.orders[at];
            order.filled += fill.size;
            debug_assert!(order.filled <= order.size);
            let (order, scale) = (*order, market.scale);
            if order.leaves() == 0 {
                market.orders.remove(at);
                self.forget(order.id);
                gone += 1;
            }
            self.counts.fills += 1;
            let execution = Execution {
                order: order.id,
                kind: ExecutionKind::Filled,
                side: order.side,
                liquidity: if fill.maker { Liquidity::Maker } else { Liquidity::Taker },
                price: fill.price,
                size: fill.size,
                leaves: order.leaves(),
                fee,
            };
            let report = self.queue(self.markets[place].instrument_id, self.clock, execution, None);
            self.traded.push(Traded { report, scale });
        }
        fills.clear();
        settled
    }

    /// Takes an order out and says so.
    fn end(&mut self, place: usize, at: usize, kind: ExecutionKind) {
        let order = self.markets[place].orders.remove(at);
        self.forget(order.id);
        self.report_of(place, &order, kind);
    }

    fn forget(&mut self, id: ClientOrderId) {
        self.working.remove(&id);
        self.remember(id);
    }

    fn remember(&mut self, id: ClientOrderId) {
        if self.ended_order.len() >= ENDED_MAX
            && let Some(oldest) = self.ended_order.pop_front()
        {
            self.ended.remove(&oldest);
        }
        if self.ended.insert(id) {
            self.ended_order.push_back(id);
        }
    }

    /// Refuses a new order: it has ended.
    fn end_refused(&mut self, message: &Message, refusal: Refusal) {
        self.remember(message.id);
        self.refuse(message, refusal, self.clock);
    }

    /// Refuses a message. What the order still has working, if it works, is told.
    fn refuse(&mut self, message: &Message, refusal: Refusal, ts: u64) {
        *self.counts.refused.entry(refusal).or_default() += 1;
        let stands = self.find(message.id).map(|(place, at)| self.markets[place].orders[at]);
        let execution = Execution {
            order: message.id,
            kind: ExecutionKind::Rejected,
            side: stands.map_or(message.side, |order| order.side),
            liquidity: Liquidity::Unknown,
            price: stands.map_or(message.price, |order| order.price),
            size: stands.map_or(message.size, |order| order.size),
            leaves: stands.map_or(0, |order| order.leaves()),
            fee: 0,
        };
        self.queue(message.instrument_id, ts, execution, Some(refusal));
    }

    fn report_of(&mut self, place: usize, order: &Live, kind: ExecutionKind) {
        let over = matches!(kind, ExecutionKind::Cancelled | ExecutionKind::Expired);
        let execution = Execution {
            order: order.id,
            kind,
            side: order.side,
            liquidity: Liquidity::Unknown,
            price: order.price,
            size: order.size,
            leaves: if over { 0 } else { order.leaves() },
            fee: 0,
        };
        self.queue(self.markets[place].instrument_id, self.clock, execution, None);
    }

    /// Sends a report on its way.
    fn queue(&mut self, instrument_id: u64, ts: u64, execution: Execution, refusal: Option<Refusal>) -> Report {
        let latency = self.model.latency.draw(&mut self.rng);
        self.sequence += 1;
        let way = self.ways.entry(execution.order.strategy).or_default();
        way.seen = ts.saturating_add(latency).max(way.seen);
        let report =
            Report { instrument_id, ts_event: ts, ts_recv: way.seen, sequence: self.sequence, execution, refusal };
        self.going.insert((report.ts_recv, report.sequence), report);
        report
    }
}
