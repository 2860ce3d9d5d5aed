"""Settings of GPUs that others undo: the real `stoker-gpu`, the real store, and a rival writer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.clock import SystemClock
from agent.command.control import Control, Durable
from agent.command.reconciler import RESTORER
from agent.config.schema import Allow
from agent.config.schema import Control as ControlSettings
from agent.fleet.inventory import Device
from agent.fleet.turn import Preempted
from agent.store.database import Database
from drivers.api import Endpoint
from drivers.errors import DriverError
from drivers.gpu.gpu import Gpu, GpuHost
from drivers.probe import Finding
from drivers.sim.nvml.control import FakeGpus
from tests.fakes import Fleet, kept
from tests.gpu import Service, connected, fake_gpus, opened, service

ME = "local:tester"
FAST_S, MEDIUM_S = 0.1, 1.0
SET_LIMIT = "nvmlDeviceSetPowerManagementLimit"


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGpus]:
    with fake_gpus(tmp_path, "h100-sxm*2") as gpus:
        yield gpus


@pytest.fixture
def running(tmp_path: Path, fake: FakeGpus) -> Iterator[Service]:
    with service(tmp_path, fake, "--allow=mig") as started:
        yield started


class Audit:
    """Keeps what it is told."""

    def note(self, who: str, what: str, content: Any) -> None:
        pass


class Site:
    """The GPUs of a host as the agent has them: read at their paces, and controlled."""

    def __init__(self, database: Database, gpus: list[Gpu], *, restores: bool) -> None:
        self.fleet = Fleet(interval_s=600.0)
        clock = self.clock = SystemClock()
        for part in (self.fleet, self.fleet.registrar, self.fleet.poller):
            part.clock = part._clock = clock  # type: ignore[attr-defined]
        self.gpus = gpus
        self.control = Control(
            ControlSettings(
                allow=(Allow(), Allow(verbs=("gpu.mig.mode", "gpu.mig.layout"))),
                starts_per_minute=100_000,
                starts_per_group_per_minute=100_000,
            ),
            inventory=self.fleet.inventory,
            poller=self.fleet.poller,
            registrar=self.fleet.registrar,
            clock=clock,
            durable=Durable(database, [], Audit()),
            tell=self.fleet.sink.event,
            restores=restores,
        )
        self.devices: list[Device] = []

    async def enter(self) -> None:
        for at, gpu in enumerate(self.gpus):
            finding = Finding(Endpoint(f"gpu{at}"), "nvml", gpu, await gpu.identify(), ())
            settled = self.fleet.inventory.settle(finding, self.clock.now())
            sample = await gpu.read()
            now = self.clock.monotonic()
            self.devices.append(self.fleet.registrar._enter(settled, sample, now))

    async def watch(self) -> None:
        """Read all of them at the fast pace, until cancelled."""
        while True:
            for device in self.devices:
                try:
                    async with device.turn:
                        sample = await device.driver.read()
                except (DriverError, Preempted):
                    continue
                self.fleet.poller.accept(device, sample)
            await asyncio.sleep(FAST_S)

    async def order(self, verb: str, slot: int = 0, **params: Any) -> str:
        target = self.devices[slot].id
        job = self.control.begin(self.control.order(verb, params, target, ME))
        async with asyncio.timeout(20):
            (result,) = [result async for result in job.follow()]
        return str(result.verdict)

    async def told(self, count: int = 1) -> list[dict[str, Any]]:
        """What was told of settings that are undone, once it is so much."""
        named = self.fleet.sink.named
        await self.fleet.sink.until(lambda: len(named("action.undone")) >= count)
        return [event.details for event in named("action.undone")]

    async def put_back(self, count: int = 1) -> list[dict[str, Any]]:
        """Orders that put something back, once so many have ended."""
        await self.fleet.sink.until(lambda: len(self._restored()) >= count)
        return self._restored()

    def _restored(self) -> list[dict[str, Any]]:
        done = [event.details for event in self.fleet.sink.named("action.done")]
        return [each for each in done if each["who"] == RESTORER]


@asynccontextmanager
async def site(tmp_path: Path, running: Service, *, restores: bool = False) -> AsyncIterator[Site]:
    """An agent's run of it, whose store outlives it."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(tmp_path / "state.db"))
        client = await stack.enter_async_context(connected(running.path))
        await opened(client)
        host = GpuHost(client, SystemClock(), medium_s=MEDIUM_S, slow_s=5.0)
        found = {gpu.uuid: gpu for gpu in await host.gpus()}
        made = Site(database, [found[uuid] for uuid in running.uuids], restores=restores)
        await stack.enter_async_context(made.fleet.running())
        for _, part in (*made.control.parts(), ("store", database.run())):
            await stack.enter_async_context(kept(part))
        await made.enter()
        await stack.enter_async_context(kept(made.watch()))
        yield made


async def test_a_limit_that_another_writer_changes_is_told_within_one_tier(
    tmp_path: Path, running: Service, fake: FakeGpus
) -> None:
    async with site(tmp_path, running) as place:
        assert await place.order("power.limit", watts=400) == "verified"
        await asyncio.sleep(1.5 * MEDIUM_S)
        assert place.fleet.sink.named("action.undone") == []
        fake[0].set_limit(650)
        changed_at = place.clock.monotonic()
        (told,) = await place.told()
        # one tier, and the rounds that the fast ones come in
        assert place.clock.monotonic() - changed_at < MEDIUM_S + 5 * FAST_S
        assert (told["verb"], told["cause"], told["params"]) == (
            "power.limit",
            "changed",
            {"watts": 400.0},
        )
        await asyncio.sleep(2 * MEDIUM_S)
        assert (fake[0].limit_w, fake.calls()[SET_LIMIT]) == (650.0, 1)
        assert len(await place.told()) == 1


async def test_it_is_put_back_as_the_policy_says(
    tmp_path: Path, running: Service, fake: FakeGpus
) -> None:
    async with site(tmp_path, running, restores=True) as place:
        await place.order("power.limit", watts=400)
        fake[0].set_limit(650)
        (restored,) = await place.put_back()
        assert (await place.told())[0]["restoring"] is True
        assert restored["result"]["verdict"] == "verified"
        assert fake[0].limit_w == 400.0


async def test_a_rival_that_never_rests_is_reported_and_not_fought(
    tmp_path: Path, running: Service, fake: FakeGpus
) -> None:
    async with site(tmp_path, running, restores=True) as place:
        await place.order("power.limit", watts=400)
        fake[0].rival([650, 500], 0.7)
        first, second = (await place.told(2))[:2]
        assert first["restoring"] is True
        assert second["contested"] is True
        await asyncio.sleep(4 * MEDIUM_S)
        assert fake.calls()[SET_LIMIT] == 2
        assert len(await place.told()) == 2  # it was never again as ordered
        assert len(await place.put_back()) == 1


async def test_one_gpu_s_rival_is_no_other_s(
    tmp_path: Path, running: Service, fake: FakeGpus
) -> None:
    async with site(tmp_path, running, restores=True) as place:
        for slot in (0, 1):
            await place.order("power.limit", slot, watts=400)
        fake[0].rival([650], 0.7)
        await place.told(2)
        assert place.devices[1].id not in {
            event.device_id for event in place.fleet.sink.named("action.undone")
        }
        fake[1].set_limit(500)
        await place.put_back(2)
        assert fake[1].limit_w == 400.0


async def test_all_that_a_reload_of_the_driver_forgets_is_put_back(
    tmp_path: Path, running: Service, fake: FakeGpus
) -> None:
    async with site(tmp_path, running, restores=True) as place:
        fake[0].load(100)
        orders: dict[str, dict[str, Any]] = {
            "power.limit": {"watts": 400},
            "gpu.persistence": {"on": True},
            "gpu.compute_mode": {"mode": "exclusive_process"},
            "gpu.clocks.lock": {"min_mhz": 600, "max_mhz": 1200},
        }
        for verb, params in orders.items():
            assert await place.order(verb, **params) == "verified"
        await asyncio.sleep(1.5 * MEDIUM_S)  # the energy counter has something to lose
        fake.reload_driver()
        fake[0].load(100)
        restored = await place.put_back(4)
        assert {each["verb"] for each in restored} == set(orders)
        assert {each["result"]["verdict"] for each in restored} == {"verified"}
        told = await place.told(4)
        assert {each["cause"] for each in told} == {"forgotten"}
        gpu = fake[0].raw
        assert (gpu.limit_mw, gpu.persistence, gpu.compute_mode, gpu.locked_sm_max_mhz) == (
            400_000,
            1,
            3,
            1200,
        )


async def test_a_layout_is_cut_anew_after_a_reset(
    tmp_path: Path, running: Service, fake: FakeGpus
) -> None:
    async with site(tmp_path, running, restores=True) as place:
        await place.order("gpu.mig.mode", on=True)
        assert await place.order("gpu.mig.layout", profiles=["3g.40gb", "1g.10gb"]) == "verified"
        await asyncio.sleep(MEDIUM_S)
        fake.reset(0)
        (restored,) = await place.put_back()
        assert (restored["verb"], restored["result"]["verdict"]) == ("gpu.mig.layout", "verified")
        (reading,) = [place.gpus[0]._state.values["mig_instances"]]
        assert sorted(each["profile"] for each in reading) == ["1g.10gb", "3g.40gb"]


async def test_what_is_wanted_and_what_was_tried_outlive_the_agent(
    tmp_path: Path, running: Service, fake: FakeGpus
) -> None:
    async with site(tmp_path, running, restores=True) as place:
        await place.order("power.limit", watts=400)
    fake.reload_driver()
    async with site(tmp_path, running, restores=True) as place:
        (restored,) = await place.put_back()
        assert restored["result"]["verdict"] == "verified"
        assert fake[0].limit_w == 400.0
    fake[0].set_limit(650)
    async with site(tmp_path, running, restores=True) as place:
        (told,) = await place.told()
        assert "restoring" not in told  # not twice within the hour
        await asyncio.sleep(2 * MEDIUM_S)
        assert fake[0].limit_w == 650.0


async def test_what_is_not_permitted_any_more_is_told_and_not_tried_for_ever(
    tmp_path: Path, running: Service, fake: FakeGpus
) -> None:
    async with site(tmp_path, running, restores=True) as place:
        await place.order("power.limit", watts=400)
        fake.let_write("none")
        fake[0].set_limit(650)
        (restored,) = await place.put_back()
        assert restored["result"]["verdict"] == "refused"
        await asyncio.sleep(2 * MEDIUM_S)
        assert len(await place.put_back()) == 1
