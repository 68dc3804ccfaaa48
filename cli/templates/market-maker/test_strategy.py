"""What the strategy decides, in plain CPython: `pytest` in this folder."""

import pytest
from pinion_strategy import OrderStatus, OrderUpdate, DenyReason, Position, Refused, Side
from pinion_strategy.testing import Modify, Recorder, Submit, instrument, quote
from strategy import MarketMaker

BTC = instrument("BTCUSDT", tick="0.01", lot="0.00001")
PARAMS = {"halfSpreadBps": 10, "size": "0.01", "maxPosition": "0.05"}


def sent(host: Recorder) -> dict[Side, float]:
    return {asked.order.side: BTC.price(asked.order.price_raw) for asked in host.take() if isinstance(asked, Submit)}


def test_it_rests_on_both_sides_and_follows_the_market():
    host = Recorder(BTC)
    strategy = host.start(MarketMaker, PARAMS)
    strategy.on_quote(quote(BTC, bid=99.99, ask=100.01))
    assert sent(host) == {Side.BUY: 99.9, Side.SELL: 100.1}
    strategy.on_quote(quote(BTC, bid=99.99, ask=100.01))
    assert host.take() == []
    strategy.on_quote(quote(BTC, bid=100.99, ask=101.01))
    assert [type(asked) for asked in host.take()] == [Modify, Modify]


def test_it_leans_against_its_position_and_stops_where_it_is_full():
    host = Recorder(BTC)
    strategy = host.start(MarketMaker, PARAMS)
    host.positions[BTC.id] = Position(net_raw=BTC.size_raw("0.05"), instrument_id=BTC.id)
    strategy.on_quote(quote(BTC, bid=99.99, ask=100.01))
    assert sent(host) == {Side.SELL: 100.0}


def test_an_order_that_is_gone_is_sent_anew():
    host = Recorder(BTC)
    strategy = host.start(MarketMaker, PARAMS)
    strategy.on_quote(quote(BTC, bid=99.99, ask=100.01))
    order_id = host.take()[0].order_id
    strategy.on_order(OrderUpdate(order_id, 0, BTC.id, 0, 0, OrderStatus.DENIED, DenyReason.STALE_BOOK, 0, 0, 0))
    strategy.on_quote(quote(BTC, bid=99.99, ask=100.01))
    assert sent(host) == {Side.BUY: 99.9}


def test_params_that_make_no_sense_are_refused():
    with pytest.raises(Refused, match="maxPosition"):
        Recorder(BTC).start(MarketMaker, {**PARAMS, "maxPosition": "0.001"})
