"""Whether the clock is right: never claimed without evidence."""

import ctypes
import errno
import os
import platform
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.host.clocksync import (
    ChronyClock,
    ClockState,
    FirstThatKnows,
    KernelClock,
    TimesyncdClock,
    parse_tracking,
    tracking_request,
)

# Answers of chronyd 4.3 to sequence 0x1234, recorded on the loopback: following a server,
# with no source at all, and with the directive `local stratum 3`.
HEAD = "06020000002100050000000000000000000012340000000000000000"
FOLLOWING = bytes.fromhex(
    HEAD + "7f0000017f0000010000000000000000000000000001000000040000"
    "000000006b04a17219b8aa5edd116909d704b01bdc8aebcbf764678af5323191feefb249e0c86bae"
    "dad8ae370480c643"
)
ALONE = bytes.fromhex(
    HEAD + "00000000000000000000000000000000000000000000000000000003"
    "00000000000000000000000000000000000000000000000000000000000000000000000004800000"
    "0480000000000000"
)
LOCAL = bytes.fromhex(
    HEAD + "7f7f0101000000000000000000000000000000000000000000030000"
    "000000006b04a1682fd159d600000000000000000000000000000000000000000000000000000000"
    "0000000000000000"
)
SEQUENCE = 0x1234
UNKNOWN = ClockState(None, source="chrony")


# --- chrony ------------------------------------------------------------------------------


def test_chrony_follows_a_server() -> None:
    state = parse_tracking(FOLLOWING, SEQUENCE)
    assert (state.synchronised, state.source) == (True, "chrony")
    assert state.offset_s == pytest.approx(-1.7776e-6, rel=1e-3)


@pytest.mark.parametrize("answer", [ALONE, LOCAL], ids=["no source", "its own clock"])
def test_chrony_without_a_source_proves_nothing(answer: bytes) -> None:
    assert parse_tracking(answer, SEQUENCE) == ClockState(False, source="chrony")


@pytest.mark.parametrize(
    "answer",
    [b"", FOLLOWING[:-1], b"\x05" + FOLLOWING[1:], FOLLOWING[:9] + b"\x01" + FOLLOWING[10:]],
    ids=["empty", "cut", "version 5", "error"],
)
def test_other_answers_say_nothing(answer: bytes) -> None:
    assert parse_tracking(answer, SEQUENCE) == UNKNOWN


def test_an_answer_to_another_question_says_nothing() -> None:
    assert parse_tracking(FOLLOWING, SEQUENCE + 1) == UNKNOWN


def test_the_request_is_as_long_as_the_answer() -> None:
    assert len(tracking_request(7)) == len(FOLLOWING) == 104


@pytest.fixture
def chronyd() -> Iterator[int]:
    """The port of a server that gives the recorded answer with the sequence asked for."""

    def serve(sock: socket.socket) -> None:
        request, peer = sock.recvfrom(1024)
        assert request == tracking_request(struct.unpack_from("!I", request, 8)[0])
        sock.sendto(FOLLOWING[:16] + request[8:12] + FOLLOWING[20:], peer)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        thread = threading.Thread(target=serve, args=(sock,))
        thread.start()
        yield sock.getsockname()[1]
        thread.join()


def test_chronyd_is_asked_on_the_loopback(chronyd: int) -> None:
    assert ChronyClock(chronyd).state().synchronised is True


def test_without_chronyd_nothing_is_known() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    assert ChronyClock(port).state() == UNKNOWN


# --- systemd-timesyncd -------------------------------------------------------------------


def touched(directory: Path, age_s: float) -> TimesyncdClock:
    file = directory / "synchronized"
    file.touch()
    at = file.stat().st_mtime - age_s
    os.utime(file, (at, at))
    return TimesyncdClock(directory)


def test_a_fresh_file_is_evidence(tmp_path: Path) -> None:
    assert touched(tmp_path, 600).state() == ClockState(True, source="timesyncd")


@pytest.mark.parametrize("age_s", [86_400, -3600], ids=["server gone", "clock went back"])
def test_a_file_of_another_time_proves_nothing(tmp_path: Path, age_s: float) -> None:
    assert touched(tmp_path, age_s).state().synchronised is None


def test_a_daemon_that_had_no_answer_yet(tmp_path: Path) -> None:
    assert TimesyncdClock(tmp_path).state().synchronised is False


def test_no_daemon(tmp_path: Path) -> None:
    assert TimesyncdClock(tmp_path / "none").state().synchronised is None


# --- the kernel, and who is asked --------------------------------------------------------


def test_the_kernel_answers_where_it_may() -> None:
    state = KernelClock().state()
    assert state.source == "kernel"
    assert state.synchronised in (True, False, None)


class Fixed:
    def __init__(self, state: ClockState) -> None:
        self._state = state

    def state(self) -> ClockState:
        return self._state


def test_the_first_that_knows_is_believed() -> None:
    ignorant = Fixed(ClockState(None, source="a"))
    knowing = Fixed(ClockState(False, source="b"))
    assert FirstThatKnows((ignorant, knowing, Fixed(ClockState(True)))).state().source == "b"
    assert FirstThatKnows((ignorant,)).state() == ClockState(None)
    assert FirstThatKnows(()).state() == ClockState(None)


# What systemd does for ProtectClock=yes: EPERM for adjtimex and clock_adjtime.
DENIED = """
import ctypes, struct
from drivers.host.clocksync import KernelClock, host_clock
def instruction(code, yes, no, k): return struct.pack("HBBI", code, yes, no, k)
ALLOW, DENY = 0x7FFF0000, 0x00050000 | 1
program = instruction(0x20, 0, 0, 0)
for number in NUMBERS:
    program += instruction(0x15, 0, 1, number) + instruction(0x06, 0, 0, DENY)
program += instruction(0x06, 0, 0, ALLOW)
libc = ctypes.CDLL(None, use_errno=True)
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_char_p)]
filter = ctypes.byref(Filter(len(program) // 8, program))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, filter, 0, 0):
    print("no seccomp"); raise SystemExit
block = ctypes.create_string_buffer(1024)
print(libc.adjtimex(block), ctypes.get_errno(), KernelClock().state().synchronised)
host_clock().state()  # whatever it knows, it does not raise
"""
ADJTIMEX_NUMBERS = {"x86_64": (159, 305), "aarch64": (171, 266)}


def test_the_sandbox_s_refusal_is_no_answer() -> None:
    numbers = ADJTIMEX_NUMBERS.get(platform.machine())
    if numbers is None:
        pytest.skip(f"the system call numbers of {platform.machine()} are not known here")
    code = DENIED.replace("NUMBERS", repr(numbers))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    if done.stdout.strip() == "no seccomp":
        pytest.skip("this kernel or container allows no seccomp filter")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["-1", str(errno.EPERM), "None"]


def test_the_buffer_holds_the_kernel_s_answer() -> None:
    """The kernel writes sizeof(struct timex): 208 bytes on 64 bits, 128 on 32."""
    from drivers.host.clocksync import _Timex

    assert ctypes.sizeof(_Timex) >= 208
    assert _Timex.status.offset == (40 if ctypes.sizeof(ctypes.c_long) == 8 else 20)
