"""Whether this host's clock follows a time source, from whoever may be asked."""

from __future__ import annotations

import ctypes
import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec


class ClockState(msgspec.Struct, frozen=True):
    """What is known of the clock; `synchronised` is None where it could not be told.

    `offset_s` is what the clock still has to be moved by: positive where it is behind.
    """

    synchronised: bool | None
    offset_s: float | None = None
    source: str = ""


class ClockSync(Protocol):
    """One way to learn about the clock. May block shortly; never raises."""

    def state(self) -> ClockState:
        """What is known now."""
        ...


class FirstThatKnows:
    """The answer of the first that can tell."""

    def __init__(self, ways: Sequence[ClockSync]) -> None:
        self._ways = tuple(ways)

    def state(self) -> ClockState:
        """The first answer that is not None."""
        states = (way.state() for way in self._ways)
        return next((each for each in states if each.synchronised is not None), ClockState(None))


def host_clock() -> ClockSync:
    """The usual ways: the kernel where the sandbox lets us ask it, else the daemons."""
    return FirstThatKnows((KernelClock(), ChronyClock(), TimesyncdClock()))


# --- the kernel --------------------------------------------------------------------------

_STA_PLL, _STA_UNSYNC, _STA_NANO = 0x0001, 0x0040, 0x2000  # linux/timex.h


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time", ctypes.c_long * 2),
        ("tick", ctypes.c_long),
        # pulse-per-second fields, tai and reserve: more than any ABI has
        ("rest", ctypes.c_long * 32),
    )


class KernelClock:
    """Asks adjtimex(2) without changing anything.

    The kernel drops its claim itself when nobody has corrected the clock for hours. Under
    ProtectClock=yes systemd's filter answers EPERM even to a mere question: then None.
    """

    def __init__(self) -> None:
        self._adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)

    def state(self) -> ClockState:
        """What the kernel says."""
        timex = _Timex()
        if self._adjtimex is None or self._adjtimex(ctypes.byref(timex)) < 0:
            return ClockState(None, source="kernel")
        synchronised = not timex.status & _STA_UNSYNC
        return ClockState(synchronised, _remaining_s(timex) if synchronised else None, "kernel")


def _remaining_s(timex: _Timex) -> float | None:
    # chrony steers by frequency and leaves `offset` at 0, which is no measurement
    if not timex.status & _STA_PLL:
        return None
    return float(timex.offset) / (1e9 if timex.status & _STA_NANO else 1e6)


# --- chrony ------------------------------------------------------------------------------

CHRONY_PORT = 323
_ASK_WAIT_S = 0.2
_TRACKING_REQUEST, _TRACKING_REPLY, _SUCCESS = 33, 5, 0
_HEAD = struct.Struct("!BBBBHHHHHHIII")
_TRACKING = struct.Struct("!I16sHHHHIII9I")
_LEAP_UNSYNCHRONISED = 3
_NO_REFERENCE, _OWN_CLOCK = 0, 0x7F7F0101  # the latter is chrony's `local` directive


class ChronyClock:
    """Asks chronyd for its tracking report on the loopback, as `chronyc tracking` does.

    The command protocol's version 6, spoken since chrony 2.0: candm.h in its sources,
    tried against chronyd 4.3. Only root may send from port 323, so the answer is chronyd's.
    """

    def __init__(self, port: int = CHRONY_PORT) -> None:
        self._port = port

    def state(self) -> ClockState:
        """What chronyd says; None where none answers."""
        sequence = time.monotonic_ns() & 0xFFFFFFFF
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(_ASK_WAIT_S)
                sock.connect(("127.0.0.1", self._port))
                sock.send(tracking_request(sequence))
                answer = sock.recv(1024)
        except OSError:
            return ClockState(None, source="chrony")
        return parse_tracking(answer, sequence)


def tracking_request(sequence: int) -> bytes:
    """The request; as long as its answer, or chronyd would not reply."""
    head = struct.pack("!BBBBHHIII", 6, 1, 0, 0, _TRACKING_REQUEST, 0, sequence, 0, 0)
    return head.ljust(_HEAD.size + _TRACKING.size, b"\0")


def parse_tracking(answer: bytes, sequence: int) -> ClockState:
    """What a tracking report says; None where it is not one, or answers another question."""
    unknown = ClockState(None, source="chrony")
    if len(answer) < _HEAD.size + _TRACKING.size:
        return unknown
    version, kind, _, _, _, reply, status, _, _, _, echoed, _, _ = _HEAD.unpack_from(answer)
    if (version, kind, reply, status, echoed) != (6, 2, _TRACKING_REPLY, _SUCCESS, sequence):
        return unknown
    report = _TRACKING.unpack_from(answer, _HEAD.size)
    reference, leap, correction = report[0], report[5], report[9]
    if leap == _LEAP_UNSYNCHRONISED or reference in (_NO_REFERENCE, _OWN_CLOCK):
        return ClockState(False, source="chrony")
    return ClockState(True, _chrony_float(correction), "chrony")


def _chrony_float(raw: int) -> float:
    """7 bits of signed exponent, 25 bits of signed coefficient, no hidden bit."""
    exponent, coefficient = raw >> 25, raw & 0x1FFFFFF
    if exponent >= 1 << 6:
        exponent -= 1 << 7
    if coefficient >= 1 << 24:
        coefficient -= 1 << 25
    return float(coefficient) * 2.0 ** (exponent - 25)


# --- systemd-timesyncd -------------------------------------------------------------------

TIMESYNC_DIRECTORY = Path("/run/systemd/timesync")
_FRESH_S = 2 * 2048 + 60  # twice PollIntervalMaxSec: one answer may get lost


class TimesyncdClock:
    """Looks at the file that systemd-timesyncd touches at each answer of its server.

    The file stays when the server does not, so only its age proves anything.
    """

    def __init__(self, directory: Path = TIMESYNC_DIRECTORY) -> None:
        self._directory = directory

    def state(self) -> ClockState:
        """True with a fresh file, False with a daemon but no file, None without either."""
        try:
            age_s = time.time() - (self._directory / "synchronized").stat().st_mtime
        except FileNotFoundError:
            running = self._directory.is_dir()
            return ClockState(False if running else None, source="timesyncd")
        except OSError:
            return ClockState(None, source="timesyncd")
        return ClockState(True if 0 <= age_s <= _FRESH_S else None, source="timesyncd")
