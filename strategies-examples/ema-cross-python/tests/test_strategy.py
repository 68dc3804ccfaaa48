"""What the strategy decides, in plain CPython: `pytest` in this folder."""

import pytest
from pinion_strategy import Position, Refused, Side, TimeInForce
from pinion_strategy.host import NewOrder, OrderType
from pinion_strategy.testing import Recorder, Submit, instrument, quote, trade
from strategy import EmaCross

COIN = instrument("COIN", id=7, tick="0.000000001", lot="0.1", size_exponent=-1)
PARAMS = {"fast": 2, "slow": 4, "size": "0.5"}


def trades(strategy: EmaCross, *prices_raw: int) -> None:
    strategy.on_quote(quote(COIN, bid="0.000000090", ask="0.000000110"))
    for price_raw in prices_raw:
        event = trade(COIN, price=1)
        event.price_raw = price_raw
        strategy.on_trade(event)


def order(side: Side, price_raw: int, size_raw: int) -> NewOrder:
    return NewOrder(7, side, OrderType.LIMIT, TimeInForce.IOC, price_raw, size_raw)


def test_a_cross_takes_the_touch_once_and_the_next_cross_turns_the_position_around():
    host = Recorder(COIN)
    strategy = host.start(EmaCross, PARAMS)
    trades(strategy, 1_000, 1_100, 1_200, 1_300, 1_400)
    assert host.take() == [Submit(1, order(Side.BUY, 110, 5))]
    host.positions[7] = Position(net_raw=5, instrument_id=7)
    trades(strategy, 900, 800, 700)
    assert host.take() == [Submit(2, order(Side.SELL, 90, 10))]


def test_nothing_is_asked_before_the_slow_average_means_something():
    host = Recorder(COIN)
    trades(host.start(EmaCross, PARAMS), 1_000, 1_100, 1_200)
    assert host.take() == []


def test_periods_in_the_wrong_order_are_refused():
    with pytest.raises(Refused, match="fast < slow"):
        Recorder(COIN).start(EmaCross, {"fast": 9, "slow": 9})
    with pytest.raises(Refused, match="one instrument"):
        Recorder().start(EmaCross, PARAMS)
