"""The agent: discovery, polling, delivery and local control of one site host."""

__version__ = "0.1.0"
