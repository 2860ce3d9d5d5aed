"""What AxeOS answers on `/api/system/info`. Pure.

Voltages are in mV, currents in mA, temperatures in degrees; a sensor that is not there says 0
or -1. A board is read as one: these devices have a single one with one to eight chips.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from drivers.asic import parts
from drivers.asic.axeos.build import words_of
from drivers.asic.axeos.parts import GHS, counted, hashrate_of, is_paused
from drivers.asic.axeos.shares import Wait
from drivers.asic.cgminer import missing
from drivers.asic.fields import Row, first, highest, integer, number, positive, text, truth
from drivers.asic.kept import Kept
from drivers.asic.page_parts import POOLS_LIMIT, degrees, listed, rate, section, watts
from drivers.model import (
    Board,
    Fan,
    Fault,
    Fingerprint,
    Kind,
    MinerReading,
    Pool,
    PowerSource,
    Sample,
    State,
)
from drivers.wire.cgminer import Report

CHIPS_LIMIT = 64
_CHIP_TEMPS = ("temp", "temp2")
_BOARD_TEMPS = ("vrTemp", "vrTempInt", "boardtemp1", "boardtemp2")
_SECOND_FAN = ("fan2rpm", "fanrpm2")
_VOLTS_LIMIT = 100.0
"""Below this an input voltage is in volts: no such board runs on less than 4 V."""
_DUAL = 1
"""NerdQAxe's pool mode in which both pools get work."""
_NOT_FAULTS = frozenset({"", "0", "none", "false", "no fault"})
_SAID_FAULTS = (
    ("power_fault", "the voltage regulator reports a fault"),
    ("hardware_fault", "the firmware reports a hardware fault"),
)
_OVERHEATED = "overheat protection has stopped the chips"


class Shape(NamedTuple):
    """How many chips the firmware is built for, None where it does not say."""

    chips: int | None = None


Shapes = Kept[Shape]
NO_SHAPE = Shape()


def shape_of(page: Any) -> Shape:
    """From `info` before 2.9 and on NerdAxe, from `asic` afterwards."""
    chips = integer(section(page).get("asicCount"))
    return Shape(chips if chips is not None and 0 < chips <= CHIPS_LIMIT else None)


def parse(
    info: Row,
    device_id: str,
    taken_at: float,
    shape: Shape = NO_SHAPE,
    wait: Wait | None = None,
    failed: Report | None = None,
) -> Sample:
    """Read the page; `wait` is what earlier polls have shown of its shares."""
    hashrate_ths = hashrate_of(info, shape.chips)
    board = _board(info, hashrate_ths, shape)
    pools = _pools(info)
    suspect = (
        wait is not None and wait.is_too_long and bool(hashrate_ths) and not _is_cut_off(pools)
    )
    faults = _faults(info, board, wait if suspect else None)
    power_w = watts(info.get("power"))
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=State.UNKNOWN if suspect and not _stands(info) else _state(info, hashrate_ths, pools),
        hashrate_ths=hashrate_ths,
        hashrate_nominal_ths=board.hashrate_nominal_ths,
        power_w=power_w,
        # At the DC input where the board has an INA260 (Max, Ultra, Supra 401); the others add a
        # constant to what their regulator gives out. Neither sees the wall side of the adapter.
        power_source=None if power_w is None else PowerSource.REPORTED,
        uptime_s=number(info.get("uptimeSeconds")),
        temp_target_c=degrees(info.get("temptarget")),
        chip_temp_max_c=board.chip_temp_c,
        shares_accepted=counted(info.get("sharesAccepted")),
        shares_rejected=counted(info.get("sharesRejected")),
        hw_errors=board.hw_errors,
        boards=(board,),
        fans=_fans(info),
        pools=pools,
        faults=faults,
        missing=missing(failed) if failed else (),
    )
    return Sample(reading, _fingerprint(info, reading))


def _board(info: Row, hashrate_ths: float | None, shape: Shape) -> Board:
    temps = info.get("asicTemps")
    chip_temps = [info.get(key) for key in _CHIP_TEMPS]
    chip_temps += temps[:CHIPS_LIMIT] if isinstance(temps, list) else []
    monitored = listed(section(info, "hashrateMonitor").get("asics"), CHIPS_LIMIT)
    errors = [found for row in monitored if (found := integer(row.get("errorCount"))) is not None]
    return Board(
        index=0,
        hashrate_ths=hashrate_ths,
        hashrate_nominal_ths=rate(positive(info.get("expectedHashrate")), GHS),
        chips=_answering(info, monitored, hashrate_ths, shape),
        chips_expected=shape.chips,
        board_temp_c=highest(degrees(info.get(key)) for key in _BOARD_TEMPS),
        chip_temp_c=highest(map(degrees, chip_temps)),
        voltage_v=_volts(info.get("voltage")),
        frequency_mhz=positive(info.get("actualFrequency")) or positive(info.get("frequency")),
        hw_errors=integer(sum(errors)) if errors else None,
    )


def _answering(
    info: Row, monitored: list[dict[str, Any]], hashrate_ths: float | None, shape: Shape
) -> int | None:
    """The chips that answer: `asicCount` is only what the firmware was built for."""
    detected = integer(info.get("asicDetected"))
    if detected is not None and 0 <= detected <= CHIPS_LIMIT:
        return detected
    if not hashrate_ths or is_paused(info):
        return None
    if monitored:  # from 2.12 on: the rate of every chip
        return sum(1 for row in monitored if positive(row.get("total")))
    return 1 if shape.chips == 1 else None


def _volts(value: Any) -> float | None:
    found = positive(value)
    return found if found is None or found < _VOLTS_LIMIT else round(found / 1000, 6)


def _fans(info: Row) -> tuple[Fan, ...]:
    """One fan, and a second where it turns or is counted; both have the same duty."""
    duty, rpm = number(first(info, ("fanspeed", "fanSpeed"))), integer(info.get("fanrpm"))
    second = integer(first(info, _SECOND_FAN))
    found = [] if rpm is None and duty is None else [Fan(1, rpm, duty)]
    if second is not None and (second > 0 or (integer(info.get("fanCount")) or 0) > 1):
        found.append(Fan(2, second, duty))
    return tuple(found)


def _pools(info: Row) -> tuple[Pool, ...]:
    """The two places for pools; `stratum.pools` has their state on newer NerdAxe firmware."""
    stratum = section(info, "stratum")
    rows = listed(stratum.get("pools"), POOLS_LIMIT)
    dual = integer(stratum.get("activePoolMode")) == _DUAL
    fallback = truth(first({**info, **stratum}, ("usingFallback", "isUsingFallbackStratum")))
    urls = (_url(info, "stratum"), _url(info, "fallbackStratum"))
    alone = urls[1] is None
    found = []
    for at, (url, user) in enumerate(
        zip(urls, ("stratumUser", "fallbackStratumUser"), strict=True)
    ):
        row = rows[at] if at < len(rows) else {}
        active = truth(row.get("active"))
        if active is None and fallback is not None:
            active = fallback == bool(at)
        if url is None:
            continue
        counts = row if dual else _totals(info) if alone else {}
        found.append(
            Pool(
                url=url,
                user=text(info.get(user)),
                status=_pool_status(info, row, active),
                active=active,
                accepted=counted(counts.get("accepted")),
                rejected=counted(counts.get("rejected")),
            )
        )
    return tuple(found)


def _totals(info: Row) -> Row:
    return {"accepted": info.get("sharesAccepted"), "rejected": info.get("sharesRejected")}


def _url(info: Row, prefix: str) -> str | None:
    """Host and port stand apart; a scheme is there only where the owner typed one."""
    host, port = text(info.get(f"{prefix}URL")), integer(info.get(f"{prefix}Port"))
    if host is None:
        return None
    if "://" not in host:
        host = f"{_scheme(info, prefix)}://{host}"
    return f"{host}:{port}" if port else host


def _scheme(info: Row, prefix: str) -> str:
    if "2" in (text(info.get(f"{prefix}Protocol")) or ""):
        return "stratum2+tcp"
    return "stratum+ssl" if positive(_flag(info.get(f"{prefix}TLS"))) else "stratum+tcp"


def _flag(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _pool_status(info: Row, row: Row, active: bool | None) -> str | None:
    connected = truth(row.get("connected"))
    if connected is None and active:
        # ESP-Miner: "IPv4", "IPv6 (TLS)" and so on while connected (the words for a pool that is
        # not connected are unverified).
        words = (text(info.get("poolConnectionInfo")) or "").lower()
        connected = False if "not connected" in words else None
    return None if connected is None else "Alive" if connected else "Dead"


def _is_cut_off(pools: tuple[Pool, ...]) -> bool:
    return any(pool.active and pool.status == "Dead" for pool in pools)


def _stands(info: Row) -> bool:
    """True where the firmware itself says that it does not mine."""
    return is_paused(info) or _is_hot(info) or any(_said(info, key) for key, _ in _SAID_FAULTS)


def _is_hot(info: Row) -> bool:
    return truth(info.get("overheat_mode")) is True


def _said(info: Row, key: str) -> str | None:
    words = text(info.get(key))
    return None if words is None or words.lower() in _NOT_FAULTS else words


def _state(info: Row, hashrate_ths: float | None, pools: tuple[Pool, ...]) -> State:
    if is_paused(info):
        return State.SLEEPING
    if _stands(info):
        return State.FAULT
    if hashrate_ths is None or hashrate_ths > 0:
        return State.UNKNOWN if hashrate_ths is None else State.MINING
    uptime_s = number(info.get("uptimeSeconds"))
    if uptime_s is not None and uptime_s < parts.STARTING_S:
        return State.STARTING
    if _is_cut_off(pools):
        return State.IDLE
    # Most versions do not say whether the pool answers, so the reason stays open.
    return State.FAULT if any(pool.active and pool.status for pool in pools) else State.UNKNOWN


def _faults(info: Row, board: Board, wait: Wait | None) -> tuple[Fault, ...]:
    found = [Fault("overheat_mode", _OVERHEATED)] if _is_hot(info) else []
    for key, sentence in _SAID_FAULTS:
        if words := _said(info, key):
            found.append(Fault(key, f"{sentence}: {words}"))
    if board.chips is not None and board.chips < (board.chips_expected or 0):
        found.append(Fault(None, f"{board.chips} of {board.chips_expected} chips answer"))
    if wait is not None:
        found.append(Fault("no-shares", _sentence(board, wait)))
    return tuple(found)


def _sentence(board: Board, wait: Wait) -> str:
    return (
        f"reports {board.hashrate_ths:.3g} TH/s but has found no share for {wait.for_s / 60:.0f} "
        f"minutes, in which {wait.due:.0f} were due"
    )


def _fingerprint(info: Row, reading: MinerReading) -> Fingerprint:
    return Fingerprint(
        traits=words_of(info),
        uptime_s=reading.uptime_s,
        counters=() if reading.shares_accepted is None else (float(reading.shares_accepted),),
    )
