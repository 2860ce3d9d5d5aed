"""One simulated machine: who it is, since when it runs, where it stands."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from enum import StrEnum

import msgspec

from drivers.sim.lies import Heard, Lie, heard, obeys
from drivers.sim.models import Model
from drivers.sim.physics import (
    Snapshot,
    Traits,
    held_at,
    ramp,
    resting,
    snapshot,
    without_last_board,
)

MINUTE_S = 60.0
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"


class Condition(StrEnum):
    """What a machine is doing, or what has happened to it."""

    RUNNING = "running"
    SLEEPING = "sleeping"
    """Told to sleep: it answers and hashes nothing."""
    BOARD_LOST = "board-lost"
    """Its last board does not answer."""
    NO_POOL = "no-pool"
    """No pool answers, so there is nothing to do."""


class Pool:
    """One configured pool of a machine."""

    __slots__ = ("host", "password", "url", "user")

    def __init__(self, host: str, port: int, user: str) -> None:
        self.host = host
        self.url = f"stratum+tcp://{host}:{port}"
        self.user = user
        self.password = "x"  # noqa: S105  the customary placeholder

    @classmethod
    def of(cls, url: str, user: str, password: str = "x") -> Pool:  # noqa: S107
        """A pool as somebody configures it, its URL kept as it was written."""
        pool = cls(url.partition("://")[2].partition(":")[0] or url, 0, user)
        pool.url, pool.password = url, password
        return pool


class Settings(msgspec.Struct, kw_only=True):
    """What somebody may have set; None and the defaults are the factory's."""

    limit_w: float | None = None
    percent: float = 100.0
    mode: str | None = None
    mode_share: float = 1.0
    fan_percent: float | None = None
    temp_target_c: float | None = None
    locating: bool = False


Change = Callable[["Machine", float], None]
"""Alters a machine at a moment (seconds since the epoch)."""


class Machine:
    """A machine with all that it keeps while it lives; a swap makes another one.

    The same (seed, index, generation, model, epoch) always gives the same machine.
    """

    def __init__(
        self, seed: int, index: int, address: str, model: Model, *, generation: int, epoch: float
    ) -> None:
        rng = random.Random(f"{seed}/{index}/{generation}")
        self.index = index
        self.generation = generation
        self.model = model
        self.address = address
        self.mac = _mac(seed, index, generation)
        self.serial = _serial(rng)
        self.miner_id = f"{rng.getrandbits(64):016x}"
        self.hostname = model.hostname or f"{model.driver.lower()}{index:05d}"
        self.board_serials = tuple(_serial(rng) for _ in range(model.boards))
        self.frequency_mhz = model.frequency_mhz + 5 * rng.randint(-2, 2)
        self.traits = _traits(rng, model, self.frequency_mhz)
        self.boot_at = epoch - rng.uniform(60 * MINUTE_S, 60 * 24 * 60 * MINUTE_S)
        self.delay_s = rng.uniform(*model.delay_ms) / 1000
        self.pools = _pools(rng, index)
        self.credential = model.password or ("root", "root")
        """User and password of the web pages."""
        self.condition = Condition.RUNNING
        self.stopped_at = 0.0
        self.woke_at = -math.inf
        """When it was last told to hash again: from then on its clock ramps up."""
        self.settings = Settings()
        self.lie: Lie | None = None
        self.lies_about: frozenset[str] = frozenset()
        """The orders it lies about, by the names that the dialect gives them; empty means all."""
        self.pace = 1.0
        """Factor on the time that effects take."""
        self._factory = (self.pools, self.hostname)
        self._awake = Condition.RUNNING
        self._pending: list[tuple[float, Change]] = []
        self.sessions: dict[str, float] = {}
        """Open sessions of the web side or the RPC: token, and when it was last used."""
        self.stale_at: float | None = None
        """The moment that a frozen machine goes on showing."""

    @property
    def full_ghs(self) -> float:
        """Hashrate that the machine should reach."""
        return self.model.nominal_ghs * self.frequency_mhz / self.model.frequency_mhz

    @property
    def full_w(self) -> float:
        """What it draws at full clock, as its type is rated."""
        return self.full_ghs / 1000 * self.model.efficiency_j_th

    @property
    def share(self) -> float:
        """The share of its full power that limit, throttle and mode leave it."""
        settings = self.settings
        limit_w = self.full_w if settings.limit_w is None else settings.limit_w
        return min(limit_w / self.full_w, settings.percent / 100, settings.mode_share)

    def at(self, now: float) -> Snapshot:
        """What the machine shows at a moment, in the condition that it is in."""
        if self._pending:
            self.settle(now)
        running = snapshot(self.traits, self.boot_at, now, self.pace)
        if self.condition in (Condition.SLEEPING, Condition.NO_POOL) or not self.pools:
            stopped_at = max(self.stopped_at, self.boot_at)
            stopped = snapshot(self.traits, self.boot_at, stopped_at, self.pace)
            return resting(running, stopped, self.model.standby_w)
        share = self.share * self._ramped(now)
        if share != 1.0:
            running = held_at(running, share, self.model.standby_w)
        if self.condition is Condition.BOARD_LOST:
            return without_last_board(running)
        return running

    def _ramped(self, now: float) -> float:
        return ramp(now - self.woke_at, self.pace)

    def become(self, condition: Condition, now: float) -> None:
        """Change what the machine is doing, from this moment on."""
        self.condition = condition
        self.stopped_at = now

    # --- orders --------------------------------------------------------------------------

    def hear(self, name: str, change: Change, now: float, *, after_s: float = 0.0) -> Heard:
        """Take an order, which shows `after_s` later; gives what the firmware answers.

        `name` is what the dialect calls it, for lies that concern some orders only.
        """
        lie = self.lie if not self.lies_about or name in self.lies_about else None
        if obeys(lie):
            self._pending.append((now + after_s * self.pace, change))
            self._pending.sort(key=lambda item: item[0])
            self.settle(now)
        return heard(lie)

    def settle(self, now: float) -> None:
        """Let everything happen that is due."""
        while self._pending and self._pending[0][0] <= now:
            at, change = self._pending.pop(0)
            change(self, at)

    def fall_asleep(self, at: float) -> None:
        """Stop hashing; harmless when it already has."""
        if self.condition is not Condition.SLEEPING:
            self._awake = self.condition
            self.become(Condition.SLEEPING, at)

    def wake(self, at: float) -> None:
        """Take up what it did before it slept."""
        if self.condition is Condition.SLEEPING:
            self.condition = self._awake
            self.woke_at = at

    def lose_pools_to_a_write(self) -> None:
        """For dialects whose configuration writes wipe the pools of a machine with that habit."""
        if self.lie is Lie.WIPES_POOLS:
            self.pools = ()

    def forget_settings(self, at: float) -> None:
        """Be as the factory made it, pools and host name as at the site's start."""
        self.settings = Settings()
        self.pools, self.hostname = self._factory
        self.wake(at)

    def chips_at(self, board: int) -> int:
        """How many chips of a board (from 0) answer; None do on a lost one."""
        lost = self.condition is Condition.BOARD_LOST and board == self.model.boards - 1
        return 0 if lost else self.model.chips

    @property
    def pool_alive(self) -> bool:
        """False where no pool answers."""
        return self.condition is not Condition.NO_POOL


def _mac(seed: int, index: int, generation: int) -> str:
    # Multiplying by an odd number permutes the 24 bits: no two machines share an address.
    tail = (index * 0x9E3779B1 + seed * 0x85EBCA6B) & 0xFFFFFF
    octets = (0x02, generation & 0xFF, seed * 0x5B & 0xFF, tail >> 16, tail >> 8 & 0xFF, tail & 255)
    return ":".join(f"{octet:02X}" for octet in octets)


def _serial(rng: random.Random) -> str:
    letters = "".join(rng.choices(_LETTERS, k=8))
    return f"{letters[:4]}{rng.randrange(10_000):04d}{letters[4:]}{rng.randrange(100_000):05d}"


def _traits(rng: random.Random, model: Model, frequency_mhz: int) -> Traits:
    full_ghs = model.nominal_ghs * frequency_mhz / model.frequency_mhz * rng.uniform(0.985, 1.012)
    return Traits(
        key=rng.getrandbits(64),
        full_ghs=full_ghs,
        efficiency_j_th=model.efficiency_j_th * rng.uniform(0.97, 1.04),
        boards=model.boards,
        fans=model.fans,
        fan_max_rpm=model.fan_max_rpm,
        inlet_offset_c=rng.uniform(-2.5, 2.5),
        reject_rate=rng.uniform(0.0005, 0.004),
        share_difficulty=model.share_difficulty or _share_difficulty(full_ghs),
        phase=rng.uniform(0, math.tau),
    )


def _share_difficulty(ghs: float) -> float:
    """The power of two at which about four shares a minute are found."""
    return float(2 ** max(0, round(math.log2(ghs * 15 / 4.294967296))))


def _pools(rng: random.Random, index: int) -> tuple[Pool, ...]:
    farm = rng.choice(("north", "south"))
    worker = f"{farm}.w{index:05d}"
    hosts = ("pool-a.example.com", "pool-b.example.com", "pool-c.example.com")
    return tuple(Pool(host, 3333, worker) for host in hosts)
