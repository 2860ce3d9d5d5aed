"""The log of answers: what the site said to whom, for tests to compare with."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Answered(msgspec.Struct, frozen=True, gc=False):
    """One answer given, or one connection that a fault ended without one.

    `complete` means that the kernel took every byte of an answer and the connection was
    closed in order; such an answer may still be `malformed` on purpose.
    """

    t: float
    address: str
    port: int
    command: str
    complete: bool
    fault: str | None = None
    malformed: bool = False
    ghs: float | None = None
    elapsed: int | None = None


class AnswerLog:
    """Writes answers as JSON lines; whoever owns it flushes it every second."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=1 << 18)
        self._encoder = msgspec.json.Encoder()

    def __call__(self, answered: Answered) -> None:
        """Write one line."""
        self._file.write(self._encoder.encode(answered) + b"\n")

    def flush(self) -> None:
        """Give what was written to the kernel."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close; harmless when closed already."""
        self._file.close()
