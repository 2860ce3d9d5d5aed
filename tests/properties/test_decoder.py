"""What holds of any bytes at all that a device may answer."""

import json
import math
import random
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drivers.errors import BadReply, DriverError
from drivers.sim import Site
from drivers.sim.server import respond_live
from drivers.wire.cgminer import decode
from drivers.wire.repair import mend

NOW = 1_790_000_000.25
TRAPS = (
    "poolbinance",
    "nan",
    "inf",
    "-Infinity",
    "}{",
    ",}",
    "[,{",
    '""temp0',
    '"',
    "\\",
    "\n",
    "",
)

words = st.one_of(
    st.text(max_size=8), st.sampled_from(TRAPS), st.sampled_from(TRAPS).map("x{}y".format)
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    words,
)


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
        max_leaves=12,
    )


objects = st.dictionaries(words, nested(scalars), min_size=1, max_size=5)


@cache
def real_answers() -> tuple[bytes, ...]:
    models = ("Antminer S19 Pro", "Antminer S9", "CoinTerra TerraMiner", "Radeon R9 290")
    found = []
    for model in models:
        site = Site(3, "127.64.0.0/16", 1, mix={model: 1}, clock=lambda: NOW)
        machine = site.at("127.64.0.1")
        assert machine
        for command in ("version", "stats", "pools", "devs", "summary+devs+pools"):
            body = respond_live(machine, json.dumps({"command": command}).encode(), NOW).body
            found.append(body.rstrip(b"\0"))
    return tuple(found)


def encodable(found: dict[str, Any]) -> None:
    """Whatever was read can be written again, as the identification of a miner does."""
    assert isinstance(found, dict)
    msgspec.json.encode(found)


# --- decoding ------------------------------------------------------------------------------


@given(st.binary(max_size=300))
@example(b"")
@example(b"\0")
@example(b"{")
@example(b'{"a":"\xff\xfe"}')
def test_any_bytes_are_an_object_or_a_driver_error(raw: bytes) -> None:
    with suppress(DriverError):
        encodable(decode(raw).reply)


PIECES = (*'{}[]:,"\\ \n0a.-eu', "nan", "null", '"k":', '""')


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
@settings(max_examples=400)
def test_any_near_json_is_an_object_or_a_driver_error(text: str) -> None:
    with suppress(DriverError):
        encodable(decode(text.encode()).reply)


@given(st.data())
@settings(max_examples=300)
def test_a_damaged_answer_is_an_object_or_a_driver_error(data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from(real_answers())))
    places = st.integers(0, len(raw) - 1)
    for at, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=5)):
        raw[at] = byte
    at = data.draw(places)
    raw[at:at] = data.draw(
        st.binary(max_size=6) | st.sampled_from([b"}{", b'"', b"\\", b",", b"["])
    )
    with suppress(DriverError):
        encodable(decode(bytes(raw[: data.draw(st.integers(0, len(raw)))])).reply)


@given(
    st.dictionaries(words, nested(scalars | st.integers(-(10**80), 10**80)), max_size=5),
    st.booleans(),
    st.sampled_from([None, (",", ":"), (" , ", " : ")]),
)
@example({"url": "stratum+tcp://poolbinance.example.com", "a": "}{", "b": "nan,}"}, True, None)
def test_valid_objects_are_untouched(
    found: dict[str, Any], ascii_only: bool, separators: tuple[str, str] | None
) -> None:
    raw = json.dumps(found, ensure_ascii=ascii_only, separators=separators).encode()
    answer = decode(raw)
    assert answer.reply == found
    assert not answer.cut


def malformed(value: Any, rng: random.Random, closed: bool = True) -> str:
    """JSON as a bad firmware would print it; what stands inside strings is proper."""

    def between(parts: list[str]) -> str:
        text = rng.choice(["", ","])
        for at, part in enumerate(parts):
            text += (rng.choice([",", " ", ",,", ", ,"]) if at else "") + part
        return text + rng.choice(["", ",", ",,"])

    if isinstance(value, dict):
        pairs = [f"{json.dumps(key)}:{malformed(inner, rng)}" for key, inner in value.items()]
        return "{" + between(pairs) + "}"
    if isinstance(value, list):
        return "[" + between([malformed(inner, rng) for inner in value]) + "]"
    return json.dumps(value, ensure_ascii=rng.random() < 0.5)


@given(objects, st.randoms(use_true_random=False), st.sampled_from(["", ",", ",,", "\n"]))
@settings(max_examples=300)
def test_too_many_and_too_few_commas_change_nothing_else(
    found: dict[str, Any], rng: random.Random, before: str
) -> None:
    answer = decode((before + malformed(found, rng)).encode())
    assert answer.reply == found
    assert not answer.cut


@given(objects)
def test_bare_words_that_are_no_numbers_are_null(found: dict[str, Any]) -> None:
    text = json.dumps({**found, "bad": 0}, separators=(",", ":"))
    for word in ("nan", "-nan", "NaN", "inf", "-inf", "Infinity"):
        answer = decode(f"{text[: text.rindex('0')]}{word}}}".encode())
        assert answer.reply == {**found, "bad": None}


def within(part: Any, whole: Any) -> bool:
    """`part` says nothing that `whole` does not say: only less of it."""
    if isinstance(part, dict):
        return all(key in whole and within(value, whole[key]) for key, value in part.items())
    if isinstance(part, list):
        return len(part) <= len(whole) and all(map(within, part, whole))
    return bool(part == whole)


@given(objects, st.data())
@settings(max_examples=400)
@example({"a": {"pool": "user\\n"}}, None)
def test_a_cut_answer_keeps_only_whole_values(found: dict[str, Any], data: Any) -> None:
    text = json.dumps(found, ensure_ascii=False)
    lengths = [data.draw(st.integers(0, len(text) - 1))] if data else range(len(text))
    for length in lengths:
        with suppress(BadReply):
            answer = decode(text[:length].encode())
            assert answer.cut
            assert within(answer.reply, found)


@given(objects)
def test_an_answer_cut_within_a_character(found: dict[str, Any]) -> None:
    raw = json.dumps({**found, "last": "grün"}, ensure_ascii=False).encode()
    answer = decode(raw[: raw.rindex(b"\xbc")])
    assert answer.cut
    assert "last" not in answer.reply
    assert within(answer.reply, found)


# --- bounded work --------------------------------------------------------------------------

HOSTILE: dict[str, Callable[[int], str]] = {
    "opened objects": lambda n: "{" * n,
    "opened lists": lambda n: '{"a":' + "[" * n,
    "closed objects": lambda n: '{"a":1' + "}" * n,
    "the same pair": lambda n: '{"a":1' * (n // 6),
    "many objects": lambda n: "".join(f'{{"k{at}":1}}' for at in range(n // 13)),
    "escaped quotes": lambda n: '{"a":"' + '\\"' * (n // 2),
    "quotes": lambda n: '{"a":' + '"' * n,
    "backslashes": lambda n: '{"a":"' + "\\" * n,
    "commas": lambda n: '{"a":1' + "," * n,
    "spaces": lambda n: '{"a":1}' + " " * n + "x",
    "spaced braces": lambda n: "} " * (n // 2),
    "braces and spaces": lambda n: ("}" + " " * 300) * (n // 301),
    "not a number": lambda n: '{"a":' + "nan" * (n // 3),
    "numbers": lambda n: '{"a":[' + "1 " * (n // 2),
    "digits": lambda n: '{"a":' + "1" * n,
    "a long string": lambda n: '{"a":"' + "x" * n,
    "a long word": lambda n: '{"a":' + "x" * n,
}


def cost_s(work: Callable[[], object]) -> float:
    best = math.inf
    for _ in range(3):
        began = time.process_time()
        with suppress(DriverError):
            work()
        best = min(best, time.process_time() - began)
    return best


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("work", [decode, mend])
def test_four_times_the_hostile_input_costs_about_four_times(name: str, work: Callable) -> None:
    as_given = str.encode if work is decode else str
    # The square would cost 16 times; a busy host makes small figures noisy.
    small, large = (
        cost_s(partial(work, as_given(HOSTILE[name](length)))) for length in (30_000, 120_000)
    )
    assert large < 9 * small + 0.02
