"""Every kind of broken broker, until it is mended: the session finds out and recovers."""

from __future__ import annotations

import asyncio

import pytest

from tests.broker import Owner, kept, new_session, quick, until
from tests.fault.fake_broker import BROKEN, Peer, Script, floods, serves, serving


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_it_recovers_when_the_broker_does(broken: Script) -> None:
    connections, mended = 0, False

    async def script(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        await (serves if mended else broken)(peer)

    owner = Owner()
    async with serving(script) as port:
        settings = quick(port, keepalive_s=1, connect_timeout_s=0.2)
        session = new_session(settings, owner.events)
        async with kept(session), asyncio.TaskGroup() as group:
            tries = group.create_task(_publish_on(session))
            await until(lambda: connections >= 2, 15)
            assert owner.acknowledged == []
            mended = True
            await until(lambda: len(owner.acknowledged) >= 10, 15)
            tries.cancel()
    assert session.stats.callback_errors == 0


async def _publish_on(session) -> None:
    token = 0
    while True:
        if session.window > 0:
            token += 1
            session.publish("t", b"content", token=token)
        await asyncio.sleep(0.005)


async def test_a_flood_holds_up_no_publish_and_no_ping() -> None:
    owner = Owner()
    async with serving(floods) as port:
        session = new_session(quick(port, keepalive_s=1), owner.events)
        async with kept(session):
            await until(lambda: session.connected)
            for token in range(100):
                await until(lambda: session.window > 0)
                assert session.publish("t", b"content", token=token)
            await until(lambda: len(owner.acknowledged) == 100)
            assert session.connected
            assert owner.lost == []
            assert len(owner.messages) > 100
