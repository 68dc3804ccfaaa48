"""The strategy as a guest: from the generated bindings to `Strategy` and `Host`, and nothing else.

Imported at build, in the sandbox's own Python, and never in plain CPython. The bindings are told to make the SDK's own records,
so nothing is converted per event, and the host's calls go straight to the strategy's methods.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import linecache
import os
import sys
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn

from componentize_py_types import Err
from wit_world.imports import host as imports
from wit_world.imports import types as wit

from . import host, instrument, records, strategy
from .errors import Refused
from .host import LogLevel, NewOrder
from .instrument import Instrument
from .params import Params
from .records import BookSide, Level, Position
from .strategy import CALLBACKS, Saved, Strategy, attach, overrides, wanted

LINE_CHARACTERS_MAX = 980
"""The host cuts a log line at 1,024 bytes, and its own time goes into checking the rest."""
FRAMES_MAX = 10
"""Of a traceback; a fault's text ends at 2 KiB."""

_WitOrder, _WitWants, _WitBarSeries, _WitCallbacks = wit.NewOrder, wit.Wants, wit.BarSeries, wit.Callbacks

# The bindings look these up once, when the component is made: from here on they make the SDK's own.
for _record in ("Quote", "Trade", "BookDelta", "Book", "Gap", "Status", "Bar", "OrderUpdate", "Fill", "Position", "Level"):
    setattr(wit, _record, getattr(records, _record))
wit.Instrument = instrument.Instrument
wit.Saved = strategy.Saved
for _module, _enums in (
    (records, ("Side", "Aggressor", "BookSide", "BookAction", "MarketState", "OrderStatus", "DenyReason", "Liquidity")),
    (records, ("TradingState",)),
    (host, ("OrderType", "TimeInForce", "LogLevel")),
    (strategy, ("BarKind",)),
):
    for _enum in _enums:
        # A dict's own method: an enum's constructor takes longer than the rest of the call.
        setattr(wit, _enum, {case.value: case for case in getattr(_module, _enum)}.__getitem__)


class _Imports:
    """The host behind the contract's imports."""

    def submit(self, order: NewOrder) -> int:
        return imports.submit(
            _WitOrder(
                order.instrument_id,
                order.side,
                order.order_type,
                order.time_in_force,
                order.price_raw,
                order.size_raw,
                order.tag,
            )
        )

    modify = staticmethod(imports.modify)
    cancel = staticmethod(imports.cancel)
    cancel_all = staticmethod(imports.cancel_all)
    set_timer = staticmethod(imports.set_timer)
    now = staticmethod(imports.now)
    instrument = staticmethod(imports.instrument)
    metric_set = staticmethod(imports.metric_set)

    def position(self, instrument_id: int) -> Position:
        position = imports.position(instrument_id)
        position.instrument_id = instrument_id
        return position

    def book_level(self, instrument_id: int, side: BookSide, depth: int) -> Level | None:
        level = imports.book_level(instrument_id, side, depth)
        if level is not None:
            level.instrument_id = instrument_id
        return level

    def log(self, level: LogLevel, message: str) -> None:
        for line in message.splitlines() or [""]:
            imports.log(level, cut(line))


_host = _Imports()
_SDK = __file__.removesuffix("wasm.py")


class _Handler:
    """The contract's `handler`. Callbacks that nobody wants stay here; the others are the strategy's own methods."""

    def __init__(self, made: Callable[[], Strategy]) -> None:
        self._made = made

    def on_init(self, params: list[tuple[str, str]], instruments: list[Instrument]) -> Any:
        # Not before: what makes the component imports modules of its own after the author's.
        sys.meta_path[:] = [_NoMore()]
        with _refusals():
            made = self._strategy = self._made()
            attach(made, _host, instruments)
            made.on_init(Params(dict(params)), instruments)
        for methods in CALLBACKS.values():
            for method in methods:
                if overrides(made, method) and method not in ("on_position", "on_load"):
                    setattr(self, method, getattr(made, method))
        self.on_bar, self.on_start, self.on_stop = made.on_bar, made.on_start, made.on_stop
        callbacks = _WitCallbacks(0)
        for flag in wanted(made):
            callbacks |= getattr(_WitCallbacks, flag.upper())
        bars = [_WitBarSeries(bars.instrument_id, bars.kind, bars.every, bars.grace) for bars in made._bars]
        return _WitWants(callbacks, bars)

    def on_load(self, saved: Saved) -> None:
        with _refusals():
            self._strategy.on_load(saved)

    def on_position(self, instrument_id: int, position: Position) -> None:
        position.instrument_id = instrument_id
        self._strategy.on_position(instrument_id, position)

    def on_save(self) -> Saved:
        return Saved(0, b"")

    def on_start(self) -> None: ...
    def on_quote(self, quote: object) -> None: ...
    def on_trade(self, trade: object) -> None: ...
    def on_book_delta(self, delta: object) -> None: ...
    def on_book(self, book: object) -> None: ...
    def on_gap(self, gap: object) -> None: ...
    def on_recovered(self, instrument_id: int, sequence: int) -> None: ...
    def on_status(self, status: object) -> None: ...
    def on_bar(self, bar: object) -> None: ...
    def on_timer(self, timer_id: int, at: int) -> None: ...
    def on_order(self, update: object) -> None: ...
    def on_fill(self, fill: object) -> None: ...
    def on_trading_state(self, state: object) -> None: ...
    def on_stop(self) -> None: ...


class _refusals:
    """What is raised inside becomes the contract's refusal: its own words for `Refused`, a traceback for anything else."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            raise Err(str(error) if isinstance(error, Refused) else "\n".join(told(error))) from None


def handler(made: Callable[[], Strategy]) -> Callable[[], _Handler]:
    """What the bindings call for each export, and must always be the same one. Call it last: it closes the sandbox's doors."""
    one = _Handler(made)
    _close()
    return lambda: one


def cut(line: str) -> str:
    """A line that the host takes whole."""
    more = len(line) - LINE_CHARACTERS_MAX
    return line if more <= 0 else f"{line[:LINE_CHARACTERS_MAX]}... ({more} more characters)"


def told(error: BaseException) -> list[str]:
    """A traceback, a line each, short enough to be the text of a fault: the ends of a long one are what matters."""
    lines = ["Traceback (most recent call last):"]
    frames = list(traceback.walk_tb(error.__traceback__))
    # Where the author's own code asked for it, and not how the SDK found out.
    frames = [frame for frame in frames if not frame[0].f_code.co_filename.startswith(_SDK)] or frames
    for index, (frame, line) in enumerate(frames):
        left_out = len(frames) - FRAMES_MAX
        if left_out > 0 and 2 <= index < 2 + left_out:
            if index == 2:
                lines.append(f"  ... {left_out} more")
            continue
        code = frame.f_code
        lines.append(f'  File "{_shown(code.co_filename)}", line {line}, in {code.co_name}')
        source = linecache.getline(code.co_filename, line).strip()
        if source:
            lines.append(f"    {source}")
    lines.append(_named(error))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        lines.append(f"  (after {_named(cause)})")
    return [cut(line) for line in lines]


def _named(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = "<its own text cannot be had>"
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def _shown(path: str) -> str:
    """A file as its author knows it: componentize-py mounts each folder as `/0`, `/1` and so on."""
    top, _, rest = path.removeprefix("/").partition("/")
    return rest if rest and top.isdigit() else path


def _raised(kind: type, error: BaseException, trace: TracebackType | None) -> None:
    """`sys.excepthook`: the runtime calls it with what a callback raised, right before it traps."""
    for line in told(error):
        imports.log(LogLevel.ERROR, line)


class _Lines:
    """`sys.stdout` and `sys.stderr`: what is printed becomes log lines, which the host limits in rate."""

    encoding = "utf-8"

    def __init__(self, level: LogLevel) -> None:
        self._level = level
        self._line = ""
        self._left_out = 0

    def write(self, text: str) -> int:
        first, *others = text.split("\n")
        self._add(first)
        for line in others:
            self.flush()
            self._add(line)
        return len(text)

    def _add(self, text: str) -> None:
        room = LINE_CHARACTERS_MAX - len(self._line)
        self._line += text[:room]
        self._left_out += max(len(text) - room, 0)

    def flush(self) -> None:
        if self._line or self._left_out:
            more = f"... ({self._left_out} more characters)" if self._left_out else ""
            imports.log(self._level, self._line + more)
        self._line, self._left_out = "", 0

    def isatty(self) -> bool:
        return False


class _NoMore:
    """The only finder of modules that is left: it finds none."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> NoReturn:
        raise ModuleNotFoundError(
            f"{name} is not in the component: modules are put into it at build, name it in an import statement", name=name
        )


def _close() -> None:
    """What would end in a trap without a word raises instead; what has been made so far is never looked at by the collector."""
    if "datetime" in sys.modules:
        # `strptime` imports it when it is first called.
        importlib.import_module("_strptime")
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        # The standard library's sources are not the author's, and take memory of every instance.
        if path and path.endswith(".py") and not path.startswith("/python/"):
            linecache.getlines(path)
    linecache.checkcache = lambda filename=None: None
    linecache.updatecache = lambda filename, module_globals=None: []

    def no(what: str) -> Callable[..., NoReturn]:
        def refuse(*_: object, **__: object) -> NoReturn:
            raise RuntimeError(what)

        return refuse

    files = "there are no files in the sandbox; what is read at the top of a module, at build, becomes part of it"
    clock = "there is no clock in the sandbox; self.now is the time of the records"
    builtins.open = no(files)
    builtins.input = no("there is no standard input in the sandbox")
    sys.exit = no("a strategy cannot exit; raise an exception, or do nothing")
    os.urandom = no("there is no randomness in the sandbox; random.Random(seed) draws the same in every replay")
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep", "process_time"):
        setattr(time, name, no(clock))
    sys.excepthook = _raised
    sys.unraisablehook = lambda unraisable: _raised(Exception, unraisable.exc_value or Exception(unraisable.err_msg), None)
    sys.stdout, sys.stderr = _Lines(LogLevel.INFO), _Lines(LogLevel.WARN)
    gc.collect()
    gc.freeze()
