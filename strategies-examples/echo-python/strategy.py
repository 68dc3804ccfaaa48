"""Says in its log what it is called with, and what the host answers: the contract, to look at.

Line for line what the example `echo` in Rust says: a callback's name and its fields in the contract's order, enums by their number.
Timers choose an import: timer 1 submits, 2 modifies, and so on, see `on_timer`. It keeps what it saves: the number of its timers.
"""

from pinion_strategy import (
    UNDEFINED,
    Bar,
    BarKind,
    BarSeries,
    Book,
    BookDelta,
    BookSide,
    Fill,
    Gap,
    Instrument,
    LogLevel,
    NewOrder,
    OrderType,
    OrderUpdate,
    Params,
    Position,
    Quote,
    Refused,
    Saved,
    Side,
    Status,
    Strategy,
    TimeInForce,
    Trade,
    TradingState,
)


def shown(*numbers: int) -> str:
    """Each number behind a space; what is not defined as `-`."""
    return "".join(" -" if number == UNDEFINED else f" {number}" for number in numbers)


def head(event: Quote | Trade | BookDelta | Book | Status) -> str:
    ids = f"{event.instrument_id} {event.publisher_id} {event.flags}"
    return f"{ids} {event.ts_event} {event.ts_recv} {event.sequence}"


def position_of(held: Position) -> str:
    sizes = shown(held.net_raw, held.working_buy_raw, held.working_sell_raw)
    return sizes + shown(held.average_price_raw, held.realized_raw, held.unrealized_raw, held.fees_raw)


class Echo(Strategy):
    """Wants every callback."""

    def on_init(self, params: Params, instruments: list[Instrument]) -> None:
        refusal = params.get("refuse")
        if refusal is not None:
            raise Refused(refusal)
        for instrument in instruments:
            self.want_bars(BarSeries.time(instrument, 1, grace_millis=1))
            self.want_bars(BarSeries.trades(instrument, 3))
            self.want_bars(BarSeries(instrument.id, BarKind.VOLUME, 5))
        self.first = f"init {params.int('fast', 0)} {len(instruments)}"
        self.timers = 0

    def on_start(self) -> None:
        self.log(self.first)
        self.log("start")

    def on_quote(self, quote: Quote) -> None:
        touch = shown(quote.bid_raw, quote.bid_size_raw, quote.ask_raw, quote.ask_size_raw)
        self.log(f"quote {head(quote)}{touch} {quote.bid_count} {quote.ask_count}")

    def on_trade(self, trade: Trade) -> None:
        self.log(f"trade {head(trade)} {trade.price_raw} {trade.size_raw} {trade.trade_id} {trade.aggressor.value}")

    def on_book_delta(self, delta: BookDelta) -> None:
        level = f"{delta.price_raw} {delta.size_raw} {delta.count}"
        self.log(f"book-delta {head(delta)} {level} {delta.action.value} {delta.side.value}")

    def on_book(self, book: Book) -> None:
        touch = shown(book.bid_raw, book.bid_size_raw, book.ask_raw, book.ask_size_raw)
        self.log(f"book {head(book)}{touch} {book.bid_levels} {book.ask_levels}")

    def on_gap(self, gap: Gap) -> None:
        ids = f"gap {gap.instrument_id} {gap.publisher_id} {gap.ts_event} {gap.ts_recv}"
        self.log(f"{ids} {gap.expected} {gap.received}")

    def on_recovered(self, instrument_id: int, sequence: int) -> None:
        self.log(f"recovered {instrument_id} {sequence}")

    def on_status(self, status: Status) -> None:
        self.log(f"status {head(status)} {status.state.value}")

    def on_bar(self, bar: Bar) -> None:
        ids = f"bar {bar.instrument_id} {bar.publisher_id} {bar.series} {bar.trades} {bar.late}"
        prices = shown(bar.open_raw, bar.high_raw, bar.low_raw, bar.close_raw, bar.volume_raw, bar.buy_volume_raw)
        self.log(f"{ids} {bar.ts_open} {bar.ts_close} {bar.ts_recv}{prices}")

    def on_timer(self, timer_id: int, at: int) -> None:
        self.timers += 1
        match timer_id:
            case 1:
                limit = NewOrder(at, Side.SELL, OrderType.LIMIT, TimeInForce.POST_ONLY, 5, 6, 77)
                market = NewOrder(at, Side.BUY, OrderType.MARKET, TimeInForce.IOC, 0, 9)
                first, second = self.host.submit(limit), self.host.submit(market)
                self.log(f"submit {first} {second}")
            case 2:
                self.host.modify(at, -2, 3)
            case 3:
                self.cancel(at)
            case 4:
                self.cancel_all()
            case 5:
                self.set_timer(8, at)
            case 6:
                self.log(f"now {self.now}")
            case 7:
                known = self.host.instrument(at)
                if known is None:
                    self.log("instrument none")
                else:
                    ids = f"instrument {known.id} {known.publisher_id} {known.publisher} {known.symbol}"
                    self.log(f"{ids} {known.tick_raw} {known.lot_raw} {known.size_exponent}")
            case 8:
                self.log(f"position{position_of(self.host.position(at))}")
            case 9:
                level = self.host.book_level(at, BookSide.ASK, 1)
                self.log("level none" if level is None else f"level {level.price_raw} {level.size_raw} {level.count}")
            case 10:
                self.metric_set("edge", 2.5)
            case 11:
                for severity in (LogLevel.DEBUG, LogLevel.INFO, LogLevel.WARN, LogLevel.ERROR):
                    self.log("grüezi", severity)
            case _:
                self.log(f"timer {timer_id} {at}")

    def on_order(self, update: OrderUpdate) -> None:
        ids = f"order {update.order_id} {update.tag} {update.instrument_id} {update.ts_event} {update.ts_recv}"
        rest = shown(update.price_raw, update.leaves_raw, update.filled_raw)
        self.log(f"{ids} {update.status.value} {update.reason.value}{rest}")

    def on_fill(self, fill: Fill) -> None:
        ids = f"fill {fill.order_id} {fill.tag} {fill.instrument_id} {fill.ts_event} {fill.ts_recv}"
        rest = shown(fill.price_raw, fill.size_raw, fill.leaves_raw, fill.fee_raw)
        self.log(f"{ids} {fill.side.value}{rest} {fill.liquidity.value}")

    def on_position(self, instrument_id: int, position: Position) -> None:
        self.log(f"on-position {instrument_id}{position_of(position)}")

    def on_trading_state(self, state: TradingState) -> None:
        self.log(f"trading-state {state.value}")

    def on_save(self) -> Saved:
        return Saved(3, self.timers.to_bytes(4, "little"))

    def on_load(self, saved: Saved) -> None:
        if saved.version != 3 or len(saved.data) != 4:
            raise Refused(f"version {saved.version} of {len(saved.data)} bytes")
        self.timers = int.from_bytes(saved.data, "little")
        self.first = f"loaded {self.timers}"

    def on_stop(self) -> None:
        self.log("stop")
