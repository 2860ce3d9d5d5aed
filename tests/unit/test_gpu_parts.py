"""The small parts of `stoker-gpu`, each by itself."""

from __future__ import annotations

import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import BadReply
from drivers.gpu import systemd
from drivers.gpu.answers import DriverFacts, Event, EventKind, GpuScan
from drivers.gpu.bounds import Bounds
from drivers.gpu.cell import Cell, new_cell
from drivers.gpu.energy import EnergyCounter
from drivers.gpu.errands import Enumerated, Seat
from drivers.gpu.errors import Restarting
from drivers.gpu.kernel import kernel_state, parse_state
from drivers.gpu.pause import Pause
from drivers.gpu.peers import Peers
from drivers.gpu.protocol import Tier
from drivers.gpu.reading import GpuState, assemble, faults_of
from drivers.gpu.ring import Ring
from drivers.gpu.roll import Roll
from drivers.gpu.shunned import Shunned
from drivers.model import PowerSource, State
from drivers.model_gpu import GpuFacts

# --- what is seen of a call ----------------------------------------------------------------------


def test_a_cell_is_seen_through_another_mapping() -> None:
    descriptor, ours = new_cell()
    theirs = Cell(descriptor)
    os.close(descriptor)
    assert ours.read() == ("", "", None)
    theirs.enter("nvmlDeviceGetName", "GPU-1")
    seen = ours.read()
    assert (seen.operation, seen.uuid) == ("nvmlDeviceGetName", "GPU-1")
    assert seen.began_s is not None
    assert 0 <= time.monotonic() - seen.began_s < 1
    theirs.leave()
    assert ours.read().began_s is None
    assert ours.read().operation == "nvmlDeviceGetName"
    theirs.enter("f" * 200, "GPU-" + "9" * 200)  # never more than there is room for
    assert len(ours.read().operation) == 64


def test_the_state_of_a_process() -> None:
    assert parse_state("12 (a (b) c) D 1 2 3") == "D"
    assert parse_state("") == "X"
    assert kernel_state(os.getpid()).state in "RS"
    assert kernel_state(2**22 + 1).state == "X"


@given(st.text(max_size=100))
def test_no_stat_line_raises(text: str) -> None:
    assert parse_state(text)


# --- when it is tried again ----------------------------------------------------------------------


def test_a_pause_doubles_and_ends_after_calm() -> None:
    pause = Pause(1.0, 8.0)
    waits = []
    now = 100.0
    for _ in range(6):
        pause.failed(now)
        waits.append(pause.until_s - now)
        assert not pause.over(now)
        now = pause.until_s
        assert pause.over(now)
    assert waits == [1, 2, 4, 8, 8, 8]
    pause.failed(now + 9)
    assert pause.until_s == now + 10
    pause.forget()
    assert pause.over(now)


def test_a_gpu_is_left_alone_while_a_child_waits_in_it_and_for_a_while_after() -> None:
    shunned = Shunned(Bounds(shun_first_s=10, shun_most_s=40))
    shunned.hold("GPU-1", "hangs")
    assert shunned.all(0) == ("GPU-1",)
    assert "hangs" in str(shunned.why("GPU-1", 1e6))
    shunned.rest("GPU-1", Restarting("gone"), 100)
    assert "gone" in str(shunned.why("GPU-1", 109))
    assert shunned.why("GPU-1", 110) is None
    shunned.rest("GPU-1", Restarting("gone"), 120)
    assert shunned.all(139) == ("GPU-1",)
    shunned.forgive()
    assert shunned.all(139) == ()
    shunned.hold("GPU-2", "slow")
    shunned.free("GPU-2")
    assert shunned.all(139) == ()
    shunned.hold("", "the driver as a whole")
    shunned.rest("", Restarting("x"), 0)
    assert shunned.all(0) == ()


# --- which GPUs there are ------------------------------------------------------------------------

DRIVER = DriverFacts("580.65.06", "13.580.65.06", "13.0")


def listed(*uuids: str, driver: DriverFacts = DRIVER) -> Enumerated:
    seats = tuple(Seat(uuid, f"0000:{ord(uuid):02x}:00.0", n) for n, uuid in enumerate(uuids))
    return Enumerated(id=1, driver=driver, seats=seats)


def kinds(changes: list[Any]) -> list[tuple[EventKind, str | None]]:
    return [(change.kind, change.uuid) for change in changes]


def test_a_shorter_list_is_a_loss_and_a_skipped_gpu_is_none() -> None:
    roll = Roll()
    assert kinds(roll.absorb(listed("b", "a"), ())) == [
        (EventKind.GPU_FOUND, "b"),
        (EventKind.GPU_FOUND, "a"),
    ]
    assert roll.uuids() == ["a", "b"]  # as they sit on the bus
    assert roll.absorb(listed("a"), ("b",)) == []
    assert kinds(roll.absorb(listed("a"), ())) == [(EventKind.GPU_LOST, "b")]
    assert roll.absorb(listed("a"), ()) == []
    assert roll.lose("b", "again") is None
    assert roll.lose("z", "never seen") is None
    assert kinds(roll.absorb(listed("a", "b"), ())) == [(EventKind.GPU_BACK, "b")]


def test_another_driver_is_told() -> None:
    roll = Roll()
    roll.absorb(listed("a"), ())
    (change,) = roll.absorb(listed("a", driver=DriverFacts("590.1")), ())
    assert change.kind is EventKind.DRIVER_CHANGED
    assert "590.1" in change.message


def test_numbers_lead_to_uuids_as_far_as_they_are_known() -> None:
    roll = Roll()
    roll.absorb(listed("a", "b"), ())
    assert (roll.uuid_of("#1"), roll.uuid_of("#7"), roll.uuid_of("a")) == ("b", "#7", "a")


# --- events --------------------------------------------------------------------------------------


def happened(message: str) -> Event:
    return Event(seq=0, at=1.0, kind=EventKind.XID, message=message)


def test_events_are_numbered_kept_and_told() -> None:
    ring, told = Ring("e", kept=3), []
    ring.follow(told.append)
    for number in range(5):
        ring.add(happened(str(number)))
    assert [event.seq for event in told] == [1, 2, 3, 4, 5]
    assert [event.message for event in ring.after("e", 0)] == ["2", "3", "4"]
    assert [event.seq for event in ring.after("e", 4)] == [5]
    assert [event.seq for event in ring.after("another epoch", 99)] == [3, 4, 5]
    ring.leave(told.append)
    ring.leave(told.append)


# --- readings ------------------------------------------------------------------------------------


def taken(*scans: tuple[GpuScan, tuple[Tier, ...]], facts: GpuFacts | None = None) -> GpuState:
    state = GpuState(device_id="gpu-1", facts=facts)
    for scan, tiers in scans:
        state.take(scan, tiers)
    return state


def scanned(at: float, absent: dict[str, str] | None = None, **values: Any) -> GpuScan:
    return GpuScan("GPU-1", at, values, absent or {})


FAST, MEDIUM = (Tier.FAST,), (Tier.MEDIUM,)


def test_a_reading_joins_the_paces_and_says_how_old_they_are() -> None:
    state = taken(
        (scanned(100.0, power_limit_w=300.0), MEDIUM), (scanned(112.0, power_w=250.0), FAST)
    )
    reading = assemble(state)
    assert (reading.power_w, reading.power_limit_w) == (250.0, 300.0)
    assert reading.power_source is PowerSource.REPORTED
    assert reading.taken_at == datetime.fromtimestamp(112.0, UTC)
    assert (reading.medium_age_s, reading.slow_age_s) == (12.0, None)
    assert reading.state is State.OK


def test_a_value_that_is_gone_is_not_repeated() -> None:
    state = taken(
        (scanned(1.0, power_w=250.0), FAST),
        (scanned(2.0, {"power_w": "failed", "temp_c": "not_supported"}), FAST),
    )
    reading = assemble(state)
    assert reading.power_w is None
    assert reading.missing == ("power_w",)  # what the GPU never had is not missing


def test_energy_goes_on_when_the_driver_begins_anew() -> None:
    state = GpuState(device_id="gpu-1")
    for at, counted in enumerate([100.0, 150.0, 5.0, 10.0]):
        state.take(scanned(float(at), energy_j=counted), FAST)
    reading = assemble(state)
    assert (reading.energy_j, reading.energy_restarts) == (160.0, 1)


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=30))
def test_energy_never_falls(counted: list[float]) -> None:
    counter = EnergyCounter()
    totals = [counter.read(value) for value in counted]
    assert totals == sorted(totals)


def test_a_value_of_another_kind_is_a_bad_reply() -> None:
    with pytest.raises(BadReply, match="power_w"):
        assemble(taken((scanned(1.0, power_w="much"), FAST)))


@pytest.mark.parametrize(
    ("values", "codes", "disabled"),
    [
        ({}, [], False),
        ({"recovery_action": "none"}, [], False),
        ({"recovery_action": "reset"}, ["recovery_action"], True),
        ({"row_remap_failed": True}, ["row_remap_failed"], True),
        ({"sram_threshold_exceeded": True}, ["sram_threshold_exceeded"], True),
        ({"row_remap_pending": True}, ["memory_repair_pending"], False),
        ({"repair_pending": True}, ["repair_pending"], False),
        ({"fabric_state": "in_progress"}, ["fabric"], True),
        ({"fabric_state": "completed", "fabric_health": "unhealthy"}, ["fabric"], True),
        ({"fabric_state": "completed", "fabric_health": "healthy"}, [], False),
        ({"throttle_reasons": ["power_cap", "idle"]}, [], False),
        ({"throttle_reasons": ["power_cap", "hw_thermal"]}, ["throttled"], False),
        ({"pcie_width": 8}, ["pcie_width"], False),
        ({"pcie_width": 16}, [], False),
    ],
)
def test_what_is_wrong_with_a_gpu(values: dict[str, Any], codes: list[str], disabled: bool) -> None:
    facts = GpuFacts(uuid="GPU-1", pcie_width_max=16)
    assert [fault.code for fault in faults_of(values, facts)] == codes
    reading = assemble(taken((scanned(1.0, **values), FAST), facts=facts))
    assert (reading.state is State.FAULT) == disabled


# --- who may, and systemd ------------------------------------------------------------------------


def test_who_may_speak() -> None:
    peers = Peers(uids=(4711,), gids=(4712,))
    assert peers.may(0, 0)
    assert peers.may(4711, 1)
    assert peers.may(1, 4712)
    assert not peers.may(65534, 65534)
    assert not peers.may(2**31 - 1, 2**31 - 1)


def test_systemd_is_told_without_one_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    systemd.notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        systemd.notify("READY=1", "STATUS=fine")
        assert sock.recv(100) == b"READY=1\nSTATUS=fine"


def test_a_watchdog_of_another_process_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert systemd.watchdog_interval_s() == 15.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert systemd.watchdog_interval_s() is None
    monkeypatch.setenv("WATCHDOG_USEC", "soon")
    assert systemd.watchdog_interval_s() is None


def test_sockets_for_another_process_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert systemd.inherited_socket() is None


# --- the command line ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bound", "patience=3"], "there is no such bound"),
        (["--bound", "hung_s"], "there is no such bound"),
        (["--bound", "hung_s=-1"], "more than 0"),
        (["--bound", "hung_s=soon"], "soon"),
        (["--user", "nobody-of-this-name"], "nobody-of-this-name"),
        (["--group", "nobodies-of-this-name"], "nobodies-of-this-name"),
    ],
)
def test_what_is_wrong_with_the_command_line_is_said(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from drivers.gpu.__main__ import main

    assert main(arguments) == 2
    assert words in capsys.readouterr().err
