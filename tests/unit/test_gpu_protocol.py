"""What is said on the socket of `stoker-gpu`, as bytes: frames, messages, and what is neither."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.gpu import wants
from drivers.gpu.answers import (
    Done,
    DriverFacts,
    Event,
    EventKind,
    Failed,
    GpuFound,
    GpuScan,
    Inventoried,
    Problem,
    Scanned,
    Statement,
    Stuck,
    WasSet,
    Welcome,
    problem_of,
)
from drivers.gpu.errors import Cause, GpuLost
from drivers.gpu.framing import Frames, FrameTooLarge, frame
from drivers.gpu.protocol import (
    BadMessage,
    Follow,
    Hello,
    Inventory,
    Release,
    Reset,
    Resume,
    Scan,
    Set,
    Status,
    Tier,
    decode_client_message,
    decode_server_message,
    encode,
)
from drivers.model_gpu import GpuFacts

SETTINGS: list[wants.Setting] = [
    wants.PowerLimit(300.0),
    wants.PowerLimit(None),
    wants.LockedClocks(900, 1200),
    wants.LockedMemoryClocks(None, None),
    wants.Persistence(True),
    wants.ComputeMode("prohibited"),
    wants.Ecc(False),
    wants.MigMode(True),
    wants.MigLayout(("1g.10gb", "2g.20gb")),
    wants.FanDuty(55.5),
]
REQUESTS = [
    Hello(1, "stoker"),
    Inventory(id=1),
    Scan(id=2, tiers=(Tier.FAST, Tier.SLOW)),
    Scan(id=3, tiers=(Tier.COSTLY,), uuids=("GPU-1", "GPU-2"), within_s=3.0),
    *(Set(id=4, uuid="GPU-1", setting=setting) for setting in SETTINGS),
    Reset(id=5, uuid="GPU-1"),
    Release(id=6, for_s=10.0, reason="update"),
    Resume(id=7),
    Status(id=8),
    Follow(id=9, epoch="e", after=5),
]
ANSWERS = [
    Welcome(1, "e", 7),
    Failed(Problem(Cause.LOST, "gone", "nvmlDeviceGetName"), 3),
    Failed(Problem(Cause.BAD_REQUEST, "what?")),
    Inventoried(
        id=1,
        driver=DriverFacts("580.65.06"),
        gpus=(GpuFound("GPU-1", GpuFacts(uuid="GPU-1", absent={"fans": "not_supported"})),),
    ),
    Scanned(id=2, gpus=(GpuScan("GPU-1", 5.0, {"power_w": 70.5, "processes": []}, {"fans": "x"}),)),
    WasSet(id=4, uuid="GPU-1", before={"persistence": False}, after={}, words="on"),
    Done(id=5),
    Statement(id=8, state="stuck", since=1.0, stuck=(Stuck(1, "GPU-1", "f", 2.0, "D", "w"),)),
    Event(seq=3, at=5.0, kind=EventKind.XID, message="XID 79", uuid="GPU-1", xid=79),
]


@pytest.mark.parametrize("message", REQUESTS, ids=lambda each: type(each).__name__)
def test_requests_come_back_as_they_went(message: Any) -> None:
    assert decode_client_message(encode(message)) == message


@pytest.mark.parametrize("message", ANSWERS, ids=lambda each: type(each).__name__)
def test_answers_come_back_as_they_went(message: Any) -> None:
    assert decode_server_message(encode(message)) == message


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"op": "fly", "id": 1}, "fly"),
        ({"op": "scan", "id": 1}, "tiers"),
        ({"op": "scan", "id": 1, "tiers": []}, "length >= 1"),
        ({"op": "scan", "id": 1, "tiers": ["hourly"]}, "hourly"),
        ({"op": "scan", "id": -1, "tiers": ["fast"]}, ">= 0"),
        ({"op": "scan", "id": 1, "tiers": ["fast"], "within_s": 1e9}, "<= 120"),
        ({"op": "scan", "id": 1, "tiers": ["fast"], "uuids": ["x"] * 100}, "length <= 64"),
        ({"op": "status", "id": 1, "more": True}, "more"),
        ({"op": "set", "id": 1, "uuid": "", "setting": {"set": "ecc", "on": True}}, "length >= 1"),
        ({"op": "set", "id": 1, "uuid": "G", "setting": {"set": "ecc", "on": 1}}, "bool"),
        ({"op": "set", "id": 1, "uuid": "G", "setting": {"set": "voltage", "mv": 1}}, "voltage"),
        (
            {"op": "set", "id": 1, "uuid": "G", "setting": {"set": "power_limit", "limit_w": -5}},
            "> 0",
        ),
        (
            {"op": "set", "id": 1, "uuid": "G", "setting": {"set": "fan_duty", "percent": 101}},
            "<= 100",
        ),
        ({"op": "release", "id": 1, "for_s": 1e6}, "<= 86400"),
        ([1, 2], "object"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(said: Any, words: str) -> None:
    with pytest.raises(BadMessage, match=words):
        decode_client_message(msgspec.msgpack.encode(said))


def test_the_id_of_a_wrong_request_is_kept_where_it_can_be_seen() -> None:
    with pytest.raises(BadMessage) as raised:
        decode_client_message(msgspec.msgpack.encode({"op": "fly", "id": 17}))
    assert raised.value.id == 17
    with pytest.raises(BadMessage) as raised:
        decode_client_message(msgspec.msgpack.encode({"op": "fly", "id": "x"}))
    assert raised.value.id is None


def test_a_later_hello_may_say_more() -> None:
    said = msgspec.msgpack.encode({"op": "hello", "version": 2, "compression": "zstd"})
    assert decode_client_message(said) == Hello(2)


def test_a_later_answer_may_say_more() -> None:
    said = msgspec.msgpack.encode({"is": "done", "id": 1, "words": "w", "more": [1]})
    assert decode_server_message(said) == Done(id=1, words="w")


def test_an_exception_and_its_problem_are_the_same_cause() -> None:
    problem = problem_of(GpuLost("gone"), "nvmlDeviceGetName")
    assert problem == Problem(Cause.LOST, "gone", "nvmlDeviceGetName")
    assert isinstance(problem.error(), GpuLost)


@given(st.binary(max_size=300))
@example(b"\xdd\xff\xff\xff\xff" * 50)
@example(b"\x91" * 5000)
def test_no_bytes_raise_anything_else(noise: bytes) -> None:
    for decode in (decode_client_message, decode_server_message):
        try:
            decode(noise)
        except BadMessage:
            continue


@given(st.lists(st.binary(max_size=200), max_size=8), st.data())
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    payloads: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(frame(payload) for payload in payloads)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10).map(sorted))
    frames, got = Frames(200), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += frames.feed(stream[begin:end])
    assert got == payloads
    assert not frames.broken_off


@given(st.binary(min_size=1, max_size=50))
def test_part_of_a_frame_is_not_taken_for_one(payload: bytes) -> None:
    frames = Frames(100)
    whole = frame(payload)
    assert frames.feed(whole[:-1]) == []
    assert frames.broken_off
    assert frames.feed(whole[-1:]) == [payload]


def test_too_large_a_frame_is_refused_before_it_has_come() -> None:
    with pytest.raises(FrameTooLarge, match="101 bytes; 100 are allowed"):
        Frames(100).feed(frame(b"x" * 101)[:4])
    assert Frames(100).feed(frame(b"x" * 100)) == [b"x" * 100]
