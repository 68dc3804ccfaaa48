"""A pair: two instruments that move together. Sells the one that is dear against the other, until the gap is its usual one."""

from pinion_strategy import UNDEFINED, Instrument, Params, Quote, Refused, Strategy, TimeInForce


class Leg:
    """One of the two, with its best bid and ask."""

    def __init__(self, instrument: Instrument, size_raw: int) -> None:
        self.instrument = instrument
        self.size_raw = size_raw
        self.bid_raw = self.ask_raw = UNDEFINED

    @property
    def known(self) -> bool:
        """Whether it has a bid and an ask."""
        return self.bid_raw != UNDEFINED and self.ask_raw != UNDEFINED

    @property
    def middle(self) -> int:
        """The price in the middle."""
        return (self.bid_raw + self.ask_raw) // 2


class Pairs(Strategy):
    """Holds `size` of each leg, one long and one short, while their gap is `entryBps` from its average over `periods` quotes."""

    def on_init(self, params: Params, instruments: list[Instrument]) -> None:
        if len(instruments) != 2:
            raise Refused(f"it trades two instruments, the file has {len(instruments)}")
        self.legs = [Leg(instrument, params.size_raw("size", instrument)) for instrument in instruments]
        self.by_id = {leg.instrument.id: leg for leg in self.legs}
        self.periods = params.int("periods", 1_000)
        self.entry_bps = params.int("entryBps", 2)
        if self.periods < 1 or self.entry_bps < 1:
            raise Refused("want periods and entryBps of at least 1")
        self.average = 0
        self.quotes = 0
        # 1: long the first and short the second; -1: the other way around; 0: neither.
        self.wanted = 0

    def on_quote(self, quote: Quote) -> None:
        leg = self.by_id.get(quote.instrument_id)
        if leg is None:
            return
        leg.bid_raw, leg.ask_raw = quote.bid_raw, quote.ask_raw
        first, second = self.legs
        if not (first.known and second.known):
            return
        gap = first.middle - second.middle
        self.average = gap if self.quotes == 0 else self.average + (gap - self.average) * 2 // (self.periods + 1)
        self.quotes += 1
        # The average means little before it has seen its periods.
        if self.quotes >= self.periods:
            self.decide(gap - self.average, second.middle * self.entry_bps // 10_000)

    def decide(self, away: int, entry: int) -> None:
        """In where the gap is far from its average, out where it has come back to it."""
        wanted = self.wanted
        if abs(away) > entry:
            wanted = -1 if away > 0 else 1
        elif away * wanted >= 0:
            wanted = 0
        if wanted != self.wanted:
            self.wanted = wanted
            first, second = self.legs
            self.move(first, wanted * first.size_raw)
            self.move(second, -wanted * second.size_raw)

    def move(self, leg: Leg, wanted_raw: int) -> None:
        """Takes what is missing to a position, at the touch: what cannot trade at once is gone."""
        missing = wanted_raw - self.position(leg.instrument).net_raw
        if missing > 0:
            self.buy(leg.instrument, price_raw=leg.ask_raw, size_raw=missing, time_in_force=TimeInForce.IOC)
        elif missing < 0:
            self.sell(leg.instrument, price_raw=leg.bid_raw, size_raw=-missing, time_in_force=TimeInForce.IOC)
