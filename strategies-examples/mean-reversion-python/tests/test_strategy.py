"""What the strategy decides, in plain CPython: `pytest` in this folder."""

import pytest
from pinion_strategy import Position, Refused, Side
from pinion_strategy.testing import Recorder, bar, instrument, quote
from strategy import MeanReversion

BTC = instrument("BTCUSDT", tick="0.01", lot="0.00001")
PARAMS = {"bars": 5, "enter": "1.5", "size": "0.01"}


def started() -> tuple[Recorder, MeanReversion]:
    host = Recorder(BTC)
    strategy = host.start(MeanReversion, PARAMS)
    strategy.on_quote(quote(BTC, bid=99, ask=101))
    return host, strategy


def closes(strategy: MeanReversion, *prices: float) -> None:
    for price in prices:
        strategy.on_bar(bar(BTC, open=price, high=price, low=price, close=price))


def asked(host: Recorder) -> list[tuple[Side, float, float]]:
    return [(a.order.side, BTC.price(a.order.price_raw), BTC.size(a.order.size_raw)) for a in host.take()]


def test_what_is_far_over_its_average_is_sold_and_bought_back_at_it():
    host, strategy = started()
    closes(strategy, 100, 100, 100, 100, 110)
    assert asked(host) == [(Side.SELL, 99.0, 0.01)]
    host.positions[BTC.id] = Position(net_raw=BTC.size_raw("-0.01"), instrument_id=BTC.id)
    closes(strategy, 104)
    assert asked(host) == []
    closes(strategy, 100)
    assert asked(host) == [(Side.BUY, 101.0, 0.01)]


def test_nothing_is_asked_before_the_average_means_something_or_while_nothing_moves():
    host, strategy = started()
    closes(strategy, 100, 200, 100, 100)
    assert asked(host) == []
    closes(strategy, 100, 100, 100, 100, 100)
    assert asked(host) == []


def test_bars_of_a_minute_are_wanted():
    host, _ = started()
    assert [(series.every, series.grace) for series in host.bars] == [(60_000_000_000, 500_000_000)]


def test_params_that_make_no_sense_are_refused():
    with pytest.raises(Refused, match="at least 2 bars"):
        Recorder(BTC).start(MeanReversion, {**PARAMS, "bars": 1})
