"""What can be done to a Proto Rig: mining, its power target, pools, a reboot, the light.

Source: the maker's OpenAPI document (MDK API), and the rig that its own fleet software is tested
against. Every order wants the token; one that is taken is answered with 200 or 202 and a message.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from drivers.actions import Expectation, Latency, Receipt
from drivers.api import Clock
from drivers.asic.effects import among, asleep, awake, limited, pools_are, restarted, shows, within
from drivers.asic.fields import positive, text
from drivers.asic.page_parts import section
from drivers.capabilities import PoolSetting
from drivers.errors import BadReply, OutOfRange
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered
from drivers.wire.pages import WebClient, decoded

BASE = "/api/v1"
TARGET = f"{BASE}/mining/target"
ACT_S = 15.0
SHOWN_S, TUNED_S = 60.0, 180.0
MODES = ("MaximumHashrate", "Efficiency")
"""All that the document knows."""
READY_S = 1500.0
"""How soon to use the token again; how long it lives is written nowhere (unverified)."""

ASLEEP = asleep(120.0, look_after_s=6.0)
AWAKE = awake(900.0, look_after_s=90.0)
BOOTED = restarted(600.0, look_after_s=90.0)
LATENCIES: dict[str, Latency] = {
    "pause": Latency.SECONDS,
    "resume": Latency.MINUTES,
    "reboot": Latency.MINUTES,
    "limit_power": Latency.MINUTE,
    "set_mode": Latency.MINUTE,
    "set_pools": Latency.MINUTE,
    "locate": Latency.SECONDS,
}


async def ready(client: WebClient, clock: Clock) -> None:
    """Have a token before an order needs it; the open pages were had without one."""
    if client.session is None or not client.session.headers:
        await client.json(TARGET, Deadline(clock, ACT_S))


async def post(
    client: WebClient,
    clock: Clock,
    path: str,
    expectation: Expectation | None,
    payload: object = None,
) -> Receipt:
    """One order."""
    await ready(client, clock)
    return await ordered(_sent(client, clock, "POST", BASE + path, payload), expectation)


async def limit_power(client: WebClient, clock: Clock, limit_w: float) -> Receipt:
    """The power target, within what the rig says that it takes."""
    target = await _target(client, clock)
    low_w, high_w = (positive(target.get(f"power_target_{end}_watts")) for end in ("min", "max"))
    within(limit_w, low_w, high_w, "W")
    whole = math.floor(limit_w)
    expectation = limited(whole, TUNED_S, look_after_s=10.0)
    return await _set_target(client, clock, target, {"power_target_watts": whole}, expectation)


async def set_mode(client: WebClient, clock: Clock, mode: str) -> Receipt:
    """What the rig makes of its power: the highest rate, or the best efficiency."""
    among(mode, MODES, "mode")
    target = await _target(client, clock)
    expectation = shows("mode", mode, TUNED_S, look_after_s=10.0)
    return await _set_target(client, clock, target, {"performance_mode": mode}, expectation)


async def set_pools(client: WebClient, clock: Clock, pools: Sequence[PoolSetting]) -> Receipt:
    """The whole list in one order, which replaces the one before (documented)."""
    if not pools:
        raise OutOfRange("an empty list of pools", "at least one pool")
    wanted = [
        {
            "priority": at,
            "name": f"pool {at + 1}",
            "url": pool.url,
            "username": pool.user,
            "password": pool.password,
        }
        for at, pool in enumerate(pools)
    ]
    return await post(client, clock, "/pools", pools_are(pools, SHOWN_S), wanted)


async def locate(client: WebClient, clock: Clock, on: bool) -> Receipt:
    """No page shows the light."""
    return await post(client, clock, f"/system/locate?enable={'true' if on else 'false'}", None)


async def _target(client: WebClient, clock: Clock) -> dict[str, Any]:
    return dict(section(await client.json(TARGET, Deadline(clock, ACT_S))))


async def _set_target(
    client: WebClient,
    clock: Clock,
    target: dict[str, Any],
    change: dict[str, Any],
    expectation: Expectation,
) -> Receipt:
    """What the rig does without a network goes with it: left out, it is switched off.

    (So does the maker's own stand-in for a rig.)
    """
    kept = {key: target[key] for key in ("hash_on_disconnect",) if key in target}
    return await ordered(_sent(client, clock, "PUT", TARGET, kept | change), expectation)


async def _sent(client: WebClient, clock: Clock, method: str, path: str, payload: object) -> str:
    """The rig's words; raises `Refused` where it says no."""
    body = None if payload is None else msgspec.json.encode(payload)
    headers = {} if body is None else {"Content-Type": "application/json"}
    deadline = Deadline(clock, ACT_S)
    reply = await client.request(method, path, deadline, headers=headers, body=body)
    if not 200 <= reply.status < 300:
        decoded(reply, path)  # raises
    words: Any = None
    with suppress(BadReply):  # it was taken, whatever the words
        words = decoded(msgspec.structs.replace(reply, status=200), path)
    return text(section(words).get("message")) or f"HTTP status {reply.status}"
