"""What a real mosquitto brings us: live or retained, acknowledged or not, small or huge."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.broker import connected, quick, running, until

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


@pytest.fixture
def broker(tmp_path: Path):
    with running(tmp_path) as broker:
        yield broker


@VERSIONS
async def test_a_live_message_keeps_its_retain_flag_on_version_5_only(broker, version):
    async with (
        connected(quick(broker.port, version=version)) as (session, owner),
        connected(quick(broker.port), client_id="sender") as (sender, _),
    ):
        session.subscribe(["cmd/+", "probe"])
        assert session.publish("probe", b"", token=1)
        await until(lambda: len(owner.messages) == 1)  # the subscription holds
        for number, retain in enumerate((True, False), 1):
            assert sender.publish(f"cmd/{number}", b"do", token=number, retain=retain)
        await until(lambda: len(owner.messages) == 3)
        live = [message.retain for message in owner.messages[1:]]
        assert live == [version == "5", False]
