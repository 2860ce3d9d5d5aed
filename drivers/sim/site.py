"""The simulated site: which machine stands at which address, and what happens to it."""

from __future__ import annotations

import ipaddress
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import accumulate

from drivers.sim.lies import Lie
from drivers.sim.machine import Condition, Machine
from drivers.sim.models import Model, load_models

WEEK_S = 7 * 86_400.0


class Site:
    """`count` machines at consecutive addresses of `network`, the same for the same seed.

    `mix` maps model names to weights (default: the shares of the model table); `clock`
    gives seconds since the epoch. Machines have run since before `epoch`, by default
    the start of the current week, so that a restarted simulator shows the same uptimes.
    Raises ValueError where the arguments make no site.
    """

    def __init__(
        self,
        seed: int = 1,
        network: str = "127.10.0.0/16",
        count: int = 200,
        *,
        mix: Mapping[str, float] | None = None,
        clock: Callable[[], float] = time.time,
        epoch: float | None = None,
        credential: tuple[str, str] | None = None,
        delay_scale: float = 1.0,
    ) -> None:
        self.seed = seed
        self.network = ipaddress.IPv4Network(network)
        self.count = count
        self.clock = clock
        self.credential = credential
        self.delay_scale = delay_scale
        """Factor on the time that the effects of orders take."""
        self.epoch = clock() // WEEK_S * WEEK_S if epoch is None else epoch
        usable = self.network.num_addresses - 2
        if not 1 <= count <= usable:
            raise ValueError(f"count must be 1 to {max(usable, 0)} in {network}, not {count}")
        self._models, self._weights = _weigh(mix)
        self._machines: dict[str, Machine | None] = {}
        self._pending: list[tuple[float, Callable[[str], object], str]] = []

    def addresses(self) -> Iterator[str]:
        """The addresses that machines were given at the start, in order."""
        return (str(self.network[index]) for index in range(1, self.count + 1))

    def at(self, address: str) -> Machine | None:
        """The machine that answers at an address now, None where nothing does."""
        if self._pending:
            self._run_due()
        try:
            machine = self._machines[address]
        except KeyError:
            machine = self._settle(address)
        if machine is not None:
            machine.settle(self.clock())
            if machine.boot_at > self.clock():
                return None
        return machine

    def machines(self) -> Iterator[Machine]:
        """Every machine that answers now."""
        places = dict.fromkeys([*self.addresses(), *self._machines])
        return (machine for address in places if (machine := self.at(address)) is not None)

    def model_at(self, address: str) -> Model | None:
        """The type of the machine at an address."""
        machine = self.at(address)
        return machine.model if machine else None

    # --- what happens to machines ---------------------------------------------------------

    def reboot(self, address: str, *, off_s: float = 0.0) -> None:
        """Boot the machine anew; it is absent for the first `off_s` seconds."""
        self._present(address).boot_at = self.clock() + off_s

    def swap(self, address: str) -> Machine:
        """Put another machine of the same type in the place of this one."""
        old = self._present(address)
        new = self._make(old.index, address, old.model, old.generation + 1)
        new.boot_at = self.clock() - 120 - random.Random(new.serial).uniform(0, 900)
        self._machines[address] = new
        return new

    def move(self, source: str, target: str) -> None:
        """Give the machine at `source` the address `target`; what stood there is gone."""
        if ipaddress.IPv4Address(target) not in self.network:
            raise ValueError(f"{target} is not in {self.network}")
        machine = self._present(source)
        self._machines[source] = None
        self._machines[target] = machine
        machine.address = target

    def remove(self, address: str) -> None:
        """Take the machine away: nothing answers there any more."""
        self._present(address)
        self._machines[address] = None

    def put_to_sleep(self, address: str) -> None:
        """Stop the machine's hashing, as its owner would."""
        self._present(address).become(Condition.SLEEPING, self.clock())

    def lose_board(self, address: str) -> None:
        """Have the machine's last board fall silent."""
        self._present(address).become(Condition.BOARD_LOST, self.clock())

    def lose_pools(self, address: str) -> None:
        """Have no pool answer the machine."""
        self._present(address).become(Condition.NO_POOL, self.clock())

    def lie(self, address: str, lie: Lie | None, *orders: str) -> None:
        """Have the machine treat orders so from now on, or only those named."""
        machine = self._present(address)
        machine.lie, machine.lies_about = lie, frozenset(orders)

    def recover(self, address: str) -> None:
        """Have the machine run as it did."""
        self._present(address).become(Condition.RUNNING, self.clock())

    def later(self, after_s: float, event: Callable[[str], object], address: str) -> None:
        """Call one of the methods above when the clock has advanced by `after_s`."""
        self._pending.append((self.clock() + after_s, event, address))

    # --- making machines ------------------------------------------------------------------

    def _run_due(self) -> None:
        now = self.clock()
        due = [item for item in self._pending if item[0] <= now]
        self._pending = [item for item in self._pending if item[0] > now]
        for _, event, address in due:
            with suppress(ValueError):  # the machine has gone in the meantime
                event(address)

    def _present(self, address: str) -> Machine:
        machine = self.at(address)
        if machine is None:
            raise ValueError(f"no machine at {address}")
        return machine

    def _settle(self, address: str) -> Machine | None:
        try:
            index = int(ipaddress.IPv4Address(address)) - int(self.network.network_address)
        except ValueError:
            return None
        if not 1 <= index <= self.count:
            return None
        model = random.Random(f"{self.seed}/{index}/model").choices(
            self._models, cum_weights=self._weights
        )[0]
        machine = self._make(index, address, model, 0)
        self._machines[address] = machine
        return machine

    def _make(self, index: int, address: str, model: Model, generation: int) -> Machine:
        machine = Machine(self.seed, index, address, model, generation=generation, epoch=self.epoch)
        machine.credential = self.credential or machine.credential
        machine.pace = self.delay_scale
        return machine


def _weigh(mix: Mapping[str, float] | None) -> tuple[list[Model], list[float]]:
    table = load_models()
    wanted = {name: model.share for name, model in table.items()} if mix is None else dict(mix)
    unknown = sorted(wanted.keys() - table.keys())
    if unknown:
        raise ValueError(f"unknown model {unknown[0]!r}; known: {', '.join(table)}")
    if not wanted or min(wanted.values()) < 0 or sum(wanted.values()) <= 0:
        raise ValueError("the mix needs weights that are not negative and one above 0")
    return [table[name] for name in wanted], list(accumulate(wanted.values()))
