"""What LuxOS (LUXminer) answers on port 4028: totals, power, pools, identity. Pure.

Sources: Luxor's API documentation (docs.luxor.tech/firmware/api) and recordings of 2025 builds.
Boards, sensors and fans are in `luxos_boards`, state and faults in `luxos_state`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from drivers.asic import parts
from drivers.asic.cgminer import missing
from drivers.asic.fields import (
    THS_PER_RATE_UNIT,
    Row,
    common,
    first,
    hashrate_average_ths,
    hashrate_now_ths,
    highest,
    integer,
    mac,
    miner_id,
    number,
    positive,
    scaled,
    text,
    truth,
)
from drivers.asic.luxos.boards import boards, device_rows, fans
from drivers.asic.luxos.profiles import NO_PROFILES, Profiles, limit_w, row_of
from drivers.asic.luxos.state import FAULTS_LIMIT, faults_of, mode_of, state_of
from drivers.asic.models import known
from drivers.model import (
    Board,
    Fingerprint,
    Identity,
    Kind,
    MinerReading,
    Pool,
    PowerSource,
    Sample,
)
from drivers.wire.cgminer import Report, rows

# --- identity ----------------------------------------------------------------------------------


def parse_identity(report: Report, provisional_id: str) -> Identity:
    """Read `version`, `config` and `stats`, whichever were answered."""
    version = row_of(report, "version", "VERSION")
    config = row_of(report, "config", "CONFIG")
    head, body = row_of(report, "stats", "STATS"), row_of(report, "stats", "STATS", -1)
    model = common(config.get("Model")) or common(version.get("Type")) or common(head.get("Type"))
    # `miner_id` is the MAC without colons in recordings, where other firmwares have a number.
    address = mac(config.get("MACAddr")) or mac(body.get("miner_id"))
    serial = text(config.get("SerialNumber"))
    entry = known(model)
    bitmain = "Bitmain" if model and "antminer" in model.lower() else None
    return Identity(
        id=miner_id(address, serial, provisional_id),
        kind=Kind.ASIC,
        make=entry.make if entry else bitmain,
        model=entry.name if entry else model,
        firmware="luxos",
        firmware_version=_build(version, head),
        serial=serial,
        mac=address,
        hostname=text(config.get("Hostname")),
        algorithm=entry.algorithm if entry else None,
    )


def _build(version: Row, head: Row) -> str | None:
    """The version without the commit behind it.

    `LUXminer` is the true one: old builds fill `BMMiner` and `Miner` with those of Bitmain.
    """
    for row in (version, head):
        found = text(row.get("LUXminer"))
        if found:
            return common(found.partition("-")[0])
        spoofed = text(row.get("Miner"))
        if spoofed and not spoofed.startswith("uart"):
            return common(spoofed)
    return None


# --- a poll ------------------------------------------------------------------------------------


def parse(
    report: Report,
    device_id: str,
    taken_at: float,
    profiles: Profiles = NO_PROFILES,
    pools_at: float | None = None,
) -> Sample:
    """Read a poll; whatever of it was answered is there, the rest is named in `missing`.

    `pools_at` is given where the slower commands were asked before.
    """
    summary = row_of(report, "summary", "SUMMARY")
    config = row_of(report, "config", "CONFIG")
    head, body = row_of(report, "stats", "STATS"), row_of(report, "stats", "STATS", -1)
    devices = device_rows(report.replies.get("devs", {}))
    events = rows(report.replies.get("events", {}), "EVENTS")[:FAULTS_LIMIT]
    found = boards(
        devices, body, report.replies.get("temps", {}), _model(config, head), profiles.volts
    )
    pools = parts.pools(rows(report.replies.get("pools", {}), "POOLS"))[:16]
    hashrate_ths = _first_rate(hashrate_now_ths(summary), hashrate_now_ths(body), found.boards)
    nominal_ths = _nominal_ths(body, found.boards)
    uptime_s = uptime_of(report)
    state = state_of(config, events, devices, (hashrate_ths, nominal_ths), uptime_s, pools)
    watts = number(row_of(report, "power", "POWER").get("Watts"))
    measured = watts is not None and 0 <= watts < 1e6
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=state,
        mode=mode_of(config),
        preset=common(config.get("Profile")),
        temp_target_c=profiles.temp_target_c,
        hashrate_ths=hashrate_ths,
        hashrate_avg_ths=_known(hashrate_average_ths(summary), hashrate_average_ths(body)),
        hashrate_nominal_ths=nominal_ths,
        uptime_s=uptime_s,
        power_w=watts if measured else None,
        power_source=_source(row_of(report, "power", "POWER")) if measured else None,
        power_limit_w=limit_w(config, profiles),
        power_limit_min_w=profiles.min_w,
        power_limit_max_w=profiles.max_w,
        inlet_temp_c=found.water_inlet_c,
        outlet_temp_c=found.water_outlet_c,
        chip_temp_max_c=highest(board.chip_temp_c for board in found.boards),
        shares_accepted=_counter(summary, "Accepted", pools, "accepted"),
        shares_rejected=_counter(summary, "Rejected", pools, "rejected"),
        shares_stale=_counter(summary, "Stale", pools, "stale"),
        hw_errors=integer(first(summary, ("Hardware Errors",))),
        locating=_locating(config),
        boards=found.boards,
        fans=fans(report.replies.get("fans", {}), body),
        pools=pools,
        pools_at=None if pools_at is None else datetime.fromtimestamp(pools_at, UTC),
        faults=faults_of(events, found.boards, state),
        missing=(*missing(report), *profiles.missing),
    )
    return Sample(reading, _fingerprint(config, head, body, reading))


def _model(config: Row, head: Row) -> Any:
    return known(text(config.get("Model"))) or known(text(head.get("Type")))


def _known(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _first_rate(total: float | None, other: float | None, found: tuple[Board, ...]) -> float | None:
    """The machine's rate; where neither `summary` nor `stats` gives one, that of its boards."""
    rates = [board.hashrate_ths for board in found]
    whole = [rate for rate in rates if rate is not None]
    boards_ths = scaled(sum(whole), 1.0) if whole and len(whole) == len(rates) else None
    return _known(total, other, boards_ths)


def _nominal_ths(body: Row, found: tuple[Board, ...]) -> float | None:
    unit = text(body.get("rate_unit")) or "GH"
    ideal = positive(body.get("total_rateideal"))
    if ideal is not None:
        return scaled(ideal, THS_PER_RATE_UNIT.get(unit[:2].upper(), 1e-3))
    nominal = [board.hashrate_nominal_ths for board in found]
    whole = [rate for rate in nominal if rate is not None]
    return scaled(sum(whole), 1.0) if whole and len(whole) == len(nominal) else None


def _counter(summary: Row, key: str, pools: tuple[Pool, ...], name: str) -> int | None:
    found = integer(summary.get(key))
    return parts.total(pools, name) if found is None else found


def _source(power: Row) -> PowerSource:
    """`PSU` false: LuxOS computes the watts, for the supply cannot tell.

    Where it is true the figure is the supply's; whether of its input or its output is written
    nowhere (unverified), so it is not called metered.
    """
    return PowerSource.MODELLED if truth(power.get("PSU")) is False else PowerSource.REPORTED


def _locating(config: Row) -> bool | None:
    """Documented modes of the lights are on, off, auto and blink."""
    lights = [text(config.get(key)) for key in ("RedLed", "GreenLed")]
    words = [word.lower() for word in lights if word]
    return "blink" in words if words else None


# --- who answers -------------------------------------------------------------------------------


def words_of(report: Report) -> tuple[str, ...]:
    """What a running machine keeps, of what the quickest poll brings: its boards' serials."""
    devices = device_rows(report.replies.get("devs", {}))
    return tuple(serial for row in devices if (serial := text(row.get("SerialNumber"))))


def uptime_of(report: Report) -> float | None:
    """Seconds since the mining program started."""
    found = number(row_of(report, "summary", "SUMMARY").get("Elapsed"))
    return (
        found if found is not None else number(row_of(report, "stats", "STATS", -1).get("Elapsed"))
    )


def _fingerprint(config: Row, head: Row, body: Row, reading: MinerReading) -> Fingerprint:
    """Boards come and go on a running machine, so of them nothing is kept where a MAC is seen."""
    address = mac(config.get("MACAddr")) or mac(body.get("miner_id"))
    serials = [board.serial for board in reading.boards if board.serial]
    own = (address,) if address else tuple(serials)
    build = (text(head.get(key)) for key in ("Type", "Miner", "CompileTime"))
    users = (pool.user for pool in reading.pools[:1])
    return Fingerprint(
        traits=(*own, *(word[:64] for word in (*build, *users) if word)),
        uptime_s=reading.uptime_s,
        counters=() if reading.shares_accepted is None else (float(reading.shares_accepted),),
    )
