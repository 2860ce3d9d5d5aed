"""What is taken gets its number, and goes to the spool and to the courier in frames."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.fleet.events import Event
from agent.mqtt.topics import Topics
from agent.store.segment import Head, Place
from agent.telemetry.compact_decoder import ChainDecoder
from agent.telemetry.forms import FORMS
from agent.telemetry.gatherer import FRAME_LIMIT, GATHER_S, Gatherer
from agent.telemetry.telling import EventsTeller
from drivers.model import Kind, MinerReading, State
from tests.fakes import START, FakeClock

AT = datetime.fromtimestamp(START, UTC)
INTERVAL_S = 600.0


class Desk:
    """The spool and the courier in one."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, Head, bytes]] = []
        self.offered: list[tuple[str, Head, Any]] = []
        self.rolls: list[str] = []
        self.full = False

    def append(self, stream: str, head: Head, payload: bytes) -> Place:
        self.kept.append((stream, head, payload))
        return Place("s", len(self.kept))

    def roll(self, stream: str) -> None:
        self.rolls.append(stream)
        self.full = False

    def wants_roll(self, stream: str) -> bool:
        return self.full

    def offer(self, stream: str, place: Place, head: Head, write: Any, size: int) -> None:
        self.offered.append((stream, head, write))


class Post:
    def __init__(self) -> None:
        self.clock, self.desk = FakeClock(), Desk()
        topics = Topics("s", "n1")
        self.gatherer = Gatherer(
            self.desk,
            self.desk,
            FORMS["compact"](topics, "boot"),
            EventsTeller(topics.event).messages,
            node="n1",
            boot_id="boot",
            clock=self.clock,
            keyframe_interval_s=INTERVAL_S,
        )

    def take(self, *devices: str) -> None:
        for device in devices:
            self.gatherer.reading(
                MinerReading(device_id=device, kind=Kind.ASIC, taken_at=AT, state=State.MINING)
            )

    @property
    def frames(self) -> list[bytes]:
        return [payload for stream, _, payload in self.desk.kept if stream == "telemetry"]


@pytest.fixture
async def post() -> Post:
    return Post()


async def test_what_comes_within_a_moment_is_one_frame(post: Post) -> None:
    post.take("a", "b")
    assert not post.desk.kept
    async with asyncio.timeout(GATHER_S * 10):
        while not post.desk.kept:
            await asyncio.sleep(0.01)
    ((stream, head, frame),) = post.desk.kept
    assert (stream, head.seq, head.last_seq, head.count) == ("telemetry", 1, 2, 2)
    assert [row["device_id"] for row in ChainDecoder().decode(frame)] == ["a", "b"]
    assert [each[1] for each in post.desk.offered] == [head]


async def test_a_frame_is_small_enough_for_a_broker(post: Post) -> None:
    post.take(*(f"d{number}" for number in range(FRAME_LIMIT + 1)))
    assert [head.count for _, head, _ in post.desk.kept] == [FRAME_LIMIT]
    post.gatherer.flush()
    assert [head.seq for _, head, _ in post.desk.kept] == [1, FRAME_LIMIT + 1]


async def test_numbers_go_on_over_frames_and_events_have_their_own(post: Post) -> None:
    for _ in range(3):
        post.take("a", "b")
        post.gatherer.event(Event(name="x", at=AT, message="m"))
        post.gatherer.flush()
    heads = {stream: [] for stream in ("event", "telemetry")}  # type: ignore[var-annotated]
    for stream, head, _ in post.desk.kept:
        heads[stream].append(head.seq)
    assert heads == {"event": [1, 2, 3], "telemetry": [1, 3, 5]}


@pytest.mark.parametrize("why", ["asked", "full", "old"])
async def test_a_chain_begins_anew_and_is_decoded_by_itself(post: Post, why: str) -> None:
    post.take("a")
    post.gatherer.flush()
    post.take("a")
    post.gatherer.flush()
    assert post.desk.rolls == ["telemetry"]
    assert ChainDecoder().decode(post.frames[1]) == []  # a change of what is not known here
    if why == "asked":
        post.gatherer.new_chain()
    elif why == "full":
        post.desk.full = True
    else:
        post.clock.advance(INTERVAL_S)
    post.take("a")
    post.gatherer.flush()
    assert post.desk.rolls == ["telemetry"] * 2
    (row,) = ChainDecoder().decode(post.frames[2])
    assert (row["seq"], row["state"]) == (3, "mining")
