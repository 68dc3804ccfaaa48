"""A moving-average cross: buys when the fast average of trade prices rises over the slow one, sells when it falls under it.

It shows the shape of most strategies: market data updates a small state, the state gives a wanted position, and an order closes
the distance to it. All arithmetic is on integers, and every decision is that of the example `ema-cross`, which is in Rust.
"""

from pinion_strategy import UNDEFINED, Instrument, Params, Quote, Refused, Side, Strategy, TimeInForce, Trade


class Ema:
    """An exponential moving average over about `periods` prices."""

    def __init__(self, periods: int) -> None:
        self.value = 0
        self.periods = periods

    def update(self, price: int, first: bool) -> None:
        """Moves the average 2 / (periods + 1) of the way to the price, cut to a whole number; the first price sets it."""
        if first:
            self.value = price
            return
        way = (price - self.value) * 2
        # `//` goes down, where Rust's `/` goes towards zero.
        self.value += way // (self.periods + 1) if way >= 0 else -(-way // (self.periods + 1))


class EmaCross(Strategy):
    """Long or short `size` by the cross of the averages over `fast` and `slow` trades."""

    def on_init(self, params: Params, instruments: list[Instrument]) -> None:
        # Whatever is wrong with the file is said here, before the first event.
        if len(instruments) != 1:
            raise Refused(f"it trades one instrument, the file has {len(instruments)}")
        self.instrument = instruments[0]
        fast, slow = params.int("fast", 50), params.int("slow", 200)
        if not 1 <= fast < slow <= 1_000_000:
            raise Refused(f"want 1 <= fast < slow <= 1000000; fast is {fast}, slow is {slow}")
        self.size_raw = params.size_raw("size", self.instrument)
        self.fast, self.slow = Ema(fast), Ema(slow)
        self.trades = 0
        self.bid_raw = self.ask_raw = UNDEFINED
        self.side: Side | None = None
        self.cash = 0

    def on_quote(self, quote: Quote) -> None:
        if quote.instrument_id == self.instrument.id:
            self.bid_raw, self.ask_raw = quote.bid_raw, quote.ask_raw

    def on_trade(self, trade: Trade) -> None:
        if trade.instrument_id != self.instrument.id:
            return
        fast, slow = self.fast, self.slow
        fast.update(trade.price_raw, self.trades == 0)
        slow.update(trade.price_raw, self.trades == 0)
        self.trades += 1
        # The averages mean little before the slow one has seen its periods.
        if self.trades < slow.periods or fast.value == slow.value:
            return
        side = Side.BUY if fast.value > slow.value else Side.SELL
        if side is not self.side:
            self.flip(side)

    def flip(self, side: Side) -> None:
        """Asks for what is missing to the wanted position, at the touch: what cannot trade at once is gone."""
        buys = side is Side.BUY
        price_raw, wanted = (self.ask_raw, self.size_raw) if buys else (self.bid_raw, -self.size_raw)
        if price_raw == UNDEFINED:
            return
        self.side = side
        missing = abs(wanted - self.position(self.instrument).net_raw)
        if missing > 0:
            order = self.buy if buys else self.sell
            order(self.instrument, price_raw=price_raw, size_raw=missing, time_in_force=TimeInForce.IOC)
            self.cash -= price_raw * (missing if buys else -missing)
            self.show(price_raw, wanted)

    def show(self, price_raw: int, position_raw: int) -> None:
        """For the board: the position that it wants and what it has earned, as if every order filled at its price."""
        unit = self.instrument.size(1)
        self.metric_set("pnl", (self.cash + price_raw * position_raw) * 1e-9 * unit)
        self.metric_set("position", position_raw * unit)
