"""The strategy file's `params`."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping
from decimal import Decimal

from . import units
from .errors import ParamError
from .instrument import Instrument


class Params(Mapping[str, str]):
    """Names and values, as the strategy file gives them. What is asked for by type and is not there raises `ParamError`, which
    refuses the start with a text that names the param."""

    __slots__ = ("_params",)

    def __init__(self, params: Mapping[str, object] | None = None) -> None:
        self._params = {name: str(value) for name, value in (params or {}).items()}

    def __getitem__(self, name: str) -> str:
        return self._params[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._params)

    def __len__(self) -> builtins.int:
        return len(self._params)

    def __repr__(self) -> str:
        return f"Params({self._params!r})"

    def text(self, name: str, default: str | None = None) -> str:
        """A param as it stands; `default` where the file has none."""
        found = self._params.get(name, default)
        if found is None:
            raise ParamError(f'param "{name}" is missing')
        return found

    def int(self, name: str, default: builtins.int | None = None) -> builtins.int:
        """A whole number."""
        if default is not None and name not in self._params:
            return default
        text = self.text(name)
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()):
            raise ParamError(f'param "{name}" is "{text}": want a whole number')
        return int(text)

    def float(self, name: str, default: builtins.float | None = None) -> builtins.float:
        """A number; not for prices and sizes that are sent."""
        if default is not None and name not in self._params:
            return default
        text = self.text(name)
        try:
            return float(units.decimal(text))
        except ValueError:
            raise ParamError(f'param "{name}" is "{text}": want a number such as "0.5"') from None

    def decimal(self, name: str, default: Decimal | None = None) -> Decimal:
        """An exact decimal number."""
        if default is not None and name not in self._params:
            return default
        text = self.text(name)
        try:
            return units.decimal(text)
        except ValueError:
            raise ParamError(f'param "{name}" is "{text}": want a number such as "0.5"') from None

    def bool(self, name: str, default: builtins.bool | None = None) -> builtins.bool:
        """`"true"` or `"false"`."""
        if default is not None and name not in self._params:
            return default
        text = self.text(name)
        if text not in ("true", "false"):
            raise ParamError(f'param "{name}" is "{text}": want "true" or "false"')
        return text == "true"

    def size_raw(self, name: str, instrument: Instrument) -> builtins.int:
        """A size in base units (`"0.25"`) as the exact integer of an instrument. Never rounded."""
        return self._exact(name, instrument.size_exponent, "size")

    def price_raw(self, name: str) -> builtins.int:
        """A price in the quote currency (`"61800.3"`) as the exact integer. Never rounded."""
        return self._exact(name, units.PRICE_EXPONENT, "price")

    def _exact(self, name: str, exponent: builtins.int, what: str) -> builtins.int:
        text = self.text(name)
        try:
            return units.exact(text, exponent)
        except ValueError:
            raise ParamError(
                f'param "{name}" is "{text}": want a {what} such as "0.25", a multiple of 1e{exponent}'
            ) from None
