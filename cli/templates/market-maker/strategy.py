"""A market maker: rests an order on both sides of the middle, and leans against its own position."""

from pinion_strategy import Instrument, OrderUpdate, Params, Quote, Refused, Side, Strategy, TimeInForce


class Resting:
    """The order on one side."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.order_id = 0
        self.price_raw = 0


class MarketMaker(Strategy):
    """Quotes `size` at `halfSpreadBps` from the middle, and lets its position grow to `maxPosition`."""

    def on_init(self, params: Params, instruments: list[Instrument]) -> None:
        if len(instruments) != 1:
            raise Refused(f"it trades one instrument, the file has {len(instruments)}")
        self.instrument = instruments[0]
        self.half_spread_bps = params.int("halfSpreadBps", 5)
        self.size_raw = params.size_raw("size", self.instrument)
        self.max_position_raw = params.size_raw("maxPosition", self.instrument)
        if not (self.half_spread_bps > 0 and 0 < self.size_raw <= self.max_position_raw):
            raise Refused("want halfSpreadBps > 0 and 0 < size <= maxPosition")
        self.bid, self.ask = Resting(Side.BUY), Resting(Side.SELL)

    def on_quote(self, quote: Quote) -> None:
        if quote.instrument_id != self.instrument.id or not quote.has_both:
            return
        tick = max(self.instrument.tick_raw, 1)
        net = self.position(self.instrument).net_raw
        middle = (quote.bid_raw + quote.ask_raw) // 2
        half = middle * self.half_spread_bps // 10_000
        # At the largest position the middle is a whole half spread away from where it would be without one.
        centre = middle - half * net // self.max_position_raw
        # On the tick, outwards, and never through the other side of the market.
        bid = min((centre - half) // tick * tick, quote.ask_raw - tick)
        ask = max(-((-centre - half) // tick) * tick, quote.bid_raw + tick)
        self.rest(self.bid, bid, net + self.size_raw <= self.max_position_raw)
        self.rest(self.ask, ask, net - self.size_raw >= -self.max_position_raw)

    def rest(self, order: Resting, price_raw: int, wanted: bool) -> None:
        """Sends, moves or takes back the order on one side."""
        if not wanted:
            if order.order_id:
                self.cancel(order.order_id)
        elif not order.order_id:
            order.price_raw = price_raw
            send = self.buy if order.side is Side.BUY else self.sell
            order.order_id = send(
                self.instrument, price_raw=price_raw, size_raw=self.size_raw, time_in_force=TimeInForce.POST_ONLY
            )
        elif abs(price_raw - order.price_raw) * 10_000 > order.price_raw:
            # A basis point away: worth a message, and its place in the queue.
            order.price_raw = price_raw
            self.modify(order.order_id, self.instrument, price_raw=price_raw, size_raw=self.size_raw)

    def on_order(self, update: OrderUpdate) -> None:
        for order in (self.bid, self.ask):
            if order.order_id == update.order_id and update.leaves_raw == 0:
                order.order_id = 0

    def on_stop(self) -> None:
        self.cancel_all()
