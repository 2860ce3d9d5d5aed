"""What every encoding says, live and after an outage, is what docs/asyncapi.yaml says."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent.store.segment import RECORD_BYTES
from drivers.model import HostReading, MinerReading, Reading
from tests.broker import running
from tests.e2e.contract import (
    HEAD,
    Heard,
    Recorder,
    channel_of,
    numbers_by_stream,
    on_channel,
    problems,
    problems_of_message,
    readings_of,
)
from tests.fault.proxy import Proxy
from tests.harness import Node, simulated, wait_until

KINDS: dict[str, type[Reading]] = {"asic": MinerReading, "host": HostReading}
LATE = {"json": "telemetryHistory", "json-batch": "batchHistory", "compact": "batchHistory"}
"""The encodings, and where each tells what it could not tell in time."""


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Heard]]:
    """A node for each encoding; what each says live, and after an outage.

    The node of `compact` has been stopped meanwhile, and a byte of what it kept has changed.
    """
    directory = tmp_path_factory.mktemp("late")
    site = ("--network", "127.74.0.0/16", "--count", "8", "--seed", "5", "--delay-scale", "0.2")
    with (
        running(directory, "max_queued_messages 0") as broker,
        Proxy(broker.port) as proxy,
        simulated(directory, *site) as (_, _, sim),
    ):
        recorder = Recorder(broker.port)
        nodes = {name: in_encoding(name, directory, proxy.port, sim.ports) for name in LATE}
        try:
            for node in nodes.values():
                node.start()
            for node in nodes.values():
                node.await_devices(8)
            recorder.await_that("live batches", lambda: len(recorder.on("batchLive")) > 6)
            proxy.break_link()
            for node in nodes.values():
                wait_until(lambda node=node: kept(node) > 8, 15, "a backlog")
            damage(nodes["compact"])
            proxy.heal()
            recorder.await_that("history", lambda: all(heard_late(recorder, name) for name in LATE))
            recorder.await_that("a gap", lambda: "telemetry.gap" in names_of(recorder))
            for node in nodes.values():
                wait_until(lambda node=node: kept(node) == 0, 15, "the end of the backlog")
        finally:
            for node in nodes.values():
                node.__exit__()
            recorder.close()
    return {name: of_node(recorder.heard, name) for name in LATE}


def in_encoding(name: str, directory: Path, port: int, ports: dict[str, int]) -> Node:
    place = directory / name
    place.mkdir()
    node = Node(
        place,
        broker_port=port,
        interval_s=0.5,
        deadline_s=0.4,
        addresses="127.74.0.1-127.74.0.8",
        **ports,
    )
    text = node.config.read_text().replace('name = "n1"', f'name = "{name}"')
    node.config.write_text(text.replace("[telemetry]\n", f'[telemetry]\nencoding = "{name}"\n'))
    return node


def names_of(recorder: Recorder) -> set[str]:
    return {event["name"] for event in recorder.on("event")}


def kept(node: Node) -> int:
    return int(node.status()["delivery"]["telemetry"]["backlog"]["readings"])


def damage(node: Node) -> None:
    """Stop a node, change a byte of the last frame that it has kept, and start it."""
    assert node.process
    assert node.process.stop() == 0
    segment = max(node.directory.glob("state/spool/telemetry.raw.*.seg"))
    content = bytearray(segment.read_bytes())
    content[content.rindex(b"\xf5SR\n") + RECORD_BYTES] ^= 0xFF
    segment.write_bytes(content)
    node.start()


def of_node(heard: list[Heard], node: str) -> list[Heard]:
    return [each for each in heard if node_of(each) == node]


def node_of(message: Heard) -> str:
    content = message.content
    if content is None:  # no alarm stands
        return message.topic.partition("unsigned-commands-")[2]
    first = content[0] if isinstance(content, list) else content
    return str(first.get("node") or message.topic.split("/")[4])


def heard_late(recorder: Recorder, node: str) -> list[Heard]:
    return [
        each for each in of_node(recorder.heard, node) if channel_of(each.topic).name == LATE[node]
    ]


def test_every_message_is_as_documented(late: dict[str, list[Heard]]) -> None:
    for message in [message for messages in late.values() for message in messages]:
        assert not problems_of_message(message), message.topic


def test_every_event_has_the_documented_details(late: dict[str, list[Heard]]) -> None:
    events = [event for messages in late.values() for event in on_channel(messages, "event")]
    assert {"telemetry.gap", "telemetry.ended"} <= {each["name"] for each in events}
    for event in events:
        assert not problems(event, "Event")


@pytest.mark.parametrize("encoding", LATE)
def test_an_outage_leaves_no_number_out_that_is_not_told(
    encoding: str, late: dict[str, list[Heard]]
) -> None:
    readings, events = readings_of(late[encoding]), on_channel(late[encoding], "event")
    lost = [each["details"] for each in events if each["name"] == "telemetry.gap"]
    assert [gap["reason"] for gap in lost] == (["damaged"] if encoding == "compact" else [])
    streams = numbers_by_stream([*readings, *events])
    for (boot_id, stream), numbers in streams.items():
        gaps = [gap for gap in lost if (gap["boot_id"], gap["stream"]) == (boot_id, stream)]
        told = {n for gap in gaps for n in range(gap["first_seq"], gap["last_seq"] + 1)}
        assert set(numbers) | told == set(range(1, max({*numbers, *told}) + 1))
        assert len(told) == sum(gap["lost"] for gap in gaps)


@pytest.mark.parametrize("encoding", LATE)
def test_readings_are_as_documented_in_every_encoding(
    encoding: str, late: dict[str, list[Heard]]
) -> None:
    readings = readings_of(late[encoding])
    assert {reading["kind"] for reading in readings} == {"asic", "host"}
    if encoding == "compact":  # what it decodes to is complete
        for reading in readings:
            row = {name: value for name, value in reading.items() if name not in HEAD}
            read = msgspec.convert(row, KINDS[row["kind"]])
            assert msgspec.json.decode(msgspec.json.encode(read)) == row
    else:
        assert not problems(readings, "Lines")


def test_a_consumer_that_stopped_is_told_where_the_run_before_ended(
    late: dict[str, list[Heard]],
) -> None:
    events = on_channel(late["compact"], "event")
    ended = [each["details"] for each in events if each["name"] == "telemetry.ended"]
    streams = numbers_by_stream(readings_of(late["compact"]))
    (telemetry,) = [each for each in ended if each["stream"] == "telemetry"]
    (gap,) = [each["details"] for each in events if each["name"] == "telemetry.gap"]
    last = max([*streams[telemetry["boot_id"], "telemetry"], gap["last_seq"]])
    assert telemetry["last_seq"] == last
    assert telemetry["torn_bytes"] == 0
