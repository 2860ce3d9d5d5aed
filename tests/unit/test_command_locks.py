"""Lock-outs: on disk before anybody is told, kept over a restart, and never two on one scope."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from agent.command.locks import Lock, Locks
from agent.command.targets import BadTarget
from agent.config.locations import Location
from tests.devices import device_at
from tests.fakes import settled_loop

SINCE = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
ANA, BEN = "local:ana", "local:ben"
DEVICE = device_at("10.1.2.3", place=Location(rack="B7"))


class Disk:
    """Keeps what is saved; `full` makes it fail, `gate` makes it slow."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}
        self.full = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def save(self, scope: str, record: bytes | None) -> None:
        await self.gate.wait()
        if self.full:
            raise OSError("no space left")
        if record is None:
            del self.records[scope]
        else:
            self.records[scope] = record

    def locks(self) -> Locks:
        """The locks as a start of the agent finds them."""
        return Locks(list(self.records.values()), self.save)


@pytest.fixture
def disk() -> Disk:
    return Disk()


def lock(scope: str = "rack=B7", who: str = ANA, reason: str = "new fans") -> Lock:
    return Lock(scope, who, SINCE, reason)


@pytest.mark.parametrize(
    ("scope", "holds"),
    [
        ("all", True),
        ("rack=B7", True),
        ("rack=b7", True),
        ("10.1.2.3", True),
        (DEVICE.id, True),
        ("rack=B8", False),
        ("10.1.2.4", False),
        ("rack=B7,make=nobody", False),
    ],
)
async def test_what_a_lock_holds(disk, scope, holds) -> None:
    locks = disk.locks()
    wanted = lock(scope)
    assert await locks.put(wanted) is wanted
    assert locks.on(DEVICE) == (wanted if holds else None)


async def test_without_locks_nothing_is_held(disk) -> None:
    locks = disk.locks()
    assert locks.on(DEVICE) is None
    assert len(locks) == 0


async def test_a_lock_says_who_since_when_and_why() -> None:
    assert str(lock()) == "rack=B7 is locked by local:ana since 2026-03-01 12:30Z: new fans"
    assert "no reason given" in str(lock(reason=""))


@pytest.mark.parametrize("scope", ["", "B7", "rack=", "10.1.2", "rack=B7,"])
async def test_a_scope_that_names_nothing_is_refused_and_not_saved(disk, scope) -> None:
    locks = disk.locks()
    with pytest.raises(BadTarget):
        await locks.put(lock(scope))
    assert (len(locks), disk.records) == (0, {})


# --- on disk before it is told --------------------------------------------------------------------


async def test_it_is_on_disk_when_it_is_told(disk) -> None:
    locks = disk.locks()
    disk.gate.clear()
    telling = asyncio.create_task(locks.put(lock()))
    await settled_loop()
    assert not telling.done()
    disk.gate.set()
    await telling
    assert list(disk.records) == ["rack=B7"]


async def test_a_save_that_fails_leaves_nothing_locked_and_raises(disk) -> None:
    locks = disk.locks()
    disk.full = True
    with pytest.raises(OSError, match="no space"):
        await locks.put(lock())
    assert locks.on(DEVICE) is None
    assert (list(locks), disk.records) == ([], {})
    disk.full = False
    assert await locks.put(lock(who=BEN)) == lock(who=BEN)


async def test_a_lift_that_cannot_be_saved_lifts_nothing(disk) -> None:
    locks = disk.locks()
    await locks.put(lock())
    disk.full = True
    with pytest.raises(OSError, match="no space"):
        await locks.clear("rack=B7")
    assert locks.on(DEVICE) == lock()
    disk.full = False
    assert await locks.clear("rack=B7") == lock()


async def test_locks_outlive_a_restart_and_so_does_their_lifting(disk) -> None:
    locks = disk.locks()
    await locks.put(lock())
    await locks.put(lock("10.1.2.9", BEN, "wet floor"))
    assert list(disk.locks()) == [lock(), lock("10.1.2.9", BEN, "wet floor")]
    assert disk.locks().on(DEVICE) == lock()
    await disk.locks().clear("rack=B7")
    assert disk.locks().on(DEVICE) is None
    assert len(disk.locks()) == 1


# --- one lock on a scope --------------------------------------------------------------------------


async def test_a_second_lock_gives_back_the_first(disk) -> None:
    locks = disk.locks()
    await locks.put(lock())
    assert await locks.put(lock(who=BEN, reason="mine")) == lock()
    assert list(disk.locks()) == list(locks) == [lock()]


async def test_of_two_that_come_together_the_second_gives_back_the_first(disk) -> None:
    locks = disk.locks()
    disk.gate.clear()
    both = [asyncio.create_task(locks.put(lock(who=who))) for who in (ANA, BEN)]
    await settled_loop()
    disk.gate.set()
    assert await asyncio.gather(*both) == [lock(who=ANA)] * 2
    assert list(disk.locks()) == list(locks) == [lock(who=ANA)]


async def test_who_locks_while_the_former_lock_is_lifted_has_a_lock_that_holds(disk) -> None:
    locks = disk.locks()
    await locks.put(lock(who=ANA))
    disk.gate.clear()
    lifting = asyncio.create_task(locks.clear("rack=B7"))
    locking = asyncio.create_task(locks.put(lock(who=BEN)))
    await settled_loop()
    disk.gate.set()
    assert await lifting == lock(who=ANA)
    told = await locking
    assert locks.on(DEVICE) == told
    assert list(disk.locks()) == [told]


async def test_of_two_who_lift_one_lock_one_lifted_it(disk) -> None:
    locks = disk.locks()
    await locks.put(lock())
    disk.gate.clear()
    both = [asyncio.create_task(locks.clear("rack=B7")) for _ in range(2)]
    await settled_loop()
    disk.gate.set()
    assert await asyncio.gather(*both) == [lock(), None]


async def test_what_is_not_locked_cannot_be_lifted(disk) -> None:
    locks = disk.locks()
    await locks.put(lock())
    assert await locks.clear("rack=B8") is None
    assert len(locks) == 1


async def test_lifting_one_of_two_locks_leaves_the_other(disk) -> None:
    locks = disk.locks()
    await locks.put(lock())
    await locks.put(lock("10.1.2.3", BEN))
    await locks.clear("rack=B7")
    assert locks.on(DEVICE) == lock("10.1.2.3", BEN)
