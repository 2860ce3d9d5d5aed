"""What the audit is told of orders: everything once, and little of each where there are many."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.command import audit_notes
from agent.command.audit_head import AuditHead
from agent.command.audit_notes import AuditNotes
from agent.command.effects import Verdict
from agent.command.orders import Order, Result
from agent.command.verbs import VERBS
from agent.fleet.events import Event
from agent.store.audit import AuditLog
from agent.store.audit_chain import Head
from agent.store.audit_files import paths
from drivers.actions import Answer
from tests.fakes import FakeClock, kept

ME = "key:ops-1"


class Pages:
    """An audit in memory."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str, dict[str, Any]]] = []

    def note(self, who: str, what: str, content: Any) -> None:
        self.notes.append((who, what, msgspec.json.decode(msgspec.json.encode(content))))

    def named(self, what: str) -> list[dict[str, Any]]:
        return [content for _, name, content in self.notes if name == what]


class Site:
    def __init__(self, audit: Any = None) -> None:
        self.pages, self.clock = Pages(), FakeClock()
        self.notes = AuditNotes(audit or self.pages, self.clock)

    def ends(self, order: Order, *numbers: int, verdict: Verdict = Verdict.VERIFIED) -> None:
        for number in numbers:
            self.notes.result(order, result(number, verdict))

    def round(self) -> int:
        """A second passes: how many records were made in it."""
        before = len(self.pages.notes)
        self.clock.advance(1.0)
        self.notes.tell_due()
        return len(self.pages.notes) - before


def device_id(number: int) -> str:
    return f"asic-02:00:11:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


def result(number: int, verdict: Verdict = Verdict.VERIFIED) -> Result:
    return Result(
        device_id=device_id(number),
        address=f"10.1.{number >> 8}.{number & 255}",
        verdict=verdict,
        words=f"words of {number}",
        answer=Answer.ACCEPTED,
    )


def order(verb: str = "mining.pause", **values: Any) -> Order:
    params = msgspec.convert(values.pop("params", {}), VERBS[verb].params)
    plain = {"id": "c1", "who": ME, "target": "rack=B7", **values}
    return Order(verb=VERBS[verb], params=params, **plain)


def test_an_order_is_told_with_all_that_it_says_and_no_password() -> None:
    site = Site()
    pools = [{"url": "stratum+tcp://b:1", "user": "w", "password": "verysecret"}]
    site.notes.begun(order("pools.set", params={"pools": pools}, digest="ab" * 32), 7)
    ((who, what, content),) = site.pages.notes
    assert (who, what) == (ME, "order.begun")
    assert content == {
        "order": "c1",
        "digest": "ab" * 32,
        "verb": "pools.set",
        "target": "rack=B7",
        "params": {"pools": [{"url": "stratum+tcp://b:1", "user": "w"}]},
        "targets": 7,
    }


def test_of_one_device_the_whole_result_is_told_at_once() -> None:
    site, one = Site(), order()
    site.notes.begun(one, 1)
    site.ends(one, 3, verdict=Verdict.REFUSED)
    site.notes.ended(one, {"refused": 1})
    assert [what for _, what, _ in site.pages.notes] == ["order.begun", "order.result"]
    (told,) = site.pages.named("order.result")
    assert (told["order"], told["verb"]) == ("c1", "mining.pause")
    assert told["result"]["device_id"] == device_id(3)
    assert told["result"]["words"] == "words of 3"


def test_what_was_not_begun_here_is_told_whole_too() -> None:
    site = Site()
    site.ends(order(id="stoker", who="stoker"), 3)
    assert len(site.pages.named("order.result")) == 1


def test_of_many_devices_the_verdicts_are_told_together() -> None:
    site, many = Site(), order()
    site.notes.begun(many, 100)
    site.ends(many, *range(70))
    assert len(site.pages.notes) == 1
    assert site.round() == 1
    site.ends(many, *range(70, 100))
    site.notes.ended(many, {"verified": 100})
    assert [what for _, what, _ in site.pages.notes] == [
        *("order.begun", "order.results", "order.results", "order.ended"),
    ]
    told = site.pages.named("order.results")
    verdicts = {**told[0]["devices"], **told[1]["devices"]}
    assert verdicts == {device_id(number): "verified" for number in range(100)}
    assert site.pages.named("order.ended")[0]["verdicts"] == {"verified": 100}
    assert "words" not in told[0]


def test_results_that_trickle_in_wait_for_others_and_not_for_ever() -> None:
    site, many = Site(), order()
    site.notes.begun(many, 1000)
    made = []
    for second in range(30):
        site.ends(many, 2 * second, 2 * second + 1)
        made.append(site.round())
    assert sum(made) == 3
    assert max(made) == 1
    site.ends(many, 500)
    assert sum(site.round() for _ in range(10)) == 1


def test_of_those_that_did_not_do_it_the_first_words_are_told() -> None:
    site, many = Site(), order()
    site.notes.begun(many, 1000)
    site.ends(many, *range(500), verdict=Verdict.NOT_VERIFIED)
    site.round()
    (told,) = site.pages.named("order.results")
    assert len(told["devices"]) == 500
    assert told["words"] == {device_id(number): f"words of {number}" for number in range(20)}


def test_orders_are_told_apart() -> None:
    site, one, other = Site(), order(), order(id="c2", who="local:ana")
    for each in (one, other):
        site.notes.begun(each, 50)
    site.ends(one, *range(25))
    site.ends(other, *range(25, 50))
    assert site.round() == 2
    assert {who for who, what, _ in site.pages.notes if what == "order.results"} == {
        ME,
        "local:ana",
    }


async def test_what_has_gathered_is_told_when_the_agent_ends(monkeypatch: Any) -> None:
    monkeypatch.setattr(audit_notes, "ROUND_S", 0.01)
    site, many = Site(), order()
    async with kept(site.notes.run()):
        site.notes.begun(many, 1000)
        site.ends(many, *range(40))
        async with asyncio.timeout(5):
            while not site.pages.named("order.results"):
                await asyncio.sleep(0.005)
        site.ends(many, 40)
    assert [len(told["devices"]) for told in site.pages.named("order.results")] == [40, 1]


@pytest.mark.parametrize("per_s", [2, 50, 1000])
async def test_a_whole_site_costs_less_than_60_bytes_a_device(tmp_path: Path, per_s: int) -> None:
    clock, devices = FakeClock(), 6000
    async with AuditLog(tmp_path / "audit", clock) as audit:
        site = Site(audit)
        many = order(id=uuid.uuid4().hex, digest="ab" * 32)
        site.notes.begun(many, devices)
        for at in range(0, devices, per_s):
            site.ends(many, *range(at, at + per_s))
            site.round()
        site.notes.ended(many, {"verified": devices})
    size = sum(path.stat().st_size for path in paths(tmp_path / "audit"))
    assert size / devices < 60


# --- the head ------------------------------------------------------------------------------------


class Growing:
    head = Head()


class Ends:
    """An audit that grows, and what is told of it."""

    def __init__(self) -> None:
        self.clock, self.log, self.told = FakeClock(), Growing(), list[Event]()
        self.part = AuditHead(self.clock, self.log, self.told.append)

    def look(self, seq: int, after_s: float = 0.0) -> int:
        """How often it was told so far."""
        self.clock.advance(after_s)
        self.log.head = Head(seq, f"{seq:064x}")
        self.part.look()
        return len(self.told)


def test_an_empty_audit_has_no_head_to_tell() -> None:
    assert Ends().look(0) == 0


def test_the_head_is_told_when_it_has_changed_at_most_once_a_minute() -> None:
    ends = Ends()
    assert ends.look(7) == 1
    assert ends.look(7, after_s=100.0) == 1  # nothing is new
    assert ends.look(8) == 2
    assert ends.look(9, after_s=59.0) == 2
    assert ends.look(10, after_s=1.0) == 3
    assert [event.details for event in ends.told] == [
        {"seq": seq, "hash": f"{seq:064x}"} for seq in (7, 8, 10)
    ]
    assert {event.name for event in ends.told} == {"audit.head"}


async def test_the_head_is_looked_at_again_and_again(monkeypatch: Any) -> None:
    monkeypatch.setattr("agent.command.audit_head.LOOK_S", 0.005)
    ends = Ends()
    async with kept(ends.part.run()), asyncio.timeout(5):
        ends.log.head = Head(1, "0" * 64)
        while not ends.told:
            await asyncio.sleep(0.005)
