"""Does what its param `mode` says, at the first quote. Imports all that the sandbox is said to carry."""

import __future__
import abc
import array
import ast
import base64
import binascii
import bisect
import calendar
import cmath
import codecs
import collections
import colorsys
import contextlib
import copy
import copyreg
import csv
import dataclasses
import datetime
import decimal
import difflib
import enum
import errno
import fractions
import functools
import graphlib
import hashlib
import heapq
import hmac
import html
import io
import itertools
import json
import keyword
import math
import numbers
import operator
import pathlib
import pprint
import random
import re
import reprlib
import statistics
import string
import struct
import sys
import textwrap
import traceback
import types
import typing
import unicodedata
import warnings
import weakref
import zlib

from pinion_strategy import BarSeries, Params, Quote, Refused, Saved, Strategy

TOLD = pathlib.Path(__file__).with_name("told.txt").read_text()


class Misbehaving(Strategy):
    def on_init(self, params: Params, instruments: list) -> None:
        self.mode = getattr(self, params.text("mode"))
        self.instrument = instruments[0]
        if self.mode == self.refuse:
            raise Refused("not today")
        if self.mode == self.init:
            self.deeper(0)
        self.want_bars(BarSeries.time(self.instrument, 60))

    def on_quote(self, quote: Quote) -> None:
        self.mode(quote)

    def refuse(self, quote: Quote) -> None: ...

    def init(self, quote: Quote) -> None: ...

    def deeper(self, n: int) -> None:
        1 / n

    def raises(self, quote: Quote) -> None:
        self.deeper(0)

    def recurses(self, quote: Quote) -> None:
        self.recurses(quote)

    def recurses_in_c(self, quote: Quote) -> None:
        sorted([2, 1], key=lambda _: self.recurses_in_c(quote) or 1)

    def allocates(self, quote: Quote) -> None:
        kept = []
        while True:
            kept.append(bytearray(1 << 20))

    def spins(self, quote: Quote) -> None:
        while True:
            pass

    def prints(self, quote: Quote) -> None:
        print("x" * 1_000_000)
        print("hello", 7)
        print("half", end="")
        print(" and half")

    def prints_many(self, quote: Quote) -> None:
        for n in range(2_000):
            print("line", n)

    def exits(self, quote: Quote) -> None:
        sys.exit(3)

    def opens(self, quote: Quote) -> None:
        open("secrets")

    def imports_late(self, quote: Quote) -> None:
        __builtins__["__import__"]("wave")

    def off_tick(self, quote: Quote) -> None:
        self.buy(self.instrument, size="0.001", price=quote.bid + 0.001)

    def warns(self, quote: Quote) -> None:
        warnings.warn("careful")
        try:
            self.deeper(0)
        except ZeroDivisionError:
            print(traceback.format_exc())

    def works(self, quote: Quote) -> None:
        """What is carried works, not only its import."""
        rng = random.Random(7)
        told = [
            TOLD.strip(),
            str(rng.random()),
            json.dumps({"a": [1, 2.5]}),
            hashlib.sha256(b"x").hexdigest()[:8],
            str(datetime.datetime.fromtimestamp(quote.ts_recv // 10**9, datetime.timezone.utc).date()),
            str(decimal.Decimal("0.1") + decimal.Decimal("0.2")),
            str(statistics.median([3, 1, 2])),
            re.sub("b+", "c", "abba"),
            str(zlib.crc32(b"x")),
            f"{quote.bid:.2f} {quote.mid:.3f}",
            str(datetime.datetime.strptime("2024-08-09", "%Y-%m-%d").date()),
        ]
        self.log("; ".join(told))

    def asks(self, quote: Quote) -> None:
        first = self.buy(self.instrument, size="0.01", price=quote.bid, tag=3)
        self.sell(self.instrument, size_raw=20_000_000)
        self.modify(first, self.instrument, price_raw=quote.bid_raw, size="0.02")
        self.cancel(first)
        self.cancel_all()
        self.set_timer(4, self.now + 1)
        self.metric_set("g", 1.5)
        self.log(f"{self.position(self.instrument).net} {self.host.instrument(self.instrument.id)}")

    def on_save(self) -> Saved:
        return Saved(3, b"kept")

    def on_load(self, saved: Saved) -> None:
        if saved.version != 3:
            raise Refused(f"version {saved.version}")
        self.log(f"loaded {saved.data!r}")
