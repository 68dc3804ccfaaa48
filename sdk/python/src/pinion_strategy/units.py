"""Exact integers and what people write: prices at 1e-9, sizes at an instrument's own exponent.

A name that ends in `_raw` is the exact integer of the contract; the same name without it is a float. Towards the host a value
without `_raw` may be whatever says it exactly: see `Amount`.
"""

from __future__ import annotations

import math
from decimal import Decimal

UNDEFINED = 0x7FFF_FFFF_FFFF_FFFF
"""A price or an amount that is not known: an empty side of a book. Greater than every price."""

RAW_MIN, RAW_MAX = -(1 << 63), (1 << 63) - 1

NANO = 1_000_000_000
PRICE_EXPONENT = -9

Amount = float | int | Decimal | str
"""A price or a size as people write it. A float stands for the decimal that it is nearest to; the others must fit exactly."""

# What sizes of an instrument are divided by, where that is not 1e9. A record carries its instrument's id and nothing more.
_divisors: dict[int, int] = {}


def declare_sizes(instrument_id: int, size_exponent: int) -> None:
    """Says how sizes of an instrument are scaled: the host's word, or a test's."""
    if size_exponent == PRICE_EXPONENT:
        _divisors.pop(instrument_id, None)
    else:
        _divisors[instrument_id] = 10**-size_exponent


def price(raw: int) -> float:
    """A price or an amount of money in the quote currency; `nan` where it is not known."""
    return raw / NANO if raw != UNDEFINED else math.nan


def size(instrument_id: int, raw: int) -> float:
    """A size in base units."""
    return raw / _divisors.get(instrument_id, NANO)


def exact(amount: Amount, exponent: int) -> int:
    """An amount as an integer at `10**exponent`.

    A float may be off by as much as 1e-9, or by what it cannot say; anything else must be exact.
    Raises ValueError for what is no number, is not exact or does not fit 64 bits, TypeError for other types.
    """
    unit: int = 10**-exponent
    match amount:
        case bool():
            raise TypeError("True and False are no amounts")
        case int():
            raw = amount * unit
        case float():
            if not math.isfinite(amount):
                raise ValueError(f"{amount} is no amount")
            top, bottom = amount.as_integer_ratio()
            raw = (2 * top * unit + bottom) // (2 * bottom)
            # Noise of floats is no rounding: 0.1 + 0.2 is 0.3. What is further away than 1e-9 is meant.
            if abs(top * unit - raw * bottom) * NANO > bottom * unit and raw / unit != amount:
                raise ValueError(f"{amount} is no multiple of 1e{exponent}")
        case Decimal() | str():
            number = decimal(amount) if isinstance(amount, str) else amount
            if not number.is_finite():
                raise ValueError(f"{amount} is no amount")
            top, bottom = number.as_integer_ratio()
            raw, rest = divmod(top * unit, bottom)
            if rest:
                raise ValueError(f"{amount} is no multiple of 1e{exponent}")
        case _:
            raise TypeError(f"{amount!r} is no amount: want a float, an int, a Decimal or a text such as '0.25'")
    if not RAW_MIN <= raw <= RAW_MAX:
        raise ValueError(f"{amount} at 1e{exponent} does not fit 64 bits")
    return raw


def decimal(text: str) -> Decimal:
    """A plain decimal text (`"0.25"`), as strategy files have them. Raises ValueError for anything else, `"1e3"` included."""
    whole, point, fraction = text.removeprefix("-").partition(".")
    digits = whole + fraction
    if not whole or (point and not fraction) or not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"{text!r} is no decimal number")
    return Decimal(text)
