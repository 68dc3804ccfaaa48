"""BROKERS INPUT OUTPUT [SETTING=VALUE...]: an order for every quote, by a csp graph."""

import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import csp
from csp import ts
from csp.adapters.kafka import JSONTextMessageMapper, KafkaAdapterManager, RawBytesMessageMapper
from csp.adapters.status import Level, Status

sys.path.append(str(Path(__file__).parents[1] / "common"))
import quotes


class BookTicker(csp.Struct):
    u: int
    b: str
    B: str
    a: str
    A: str


class Record(csp.Struct):
    offset: int
    data: BookTicker


@csp.node
def decide(record: ts[Record]) -> ts[bytes]:
    if csp.ticked(record):
        tick = record.data
        return quotes.order(record.offset, tick.u, tick.b, tick.B, tick.a, tick.A)


@csp.node
def fail_on_error(status: ts[Status]):
    if csp.ticked(status) and status.level >= Level.ERROR:
        raise RuntimeError(status.msg)


@csp.graph
def graph(brokers: str, input: str, output: str, producer: dict):
    kafka = KafkaAdapterManager(
        brokers, group_id=f"pinion-peer-{input}", rd_kafka_producer_conf_options=producer
    )
    records = kafka.subscribe(
        Record,
        JSONTextMessageMapper(),
        input,
        field_map={"data": {"data": {name: name for name in ("u", "b", "B", "a", "A")}}},
        meta_field_map={"offset": "offset"},
        push_mode=csp.PushMode.NON_COLLAPSING,
    )
    kafka.publish(RawBytesMessageMapper(), output, quotes.KEY, decide(records))
    fail_on_error(kafka.status())


def main():
    brokers, input, output, *settings = sys.argv[1:]
    producer = {"linger.ms": "0", "acks": "all"} | dict(setting.split("=", 1) for setting in settings)
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    csp.run(graph, brokers, input, output, producer, starttime=now, endtime=timedelta(days=1), realtime=True)


main()
