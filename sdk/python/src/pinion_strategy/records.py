"""What the callbacks are given; see `wit/strategy.wit` for units and meanings.

The very same classes carry the records in the sandbox and in plain CPython. Their fields are the contract's, in its order and
exact, with `_raw` where a number has a unit; what reads better as a float is a property and costs only who asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from . import units
from .units import UNDEFINED


class Side(Enum):
    """Side of an order."""

    BUY = 0
    SELL = 1

    @property
    def opposite(self) -> Side:
        """The other one."""
        return Side.SELL if self is Side.BUY else Side.BUY


class Aggressor(Enum):
    """Who took, in a trade; `NONE` where the venue does not say."""

    NONE = 0
    BUYER = 1
    SELLER = 2


class BookSide(Enum):
    """Side of a book; `NONE` only with `BookAction.CLEAR`."""

    NONE = 0
    BID = 1
    ASK = 2


class BookAction(Enum):
    """What a delta does: sets its level's size (0 deletes it), or clears the whole book."""

    SET = 0
    CLEAR = 1


class MarketState(Enum):
    """What the venue lets be done with an instrument."""

    UNKNOWN = 0
    CLOSED = 1
    PRE_OPEN = 2
    AUCTION = 3
    TRADING = 4
    PAUSED = 5
    HALTED = 6


class OrderStatus(Enum):
    """Where an order stands."""

    DENIED = 0
    ACCEPTED = 1
    REJECTED = 2
    REPLACED = 3
    CANCELLED = 4
    EXPIRED = 5
    PART_FILLED = 6
    FILLED = 7


class DenyReason(Enum):
    """Why the host denied what was asked for; `NONE` for every other status."""

    NONE = 0
    INVALID_PRICE = 1
    INVALID_SIZE = 2
    INVALID_TICK = 3
    INVALID_LOT = 4
    UNKNOWN_INSTRUMENT = 5
    INSTRUMENT_NOT_ALLOWED = 6
    MAX_ORDER_SIZE = 7
    MAX_ORDER_NOTIONAL = 8
    PRICE_COLLAR = 9
    NO_REFERENCE_PRICE = 10
    MESSAGE_RATE = 11
    MAX_OPEN_ORDERS = 12
    MAX_POSITION = 13
    DUPLICATE_ORDER = 14
    UNKNOWN_ORDER = 15
    STALE_BOOK = 16
    CROSSED_BOOK = 17
    GAPPED_BOOK = 18
    TRADING_STATE_REDUCING = 19
    TRADING_STATE_HALTED = 20
    KILL_SWITCH = 21
    SELF_MATCH = 22
    OVERFLOW = 23


class Liquidity(Enum):
    """Whether a fill added or removed liquidity."""

    UNKNOWN = 0
    MAKER = 1
    TAKER = 2


class TradingState(Enum):
    """What a strategy is allowed to do."""

    ACTIVE = 0
    REDUCING = 1
    HALTED = 2


class _Touch:
    """A best bid and ask, of a quote or a book."""

    __slots__ = ()

    instrument_id: int
    bid_raw: int
    bid_size_raw: int
    ask_raw: int
    ask_size_raw: int

    @property
    def bid(self) -> float:
        """Best bid; `nan` where there is none."""
        return units.price(self.bid_raw)

    @property
    def ask(self) -> float:
        """Best ask; `nan` where there is none."""
        return units.price(self.ask_raw)

    @property
    def bid_size(self) -> float:
        """Size at the best bid."""
        return units.size(self.instrument_id, self.bid_size_raw)

    @property
    def ask_size(self) -> float:
        """Size at the best ask."""
        return units.size(self.instrument_id, self.ask_size_raw)

    @property
    def has_both(self) -> bool:
        """Whether there is a bid and an ask."""
        return self.bid_raw != UNDEFINED and self.ask_raw != UNDEFINED

    @property
    def mid(self) -> float:
        """The price in the middle; `nan` where one of the two is missing."""
        return (self.bid + self.ask) / 2


class _Traded:
    """A price and a size of one instrument."""

    __slots__ = ()

    instrument_id: int
    price_raw: int
    size_raw: int

    @property
    def price(self) -> float:
        """Its price."""
        return units.price(self.price_raw)

    @property
    def size(self) -> float:
        """Its size."""
        return units.size(self.instrument_id, self.size_raw)


@dataclass(slots=True)
class Quote(_Touch):
    """Best bid and ask."""

    instrument_id: int
    publisher_id: int
    flags: int
    """Bit 7 (128): the last event of its record; bit 5 (32): part of a snapshot."""
    ts_event: int
    """The venue's time, ns since 1970; 0 where it is not known."""
    ts_recv: int
    """When it was captured, ns since 1970."""
    sequence: int
    """The venue's own sequence number, 0 where it has none."""
    bid_raw: int
    bid_size_raw: int
    ask_raw: int
    ask_size_raw: int
    bid_count: int
    """Number of orders at the level, 0 where the venue does not say."""
    ask_count: int


@dataclass(slots=True)
class Trade(_Traded):
    """One trade."""

    instrument_id: int
    publisher_id: int
    flags: int
    ts_event: int
    ts_recv: int
    sequence: int
    price_raw: int
    size_raw: int
    trade_id: int
    aggressor: Aggressor


@dataclass(slots=True)
class BookDelta(_Traded):
    """One level of a depth update, after the host's book has taken it."""

    instrument_id: int
    publisher_id: int
    flags: int
    ts_event: int
    ts_recv: int
    sequence: int
    price_raw: int
    size_raw: int
    count: int
    action: BookAction
    side: BookSide


@dataclass(slots=True)
class Book(_Touch):
    """The host's book after a whole depth update; deeper levels by `book_level`."""

    instrument_id: int
    publisher_id: int
    flags: int
    ts_event: int
    ts_recv: int
    sequence: int
    bid_raw: int
    bid_size_raw: int
    ask_raw: int
    ask_size_raw: int
    bid_levels: int
    """Levels known on the side."""
    ask_levels: int


@dataclass(slots=True)
class Gap:
    """The venue's sequence broke: the book is not to be trusted, the host denies orders on it."""

    instrument_id: int
    publisher_id: int
    ts_event: int
    ts_recv: int
    expected: int
    """The sequence that should have come."""
    received: int
    """The one that came."""


@dataclass(slots=True)
class Status:
    """The venue's own word on an instrument; the host does not act on it."""

    instrument_id: int
    publisher_id: int
    flags: int
    ts_event: int
    ts_recv: int
    sequence: int
    state: MarketState


@dataclass(slots=True)
class Bar:
    """One bar of trades."""

    instrument_id: int
    publisher_id: int
    series: int
    """What `want_bars` returned for it."""
    trades: int
    """Trades in it."""
    late: int
    """Trades since the last bar that came after their own bar was closed and are in none."""
    ts_open: int
    """The boundary, or the time of the first trade."""
    ts_close: int
    """The next boundary, which it does not cover, or the time of the last trade."""
    ts_recv: int
    """The stream clock when it was closed."""
    open_raw: int
    high_raw: int
    low_raw: int
    close_raw: int
    volume_raw: int
    buy_volume_raw: int

    @property
    def open(self) -> float:
        """Price of its first trade."""
        return units.price(self.open_raw)

    @property
    def high(self) -> float:
        """Its highest price."""
        return units.price(self.high_raw)

    @property
    def low(self) -> float:
        """Its lowest price."""
        return units.price(self.low_raw)

    @property
    def close(self) -> float:
        """Price of its last trade."""
        return units.price(self.close_raw)

    @property
    def volume(self) -> float:
        """What traded in it."""
        return units.size(self.instrument_id, self.volume_raw)

    @property
    def buy_volume(self) -> float:
        """Of it, what buyers took."""
        return units.size(self.instrument_id, self.buy_volume_raw)


@dataclass(slots=True)
class OrderUpdate:
    """A change in one of the strategy's orders."""

    order_id: int
    tag: int
    """As given with the order."""
    instrument_id: int
    ts_event: int
    ts_recv: int
    status: OrderStatus
    reason: DenyReason
    price_raw: int
    leaves_raw: int
    filled_raw: int

    @property
    def price(self) -> float:
        """Its price."""
        return units.price(self.price_raw)

    @property
    def leaves(self) -> float:
        """Still working."""
        return units.size(self.instrument_id, self.leaves_raw)

    @property
    def filled(self) -> float:
        """Filled so far."""
        return units.size(self.instrument_id, self.filled_raw)


@dataclass(slots=True)
class Fill(_Traded):
    """An execution of one of the strategy's orders."""

    order_id: int
    tag: int
    """As given with the order."""
    instrument_id: int
    ts_event: int
    ts_recv: int
    side: Side
    price_raw: int
    size_raw: int
    leaves_raw: int
    fee_raw: int
    liquidity: Liquidity

    @property
    def leaves(self) -> float:
        """Still working after this fill."""
        return units.size(self.instrument_id, self.leaves_raw)

    @property
    def fee(self) -> float:
        """Fee paid (negative: rebate received), in the quote currency."""
        return units.price(self.fee_raw)


@dataclass(slots=True)
class Position:
    """The strategy's own position in an instrument, kept by the host from executions."""

    net_raw: int = 0
    working_buy_raw: int = 0
    working_sell_raw: int = 0
    average_price_raw: int = UNDEFINED
    realized_raw: int = 0
    unrealized_raw: int = 0
    fees_raw: int = 0
    instrument_id: int = 0
    """Which instrument. The contract leaves it out; it says how sizes are scaled."""

    @property
    def net(self) -> float:
        """Bought minus sold."""
        return units.size(self.instrument_id, self.net_raw)

    @property
    def working_buy(self) -> float:
        """Sizes of working buy orders."""
        return units.size(self.instrument_id, self.working_buy_raw)

    @property
    def working_sell(self) -> float:
        """Sizes of working sell orders."""
        return units.size(self.instrument_id, self.working_sell_raw)

    @property
    def average_price(self) -> float:
        """What `net` was bought or sold at on average; `nan` where there is no position."""
        return units.price(self.average_price_raw)

    @property
    def realized(self) -> float:
        """Gained (negative: lost) by what was closed, before fees."""
        return units.price(self.realized_raw)

    @property
    def unrealized(self) -> float:
        """What closing it at the best bid or ask would gain now; `nan` where there is no market."""
        return units.price(self.unrealized_raw)

    @property
    def fees(self) -> float:
        """Fees paid so far (negative: rebates received)."""
        return units.price(self.fees_raw)


@dataclass(slots=True)
class Level(_Traded):
    """One price level of a book."""

    price_raw: int
    size_raw: int
    count: int = 0
    instrument_id: int = 0
    """Which instrument. The contract leaves it out; it says how sizes are scaled."""
