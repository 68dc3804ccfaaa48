"""Prices and sizes are exact, or refused."""

import math
from decimal import Decimal

import pytest
from pinion_strategy import UNDEFINED, NotAMultiple
from pinion_strategy.testing import instrument, quote, trade

BTC = instrument("BTCUSDT", tick="0.01", lot="0.00001")
COIN = instrument("COIN", id=2, tick="0.5", lot="0.1", size_exponent=-1)


@pytest.mark.parametrize(
    "price", [61800.3, "61800.3", "61800.30", Decimal("61800.3"), 61800.299999999996, 61800.30000000001]
)
def test_a_price_on_the_tick_is_exact_however_it_is_written(price):
    assert BTC.price_raw(price) == 61_800_300_000_000


def test_whole_numbers_are_units_of_the_currency():
    assert BTC.price_raw(100) == 100_000_000_000


@pytest.mark.parametrize("price", [61800.305, "61800.305", Decimal("0.001"), math.nan, math.inf, "1e3", "", "x", "1.", 10**12])
def test_a_price_off_the_tick_is_refused_and_never_rounded(price):
    with pytest.raises(NotAMultiple, match="BTCUSDT"):
        BTC.price_raw(price)


def test_the_error_names_the_tick_and_what_rounds():
    with pytest.raises(NotAMultiple, match=r"61800\.305 is no multiple of its tick 0\.01; see instrument\.round_price"):
        BTC.price_raw(61800.305)


@pytest.mark.parametrize("price", [True, None, [1], b"1"])
def test_what_is_no_amount_is_a_type_error(price):
    with pytest.raises(TypeError):
        BTC.price_raw(price)


def test_a_large_float_is_the_price_that_it_prints():
    assert BTC.price_raw(123456789.12) == 123_456_789_120_000_000
    with pytest.raises(NotAMultiple):
        BTC.price_raw(123456789.125)


def test_rounding_happens_where_it_is_asked_for():
    assert (BTC.floor_price(100.019), BTC.round_price(100.015), BTC.ceil_price(100.011)) == (100.01, 100.02, 100.02)
    assert (BTC.floor_price(-0.001), BTC.ceil_price(-0.001)) == (-0.01, 0.0)
    assert BTC.floor_size(0.123456) == 0.12345
    assert (COIN.floor_size(0.25), COIN.floor_size(0.3), COIN.floor_size(0.1 + 0.2)) == (0.2, 0.3, 0.3)
    for price in (0.07, 61800.37, 99999.99):
        assert BTC.price_raw(BTC.round_price(price + 0.003)) == BTC.price_raw(price)


def test_sizes_have_the_instruments_own_exponent():
    assert (COIN.size_raw("0.5"), COIN.size_raw(0.3), COIN.lot) == (5, 3, 0.1)
    for size in (0.25, "0.25", 0.3001):
        with pytest.raises(NotAMultiple, match="COIN"):
            COIN.size_raw(size)
    with pytest.raises(NotAMultiple, match="lot"):
        BTC.size_raw(0.000001)


def test_a_record_has_each_number_twice():
    event = quote(BTC, bid=61800.3, ask=None, bid_size=0.5)
    assert (event.bid, event.bid_raw, event.bid_size, event.bid_size_raw) == (61800.3, 61_800_300_000_000, 0.5, 500_000_000)
    assert event.ask_raw == UNDEFINED and math.isnan(event.ask) and math.isnan(event.mid) and not event.has_both
    assert quote(BTC, bid=1, ask=2).mid == 1.5


def test_sizes_of_an_event_are_scaled_by_its_own_instrument():
    from pinion_strategy.testing import Recorder

    from pinion_strategy import Strategy

    Recorder(BTC, COIN).start(Strategy)
    assert trade(COIN, price=1, size="0.5").size == 0.5
    assert trade(BTC, price=1, size="0.5").size == 0.5
