"""What a strategy can do and ask: the contract's imports, in exact integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from .instrument import Instrument
from .records import BookSide, Level, Position, Side
from .units import Amount


class OrderType(Enum):
    """At its price or better, or at any price inside the risk collar."""

    LIMIT = 0
    MARKET = 1


class TimeInForce(Enum):
    """How long an order lives."""

    GTC = 0
    """Until cancelled."""
    IOC = 1
    """Takes what it can at once."""
    FOK = 2
    """All at once or nothing."""
    POST_ONLY = 3
    """Refused where it would take."""


class LogLevel(Enum):
    """Level of a log line."""

    DEBUG = 0
    INFO = 1
    WARN = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order as a strategy asks for it: `limit` or `market`, or `Strategy.buy` and `sell`."""

    instrument_id: int
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_raw: int
    """Ignored for a market order."""
    size_raw: int
    tag: int = 0
    """The strategy's own mark; comes back in `on_order` and `on_fill`."""

    @staticmethod
    def limit(
        instrument: Instrument,
        side: Side,
        *,
        price: Amount | None = None,
        price_raw: int | None = None,
        size: Amount | None = None,
        size_raw: int | None = None,
        time_in_force: TimeInForce = TimeInForce.GTC,
        tag: int = 0,
    ) -> NewOrder:
        """A limit order. Raises `NotAMultiple` for a price off the tick or a size off the lot."""
        price_raw = one_of("price", price, price_raw, instrument.price_raw)
        size_raw = one_of("size", size, size_raw, instrument.size_raw)
        return NewOrder(instrument.id, side, OrderType.LIMIT, time_in_force, price_raw, size_raw, tag)

    @staticmethod
    def market(
        instrument: Instrument,
        side: Side,
        *,
        size: Amount | None = None,
        size_raw: int | None = None,
        tag: int = 0,
    ) -> NewOrder:
        """A market order; what it cannot take at once is gone."""
        size_raw = one_of("size", size, size_raw, instrument.size_raw)
        return NewOrder(instrument.id, side, OrderType.MARKET, TimeInForce.IOC, 0, size_raw, tag)


class Host(Protocol):
    """The host's side of the contract. What a callback asks for takes effect when it returns; one that raises has asked for
    nothing."""

    def submit(self, order: NewOrder) -> int:
        """Asks for a new order and returns its id, never 0. A denial comes as `on_order` before the next event."""
        ...

    def modify(self, order_id: int, price_raw: int, size_raw: int) -> None:
        """Asks to change a working order's price and whole size."""
        ...

    def cancel(self, order_id: int) -> None:
        """Asks to cancel an order."""
        ...

    def cancel_all(self) -> None:
        """Asks to cancel every working order of this instance."""
        ...

    def set_timer(self, timer_id: int, at: int) -> None:
        """Asks for one `on_timer` when the stream clock reaches `at` (ns since 1970); 0 clears it."""
        ...

    def now(self) -> int:
        """The stream clock, ns since 1970; constant inside a callback."""
        ...

    def instrument(self, instrument_id: int) -> Instrument | None:
        """What is known of a declared instrument. `Strategy.instruments` has the same and costs nothing."""
        ...

    def position(self, instrument_id: int) -> Position:
        """This instance's position in an instrument; all zeros where it never had one."""
        ...

    def book_level(self, instrument_id: int, side: BookSide, depth: int) -> Level | None:
        """The level at `depth` of the host's book; 0 is the best."""
        ...

    def metric_set(self, name: str, value: float) -> None:
        """Sets a gauge of this strategy's own. At most 16 names."""
        ...

    def log(self, level: LogLevel, message: str) -> None:
        """Writes a log line, rate limited."""
        ...


def one_of(name: str, amount: Amount | None, raw: int | None, exact: Callable[[Amount], int]) -> int:
    """The exact integer of an amount that is given either as people write it or as that integer."""
    if amount is not None and raw is None:
        return exact(amount)
    if amount is not None or raw is None:
        raise TypeError(f"want either {name} or {name}_raw")
    if type(raw) is not int:
        raise TypeError(f"{name}_raw is {raw!r}: want the exact integer; {name}= takes what people write")
    return raw
