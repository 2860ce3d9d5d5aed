"""What a machine does at a moment, computed from the moment alone: nothing ticks."""

from __future__ import annotations

import math

import msgspec

DAY_S = 86_400.0
WARMUP_S = 60.0
"""From boot to the first hash."""
RAMP_S = 240.0
"""From the first hash to full clock."""
WOBBLE = 0.004
WOBBLE_PERIOD_S = 1_800.0

_MASK = (1 << 64) - 1


class Traits(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What makes one machine's figures differ from its neighbour's."""

    key: int
    """64 bits that seed the machine's noise."""
    full_ghs: float
    """Hashrate at full clock."""
    efficiency_j_th: float
    boards: int
    fans: int
    fan_max_rpm: int
    inlet_offset_c: float
    reject_rate: float
    share_difficulty: float
    phase: float


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One machine at one moment."""

    now: float
    uptime_s: int
    ghs_5s: float
    ghs_av: float
    ghs_30m: float
    total_mh: float
    board_ghs: tuple[float, ...]
    power_w: float
    inlet_c: float
    board_c: tuple[int, ...]
    chip_c: tuple[int, ...]
    fan_rpm: tuple[int, ...]
    accepted: int
    rejected: int
    stale: int
    hw_errors: int
    works: int
    last_share_at: int


def noise(key: int, step: int) -> float:
    """A number in [-1, 1) that depends on nothing but the two arguments (splitmix64)."""
    x = (key + step * 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return (x ^ (x >> 31)) / 2**63 - 1.0


def ramp(uptime_s: float, pace: float = 1.0) -> float:
    """Share of full clock this long after boot, 0 to 1; `pace` is a factor on the times."""
    if not pace:
        return 1.0
    return min(1.0, max(0.0, (uptime_s / pace - WARMUP_S) / RAMP_S))


def full_seconds(uptime_s: float, pace: float = 1.0) -> float:
    """The integral of `ramp`: how long full clock would have taken for the same work."""
    ramped_s = max(0.0, uptime_s - WARMUP_S * pace)
    ramp_s = RAMP_S * pace
    return ramped_s * ramped_s / (2 * ramp_s) if ramped_s < ramp_s else ramped_s - ramp_s / 2


def total_gigahashes(traits: Traits, uptime_s: float, pace: float = 1.0) -> float:
    """Work since boot; never shrinks, for its derivative is `rate_ghs`, which is >= 0."""
    seconds = full_seconds(uptime_s, pace)
    turn = math.tau / WOBBLE_PERIOD_S
    wobble_s = WOBBLE / turn * (math.cos(traits.phase) - math.cos(turn * seconds + traits.phase))
    return traits.full_ghs * (seconds + wobble_s)


def rate_ghs(traits: Traits, uptime_s: float, pace: float = 1.0) -> float:
    """Hashrate without noise."""
    angle = math.tau / WOBBLE_PERIOD_S * full_seconds(uptime_s, pace) + traits.phase
    return traits.full_ghs * ramp(uptime_s, pace) * (1 + WOBBLE * math.sin(angle))


def inlet_temp_c(traits: Traits, now: float) -> float:
    """Air at the inlet: coldest at five, warmest at seventeen (UTC)."""
    swing_c = 6.0 * math.sin(math.tau * (now / DAY_S - 11 / 24))
    return 22.0 + swing_c + traits.inlet_offset_c


def snapshot(traits: Traits, boot_at: float, now: float, pace: float = 1.0) -> Snapshot:
    """The machine that booted at `boot_at`, as it is at `now`."""
    uptime_s = max(0.0, now - boot_at)
    # Milliseconds: two answers that are not given at once can be told apart.
    tick = int(now * 1000)
    total_gh = total_gigahashes(traits, uptime_s, pace)
    load = ramp(uptime_s, pace)
    ghs = rate_ghs(traits, uptime_s, pace) * (1 + 0.012 * noise(traits.key, tick))
    window_s = min(uptime_s, 1800.0)
    past_gh = total_gigahashes(traits, uptime_s - window_s, pace)
    inlet_c = inlet_temp_c(traits, now)
    board_c = _board_temps(traits, inlet_c, load, int(now // 10))
    shares = total_gh / (traits.share_difficulty * 4.294967296)
    return Snapshot(
        now=now,
        uptime_s=int(uptime_s),
        ghs_5s=ghs,
        ghs_av=total_gh / uptime_s if uptime_s else 0.0,
        ghs_30m=(total_gh - past_gh) / window_s if window_s else 0.0,
        total_mh=total_gh * 1000,
        board_ghs=_board_rates(traits, ghs, tick),
        power_w=_power_w(traits, ghs, load, inlet_c),
        inlet_c=inlet_c,
        board_c=board_c,
        chip_c=tuple(c + 5 + round(7 * load) for c in board_c),
        fan_rpm=_fan_speeds(traits, max(board_c), int(now // 3)),
        accepted=int(shares * (1 - traits.reject_rate)),
        rejected=int(shares * traits.reject_rate),
        stale=int(shares * traits.reject_rate / 10),
        hw_errors=int(total_gh / traits.full_ghs * 0.011),
        works=int(uptime_s / 12.8) + 1,
        last_share_at=int(now - 1 - 14 * abs(noise(traits.key, int(now // 15)))),
    )


def resting(running: Snapshot, stopped: Snapshot, standby_w: float) -> Snapshot:
    """The machine when it has stopped hashing: counters stand still, boards and fans come down."""
    uptime_s = running.uptime_s
    ambient_c = tuple(round(running.inlet_c) + 3 for _ in running.board_c)
    return msgspec.structs.replace(
        running,
        ghs_5s=0.0,
        ghs_av=stopped.total_mh / 1000 / uptime_s if uptime_s else 0.0,
        ghs_30m=0.0,
        total_mh=stopped.total_mh,
        board_ghs=(0.0,) * len(running.board_ghs),
        power_w=standby_w,
        board_c=ambient_c,
        chip_c=ambient_c,
        fan_rpm=(0,) * len(running.fan_rpm),
        accepted=stopped.accepted,
        rejected=stopped.rejected,
        stale=stopped.stale,
        hw_errors=stopped.hw_errors,
        works=stopped.works,
        last_share_at=stopped.last_share_at,
    )


def held_at(running: Snapshot, share: float, standby_w: float) -> Snapshot:
    """The machine at a share of its full power; counters go on as if it had its full clock."""
    return msgspec.structs.replace(
        running,
        ghs_5s=running.ghs_5s * share,
        board_ghs=tuple(ghs * share for ghs in running.board_ghs),
        power_w=max(running.power_w * share, standby_w),
    )


def without_last_board(running: Snapshot) -> Snapshot:
    """The machine without the rate and the heat of its last board; the past is not changed."""
    *others, lost_ghs = running.board_ghs
    left = sum(others) / (sum(others) + lost_ghs) if sum(others) else 0.0
    return msgspec.structs.replace(
        running,
        ghs_5s=running.ghs_5s * left,
        board_ghs=(*others, 0.0),
        power_w=running.power_w * left,
        board_c=(*running.board_c[:-1], 0),
        chip_c=(*running.chip_c[:-1], 0),
    )


def _board_rates(traits: Traits, ghs: float, tick: int) -> tuple[float, ...]:
    weights = [1 + 0.02 * noise(traits.key ^ board, tick) for board in range(traits.boards)]
    scale = ghs / sum(weights)
    return tuple(weight * scale for weight in weights)


def _power_w(traits: Traits, ghs: float, load: float, inlet_c: float) -> float:
    # Leakage: silicon draws some 0.2 % more per degree of warmer air.
    leakage = 1 + 0.002 * (inlet_c - 22.0)
    idle_w = traits.full_ghs / 1000 * traits.efficiency_j_th * 0.02
    return idle_w + ghs / 1000 * traits.efficiency_j_th * leakage * (0.97 + 0.03 * load)


def _board_temps(traits: Traits, inlet_c: float, load: float, step: int) -> tuple[int, ...]:
    # The fans even most of the inlet's swing out: about half of it reaches the boards.
    base_c = inlet_c * (1 - 0.5 * load) + 48.0 * load
    spread = range(traits.boards)
    return tuple(round(base_c + 1.5 * b + 1.5 * noise(traits.key + b, step)) for b in spread)


def _fan_speeds(traits: Traits, hottest_c: int, step: int) -> tuple[int, ...]:
    share = min(1.0, max(0.25, (hottest_c - 30) / 40))
    # Tachometers count whole turns in a short window: steps of 30 rpm.
    return tuple(
        int(traits.fan_max_rpm * share * (1 + 0.03 * noise(traits.key + 64 + fan, step))) // 30 * 30
        for fan in range(traits.fans)
    )
