"""What each dialect makes of answers that are cut, glued, of wrong types or far too long.

Every fixture of `tests/fixtures/asic` is a machine here; what it answers is spoilt on its way. A
driver gives a partial reading of what was there, or its own error; it never raises another, and
never invents: a reading is what the whole answer gave, or less.
"""

import json
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.api import WebReply
from drivers.errors import DriverError
from drivers.model import MinerReading
from drivers.registry import create
from tests.replay import Replay, as_bytes

FIXTURES = sorted((Path(__file__).parents[1] / "fixtures" / "asic").glob("*.json"))
MACHINES = pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
SECTIONS = ("rpc", "rpc_http", "web", "side", "framed")
Spoil = Callable[[Any], Any]


class Spoilt(Replay):
    """A machine whose answers pass through `spoil` once `spoiling` is set: bytes to bytes."""

    spoiling: Callable[[bytes], bytes] | None = None

    def _through(self, raw: bytes) -> bytes:
        return self.spoiling(raw) if self.spoiling else raw

    async def exchange(self, *args: Any, **values: Any) -> bytes:
        return self._through(await super().exchange(*args, **values))

    async def converse(self, *args: Any, **values: Any) -> list[bytes]:
        frames = [self._through(frame[4:]) for frame in await super().converse(*args, **values)]
        return [len(body).to_bytes(4, "little") + body for body in frames]

    async def request(self, *args: Any, **values: Any) -> WebReply:
        reply = await super().request(*args, **values)
        return WebReply(reply.status, reply.headers, self._through(reply.body))


def load(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found


async def outcome(fixture: dict[str, Any], replay: Replay) -> MinerReading | DriverError:
    """Identify and read twice; what is neither a reading nor a `DriverError` fails the test."""
    driver = create(fixture["driver"], replay.endpoint, replay.context())
    found: MinerReading | DriverError
    with suppress(DriverError):
        msgspec.json.encode(await driver.identify())
    try:
        await driver.read()
        replay.at += 60
        reading = (await driver.read()).reading
        assert isinstance(reading, MinerReading)
        found = reading
    except DriverError as error:
        found = error
    await driver.close()
    if isinstance(found, MinerReading):
        raw = msgspec.json.encode(found)
        assert len(raw) < 64_000
        assert (len(found.boards), len(found.fans)) <= (256, 64)
    return found


def respoilt(answer: Any, spoil: Spoil) -> Any:
    """The same answer with every value in it spoilt."""
    if isinstance(answer, dict):
        return {key: respoilt(value, spoil) for key, value in answer.items()}
    if isinstance(answer, list):
        return [respoilt(value, spoil) for value in answer]
    return spoil(answer)


def with_answers(fixture: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """The fixture with each of its answers changed."""
    changed = {
        section: {name: change(answer) for name, answer in fixture[section].items()}
        for section in SECTIONS
        if section in fixture
    }
    return {**fixture, **changed}


@MACHINES
async def test_cut_anywhere(path: Path) -> None:
    fixture = load(path)
    for tenth in range(10):
        replay = Spoilt(fixture)
        replay.spoiling = lambda raw, tenth=tenth: raw[: len(raw) * tenth // 10]  # type: ignore[misc]
        await outcome(fixture, replay)


@MACHINES
async def test_glued(path: Path) -> None:
    fixture = load(path)
    for old, new in ((b"}, {", b"}{"), (b",", b",,"), (b'": ', b'"" '), (b"}]", b",}]")):
        replay = Spoilt(fixture)
        replay.spoiling = lambda raw, old=old, new=new: raw.replace(old, new)  # type: ignore[misc]
        await outcome(fixture, replay)


WRONG: dict[str, Any] = {
    "null": None,
    "list": [],
    "nested": [[[{"a": [1]}]]],
    "object": {"x": 1},
    "true": True,
    "words": "inf",
    "negative": -1,
    "huge": 10**400,
    "empty": "",
    "long": "x" * 100_000,
    "surrogate": "\ud800",
    "not a number": "nan",
}


@MACHINES
@pytest.mark.parametrize("wrong", WRONG)
async def test_values_of_wrong_types(path: Path, wrong: str) -> None:
    fixture = load(path)
    spoilt = with_answers(fixture, lambda answer: respoilt(answer, lambda _: WRONG[wrong]))
    await outcome(fixture, Replay(spoilt))


@MACHINES
async def test_single_values_of_wrong_types(path: Path) -> None:
    fixture = load(path)
    rng = random.Random(path.stem)
    wrong = list(WRONG.values())
    for share in (0.02, 0.1, 0.3) * 4:
        spoil: Spoil = lambda value, share=share: (  # type: ignore[misc]  # noqa: E731
            rng.choice(wrong) if rng.random() < share else value
        )
        spoilt = with_answers(fixture, lambda answer, spoil=spoil: respoilt(answer, spoil))  # type: ignore[misc]
        await outcome(fixture, Replay(spoilt))


@MACHINES
async def test_sections_that_are_missing_empty_or_of_another_shape(path: Path) -> None:
    fixture = load(path)

    def change(how: str) -> Callable[[Any], Any]:
        def spoil(answer: Any) -> Any:
            if not isinstance(answer, dict):
                return [] if how == "empty" else {}
            kept = {key: value for key, value in answer.items() if key in ("STATUS", "code")}
            filler = {"empty": [], "object": {}, "words": "none", "number": 7, "nothing": None}
            rest = {key: filler.get(how) for key in answer if key not in kept}
            return kept | (rest if how in filler else {})

        return spoil

    for how in ("missing", "empty", "object", "words", "number", "nothing"):
        await outcome(fixture, Replay(with_answers(fixture, change(how))))


@MACHINES
async def test_each_answer_alone_may_be_missing(path: Path) -> None:
    fixture = load(path)
    for section in SECTIONS:
        for name in fixture.get(section, {}):
            rest = {key: value for key, value in fixture[section].items() if key != name}
            await outcome(fixture, Replay({**fixture, section: rest}))


@MACHINES
async def test_numbers_as_strings_read_the_same(path: Path) -> None:
    fixture = load(path)

    def worded(value: Any) -> Any:
        return str(value) if type(value) in (int, float) else value

    plain = await outcome(fixture, Replay(fixture))
    quoted = with_answers(fixture, lambda answer: _but_for_status(answer, worded))
    read = await outcome(fixture, Replay(quoted))
    assert isinstance(plain, MinerReading)
    assert isinstance(read, MinerReading)
    for field in ("hashrate_ths", "power_w", "uptime_s", "shares_accepted", "state", "mode"):
        assert getattr(read, field) == getattr(plain, field), field
    assert len(read.boards) == len(plain.boards)
    assert read.fans == plain.fans
    assert read.boards == plain.boards


def _but_for_status(answer: Any, spoil: Spoil) -> Any:
    if not isinstance(answer, dict):
        return respoilt(answer, spoil)
    kept = {key: value for key, value in answer.items() if key in ("STATUS", "code", "id")}
    rest = {key: value for key, value in answer.items() if key not in kept}
    return {**kept, **respoilt(rest, spoil)}


@MACHINES
@pytest.mark.timeout(60)
async def test_five_megabytes_of_errors(path: Path) -> None:
    fixture = load(path)
    row = {"code": "218", "error_code": {"218": "2026-01-01 00:00:00"}, "msg": "voltage " * 20}

    def swollen(answer: Any) -> Any:
        if isinstance(answer, dict):
            return {key: swollen(value) for key, value in answer.items()}
        if isinstance(answer, list):
            return answer + [row] * 25_000
        return answer

    longest = max(
        (name for section in SECTIONS for name in fixture.get(section, {})),
        key=lambda name: max(
            len(as_bytes(fixture[section][name]))
            for section in SECTIONS
            if name in fixture.get(section, {})
        ),
    )
    for section in SECTIONS:
        if longest in fixture.get(section, {}):
            answers = {**fixture[section], longest: swollen(fixture[section][longest])}
            await outcome(fixture, Replay({**fixture, section: answers}))
