"""BROKERS INPUT OUTPUT STATE-FOLDER [SETTING=VALUE...]: an order for every quote, by a Quix Streams application."""

import sys
from pathlib import Path

from quixstreams import Application, message_context

sys.path.append(str(Path(__file__).parents[1] / "common"))
import quotes


def decide(value: dict) -> bytes:
    tick = value["data"]
    return quotes.order(message_context().offset, tick["u"], tick["b"], tick["B"], tick["a"], tick["A"])


def main():
    brokers, input, output, state, *settings = sys.argv[1:]
    app = Application(
        broker_address=brokers,
        consumer_group=f"pinion-peer-{input}",
        auto_offset_reset="earliest",
        processing_guarantee="at-least-once",
        producer_extra_config={"linger.ms": "0", "acks": "all"} | dict(setting.split("=", 1) for setting in settings),
        auto_create_topics=False,
        use_changelog_topics=False,
        state_dir=state,
        loglevel="WARNING",
    )
    orders = app.topic(output, key_serializer="str", value_serializer="bytes")
    (
        app.dataframe(app.topic(input, value_deserializer="json"))
        .apply(decide)
        .set_headers(lambda value, key, timestamp, headers: quotes.HEADERS)
        .to_topic(orders, key=lambda order: quotes.KEY)
    )
    app.run()


main()
