"""The words and figures that the tables of the configuration are made of."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Name = Annotated[
    str,
    Meta(
        # \Z, not $: a name ending in a newline would break topics and log lines
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z",
        description="a word of up to 64 letters, digits, '.', '_' and '-'",
    ),
]
"""A word that may stand as one level of an MQTT topic."""
FilePath = Annotated[str, Meta(min_length=1, description="the path of a file")]
"""Relative paths start at the directory of the configuration file."""
Host = Annotated[
    str,
    Meta(
        pattern=r"^[^\s/@]{1,253}\Z",
        description="a host name or address, without mqtt:// and without a user",
    ),
]
GpuId = Annotated[
    str,
    Meta(
        pattern=r"^gpu-[0-9a-z][0-9a-z-]{0,90}\Z",
        description="an id as the inventory has it, such as gpu-8f2c6a1e-... in lower case",
    ),
]
Interface = Annotated[
    str, Meta(pattern=r"^[^\s/]{1,15}\Z", description="the name of a network interface")
]
Port = Annotated[int, Meta(ge=1, le=65535)]
VerbName = Literal[
    "mining.pause",
    "mining.resume",
    "mining.restart",
    "device.reboot",
    "power.limit",
    "power.throttle",
    "power.preset",
    "power.mode",
    "pools.set",
    "locate",
    "fans.set",
    "temperature.set",
    "hostname.set",
    "device.factory_reset",
    "gpu.clocks.lock",
    "gpu.clocks.reset",
    "gpu.memory_clocks.lock",
    "gpu.memory_clocks.reset",
    "gpu.persistence",
    "gpu.compute_mode",
    "gpu.ecc",
    "gpu.mig.mode",
    "gpu.mig.layout",
    "gpu.reset",
    "gpu.fan",
]
"""What can be ordered; `agent.command.verbs` has a row for each, and a test holds the two equal."""
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
PerSecond = Annotated[float, Meta(gt=0, le=100_000)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; unknown keys are errors."""
