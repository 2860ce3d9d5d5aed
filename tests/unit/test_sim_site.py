"""The simulated site: determinism, physics, and what can happen to machines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sim import Site
from drivers.sim.models import load_models
from drivers.sim.physics import RAMP_S, WARMUP_S, full_seconds, noise, ramp

NETWORK = "127.61.0.0/16"


class Clock:
    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def make(seed: int = 1, count: int = 50, clock: Clock | None = None, **more: object) -> Site:
    return Site(seed, NETWORK, count, clock=clock or Clock(), **more)  # type: ignore[arg-type]


def portrait(site: Site, address: str) -> tuple[object, ...]:
    machine = site.at(address)
    assert machine is not None
    return (
        machine.mac,
        machine.serial,
        machine.model.name,
        machine.hostname,
        machine.boot_at,
        machine.pools[0].user,
        machine.at(site.clock()),
    )


def test_same_seed_same_site() -> None:
    one, two = make(seed=7), make(seed=7)
    assert all(portrait(one, a) == portrait(two, a) for a in one.addresses())


def test_other_seed_other_machines() -> None:
    one, two = make(seed=7), make(seed=8)
    assert not {m.mac for m in one.machines()} & {m.mac for m in two.machines()}


def test_a_restart_in_the_same_week_keeps_the_uptimes() -> None:
    one, two = make(), make(clock=Clock(1_790_000_000.0 + 3600))
    address = next(one.addresses())
    before, after = one.at(address), two.at(address)
    assert before is not None
    assert after is not None
    assert before.boot_at == after.boot_at


def test_identities_are_unique_at_full_size() -> None:
    site = Site(3, NETWORK, 30_000, clock=Clock())
    machines = list(site.machines())
    assert len(machines) == 30_000
    assert len({m.mac for m in machines}) == 30_000
    assert len({m.serial for m in machines}) == 30_000
    assert machines[255].address == "127.61.1.0"


def test_default_mix_is_mostly_stock() -> None:
    dialects = [m.model.dialect for m in make(count=2000).machines()]
    assert 0.8 < dialects.count("stock") / 2000 < 0.95
    assert set(dialects) == {m.dialect for m in load_models().values() if m.share}


def test_mix_can_be_chosen() -> None:
    site = make(mix={"Antminer S9": 1})
    assert {m.model.name for m in site.machines()} == {"Antminer S9"}


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"count": 0}, "count"),
        ({"count": 70_000}, "count"),
        ({"mix": {"Abacus": 1}}, "Abacus"),
        ({"mix": {"Antminer S9": 0}}, "weights"),
    ],
)
def test_a_site_that_cannot_be(more: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make(**more)  # type: ignore[arg-type]


def test_nobody_outside_the_count() -> None:
    site = make(count=3)
    assert [site.at(f"127.61.0.{n}") is None for n in range(5)] == [True, False, False, False, True]
    assert site.at("127.62.0.1") is None
    assert site.at("nonsense") is None


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**48))
def test_noise_stays_in_its_bounds(key: int, step: int) -> None:
    assert -1.0 <= noise(key, step) < 1.0


@given(st.floats(0, 1e7), st.floats(0, 1e5))
def test_work_follows_the_ramp(uptime_s: float, step_s: float) -> None:
    gained_s = full_seconds(uptime_s + step_s) - full_seconds(uptime_s)
    slack = 1e-6 * (1 + step_s)
    assert ramp(uptime_s) * step_s - slack <= gained_s <= ramp(uptime_s + step_s) * step_s + slack


@given(st.lists(st.floats(0, 5e5), min_size=2, max_size=20), st.integers(1, 50))
def test_counters_only_grow(moments: list[float], index: int) -> None:
    site = make()
    machine = site.at(f"127.61.0.{index}")
    assert machine is not None
    shots = [machine.at(machine.boot_at + moment) for moment in sorted(moments)]
    for counter in ("uptime_s", "total_mh", "accepted", "rejected", "stale", "hw_errors", "works"):
        values = [getattr(shot, counter) for shot in shots]
        assert values == sorted(values), counter


def test_figures_agree_with_each_other() -> None:
    for machine in make(count=200).machines():
        now = machine.at(1_790_000_000.0)
        assert sum(now.board_ghs) == pytest.approx(now.ghs_5s)
        assert now.total_mh == pytest.approx(now.ghs_av * 1000 * now.uptime_s, rel=1e-3)
        assert now.ghs_5s == pytest.approx(machine.full_ghs, rel=0.05)
        watts = machine.full_ghs / 1000 * machine.model.efficiency_j_th
        assert now.power_w == pytest.approx(watts, rel=0.15)
        assert max(now.fan_rpm) <= machine.model.fan_max_rpm * 1.03


def test_answers_can_be_told_apart() -> None:
    site = make(count=500)
    rates = {round(m.at(t).ghs_5s, 4) for m in site.machines() for t in (1.79e9, 1.79e9 + 0.01)}
    assert len(rates) > 990


def test_temperature_follows_air_and_power() -> None:
    machine = make(mix={"Antminer S21": 1}).at("127.61.0.1")
    assert machine is not None
    day = [machine.at(1_790_000_000.0 + hour * 3600) for hour in range(24)]
    warmest = max(day, key=lambda shot: shot.inlet_c)
    coldest = min(day, key=lambda shot: shot.inlet_c)
    assert warmest.inlet_c - coldest.inlet_c > 8
    assert sum(warmest.board_c) > sum(coldest.board_c)
    cold_start = machine.at(machine.boot_at + 1)
    assert max(cold_start.board_c) < 40
    assert max(cold_start.fan_rpm) < min(warmest.fan_rpm)


def test_reboot_ramps_up_again() -> None:
    clock = Clock()
    site = make(clock=clock)
    address = "127.61.0.1"
    mac = portrait(site, address)[0]
    site.reboot(address, off_s=20)
    assert site.at(address) is None
    clock.now += 20
    machine = site.at(address)
    assert machine is not None
    assert (machine.mac, machine.at(clock.now).ghs_5s) == (mac, 0.0)
    clock.now += WARMUP_S + RAMP_S / 2
    half = machine.at(clock.now).ghs_5s
    clock.now += RAMP_S
    assert half == pytest.approx(machine.at(clock.now).ghs_5s / 2, rel=0.05)


def test_swap_puts_another_machine_of_the_same_type() -> None:
    site = make()
    before = portrait(site, "127.61.0.9")
    site.swap("127.61.0.9")
    after = portrait(site, "127.61.0.9")
    assert after[2] == before[2]
    assert (after[0], after[1], after[4]) != (before[0], before[1], before[4])
    assert after[0] not in {m.mac for m in make().machines()}


def test_move_and_remove() -> None:
    site = make()
    mac = portrait(site, "127.61.0.2")[0]
    site.move("127.61.0.2", "127.61.9.9")
    assert site.at("127.61.0.2") is None
    assert portrait(site, "127.61.9.9")[0] == mac
    assert sum(1 for _ in site.machines()) == 50
    site.remove("127.61.9.9")
    assert site.at("127.61.9.9") is None
    with pytest.raises(ValueError, match="no machine"):
        site.reboot("127.61.9.9")
    with pytest.raises(ValueError, match="not in"):
        site.move("127.61.0.3", "127.62.0.3")


def test_events_happen_when_their_time_has_come() -> None:
    clock = Clock()
    site = make(clock=clock)
    site.later(30, site.remove, "127.61.0.1")
    site.later(40, site.remove, "127.61.0.1")  # gone by then: nothing happens
    assert site.at("127.61.0.1") is not None
    clock.now += 50
    assert site.at("127.61.0.1") is None
