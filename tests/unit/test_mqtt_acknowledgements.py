"""In which order the broker gets what it is owed."""

from __future__ import annotations

import pytest

from agent.mqtt.acknowledgements import Acknowledgement, Acknowledgements
from agent.mqtt.wire import PUBACK, PUBREC


@pytest.fixture
def sent() -> list[bytes]:
    return []


@pytest.fixture
def queue(sent) -> Acknowledgements:
    return Acknowledgements(sent.append)


def owe(queue: Acknowledgements, *ids: int) -> list[Acknowledgement]:
    found = [queue.owe(PUBACK, packet_id) for packet_id in ids]
    return [due for due in found if due is not None]


def test_what_waits_holds_back_what_came_later(queue, sent):
    first, second, third = owe(queue, 1, 2, 3)
    third.give()
    second.give()
    assert sent == []
    first.give()
    assert sent == [b"\x40\x02\x00\x01", b"\x40\x02\x00\x02", b"\x40\x02\x00\x03"]


def test_a_packet_that_is_brought_twice_is_owed_once(queue, sent):
    (due,) = owe(queue, 0x1234)
    assert owe(queue, 0x1234) == []
    due.give()
    due.give()
    assert sent == [b"\x40\x02\x12\x34"]
    (again,) = owe(queue, 0x1234)  # the id is free once more
    again.give()
    due.give()
    assert len(sent) == 2


def test_both_kinds_stand_in_one_order(queue, sent):
    twice, once = queue.owe(PUBREC, 7), queue.owe(PUBACK, 8)
    once.give()
    twice.give()
    assert sent == [b"\x50\x02\x00\x07", b"\x40\x02\x00\x08"]


def test_after_the_end_of_the_connection_nothing_is_sent(queue, sent):
    first, second = owe(queue, 1, 2)
    second.give()
    queue.close()
    first.give()
    assert sent == []
