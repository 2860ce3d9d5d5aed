"""Resets a GPU by `nvidia-smi`: NVML has no function for it."""

from __future__ import annotations

import asyncio
import contextlib

from drivers.errors import DeviceTimeout, Refused
from drivers.gpu.errors import InUse, NvmlFailed

PROGRAM = "nvidia-smi"
_SHOWN_BYTES = 400


async def reset_gpu(uuid: str, within_s: float, program: str = PROGRAM) -> str:
    """Reset one GPU, which no process may hold; gives what the program said."""
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "--gpu-reset",
            "-i",
            uuid,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        raise NvmlFailed(f"{program} cannot be started: {error.strerror}") from error
    try:
        output, _ = await asyncio.wait_for(process.communicate(), within_s)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        raise DeviceTimeout(f"{program} did not end within {within_s:.0f} s") from None
    words = " ".join(output[-_SHOWN_BYTES:].decode(errors="replace").split())
    if process.returncode:
        kind = InUse if "use" in words.lower() else Refused
        raise kind(process.returncode, f"{program}: {words or 'no reason given'}")
    return words
