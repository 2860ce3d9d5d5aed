"""Classic cgminer and its descendants (bmminer, bfgminer, sgminer): the generic dialect.

What any firmware with `summary`, `devs`, `pools` and `stats` gives is read here, so that an
unknown machine still shows something. Source: cgminer's API-README.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from drivers.api import Context, Endpoint
from drivers.asic import parts
from drivers.asic.fields import (
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
)
from drivers.errors import BadReply, DriverError, Refused, WrongProtocol
from drivers.model import Board, Fan, Fingerprint, Identity, Kind, MinerReading, Sample
from drivers.wire.cgminer import CgminerRpc, Report, rows

COMMANDS = ("summary", "devs", "pools", "stats")
PROGRAMS = ("CGMiner", "BMMiner", "BFGMiner", "SGMiner", "Miner")
"""Keys of VERSION that name the program and carry its version."""
_UNITS = ("ASC", "PGA", "GPU")
_TEMPERATURES = ("Temperature", "Tenperature")  # the second is how bmminer spells it
_FANS = tuple((at, f"fan{at}") for at in range(1, 17))


class Cgminer:
    """A miner that is spoken to in the classic dialect alone."""

    __slots__ = ("_clock", "_endpoint", "_id", "_rpc")

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._clock = context.clock
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._id = endpoint.provisional_id

    async def identify(self) -> Identity:
        """By `version`; most descendants carry no MAC there, so the id stays provisional."""
        version = await ask_version(self._rpc)
        identity = parse_identity(version, self._endpoint.provisional_id)
        self._id = identity.id
        return identity

    async def read(self) -> Sample:
        """One joined question where the firmware allows it."""
        report = await self._rpc.ask_all(COMMANDS)
        return parse(report, self._id, self._clock.now())

    async def close(self) -> None:
        """Nothing is held."""


async def ask_version(rpc: CgminerRpc) -> dict[str, Any]:
    """`version`, or where that is not known (VNish 1.2.7) the head of `stats` in its form."""
    try:
        return await rpc.ask("version")
    except WrongProtocol:
        raise
    except (BadReply, Refused):
        return {"VERSION": rows(await rpc.ask("stats"), "STATS")[:1]}


def parse_identity(version: dict[str, Any], provisional_id: str) -> Identity:
    """Read an answer to `version`."""
    row = (rows(version, "VERSION") or [{}])[0]
    program = next((name for name in PROGRAMS if name in row), None)
    model = common(first(row, ("Type", "PROD", "MODEL")))
    address = mac(row.get("MAC"))
    return Identity(
        id=miner_id(address, None, provisional_id),
        kind=Kind.ASIC,
        model=model,
        firmware=program.lower() if program and program != "Miner" else None,
        firmware_version=common(row[program]) if program else None,
        mac=address,
    )


def parse(report: Report, device_id: str, taken_at: float) -> Sample:
    """Read what the four commands brought, whichever of them did."""
    summary = _row(report, "summary", "SUMMARY")
    devices = rows(report.replies.get("devs", {}), "DEVS")
    stats = _statistics(report)
    pools = parts.pools(rows(report.replies.get("pools", {}), "POOLS"))
    boards = tuple(_board(at, row) for at, row in enumerate(devices))
    hashrate_ths = hashrate_now_ths(summary)
    uptime_s = number(first(summary, ("Elapsed",)) or stats.get("Elapsed"))
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=parts.mining_state(hashrate_ths, uptime_s, pools),
        hashrate_ths=hashrate_ths,
        hashrate_avg_ths=hashrate_average_ths(summary),
        uptime_s=uptime_s,
        chip_temp_max_c=highest(board.chip_temp_c for board in boards),
        shares_accepted=integer(summary.get("Accepted")),
        shares_rejected=integer(summary.get("Rejected")),
        shares_stale=integer(summary.get("Stale")),
        hw_errors=integer(summary.get("Hardware Errors")),
        boards=boards,
        fans=_fans(stats, devices),
        pools=pools,
        missing=missing(report),
    )
    return Sample(reading, _fingerprint(reading, devices))


def missing(report: Report) -> tuple[str, ...]:
    """The commands that brought nothing, and those whose answer was cut off."""
    if not report.errors and not report.cut:
        return ()
    failed = (f"{command}: {_reason(error)}" for command, error in report.errors.items())
    return (*failed, *(f"{command}: cut off" for command in report.cut))


def _reason(error: DriverError) -> str:
    return f"{type(error).__name__} {error}"[:120]


def _row(report: Report, command: str, section: str) -> dict[str, Any]:
    return next(iter(rows(report.replies.get(command, {}), section)), {})


def _statistics(report: Report) -> dict[str, Any]:
    """All objects of STATS as one; the first occurrence of a key counts (pools follow boards)."""
    found: dict[str, Any] = {}
    for row in rows(report.replies.get("stats", {}), "STATS"):
        for key, value in row.items():
            found.setdefault(key, value)
    return found


def _board(at: int, row: Row) -> Board:
    number_of_unit = first(row, _UNITS)
    index = integer(number_of_unit)
    return Board(
        index=at if index is None else index,
        hashrate_ths=hashrate_now_ths(row),
        # The dialect has one temperature for each device and does not say of what.
        chip_temp_c=positive(first(row, _TEMPERATURES)),
        frequency_mhz=positive(first(row, ("Frequency", "GPU Clock"))),
        hw_errors=integer(row.get("Hardware Errors")),
    )


def _fans(stats: Row, devices: list[dict[str, Any]]) -> tuple[Fan, ...]:
    from_stats = tuple(Fan(at, rpm) for at, key in _FANS if (rpm := integer(stats.get(key))))
    if from_stats:
        return from_stats
    return tuple(
        Fan(at, rpm)
        for at, row in enumerate(devices)
        if (rpm := integer(row.get("Fan Speed"))) is not None  # sgminer: one a card, in rpm
    )


def _fingerprint(reading: MinerReading, devices: list[dict[str, Any]]) -> Fingerprint:
    names = (f"{row.get('Name')}{row.get('ID')}" for row in devices)
    users = (pool.user or "" for pool in reading.pools[:1])
    return Fingerprint(
        traits=(*names, *users),
        uptime_s=reading.uptime_s,
        counters=() if reading.shares_accepted is None else (float(reading.shares_accepted),),
    )
