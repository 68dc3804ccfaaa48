"""Params say what is wrong with them, by name."""

from decimal import Decimal

import pytest
from pinion_strategy import ParamError, Params, Refused
from pinion_strategy.testing import instrument

BTC = instrument()
PARAMS = Params({"n": "7", "x": "abc", "f": "0.5", "size": "0.001", "yes": "true"})


def test_params_are_read_by_type():
    assert (PARAMS.int("n"), PARAMS.float("f"), PARAMS.decimal("f"), PARAMS.bool("yes")) == (7, 0.5, Decimal("0.5"), True)
    assert (PARAMS.size_raw("size", BTC), PARAMS.price_raw("f"), PARAMS.text("x")) == (1_000_000, 500_000_000, "abc")
    assert (PARAMS.int("absent", 3), PARAMS.float("absent", 1.5), PARAMS.bool("absent", False)) == (3, 1.5, False)
    assert dict(PARAMS)["n"] == "7"


@pytest.mark.parametrize("read", ["int", "float", "decimal", "bool", "price_raw"])
def test_a_wrong_or_missing_param_is_named(read):
    with pytest.raises(ParamError, match='param "x" is "abc": want'):
        getattr(PARAMS, read)("x")
    with pytest.raises(Refused, match='param "absent" is missing'):
        getattr(PARAMS, read)("absent")


def test_a_size_is_never_rounded():
    coarse = instrument(size_exponent=-2, lot="0.01")
    with pytest.raises(ParamError, match='param "size" is "0.001": want a size such as "0.25", a multiple of 1e-2'):
        PARAMS.size_raw("size", coarse)


@pytest.mark.parametrize("text", ["1_000", "１", " 1", "1.0", "", "0x1"])
def test_a_whole_number_is_written_in_plain_digits(text):
    with pytest.raises(ParamError):
        Params({"n": text}).int("n")
