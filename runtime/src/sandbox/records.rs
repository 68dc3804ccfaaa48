//! The contract's records for the component lane: the same names in the same order as `wit/strategy.wit`, so that wasmtime
//! checks them against the component's own types.

use wasmtime::component::{ComponentType, Lift, Lower, flags};

use super::scalars;
use super::{BookTop, Fill, Gap, OrderUpdate};
use crate::bars::{Bar, BarKind, BarSeries};
use crate::event::{Delta, Head, MarketState, PRICE_UNDEFINED, Quote, Trade};
use crate::risk::Position;

/// An enum that goes to the guest, made from a number of ours, or comes from it, checked by wasmtime.
macro_rules! wit_enum {
    ($name:ident { $($case:ident = $wit:literal),* $(,)? }) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift, Lower)]
        #[component(enum)]
        #[repr(u8)]
        #[allow(dead_code, reason = "those that only come from the guest are made by `Lift`")]
        pub(super) enum $name {
            $(#[component(name = $wit)] $case),*
        }
    };
}

/// Makes the case of a number; the first for a number that has none, which ours never are.
macro_rules! of_number {
    ($($name:ident: $first:ident, $($case:ident),*;)*) => {
        $(impl $name {
            fn of(number: u32) -> Self {
                match number {
                    $(number if number == Self::$case as u32 => Self::$case,)*
                    _ => Self::$first,
                }
            }
        })*
    };
}

wit_enum!(WitSide { Buy = "buy", Sell = "sell" });
wit_enum!(WitAggressor { None = "none", Buyer = "buyer", Seller = "seller" });
wit_enum!(WitBookSide { None = "none", Bid = "bid", Ask = "ask" });
wit_enum!(WitBookAction { Set = "set", Clear = "clear" });
wit_enum!(WitLiquidity { Unknown = "unknown", Maker = "maker", Taker = "taker" });
wit_enum!(WitOrderType { Limit = "limit", Market = "market" });
wit_enum!(WitTimeInForce { Gtc = "gtc", Ioc = "ioc", Fok = "fok", PostOnly = "post-only" });
wit_enum!(WitTradingState { Active = "active", Reducing = "reducing", Halted = "halted" });
wit_enum!(WitLogLevel { Debug = "debug", Info = "info", Warn = "warn", Error = "error" });
wit_enum!(WitBarKind { Time = "time", Trades = "trades", Volume = "volume" });
wit_enum!(WitMarketState {
    Unknown = "unknown",
    Closed = "closed",
    PreOpen = "pre-open",
    Auction = "auction",
    Trading = "trading",
    Paused = "paused",
    Halted = "halted",
});
wit_enum!(WitOrderStatus {
    Denied = "denied",
    Accepted = "accepted",
    Rejected = "rejected",
    Replaced = "replaced",
    Cancelled = "cancelled",
    Expired = "expired",
    PartFilled = "part-filled",
    Filled = "filled",
});
wit_enum!(WitDenyReason {
    None = "none",
    InvalidPrice = "invalid-price",
    InvalidSize = "invalid-size",
    InvalidTick = "invalid-tick",
    InvalidLot = "invalid-lot",
    UnknownInstrument = "unknown-instrument",
    InstrumentNotAllowed = "instrument-not-allowed",
    MaxOrderSize = "max-order-size",
    MaxOrderNotional = "max-order-notional",
    PriceCollar = "price-collar",
    NoReferencePrice = "no-reference-price",
    MessageRate = "message-rate",
    MaxOpenOrders = "max-open-orders",
    MaxPosition = "max-position",
    DuplicateOrder = "duplicate-order",
    UnknownOrder = "unknown-order",
    StaleBook = "stale-book",
    CrossedBook = "crossed-book",
    GappedBook = "gapped-book",
    TradingStateReducing = "trading-state-reducing",
    TradingStateHalted = "trading-state-halted",
    KillSwitch = "kill-switch",
    SelfMatch = "self-match",
    Overflow = "overflow",
});

of_number! {
    WitSide: Buy, Sell;
    WitAggressor: None, Buyer, Seller;
    WitBookSide: None, Bid, Ask;
    WitLiquidity: Unknown, Maker, Taker;
    WitTradingState: Active, Reducing, Halted;
    WitMarketState: Unknown, Closed, PreOpen, Auction, Trading, Paused, Halted;
    WitOrderStatus: Denied, Accepted, Rejected, Replaced, Cancelled, Expired, PartFilled, Filled;
    WitDenyReason: None, InvalidPrice, InvalidSize, InvalidTick, InvalidLot, UnknownInstrument, InstrumentNotAllowed, MaxOrderSize, MaxOrderNotional, PriceCollar, NoReferencePrice, MessageRate, MaxOpenOrders, MaxPosition, DuplicateOrder, UnknownOrder, StaleBook, CrossedBook, GappedBook, TradingStateReducing, TradingStateHalted, KillSwitch, SelfMatch, Overflow;
}

flags! {
    WitCallbacks {
        #[component(name = "quote")]
        const QUOTE;
        #[component(name = "trade")]
        const TRADE;
        #[component(name = "book-delta")]
        const BOOK_DELTA;
        #[component(name = "book")]
        const BOOK;
        #[component(name = "gap")]
        const GAP;
        #[component(name = "timer")]
        const TIMER;
        #[component(name = "order")]
        const ORDER;
        #[component(name = "fill")]
        const FILL;
        #[component(name = "trading-state")]
        const TRADING_STATE;
        #[component(name = "status")]
        const STATUS;
        #[component(name = "position")]
        const POSITION;
        #[component(name = "state")]
        const STATE;
    }
}

/// A record that begins with the head of a market event.
macro_rules! wit_event {
    ($name:ident { $($field:ident: $ty:ty = $wit:literal),* $(,)? }) => {
        #[derive(Debug, Clone, Copy, ComponentType, Lower)]
        #[component(record)]
        pub(super) struct $name {
            #[component(name = "instrument-id")]
            instrument_id: u64,
            #[component(name = "publisher-id")]
            publisher_id: u32,
            flags: u32,
            #[component(name = "ts-event")]
            ts_event: u64,
            #[component(name = "ts-recv")]
            ts_recv: u64,
            sequence: u64,
            $(#[component(name = $wit)] $field: $ty,)*
        }

        impl $name {
            #[inline]
            fn new(head: Head, $($field: $ty),*) -> Self {
                let Head { instrument_id, publisher_id, flags, ts_event, ts_recv, sequence } = head;
                Self { instrument_id, publisher_id, flags, ts_event, ts_recv, sequence, $($field),* }
            }
        }
    };
}

wit_event!(WitQuote {
    bid_price: i64 = "bid-price",
    bid_size: i64 = "bid-size",
    ask_price: i64 = "ask-price",
    ask_size: i64 = "ask-size",
    bid_count: u32 = "bid-count",
    ask_count: u32 = "ask-count",
});
wit_event!(WitTrade {
    price: i64 = "price",
    size: i64 = "size",
    trade_id: u64 = "trade-id",
    aggressor: WitAggressor = "aggressor",
});
wit_event!(WitBookDelta {
    price: i64 = "price",
    size: i64 = "size",
    count: u32 = "count",
    action: WitBookAction = "action",
    side: WitBookSide = "side",
});
wit_event!(WitBook {
    bid_price: i64 = "bid-price",
    bid_size: i64 = "bid-size",
    ask_price: i64 = "ask-price",
    ask_size: i64 = "ask-size",
    bid_levels: u32 = "bid-levels",
    ask_levels: u32 = "ask-levels",
});

wit_event!(WitStatus { state: WitMarketState = "state" });

impl WitStatus {
    pub(super) fn from(h: Head, state: MarketState) -> Self {
        Self::new(h, WitMarketState::of(state as u32))
    }
}

impl WitQuote {
    pub(super) fn from(h: Head, q: Quote) -> Self {
        Self::new(h, q.bid_price, q.bid_size, q.ask_price, q.ask_size, q.bid_count, q.ask_count)
    }
}

impl WitTrade {
    pub(super) fn from(h: Head, t: Trade) -> Self {
        Self::new(h, t.price, t.size, t.trade_id, WitAggressor::of(t.aggressor as u32))
    }
}

impl WitBookDelta {
    pub(super) fn from(h: Head, delta: Option<Delta>) -> Self {
        match delta {
            Some(d) => Self::new(h, d.price, d.size, d.count, WitBookAction::Set, WitBookSide::of(d.side as u32)),
            None => Self::new(h, PRICE_UNDEFINED, 0, 0, WitBookAction::Clear, WitBookSide::None),
        }
    }
}

impl WitBook {
    pub(super) fn from(h: Head, b: BookTop) -> Self {
        Self::new(h, b.bid_price, b.bid_size, b.ask_price, b.ask_size, b.bid_levels, b.ask_levels)
    }
}

/// `gap`
#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(super) struct WitGap {
    #[component(name = "instrument-id")]
    instrument_id: u64,
    #[component(name = "publisher-id")]
    publisher_id: u32,
    #[component(name = "ts-event")]
    ts_event: u64,
    #[component(name = "ts-recv")]
    ts_recv: u64,
    expected: u64,
    received: u64,
}

impl WitGap {
    pub(super) fn from(h: Head, gap: Gap) -> Self {
        let Head { instrument_id, publisher_id, ts_event, ts_recv, .. } = h;
        Self { instrument_id, publisher_id, ts_event, ts_recv, expected: gap.expected, received: gap.received }
    }
}

/// `order-update`
#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(super) struct WitOrderUpdate {
    #[component(name = "order-id")]
    order_id: u64,
    tag: u64,
    #[component(name = "instrument-id")]
    instrument_id: u64,
    #[component(name = "ts-event")]
    ts_event: u64,
    #[component(name = "ts-recv")]
    ts_recv: u64,
    status: WitOrderStatus,
    reason: WitDenyReason,
    price: i64,
    leaves: i64,
    filled: i64,
}

impl WitOrderUpdate {
    pub(super) fn from(update: OrderUpdate) -> Self {
        let OrderUpdate { order_id, tag, instrument_id, ts_event, ts_recv, status, reason, price, leaves, filled } =
            update;
        let (status, reason) = (WitOrderStatus::of(status as u32), WitDenyReason::of(u32::from(reason)));
        Self { order_id, tag, instrument_id, ts_event, ts_recv, status, reason, price, leaves, filled }
    }
}

/// `fill`
#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(super) struct WitFill {
    #[component(name = "order-id")]
    order_id: u64,
    tag: u64,
    #[component(name = "instrument-id")]
    instrument_id: u64,
    #[component(name = "ts-event")]
    ts_event: u64,
    #[component(name = "ts-recv")]
    ts_recv: u64,
    side: WitSide,
    price: i64,
    size: i64,
    leaves: i64,
    fee: i64,
    liquidity: WitLiquidity,
}

impl WitFill {
    pub(super) fn from(fill: Fill) -> Self {
        let Fill { order_id, tag, instrument_id, ts_event, ts_recv, side, execution: e } = fill;
        Self {
            order_id,
            tag,
            instrument_id,
            ts_event,
            ts_recv,
            side: WitSide::of(side as u32),
            price: e.price,
            size: e.size,
            leaves: e.leaves,
            fee: e.fee,
            liquidity: WitLiquidity::of(e.liquidity as u32),
        }
    }
}

impl WitTradingState {
    pub(super) fn from(state: pinion_spec::strategy::TradingState) -> Self {
        Self::of(scalars::trading_state(state))
    }
}

/// `instrument`
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(super) struct WitInstrument {
    id: u64,
    #[component(name = "publisher-id")]
    publisher_id: u32,
    tick: i64,
    lot: i64,
    #[component(name = "size-exponent")]
    size_exponent: i32,
    symbol: String,
    publisher: String,
}

impl WitInstrument {
    pub(super) fn from(instrument: &crate::instruments::Instrument) -> Self {
        Self {
            id: instrument.id,
            publisher_id: instrument.publisher_id,
            tick: instrument.tick,
            lot: instrument.lot,
            size_exponent: i32::from(instrument.size_exponent),
            symbol: instrument.symbol.to_string(),
            publisher: instrument.publisher.to_string(),
        }
    }
}

/// `position`
#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(super) struct WitPosition {
    net: i64,
    #[component(name = "working-buy")]
    working_buy: i64,
    #[component(name = "working-sell")]
    working_sell: i64,
    #[component(name = "average-price")]
    average_price: i64,
    realized: i64,
    unrealized: i64,
    fees: i64,
}

impl WitPosition {
    pub(super) const fn from(position: Position) -> Self {
        let Position { net, working_buy, working_sell, average_price, realized, unrealized, fees } = position;
        Self { net, working_buy, working_sell, average_price, realized, unrealized, fees }
    }
}

/// `bar`
#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(super) struct WitBar {
    #[component(name = "instrument-id")]
    instrument_id: u64,
    #[component(name = "publisher-id")]
    publisher_id: u32,
    series: u32,
    trades: u32,
    late: u32,
    #[component(name = "ts-open")]
    ts_open: u64,
    #[component(name = "ts-close")]
    ts_close: u64,
    #[component(name = "ts-recv")]
    ts_recv: u64,
    open: i64,
    high: i64,
    low: i64,
    close: i64,
    volume: i64,
    #[component(name = "buy-volume")]
    buy_volume: i64,
}

impl WitBar {
    pub(super) const fn from(bar: Bar) -> Self {
        let Bar { instrument_id, publisher_id, series, trades, late, ts_open, ts_close, ts_recv, .. } = bar;
        let Bar { open, high, low, close, volume, buy_volume, .. } = bar;
        Self {
            instrument_id,
            publisher_id,
            series,
            trades,
            late,
            ts_open,
            ts_close,
            ts_recv,
            open,
            high,
            low,
            close,
            volume,
            buy_volume,
        }
    }
}

/// `bar-series`
#[derive(Debug, Clone, Copy, ComponentType, Lift)]
#[component(record)]
pub(super) struct WitBarSeries {
    #[component(name = "instrument-id")]
    instrument_id: u64,
    kind: WitBarKind,
    every: u64,
    grace: u64,
}

impl From<WitBarSeries> for BarSeries {
    fn from(series: WitBarSeries) -> Self {
        let WitBarSeries { instrument_id, kind, every, grace } = series;
        let kind = match kind {
            WitBarKind::Time => BarKind::Time,
            WitBarKind::Trades => BarKind::Trades,
            WitBarKind::Volume => BarKind::Volume,
        };
        Self { instrument_id, kind, every, grace }
    }
}

/// `wants`
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(super) struct WitWants {
    pub(super) callbacks: WitCallbacks,
    pub(super) bars: Vec<WitBarSeries>,
}

/// `saved`
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(record)]
pub(super) struct WitSaved {
    pub(super) version: u32,
    pub(super) data: Vec<u8>,
}

/// `level`
#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(super) struct WitLevel {
    pub(super) price: i64,
    pub(super) size: i64,
    pub(super) count: u32,
}

/// `new-order`
#[derive(Debug, Clone, Copy, ComponentType, Lift)]
#[component(record)]
pub(super) struct WitNewOrder {
    #[component(name = "instrument-id")]
    pub(super) instrument_id: u64,
    pub(super) side: WitSide,
    #[component(name = "order-type")]
    pub(super) order_type: WitOrderType,
    #[component(name = "time-in-force")]
    pub(super) time_in_force: WitTimeInForce,
    pub(super) price: i64,
    pub(super) size: i64,
    pub(super) tag: u64,
}
