"""What ePIC's firmware answers: `/summary` and the slow pages beside it. Pure.

Source: ePIC's API documents, v1 to v3. Rates are in MH/s; voltages of boards and supply in V.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from drivers.asic import parts
from drivers.asic.cgminer import missing
from drivers.asic.epic.boards import MHS, boards_of, statuses_of
from drivers.asic.epic.build import NO_BUILD, Build, state_word, uptime_of, words_of
from drivers.asic.epic.tuner import RATE_UNIT, running_tuner, throttle_percent
from drivers.asic.fields import (
    Row,
    common,
    highest,
    integer,
    number,
    positive,
    text,
    truth,
)
from drivers.asic.page_parts import (
    BOARDS_LIMIT,
    FANS_LIMIT,
    FAULTS_LIMIT,
    POOLS_LIMIT,
    listed,
    rate,
    section,
    watts,
)
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

_FANS = tuple((at, f"Fans Speed {at}") for at in range(1, FANS_LIMIT + 1))

# Of the operating states only Mining (recorded) and Idling (other clients' source) are known for
# certain; the other words are guesses at what such a program would say (unverified).
_STATES = {
    "mining": State.MINING,
    "stopped": State.SLEEPING,
    "stopping": State.SLEEPING,
    "starting": State.STARTING,
    "initializing": State.STARTING,
    "booting": State.STARTING,
    "rebooting": State.STARTING,
    "calibrating": State.STARTING,
    "tuning": State.STARTING,
    "error": State.FAULT,
    "fault": State.FAULT,
    "shutdown": State.FAULT,
}
_IDLE = frozenset({"idling", "idle"})


def parse(
    summary: Row,
    device_id: str,
    taken_at: float,
    build: Build | None = None,
    failed: Report | None = None,
) -> Sample:
    """Read a summary, with what is known of the machine from its slow pages."""
    build = build or NO_BUILD
    session = section(summary, "Session")
    boards = boards_of(summary, build)
    hashrate_ths = _hashrate(summary, boards)
    pools = _pools(summary)
    state = _state(summary, hashrate_ths, pools)
    power_w, output_w, source = _power(summary)
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=state,
        mode=_mode(summary),
        preset=common(section(summary, "PresetInfo").get("Preset")),
        throttle_percent=throttle_percent(summary, build.default_ths),
        temp_target_c=positive(
            section(summary, "Fans", "Fan Mode", "Auto").get("Target Temperature")
        ),
        hashrate_ths=hashrate_ths,
        # ePIC's dashboard calls it the rate of 15 minutes; in the recording it is what the
        # accepted shares make over the uptime, within half a percent.
        hashrate_avg_ths=rate(session.get("Average MHs"), MHS),
        hashrate_nominal_ths=_nominal(summary, boards),
        power_w=power_w,
        power_source=source,
        power_output_w=output_w,
        power_limit_w=_power_limit(summary),
        uptime_s=number(session.get("Uptime")),
        chip_temp_max_c=highest(board.chip_temp_c for board in boards),
        shares_accepted=integer(session.get("Accepted")),
        shares_rejected=integer(session.get("Rejected")),
        locating=truth(section(summary, "Misc").get("Locate Miner State")),
        boards=boards,
        fans=_fans(summary),
        pools=pools,
        faults=_faults(summary, boards, state),
        missing=missing(failed) if failed else (),
    )
    return Sample(reading, _fingerprint(summary, reading))


def _hashrate(summary: Row, boards: tuple[Board, ...]) -> float | None:
    """The sum of the boards; API v1 has no rates of boards, then the mean that it does have."""
    found = [board.hashrate_ths for board in boards if board.hashrate_ths is not None]
    if found:
        return rate(sum(found), 1)
    if state_word(summary) in {"mining", None}:
        return rate(section(summary, "Session").get("Average MHs"), MHS)
    return None


def _nominal(summary: Row, boards: tuple[Board, ...]) -> float | None:
    """The tuner's target; without one, the theoretical rate of the boards that hash."""
    _, figures = running_tuner(summary)
    if figures.get("Unit") == RATE_UNIT:
        return positive(figures.get("Target"))
    found = [board.hashrate_nominal_ths for board in boards if board.hashrate_nominal_ths]
    return rate(sum(found), 1) if found else None


def _mode(summary: Row) -> str | None:
    name, _ = running_tuner(summary)
    return name or common(section(summary, "PresetInfo").get("Preset"))


def _power_limit(summary: Row) -> float | None:
    """The power that is aimed at; a tuner's target in watts is unverified."""
    _, figures = running_tuner(summary)
    if figures.get("Unit") == "W":
        return positive(figures.get("Target"))
    return positive(section(summary, "PresetInfo").get("Target Power"))


def _power(summary: Row) -> tuple[float | None, float | None, PowerSource | None]:
    """Watts in, watts out, and where they come from.

    The recorded machine says 2167 W of input beside 0 V and 0 A: that is no measurement of the
    supply, but the firmware's own figure. What goes into the boards comes out of the supply.
    """
    supply = section(summary, "Power Supply Stats")
    power_w = positive(supply.get("Input Power"))
    output_w = positive(supply.get("Output Power"))
    if output_w is None:
        rows = listed(summary.get("HBs"), BOARDS_LIMIT)
        output_w = positive(sum(watts(row.get("Input Power")) or 0.0 for row in rows))
    if power_w is None:
        return None, output_w, None
    measured = positive(supply.get("Input Voltage")) and positive(supply.get("Input Current"))
    return power_w, output_w, PowerSource.METERED if measured else PowerSource.REPORTED


def _fans(summary: Row) -> tuple[Fan, ...]:
    """Places without a fan say null. One duty is set for all."""
    speeds = section(summary, "Fans Rpm")
    duty = number(section(summary, "Fans").get("Fans Speed"))
    return tuple(
        Fan(at, rpm, duty) for at, key in _FANS if (rpm := integer(speeds.get(key))) is not None
    )


def _pools(summary: Row) -> tuple[Pool, ...]:
    """The configured pools; `Stratum` says which is used. Shares are counted over all of them."""
    stratum, session = section(summary, "Stratum"), section(summary, "Session")
    rows = listed(summary.get("StratumConfigs"), POOLS_LIMIT)
    if not rows:  # API v1 names only the pool that it uses
        rows = [{"pool": stratum.get("Current Pool"), "login": stratum.get("Current User")}]
    current = _current(stratum, rows)
    alone = sum(1 for row in rows if row.get("pool")) == 1
    return tuple(
        Pool(
            url=common(row.get("pool")),
            user=text((stratum.get("Current User") if at == current else None) or row.get("login")),
            status=_pool_status(stratum) if at == current else None,
            active=None if current is None else at == current,
            accepted=integer(session.get("Accepted")) if alone else None,
            rejected=integer(session.get("Rejected")) if alone else None,
        )
        for at, row in enumerate(rows)
        if text(row.get("pool"))
    )


def _current(stratum: Row, rows: list[dict[str, Any]]) -> int | None:
    """The place of the pool in use: by `Config Id`, before v3 by its address."""
    at = integer(stratum.get("Config Id"))
    if at is not None and 0 <= at < len(rows):
        return at
    host = text(stratum.get("Current Pool"))
    if not host:
        return None
    return next((at for at, row in enumerate(rows) if host in (text(row.get("pool")) or "")), None)


def _pool_status(stratum: Row) -> str | None:
    connected = truth(stratum.get("IsPoolConnected"))
    return None if connected is None else "Alive" if connected else "Dead"


def _state(summary: Row, hashrate_ths: float | None, pools: tuple[Pool, ...]) -> State:
    word = state_word(summary)
    if word in _IDLE:
        return _idle_state(summary, pools)
    if word == "mining" and not hashrate_ths and _is_cut_off(pools):
        return State.IDLE
    if word is None or (word not in _STATES and hashrate_ths):
        return parts.mining_state(hashrate_ths, uptime_of(summary), ())
    return _STATES.get(word, State.UNKNOWN)


def _idle_state(summary: Row, pools: tuple[Pool, ...]) -> State:
    """Idling has three causes: a command to stop, an error, no connection to a pool."""
    status = section(summary, "Status")
    if "stop" in (text(status.get("Last Command")) or "").lower():
        return State.SLEEPING
    if _words(status.get("Last Error")):
        return State.FAULT
    return State.IDLE if _is_cut_off(pools) else State.SLEEPING


def _is_cut_off(pools: tuple[Pool, ...]) -> bool:
    return any(pool.status == "Dead" for pool in pools)


def _faults(summary: Row, boards: tuple[Board, ...], state: State) -> tuple[Fault, ...]:
    said = (
        Fault(None, f"{name.lower()}: {words}"[:256])
        for holder, name in (
            (section(summary, "Status"), "Last Error"),
            (summary, "Last License Error"),
        )
        if (words := _words(holder.get(name)))
    )
    statuses = statuses_of(summary)
    dark = (
        Fault(None, problem)
        for at, status in sorted(statuses.items())
        if (problem := _board_problem(at, status, summary))
    )
    silent = (
        Fault(None, f"board {board.index}: {board.chips} of {board.chips_expected} chips hash")
        for board in boards
        if state is State.MINING and board.chips and board.chips < (board.chips_expected or 0)
    )
    return (*said, *dark, *silent)[:FAULTS_LIMIT]


def _board_problem(index: int, status: Row, summary: Row) -> str | None:
    if truth(status.get("Detected")) is False:
        return f"board {index} is not detected"
    if truth(status.get("Enabled")) is not False:
        return None
    # The firmware does not say who disabled it.
    reason = truth(summary.get("Disable Board On Failure"))
    return f"board {index} is disabled" + (": by hand, or after a failure" if reason else "")


def _words(value: Any) -> str | None:
    """An error as words; newer versions send objects such as `{"BoardFailure": "..."}`."""
    if isinstance(value, dict):
        pairs = ((key, text(value[key])) for key in list(value)[:4])
        return text("; ".join(f"{key}: {said}" if said else key for key, said in pairs))
    return text(value)


def _fingerprint(summary: Row, reading: MinerReading) -> Fingerprint:
    return Fingerprint(
        traits=words_of(summary),
        uptime_s=reading.uptime_s,
        counters=() if reading.shares_accepted is None else (float(reading.shares_accepted),),
    )
