"""GPUs let go on request: through any of them, told in words, and noted in the audit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from agent.command.letting_go import LettingGo
from agent.errors import AgentError
from drivers.errors import DeviceTimeout
from drivers.mock import MockMiner, mock_identity
from tests.fakes import FakeClock

WHO = "key:ops"


class Gpu:
    """The driver of one of them."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[Any] = []
        self._error = error

    async def let_go(self, for_s: float, reason: str) -> str:
        self.asked.append((for_s, reason))
        if self._error:
            raise self._error
        return "let go for 60 s at the most"

    async def take_up(self) -> str:
        self.asked.append(())
        return "taken up"


class Audit:
    def __init__(self) -> None:
        self.notes: list[Any] = []

    def note(self, *note: Any) -> None:
        self.notes.append(note)


def of(*drivers: Any) -> tuple[LettingGo, Audit]:
    audit = Audit()
    return LettingGo([SimpleNamespace(driver=driver) for driver in drivers], audit), audit


async def test_one_of_them_is_asked_for_all() -> None:
    gpus = Gpu(), Gpu()
    letting_go, audit = of(MockMiner(mock_identity(1), FakeClock()), *gpus)
    assert await letting_go.let_go(60, "driver upgrade", WHO) == "let go for 60 s at the most"
    assert await letting_go.take_up(WHO) == "taken up"
    assert [gpu.asked for gpu in gpus] == [[(60, "driver upgrade (key:ops)"), ()], []]
    assert audit.notes == [
        (WHO, "gpu.release", {"for_s": 60, "reason": "driver upgrade"}),
        (WHO, "gpu.resume", {}),
    ]


async def test_what_is_still_held_is_no_success() -> None:
    letting_go, _ = of(Gpu(DeviceTimeout("a process of ours hangs in the driver")))
    with pytest.raises(AgentError, match="not let go: a process of ours hangs"):
        await letting_go.let_go(60, "reset", WHO)


async def test_a_node_without_gpus_says_so() -> None:
    letting_go, _ = of(MockMiner(mock_identity(1), FakeClock()))
    with pytest.raises(AgentError, match="no GPUs"):
        await letting_go.let_go(60, "reset", WHO)
    with pytest.raises(AgentError, match="no GPUs"):
        await letting_go.take_up(WHO)
