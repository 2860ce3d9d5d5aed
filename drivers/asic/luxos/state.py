"""What a machine with LuxOS says of its state and its troubles. Pure.

Source: Luxor's API documentation of `config`, `events` and `curtail`, and recordings. `events`
lists what is going on now: an event disappears with its cause.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from drivers.asic import parts
from drivers.asic.fields import Row, common, integer, text, truth
from drivers.model import Board, Fault, Pool, State

FAULTS_LIMIT = 64
_RESTING = frozenset({"sleep", "idle"})
"""Modes of `curtail`; old builds had the second. Events of these names say the same."""
_NO_FAULTS = frozenset({"SLEEP", "IDLE", "REBOOT_USER", "REBOOT_SYSINIT", "SHUTDOWN_USER"})
"""Events that tell of somebody's wish or of a start."""
_STOPPED = frozenset(
    {
        *("NOPIC_PROTECTION", "NOPIC_SHUTDOWN", "OVERTEMP_PROTECTION", "FAN_PANIC", "PSU_PANIC"),
        *("BOARD_OVERTEMP_SHUTDOWN", "BOARD_ASIC_INIT_FAILURE", "BOARD_NOT_DETECTED"),
        *("BOARD_ASIC_ENUMERATION_FAILURE", "BOARD_CRITICAL_PIC_FAILURE", "NO_BOARDS"),
        *("BOARD_CRITICAL_SENSOR_FAILURE", "BOARD_NOT_ENOUGH_SENSORS_FAILURE", "DETECTION_ERROR"),
        *("CANT_READ_PSU_TYPE", "CANT_READ_PSU_PROTOCOL", "INVALID_MINER_MODEL"),
        *("INCOMPATIBLE_PIC", "I2C_ERROR"),
    }
)
"""Events after which boards do not hash until somebody does something."""


def curtailed(config: Row) -> str | None:
    """`CurtailMode` in small letters: none, sleep, idle or wakeup (of others' programs)."""
    word = text(config.get("CurtailMode"))
    return word.lower() if word else None


def mode_of(config: Row) -> str | None:
    """The curtailment where there is one, else what sets the power: a target or a profile."""
    word = curtailed(config)
    if word and word != "none":
        return common(word)
    if truth(config.get("IsPowerTargetEnabled")):
        return "power target"
    return common(config.get("Profile"))


def state_of(
    config: Row,
    events: list[dict[str, Any]],
    devices: list[dict[str, Any]],
    rates_ths: tuple[float | None, float | None],
    uptime_s: float | None,
    pools: tuple[Pool, ...],
) -> State:
    """By the machine's own words: curtailment, events, boards; then as any miner is judged.

    `rates_ths` is the rate now and the one that the machine means to reach.
    """
    codes = {code for row in events if (code := text(row.get("Code")))}
    now_ths, nominal_ths = rates_ths
    word = curtailed(config)
    if word in _RESTING or codes & {"SLEEP", "IDLE"} or _all(devices, "IsUserShutdown"):
        return State.SLEEPING
    # Thermal management changes the profile of a mining machine: then its boards ramp, too.
    low = not now_ths or (nominal_ths is not None and now_ths < nominal_ths / 2)
    if word == "wakeup" or (low and _all(devices, "IsRamping")):
        return State.STARTING
    if not now_ths:
        told = _stands(codes)
        if told is not None:
            return told
    return parts.mining_state(now_ths, uptime_s, pools)


def _all(devices: list[dict[str, Any]], key: str) -> bool:
    return bool(devices) and all(truth(row.get(key)) for row in devices)


def _stands(codes: set[str]) -> State | None:
    """Why a machine without a rate has none, where its events say it."""
    if codes & _STOPPED:
        return State.FAULT
    if "NO_ACTIVE_POOLS" in codes:
        return State.IDLE
    return State.STARTING if "REBOOT_SYSINIT" in codes else None


def faults_of(
    events: list[dict[str, Any]], boards: tuple[Board, ...], state: State
) -> tuple[Fault, ...]:
    """What `events` lists, and boards that lack chips where the machine should hash."""
    told = [fault for row in events if (fault := _event(row))]
    if state in (State.SLEEPING, State.STARTING):
        return tuple(told)
    seen = [
        Fault(None, f"board {board.index}: {board.chips} of {board.chips_expected} chips answer")
        for board in boards
        if board.chips_expected and board.chips is not None and board.chips < board.chips_expected
    ]
    return tuple((told + seen)[:FAULTS_LIMIT])


def _event(row: Row) -> Fault | None:
    code, words = text(row.get("Code")), text(row.get("Description"))
    if code in _NO_FAULTS or not (code or words):
        return None
    target, number_of = text(row.get("Target")), integer(row.get("ID"))
    where = "" if target is None or target == "MINER" else target[:32].lower()
    where = f"{where} {number_of}" if where and number_of is not None else where
    message = words or f"event {code}"
    return Fault(code, f"{where}: {message}" if where else message, _moment(row))


def _moment(row: Row) -> datetime | None:
    """When an event began; a time without its zone is none."""
    word = text(row.get("CreatedAt"))
    try:
        found = datetime.fromisoformat(word) if word else None
        return found.astimezone(UTC) if found is not None and found.tzinfo else None
    except (ValueError, OverflowError):
        return None
