"""CAPTURE.gz: an EMA cross over a Binance capture, backtested by hftbacktest; prints one line of JSON."""

import gzip
import json
import os
import sys
import tempfile
import time
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path

import numpy as np
from hftbacktest import BacktestAsset, ROIVectorMarketDepthBacktest
from hftbacktest.data.utils import binancefutures
from hftbacktest.order import IOC, LIMIT
from numba import njit

FAST, SLOW = 50, 200
SIZE = 0.01
ROWS_MAX = 4_000_000
# What wait_next_feed says, and the longest that it may wait: it adds this to the time, which must not overflow.
END_OF_DATA, FEED = 1, 2
WAIT_NS_MAX = 3_600_000_000_000


@njit
def ema_cross(hbt):
    """Asks for one size at the touch, now or never, when the fast average of trade prices changes its side of the slow one."""
    fast = slow = 0.0
    trades = orders = side = 0
    while True:
        woken_by = hbt.wait_next_feed(False, WAIT_NS_MAX)
        if woken_by == END_OF_DATA:
            return orders
        if woken_by != FEED:
            raise RuntimeError("neither a feed nor the end of the data")
        for trade in hbt.last_trades(0):
            if trades == 0:
                fast = slow = trade.px
            fast += (trade.px - fast) * 2 / (FAST + 1)
            slow += (trade.px - slow) * 2 / (SLOW + 1)
            trades += 1
            if trades < SLOW or fast == slow:
                continue
            now = 1 if fast > slow else -1
            if now != side:
                side = now
                orders += 1
                depth = hbt.depth(0)
                if side > 0:
                    hbt.submit_buy_order(0, orders, depth.best_ask, SIZE, IOC, LIMIT, False)
                else:
                    hbt.submit_sell_order(0, orders, depth.best_bid, SIZE, IOC, LIMIT, False)
        hbt.clear_last_trades(0)
        hbt.clear_inactive_orders(0)


def events(capture: Path) -> np.ndarray:
    """The capture as hftbacktest's own converter gives it; a spot capture is first brought to the futures' fields."""
    if "usdm" in capture.name:
        return binancefutures.convert(str(capture), buffer_size=ROWS_MAX)
    with tempfile.NamedTemporaryFile(suffix=".gz") as futures:
        with gzip.open(capture, "rt") as lines, gzip.open(futures.name, "wt", compresslevel=1) as out:
            for line in lines:
                received, frame = line.split(" ", 1)
                frame = json.loads(frame)
                data = frame["data"]
                if data.get("e") in ("trade", "depthUpdate"):
                    data.setdefault("T", data["E"])
                    data.setdefault("X", "MARKET")
                    out.write(f"{received} {json.dumps(frame)}\n")
        return binancefutures.convert(futures.name, buffer_size=ROWS_MAX)


def backtest(data: np.ndarray, tick: float, lot: float) -> tuple[int, int]:
    """The orders sent, and how long the run took in ns."""
    prices = data["px"][data["px"] > 0]
    asset = (
        BacktestAsset()
        .data(data)
        .linear_asset(1.0)
        .constant_order_latency(0, 0)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.0)
        .tick_size(tick)
        .lot_size(lot)
        .roi_lb(float(np.median(prices)) * 0.8)
        .roi_ub(float(np.median(prices)) * 1.2)
        .last_trades_capacity(1000)
    )
    hbt = ROIVectorMarketDepthBacktest([asset])
    start = time.perf_counter_ns()
    orders = ema_cross(hbt)
    took = time.perf_counter_ns() - start
    hbt.close()
    return orders, took


def main():
    capture = Path(sys.argv[1])
    tick, lot = (0.1, 0.001) if "usdm" in capture.name else (0.01, 0.00001)
    with redirect_stdout(sys.stderr):
        data = events(capture)
        backtest(data, tick, lot)  # Compiles.
        orders, took = backtest(data, tick, lot)
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    print(json.dumps({"peer": "hftbacktest", "version": version("hftbacktest"), "events": len(data), "orders": orders, "ns": took, "rss_bytes": resident}))


main()
