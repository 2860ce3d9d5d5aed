"""Whatever a GPU shows and whatever is ordered of it: nothing is claimed that it does not show."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.command.params import Clocks, Layout, Limit
from agent.command.verbs import VERBS, Load
from drivers.model import Fan, State
from drivers.model_gpu import GpuReading, MigInstance
from tests.properties.test_shown import CUTS, SECONDS, WATTS, orders
from tests.readings import BEGIN

MHZ = st.integers(200, 3000)
RANGE = st.tuples(MHZ, MHZ).map(sorted).map(lambda ends: Clocks(*ends))
MODES = st.sampled_from(["default", "exclusive_process", "prohibited", "exclusive_thread"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "power_w": st.floats(0, 1500),
    "power_limit_w": WATTS,
    "sm_clock_mhz": MHZ,
    "memory_clock_mhz": MHZ,
    "persistence": st.booleans(),
    "compute_mode": MODES,
    "ecc_enabled": st.booleans(),
    "ecc_pending": st.booleans(),
    "mig_enabled": st.booleans(),
    "mig_pending": st.booleans(),
    "mig_instances": st.lists(CUTS, max_size=7).map(lambda cuts: instances(*cuts)),
    "fans": st.lists(st.floats(0, 100), max_size=3).map(
        lambda duties: tuple(Fan(at, None, duty) for at, duty in enumerate(duties))
    ),
}
SHOWN_BY = {
    "power.limit": ("power_limit_w",),
    "gpu.clocks.lock": ("sm_clock_mhz",),
    "gpu.memory_clocks.lock": ("memory_clock_mhz",),
    "gpu.persistence": ("persistence",),
    "gpu.compute_mode": ("compute_mode",),
    "gpu.ecc": ("ecc_pending",),
    "gpu.mig.mode": ("mig_pending",),
    "gpu.mig.layout": ("mig_instances",),
    "gpu.fan": ("fans",),
}
OF_GPUS = orders().filter(lambda order: order[0].name == "power.limit" or "gpu." in order[0].name)


def instances(*cuts: str) -> tuple[MigInstance, ...]:
    """Instances of these profiles, each with one compute instance."""
    return tuple(
        MigInstance(uuid=f"MIG-{at}", gpu_instance=at, compute_instance=0, profile=cut)
        for at, cut in enumerate(cuts)
    )


def gpu(**values: Any) -> GpuReading:
    """A GPU that shows nothing but this."""
    head = {"device_id": "g", "kind": "gpu", "taken_at": BEGIN, "state": State.OK}
    return GpuReading(**{**head, **values})


@st.composite
def gpus(draw: st.DrawFn) -> GpuReading:
    """A GPU as it may show itself: each value may be missing."""
    values = {name: draw(st.none() | strategy) for name, strategy in VALUES.items()}
    return gpu(**values, state=draw(st.sampled_from(State)))


@given(OF_GPUS, gpus(), SECONDS)
def test_what_a_reading_has_no_word_for_it_does_not_show(order, reading, since_s) -> None:
    verb, params = order
    without = dict.fromkeys(SHOWN_BY.get(verb.name, ()))
    assert verb.shown(params, msgspec.structs.replace(reading, **without), since_s) is None


@given(OF_GPUS, gpus(), SECONDS)
def test_other_values_than_its_own_say_nothing_of_a_verb(order, reading, since_s) -> None:
    verb, params = order
    kept = {name: getattr(reading, name) for name in SHOWN_BY.get(verb.name, ())}
    alone = gpu(**kept)
    assert verb.shown(params, alone, since_s) is verb.shown(params, reading, since_s)


@given(gpus(), WATTS, st.floats(-3.0, 3.0))
def test_a_limit_is_shown_within_a_watt(reading, watts, off_w) -> None:
    assume(abs(abs(off_w) - 1.0) > 1e-6)
    shown = msgspec.structs.replace(reading, power_limit_w=watts + off_w)
    assert VERBS["power.limit"].shown(Limit(watts), shown, 1.0) is (abs(off_w) < 1.0)


@given(RANGE, MHZ)
def test_a_clock_above_its_lock_denies_it_and_one_below_says_nothing(lock, clock_mhz) -> None:
    for name, field in (("gpu.clocks.lock", "sm_clock_mhz"),
                        ("gpu.memory_clocks.lock", "memory_clock_mhz")):  # fmt: skip
        told = VERBS[name].shown(lock, gpu(**{field: clock_mhz}), 1.0)
        if clock_mhz > lock.max_mhz + 15:
            assert told is False
        elif clock_mhz < lock.min_mhz - 15:
            assert told is None
        else:
            assert told is True


@given(st.lists(CUTS, max_size=7), st.lists(CUTS, max_size=7), st.randoms())
def test_a_layout_is_shown_by_its_instances_in_any_order(wanted, there, random) -> None:
    shuffled = list(there)
    random.shuffle(shuffled)
    reading = gpu(mig_instances=instances(*shuffled))
    told = VERBS["gpu.mig.layout"].shown(Layout(tuple(wanted)), reading, 1.0)
    assert told is (sorted(wanted) == sorted(there))


@given(st.lists(CUTS, min_size=1, max_size=4))
def test_who_divides_an_instance_further_has_not_changed_the_layout(cuts) -> None:
    whole = instances(*cuts)
    half = msgspec.structs.replace(whole[0], uuid="MIG-x", profile=f"1c.{cuts[0]}")
    reading = gpu(mig_instances=(half, msgspec.structs.replace(half, uuid="y"), *whole[1:]))
    assert VERBS["gpu.mig.layout"].shown(Layout(tuple(cuts)), reading, 1.0) is True


@given(OF_GPUS, gpus())
def test_nothing_sheds_more_than_is_drawn_and_what_sheds_raises_nothing(order, reading) -> None:
    verb, params = order
    change_w = verb.foreseen(params, reading)
    assume(change_w is not None)
    assert -(reading.power_w or 0.0) <= change_w <= 0.0
    if verb.load(params, reading) is Load.KEEPS:
        assert change_w == 0.0


@given(gpus(), WATTS)
def test_a_limit_below_what_is_drawn_sheds_the_difference(reading, watts) -> None:
    working = msgspec.structs.replace(reading, state=State.OK)
    change_w = VERBS["power.limit"].foreseen(Limit(watts), working)
    if working.power_w is None:
        assert change_w is None
    elif working.power_w > watts:
        assert math.isclose(working.power_w + change_w, watts)
    elif working.power_limit_w is None or watts > working.power_limit_w:
        assert change_w is None  # nobody knows how far a higher limit may raise it
    else:
        assert change_w == 0.0
