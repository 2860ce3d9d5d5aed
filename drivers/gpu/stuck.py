"""A child that waits in a call, until it is gone: asked to go, ended where it can be, else left."""

from __future__ import annotations

import time
from collections.abc import Callable

from drivers.gpu import answers
from drivers.gpu.bounds import Bounds
from drivers.gpu.kernel import UNKILLABLE, KernelState
from drivers.gpu.worker import Worker

_LOOK_S = 1.0


class Stuck:
    """One such child, with what it waits for."""

    def __init__(self, worker: Worker, uuid: str, operation: str) -> None:
        self.worker = worker
        self.uuid = uuid
        self.operation = operation
        self.since_s = time.monotonic() - worker.called_for_s()

    def waited_s(self) -> float:
        """For how long."""
        return time.monotonic() - self.since_s

    def words(self) -> str:
        """What it does, in a sentence."""
        state = self.worker.kernel_state()
        where = f" in {state.waits_in}" if state.waits_in else ""
        return (
            f"{self.operation} has not come back for {self.waited_s():.1f} s;"
            f" process {self.worker.pid}, state {state.state}{where}"
        )

    def stated(self) -> answers.Stuck:
        """The same as it goes on the wire."""
        state = self.worker.kernel_state()
        return answers.Stuck(
            pid=self.worker.pid,
            uuid=self.uuid,
            operation=self.operation,
            for_s=round(self.waited_s(), 1),
            kernel_state=state.state,
            waits_in=state.waits_in,
        )


async def see_off(worker: Worker, bounds: Bounds, killed: Callable[[KernelState], None]) -> None:
    """Wait until a child is gone. SIGKILL comes last, and only to one that can die:
    killed in the middle of a call it may take the GPU with it (NVIDIA/dcgm-exporter#84).
    """  # noqa: D205
    worker.terminate()
    look_s = min(_LOOK_S, bounds.leave_s)
    mortal_s = 0.0
    while not await worker.gone(look_s):
        state = worker.kernel_state()
        mortal_s = 0.0 if state.state in UNKILLABLE else mortal_s + look_s
        if mortal_s >= bounds.leave_s:
            killed(state)
            worker.kill()
            await worker.ended.wait()
