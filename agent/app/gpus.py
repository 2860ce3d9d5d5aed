"""The GPUs of this host, put together from what the drivers give and what the fleet has."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from agent.clock import SystemClock
from agent.config.schema import Gpu
from agent.errors import AgentError
from agent.fleet.findings import GPU_MISSING, GPU_UNSERVED, Findings
from agent.fleet.gpu_around import Around
from agent.fleet.gpu_record import GpuRecord, host_boot_id
from agent.fleet.gpus import Gpus
from agent.fleet.kernel_log import KernelLog
from agent.fleet.poller import Poller
from agent.store.database import Database
from agent.telemetry.feed import Feed
from drivers import registry
from drivers.api_gpu import GpuSettings, Happening, HostGpus, Mark
from drivers.errors import DriverError

MEMORY = "gpus"
"""Whose memory it is that is about all of them; no device is called so."""


def gpus(
    settings: Gpu,
    *,
    poller: Poller,
    findings: Findings,
    database: Database,
    feed: Feed,
    clock: SystemClock,
) -> Gpus:
    """What watches the GPUs of this host, and knows already those of a former run."""
    memory = database.memory(lambda: MEMORY)

    def open_gpus(told: Callable[[Happening], None], mark: Mark) -> HostGpus:
        return registry.gpus(_driver_settings(settings), clock, told, mark)

    def listen(take: Callable[[str, float], bool]) -> Coroutine[Any, Any, None]:
        return KernelLog(take, memory).run()

    around = Around(
        inventory=poller.inventory,
        poller=poller,
        sink=feed,
        clock=clock,
        forget=database.forget_device,
        missing=lambda count: findings.set(GPU_MISSING, count),
        unserved=lambda count: findings.set(GPU_UNSERVED, count),
    )
    try:
        made = Gpus(settings, open_gpus, listen, GpuRecord(memory, host_boot_id()), around)
    except DriverError as error:
        raise AgentError(f"[gpu]: {error}") from error
    made.restore()
    return made


def _driver_settings(settings: Gpu) -> GpuSettings:
    return GpuSettings(
        socket=Path(settings.socket),
        medium_s=settings.medium_interval_s,
        slow_s=settings.slow_interval_s,
        fault_table=Path(settings.fault_table) if settings.fault_table else None,
    )
