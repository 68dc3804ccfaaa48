"""What a strategy is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from . import units
from .host import Host, LogLevel, NewOrder, TimeInForce, one_of
from .instrument import Instrument
from .params import Params
from .records import (
    Bar,
    Book,
    BookDelta,
    BookSide,
    Fill,
    Gap,
    Level,
    OrderUpdate,
    Position,
    Quote,
    Side,
    Status,
    Trade,
    TradingState,
)
from .units import Amount


class BarKind(Enum):
    """What closes a bar: a boundary in time, a number of trades, or a volume."""

    TIME = 0
    TRADES = 1
    VOLUME = 2


@dataclass(frozen=True, slots=True)
class BarSeries:
    """Bars that a strategy wants of one of its instruments: `time`, `trades` or `volume`."""

    instrument_id: int
    kind: BarKind
    every: int
    """Nanoseconds, trades, or an exact size."""
    grace: int = 0
    """`TIME` only: how long after its boundary a bar still takes trades that were made before it, ns of stream time."""

    @staticmethod
    def time(instrument: Instrument, seconds: float, *, grace_millis: float = 0) -> BarSeries:
        """A bar each `seconds`, whose boundaries are multiples of that since 1970. At least a millisecond."""
        every, grace = units.exact(seconds, -9), units.exact(grace_millis, -6)
        return BarSeries(instrument.id, BarKind.TIME, every, grace)

    @staticmethod
    def trades(instrument: Instrument, every: int) -> BarSeries:
        """A bar of each `every` trades."""
        return BarSeries(instrument.id, BarKind.TRADES, every)

    @staticmethod
    def volume(instrument: Instrument, every: Amount) -> BarSeries:
        """A bar closed by the trade with which its volume reaches `every`."""
        return BarSeries(instrument.id, BarKind.VOLUME, instrument.size_raw(every))


@dataclass(frozen=True, slots=True)
class Saved:
    """What a module leaves to the one that takes its place."""

    version: int
    """Of the data's own schema."""
    data: bytes
    """At most 1 MiB."""


class Strategy:
    """A strategy. Derive one class from it and override the callbacks that it wants; the others cost nothing.

    It is made without arguments; `on_init` is called first, and `host` and `instruments` are there by then. A method whose name begins
    with `on_` and that is no callback is a `TypeError` where the class is written: nobody would ever call it.
    """

    host: Host
    """What it can do and ask, in exact integers; `buy`, `sell` and the rest below go through it."""
    instruments: Mapping[int, Instrument]
    """The strategy file's, by id."""
    _bars: list[BarSeries]

    def __init_subclass__(cls, **arguments: object) -> None:
        super().__init_subclass__(**arguments)
        for name, method in vars(cls).items():
            if name.startswith("on_") and not hasattr(Strategy, name):
                raise TypeError(_no_callback(cls, name, method))

    # Callbacks, in the order in which they come.

    def on_init(self, params: Params, instruments: list[Instrument]) -> None:
        """Once, first. Raise `Refused` to say why it cannot run. Orders that are asked for here are dropped."""

    def on_load(self, saved: Saved) -> None:
        """What the module before it left by `on_save`. Raise `Refused` for what it cannot read: the module before then stays."""

    def on_start(self) -> None:
        """Events are about to come."""

    def on_quote(self, quote: Quote) -> None:
        """The venue published a best bid and ask, be they new or not."""

    def on_trade(self, trade: Trade) -> None:
        """A trade."""

    def on_book_delta(self, delta: BookDelta) -> None:
        """The host's book has taken a level of a depth update."""

    def on_book(self, book: Book) -> None:
        """A depth update is complete."""

    def on_gap(self, gap: Gap) -> None:
        """The venue's sequence broke: the book is not to be trusted, orders on the instrument are denied."""

    def on_recovered(self, instrument_id: int, sequence: int) -> None:
        """The book is whole again."""

    def on_status(self, status: Status) -> None:
        """The venue said what may be done with an instrument."""

    def on_bar(self, bar: Bar) -> None:
        """A bar that `want_bars` asked for is closed."""

    def on_timer(self, timer_id: int, at: int) -> None:
        """A timer's time has come."""

    def on_order(self, update: OrderUpdate) -> None:
        """One of its orders changed, or the host denied what was asked for."""

    def on_fill(self, fill: Fill) -> None:
        """One of its orders traded."""

    def on_position(self, instrument_id: int, position: Position) -> None:
        """A fill has changed a position."""

    def on_trading_state(self, state: TradingState) -> None:
        """What it may do changed."""

    def on_save(self) -> Saved:
        """Another module is about to take its place: what that one is to be given. Must change nothing."""
        return Saved(0, b"")

    def on_stop(self) -> None:
        """No more events; orders asked for here are still checked and sent."""

    # What it can do.

    def want_bars(self, series: BarSeries) -> int:
        """In `on_init`: asks for bars. Returns their number, which `bar.series` has."""
        self._bars.append(series)
        return len(self._bars) - 1

    def buy(
        self,
        instrument: Instrument,
        *,
        size: Amount | None = None,
        size_raw: int | None = None,
        price: Amount | None = None,
        price_raw: int | None = None,
        time_in_force: TimeInForce | None = None,
        tag: int = 0,
    ) -> int:
        """Asks to buy and returns the order's id: at a limit, good till cancelled, where there is a price; else at the market.

        Nothing is rounded: `NotAMultiple` is raised for a price off the tick or a size off the lot. The risk check runs when
        the callback has returned; a denial comes as `on_order`.
        """
        return self._order(instrument, Side.BUY, size, size_raw, price, price_raw, time_in_force, tag)

    def sell(
        self,
        instrument: Instrument,
        *,
        size: Amount | None = None,
        size_raw: int | None = None,
        price: Amount | None = None,
        price_raw: int | None = None,
        time_in_force: TimeInForce | None = None,
        tag: int = 0,
    ) -> int:
        """As `buy`."""
        return self._order(instrument, Side.SELL, size, size_raw, price, price_raw, time_in_force, tag)

    def _order(
        self,
        instrument: Instrument,
        side: Side,
        size: Amount | None,
        size_raw: int | None,
        price: Amount | None,
        price_raw: int | None,
        time_in_force: TimeInForce | None,
        tag: int,
    ) -> int:
        if price is None and price_raw is None:
            if time_in_force not in (None, TimeInForce.IOC):
                raise TypeError("a market order takes what it can at once; give it a price, or no time_in_force")
            order = NewOrder.market(instrument, side, size=size, size_raw=size_raw, tag=tag)
        else:
            order = NewOrder.limit(
                instrument,
                side,
                price=price,
                price_raw=price_raw,
                size=size,
                size_raw=size_raw,
                time_in_force=time_in_force or TimeInForce.GTC,
                tag=tag,
            )
        return self.host.submit(order)

    def modify(
        self,
        order_id: int,
        instrument: Instrument,
        *,
        price: Amount | None = None,
        price_raw: int | None = None,
        size: Amount | None = None,
        size_raw: int | None = None,
    ) -> None:
        """Asks to change a working order's price and whole size, what is filled included."""
        price_raw = one_of("price", price, price_raw, instrument.price_raw)
        size_raw = one_of("size", size, size_raw, instrument.size_raw)
        self.host.modify(order_id, price_raw, size_raw)

    def cancel(self, order_id: int) -> None:
        """Asks to cancel an order; never blocked by the throttle."""
        self.host.cancel(order_id)

    def cancel_all(self) -> None:
        """Asks to cancel every working order of this instance."""
        self.host.cancel_all()

    def set_timer(self, timer_id: int, at: int) -> None:
        """Asks for one `on_timer` when the stream clock reaches `at` (ns since 1970); 0 clears it."""
        self.host.set_timer(timer_id, at)

    @property
    def now(self) -> int:
        """The stream clock, ns since 1970; constant inside a callback."""
        return self.host.now()

    def position(self, instrument: Instrument) -> Position:
        """Its position in an instrument."""
        return self.host.position(instrument.id)

    def book_level(self, instrument: Instrument, side: BookSide, depth: int) -> Level | None:
        """The level at `depth` of the host's book; 0 is the best."""
        return self.host.book_level(instrument.id, side, depth)

    def metric_set(self, name: str, value: float) -> None:
        """Sets a gauge of this strategy's own, shown as `pinion_strategy_gauge{name=..}`. At most 16 names."""
        self.host.metric_set(name, value)

    def log(self, message: str, level: LogLevel = LogLevel.INFO) -> None:
        """Writes a log line, rate limited."""
        self.host.log(level, message)


def _no_callback(cls: type, name: str, method: object) -> str:
    # Only here: where a component is made, what is imported becomes part of it.
    from difflib import get_close_matches

    line = getattr(getattr(method, "__code__", None), "co_firstlineno", None)
    place = f"{cls.__name__}.{name}" if line is None else f"line {line}: {cls.__name__}.{name}"
    meant = get_close_matches(name, [known for known in vars(Strategy) if known.startswith("on_")], 1)
    advice = f"did you mean {meant[0]}?" if meant else "only callbacks have names that begin with on_"
    return f"{place} is no callback; {advice}"


def attach(strategy: Strategy, host: Host, instruments: Sequence[Instrument]) -> None:
    """Gives a strategy its host; before `on_init`."""
    for instrument in instruments:
        units.declare_sizes(instrument.id, instrument.size_exponent)
    strategy.host = host
    strategy.instruments = {instrument.id: instrument for instrument in instruments}
    strategy._bars = []


CALLBACKS = {
    "quote": ("on_quote",),
    "trade": ("on_trade",),
    "book_delta": ("on_book_delta",),
    "book": ("on_book",),
    "gap": ("on_gap", "on_recovered"),
    "timer": ("on_timer",),
    "order": ("on_order",),
    "fill": ("on_fill",),
    "trading_state": ("on_trading_state",),
    "status": ("on_status",),
    "position": ("on_position",),
    "state": ("on_save", "on_load"),
}
"""The contract's `callbacks` flags, and the methods that each is about."""


def wanted(strategy: Strategy) -> list[str]:
    """The names of `CALLBACKS` that a strategy overrides."""
    return [flag for flag, methods in CALLBACKS.items() if any(overrides(strategy, method) for method in methods)]


def overrides(strategy: Strategy, method: str) -> bool:
    """Whether a strategy has its own of a callback."""
    return getattr(type(strategy), method) is not getattr(Strategy, method)
