"""What VNish answers on port 4028: the stock firmware's `stats` with some keys more. Pure.

Sources: recordings of 1.2.0 on an S19 XP, 1.2.7 on an S21 Pro, 2.0.3 on an S17 and 3.8.6 on an S9.
"""

from __future__ import annotations

import msgspec

from drivers.asic import parts
from drivers.asic.antminer.answers import head_and_body
from drivers.asic.antminer.answers import parse as parse_stats
from drivers.asic.cgminer import missing
from drivers.asic.fields import Row, number, text
from drivers.asic.vnish.answers import BROKEN_CHAINS, FAULTS_LIMIT, state_of, watts_of
from drivers.asic.vnish.settings import NO_SETTINGS, Settings
from drivers.model import Board, Fan, Fault, MinerReading, Pool, PowerSource, Sample, State
from drivers.wire.cgminer import Report


def parse_rpc(
    report: Report,
    device_id: str,
    taken_at: float,
    settings: Settings = NO_SETTINGS,
    errors: tuple[str, ...] = (),
) -> Sample:
    """Read `stats` and `pools`, which are like the stock firmware's with some keys more."""
    sample = parse_stats(report, device_id, taken_at)
    base = sample.reading
    _, body = head_and_body(report)
    if not isinstance(base, MinerReading) or not body:
        return sample
    pools = tuple(pool for pool in base.pools if not _is_fee(pool))
    word = text(body.get("state"))
    state = state_of(word, base.hashrate_ths, pools) if word else base.state
    asleep = state is State.SLEEPING
    watts = watts_of(_consumption(body, base.boards), base.hashrate_ths)
    duty = number(body.get("fan_pwm"))
    reading = msgspec.structs.replace(
        base,
        state=state,
        mode=settings.preset or base.mode,
        power_w=watts,
        # Nothing here says whether the supply measures; firmwares without metering compute.
        power_source=PowerSource.REPORTED if watts is not None else None,
        power_limit_w=settings.limit_w,
        power_limit_min_w=settings.limit_min_w,
        power_limit_max_w=settings.limit_max_w,
        shares_accepted=parts.total(pools, "accepted"),
        shares_rejected=parts.total(pools, "rejected"),
        shares_stale=parts.total(pools, "stale"),
        hw_errors=_errors(base),
        pools=pools,
        fans=tuple(Fan(fan.index, fan.rpm, duty) for fan in base.fans),
        faults=() if asleep else (*base.faults, *_faults(body, base.boards))[:FAULTS_LIMIT],
        missing=(*missing(report), *errors),
    )
    counted = () if reading.shares_accepted is None else (float(reading.shares_accepted),)
    return Sample(reading, msgspec.structs.replace(sample.fingerprint, counters=counted))


def _is_fee(pool: Pool) -> bool:
    """The firmware's own pool, whose shares are not the owner's."""
    return pool.url == "DevFee" or pool.user == "DevFee"


def _errors(base: MinerReading) -> int | None:
    """The total is gone from newer `stats`; its boards have it."""
    found = [board.hw_errors for board in base.boards if board.hw_errors is not None]
    return base.hw_errors if base.hw_errors is not None or not found else sum(found)


def _consumption(body: Row, boards: tuple[Board, ...]) -> float | None:
    found = [number(body.get(f"chain_consumption{board.index}")) for board in boards]
    known = [watts for watts in found if watts is not None]
    return sum(known) if known else None


def _faults(body: Row, boards: tuple[Board, ...]) -> list[Fault]:
    found: list[Fault] = []
    for board in boards:
        words = text(body.get(f"chain_fault{board.index}"))
        state = text(body.get(f"chain_state{board.index}"))
        if words or state in BROKEN_CHAINS:
            found.append(Fault(None, f"board {board.index}: {words or state}"))
    return found
