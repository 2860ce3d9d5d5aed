"""The host that the agent runs on."""
