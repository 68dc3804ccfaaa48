"""What is traded, and how its prices and sizes are written."""

from __future__ import annotations

from dataclasses import dataclass

from . import units
from .errors import NotAMultiple
from .units import NANO, PRICE_EXPONENT, Amount


@dataclass(slots=True)
class Instrument:
    """One instrument of the strategy file."""

    id: int
    publisher_id: int
    tick_raw: int
    """Prices are multiples of it, at 1e-9; 0 where the file does not say."""
    lot_raw: int
    """Sizes are multiples of it, at `10**size_exponent`; 0 where the file does not say."""
    size_exponent: int
    symbol: str
    publisher: str
    """Whose feed carries it, as in the strategy file."""

    @property
    def tick(self) -> float:
        """Prices are multiples of it."""
        return self.tick_raw / NANO

    @property
    def lot(self) -> float:
        """Sizes are multiples of it, base units."""
        return self.size(self.lot_raw)

    def price(self, raw: int) -> float:
        """An exact price in the quote currency; `nan` where it is not known."""
        return units.price(raw)

    def size(self, raw: int) -> float:
        """An exact size in base units."""
        unit: int = 10**-self.size_exponent
        return raw / unit

    def price_raw(self, price: Amount) -> int:
        """A price as an exact integer. Raises `NotAMultiple` where it is not on the tick: round it first, up or down."""
        try:
            raw = _on(price, self.tick_raw, PRICE_EXPONENT)
        except ValueError as error:
            raise NotAMultiple(f"price of {self.symbol}: {error}") from None
        if raw is None:
            raise NotAMultiple(
                f"price of {self.symbol}: {price} is no multiple of its tick {self.tick}; "
                "see instrument.round_price, floor_price and ceil_price"
            )
        return raw

    def size_raw(self, size: Amount) -> int:
        """A size as an exact integer. Raises `NotAMultiple` where it is not on the lot: round it first."""
        try:
            raw = _on(size, self.lot_raw, self.size_exponent)
        except ValueError as error:
            raise NotAMultiple(f"size of {self.symbol}: {error}") from None
        if raw is None:
            raise NotAMultiple(
                f"size of {self.symbol}: {size} is no multiple of its lot {self.lot}; see instrument.floor_size"
            )
        return raw

    def floor_price(self, price: Amount) -> float:
        """The next price on the tick, downwards."""
        return self.price(_floor(price, self.tick_raw, PRICE_EXPONENT))

    def ceil_price(self, price: Amount) -> float:
        """The next price on the tick, upwards."""
        return self.price(-_floor(price, self.tick_raw, PRICE_EXPONENT, -1))

    def round_price(self, price: Amount) -> float:
        """The nearest price on the tick; upwards from the middle."""
        raw, step = units.exact(price, PRICE_EXPONENT), max(self.tick_raw, 1)
        return self.price((2 * raw + step) // (2 * step) * step)

    def floor_size(self, size: Amount) -> float:
        """The next size on the lot, downwards."""
        return self.size(_floor(size, self.lot_raw, self.size_exponent))


def _on(amount: Amount, step: int, exponent: int) -> int | None:
    """The amount as an exact multiple of `step`; None where it is none. A float is the multiple that it is nearest to, if any."""
    raw = units.exact(amount, exponent)
    step = max(step, 1)
    if raw % step == 0:
        return raw
    if isinstance(amount, float):
        # A float of many digits stands for what it prints as: 123456789.1 is 32 units away from what it says at 1e-9.
        nearest = (2 * raw + step) // (2 * step) * step
        if nearest / 10**-exponent == amount:
            return nearest
    return None


def _floor(amount: Amount, step: int, exponent: int, sign: int = 1) -> int:
    """The next multiple of `step` downwards, at `10**exponent`; upwards, and negated, for the other sign."""
    step = max(step, 1)
    fine: int = step * 10 ** (exponent - PRICE_EXPONENT)
    return sign * units.exact(amount, PRICE_EXPONENT) // fine * step
