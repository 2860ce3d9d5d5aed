"""What is known of this host's GPUs over a restart: what was heard, counted, quarantined."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.fleet.quarantine import Quarantine
from drivers.api import Memory
from drivers.api_gpu import Mark

log = logging.getLogger("stoker.gpu")

KEY = "record"
CODES_MOST = 60
"""Of one GPU."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Record(msgspec.Struct, omit_defaults=True):
    """All of it in one piece, so that what was counted and how far was heard never disagree."""

    mark: Mark = Mark()
    counts: dict[str, dict[str, int]] = {}
    """By device and fault code, how often since this GPU is known."""
    quarantines: dict[str, Quarantine] = {}
    boot_id: str = ""
    """The start of the host in which this was written."""


class GpuRecord:
    """The record, and its place on disk."""

    def __init__(self, memory: Memory, boot_id: str) -> None:
        self._memory = memory
        self.boot_id = boot_id
        self.record = _decoded(memory.get(KEY))
        self.rebooted = self.record.boot_id not in ("", boot_id)
        """Whether the host was started anew since the record was written."""
        self.mark: Callable[[], Mark] = lambda: self.record.mark
        """How far what happens has been heard."""
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Write what has changed, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._memory.put(KEY, self._encoded())
            except ValueError as error:  # some sixty GPUs, all of them in quarantine
                log.error("what is known of the GPUs is not kept: %s", error)

    def note(self) -> None:
        """Have it written, together with how far was heard."""
        self._changed.set()

    def count(self, who: str, code: str) -> int:
        """Count a fault; gives how often there was this one."""
        counts = self.record.counts.setdefault(who, {})
        if code not in counts and len(counts) >= CODES_MOST:
            return 1
        counts[code] = counts.get(code, 0) + 1
        return counts[code]

    def forget(self, device_id: str) -> None:
        """Nothing more has to be known of a GPU."""
        self.record.counts.pop(device_id, None)
        self.record.quarantines.pop(device_id, None)
        self._changed.set()

    def _encoded(self) -> bytes:
        self.record.mark = self.mark()
        self.record.boot_id = self.boot_id
        return msgspec.json.encode(self.record)


def host_boot_id() -> str:
    """A word for this start of the host, empty where the kernel gives none."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _decoded(content: bytes | None) -> Record:
    if content is None:
        return Record()
    try:
        return msgspec.json.decode(content, type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.error("what was known of the GPUs cannot be read: %s", error)
        return Record()
