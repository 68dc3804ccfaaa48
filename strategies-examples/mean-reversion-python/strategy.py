"""Mean reversion on minute bars: buys what closed far under its average, sells what closed far over it, and is out at the average.

The average and the deviation are over the last `bars` bars; how far is in deviations. Floats decide here, as they do in most
research: the same module gives the same floats in every replay. What is sent is exact: prices come from quotes as integers.
"""

import statistics
from collections import deque

from pinion_strategy import Bar, BarSeries, Instrument, Params, Quote, Refused, Strategy, TimeInForce, UNDEFINED


class MeanReversion(Strategy):
    """Holds `size`, long or short, from `enter` deviations away from the average until it has come back to it."""

    def on_init(self, params: Params, instruments: list[Instrument]) -> None:
        if len(instruments) != 1:
            raise Refused(f"it trades one instrument, the file has {len(instruments)}")
        self.instrument = instruments[0]
        self.bars, self.enter = params.int("bars", 20), params.float("enter", 2.0)
        if self.bars < 2 or self.enter <= 0:
            raise Refused(f"want at least 2 bars and a positive enter; bars is {self.bars}, enter is {self.enter}")
        self.size_raw = params.size_raw("size", self.instrument)
        self.closes: deque[float] = deque(maxlen=self.bars)
        self.bid_raw = self.ask_raw = UNDEFINED
        self.want_bars(BarSeries.time(self.instrument, params.int("seconds", 60), grace_millis=500))

    def on_quote(self, quote: Quote) -> None:
        self.bid_raw, self.ask_raw = quote.bid_raw, quote.ask_raw

    def on_bar(self, bar: Bar) -> None:
        self.closes.append(bar.close)
        if len(self.closes) < self.bars:
            return
        deviation = statistics.pstdev(self.closes)
        if deviation == 0.0:
            return
        away = (bar.close - statistics.fmean(self.closes)) / deviation
        self.metric_set("away", away)
        held = self.position(self.instrument).net_raw
        if away >= self.enter:
            self.move(held, -self.size_raw)
        elif away <= -self.enter:
            self.move(held, self.size_raw)
        elif held * away >= 0:
            # It was bought under the average and is not under it any more, or the other way around.
            self.move(held, 0)

    def move(self, held: int, wanted: int) -> None:
        """Takes what is missing to a position, at the touch: what cannot trade at once is gone."""
        if wanted > held and self.ask_raw != UNDEFINED:
            self.buy(self.instrument, price_raw=self.ask_raw, size_raw=wanted - held, time_in_force=TimeInForce.IOC)
        elif wanted < held and self.bid_raw != UNDEFINED:
            self.sell(self.instrument, price_raw=self.bid_raw, size_raw=held - wanted, time_in_force=TimeInForce.IOC)
