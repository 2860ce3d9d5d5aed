"""Whatever is found in whatever order, ids and addresses stay one to one."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from agent.config.locations import NOWHERE
from agent.fleet.inventory import Inventory
from tests.unit.test_inventory import finding, restarted

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["settle", "settle", "settle", "duplicate", "restart"]),
        st.integers(1, 4),  # the address
        st.one_of(st.none(), st.integers(1, 4)),  # the machine; None does not show who it is
        st.sampled_from(["M1", "M2"]),
    ),
    max_size=40,
)


def check(inventory: Inventory) -> None:
    devices = list(inventory)
    assert len(inventory) == len(devices)
    assert len({device.id for device in devices}) == len(devices)
    assert len({device.address for device in devices}) == len(devices)
    for device in devices:
        assert inventory.at(device.address) is device
        assert inventory.by_id(device.id) is device
        if device.identity.provisional:
            assert device.id == f"asic-at-{device.address}"
            assert device.identity.mac is None
        else:
            assert inventory.known[device.id].address == device.address
    assert not any(known.identity.provisional for known in inventory.known.values())
    assert all(key == known.identity.id for key, known in inventory.known.items())


@given(STEPS)
def test_one_id_one_address(steps: list[tuple[str, int, int | None, str]]) -> None:
    asyncio.run(walk(steps))


async def walk(steps: list[tuple[str, int, int | None, str]]) -> None:
    inventory = Inventory(lambda *_: NOWHERE)
    for now, (what, place, number, model) in enumerate(steps):
        if what == "restart":
            inventory = restarted(inventory)
            continue
        found = finding(f"10.0.0.{place}", number, model=model)
        before = {device.id: device for device in inventory}
        holder = inventory.by_id(found.identity.id)
        elsewhere = holder is not None and holder.address != found.endpoint.address
        if what == "duplicate" and elsewhere:
            settled = inventory.as_duplicate(found, float(now))
            assert inventory.by_id(found.identity.id) is holder
        else:
            settled = inventory.settle(found, float(now))
            assert settled.device.id == found.identity.id
        assert inventory.at(found.endpoint.address) is settled.device
        # Who is no longer there was said to be displaced, and nobody else.
        left = {id_ for id_, device in before.items() if inventory.by_id(id_) is not device}
        assert left == {device.id for device in settled.displaced}
        check(inventory)
