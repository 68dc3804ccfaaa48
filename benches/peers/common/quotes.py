"""The work that every Python peer does on a record: a Binance bookTicker in, an order out."""

from decimal import Decimal

KEY = "BTCUSDT"
HEADERS = [
    (f"pinion-{name}", b"a value of the usual length") for name in ("tenant", "strategy", "module", "input")
]

# Every order's length, as long as one of Pinion's.
ORDER_BYTES = 262


def order(offset: int, update_id: int, bid_price: str, bid_size: str, ask_price: str, ask_size: str) -> bytes:
    """What a quote asks for; prices and sizes become exact decimals first, as a strategy needs all of them."""
    side, price = decide(update_id, Decimal(bid_price), Decimal(bid_size), Decimal(ask_price), Decimal(ask_size))
    head = b'{"offset":%d,"side":"%s","price":"%s","fill":"' % (offset, side, format(price, ".2f").encode())
    return head.ljust(ORDER_BYTES - 2, b"x") + b'"}'


def decide(
    update_id: int, bid_price: Decimal, _bid_size: Decimal, ask_price: Decimal, _ask_size: Decimal
) -> tuple[bytes, Decimal]:
    """The user's code: buys at the ask on an even update, sells at the bid on an odd one."""
    return (b"sell", bid_price) if update_id % 2 else (b"buy", ask_price)
