"""What can be ordered of GPUs alone: rows of the table of verbs. A power limit is for all kinds."""

from __future__ import annotations

from agent.command import foreseen, shown
from agent.command.params import Clocks, ComputeMode, Fans, Layout, Switch
from agent.command.verb import SETTING_S, START_S, Load, Verb, keeps, raises
from drivers.model import Reading
from drivers.model_gpu import GpuReading

SHOWS_S = 60.0
"""What is set is read back at once; some waits for a reset, and shows that it does."""
CUT_S = 120.0


def _clock_load(params: Clocks, reading: Reading | None) -> Load:
    """A lock at or below what it runs at sheds; one at rest, or locked lower, may run faster."""
    runs_mhz = reading.sm_clock_mhz if isinstance(reading, GpuReading) else None
    sheds = runs_mhz is not None and params.max_mhz <= runs_mhz
    return Load.SHEDS if sheds else Load.RAISES


def _memory_clock_load(params: Clocks, reading: Reading | None) -> Load:
    runs_mhz = reading.memory_clock_mhz if isinstance(reading, GpuReading) else None
    sheds = runs_mhz is not None and params.max_mhz <= runs_mhz
    return Load.SHEDS if sheds else Load.RAISES


ROWS = (
    Verb(
        name="gpu.clocks.lock",
        aspect="clocks",
        action="lock_clocks",
        params=Clocks,
        call=lambda driver, params: driver.lock_clocks(params.min_mhz, params.max_mhz),
        load=_clock_load,
        shown=shown.clocks,
        settles_s=SHOWS_S,
        foreseen=foreseen.unknown,
        expiry_s=SETTING_S,
    ),
    Verb(
        name="gpu.clocks.reset",
        aspect="clocks",
        action="free_clocks",
        call=lambda driver, _: driver.free_clocks(),
        load=raises,
        shown=shown.never,
        settles_s=None,
        foreseen=foreseen.unknown,
        expiry_s=START_S,
    ),
    Verb(
        name="gpu.memory_clocks.lock",
        aspect="memory_clocks",
        action="lock_memory_clocks",
        params=Clocks,
        call=lambda driver, params: driver.lock_memory_clocks(params.min_mhz, params.max_mhz),
        load=_memory_clock_load,
        shown=shown.memory_clocks,
        settles_s=SHOWS_S,
        foreseen=foreseen.unknown,
        expiry_s=SETTING_S,
    ),
    Verb(
        name="gpu.memory_clocks.reset",
        aspect="memory_clocks",
        action="free_memory_clocks",
        call=lambda driver, _: driver.free_memory_clocks(),
        load=raises,
        shown=shown.never,
        settles_s=None,
        foreseen=foreseen.unknown,
        expiry_s=START_S,
    ),
    Verb(
        name="gpu.persistence",
        aspect="persistence",
        action="set_persistence",
        params=Switch,
        call=lambda driver, params: driver.set_persistence(on=params.on),
        load=keeps,
        shown=shown.persistence,
        settles_s=SHOWS_S,
        foreseen=foreseen.nothing,
        expiry_s=SETTING_S,
    ),
    Verb(
        name="gpu.compute_mode",
        aspect="compute_mode",
        action="set_compute_mode",
        params=ComputeMode,
        call=lambda driver, params: driver.set_compute_mode(params.mode),
        load=keeps,
        shown=shown.compute_mode,
        settles_s=SHOWS_S,
        foreseen=foreseen.nothing,
        expiry_s=SETTING_S,
    ),
    Verb(
        name="gpu.ecc",
        aspect="ecc",
        action="set_ecc",
        params=Switch,
        call=lambda driver, params: driver.set_ecc(on=params.on),
        load=keeps,
        shown=shown.ecc,
        settles_s=SHOWS_S,
        foreseen=foreseen.nothing,
        expiry_s=SETTING_S,
    ),
    Verb(
        name="gpu.mig.mode",
        aspect="mig_mode",
        action="set_mig_mode",
        params=Switch,
        call=lambda driver, params: driver.set_mig_mode(on=params.on),
        load=keeps,
        dangerous=True,
        shown=shown.mig_mode,
        settles_s=CUT_S,
        foreseen=foreseen.nothing,
        expiry_s=SETTING_S,
    ),
    Verb(
        name="gpu.mig.layout",
        aspect="mig_layout",
        action="set_mig_layout",
        params=Layout,
        call=lambda driver, params: driver.set_mig_layout(params.profiles),
        load=keeps,
        dangerous=True,
        shown=shown.mig_layout,
        settles_s=CUT_S,
        foreseen=foreseen.nothing,
        expiry_s=SETTING_S,
    ),
    Verb(
        name="gpu.reset",
        action="reset_gpu",
        call=lambda driver, _: driver.reset_gpu(),
        load=raises,
        repeatable=False,
        dangerous=True,
        shown=shown.never,
        settles_s=None,
        foreseen=foreseen.unknown,
        expiry_s=START_S,
    ),
    Verb(
        name="gpu.fan",
        action="override_fans",
        params=Fans,
        call=lambda driver, params: driver.override_fans(params.percent),
        load=keeps,
        dangerous=True,
        shown=shown.fans_override,
        settles_s=SHOWS_S,
        foreseen=foreseen.nothing,
        expiry_s=SETTING_S,
    ),
)
