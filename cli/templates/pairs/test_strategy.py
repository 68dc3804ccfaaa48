"""What the strategy decides, in plain CPython: `pytest` in this folder."""

import pytest
from pinion_strategy import Position, Refused, Side
from pinion_strategy.testing import Recorder, instrument, quote
from strategy import Pairs

SPOT = instrument("BTCUSDT", id=1, tick="0.01", lot="0.00001")
PERP = instrument("BTCUSDT", id=2, tick="0.1", lot="0.001")
PARAMS = {"periods": 3, "entryBps": 100, "size": "0.01"}


def started() -> tuple[Recorder, Pairs]:
    host = Recorder(SPOT, PERP)
    strategy = host.start(Pairs, PARAMS)
    strategy.on_quote(quote(PERP, bid=100, ask=100))
    for _ in range(4):
        strategy.on_quote(quote(SPOT, bid=101, ask=101))
    assert host.take() == []
    return host, strategy


def orders(host: Recorder) -> list[tuple[int, Side]]:
    return [(asked.order.instrument_id, asked.order.side) for asked in host.take()]


def test_the_dear_one_is_sold_against_the_other_and_bought_back_when_the_gap_is_its_usual_one():
    host, strategy = started()
    strategy.on_quote(quote(SPOT, bid=109, ask=109))
    assert orders(host) == [(1, Side.SELL), (2, Side.BUY)]
    host.positions[1] = Position(net_raw=SPOT.size_raw("-0.01"), instrument_id=1)
    host.positions[2] = Position(net_raw=PERP.size_raw("0.01"), instrument_id=2)
    strategy.on_quote(quote(SPOT, bid=101, ask=101))
    assert orders(host) == [(1, Side.BUY), (2, Side.SELL)]


def test_one_leg_alone_is_no_pair():
    with pytest.raises(Refused, match="two instruments"):
        Recorder(SPOT).start(Pairs, PARAMS)
