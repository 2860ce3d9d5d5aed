"""A consumer as the contract has it: drops repeats by their numbers, stores, and says how far.

It enters all it receives into a `Ledger`. With a `store` it keeps the numbers in a database
that is on disk before the mark is published: what is marked, the agent may forget.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import zstandard
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.telemetry.compact_decoder import ChainDecoder
from tests.ledger import Ledger, Number, number_of

ROOT = "stoker/v1/test"
NODE = "n1"
STREAMS = ("telemetry", "event")
STORE_EVERY_S = 0.1
BATCH_LIMIT_BYTES = 64 << 20


class Batches:
    """Decodes what comes on the topics of batches, in either form."""

    def __init__(self) -> None:
        self._chains = ChainDecoder()

    def decode(self, payload: bytes) -> list[dict[str, Any]]:
        """The readings of one message: JSON lines, or a compact frame."""
        content = zstandard.ZstdDecompressor().decompress(payload, BATCH_LIMIT_BYTES)
        if content.startswith(b"{"):
            return [json.loads(line) for line in content.splitlines()]
        return self._chains.decode(payload)


class Consumer:
    """Subscribed to everything of the site."""

    def __init__(self, port: int, *, store: Path | None = None) -> None:
        self.ledger = Ledger()
        self.problems: list[str] = []
        self.messages = 0
        self._batches = Batches()
        self._lock = threading.Lock()
        self._fresh: list[Number] = []
        self._marks = Marks(store) if store else None
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._storing = threading.Thread(target=self._store, name="store", daemon=True)
        self._client = _client()
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port, keepalive=30, properties=_lasting())

    def __enter__(self) -> Consumer:
        self._client.loop_start()
        assert self._ready.wait(10)
        self._storing.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._storing.join(10)
        self._client.disconnect()
        self._client.loop_stop()

    def count(self) -> int:
        """How many different readings and events have come so far."""
        with self._lock:
            return len(self.ledger.by_number)

    def until_quiet(self, quiet_s: float, timeout_s: float) -> None:
        """Wait until nothing new has come for a while."""
        until, before, since = time.monotonic() + timeout_s, -1, time.monotonic()
        while time.monotonic() - since < quiet_s:
            assert time.monotonic() < until, f"still receiving after {timeout_s:g} s"
            if (now := self.count()) != before:
                before, since = now, time.monotonic()
            time.sleep(0.05)

    def _connected(self, *_: Any) -> None:
        self._client.subscribe(f"{ROOT}/#", qos=1)
        self._publish_marks()  # a broker that was killed has forgotten them

    def _take(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            contents = self._contents(message.topic, bytes(message.payload))
        except Exception as error:  # it must not end paho's thread unheard
            self.problems.append(f"{message.topic}: {error!r}")
            return
        with self._lock:
            self.messages += 1
            for content in contents:
                if self.ledger.take(message.topic, content) and content.get("stream") in STREAMS:
                    self._fresh.append(number_of(content))

    def _contents(self, topic: str, payload: bytes) -> list[dict[str, Any]]:
        if not payload or "/ack/" in topic:
            return []
        return self._batches.decode(payload) if "/batch/" in topic else [json.loads(payload)]

    # --- marks ------------------------------------------------------------------------------

    def _store(self) -> None:
        while not self._stop.wait(STORE_EVERY_S):
            with self._lock:
                fresh, self._fresh = self._fresh, []
                gaps = set(self.ledger.gaps)
            if self._marks and fresh:
                self._marks.store(fresh)
                for gap in gaps:
                    self._marks.pass_over(gap.boot_id, gap.stream, gap.first_seq, gap.last_seq)
                self._publish_marks()
        if self._marks:
            self._marks.close()

    def _publish_marks(self) -> None:
        for stream, stored in self._marks.stored().items() if self._marks else ():
            mark = json.dumps({"stored": stored})
            self._client.publish(f"{ROOT}/ack/{NODE}/{stream}", mark, qos=1, retain=True)


class Marks:
    """Which numbers are on disk, and up to where without a hole in each boot."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute(
            "CREATE TABLE stored (node, boot_id, stream, seq, PRIMARY KEY (boot_id, stream, seq))"
        )
        self._above: dict[tuple[str, str], set[int]] = defaultdict(set)
        self._up_to: dict[tuple[str, str], int] = defaultdict(int)

    def store(self, numbers: list[Number]) -> None:
        """Have these on disk, and count them."""
        with self._database:
            self._database.executemany("INSERT OR IGNORE INTO stored VALUES (?, ?, ?, ?)", numbers)
        for _, boot_id, stream, seq in numbers:
            self._count((boot_id, stream), (seq,))

    def pass_over(self, boot_id: str, stream: str, first_seq: int, last_seq: int) -> None:
        """Wait no longer for numbers that are told to be lost."""
        self._count((boot_id, stream), range(first_seq, last_seq + 1))

    def _count(self, key: tuple[str, str], seqs: range | tuple[int, ...]) -> None:
        up_to, above = self._up_to[key], self._above[key]
        above.update(seq for seq in seqs if seq > up_to)
        while up_to + 1 in above:
            up_to += 1
            above.discard(up_to)
        self._up_to[key] = up_to

    def stored(self) -> dict[str, dict[str, int]]:
        """The mark of each stream."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for (boot_id, stream), up_to in list(self._up_to.items()):
            found[stream][boot_id] = up_to
        return found

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def _client() -> Client:
    client = Client(CallbackAPIVersion.VERSION2, "consumer", protocol=MQTTProtocolVersion.MQTTv5)
    client.reconnect_delay_set(1, 1)
    return client


def _lasting() -> Properties:
    lasting = Properties(PacketTypes.CONNECT)
    lasting.SessionExpiryInterval = 3600  # what comes while it is away is kept for it
    lasting.ReceiveMaximum = 1000
    return lasting
