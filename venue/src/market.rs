//! One instrument as the venue shows it, and our orders in it: where they stand, and what fills them.

use pinion_runtime::book::{BookState, Books};
use pinion_runtime::effects::{OrderType, TimeInForce};
use pinion_runtime::event::{Aggressor, Body, BookSide, Event, PRICE_UNDEFINED, Quote, Side, Trade};
use pinion_spec::ids::ClientOrderId;

use crate::limits::TAKEN_LEVELS_MAX;

/// How much waits before a resting order at its price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// Nobody has shown it yet.
    Unknown,
    /// So much of others.
    Size(i64),
}

/// Where an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It was marketable when it came, and takes at the next market event.
    Taking,
    /// In the queue at its price.
    Resting(Ahead),
}

/// One of our orders that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) id: ClientOrderId,
    pub(crate) side: Side,
    pub(crate) order_type: OrderType,
    pub(crate) time_in_force: TimeInForce,
    pub(crate) price: i64,
    pub(crate) size: i64,
    pub(crate) filled: i64,
    pub(crate) place: Place,
}

impl Live {
    pub(crate) const fn leaves(&self) -> i64 {
        self.size - self.filled
    }

    /// Whether what does not take at once is gone.
    pub(crate) fn is_immediate(&self) -> bool {
        self.order_type == OrderType::Market || matches!(self.time_in_force, TimeInForce::Ioc | TimeInForce::Fok)
    }

    fn book_side(&self) -> BookSide {
        book_side(self.side)
    }
}

/// A fill before it is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Match {
    /// Position in [`Market::orders`].
    pub(crate) place: usize,
    pub(crate) price: i64,
    pub(crate) size: i64,
    pub(crate) maker: bool,
}

/// What one side shows: levels best first, a size of 0 where it is not told.
#[derive(Debug, Clone, Copy)]
struct Displayed<'b> {
    books: &'b Books,
    instrument_id: u64,
    side: BookSide,
    quote: Option<(i64, i64)>,
    whole: bool,
}

impl Displayed<'_> {
    fn levels(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let book = (0..if self.whole { u32::MAX } else { 0 })
            .map_while(|depth| self.books.level(self.instrument_id, self.side, depth))
            .map(|level| (level.price, level.size))
            // What lies before a newer quote is gone, and the quote knows the size at its own price.
            .skip_while(move |(price, _)| self.quote.is_some_and(|(best, _)| !is_better(self.side, best, *price)));
        self.quote.into_iter().chain(book)
    }

    fn best(&self) -> Option<i64> {
        self.levels().next().map(|(price, _)| price)
    }

    /// What waits at a price; `None` where nobody says.
    fn size_at(&self, price: i64) -> Option<i64> {
        let (level, size) = self.levels().find(|(level, _)| !is_better(self.side, *level, price))?;
        match level == price {
            // A size of 0 is one that is not told.
            true => (size > 0).then_some(size),
            // Between two levels, or before the best: nobody is there.
            false => Some(0),
        }
    }
}

/// One instrument.
#[derive(Debug)]
pub(crate) struct Market {
    pub(crate) instrument_id: u64,
    /// Digits behind the point of sizes.
    pub(crate) scale: u32,
    /// In the order in which they joined.
    pub(crate) orders: Vec<Live>,
    /// What our own fills took from levels that nothing new has been said of since: (side, price, size).
    taken: Vec<(BookSide, i64, i64)>,
    quote: Option<Quote>,
    /// Levels of the depth update that is being told.
    pending: u32,
    /// The book does not take it.
    outdated: bool,
    /// A snapshot came that [`Market::look`] has not seen.
    snapshot: bool,
}

impl Market {
    pub(crate) const fn new(instrument_id: u64, scale: u32) -> Self {
        Self {
            instrument_id,
            scale,
            orders: Vec::new(),
            taken: Vec::new(),
            quote: None,
            pending: 0,
            outdated: false,
            snapshot: false,
        }
    }

    fn displayed<'b>(&self, books: &'b Books, side: BookSide) -> Option<Displayed<'b>> {
        let instrument_id = self.instrument_id;
        let reference = books.reference(instrument_id);
        if reference.state == BookState::Gapped {
            return None;
        }
        let whole = reference.state == BookState::Whole;
        let quote = books.quote(instrument_id).filter(|(_, ts)| !whole || reference.ts_recv == *ts);
        if !whole && quote.is_none() {
            return None;
        }
        let quote = quote.map(|(quote, _)| best_of(&quote, side));
        // A newer quote that knows no best on this side says that the book's levels are gone.
        let whole = whole && quote.is_none_or(|(price, _)| price != PRICE_UNDEFINED);
        let quote = quote.filter(|(price, _)| *price != PRICE_UNDEFINED);
        Some(Displayed { books, instrument_id, side, quote, whole })
    }

    /// Best bid and ask, as far as they are known.
    pub(crate) fn touch(&self, books: &Books) -> (Option<i64>, Option<i64>) {
        let best = |side| self.displayed(books, side).and_then(|displayed| displayed.best());
        (best(BookSide::Bid), best(BookSide::Ask))
    }

    /// Whether an order at this price would take, by what is displayed.
    pub(crate) fn is_marketable(&self, books: &Books, side: Side, price: i64) -> bool {
        let far = self.displayed(books, opposite(side)).and_then(|displayed| left(&displayed, &self.taken));
        far.is_some_and(|far| reaches(side, price, far))
    }

    /// How much waits before an order that joins now.
    pub(crate) fn ahead(&self, books: &Books, side: Side, price: i64) -> Ahead {
        let size = self.displayed(books, book_side(side)).and_then(|displayed| displayed.size_at(price));
        size.map_or(Ahead::Unknown, Ahead::Size)
    }

    /// Takes a market event that the books have taken, and says what it fills. True where orders that take may do so now.
    #[inline]
    pub(crate) fn take(&mut self, event: &Event, books: &Books, fills: &mut Vec<Match>) -> bool {
        // What the book holds something newer of says nothing of the market as it is.
        let outdated = || event.head.sequence != 0 && event.head.sequence < books.sequence(self.instrument_id);
        match &event.body {
            Body::Quote(quote) => {
                if books.quote(self.instrument_id).is_some_and(|(held, _)| held == *quote) {
                    self.quote(quote);
                }
            }
            Body::Depth(depth) => {
                (self.pending, self.outdated) = (depth.levels, outdated());
                if depth.snapshot && !self.outdated {
                    self.snapshot = true;
                    self.forget(|_, _| true);
                }
            }
            Body::Delta(delta) => {
                self.pending = self.pending.saturating_sub(1);
                if !self.outdated {
                    self.forget(|side, price| (side, price) == (delta.side, delta.price));
                    self.shown(delta.side, delta.price, delta.size);
                }
            }
            Body::Trade(trade) => {
                self.trade(trade, fills);
                return true;
            }
            Body::Status(_) | Body::Execution(_) | Body::Skip => return false,
        }
        if self.pending > 0 {
            return false;
        }
        if !self.orders.is_empty() {
            self.look(books, fills);
        }
        true
    }

    fn quote(&mut self, quote: &Quote) {
        let last = self.quote.replace(*quote);
        for side in [BookSide::Bid, BookSide::Ask] {
            let (price, size) = best_of(quote, side);
            let same = last.is_some_and(|last| best_of(&last, side) == (price, size));
            self.forget(|of, level| {
                of == side && (price == PRICE_UNDEFINED || is_better(side, level, price) || (level == price && !same))
            });
            if size > 0 {
                self.shown(side, price, size);
            }
        }
    }

    /// A level that shrinks takes from behind us until it is smaller than the queue ahead.
    fn shown(&mut self, side: BookSide, price: i64, size: i64) {
        for order in self.orders.iter_mut().filter(|order| order.price == price && order.book_side() == side) {
            if let Place::Resting(ahead) = &mut order.place {
                *ahead = match *ahead {
                    Ahead::Unknown => Ahead::Size(size),
                    Ahead::Size(before) => Ahead::Size(before.min(size)),
                };
            }
        }
    }

    /// After a whole update: what lies before the market's best has nobody ahead, and what the other side reaches fills.
    fn look(&mut self, books: &Books, fills: &mut Vec<Match>) {
        for side in [Side::Buy, Side::Sell] {
            let (Some(near), Some(far)) =
                (self.displayed(books, book_side(side)), self.displayed(books, opposite(side)))
            else {
                continue;
            };
            let (near_best, far_best) = (near.best(), left(&far, &self.taken));
            let snapshot = self.snapshot;
            for (place, order) in self.orders.iter_mut().enumerate().filter(|(_, order)| order.side == side) {
                let Place::Resting(ahead) = &mut order.place else { continue };
                if far_best.is_some_and(|far| reaches(side, order.price, far)) {
                    fills.push(Match { place, price: order.price, size: order.leaves(), maker: true });
                } else if near_best.is_some_and(|best| is_better(book_side(side), order.price, best)) {
                    *ahead = Ahead::Size(0);
                } else if let (true, Ahead::Size(before)) = (snapshot, *ahead) {
                    // A snapshot says of a level that is gone by not naming it.
                    let now = near.size_at(order.price).unwrap_or(before);
                    *ahead = Ahead::Size(before.min(now));
                }
            }
        }
        self.snapshot = false;
    }

    fn trade(&mut self, trade: &Trade, fills: &mut Vec<Match>) {
        for side in [Side::Buy, Side::Sell] {
            let from = fills.len();
            let opposite = match side {
                Side::Buy => trade.aggressor != Aggressor::Buyer,
                Side::Sell => trade.aggressor != Aggressor::Seller,
            };
            let (mut left, mut eaten) = (trade.size.max(0), 0);
            for (place, order) in self.orders.iter_mut().enumerate().filter(|(_, order)| order.side == side) {
                let leaves = order.leaves();
                let Place::Resting(ahead) = &mut order.place else { continue };
                if is_better(book_side(side), order.price, trade.price) {
                    // The market went through our price: whatever waited there is gone, we too.
                    fills.push(Match { place, price: order.price, size: leaves, maker: true });
                    continue;
                }
                let (true, true, Ahead::Size(before)) = (order.price == trade.price, opposite, *ahead) else {
                    continue;
                };
                // `before` counts what those of ours that joined earlier had before them, too.
                let others = before.saturating_sub(eaten).clamp(0, left);
                eaten += others;
                left -= others;
                *ahead = Ahead::Size(before.saturating_sub(eaten).max(0));
                let size = left.min(leaves);
                if size > 0 {
                    left -= size;
                    fills.push(Match { place, price: order.price, size, maker: true });
                }
            }
            debug_assert!(fills[from..].iter().all(|fill| fill.size > 0));
        }
    }

    /// What the taking order at `place` would take now, level by level; `None` where nothing is displayed to take from.
    pub(crate) fn walk(&self, place: usize, books: &Books, unbounded: &mut u64) -> Option<Vec<Match>> {
        let order = self.orders.get(place)?;
        let side = opposite(order.side);
        let displayed = self.displayed(books, side)?;
        displayed.best()?;
        let (mut left, mut fills) = (order.leaves(), Vec::new());
        for (price, size) in displayed.levels().take_while(|(price, _)| reaches(order.side, order.price, *price)) {
            let here = if size == 0 { left } else { left.min((size - self.taken(side, price)).max(0)) };
            if here > 0 {
                *unbounded += u64::from(size == 0);
                left -= here;
                fills.push(Match { place, price, size: here, maker: false });
            }
            if left == 0 {
                break;
            }
        }
        Some(fills)
    }

    fn taken(&self, side: BookSide, price: i64) -> i64 {
        taken(&self.taken, side, price)
    }

    /// Remembers what a fill of ours took. False where there is no more room for that.
    pub(crate) fn took(&mut self, by: Side, price: i64, size: i64) -> bool {
        let side = opposite(by);
        if let Some((.., taken)) = self.taken.iter_mut().find(|(of, at, _)| (*of, *at) == (side, price)) {
            *taken = taken.saturating_add(size);
            return true;
        }
        let room = self.taken.len() < 2 * TAKEN_LEVELS_MAX;
        if room {
            self.taken.push((side, price, size));
        }
        room
    }

    #[inline]
    fn forget(&mut self, gone: impl Fn(BookSide, i64) -> bool) {
        if !self.taken.is_empty() {
            self.taken.retain(|(side, price, _)| !gone(*side, *price));
        }
    }
}

/// The best price at which something is left that we have not taken.
fn left(displayed: &Displayed<'_>, ours: &[(BookSide, i64, i64)]) -> Option<i64> {
    let is_left = |(price, size): &(i64, i64)| *size == 0 || *size > taken(ours, displayed.side, *price);
    displayed.levels().find(is_left).map(|(price, _)| price)
}

fn taken(ours: &[(BookSide, i64, i64)], side: BookSide, price: i64) -> i64 {
    ours.iter().find(|(of, at, _)| (*of, *at) == (side, price)).map_or(0, |(.., size)| *size)
}

const fn best_of(quote: &Quote, side: BookSide) -> (i64, i64) {
    match side {
        BookSide::Bid => (quote.bid_price, quote.bid_size),
        BookSide::Ask => (quote.ask_price, quote.ask_size),
    }
}

/// The side of the book on which an order rests.
const fn book_side(side: Side) -> BookSide {
    match side {
        Side::Buy => BookSide::Bid,
        Side::Sell => BookSide::Ask,
    }
}

/// The side of the book from which an order takes.
const fn opposite(side: Side) -> BookSide {
    match side {
        Side::Buy => BookSide::Ask,
        Side::Sell => BookSide::Bid,
    }
}

/// Whether a price comes before another on its side of the book.
const fn is_better(side: BookSide, price: i64, than: i64) -> bool {
    match side {
        BookSide::Bid => price > than,
        BookSide::Ask => price < than,
    }
}

/// Whether an order at `price` trades with one at `far` on the other side.
const fn reaches(side: Side, price: i64, far: i64) -> bool {
    match side {
        Side::Buy => price >= far,
        Side::Sell => price <= far,
    }
}
