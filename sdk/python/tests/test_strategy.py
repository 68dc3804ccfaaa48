"""What a strategy is told and what it asks for."""

import pytest
from pinion_strategy import (
    BarSeries,
    BookSide,
    NewOrder,
    NotAMultiple,
    OrderType,
    Position,
    Side,
    Strategy,
    TimeInForce,
)
from pinion_strategy.strategy import BarKind, wanted
from pinion_strategy.testing import Cancel, CancelAll, Modify, Recorder, SetTimer, Submit, instrument, level

BTC = instrument("BTCUSDT", tick="0.01", lot="0.00001")


def test_callbacks_are_wanted_by_being_written():
    class Base(Strategy):
        def on_quote(self, quote): ...

    class Derived(Base):
        def on_recovered(self, instrument_id, sequence): ...

        def on_save(self): ...

    assert wanted(Strategy()) == []
    assert wanted(Base()) == ["quote"]
    assert wanted(Derived()) == ["quote", "gap", "state"]


def test_what_looks_like_a_callback_and_is_none_is_refused_where_it_is_written():
    with pytest.raises(TypeError, match=r"line \d+: Mistyped\.on_qoute is no callback; did you mean on_quote\?"):

        class Mistyped(Strategy):
            def on_qoute(self, quote): ...

    with pytest.raises(TypeError, match=r"Other\.on_xyz is no callback; only callbacks have names that begin with on_"):

        class Other(Strategy):
            on_xyz = None

    class Base(Strategy):
        def on_trade(self, trade): ...

        def once(self): ...

    with pytest.raises(TypeError, match="did you mean on_fill"):

        class Derived(Base):
            def on_fills(self, fill): ...


def test_orders_are_asked_for_as_they_are_written():
    host = Recorder(BTC)
    strategy = host.start(Strategy)
    order_id = strategy.buy(BTC, size="0.01", price=61800.3, tag=9)
    strategy.sell(BTC, size_raw=10_000_000, price_raw=61_800_310_000_000, time_in_force=TimeInForce.POST_ONLY)
    strategy.sell(BTC, size=0.02)
    strategy.modify(order_id, BTC, price=61800, size=0.03)
    strategy.cancel(order_id)
    strategy.cancel_all()
    strategy.set_timer(4, 5)
    limit, market = OrderType.LIMIT, OrderType.MARKET
    assert host.take() == [
        Submit(1, NewOrder(1, Side.BUY, limit, TimeInForce.GTC, 61_800_300_000_000, 10_000_000, 9)),
        Submit(2, NewOrder(1, Side.SELL, limit, TimeInForce.POST_ONLY, 61_800_310_000_000, 10_000_000)),
        Submit(3, NewOrder(1, Side.SELL, market, TimeInForce.IOC, 0, 20_000_000)),
        Modify(1, 61_800_000_000_000, 30_000_000),
        Cancel(1),
        CancelAll(),
        SetTimer(4, 5),
    ]
    assert host.take() == []


@pytest.mark.parametrize(
    "order",
    [
        {"price": 1},
        {"price": 1, "size": 1, "size_raw": 1},
        {"price": 1, "price_raw": 1, "size": 1},
        {"price_raw": 1.0, "size": 1},
        {"size": 1, "time_in_force": TimeInForce.GTC},
    ],
)
def test_an_order_that_says_too_little_or_too_much_is_refused(order):
    with pytest.raises(TypeError):
        Recorder(BTC).start(Strategy).buy(BTC, **order)


def test_an_order_off_the_tick_is_not_sent():
    host = Recorder(BTC)
    with pytest.raises(NotAMultiple):
        host.start(Strategy).buy(BTC, size="0.01", price=61800.305)
    assert host.take() == []


def test_what_is_asked_for_in_on_init_is_dropped_but_for_bars():
    class Bars(Strategy):
        def on_init(self, params, instruments):
            self.minute = self.want_bars(BarSeries.time(instruments[0], 60, grace_millis=250))
            self.volume = self.want_bars(BarSeries.volume(instruments[0], "1.5"))
            self.buy(instruments[0], size=1)

    host = Recorder(BTC)
    strategy = host.start(Bars)
    assert host.asked == []
    assert (strategy.minute, strategy.volume) == (0, 1)
    assert host.bars == [
        BarSeries(1, BarKind.TIME, 60_000_000_000, 250_000_000),
        BarSeries(1, BarKind.VOLUME, 1_500_000_000),
    ]


def test_the_host_answers_what_the_test_has_put_in():
    host = Recorder(BTC)
    strategy = host.start(Strategy)
    host.positions[1] = Position(net_raw=-500_000_000, instrument_id=1)
    host.bids = [level(BTC, price=100, size=2)]
    host.clock = 7
    assert strategy.position(BTC).net == -0.5
    assert strategy.book_level(BTC, BookSide.BID, 0).price == 100.0
    assert strategy.book_level(BTC, BookSide.ASK, 0) is None
    assert strategy.now == 7 and strategy.instruments[1] is BTC
    strategy.log("hello")
    strategy.metric_set("g", 2.0)
    assert (host.logs, host.gauges) == (["hello"], {"g": 2.0})
