"""Signed commands joined to the parts of the agent that carry them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.remote.parts import Deeds, Parts
from agent.remote.remote import Remote

if TYPE_CHECKING:
    from agent.app.agent import Agent


def remote(agent: Agent) -> Remote:
    """What takes commands for an agent."""
    parts = Parts(
        site=agent.config.site.name,
        topics=agent.topics,
        control=agent.control,
        inventory=agent.fleet.inventory,
        poller=agent.fleet.poller,
        outbox=agent.outbox,
        journal=agent.journal,
        audit=agent.audit,
        clock=agent.clock,
        pump=agent.publisher.pump,
        expires=lambda: agent.session.speaks_v5,
        synchronised=agent.statements.clock_synchronised,
        tell=agent.feed.event,
        deeds=_deeds(agent),
    )
    return Remote(agent.config.commands, parts)


def _deeds(agent: Agent) -> Deeds:
    return Deeds(
        scan=lambda: _scan(agent),
        reload=agent.reloading.reload,
        keyframe=lambda: _keyframe(agent),
        publish_inventory=lambda: _publish_inventory(agent),
    )


def _scan(agent: Agent) -> str:
    if not agent.config.discovery.enabled:
        return "nothing is searched: discovery is off in the configuration"
    agent.fleet.discovery.sweep_now()
    return "every range is searched as soon as the present sweep is over"


def _keyframe(agent: Agent) -> str:
    agent.delivery.gatherer.new_chain()
    return "the next frame holds everything"


def _publish_inventory(agent: Agent) -> str:
    agent.statements.publish_inventory()
    return f"{len(agent.fleet.inventory)} devices published again"
