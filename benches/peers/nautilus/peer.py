"""CAPTURE.gz: an EMA cross over a Binance capture, backtested by nautilus_trader; prints one line of JSON."""

import gzip
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import BacktestEngineConfig, LoggingConfig, StrategyConfig
from nautilus_trader.indicators import ExponentialMovingAverage
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import QuoteTick, TradeTick
from nautilus_trader.model.enums import AccountType, AggressorSide, OmsType, OrderSide, PriceType, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId, TradeId
from nautilus_trader.model.instruments import Instrument
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

FAST, SLOW = 50, 200
SIZE = "0.01"
NS_IN_MS = 1_000_000


class EmaCrossConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId


class EmaCross(Strategy):
    """Asks for one size at the touch, now or never, when the fast average of trade prices changes its side of the slow one."""

    def __init__(self, config: EmaCrossConfig):
        super().__init__(config)
        self.fast = ExponentialMovingAverage(FAST, PriceType.LAST)
        self.slow = ExponentialMovingAverage(SLOW, PriceType.LAST)
        self.on_reset()

    def on_reset(self):
        self.fast.reset()
        self.slow.reset()
        self.quote = None
        self.side = None

    def on_start(self):
        self.size = self.cache.instrument(self.config.instrument_id).make_qty(SIZE)
        self.register_indicator_for_trade_ticks(self.config.instrument_id, self.fast)
        self.register_indicator_for_trade_ticks(self.config.instrument_id, self.slow)
        self.subscribe_quote_ticks(self.config.instrument_id)
        self.subscribe_trade_ticks(self.config.instrument_id)

    def on_quote_tick(self, tick: QuoteTick):
        self.quote = tick

    def on_trade_tick(self, tick: TradeTick):
        fast, slow = self.fast.value, self.slow.value
        if not self.slow.initialized or fast == slow or self.quote is None:
            return
        side = OrderSide.BUY if fast > slow else OrderSide.SELL
        if side == self.side:
            return
        self.side = side
        self.submit_order(
            self.order_factory.limit(
                self.config.instrument_id,
                side,
                self.size,
                self.quote.ask_price if side == OrderSide.BUY else self.quote.bid_price,
                time_in_force=TimeInForce.IOC,
            )
        )


def events(capture: Path, instrument: Instrument) -> list[QuoteTick | TradeTick]:
    """The capture's best quotes and trades, as objects of the engine."""

    def price(text: str) -> Price:
        return Price(float(text), instrument.price_precision)

    def size(text: str) -> Quantity:
        return Quantity(float(text), instrument.size_precision)

    events = []
    with gzip.open(capture, "rb") as lines:
        for line in lines:
            received, frame = line.split(b" ", 1)
            received = int(received)
            frame = json.loads(frame)
            stream, data = frame.get("stream", ""), frame.get("data")
            if stream.endswith("@bookTicker"):
                at = data["T"] * NS_IN_MS if "T" in data else received
                events.append(
                    QuoteTick(
                        instrument.id, price(data["b"]), price(data["a"]), size(data["B"]), size(data["A"]), at, received
                    )
                )
            elif stream.endswith("@trade") and data.get("X", "MARKET") == "MARKET":
                aggressor = AggressorSide.SELLER if data["m"] else AggressorSide.BUYER
                events.append(
                    TradeTick(
                        instrument.id,
                        price(data["p"]),
                        size(data["q"]),
                        aggressor,
                        TradeId(str(data["t"])),
                        data["T"] * NS_IN_MS,
                        received,
                    )
                )
    return events


def main():
    capture = Path(sys.argv[1])
    provider = TestInstrumentProvider
    instrument = provider.btcusdt_perp_binance() if "usdm" in capture.name else provider.btcusdt_binance()

    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False))
    engine.add_venue(
        instrument.venue, OmsType.NETTING, AccountType.MARGIN, starting_balances=[Money(1_000_000, USDT)]
    )
    engine.add_instrument(instrument)
    engine.add_data(events(capture, instrument))
    engine.add_strategy(EmaCross(EmaCrossConfig(instrument_id=instrument.id)))

    engine.run()
    engine.reset()
    start = time.perf_counter_ns()
    engine.run()
    took = time.perf_counter_ns() - start

    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    print(
        json.dumps(
            {
                "peer": "nautilus_trader",
                "version": version("nautilus_trader"),
                "events": engine.iteration,
                "orders": len(engine.cache.orders()),
                "ns": took,
                "rss_bytes": resident,
            }
        )
    )


main()
