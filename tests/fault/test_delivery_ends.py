"""Stops, kills, frozen brokers and slow links, seen from outside: everything arrives."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest

from tests.fault.fake_broker import Script, never_acknowledges, serving
from tests.fault.proxy import CLEAR, Shape
from tests.fault.whole_node import Whole, configured, whole
from tests.harness import wait_until
from tests.ledger import seconds

COUNT = 80
FAST = {"interval_s": 0.5, "deadline_s": 0.45}
"""Some 160 readings a second."""
KEEPALIVE_S = 5.0
STOP_S = 5.0
SLOW = Shape(rate_bit_s=100_000, latency_s=0.1)
"""Carries a tenth of what is live."""
TIGHT = Shape(rate_bit_s=3_500_000, latency_s=0.1)
"""Carries what is live, and not much beside it."""


@contextmanager
def played(script: Script) -> Iterator[int]:
    """A broker that does as a script says, in a thread of its own; its port."""
    loop, stack = asyncio.new_event_loop(), AsyncExitStack()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        entering = stack.enter_async_context(serving(script))
        yield asyncio.run_coroutine_threadsafe(entering, loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def strike(site: Whole, what: str, deaf_port: int) -> None:
    """Let something be wrong with the broker or the link until `heal`."""
    if what == "frozen":
        site.broker.freeze()
    elif what == "deaf":
        site.proxy.target_port = deaf_port
        site.proxy.cut()
        wait_until(lambda: all(site.connected()), 10, "connected to one that is deaf")
    elif what == "slow":
        site.proxy.shape = SLOW


def heal(site: Whole) -> None:
    """Let everything be well again."""
    site.proxy.target_port = site.broker.port
    site.proxy.shape = CLEAR
    site.proxy.heal()
    site.broker.thaw()


@pytest.mark.timeout(120)
def test_a_stop_is_quick_and_loses_nothing(tmp_path: Path) -> None:
    rounds = (("frozen", 1), ("deaf", 20), ("slow", 20))
    with (
        whole(tmp_path, network=72, count=COUNT, mqtt="inflight = 1", **FAST) as site,
        played(never_acknowledges) as deaf,
    ):
        for what, inflight in rounds:
            site.receives(COUNT)
            strike(site, what, deaf)
            site.fills_its_window(inflight)
            site.goes_on_polling()
            took_s = site.stop()
            print(f"{what}, window of {inflight}: {took_s:.2f} s")
            assert took_s < STOP_S
            heal(site)
            text = site.node.config.read_text()
            site.node.config.write_text(configured(text, "mqtt", "inflight = 20"))
            site.starts()
        ledger = site.ends()  # once more, and all is well
        verdict = site.verdict()
    print(f"{verdict.owed} owed, {verdict.received} received, {ledger.repeats} repeats")
    assert verdict.owed > 10 * COUNT
    assert not ledger.gaps
    assert not verdict.faults, verdict.faults[:10]


@pytest.mark.timeout(120)
def test_a_frozen_broker_is_noticed_and_its_backlog_delays_no_statement(tmp_path: Path) -> None:
    often = "summary_interval_s = 0.5"
    with whole(tmp_path, network=73, count=COUNT, telemetry=often, **FAST) as site:
        site.receives(COUNT)
        site.broker.freeze()
        frozen_at = time.monotonic()
        wait_until(lambda: not any(site.connected()), 2 * KEEPALIVE_S + 1, "noticed")
        print(f"noticed after {time.monotonic() - frozen_at:.2f} s")
        assert site.backlog() > 15 * COUNT
        site.proxy.shape = TIGHT
        site.broker.thaw()
        late_s = lateness_of_summaries(site)
        print(f"summaries came after {[round(each, 2) for each in late_s]} s")
        assert len(late_s) >= 4
        assert max(late_s) < 1.0
        ledger = site.ends()
        verdict = site.verdict()
    assert verdict.owed > 10 * COUNT
    assert not ledger.gaps
    assert not verdict.faults, verdict.faults[:10]


def lateness_of_summaries(site: Whole) -> list[float]:
    """How long each was on its way, while half of a backlog drained beside them."""
    wait_until(lambda: all(site.connected()), 10, "connected")
    since, before = time.time() + 0.5, site.backlog()
    wait_until(lambda: site.backlog() < before / 2, 30, "half of it to be gone")
    until = time.time()
    assert site.backlog() > 3 * COUNT
    said = [(came, seconds(each["at"])) for came, each in list(site.consumer.summaries)]
    return [came - at for came, at in said if since < came < until]


@pytest.mark.timeout(90)
def test_half_written_tails_are_cut_and_told(tmp_path: Path) -> None:
    with whole(tmp_path, network=74, count=COUNT, **FAST) as site:
        torn: dict[str, int] = {}
        for tail in (os.urandom(999), b"\xf5SR\n" + bytes(200)):
            site.receives(COUNT)
            site.proxy.break_link()
            site.goes_on_polling()
            boot_id = site.node.status()["status"]["boot_id"]
            site.kill()
            newest = max(site.spool.glob("telemetry.*.seg"), key=lambda path: path.name)
            with newest.open("ab") as file:
                file.write(tail)
            torn[boot_id] = len(tail)
            site.proxy.heal()
            site.node.start()
        site.ends()
        verdict = site.verdict()
        told = [event["details"] for event in site.consumer.told("telemetry.ended")]
    assert {each["boot_id"]: each["torn_bytes"] for each in told if each["torn_bytes"]} == torn
    assert not verdict.faults, verdict.faults[:10]
