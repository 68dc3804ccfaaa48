"""Write a Pinion strategy in Python.

Derive one class from `Strategy` and override the callbacks that it wants; `pinion build` makes a WebAssembly component of
it. A strategy acts through its host alone: no clock, no randomness, no files. So the same records always give the same
orders, and the very same class runs in plain CPython in tests, with `pinion_strategy.testing.Recorder`.
"""

from .errors import NotAMultiple, ParamError, Refused
from .host import Host, LogLevel, NewOrder, OrderType, TimeInForce
from .instrument import Instrument
from .params import Params
from .records import (
    Aggressor,
    Bar,
    Book,
    BookAction,
    BookDelta,
    BookSide,
    DenyReason,
    Fill,
    Gap,
    Level,
    Liquidity,
    MarketState,
    OrderStatus,
    OrderUpdate,
    Position,
    Quote,
    Side,
    Status,
    Trade,
    TradingState,
)
from .strategy import BarKind, BarSeries, Saved, Strategy
from .units import UNDEFINED, Amount

__version__ = "0.1.0"

__all__ = [
    "UNDEFINED",
    "Aggressor",
    "Amount",
    "Bar",
    "BarKind",
    "BarSeries",
    "Book",
    "BookAction",
    "BookDelta",
    "BookSide",
    "DenyReason",
    "Fill",
    "Gap",
    "Host",
    "Instrument",
    "Level",
    "Liquidity",
    "LogLevel",
    "MarketState",
    "NewOrder",
    "NotAMultiple",
    "OrderStatus",
    "OrderType",
    "OrderUpdate",
    "ParamError",
    "Params",
    "Position",
    "Quote",
    "Refused",
    "Saved",
    "Side",
    "Status",
    "Strategy",
    "TimeInForce",
    "Trade",
    "TradingState",
]
