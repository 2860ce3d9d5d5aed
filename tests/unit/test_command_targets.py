"""Which devices a target means, and what is said of one that means nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agent.command.targets import BadTarget, parse, value_of
from agent.config.locations import Location
from drivers.mock import mock_identity
from drivers.model import Kind, MinerReading, State
from tests.devices import device_at

PLACE = Location(building="H1", rack="B7", asset_id="A-1", tags={"hall": "North", "breaker": "12"})
DEVICE = device_at(
    "10.1.2.3", place=PLACE, driver_name="luxos", make="Bitmain", model="Antminer S19 Pro"
)
DEVICE.last = MinerReading(
    device_id=DEVICE.id,
    kind=Kind.ASIC,
    taken_at=datetime(2026, 1, 1, tzinfo=UTC),
    state=State.MINING,
)


@pytest.mark.parametrize(
    "target",
    [
        "all",
        DEVICE.id,
        "10.1.2.3",
        "rack=B7",
        "rack=b7",
        " rack = B7 ",
        "building=H1",
        "asset_id=A-1",
        "hall=north",
        "breaker=12",
        "make=bitmain",
        "model=Antminer S19 Pro",
        "firmware=mock",
        "driver=luxos",
        "kind=asic",
        "state=mining",
        "rack=B7,make=Bitmain,state=mining",
        "rack=B7, 10.1.2.3",
    ],
)
def test_what_means_the_device(target) -> None:
    assert parse(target).chooses(DEVICE)


@pytest.mark.parametrize(
    "target",
    [
        mock_identity(2).id,
        "10.1.2.4",
        "rack=B",
        "rack=B77",
        "row=B7",
        "rack=*",
        "hall=South",
        "floor=1",
        "make=Bit",
        "state=sleeping",
        "rack=B7,state=sleeping",
        "rack=B7,10.1.2.4",
        "tags=North",
    ],
)
def test_what_does_not(target) -> None:
    assert not parse(target).chooses(DEVICE)


@pytest.mark.parametrize(
    "target", ["state=mining", "firmware=unknown", "model=none", "make=None", "rack=none"]
)
def test_what_is_not_known_of_a_device_means_nothing(target) -> None:
    bare = device_at(make=None, model=None, firmware=None)
    assert not parse(target).chooses(bare)


@pytest.mark.parametrize("key", ["state", "make", "rack", "hall"])
def test_a_device_that_has_nothing_under_a_key(key) -> None:
    assert value_of(device_at(make=None), key) is None


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("", "nothing stands"),
        (",", "nothing stands"),
        ("rack=B7,", "nothing stands"),
        ("rack=B7,,make=Bitmain", "nothing stands"),
        ("rack=", "expected key=value"),
        ("=B7", "expected key=value"),
        (" = ", "expected key=value"),
        ("B7", "expected all, an id, an address or key=value"),
        ("everything", "expected all"),
        ("ALL", "expected all"),
        ("all,rack=B7", "expected all"),
        ("10.1.2", "expected all"),
        ("10.1.2.0/24", "expected all"),
        ("10.1.2.300", "expected all"),
        ("fridge-02:00", "expected all"),
        ("::1", "expected all"),
    ],
)
def test_a_target_that_names_nothing_is_told_what_to_write(target, words) -> None:
    with pytest.raises(BadTarget, match=words):
        parse(target)


def test_what_was_written_is_shown_without_control_characters() -> None:
    with pytest.raises(BadTarget) as caught:
        parse("ra\x1b[31mck\n")
    assert str(caught.value).isprintable()


def test_an_id_is_not_taken_for_its_beginning() -> None:
    assert not parse(DEVICE.id[:-1]).chooses(DEVICE)
