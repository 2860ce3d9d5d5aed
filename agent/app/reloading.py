"""Reads the configuration again while the agent runs, and applies what can be applied at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent import log as logs
from agent.config.load import load
from agent.config.reload import changes
from agent.config.schema import Config
from agent.errors import AgentError, ConfigError

log = logging.getLogger("stoker")


class Reloading:
    """The configuration that counts, and whoever takes over another one."""

    def __init__(self, path: Path | None, config: Config, adopt: Callable[[Config], None]) -> None:
        """`adopt` applies the parts of a new configuration that can be applied at once."""
        self._path = path
        self._config = config
        self._adopt = adopt
        self._lock = asyncio.Lock()
        self._wanted = asyncio.Event()

    def reload_soon(self) -> None:
        """Have it read again, for whoever sent a signal."""
        self._wanted.set()

    async def run(self) -> None:
        """Read it again whenever that is wanted, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.reload("signal")
            except AgentError as error:
                log.error("%s", error)

    async def reload(self, who: str) -> str:
        """Read the files again; what was done, in words.

        Raises `AgentError` where they are wrong or there are none: what counted goes on to count.
        """
        async with self._lock:
            new = await self._read()
            found = changes(self._config, new)
            if found.live:
                self._config = self._with_live_parts(new)
                logs.set_level(new.log.level)
                self._adopt(new)
        words = f"applied: {', '.join(found.live) or 'nothing, for nothing has changed'}"
        if found.restart:
            words += f"; a restart is needed for: {', '.join(found.restart)}"
        log.warning("configuration read again: %s", words, extra={"user": who})
        return words

    async def _read(self) -> Config:
        if self._path is None:
            raise AgentError("this agent was started without a configuration file")
        try:
            return await asyncio.to_thread(load, self._path)
        except ConfigError as error:
            raise AgentError(f"not applied, the old configuration goes on: {error}") from None

    def _with_live_parts(self, new: Config) -> Config:
        """What counts now; the rest still differs from the files, and is told again next time."""
        old = self._config
        control = msgspec.structs.replace(old.control, allow=new.control.allow)
        return msgspec.structs.replace(old, commands=new.commands, control=control, log=new.log)
