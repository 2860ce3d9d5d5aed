"""The live view: totals, states and the devices that need a look."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from agent.cli.show import figure, plain, word

GOOD_STATES = {"mining", "ok"}
WORST_ROWS = 12
_ORDER = (
    *("unreachable", "fault", "quarantined", "unknown", "idle"),
    *("starting", "sleeping", "mining", "ok"),
)


class Board:
    """The last reading of each device, as messages bring them."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._last: dict[str, dict[str, Any]] = {}
        self.readings = 0

    def take(self, reading: dict[str, Any]) -> None:
        """Take one telemetry message in."""
        device_id = reading.get("device_id")
        # The host is not one of the machines it looks after.
        if isinstance(device_id, str) and reading.get("kind") != "host":
            self._last[device_id] = reading
            self.readings += 1

    def states(self) -> Counter[str]:
        """How many devices are in each state."""
        return Counter(word(reading.get("state")) for reading in self._last.values())

    def hashrate_ths(self) -> float:
        """The sum of what the devices last said."""
        return sum(_number(reading, "hashrate_ths") or 0.0 for reading in self._last.values())

    def gpus(self) -> str:
        """The GPUs among them in a few words; empty where there are none."""
        gpus = [reading for reading in self._last.values() if reading.get("kind") == "gpu"]
        if not gpus:
            return ""
        drawn_w = sum(_number(reading, "power_w") or 0.0 for reading in gpus)
        busy = sum((_number(reading, "utilisation_percent") or 0.0) > 0 for reading in gpus)
        return f"{len(gpus)}, {busy} busy, {figure(drawn_w / 1000, 'kW', 2)}"

    def line(self) -> str:
        """Everything in one line, for where there is no terminal."""
        states = ", ".join(f"{count} {state}" for state, count in self.states().most_common())
        gpus = f"GPUs: {self.gpus()}; " if self.gpus() else ""
        return (
            f"{len(self._last)} devices: {states or 'none yet'}; "
            f"{figure(self.hashrate_ths() / 1000, 'PH/s', 2)}; {gpus}{self.readings} readings"
        )

    def table(self, footer: str = "") -> Group:
        """Totals and the worst devices."""
        totals = Table(title=self._title, title_justify="left", show_header=False)
        totals.add_row("devices", str(len(self._last)))
        totals.add_row("hashrate", figure(self.hashrate_ths() / 1000, "PH/s", 2))
        if self.gpus():
            totals.add_row("GPUs", self.gpus())
        for state, count in self.states().most_common():
            totals.add_row(state, str(count))
        totals.add_row("readings", str(self.readings))
        return Group(totals, self._worst(), Text(footer))

    def _worst(self) -> Table:
        names = ("device", "state", "TH/s", "of", "chips °C", "what it says")
        table = Table(*names, title="worst first", title_justify="left")
        for reading in sorted(self._last.values(), key=_badness)[:WORST_ROWS]:
            faults = reading.get("faults") or []
            table.add_row(
                plain(reading["device_id"]),
                plain(reading.get("state")),
                figure(_number(reading, "hashrate_ths")),
                figure(_number(reading, "hashrate_nominal_ths")),
                figure(_number(reading, "chip_temp_max_c"), digits=0),
                plain(faults[0].get("message") if faults else ""),
            )
        return table


def _number(reading: dict[str, Any], field: str) -> float | None:
    """A number as it is; anything else on our topics is another's and counts as nothing."""
    value = reading.get(field)
    return float(value) if isinstance(value, int | float) else None


def _badness(reading: dict[str, Any]) -> tuple[int, bool, float]:
    state = reading.get("state")
    rank = _ORDER.index(state) if state in _ORDER else 0
    rate, nominal = _number(reading, "hashrate_ths"), _number(reading, "hashrate_nominal_ths")
    share = rate / nominal if rate is not None and nominal else 1.0
    return rank, not reading.get("faults"), share
