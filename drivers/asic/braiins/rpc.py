"""BOSminer's answers on port 4028. Pure.

Source: the vendor's documentation of the BOSminer API, and recordings of S9, S17, S19 and S21.
Rates are in MH/s. The rows of a board carry its connector as `ID`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from drivers.asic import parts
from drivers.asic.braiins import parts as braiins_parts
from drivers.asic.cgminer import missing
from drivers.asic.fields import (
    Row,
    common,
    first,
    hashrate_average_ths,
    hashrate_now_ths,
    highest,
    integer,
    number,
    positive,
    scaled,
    text,
)
from drivers.asic.page_parts import (
    BOARDS_LIMIT,
    FANS_LIMIT,
    FAULTS_LIMIT,
    degrees,
    listed,
    watts,
)
from drivers.model import (
    Board,
    Fan,
    Fault,
    Kind,
    MinerReading,
    Pool,
    PowerSource,
    Sample,
    State,
)
from drivers.wire.cgminer import Report, rows

COMMANDS = (
    "version",
    "summary",
    "devs",
    "devdetails",
    "temps",
    "fans",
    "tunerstatus",
    "pools",
)
OWN_COMMANDS = ("devdetails", "temps", "fans", "tunerstatus")
"""What no other mining program answers; the first Braiins OS (2018, 2019) ran bmminer."""
PROGRAMS = ("BOSer", "BOSminer+", "BOSminer", "bOSminer")
"""Keys of VERSION with the program's build; the firmware's own version is not among them."""
_BOOTING = "not ready"
_PAUSED = "unavailable"
"""`devdetails` says so of a paused machine on some builds (public clients rely on it)."""
_WELL = ("stable", "testing", "tuning", "paus", "resum", "initial", "start", "ramp", "load")
_WELL_EXACT = frozenset({"", "disabled", "idle", "running", "ok", "none", "continuous", "preheat"})


class Extra(NamedTuple):
    """What port 4028 does not tell, from elsewhere; None and empty where nothing else did."""

    model: str | None = None
    locating: bool | None = None
    serials: tuple[tuple[int, str], ...] = ()
    events: tuple[Fault, ...] = ()
    missing: tuple[str, ...] = ()


NOTHING = Extra()


def row_of(report: Report, command: str) -> Row:
    """The first row of a command's own section."""
    reply = report.replies.get(command)
    return next(iter(rows(reply, command.upper())), {}) if isinstance(reply, dict) else {}


def parse(report: Report, device_id: str, taken_at: float, extra: Extra = NOTHING) -> Sample:
    """Read what the commands brought, whichever of them did."""
    summary, tuner = row_of(report, "summary"), row_of(report, "tunerstatus")
    devices = _rows(report, "devs")
    chains = listed(tuner.get("TunerChainStatus"), BOARDS_LIMIT)
    model = model_of(report) or extra.model
    boards = _boards(report, devices, model, dict(extra.serials))
    pools = parts.pools(_rows(report, "pools"))
    hashrate_ths, uptime_s = hashrate_now_ths(summary), number(summary.get("Elapsed"))
    power_w = watts(tuner.get("ApproximateMinerPowerConsumption"))
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=_state(report, hashrate_ths, uptime_s, pools, chains),
        uptime_s=uptime_s,
        hashrate_ths=hashrate_ths,
        hashrate_avg_ths=hashrate_average_ths(summary),
        hashrate_nominal_ths=_nominal(boards),
        power_w=power_w,
        # The tuner computes it (documented: approximate); no supply is measured.
        power_source=None if power_w is None else PowerSource.MODELLED,
        power_limit_w=positive(tuner.get("PowerLimit")),
        mode=braiins_parts.mode_of(tuner.get("TunerMode")),
        chip_temp_max_c=highest(board.chip_temp_c for board in boards),
        shares_accepted=integer(summary.get("Accepted")),
        shares_rejected=integer(summary.get("Rejected")),
        shares_stale=integer(summary.get("Stale")),
        hw_errors=integer(summary.get("Hardware Errors")),
        locating=extra.locating,
        boards=boards,
        fans=braiins_parts.placed_fans(_fans(report), model, boards),
        pools=pools,
        faults=(*_faults(devices, chains), *extra.events)[:FAULTS_LIMIT],
        missing=(*missing(report), *extra.missing),
    )
    # No model and no serials: `devdetails` is refused while paused, GraphQL may fail any time.
    words = (program_of(report), *(pool.user for pool in pools[:1]))
    return Sample(reading, braiins_parts.fingerprint(reading, words))


def model_of(report: Report) -> str | None:
    """The model that `devdetails` gives, as its maker writes it."""
    return braiins_parts.make_and_model(text(row_of(report, "devdetails").get("Model")))[1]


def program_of(report: Report) -> str | None:
    """The build of the mining program, as `boser-openwrt 0.1.0-11012d53`."""
    row = row_of(report, "version")
    return common(first(row, (*PROGRAMS, "BMMiner", "CGMiner")))


def is_booting(report: Report) -> bool:
    """True where the program answers, but only that it is not ready."""
    return any(_BOOTING in str(error).lower() for error in report.errors.values())


def is_poor(report: Report) -> bool:
    """True where port 4028 has shown neither rates nor boards, and is not about to."""
    return not ({"summary", "devs", *OWN_COMMANDS} & report.replies.keys()) and not is_booting(
        report
    )


def _rows(report: Report, command: str) -> list[dict[str, Any]]:
    reply = report.replies.get(command)
    return rows(reply, command.upper())[:BOARDS_LIMIT] if isinstance(reply, dict) else []


# --- boards and fans ---------------------------------------------------------------------------


def _boards(
    report: Report, devices: list[dict[str, Any]], model: str | None, serials: dict[int, str]
) -> tuple[Board, ...]:
    """One board for each connector that any of the three commands lists."""
    rated = _by_index(devices)
    details = _by_index(_rows(report, "devdetails"))
    temps = _by_index(_rows(report, "temps"))
    chips = braiins_parts.chips_expected(model)
    return tuple(
        _board(
            index,
            rated.get(index, {}),
            details.get(index, {}),
            temps.get(index, {}),
            chips,
            serials.get(index),
        )
        for index in sorted({*rated, *details, *temps})[:BOARDS_LIMIT]
    )


def _by_index(found: list[dict[str, Any]]) -> dict[int, Row]:
    return {braiins_parts.board_index(row.get("ID"), at): row for at, row in enumerate(found)}


def _board(
    index: int, rated: Row, details: Row, temps: Row, chips: int | None, serial: str | None
) -> Board:
    return Board(
        index=index,
        serial=serial,
        hashrate_ths=hashrate_now_ths(rated),
        hashrate_nominal_ths=scaled(positive(rated.get("Nominal MHS")), 1e-6),
        chips=integer(details.get("Chips")),
        chips_expected=chips,
        board_temp_c=degrees(temps.get("Board")),
        # `Temperature` in `devs` is 0.0 on every build that was seen.
        chip_temp_c=degrees(temps.get("Chip")),
        voltage_v=positive(details.get("Voltage")),
        frequency_mhz=braiins_parts.megahertz(details.get("Frequency")),
        hw_errors=integer(rated.get("Hardware Errors")),
    )


def _nominal(boards: tuple[Board, ...]) -> float | None:
    known = [board.hashrate_nominal_ths for board in boards]
    rates = [rate for rate in known if rate is not None]
    return scaled(sum(rates), 1.0) if rates else None


def _fans(report: Report) -> list[Fan]:
    found = []
    for at, row in enumerate(_rows(report, "fans")[:FANS_LIMIT]):
        index, duty = integer(row.get("ID")), number(row.get("Speed"))
        found.append(
            Fan(
                at if index is None else index,
                integer(row.get("RPM")),
                duty if duty is not None and 0 <= duty <= 100 else None,
            )
        )
    return found


# --- states and faults -------------------------------------------------------------------------


def _status(chain: Row) -> str:
    return (text(chain.get("Status")) or "").lower()


def _state(
    report: Report,
    hashrate_ths: float | None,
    uptime_s: float | None,
    pools: tuple[Pool, ...],
    chains: list[dict[str, Any]],
) -> State:
    paused = bool(chains) and all("paus" in _status(chain) for chain in chains)
    if not hashrate_ths and (paused or _is_unavailable(report)):
        return State.SLEEPING
    if not hashrate_ths and is_booting(report):
        return State.STARTING
    if hashrate_ths == 0 and chains and all(_is_bad(chain) for chain in chains):
        return State.FAULT
    return braiins_parts.rated_state(hashrate_ths, uptime_s, pools)


def _is_unavailable(report: Report) -> bool:
    error = report.errors.get("devdetails")
    reply = report.replies.get("devdetails")
    status = next(iter(rows(reply, "STATUS")), {}) if isinstance(reply, dict) else {}
    return _PAUSED in str(error or "").lower() or str(status.get("Msg")).lower() == _PAUSED


def _is_bad(chain: Row) -> bool:
    """True for words such as `Hashchain refused to start: ...`; unknown ones count as bad."""
    status = _status(chain)
    return status not in _WELL_EXACT and not status.startswith(_WELL)


def _faults(devices: list[dict[str, Any]], chains: list[dict[str, Any]]) -> tuple[Fault, ...]:
    """What the tuner says of its chains, and boards that the program has given up."""
    found = []
    for at, chain in enumerate(chains):
        if _is_bad(chain):
            index = braiins_parts.board_index(chain.get("HashchainIndex"), at)
            found.append(Fault(None, f"board {index}: {text(chain.get('Status'))}"[:300]))
    for at, row in enumerate(devices):
        status = text(row.get("Status"))
        if status in ("Dead", "Sick"):
            index = braiins_parts.board_index(row.get("ID"), at)
            found.append(Fault(status, f"board {index} is {status.lower()}"))
    return tuple(found)
