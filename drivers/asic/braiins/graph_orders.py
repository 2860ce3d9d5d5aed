"""What can be done to a machine with Braiins OS from 21.09 to 25.05: GraphQL's mutations.

Source: what a published program (asic-rs) sends to these builds; the vendor documents none of it.
A mutation wants the cookie of a login. Pauses do not go this way: port 4028 takes them, see
`orders`. Pools take two orders, for the new list is used from the program's next start on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from drivers.actions import Answer, Expectation, Latency, Receipt
from drivers.api import Clock, Memory
from drivers.asic.braiins.web import BraiinsWeb
from drivers.asic.effects import limited, pools_are, restarted, shows
from drivers.asic.fields import text
from drivers.asic.page_parts import POOLS_LIMIT, listed, section
from drivers.asic.unfinished import Note, begin, finish
from drivers.capabilities import PoolSetting
from drivers.errors import DriverError, OutOfRange, Refused
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered

ACT_S = 15.0
SHOWN_S, TUNED_S, MOVED_S = 60.0, 300.0, 300.0
FIRST_RELEASE = "21.09"
RESTARTED, BOOTED = restarted(300.0, look_after_s=40.0), restarted(600.0, look_after_s=120.0)
_RELEASE = re.compile(r"-(\d\d\.\d\d)(?:-|$)")

LATENCIES: dict[str, Latency] = {
    "pause": Latency.SECONDS,
    "resume": Latency.MINUTES,
    "restart_mining": Latency.MINUTES,
    "reboot": Latency.MINUTES,
    "limit_power": Latency.MINUTES,
    "set_pools": Latency.MINUTES,
    "locate": Latency.SECONDS,
}

_NAMES = "{ bosminer { info { poolGroups { name } } } }"
_LIGHT = "mutation ($enable: Boolean!) { bos { setFaultLight(enable: $enable) { enabled } } }"
_REBOOT = "mutation { bos { reboot { __typename ... on VoidResult { void } } } }"
_RESTART = "mutation { bosminer { restart { __typename ... on BosminerError { message } } } }"
_LIMIT = (
    "mutation ($limit: Int!) { bosminer { config { updateAutotuning(input: { powerTarget: $limit },"
    " apply: true) { __typename ... on AutotuningOut { autotuning { powerTarget enabled } } } } } }"
)
_GROUPS = (
    "mutation ($groups: [Group!]!) { bosminer { config { updateGroups(groups: $groups) {"
    " __typename ... on GroupList { groups { id } } ... on GroupListError { message } } } } }"
)


def are_known(firmware_version: str | None) -> bool:
    """True for a release whose GraphQL takes orders, as `2024-10-17-0-75912fc7-24.09-plus`."""
    found = _RELEASE.search(firmware_version or "")
    return bool(found and found.group(1) >= FIRST_RELEASE)


async def reboot(web: BraiinsWeb, clock: Clock) -> Receipt:
    """The whole machine."""
    return await _order(web, clock, _REBOOT, {}, BOOTED, "bos", "reboot")


async def restart(web: BraiinsWeb, clock: Clock) -> Receipt:
    """BOSminer, whose uptime port 4028 gives."""
    return await _order(web, clock, _RESTART, {}, RESTARTED, "bosminer", "restart")


async def locate(web: BraiinsWeb, clock: Clock, on: bool) -> Receipt:
    """The fault light."""
    expectation = shows("locating", on, SHOWN_S)
    return await _order(web, clock, _LIGHT, {"enable": on}, expectation, "bos", "setFaultLight")


async def limit_power(web: BraiinsWeb, clock: Clock, limit_w: float) -> Receipt:
    """The tuner's target; these builds say nothing of its range."""
    whole = math.floor(limit_w)
    if whole <= 0:
        raise OutOfRange(f"{limit_w:g} W", "more than 0 W")
    expectation = limited(whole, TUNED_S, look_after_s=10.0)
    path = ("bosminer", "config", "updateAutotuning")
    return await _order(web, clock, _LIMIT, {"limit": whole}, expectation, *path)


async def set_pools(
    web: BraiinsWeb, clock: Clock, memory: Memory, pools: Sequence[PoolSetting]
) -> Receipt:
    """Every group is replaced by one, in one order; a second one has the program use it."""
    if not pools:
        raise OutOfRange("an empty list of pools", "at least one pool")
    name = await _first_name(web, clock)
    await begin(memory, Note(action="set_pools", at=clock.now(), pools_after=tuple(pools)))
    try:
        told = await _list(web, clock, name, pools)
    except DriverError:  # it was not sent
        await finish(memory)
        raise
    return await _use(web, clock, memory, told)


async def recover(web: BraiinsWeb, clock: Clock, memory: Memory, note: Note) -> Receipt:
    """Give both orders once more, which is harmless where they were given before."""
    name = await _first_name(web, clock)
    told = await _list(web, clock, name, note.pools_after)
    return await _use(web, clock, memory, told)


async def _list(web: BraiinsWeb, clock: Clock, name: str, pools: Sequence[PoolSetting]) -> Receipt:
    listed_pools = [
        {"url": pool.url, "user": pool.user, "password": pool.password} for pool in pools
    ]
    groups = [{"name": name, "quota": 1, "pools": listed_pools}]
    expectation = pools_are(pools, MOVED_S, look_after_s=40.0)
    path = ("bosminer", "config", "updateGroups")
    return await _order(web, clock, _GROUPS, {"groups": groups}, expectation, *path)


async def _use(web: BraiinsWeb, clock: Clock, memory: Memory, told: Receipt) -> Receipt:
    """Restart the program, unless the list was refused; the note goes with that."""
    if told.answer is not Answer.REFUSED:
        try:
            used = await _order(web, clock, _RESTART, {}, RESTARTED, "bosminer", "restart")
        except DriverError as error:
            words = f"the new list is not used yet: {error}"
            return msgspec.structs.replace(told, answer=Answer.UNANSWERED, words=words)
        if used.answer is not Answer.ACCEPTED:
            told = msgspec.structs.replace(told, answer=used.answer, words=used.words)
    await finish(memory)
    return told


async def _first_name(web: BraiinsWeb, clock: Clock) -> str:
    data = await web.query(_NAMES, Deadline(clock, ACT_S))
    groups = listed(section(data, "bosminer", "info").get("poolGroups"), POOLS_LIMIT)
    return next(filter(None, (text(group.get("name")) for group in groups)), "default")


async def _order(
    web: BraiinsWeb,
    clock: Clock,
    mutation: str,
    variables: Mapping[str, Any],
    expectation: Expectation,
    *path: str,
) -> Receipt:
    deadline = Deadline(clock, ACT_S)
    await web.enter_graph(deadline)
    return await ordered(_words(web, deadline, mutation, variables, path), expectation)


async def _words(
    web: BraiinsWeb,
    deadline: Deadline,
    mutation: str,
    variables: Mapping[str, Any],
    path: Sequence[str],
) -> str:
    """The kind of the answer; raises `Refused` with the words of one that is an error."""
    found = section(await web.mutate(mutation, variables, deadline), *path)
    kind, message = text(found.get("__typename")), text(found.get("message"))
    if message is not None or (kind or "").endswith("Error"):
        raise Refused(None, message or str(kind))
    return kind or "done"
