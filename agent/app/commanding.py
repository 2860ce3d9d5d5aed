"""What commands from afar may have the other parts of the agent do."""

from __future__ import annotations

from agent.app.fleet import Fleet
from agent.app.reloading import Reloading
from agent.config.schema import Config
from agent.remote.parts import Deeds
from agent.telemetry.delivery import Delivery
from agent.telemetry.statements import Statements


def deeds(
    config: Config,
    *,
    fleet: Fleet,
    delivery: Delivery,
    statements: Statements,
    reloading: Reloading,
) -> Deeds:
    """What node verbs come to; each says what it did."""

    def scan() -> str:
        if not config.discovery.enabled:
            return "nothing is searched: discovery is off in the configuration"
        fleet.discovery.sweep_now()
        return "every range is searched as soon as the present sweep is over"

    def keyframe() -> str:
        delivery.gatherer.new_chain()
        return "the next frame holds everything"

    def publish_inventory() -> str:
        statements.publish_inventory()
        return f"{len(fleet.inventory)} devices published again"

    return Deeds(
        scan=scan,
        reload=reloading.reload,
        keyframe=keyframe,
        publish_inventory=publish_inventory,
    )
