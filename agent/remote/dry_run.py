"""What a command would do: to which devices, and with which effect on the power they draw."""

from __future__ import annotations

from collections.abc import Sequence

from agent.command.control import Control
from agent.command.effects import Verdict
from agent.command.orders import Order, evidence
from agent.fleet.inventory import Device
from agent.remote.messages import DeviceResult, Watts
from agent.remote.reasons import Reason


def foretold(control: Control, order: Order, device: Device) -> DeviceResult:
    """What would become of an order at a device, by its last reading."""
    objection = control.objection(device, order)
    before = evidence(device.last, order.verb.aspect)
    if objection is not None:
        return DeviceResult(
            device_id=device.id,
            address=device.address,
            verdict=Verdict.REFUSED,
            words=objection.words,
            reason=Reason(objection.reason),
            before=before,
            change_w=0.0,
        )
    change_w = None if device.last is None else order.verb.foreseen(order.params, device.last)
    return DeviceResult(
        device_id=device.id,
        address=device.address,
        verdict=Verdict.WOULD,
        words=f"{order.verb.name} would be sent",
        before=before,
        change_w=change_w,
    )


def watts(results: Sequence[DeviceResult]) -> Watts:
    """The sum over devices; who does not say what he draws, or will draw, is counted apart."""
    known = [
        each
        for each in results
        if each.change_w is not None and each.before is not None and each.before.power_w is not None
    ]
    return Watts(
        drawn_w=sum(each.before.power_w or 0.0 for each in known if each.before),
        change_w=sum(each.change_w or 0.0 for each in known),
        unknown=len(results) - len(known),
    )
