"""What VNish (AnthillOS) shows of itself on its page `/api/v1/summary`. Pure.

Sources: VNish's OpenAPI description (schema AntmMinerStats and what it refers to) and a recording
of 1.2.7 on an S21 Pro.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from drivers.asic import parts
from drivers.asic.antminer.answers import model_of
from drivers.asic.antminer.boards import rate, temperature, unit_ths, volts
from drivers.asic.fields import (
    Row,
    common,
    first,
    highest,
    integer,
    number,
    positive,
    text,
    truth,
)
from drivers.asic.models import Model
from drivers.asic.vnish.settings import NO_SETTINGS, Settings, as_object, bare_model
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
from drivers.wire.cgminer import rows

BOARDS_LIMIT, FANS_LIMIT, POOLS_LIMIT, FAULTS_LIMIT = 64, 32, 16, 64
_STATES = {
    "mining": State.MINING,
    "auto-tuning": State.MINING,
    "auto_tuning": State.MINING,
    "tuning": State.MINING,
    "initializing": State.STARTING,
    "starting": State.STARTING,
    "restarting": State.STARTING,
    "shutting-down": State.SLEEPING,
    "stopping": State.SLEEPING,
    "stopped": State.SLEEPING,
    "paused": State.SLEEPING,
    "failure": State.FAULT,
    "failed": State.FAULT,
    "idle": State.IDLE,
}
"""`MinerState` of the API description; `paused` and the words with underscores are unverified."""
_TUNING = frozenset({"auto-tuning", "auto_tuning", "tuning"})
BROKEN_CHAINS = frozenset({"failure", "disconnected"})
_WORKING_CHAINS = frozenset({"mining", *BROKEN_CHAINS})
_UP = frozenset({State.MINING, State.FAULT, State.IDLE})
_POOLS = {"active": "Alive", "working": "Alive", "offline": "Dead"}


def words_of(page: Any) -> tuple[str, ...]:
    """What a machine calls itself in `summary`; nothing while its mining program is not up."""
    miner = as_object(as_object(page).get("miner"))
    kind = text(miner.get("miner_type"))
    mine = [row for row in rows(miner, "pools")[:4] if not _is_fee(row)]
    return (kind, *(str(row.get("user"))[:64] for row in mine)) if kind else ()


def uptime_of(page: Any) -> float | None:
    """How long it has been mining; of other states the firmware does not count the time."""
    status = as_object(as_object(as_object(page).get("miner")).get("miner_status"))
    state = text(status.get("miner_state"))
    working = state is not None and _STATES.get(state.lower()) is State.MINING
    return number(status.get("miner_state_time")) if working else None


def parse_summary(
    page: Any,
    device_id: str,
    taken_at: float,
    settings: Settings = NO_SETTINGS,
    errors: tuple[str, ...] = (),
) -> Sample:
    """Read the page `summary`, with what is known of the settings.

    `hr_*` are in the unit that `info` names (GH/s, or MH/s on scrypt); `average_hashrate` and
    `instant_hashrate` are the same by a thousandth and deprecated, as is `power_usage`.
    """
    miner = as_object(as_object(page).get("miner"))
    status = as_object(miner.get("miner_status"))
    name = bare_model(text(miner.get("miner_type")))
    model = model_of(name)
    scale = settings.unit_ths or unit_ths({}, name, model)
    chains = rows(miner, "chains")[:BOARDS_LIMIT]
    boards = tuple(_board(at, row, model, scale, settings) for at, row in enumerate(chains, 1))
    pools = _pools(rows(miner, "pools"))
    hashrate_ths = rate(miner.get("hr_realtime"), scale)
    state = state_of(text(status.get("miner_state")), hashrate_ths, pools)
    watts = watts_of(miner.get("power_consumption"), hashrate_ths)
    uptime_s = uptime_of(page)
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=state,
        uptime_s=uptime_s,
        mode=_mode(settings, status),
        preset=settings.chosen or settings.preset,
        throttle_percent=_throttle(status),
        temp_target_c=settings.temp_target_c,
        hashrate_ths=hashrate_ths,
        hashrate_avg_ths=rate(miner.get("hr_average"), scale),
        hashrate_nominal_ths=rate(miner.get("hr_nominal"), scale),
        power_w=watts,
        power_source=_source(as_object(miner.get("psu"))) if watts is not None else None,
        power_limit_w=settings.limit_w,
        power_limit_min_w=settings.limit_min_w,
        power_limit_max_w=settings.limit_max_w,
        efficiency_j_th=positive(miner.get("power_efficiency")) if scale == 1e-3 else None,
        inlet_temp_c=highest(board.inlet_temp_c for board in boards),
        outlet_temp_c=highest(board.outlet_temp_c for board in boards),
        chip_temp_max_c=temperature(as_object(miner.get("chip_temp")).get("max"))
        or highest(board.chip_temp_c for board in boards),
        shares_accepted=parts.total(pools, "accepted"),
        shares_rejected=parts.total(pools, "rejected"),
        shares_stale=parts.total(pools, "stale"),
        hw_errors=integer(miner.get("hw_errors")),
        locating=settings.locating,
        boards=boards,
        fans=_fans(as_object(miner.get("cooling"))),
        pools=pools,
        faults=_faults(miner, status, boards, state),
        missing=errors,
    )
    return Sample(reading, _fingerprint(page, reading))


def _board(at: int, row: Row, model: Model | None, scale: float, settings: Settings) -> Board:
    index = integer(row.get("id"))
    index = at if index is None else index
    return Board(
        index=index,
        serial=settings.serials.get(index),
        hashrate_ths=rate(first(row, ("hashrate_rt", "hr_realtime")), scale),
        hashrate_nominal_ths=rate(first(row, ("hashrate_ideal", "hr_nominal")), scale) or None,
        chips=_chips(row),
        chips_expected=model.chips if model else None,
        board_temp_c=temperature(as_object(row.get("pcb_temp")).get("max")),
        chip_temp_c=temperature(as_object(row.get("chip_temp")).get("max")),
        inlet_temp_c=temperature(row.get("inlet_water_temp")),
        outlet_temp_c=temperature(row.get("outlet_water_temp")),
        voltage_v=volts(row.get("voltage")),
        frequency_mhz=positive(first(row, ("frequency", "freq"))),
        hw_errors=integer(row.get("hw_errors")),
    )


def _chips(row: Row) -> int | None:
    """All chips that have a grade; a chain that is not up yet shows none without lacking them."""
    grades = row.get("chip_statuses")
    if not isinstance(grades, dict):
        return None
    found = [count for grade in grades.values() if (count := integer(grade)) is not None]
    state = as_object(row.get("status")).get("state")
    if not found or (not any(found) and state not in _WORKING_CHAINS):
        return None
    return sum(found[:16])


def _pools(found: list[dict[str, Any]]) -> tuple[Pool, ...]:
    """The owner's pools; `DevFee` and `Refund` are the firmware's own and their shares too."""
    mine = [row for row in found if row.get("url") and not _is_fee(row)]
    return tuple(_pool(row) for row in mine[:POOLS_LIMIT])


def _is_fee(row: Row) -> bool:
    return row.get("pool_type") in ("DevFee", "Refund") or row.get("url") == "DevFee"


def _pool(row: Row) -> Pool:
    status = text(row.get("status"))
    return Pool(
        url=common(row.get("url")),
        user=text(row.get("user")),
        status=common(_POOLS.get(status, status)) if status else None,
        active=status == "active" if status else None,
        accepted=integer(row.get("accepted")),
        rejected=integer(row.get("rejected")),
        stale=integer(row.get("stale")),
    )


def _fans(cooling: Row) -> tuple[Fan, ...]:
    """They share one duty; numbered from 1, as port 4028 calls them, where the page says 0."""
    duty = number(cooling.get("fan_duty"))
    found = enumerate(rows(dict(cooling), "fans")[:FANS_LIMIT])
    ids = ((at, integer(row.get("id")), integer(row.get("rpm"))) for at, row in found)
    return tuple(Fan(1 + (at if at_id is None else at_id), rpm, duty) for at, at_id, rpm in ids)


def state_of(word: str | None, hashrate_ths: float | None, pools: tuple[Pool, ...]) -> State:
    """By the firmware's own word; a tuner that has no rate yet is starting."""
    if word is None:
        return parts.mining_state(hashrate_ths, None, pools)
    state = _STATES.get(word.lower(), State.UNKNOWN)
    if state is not State.MINING or hashrate_ths:
        return state
    if pools and all(pool.status == "Dead" for pool in pools):
        return State.IDLE
    return State.STARTING if word.lower() in _TUNING else state


def _mode(settings: Settings, status: Row) -> str | None:
    percent = _throttle(status)
    if percent is None or percent == 100:
        return settings.preset
    return f"{settings.preset or 'preset'}, throttled to {percent:g} %"


def _throttle(status: Row) -> float | None:
    """Since 1.3; 100 is full power."""
    percent = number(status.get("throttled"))
    return percent if percent is not None and 0 < percent <= 100 else None


def watts_of(value: Any, hashrate_ths: float | None) -> float | None:
    """A hashing machine does not draw nothing: an S19 XP whose supply tells nothing says 0."""
    found = number(value)
    if found is None or found < 0 or (found == 0 and hashrate_ths):
        return None
    return found


def _source(psu: Row) -> PowerSource:
    """With metering, all boards show a third of the total: it was measured, where is not said."""
    modelled = truth(psu.get("psu_power_metering")) is False
    return PowerSource.MODELLED if modelled else PowerSource.REPORTED


def _faults(miner: Row, status: Row, boards: tuple[Board, ...], state: State) -> tuple[Fault, ...]:
    found: list[Fault] = []
    code, words = text(status.get("failure_code")), text(status.get("description"))
    if state is State.FAULT or words or (code and code != "0"):
        found.append(Fault(code if code != "0" else None, words or "the miner reports a failure"))
    for at, row in enumerate(rows(dict(miner), "chains")[:BOARDS_LIMIT]):
        found += _chain_faults(boards[at], row, up=state in _UP)
    for row in rows(as_object(miner.get("cooling")), "fans")[:FANS_LIMIT]:
        if row.get("status") == "lost":
            found.append(Fault(None, f"fan {1 + (integer(row.get('id')) or 0)} is lost"))
    return tuple(found[:FAULTS_LIMIT])


def _chain_faults(board: Board, row: Row, *, up: bool) -> list[Fault]:
    found: list[Fault] = []
    status = as_object(row.get("status"))
    state = text(status.get("state"))
    words = text(first(status, ("description", "failure_message")))
    if state in BROKEN_CHAINS or words:
        found.append(Fault(None, f"board {board.index}: {words or state}"))
    lacking = board.chips is not None and board.chips < (board.chips_expected or 0)
    if up and lacking:
        message = f"board {board.index}: {board.chips} of {board.chips_expected} chips answer"
        found.append(Fault(None, message))
    red = integer(as_object(row.get("chip_statuses")).get("red"))
    if red:
        found.append(Fault(None, f"board {board.index}: {red} chips hash badly (red)"))
    return found


def _fingerprint(page: Any, reading: MinerReading) -> Fingerprint:
    serials = (board.serial for board in reading.boards if board.serial)
    accepted = reading.shares_accepted
    return Fingerprint(
        traits=(*words_of(page), *serials),
        uptime_s=reading.uptime_s,
        counters=() if accepted is None else (float(accepted),),
    )
