"""A host for a strategy's own unit tests, in plain CPython.

    host = Recorder(BTC)
    strategy = host.start(EmaCross, {"fast": 2, "slow": 4, "size": "0.5"})
    strategy.on_trade(trade(BTC, price=61800.3))
    assert host.take() == [...]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from .host import LogLevel, NewOrder
from .instrument import Instrument
from .params import Params
from .records import Aggressor, Bar, Book, BookSide, Level, Position, Quote, Trade
from .strategy import BarSeries, Strategy, attach
from .units import UNDEFINED, Amount

S = TypeVar("S", bound=Strategy)


@dataclass(frozen=True, slots=True)
class Submit:
    """`submit` was asked for."""

    order_id: int
    order: NewOrder


@dataclass(frozen=True, slots=True)
class Modify:
    """`modify` was asked for."""

    order_id: int
    price_raw: int
    size_raw: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """`cancel` was asked for."""

    order_id: int


@dataclass(frozen=True, slots=True)
class CancelAll:
    """`cancel_all` was asked for."""


@dataclass(frozen=True, slots=True)
class SetTimer:
    """`set_timer` was asked for."""

    timer_id: int
    at: int


Asked = Submit | Modify | Cancel | CancelAll | SetTimer


class Recorder:
    """Records what a strategy asks for and answers from what the test has put in. It checks nothing and fills nothing."""

    def __init__(self, *instruments: Instrument) -> None:
        self.instruments = sorted(instruments, key=lambda instrument: instrument.id)
        self.asked: list[Asked] = []
        """What was asked for, oldest first."""
        self.clock = 0
        """The stream clock, ns."""
        self.positions: dict[int, Position] = {}
        """Positions by instrument."""
        self.bids: list[Level] = []
        """Levels of the one book that there is, best first."""
        self.asks: list[Level] = []
        self.gauges: dict[str, float] = {}
        self.logs: list[str] = []
        self.bars: list[BarSeries] = []
        """Bars that were asked for."""
        self._orders = 0

    def start(self, strategy: type[S], params: Mapping[str, object] | None = None) -> S:
        """Makes a strategy and calls its `on_init` and `on_start`. `Refused` comes through as it is raised."""
        made = strategy()
        attach(made, self, self.instruments)
        made.on_init(Params(params), self.instruments)
        self.bars = list(made._bars)
        self.take()
        made.on_start()
        return made

    def take(self) -> list[Asked]:
        """What was asked for since the last time."""
        asked, self.asked = self.asked, []
        return asked

    def submit(self, order: NewOrder) -> int:
        self._orders += 1
        self.asked.append(Submit(self._orders, order))
        return self._orders

    def modify(self, order_id: int, price_raw: int, size_raw: int) -> None:
        self.asked.append(Modify(order_id, price_raw, size_raw))

    def cancel(self, order_id: int) -> None:
        self.asked.append(Cancel(order_id))

    def cancel_all(self) -> None:
        self.asked.append(CancelAll())

    def set_timer(self, timer_id: int, at: int) -> None:
        self.asked.append(SetTimer(timer_id, at))

    def now(self) -> int:
        return self.clock

    def instrument(self, instrument_id: int) -> Instrument | None:
        return next((known for known in self.instruments if known.id == instrument_id), None)

    def position(self, instrument_id: int) -> Position:
        return self.positions.get(instrument_id, Position(instrument_id=instrument_id))

    def book_level(self, instrument_id: int, side: BookSide, depth: int) -> Level | None:
        levels = self.bids if side is BookSide.BID else self.asks
        return levels[depth] if depth < len(levels) else None

    def metric_set(self, name: str, value: float) -> None:
        self.gauges[name] = value

    def log(self, level: LogLevel, message: str) -> None:
        self.logs.append(message)


def instrument(
    symbol: str = "BTCUSDT",
    *,
    id: int = 1,
    tick: str = "0.01",
    lot: str = "0.00001",
    size_exponent: int = -9,
    publisher: str = "venue",
) -> Instrument:
    """An instrument as a strategy file would declare it."""
    made = Instrument(id, 1, 0, 0, size_exponent, symbol, publisher)
    made.tick_raw, made.lot_raw = made.price_raw(tick), made.size_raw(lot)
    return made


def _price(instrument: Instrument, price: Amount | None) -> int:
    return UNDEFINED if price is None else instrument.price_raw(price)


def quote(
    instrument: Instrument,
    *,
    bid: Amount | None,
    ask: Amount | None,
    bid_size: Amount = 1,
    ask_size: Amount = 1,
    ts_event: int = 0,
    ts_recv: int = 0,
) -> Quote:
    """A quote; None for a side that is empty."""
    sizes = (instrument.size_raw(bid_size), instrument.size_raw(ask_size))
    prices = (_price(instrument, bid), _price(instrument, ask))
    return Quote(
        instrument.id, instrument.publisher_id, 128, ts_event, ts_recv, 0, prices[0], sizes[0], prices[1], sizes[1], 0, 0
    )


def trade(
    instrument: Instrument,
    *,
    price: Amount,
    size: Amount = 1,
    aggressor: Aggressor = Aggressor.NONE,
    ts_event: int = 0,
    ts_recv: int = 0,
) -> Trade:
    """A trade."""
    price_raw, size_raw = instrument.price_raw(price), instrument.size_raw(size)
    return Trade(instrument.id, instrument.publisher_id, 128, ts_event, ts_recv, 0, price_raw, size_raw, 0, aggressor)


def book(
    instrument: Instrument,
    *,
    bid: Amount | None,
    ask: Amount | None,
    bid_size: Amount = 1,
    ask_size: Amount = 1,
    ts_event: int = 0,
    ts_recv: int = 0,
) -> Book:
    """A book of a level on each side; None for a side that is empty."""
    top = quote(instrument, bid=bid, ask=ask, bid_size=bid_size, ask_size=ask_size)
    prices = (top.bid_raw, top.bid_size_raw, top.ask_raw, top.ask_size_raw)
    levels = (int(bid is not None), int(ask is not None))
    return Book(instrument.id, instrument.publisher_id, 128, ts_event, ts_recv, 0, *prices, *levels)


def bar(
    instrument: Instrument,
    *,
    open: Amount,
    high: Amount,
    low: Amount,
    close: Amount,
    volume: Amount = 1,
    series: int = 0,
    ts_open: int = 0,
    ts_close: int = 0,
) -> Bar:
    """A bar of one trade."""
    opened, highest = instrument.price_raw(open), instrument.price_raw(high)
    lowest, closed = instrument.price_raw(low), instrument.price_raw(close)
    head = (instrument.id, instrument.publisher_id, series, 1, 0, ts_open, ts_close, ts_close)
    return Bar(*head, opened, highest, lowest, closed, instrument.size_raw(volume), 0)


def level(instrument: Instrument, *, price: Amount, size: Amount) -> Level:
    """A level of a book."""
    return Level(instrument.price_raw(price), instrument.size_raw(size), 0, instrument.id)
