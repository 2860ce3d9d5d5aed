"""Commands over a fleet in memory: clocks, anonymous senders, other nodes, keys taken away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from agent.config.commands import Revoked, Rights
from drivers.actions import Answer
from tests.commands import Signer
from tests.remote import TOPICS, RemoteHouse, remote_house, ring
from tests.unit.test_command_dispatch import Shelf, _known_by_address

__all__ = ["_known_by_address"]

OPS, OTHER = Signer("ops"), Signer("other")
ALL = {"all": True}


class Talk:
    """A house, and the states of each command as they come."""

    def __init__(self, house: RemoteHouse) -> None:
        self.house = house
        self.states: dict[str, list[dict[str, Any]]] = {}
        self.others: list[tuple[str, dict[str, Any]]] = []

    def listen(self) -> None:
        for topic, content in self.house.told():
            if topic.endswith("/state"):
                self.states.setdefault(content["id"], []).append(content)
            else:
                self.others.append((topic, content))

    async def until(self, holds: Callable[[], Any]) -> Any:
        async with asyncio.timeout(10):
            while True:
                self.listen()
                if found := holds():
                    return found
                await asyncio.sleep(0.005)

    async def state(self, command: str, *names: str) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            states = self.states.get(command, [])
            wanted = [each for each in states if not names or each["state"] in names]
            return wanted[-1] if wanted else None

        return dict(await self.until(found))

    def order(self, verb: str, target: Any = None, signer: Signer = OPS, **more: Any) -> str:
        said = self.house.claims(verb, target, **more)
        self.house.say(signer.sign(said), said["jti"])
        return str(said["jti"])


@asynccontextmanager
async def talk(
    directory: Path, count: int = 4, commands: Any = None, **more: Any
) -> AsyncIterator[Talk]:
    async with remote_house(directory, count, commands or ring(OPS, OTHER), **more) as house:
        yield Talk(house)


async def test_who_does_not_know_the_time_takes_only_what_sheds(tmp_path: Path) -> None:
    commands = msgspec.structs.replace(ring(OPS), clock="checked")
    async with talk(tmp_path, commands=commands, synchronised=lambda: None) as one:
        for verb, params in (("mining.resume", {}), ("locate", {"on": True})):
            state = await one.state(one.order(verb, ALL, params=params), "rejected")
            assert state["reason"] == "clock_unsynchronised"
        scan = await one.state(one.order("discovery.scan"), "rejected")
        assert scan["reason"] == "clock_unsynchronised"
        later = one.house.inside.clock.now() + 90_000
        shed = one.order("mining.pause", ALL, iat=later, exp=later + 60)
        assert (await one.state(shed, "succeeded"))["done"] == 4


async def test_unsigned_commands_are_taken_where_that_is_configured_and_an_alarm_stands(
    tmp_path: Path,
) -> None:
    rights = Rights(verbs=("mining.*",))
    async with talk(tmp_path, commands=ring(OPS, unsigned=rights)) as one:
        one.house.remote.say_alarms()
        said = one.house.claims("mining.pause", ALL)
        one.house.say(json.dumps(said).encode(), said["jti"])
        state = await one.state(said["jti"], "succeeded")
        assert state["key"] == "unsigned"
        other = one.house.claims("power.limit", ALL, params={"watts": 900})
        one.house.say(json.dumps(other).encode(), other["jti"])
        assert (await one.state(other["jti"], "rejected"))["reason"] == "not_permitted"
        alarm = TOPICS.alarm("unsigned-commands-n1")
        assert [topic for topic, _ in one.others].count(alarm) == 1


async def test_max_targets_counts_over_the_site(tmp_path: Path) -> None:
    async with talk(tmp_path) as one:
        roster = one.house.remote.roster
        roster.on_status("n2", b'{"state": "online", "boot_id": "b", "epoch": 1}')
        counts = {"kind": {"asic": 100}, "rack": {"R1": 7}}
        manifest = {"devices": 100, "counts": counts, "uncounted": []}
        roster.on_manifest("n2", json.dumps(manifest).encode())
        wide = one.order("mining.pause", {"kind": "asic", "max_targets": 103})
        state = await one.state(wide, "rejected")
        assert state["reason"] == "too_many_targets"
        fits = one.order("mining.pause", {"kind": "asic", "max_targets": 104})
        assert (await one.state(fits, "succeeded"))["targets"] == 4


async def test_a_key_that_is_taken_away_takes_what_waits_with_it(tmp_path: Path) -> None:
    async with talk(tmp_path) as one:
        now = one.house.inside.clock.now()
        waiting = one.order("mining.pause", ALL, nbf=now + 2000)
        mine = one.order("mining.pause", ALL, OTHER, nbf=now + 2000)
        await one.state(waiting, "scheduled")
        await one.state(mine, "scheduled")
        revoked = Revoked(id="ops", at=one_moment(now), reason="lost")
        one.house.remote.adopt(ring(OPS, OTHER, revoked=(revoked,)))
        state = await one.state(waiting, "cancelled")
        assert "ops" in state["words"]
        again = await one.state(one.order("mining.pause", ALL), "rejected")
        assert again["reason"] == "revoked_key"
        assert one.states[mine][-1]["state"] == "scheduled"


def one_moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


async def test_only_whoever_may_cancel_supersedes_what_others_sent(tmp_path: Path) -> None:
    keys = ring(OPS, OTHER)
    narrow = msgspec.structs.replace(keys.key[1], verbs=("mining.*",))
    commands = msgspec.structs.replace(keys, key=(keys.key[0], narrow))
    async with talk(tmp_path, commands=commands) as one:
        late = one.house.inside.clock.now() + 2000
        first = one.order("mining.pause", ALL, nbf=late)
        await one.state(first, "scheduled")
        stolen = one.order("mining.resume", ALL, OTHER, supersedes=[first])
        assert (await one.state(stolen, "rejected"))["reason"] == "not_permitted"
        own = one.order("mining.pause", ALL, supersedes=[first])
        await one.state(own, "succeeded")
        assert (await one.state(first, "cancelled"))["cancelled_by"] == "key:ops"


async def test_what_expires_while_it_waits_is_sent_to_nobody(tmp_path: Path) -> None:
    async with talk(tmp_path, commands=ring(OPS, two_person=("mining.pause",))) as one:
        now = one.house.inside.clock.now()
        command = one.order("mining.pause", ALL, exp=now + 120)
        await one.state(command, "scheduled")
        state = await one.state(command, "timed_out")
        assert "approval" in state["words"]
        assert not any(miner.script.calls for miner in one.house.inside.miners.values())


async def test_starts_that_wait_are_called_off_at_once(tmp_path: Path) -> None:
    slow = {"starts_per_minute": 1, "starts_per_group_per_minute": 1}
    async with talk(tmp_path, 8, **slow) as one:
        await one.state(one.order("mining.pause", ALL), "succeeded")
        waking = one.order("mining.resume", ALL)
        await one.state(waking, "executing")
        one.order("command.cancel", params={"command": waking})
        state = await one.state(waking, "partial", "cancelled")
        assert state["verdicts"]["cancelled"] >= 6
        assert state["done"] == 8


async def test_a_rollout_stops_where_too_many_do_not_do_it(tmp_path: Path) -> None:
    async with talk(tmp_path, 8) as one:
        for miner in one.house.inside.miners.values():
            miner.script.answer_next("pause", Answer.REFUSED, "not now")
        rollout = {"wave": 2, "stop_above": 0.4}
        command = one.order("mining.pause", ALL, rollout=rollout)
        state = await one.state(command, "failed")
        assert state["verdicts"]["cancelled"] == 6
        assert "rollout" in state["words"] or state["cancelled_by"] == "stoker"


async def test_an_approval_outlives_a_restart(tmp_path: Path) -> None:
    commands = ring(OPS, OTHER, two_person=("mining.pause",))
    commands = msgspec.structs.replace(
        commands,
        key=tuple(msgspec.structs.replace(key, approves=("*",)) for key in commands.key),
    )
    shelf = Shelf()
    async with talk(tmp_path, commands=commands, shelf=shelf) as one:
        late = one.house.inside.clock.now() + 500
        command = one.order("mining.pause", ALL, nbf=late, exp=late + 2000)
        waiting = await one.state(command, "scheduled")
        assert waiting["waiting_for"] == "approval"
        params = {"command": command, "digest": waiting["digest"]}
        await one.state(one.order("command.approve", signer=OTHER, params=params), "succeeded")
    async with talk(tmp_path, commands=commands, shelf=shelf) as one:
        assert (await one.state(command, "succeeded"))["done"] == 4
        assert {each["waiting_for"] for each in one.states[command]} <= {"not_before", None}


async def test_the_skew_of_another_configuration_counts_at_once(tmp_path: Path) -> None:
    async with talk(tmp_path) as one:
        early = one.house.inside.clock.now() + 1000
        state = await one.state(
            one.order("locate", ALL, params={"on": True}, iat=early), "rejected"
        )
        assert state["reason"] == "not_yet_valid"
        one.house.remote.adopt(msgspec.structs.replace(ring(OPS, OTHER), clock_skew_s=3000))
        await one.state(one.order("mining.pause", ALL, iat=early), "succeeded")


async def test_a_scheduled_command_outlives_a_restart(tmp_path: Path) -> None:
    shelf = Shelf()
    async with talk(tmp_path, shelf=shelf) as one:
        late = one.house.inside.clock.now() + 500
        command = one.order("mining.pause", ALL, nbf=late, exp=late + 2000)
        await one.state(command, "scheduled")
    async with talk(tmp_path, shelf=shelf) as one:
        assert (await one.state(command, "succeeded"))["done"] == 4
