"""BROKERS PEER: sends 200 quotes to the peer, half of them before it starts, and checks every order that comes out."""

import json
import subprocess
import sys
import time
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

RECORDS = 200
ORDER_BYTES = 262
SECONDS_MAX = 180
HEADERS = [(f"pinion-{name}", b"a value of the usual length") for name in ("tenant", "strategy", "module", "input")]
# Its adapter has no way to set headers.
NO_HEADERS = ("csp",)


def quote(number: int) -> bytes:
    """Spot and futures by turns; the futures' frame has more fields."""
    tick = {
        "u": 50_093_421_613 + number,
        "s": "BTCUSDT",
        "b": f"61{number:03}.05000000",
        "B": "1.25869000",
        "a": f"61{number:03}.90000000",
        "A": "2.44816000",
    }
    if number % 4 > 1:
        tick = {"e": "bookTicker"} | tick | {"T": 1_723_161_256_313, "E": 1_723_161_256_313}
    return json.dumps({"stream": "btcusdt@bookTicker", "data": tick}, separators=(",", ":")).encode()


def order(number: int) -> bytes:
    buys = (50_093_421_613 + number) % 2 == 0
    price = f"61{number:03}." + ("90" if buys else "05")
    head = f'{{"offset":{number},"side":"{"buy" if buys else "sell"}","price":"{price}","fill":"'
    return (head.ljust(ORDER_BYTES - 2, "x") + '"}').encode()


def main():
    brokers, peer = sys.argv[1:]
    given, taken = f"in-{peer}", f"out-{peer}"
    admin = AdminClient({"bootstrap.servers": brokers})
    for created in admin.create_topics([NewTopic(name, 1, 1) for name in (given, taken)], request_timeout=60).values():
        created.result()

    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 0})

    def send(numbers: range):
        for number in numbers:
            producer.produce(given, quote(number), "BTCUSDT", partition=0)
        producer.flush()

    send(range(RECORDS // 2))
    started = time.monotonic()
    process = subprocess.Popen([Path(__file__).parent / peer / "run.sh", brokers, given, taken], stdout=sys.stderr)
    try:
        consumer = Consumer({"bootstrap.servers": brokers, "group.id": f"smoke-{peer}", "enable.auto.commit": False})
        consumer.assign([TopicPartition(taken, 0, 0)])
        for number in range(RECORDS):
            message = None
            while message is None:
                assert process.poll() is None, f"{peer} ended with {process.returncode}"
                assert time.monotonic() - started < SECONDS_MAX, f"{peer}: no order {number}"
                message = consumer.poll(1)
            assert message.error() is None, message.error()
            assert message.key() == b"BTCUSDT", message.key()
            assert message.value() == order(number), (message.value(), order(number))
            assert (message.headers() or []) == ([] if peer in NO_HEADERS else HEADERS), message.headers()
            if number == 0:
                print(f"{peer}: first order after {time.monotonic() - started:.1f} s", file=sys.stderr)
                send(range(RECORDS // 2, RECORDS))
        assert consumer.poll(1) is None, "more orders than quotes"
        resident = Path(f"/proc/{process.pid}/status").read_text().split("VmRSS:")[1].split()[0]
        print(f"{peer}: {RECORDS} orders in order, resident {int(resident) // 1024} MB")
    finally:
        process.kill()
        process.wait()


main()
