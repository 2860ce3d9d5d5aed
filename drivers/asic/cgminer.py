"""Classic cgminer and its descendants (bmminer, bfgminer, sgminer): the generic dialect.

What any firmware with `summary`, `devs`, `pools` and `stats` gives is read here, so that an
unknown or old machine still shows something. Source: cgminer's API-README and api.c; what the
drivers add of their own is in `devices.py`, what their names tell in `breeds.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from drivers.actions import Latency, Receipt
from drivers.api import Context, Endpoint
from drivers.asic import devices, parts
from drivers.asic.cgminer_identity import ask_version, parse_identity, row_of
from drivers.asic.cgminer_orders import NOTHING, ClassicOrders, rights
from drivers.asic.fields import (
    THS_PER,
    Row,
    hashrate_average_ths,
    hashrate_now_ths,
    highest,
    integer,
    number,
    positive,
    scaled,
)
from drivers.capabilities import PoolSetting
from drivers.errors import BadReply, DriverError, Refused
from drivers.model import (
    Board,
    Fingerprint,
    Identity,
    Kind,
    MinerReading,
    Pool,
    Sample,
    State,
)
from drivers.wire.cgminer import CgminerRpc, Report

__all__ = ["Cgminer", "ask_version", "missing", "parse", "parse_identity", "stats_scale"]

COMMANDS = ("summary", "devs", "pools", "stats")
NAMING_COMMANDS = ("devdetails", "stats", "devs", "summary")
"""What tells of a machine whose `version` names no model."""
_WORKING_S = 600.0
"""A device whose last valid work is as fresh as this is mining, whether it gives a rate or not."""


class Cgminer:
    """A miner that is spoken to in the classic dialect alone."""

    __slots__ = ("_context", "_endpoint", "_id", "_latencies", "_rpc")

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._context = context
        self._latencies = NOTHING
        self._rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
        self._id = endpoint.provisional_id

    async def identify(self) -> Identity:
        """By `version`, and by what the devices are called where that names no model.

        Most descendants carry no MAC, so the id stays provisional. Raises only where
        nothing answers.
        """
        problem: DriverError | None = None
        version: dict[str, Any] = {}
        try:
            version = await ask_version(self._rpc)
        except (BadReply, Refused) as error:
            problem = error
        identity = parse_identity(version, self._endpoint.provisional_id)
        if identity.model is None or identity.make is None:
            identity = await self._ask_devices(version, identity, problem)
        self._id = identity.id
        self._latencies = await rights(self._rpc)
        return identity

    async def _ask_devices(
        self, version: dict[str, Any], identity: Identity, problem: DriverError | None
    ) -> Identity:
        try:
            report = await self._rpc.ask_all(NAMING_COMMANDS)
        except DriverError:
            if problem is not None:
                raise problem from None
            return identity
        return parse_identity(version, self._endpoint.provisional_id, report)

    async def read(self) -> Sample:
        """One joined question where the firmware allows it."""
        report = await self._rpc.ask_all(COMMANDS)
        return parse(report, self._id, self._context.clock.now())

    async def close(self) -> None:
        """Nothing is held."""

    # --- orders ----------------------------------------------------------------------------

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """What the API lets us do."""
        return self._latencies

    async def recover(self) -> Receipt | None:
        """Finish or undo an interrupted change of pools."""
        return await self._orders().recover()

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Replace the pools, until the program starts anew."""
        return await self._orders().set_pools(pools)

    async def restart_mining(self) -> Receipt:
        """Start the program anew, with the pools of its own configuration."""
        return await self._orders().restart_mining()

    def _orders(self) -> ClassicOrders:
        return ClassicOrders(self._rpc, self._context)


def parse(
    report: Report,
    device_id: str,
    taken_at: float,
    *,
    board: Callable[[int, Row], Board] = devices.board,
) -> Sample:
    """Read what the four commands brought, whichever of them did.

    `board` makes a board of a device's place and row, where a dialect knows more of its keys.
    """
    summary = row_of(report, "summary", "SUMMARY")
    rows_of_devices = devices.numbered(report.replies.get("devs", {}), "DEVS")
    stats = devices.numbered(report.replies.get("stats", {}), "STATS")
    units = devices.units(rows_of_devices, stats)
    body = _body(stats)
    pools = parts.pools(devices.numbered(report.replies.get("pools", {}), "POOLS"))
    scale = stats_scale(body)
    boards = devices.chains(body, scale)
    if len(boards) < len(units) or not boards:  # chains of one device say more than that device
        boards = tuple(board(at, row) for at, row in enumerate(units))
    hashrate_ths = _rate_now(summary, body, boards, scale)
    uptime_s = _uptime_s(summary, stats, units)
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=_state(report, hashrate_ths, uptime_s, pools, units),
        hashrate_ths=hashrate_ths,
        hashrate_avg_ths=_rate_average(summary, body, scale),
        uptime_s=uptime_s,
        chip_temp_max_c=highest(board.chip_temp_c for board in boards),
        shares_accepted=_counter(summary, "Accepted", pools, "accepted"),
        shares_rejected=_counter(summary, "Rejected", pools, "rejected"),
        shares_stale=_counter(summary, "Stale", pools, "stale"),
        hw_errors=integer(summary.get("Hardware Errors")),
        boards=boards,
        fans=devices.fans(rows_of_devices, stats),
        pools=pools,
        faults=devices.faults(units),
        missing=missing(report),
    )
    return Sample(reading, _fingerprint(reading, units))


def missing(report: Report) -> tuple[str, ...]:
    """The commands that brought nothing, and those whose answer was cut off."""
    if not report.errors and not report.cut:
        return ()
    failed = (f"{command}: {_reason(error)}" for command, error in report.errors.items())
    return (*failed, *(f"{command}: cut off" for command in report.cut))


def _reason(error: DriverError) -> str:
    return f"{type(error).__name__} {error}"[:120]


_SCALES = {"L3": 1e-3, "D1": 1e-3, "X3": 1e-6}
"""By how much less than its name `GHS` says, by the ID that Bitmain gave its machine in `stats`:
the L3 and the D3 show MH/s so, the X3 kH/s (their rates in recordings beside their data sheets)."""


def stats_scale(body: Row) -> float:
    """TH/s for each unit of what `stats` and `summary` call GHS."""
    name = str(body.get("ID", "")).rstrip("0123456789")
    full = str(body.get("ID", ""))[:2]
    return THS_PER["GHS"] * (_SCALES.get(full, 1.0) if len(name) <= 2 else 1.0)


def _body(stats: list[dict[str, Any]]) -> Row:
    """The row of `stats` that speaks for a whole machine, as Bitmain's does; empty without one."""
    return next((row for row in stats if "chain_acn1" in row or "GHS 5s" in row), {})


def _rate_now(summary: Row, body: Row, boards: tuple[Board, ...], scale: float) -> float | None:
    for row in (summary, body):
        rate = hashrate_now_ths(row)
        if rate is not None:
            return rate if not _in_ghs(row) else scaled(rate, scale / THS_PER["GHS"])
    rates = [board.hashrate_ths for board in boards]
    known = [rate for rate in rates if rate is not None]
    # The totals of the oldest programs have the mean alone; their devices have the short window.
    return scaled(sum(known), 1.0) if known and len(known) == len(rates) else None


def _in_ghs(row: Row) -> bool:
    return "GHS 5s" in row or "GHS av" in row


def _rate_average(summary: Row, body: Row, scale: float) -> float | None:
    for row in (summary, body):
        rate = hashrate_average_ths(row)
        if rate is not None:
            return rate if not _in_ghs(row) else scaled(rate, scale / THS_PER["GHS"])
    total_mh, elapsed_s = positive(summary.get("Total MH")), positive(summary.get("Elapsed"))
    if total_mh is None or elapsed_s is None:
        return None
    return scaled(total_mh / elapsed_s, THS_PER["MHS"])  # api.c: this is what `MHS av` is


def _uptime_s(summary: Row, stats: list[dict[str, Any]], units: list[Row]) -> float | None:
    for row in (summary, *stats[:64]):
        found = number(row.get("Elapsed"))
        if found is not None:
            return found
    return highest(number(row.get("Device Elapsed")) for row in units)


def _counter(summary: Row, key: str, pools: tuple[Pool, ...], name: str) -> int | None:
    found = integer(summary.get(key))
    return parts.total(pools, name) if found is None else found


def _state(
    report: Report,
    hashrate_ths: float | None,
    uptime_s: float | None,
    pools: tuple[Pool, ...],
    units: list[Row],
) -> State:
    if not hashrate_ths and devices.all_disabled(units):
        return State.SLEEPING
    if hashrate_ths is None and _works(report, units):
        return State.MINING
    return parts.mining_state(hashrate_ths, uptime_s, pools)


def _works(report: Report, units: list[Row]) -> bool:
    """True where a device without a rate has found valid work just now."""
    when = number(row_of(report, "devs", "STATUS").get("When"))
    works = (number(row.get("Last Valid Work")) for row in units)
    return when is not None and any(0 <= when - at < _WORKING_S for at in works if at)


def _fingerprint(reading: MinerReading, units: list[Row]) -> Fingerprint:
    names = (f"{row.get('Name')}{row.get('ID')}"[:64] for row in units)
    serials = (board.serial for board in reading.boards if board.serial)
    users = (pool.user or "" for pool in reading.pools[:1])
    return Fingerprint(
        traits=(*names, *serials, *users),
        uptime_s=reading.uptime_s,
        counters=() if reading.shares_accepted is None else (float(reading.shares_accepted),),
    )
